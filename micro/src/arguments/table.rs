//! All flags of the framework, with their variables and defaults. Parsing, help and documentation follow from here.

use super::Argument;

const SERVICE: &str = "Service";
const REGISTRY: &str = "Registry";
const TRANSPORT: &str = "Transport";
const CLIENT: &str = "Client";
const BROKER: &str = "Broker";
const PROCESS: &str = "Process";

const fn flag(
    name: &'static str,
    variable: &'static str,
    value: &'static str,
    help: &'static str,
) -> Argument {
    Argument::flag(name, help).variable(variable).value_name(value)
}

const fn list(
    name: &'static str,
    variable: &'static str,
    value: &'static str,
    help: &'static str,
) -> Argument {
    Argument::list(name, help).variable(variable).value_name(value)
}

/// In the order of the help.
pub(super) const FLAGS: &[Argument] = &[
    flag(
        "server_name",
        "MICRO_SERVER_NAME",
        "NAME",
        "The name that callers use, in place of the program's own",
    )
    .group(SERVICE),
    flag(
        "server_version",
        "MICRO_SERVER_VERSION",
        "VERSION",
        "The version that is registered; a program that states none is `latest`",
    )
    .group(SERVICE),
    flag(
        "server_id",
        "MICRO_SERVER_ID",
        "ID",
        "Tells this node from others of its name; a random one by default",
    )
    .group(SERVICE),
    flag(
        "server_address",
        "MICRO_SERVER_ADDRESS",
        "ADDRESS",
        "Where to listen; port 0 is any free one",
    )
    .default(":0")
    .group(SERVICE),
    flag(
        "server_advertise",
        "MICRO_SERVER_ADVERTISE",
        "ADDRESS",
        "What to register in place of the listening address: host or host:port",
    )
    .group(SERVICE),
    list(
        "server_metadata",
        "MICRO_SERVER_METADATA",
        "KEY=VALUE",
        "Labels of the node",
    )
    .group(SERVICE),
    flag(
        "server_rate_limit",
        "MICRO_SERVER_RATE_LIMIT",
        "NUMBER",
        "How many calls a second are taken on; those beyond are refused with 429; 0 is no limit",
    )
    .default("0")
    .group(SERVICE),
    flag(
        "server_rate_burst",
        "MICRO_SERVER_RATE_BURST",
        "NUMBER",
        "How many of them may come at once; 0 is as many as in a second",
    )
    .default("0")
    .group(SERVICE),
    flag(
        "server_concurrency_limit",
        "MICRO_SERVER_CONCURRENCY_LIMIT",
        "NUMBER",
        "How many calls may run at the same time; those beyond are refused with 429; 0 is no limit",
    )
    .default("0")
    .group(SERVICE),
    flag(
        "server_notice",
        "MICRO_SERVER_NOTICE",
        "DURATION",
        "How long a stopping service serves on after it has left the registry, so that callers can notice",
    )
    .default("500ms")
    .group(SERVICE),
    flag(
        "server_grace",
        "MICRO_SERVER_GRACE",
        "DURATION",
        "How long running calls may take to end after that; then they are cut off",
    )
    .default("10s")
    .group(SERVICE),
    flag(
        "server",
        "MICRO_SERVER",
        "NAME",
        "How to serve; there is only one way",
    )
    .default("rpc")
    .group(SERVICE),
    flag(
        "registry",
        "MICRO_REGISTRY",
        "NAME",
        "Where services find each other; to move between registries name several, separated by commas",
    )
    .group(REGISTRY),
    list(
        "registry_address",
        "MICRO_REGISTRY_ADDRESS",
        "ADDRESS",
        "Where the registry is: its servers, or for gossip any members, as HOST:PORT; for mdns the interfaces to use, \
         such as lo or eth0:5353; of several registries each as NAME=ADDRESS",
    )
    .group(REGISTRY),
    flag(
        "register_ttl",
        "MICRO_REGISTER_TTL",
        "SECONDS",
        "How long a record lives when its process dies; a duration such as 1m30s will do, too",
    )
    .default("60")
    .group(REGISTRY),
    flag(
        "register_interval",
        "MICRO_REGISTER_INTERVAL",
        "SECONDS",
        "How often the record is refreshed; at most half of a shorter register_ttl unless given",
    )
    .default("30")
    .group(REGISTRY),
    Argument::switch(
        "start_without_registry",
        "Start while the registry is away, and register when it is back",
    )
    .variable("MICRO_START_WITHOUT_REGISTRY")
    .group(REGISTRY),
    flag("transport", "MICRO_TRANSPORT", "NAME", "How requests travel")
        .default("http")
        .group(TRANSPORT),
    list(
        "transport_address",
        "MICRO_TRANSPORT_ADDRESS",
        "ADDRESS",
        "Where the transport's own server is, if it needs one",
    )
    .group(TRANSPORT),
    flag(
        "tls_cert",
        "MICRO_TLS_CERT",
        "FILE",
        "The certificate that this side shows, then those up to its authority (PEM)",
    )
    .group(TRANSPORT),
    flag(
        "tls_key",
        "MICRO_TLS_KEY",
        "FILE",
        "The certificate's key, unencrypted (PEM)",
    )
    .group(TRANSPORT),
    flag(
        "tls_ca",
        "MICRO_TLS_CA",
        "FILE",
        "The authorities whose servers are believed when calling (PEM)",
    )
    .group(TRANSPORT),
    flag(
        "tls_client_ca",
        "MICRO_TLS_CLIENT_CA",
        "FILE",
        "Refuse callers without a certificate of these authorities (PEM)",
    )
    .group(TRANSPORT),
    flag(
        "tls_server_name",
        "MICRO_TLS_SERVER_NAME",
        "NAME",
        "The name that servers must prove when calling, if not the host of their address",
    )
    .group(TRANSPORT),
    flag(
        "selector",
        "MICRO_SELECTOR",
        "NAME",
        "How calls choose among nodes",
    )
    .default("random")
    .group(CLIENT),
    flag(
        "client_request_timeout",
        "MICRO_CLIENT_REQUEST_TIMEOUT",
        "DURATION",
        "How long a call may take, all attempts together",
    )
    .default("30s")
    .group(CLIENT),
    flag(
        "client_dial_timeout",
        "MICRO_CLIENT_DIAL_TIMEOUT",
        "DURATION",
        "How long connecting to a node may take before another is tried; left to the transport by default",
    )
    .group(CLIENT),
    flag(
        "client_retries",
        "MICRO_CLIENT_RETRIES",
        "NUMBER",
        "How many attempts beyond the first, where repeating is safe",
    )
    .default("5")
    .group(CLIENT),
    flag(
        "client_pool_size",
        "MICRO_CLIENT_POOL_SIZE",
        "NUMBER",
        "How many idle connections are kept to each node; 0 leaves it to the transport",
    )
    .default("0")
    .group(CLIENT),
    flag(
        "client_pool_ttl",
        "MICRO_CLIENT_POOL_TTL",
        "DURATION",
        "How old a connection may become, and how long be idle; left to the transport by default",
    )
    .group(CLIENT),
    flag(
        "client",
        "MICRO_CLIENT",
        "NAME",
        "How to call; there is only one way",
    )
    .default("rpc")
    .group(CLIENT),
    flag("broker", "MICRO_BROKER", "NAME", "How events travel")
        .default("http")
        .group(BROKER),
    list(
        "broker_address",
        "MICRO_BROKER_ADDRESS",
        "ADDRESS",
        "Where the broker is; for http where to listen for events, 127.0.0.1:0 unless given",
    )
    .group(BROKER),
    #[cfg(feature = "config")]
    list(
        super::CONFIG,
        "MICRO_CONFIG",
        "SOURCE",
        "Where configuration is read from and followed, the later over the earlier, each as KIND:WHAT, a file also as its \
         path; `optional:` before one that may be missing",
    )
    .group(PROCESS),
    flag(
        "profile",
        "MICRO_PROFILE",
        "NAME",
        "Chooses several plugins at once; flags and variables for single ones win",
    )
    .group(PROCESS),
    flag(
        "log_level",
        "MICRO_LOG_LEVEL",
        "LEVEL",
        "What to log to standard error: error, warn, info, debug, trace, or by module: info,micro_core=debug",
    )
    .default("info")
    .group(PROCESS),
];

/// Names for the only client and the only server.
pub(super) const RPC: &[&str] = &["rpc", "mucp"];
/// The name of Go Micro's other client and server, which is a transport here.
pub(super) const GRPC: &str = "grpc";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_flag_has_its_variable_and_its_group() {
        let mut seen = HashSet::new();
        for argument in FLAGS {
            assert!(seen.insert(argument.name), "{} is there twice", argument.name);
            let variable = format!("MICRO_{}", argument.name.to_uppercase());
            assert_eq!(argument.variable, Some(&*variable));
            assert!(argument.group.is_some() && !argument.help.is_empty());
        }
    }
}
