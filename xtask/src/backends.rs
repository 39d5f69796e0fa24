//! `cargo xtask backends`: the real servers that plugins are tested against.

mod compose;
mod debian;
mod down;
mod golang;
mod home;
mod probe;
mod process;
mod programs;
mod record;
mod servers;
mod site;
mod status;
mod table;
mod up;

use crate::steps;
pub(crate) use golang::command as go;
use home::Home;
pub(crate) use table::services;

pub(crate) const HELP: &str = "\
Start, stop and show the real servers that plugins are tested against

Usage: cargo xtask backends up [names]
       cargo xtask backends down [names]
       cargo xtask backends status [names]

Without names it is about all of them: etcd, consul, zookeeper, kubernetes (its API server), toxiproxy, nats,
rabbitmq, redis, kafka and nsq.

`up` takes, for each name, the first way that works:
  1. a server that already answers at its port is used as it is
  2. where a docker engine runs, the official image of docker-compose.yml
  3. the server is installed and started here: from Debian's packages (as root), or built from source by Go
     from the versions and checksums in xtask/backends/

consul and kubernetes take some minutes of building the first time. All servers listen on 127.0.0.1 alone. Their
programs, data and logs are under target/backends, or where MICRO_BACKENDS_HOME says.

`down` stops what `up` started and nothing else. `status` ends with an error if a server that was named is down.

Examples:
  cargo xtask backends up etcd             one server
  cargo xtask backends up etcd consul      two of them
  cargo xtask backends status              what runs, where, and how it came to run
  cargo xtask backends down                stop all that `up` started
";

/// Does what the arguments ask for.
///
/// # Errors
///
/// Fails on unknown words, and if a server that was asked for cannot be started, stopped or reached.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let wants_help = arguments.iter().any(|word| word == "-h" || word == "--help");
    let (false, Some((verb, names))) = (wants_help, arguments.split_first()) else {
        print!("{HELP}");
        return Ok(());
    };
    let work: fn(&Home, &[String]) -> Result<(), String> = match verb.as_str() {
        "up" => up::run,
        "down" => down::run,
        "status" => status::run,
        _ => {
            return Err(format!(
                "`cargo xtask backends` knows up, down and status, but got {verb:?}; see `cargo xtask backends --help`"
            ));
        }
    };
    work(&Home::open()?, names)
}

/// Has the servers that the tests need running, as `up` would.
///
/// Where they must be had, because `CI` or `MICRO_REQUIRE_BACKENDS` is set, one that cannot be had is an error, else a
/// warning.
///
/// # Errors
///
/// Names the servers that must be had and cannot be, with the reasons.
pub(crate) fn prepare(names: &[&str]) -> Result<(), String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let is_required = is_required(|variable| std::env::var(variable).ok());
    let prepared = Home::open().and_then(|home| {
        up::run(&home, &names)?;
        // A server that was found, or that docker runs, leaves no program behind for tests that start their own.
        if is_required {
            up::install(&home, &names)
        } else {
            Ok(())
        }
    });
    let Err(message) = prepared else {
        return Ok(());
    };
    if is_required {
        return Err(message);
    }
    steps::warned(&format!(
        "{message}\ntests against these servers cannot pass; set MICRO_REQUIRE_BACKENDS=1 to make this an error"
    ));
    Ok(())
}

fn is_required(variable: impl Fn(&str) -> Option<String>) -> bool {
    ["CI", "MICRO_REQUIRE_BACKENDS"]
        .into_iter()
        .filter_map(variable)
        .any(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_required_where_either_variable_says_so() {
        let only = |wanted: &'static str, value: &'static str| {
            move |name: &str| (name == wanted).then(|| value.to_owned())
        };
        assert!(is_required(only("CI", "true")));
        assert!(is_required(only("MICRO_REQUIRE_BACKENDS", "1")));
        assert!(!is_required(only("MICRO_REQUIRE_BACKENDS", "0")));
        assert!(!is_required(only("CI", "")));
        assert!(!is_required(|_| None));
    }

    #[test]
    fn an_unknown_verb_is_refused_by_name() {
        assert!(run(&["start".to_owned()]).unwrap_err().contains("\"start\""));
    }

    #[test]
    fn the_help_names_every_server() {
        for backend in table::ALL {
            assert!(HELP.contains(backend.name), "{} is missing", backend.name);
        }
    }
}
