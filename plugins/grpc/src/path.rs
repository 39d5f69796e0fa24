//! `/<service>.<Handler>/<Method>`: how gRPC's paths name services and endpoints.

use http::uri::PathAndQuery;
use micro_core::{Error, Result, Text};

/// How many paths a connection remembers. Services have few endpoints; a hostile caller finds no room.
const REMEMBERED: usize = 32;

/// The path by which an endpoint of a service is called. An endpoint that begins with a slash is a path already.
pub(crate) fn write(service: &str, endpoint: &str) -> Result<PathAndQuery> {
    let path = match endpoint.split_once('.') {
        _ if endpoint.starts_with('/') => endpoint.to_owned(),
        Some((handler, method)) if service.is_empty() => format!("/{handler}/{method}"),
        Some((handler, method)) => format!("/{service}.{handler}/{method}"),
        None => String::new(),
    };
    let is_well_formed = path.len() > 1 && !path.contains(['?', '#']);
    PathAndQuery::try_from(path)
        .ok()
        .filter(|_| is_well_formed)
        .ok_or_else(|| {
            Error::bad_request(
                "go.micro.client",
                format!(
                    "{service} {endpoint}: gRPC has no path for these names; an endpoint is Handler.Method"
                ),
            )
            .never_started()
        })
}

/// The service and the endpoint that a path names. Of the first segment the last part is the handler; the rest is
/// the service's name in a registry, or a package.
pub(crate) fn read(path: &str) -> Option<(Text, Text)> {
    let (first, method) = path.strip_prefix('/')?.split_once('/')?;
    let (service, handler) = first.rsplit_once('.').unwrap_or(("", first));
    if handler.is_empty() || method.is_empty() || method.contains('/') {
        return None;
    }
    Some((service.into(), format!("{handler}.{method}").into()))
}

/// What the paths of a connection named, so that no text is made of a path that was seen.
#[derive(Default)]
pub(crate) struct Paths(Vec<(PathAndQuery, Text, Text)>);

impl Paths {
    pub(crate) fn read(&mut self, path: &PathAndQuery) -> Option<(Text, Text)> {
        let known = self.0.iter().find(|(known, ..)| known.as_str() == path.as_str());
        if let Some((_, service, endpoint)) = known {
            return Some((service.clone(), endpoint.clone()));
        }
        let (service, endpoint) = read(path.path())?;
        if self.0.len() < REMEMBERED {
            self.0.push((path.clone(), service.clone(), endpoint.clone()));
        }
        Some((service, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(path: &str) -> Option<(String, String)> {
        read(path).map(|(service, endpoint)| (service.to_string(), endpoint.to_string()))
    }

    #[test]
    fn paths_name_what_go_micros_name() {
        let named = |service: &str, endpoint: &str| Some((service.to_owned(), endpoint.to_owned()));
        assert_eq!(
            write("interop.greeter", "Greeter.Hello").unwrap(),
            "/interop.greeter.Greeter/Hello"
        );
        assert_eq!(write("", "Greeter.Hello").unwrap(), "/Greeter/Hello");
        assert_eq!(
            write("any", "/grpc.health.v1.Health/Check").unwrap(),
            "/grpc.health.v1.Health/Check"
        );
        assert_eq!(
            read_as("/interop.greeter.Greeter/Hello"),
            named("interop.greeter", "Greeter.Hello")
        );
        assert_eq!(read_as("/Greeter/Hello"), named("", "Greeter.Hello"));
    }

    #[test]
    fn what_is_no_path_of_a_method_is_none() {
        for path in [
            "",
            "/",
            "/Greeter",
            "Greeter/Hello",
            "//Hello",
            "/Greeter/",
            "/a/b/c",
            "/a./b",
        ] {
            assert_eq!(read_as(path), None, "{path}");
        }
    }

    #[test]
    fn names_without_a_path_are_refused_before_anything_is_sent() {
        for (service, endpoint) in [
            ("s", "Hello"),
            ("a b", "A.B"),
            ("s", "A.B?c"),
            ("s", ""),
            ("s", "/"),
            ("ü\n", "A.B"),
        ] {
            let error = write(service, endpoint).unwrap_err();
            assert!(
                error.is_never_started() && error.code() == 400,
                "{service} {endpoint}: {error}"
            );
        }
    }

    #[test]
    fn a_connection_remembers_few_paths() {
        let mut paths = Paths::default();
        for number in 0..100 {
            let path = PathAndQuery::try_from(format!("/a.B/C{number}")).unwrap();
            for _ in 0..2 {
                assert_eq!(paths.read(&path).unwrap().1.as_str(), format!("B.C{number}"));
            }
        }
        assert_eq!(paths.0.len(), REMEMBERED);
    }
}
