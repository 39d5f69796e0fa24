//! From the name of a service to the name that is asked for.

use hickory_resolver::proto::rr::Name;
use micro_core::Result;
use micro_core::registry::service_not_found;

use crate::config::DnsConfig;
use crate::error;

const SERVICE: &str = "{service}";
const DOMAIN: &str = "{domain}";

/// The pattern of [`DnsConfig`], checked.
#[derive(Debug)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(config: &DnsConfig) -> Result<Self> {
        let wrong = |why: &str| {
            error::misconfigured(format!(
                "cannot use the pattern {:?} with the domain {:?}: {why}",
                config.pattern, config.domain
            ))
        };
        let text = config
            .pattern
            .replace(DOMAIN, config.domain.trim_end_matches('.'));
        let text = text.trim_end_matches('.');
        if text.matches(SERVICE).count() != 1 {
            return Err(wrong("it must have {service} in it, once"));
        }
        let pattern = Self(text.to_owned());
        if pattern.0.replace(SERVICE, "").contains(['{', '}']) {
            return Err(wrong(
                "it may have {service} and {domain} in it, and nothing else in braces",
            ));
        }
        to_name(&pattern.0.replace(SERVICE, "x")).map_err(|why| wrong(&why))?;
        Ok(pattern)
    }

    /// The name that has the SRV records of a service. What DNS cannot carry is not found, and the error says why.
    pub(crate) fn name_of(&self, service: &str) -> Result<Name> {
        to_name(&self.0.replace(SERVICE, service)).map_err(|why| {
            service_not_found(service).context(format_args!(
                "dns: {service:?} cannot be part of a DNS name ({why})"
            ))
        })
    }

    /// What all services have in common, to see whether a name server is there.
    pub(crate) fn zone(&self) -> Name {
        let after = self.0.rsplit_once(SERVICE).map_or("", |(_, after)| after);
        let zone = after.split_once('.').map_or("", |(_, zone)| zone);
        to_name(zone).unwrap_or_else(|_| Name::root())
    }
}

/// The labels as they are: a service's name is no host's, so nothing in it is escaped, and nothing is encoded.
fn to_name(text: &str) -> std::result::Result<Name, String> {
    if text.split('.').any(str::is_empty) {
        return Err("between two dots, and at each end, there must be something".to_owned());
    }
    let labels = text.split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

/// The host and the port, if the name of a service is an address.
pub(crate) fn as_address(service: &str) -> Option<(&str, u16)> {
    let (host, port) = service.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str, domain: &str) -> Result<Pattern> {
        Pattern::new(&DnsConfig {
            pattern: text.to_owned(),
            domain: domain.to_owned(),
            ..DnsConfig::default()
        })
    }

    #[test]
    fn a_pattern_says_where_the_records_are() {
        let rows = [
            (
                "_{service}._tcp.{domain}",
                "local",
                "_greeter._tcp.local.",
                "_tcp.local.",
            ),
            (
                "_{service}._tcp.{domain}",
                "example.com.",
                "_greeter._tcp.example.com.",
                "_tcp.example.com.",
            ),
            (
                "{service}.service.consul",
                "",
                "greeter.service.consul.",
                "service.consul.",
            ),
            (
                "_http._tcp.{service}.ns.svc.cluster.local.",
                "",
                "_http._tcp.greeter.ns.svc.cluster.local.",
                "ns.svc.cluster.local.",
            ),
            ("{service}", "", "greeter.", "."),
        ];
        for (text, domain, name, zone) in rows {
            let pattern = pattern(text, domain).unwrap();
            assert_eq!(pattern.name_of("greeter").unwrap().to_string(), name);
            assert_eq!(pattern.zone().to_string(), zone);
        }
        let dotted = pattern("_{service}._tcp.{domain}", "local")
            .unwrap()
            .name_of("go.micro.greeter");
        assert_eq!(dotted.unwrap().to_string(), "_go.micro.greeter._tcp.local.");
    }

    #[test]
    fn a_pattern_that_makes_no_name_is_refused() {
        let long = format!("{{service}}.{}", "x".repeat(64));
        for text in [
            "",
            "_tcp.local",
            "{service}.{service}",
            "{service}..x",
            ".{service}",
            "{service}.{zone}",
            &long,
        ] {
            let error = pattern(text, "local").unwrap_err();
            assert!(error.detail().contains("pattern"), "{error}");
        }
    }

    #[test]
    fn a_name_that_dns_cannot_carry_is_not_found() {
        let pattern = pattern("_{service}._tcp.{domain}", "local").unwrap();
        for service in ["dot.", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
            let error = pattern.name_of(service).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.detail().contains("DNS name"), "{error}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(as_address("greeter:8080"), Some(("greeter", 8080)));
        assert_eq!(as_address("[::1]:80"), Some(("::1", 80)));
        for service in [
            "greeter",
            "greeter:",
            ":80",
            "greeter:0",
            "greeter:http",
            "greeter:99999",
        ] {
            assert_eq!(as_address(service), None);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_asked_for_or_not_found(service in ".{0,300}") {
            let pattern = pattern("_{service}._tcp.{domain}", "local").unwrap();
            if let Err(error) = pattern.name_of(&service) {
                prop_assert_eq!(error.kind(), ErrorKind::NotFound);
            }
            let _ = as_address(&service);
        }
    }
}
