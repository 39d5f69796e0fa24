//! The table of servers: all that `up`, `down` and `status` know about each.

use std::process::Command;

use super::home::Home;
use super::servers::{consul, etcd, kafka, kubernetes, nats, nsq, rabbitmq, redis, toxiproxy, zookeeper};
use super::site::Site;

/// A server that plugins are tested against.
pub(super) struct Backend {
    pub(super) name: &'static str,
    /// Where clients reach it.
    pub(super) address: &'static str,
    /// The servers that it needs itself.
    pub(super) needs: &'static [&'static str],
    /// Its services in `docker-compose.yml`; none if it has no image to use.
    pub(super) services: &'static [&'static str],
    /// Asks it whether it serves, and for its version, which is empty if it does not tell.
    pub(super) probe: fn(&Home) -> Result<String, String>,
    /// Installs it, writes its configuration, and says which commands start it, in that order.
    pub(super) install: fn(&Site<'_>) -> Result<Vec<Command>, String>,
}

/// In the order of their start: what others need comes before them.
pub(super) const ALL: &[Backend] = &[
    etcd::BACKEND,
    consul::BACKEND,
    zookeeper::BACKEND,
    kubernetes::BACKEND,
    toxiproxy::BACKEND,
    nats::BACKEND,
    rabbitmq::BACKEND,
    redis::BACKEND,
    kafka::BACKEND,
    nsq::BACKEND,
];

/// The services that `docker-compose.yml` has to have.
pub(crate) fn services() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|backend| backend.services.iter().copied())
}

/// The named servers in the order of the table; all of them if none is named.
///
/// # Errors
///
/// Fails if a name is not in the table, and says which are.
pub(super) fn chosen(names: &[String]) -> Result<Vec<&'static Backend>, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !ALL.iter().any(|backend| backend.name == *name))
    {
        let known: Vec<_> = ALL.iter().map(|backend| backend.name).collect();
        return Err(format!(
            "there is no server {unknown:?}; there are {}",
            known.join(", ")
        ));
    }
    let is_chosen = |backend: &&Backend| names.is_empty() || names.iter().any(|name| name == backend.name);
    Ok(ALL.iter().filter(is_chosen).collect())
}

/// The given servers and all that they need, in the order of the table.
pub(super) fn with_what_they_need(chosen: &[&'static Backend]) -> Vec<&'static Backend> {
    let is_needed = |backend: &&Backend| {
        chosen
            .iter()
            .any(|other| other.name == backend.name || other.needs.contains(&backend.name))
    };
    ALL.iter().filter(is_needed).collect()
}

/// The given servers and all that need them, in the order of the table.
pub(super) fn with_what_needs_them(chosen: &[&'static Backend]) -> Vec<&'static Backend> {
    let needs_one = |backend: &&Backend| {
        chosen
            .iter()
            .any(|other| other.name == backend.name || backend.needs.contains(&other.name))
    };
    ALL.iter().filter(needs_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn names(backends: &[&Backend]) -> Vec<&'static str> {
        backends.iter().map(|backend| backend.name).collect()
    }

    fn choose(names: &[&str]) -> Vec<&'static Backend> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        chosen(&names).unwrap()
    }

    #[test]
    fn no_name_means_all_of_them() {
        assert_eq!(choose(&[]).len(), ALL.len());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = chosen(&["ectd".to_owned()]).err().unwrap();
        assert!(
            error.contains("\"ectd\"") && error.contains("etcd, consul"),
            "{error}"
        );
    }

    #[test]
    fn what_is_needed_starts_first_and_goes_with_it() {
        assert_eq!(
            names(&with_what_they_need(&choose(&["kubernetes"]))),
            ["etcd", "kubernetes"]
        );
        assert_eq!(names(&with_what_they_need(&choose(&["consul"]))), ["consul"]);
        assert_eq!(
            names(&with_what_needs_them(&choose(&["etcd"]))),
            ["etcd", "kubernetes"]
        );
        assert_eq!(
            names(&with_what_needs_them(&choose(&["kubernetes"]))),
            ["kubernetes"]
        );
    }

    #[test]
    fn names_addresses_and_services_are_unique_and_on_loopback() {
        let mut seen = HashSet::new();
        for backend in ALL {
            assert!(backend.address.starts_with("127.0.0.1:"), "{}", backend.address);
            assert!(
                seen.insert(backend.name) && seen.insert(backend.address),
                "{}",
                backend.name
            );
        }
        let all: Vec<_> = services().collect();
        assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
    }

    #[test]
    fn what_is_needed_comes_earlier_and_needs_nothing_itself() {
        for (position, backend) in ALL.iter().enumerate() {
            for needed in backend.needs {
                let earlier = ALL[..position].iter().find(|other| other.name == *needed);
                assert!(earlier.is_some_and(|other| other.needs.is_empty()), "{needed}");
            }
        }
    }
}
