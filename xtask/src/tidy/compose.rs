//! What holds for the servers in `docker-compose.yml`.

use std::fs;
use std::path::Path;

const FILE: &str = "docker-compose.yml";
const LOOPBACK: &str = "127.0.0.1";

/// A service, as far as the rules are about it.
#[derive(Default)]
struct Service {
    name: String,
    image: String,
    ports: Vec<String>,
    has_health_check: bool,
    is_on_host_network: bool,
    command: String,
}

/// Ports that others can reach, images without a version, services without a health check, and a list of services that
/// is not that of `cargo xtask backends`.
///
/// # Errors
///
/// Fails if the file cannot be read.
pub(super) fn complaints(root: &Path, known: &[&str]) -> Result<Vec<String>, String> {
    let text =
        fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE} cannot be read: {error}"))?;
    Ok(complaints_about(&services(&text), known))
}

fn complaints_about(services: &[Service], known: &[&str]) -> Vec<String> {
    let mut complaints: Vec<_> = services
        .iter()
        .flat_map(|service| {
            let complaint = |text: String| format!("{FILE}: {} {text}", service.name);
            problems(service, known).into_iter().map(complaint)
        })
        .collect();
    for name in known {
        if !services.iter().any(|service| service.name == *name) {
            complaints.push(format!(
                "{FILE}: lacks the service {name} that `cargo xtask backends` starts"
            ));
        }
    }
    complaints
}

fn problems(service: &Service, known: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    if !known.contains(&service.name.as_str()) {
        problems.push("is not in the table of `cargo xtask backends`: add it there".to_owned());
    }
    if !is_pinned(&service.image) {
        problems.push(format!("has the image {:?}: name a version", service.image));
    }
    if !service.has_health_check {
        problems.push("has no healthcheck: say how to tell that it serves".to_owned());
    }
    for port in &service.ports {
        if !port.starts_with("127.0.0.1:") {
            problems.push(format!(
                "offers the port {port:?} to everybody: begin it with {LOOPBACK}:"
            ));
        }
    }
    if service.ports.is_empty() && !service.is_on_host_network {
        problems.push("has no ports, so that no test can reach it".to_owned());
    }
    if service.is_on_host_network && !service.command.contains(LOOPBACK) {
        problems.push(format!(
            "is on the host's network: let its command bind {LOOPBACK}"
        ));
    }
    problems
}

/// Whether an image's tag holds a version and not only `latest` or a major.
fn is_pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split_once(':').is_some_and(|(_, tag)| {
        let is_number = |part: &str| part.chars().next().is_some_and(|first| first.is_ascii_digit());
        tag.trim_start_matches('v')
            .split('.')
            .filter(|part| is_number(part))
            .count()
            >= 3
    })
}

/// Reads the services of a file that is laid out as ours is: two spaces for each level, comments on lines of their own.
fn services(text: &str) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    let mut section = "";
    let mut key = "";
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        if depth == 0 {
            section = content;
        } else if section == "services:" && depth == 2 {
            let name = content.trim_end_matches(':').to_owned();
            services.push(Service {
                name,
                ..Service::default()
            });
        } else if let (Some(service), "services:") = (services.last_mut(), section) {
            let value = if depth == 4 {
                let (name, value) = content.split_once(':').unwrap_or((content, ""));
                key = name;
                value
            } else {
                content.trim_start_matches("- ")
            };
            service.take(key, unquoted(value));
        }
    }
    services
}

impl Service {
    fn take(&mut self, key: &str, value: &str) {
        match key {
            "image" => self.image = value.to_owned(),
            "ports" if !value.is_empty() => self.ports.push(value.to_owned()),
            "healthcheck" => self.has_health_check |= value.starts_with("test:"),
            "network_mode" => self.is_on_host_network = value == "host",
            "command" => self.command.push_str(value),
            _ => {}
        }
    }
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Servers.\nservices:\n  etcd:\n    image: quay.io/coreos/etcd:v3.5.21\n    ports:\n      \
                        - \"127.0.0.1:2379:2379\"\n    healthcheck:\n      test: [\"CMD\", \"etcdctl\"]\n";

    fn about(text: &str) -> Vec<String> {
        complaints_about(&services(text), &["etcd"])
    }

    #[track_caller]
    fn assert_one(text: &str, word: &str) {
        let complaints = about(text);
        assert!(
            complaints.len() == 1 && complaints[0].contains(word),
            "{complaints:?}"
        );
    }

    #[test]
    fn a_service_that_keeps_to_the_rules_is_fine() {
        assert!(about(GOOD).is_empty(), "{:?}", about(GOOD));
    }

    #[test]
    fn each_broken_rule_is_a_complaint_of_its_own() {
        assert_one(&GOOD.replace("127.0.0.1:2379", "2379"), "to everybody");
        assert_one(&GOOD.replace("127.0.0.1:2379", "0.0.0.0:2379"), "to everybody");
        assert_one(&GOOD.replace("v3.5.21", "latest"), "name a version");
        assert_one(&GOOD.replace(":v3.5.21", ""), "name a version");
        assert_one(&GOOD.replace("healthcheck", "labels"), "no healthcheck");
        assert_one(&GOOD.replace("test:", "interval:"), "no healthcheck");
        assert_one(&GOOD.replace("ports", "expose"), "no ports");
    }

    #[test]
    fn services_and_the_table_are_the_same() {
        assert_one("services:\n", "lacks the service etcd");
        let (_, service) = GOOD.split_once("services:\n").unwrap();
        assert_one(
            &format!("{GOOD}{}", service.replace("  etcd:", "  other:")),
            "not in the table",
        );
    }

    #[test]
    fn the_hosts_network_needs_a_command_that_binds_loopback() {
        let host = GOOD.replace(
            "    ports:\n      - \"127.0.0.1:2379:2379\"\n",
            "    network_mode: host\n",
        );
        assert_one(&host, "bind 127.0.0.1");
        let bound = host.replace(
            "network_mode: host\n",
            "network_mode: host\n    command: [\"-host=127.0.0.1\"]\n",
        );
        assert!(about(&bound).is_empty(), "{:?}", about(&bound));
    }

    #[test]
    fn a_version_has_three_numbers() {
        assert!(is_pinned("redis:7.2.7-alpine") && is_pinned("rabbitmq:3.13.7-management"));
        assert!(!is_pinned("redis") && !is_pinned("redis:7") && !is_pinned("redis:alpine"));
        assert!(!is_pinned("localhost:5000/redis"));
    }
}
