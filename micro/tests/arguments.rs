//! What flags and variables do, what errors say, and which of them wins.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use micro::arguments::{Exit, PluginChoice};
#[cfg(target_os = "linux")]
use micro::client::CallOptions;
use micro::prelude::*;
use micro::registry::MemoryRegistry;
use micro::selector::{RoundRobin, Strategy};
use micro::{ErrorKind, Settings};
#[cfg(target_os = "linux")]
use tokio::net::{TcpSocket, TcpStream};
#[cfg(target_os = "linux")]
use tokio::time::timeout;

const NOTHING: [(&str, &str); 0] = [];
const NO_WORDS: [&str; 0] = [];

fn given(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Exit> {
    let arguments = Arguments::new("greeter");
    arguments.parse_from(words.iter().copied(), environment.iter().copied())
}

fn error(words: &[&str], environment: &[(&str, &str)]) -> String {
    let exit = given(words, environment).unwrap_err();
    assert_eq!(exit.code(), 2, "{exit}");
    exit.to_string()
}

/// A flag, a value, another value, and what shows in the settings.
type Case = (&'static str, &'static str, &'static str, fn(&Settings) -> String);

const CASES: &[Case] = &[
    ("server_name", "a", "b", |settings| settings.service.name.clone()),
    ("server_version", "1", "2", |settings| {
        settings.service.version.clone()
    }),
    ("server_id", "a", "b", |settings| settings.service.id.clone()),
    ("server_address", ":1", ":2", |settings| {
        settings.service.address.clone()
    }),
    ("server_advertise", "a:1", "b:1", |settings| {
        settings.service.advertise.clone().unwrap()
    }),
    ("server_metadata", "a=1,b=2=3", "c=", |settings| {
        let pairs = settings.service.metadata.iter();
        pairs
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",")
    }),
    ("server", "rpc", "mucp", |settings| {
        settings.value("server").unwrap().to_owned()
    }),
    ("client", "rpc", "mucp", |settings| {
        settings.value("client").unwrap().to_owned()
    }),
    ("registry", "memory", "other", |settings| {
        settings.registry.name.clone()
    }),
    ("registry_address", "a:1,b:2", "c:3", |settings| {
        settings.registry.addresses.join(",")
    }),
    ("register_ttl", "90s", "7s", |settings| {
        format!("{:?}", settings.service.registration.ttl)
    }),
    ("register_interval", "5s", "7s", |settings| {
        format!("{:?}", settings.service.registration.interval)
    }),
    ("start_without_registry", "true", "false", |settings| {
        settings.service.registration.start_without_registry.to_string()
    }),
    ("transport", "memory", "http", |settings| {
        settings.transport.name.clone()
    }),
    ("transport_address", "a:1,b:2", "c:3", |settings| {
        settings.transport.addresses.join(",")
    }),
    ("selector", "p2c", "hash", |settings| {
        settings.strategy.name().to_owned()
    }),
    ("client_request_timeout", "500ms", "2s", |settings| {
        format!("{:?}", settings.client.request_timeout)
    }),
    ("client_retries", "0", "7", |settings| {
        settings.client.retry.retries.to_string()
    }),
    ("server_rate_limit", "0.5", "1000", |settings| {
        settings.limits.rate.unwrap().per_second().to_string()
    }),
    ("server_concurrency_limit", "7", "8", |settings| {
        settings.limits.concurrency.unwrap().to_string()
    }),
    ("server_notice", "3s", "4s", |settings| {
        format!("{:?}", settings.service.notice)
    }),
    ("server_grace", "5s", "6s", |settings| {
        format!("{:?}", settings.service.grace)
    }),
    ("client_pool_size", "3", "4", |settings| {
        settings.pool_size.unwrap().to_string()
    }),
    ("client_pool_ttl", "3s", "4s", |settings| {
        format!("{:?}", settings.pool_ttl.unwrap())
    }),
    ("client_dial_timeout", "300ms", "2s", |settings| {
        format!("{:?}", settings.dial_timeout.unwrap())
    }),
    ("broker", "memory", "http", |settings| {
        settings.broker.name.clone()
    }),
    ("log_level", "debug", "warn", |settings| {
        settings.log_level.clone()
    }),
    ("profile", "one", "two", |settings| {
        settings.value("profile").unwrap().to_owned()
    }),
];

fn other_plugins() -> Plugins {
    Plugins::builtin()
        .registry("other", |_| async { Ok(Arc::new(MemoryRegistry::new()) as _) })
        .profile("one", &[])
        .profile("two", &[])
}

fn read(words: &[String], environment: &[(String, String)]) -> Settings {
    let arguments = Arguments::new("greeter").plugins(other_plugins());
    arguments.parse_from(words, environment.iter().cloned()).unwrap()
}

#[test]
fn every_flag_is_read_in_all_its_spellings() {
    for (flag, value, _, shown) in CASES {
        let dashed = flag.replace('_', "-");
        let mut spellings = vec![
            vec![format!("--{flag}={value}")],
            vec![format!("--{dashed}={value}")],
        ];
        if *flag != "start_without_registry" {
            spellings.push(vec![format!("--{flag}"), (*value).to_owned()]);
            spellings.push(vec![format!("--{dashed}"), (*value).to_owned()]);
        }
        for words in spellings {
            assert_eq!(shown(&read(&words, &[])), *value, "{words:?}");
        }
    }
}

#[test]
fn limits_are_none_unless_stated_and_a_burst_is_that_of_a_rate() {
    let none = given(&["--server_rate_limit=0", "--server_concurrency_limit=0"], &[]).unwrap();
    assert_eq!(none.limits, given(&[], &[]).unwrap().limits);
    assert_eq!((none.limits.rate, none.limits.concurrency), (None, None));
    let burst = |words: &[&str]| given(words, &[]).unwrap().limits.rate.map(|rate| rate.burst());
    assert_eq!(burst(&["--server_rate_limit=1000"]), Some(1000));
    assert_eq!(
        burst(&["--server-rate-limit=1e3", "--server-rate-burst=20"]),
        Some(20)
    );
    assert_eq!(
        burst(&["--server_rate_limit=10", "--server_rate_burst=0"]),
        Some(10)
    );
    let idle = given(&["--server_rate_burst=20"], &[]).unwrap();
    assert_eq!(idle.limits.rate, None);
    assert_eq!(
        idle.warnings,
        ["--server_rate_burst: it has no effect without server_rate_limit, which is not set"]
    );
}

#[test]
fn a_flag_wins_over_its_variable_and_an_empty_value_is_none() {
    for (flag, value, other, shown) in CASES {
        let variable = |value: &str| vec![(format!("MICRO_{}", flag.to_uppercase()), value.to_owned())];
        let word = |value: &str| vec![format!("--{flag}={value}")];
        assert_eq!(shown(&read(&[], &variable(value))), *value, "{flag} by variable");
        assert_eq!(
            shown(&read(&word(other), &variable(value))),
            *other,
            "{flag} by flag"
        );
        assert_eq!(shown(&read(&word(""), &variable(value))), *value, "{flag} empty");
        assert_eq!(
            shown(&read(&word(value), &variable(""))),
            *value,
            "{flag}'s variable empty"
        );
    }
}

#[test]
fn the_defaults_are_those_of_the_core() {
    let settings = given(&[], &[]).unwrap();
    let service = micro::service::ServiceOptions::new("greeter");
    assert_eq!(settings.service.registration, service.registration);
    assert_eq!(
        (&settings.service.name, &settings.service.version),
        (&service.name, &service.version)
    );
    assert_eq!(settings.service.address, service.address);
    assert_eq!(settings.client, micro::client::ClientOptions::default());
    let registry = if cfg!(feature = "mdns") { "mdns" } else { "memory" };
    assert_eq!(settings.registry.name, registry);
    assert_eq!(
        settings.transport,
        PluginChoice {
            name: "http".into(),
            addresses: vec![]
        }
    );
    assert_eq!(settings.strategy.name(), "random");
    assert_eq!((settings.pool_size, settings.pool_ttl), (None, None));
    assert_eq!(settings.tls, micro::arguments::TlsFiles::default());
    assert_eq!(settings.log_level, "info");
    assert_eq!(settings.warnings, NO_WORDS);
    assert_eq!(settings.broker.name, "http");
}

#[test]
fn lists_may_be_repeated_and_other_flags_take_the_last() {
    let words = [
        "--registry_address=a",
        "--registry-address",
        "b, c",
        "--selector=p2c",
        "--selector=hash",
    ];
    let settings = given(&words, &[]).unwrap();
    assert_eq!(settings.registry.addresses, ["a", "b", "c"]);
    assert_eq!(settings.strategy.name(), "hash");
    let settings = given(
        &["--server_metadata=zone=a=b", "--server_metadata=rack=1,zone=c"],
        &[],
    )
    .unwrap();
    let pairs = [
        ("zone".to_owned(), "c".to_owned()),
        ("rack".to_owned(), "1".to_owned()),
    ];
    assert_eq!(settings.service.metadata, pairs);
}

#[test]
fn a_switch_needs_no_value() {
    let settings = given(&["--start-without-registry"], &[]).unwrap();
    assert!(settings.service.registration.start_without_registry);
    let settings = given(
        &["--start_without_registry=false"],
        &[("MICRO_START_WITHOUT_REGISTRY", "1")],
    )
    .unwrap();
    assert!(!settings.service.registration.start_without_registry);
}

#[test]
fn numbers_of_registering_are_seconds() {
    let settings = given(&["--register_ttl=20"], &[]).unwrap();
    let registration = settings.service.registration;
    assert_eq!(
        (registration.ttl, registration.interval),
        (Duration::from_secs(20), Duration::from_secs(10))
    );
    let refused = given(&["--register_ttl=20", "--register_interval=30"], &[]).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("--register_interval: 30s is not shorter than the time to live, 20s")
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
    for (words, environment, message) in [
        (
            vec!["--registry=pigeon"],
            vec![],
            "--registry: no registry is called \"pigeon\"; this program has: ",
        ),
        (
            vec![],
            vec![("MICRO_REGISTRY", "pigeon")],
            "the variable MICRO_REGISTRY: no registry is called \"pigeon\"",
        ),
        (
            vec!["--transport=pigeon"],
            vec![],
            "--transport: no transport is called \"pigeon\"; this program has: ",
        ),
        (
            vec!["--selector=best"],
            vec![],
            "no selector is called \"best\"; this program has: hash, p2c, random, roundrobin",
        ),
        (
            vec!["--profile=pigeon"],
            vec![],
            "--profile: no profile is called \"pigeon\"",
        ),
        (
            vec!["--broker=pigeon"],
            vec![],
            "--broker: no broker is called \"pigeon\"; this program has: http, memory",
        ),
        (
            vec!["--client_retries=-1"],
            vec![],
            "--client_retries: \"-1\" is no whole number",
        ),
        (
            vec!["--client_retries", "-1"],
            vec![],
            "--client_retries: \"-1\" is no whole number",
        ),
        (
            vec!["--server_rate_limit=-1"],
            vec![],
            "--server_rate_limit: \"-1\" is no rate; write calls a second, such as 1000 or 0.5, or 0 for no limit",
        ),
        (
            vec!["--server_rate_limit=NaN"],
            vec![],
            "--server_rate_limit: \"NaN\" is no rate",
        ),
        (
            vec![],
            vec![("MICRO_SERVER_RATE_LIMIT", "1e300")],
            "the variable MICRO_SERVER_RATE_LIMIT: \"1e300\" is no rate",
        ),
        (
            vec!["--server_rate_limit=10", "--server_rate_burst=0.5"],
            vec![],
            "--server_rate_burst: \"0.5\" is no whole number",
        ),
        (
            vec!["--server_concurrency_limit=-1"],
            vec![],
            "--server_concurrency_limit: \"-1\" is no whole number",
        ),
        (
            vec!["--client_pool_size=many"],
            vec![],
            "--client_pool_size: \"many\" is no whole number",
        ),
        (
            vec![],
            vec![("MICRO_CLIENT_REQUEST_TIMEOUT", "5")],
            "the variable MICRO_CLIENT_REQUEST_TIMEOUT: \"5\" is no duration: a unit is missing",
        ),
        (
            vec!["--register_ttl=0"],
            vec![],
            "--register_ttl: \"0\" must be longer than 0",
        ),
        (
            vec!["--start_without_registry=perhaps"],
            vec![],
            "--start_without_registry: \"perhaps\" is neither true nor false",
        ),
        (
            vec!["--server_metadata=zone"],
            vec![],
            "--server_metadata: \"zone\" is no pair; write key=value",
        ),
        (vec!["--server_metadata==a"], vec![], "\"=a\" is no pair"),
        (
            vec!["--tls_cert=a"],
            vec![],
            "--tls_cert: needs --tls_key as well",
        ),
        (vec!["--tls_key=a"], vec![], "--tls_key: needs --tls_cert as well"),
        (
            vec!["--tls_client_ca=a"],
            vec![],
            "--tls_client_ca: needs --tls_cert as well",
        ),
        (
            vec!["--tls_server_name=a"],
            vec![],
            "--tls_server_name: needs --tls_ca as well",
        ),
        (
            vec!["--registri=mdns"],
            vec![],
            "a similar argument exists: '--registry'",
        ),
        (
            vec!["--server_name"],
            vec![],
            "a value is required for '--server_name <NAME>'",
        ),
        (vec!["Alice"], vec![], "unexpected argument 'Alice'"),
    ] {
        let text = error(&words, &environment);
        assert!(text.contains(message), "{words:?} {environment:?}: {text}");
        assert!(text.contains("--help"), "{text}");
    }
}

#[cfg(feature = "log")]
#[test]
fn a_wrong_log_level_is_told() {
    assert!(error(&["--log_level=loud"], &[]).contains("--log_level: \"loud\" is no level"));
}

#[cfg(not(feature = "mdns"))]
#[test]
fn a_plugin_that_is_not_linked_is_told_with_its_feature() {
    assert!(error(&["--registry=mdns"], &[]).contains("the feature \"mdns\" of the crate `micro`"));
    assert!(error(&["--profile=local"], &[]).contains("the feature \"mdns\" of the crate `micro`"));
}

#[test]
fn the_files_of_tls_are_read_from_flags_and_variables() {
    let words = ["--tls_cert=cert", "--tls-key=key", "--tls_server_name=name"];
    let environment = [
        ("MICRO_TLS_CERT", "other"),
        ("MICRO_TLS_CA", "ca"),
        ("MICRO_TLS_CLIENT_CA", "clients"),
    ];
    let files = micro::arguments::TlsFiles {
        certificate: Some("cert".into()),
        key: Some("key".into()),
        authorities: Some("ca".into()),
        client_authorities: Some("clients".into()),
        server_name: Some("name".into()),
    };
    assert_eq!(given(&words, &environment).unwrap().tls, files);
    let environment = [
        ("MICRO_TLS_CERT", "cert"),
        ("MICRO_TLS_KEY", "key"),
        ("MICRO_TLS_CA", "other"),
        ("MICRO_TLS_SERVER_NAME", "name"),
    ];
    let words = ["--tls-ca", "ca", "--tls-client-ca", "clients"];
    assert_eq!(given(&words, &environment).unwrap().tls, files);
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_is_a_transport_that_go_micros_words_choose_too() {
    let transport = |words: &[&str]| given(words, &[]).unwrap().transport.name;
    assert_eq!(transport(&["--transport=grpc"]), "grpc");
    assert_eq!(transport(&["--server=grpc"]), "grpc");
    assert_eq!(transport(&["--client=grpc", "--server=grpc"]), "grpc");
    assert_eq!(transport(&["--server=grpc", "--transport=http"]), "http");
    assert!(given(&["--server=grpc"], &[]).unwrap().warnings.is_empty());
}

#[cfg(not(feature = "grpc"))]
#[test]
fn what_has_no_effect_is_warned_of() {
    let environment = [
        ("MICRO_CLIENT", "grpc"),
        ("MICRO_SERVER", "grpc"),
        ("MICRO_NETWORK", "unknown, and others' business"),
    ];
    let settings = given(&[], &environment).unwrap();
    assert_eq!(settings.warnings.len(), 2, "{:?}", settings.warnings);
    assert!(settings.warnings[0].starts_with("the variable MICRO_SERVER: grpc is ignored"));
}

#[test]
fn a_profile_gives_way_to_flags_and_goes_before_defaults() {
    let plugins = Plugins::builtin().profile(
        "test",
        &[
            ("registry", "memory"),
            ("transport", "memory"),
            ("selector", "p2c"),
        ],
    );
    let arguments = Arguments::new("greeter")
        .plugins(plugins)
        .default_value("selector", "hash");
    let settings = arguments.parse_from(NO_WORDS, NOTHING).unwrap();
    assert_eq!(settings.strategy.name(), "hash");
    let settings = arguments
        .parse_from(["--transport=http"], [("MICRO_PROFILE", "test")])
        .unwrap();
    assert_eq!(
        (&*settings.registry.name, &*settings.transport.name),
        ("memory", "http")
    );
    assert_eq!(settings.strategy.name(), "p2c");
}

#[test]
fn a_program_has_arguments_of_its_own() {
    let arguments = Arguments::new("greeter-client")
        .version("1.2.3")
        .argument(Argument::positional("name", "Whom to greet").default("World"))
        .argument(Argument::rest("others", "And whom else"))
        .argument(Argument::flag("greeting", "How to greet").variable("GREETING"))
        .argument(Argument::list("colours", "In which colours"))
        .argument(Argument::switch("loudly", "How loud"));
    let settings = arguments.parse_from(NO_WORDS, NOTHING).unwrap();
    assert_eq!(settings.value("name"), Some("World"));
    assert_eq!(settings.value("greeting"), None);
    assert_eq!(settings.service.version, "1.2.3");
    let words = ["--colours=red,blue", "Alice", "--loudly", "Bob", "--", "--Carol"];
    let settings = arguments.parse_from(words, [("GREETING", "Hi")]).unwrap();
    assert_eq!(settings.value("name"), Some("Alice"));
    assert_eq!(settings.values("others"), ["Bob", "--Carol"]);
    assert_eq!(settings.value("greeting"), Some("Hi"));
    assert_eq!(settings.values("colours"), ["red", "blue"]);
    assert!(settings.is_on("loudly").unwrap());
    let exit = arguments.parse_from(["--version"], NOTHING).unwrap_err();
    assert_eq!(exit.code(), 0);
    assert!(
        exit.to_string().starts_with("greeter-client 1.2.3 (micro "),
        "{exit}"
    );
}

#[test]
fn what_is_required_may_come_from_a_variable() {
    let required = Argument::flag("token", "The token").variable("TOKEN").required();
    let arguments = Arguments::new("greeter").argument(required);
    assert!(arguments.parse_from(NO_WORDS, [("TOKEN", "x")]).is_ok());
    let exit = arguments.parse_from(NO_WORDS, NOTHING).unwrap_err();
    assert!(
        exit.to_string()
            .contains("--token or the variable TOKEN is required"),
        "{exit}"
    );
    let arguments = Arguments::new("greeter").argument(Argument::positional("name", "Whom").required());
    assert_eq!(arguments.parse_from(NO_WORDS, NOTHING).unwrap_err().code(), 2);
}

#[test]
fn a_program_that_contradicts_itself_is_told_and_does_not_panic() {
    let arguments = || Arguments::new("greeter");
    for (wrong, message) in [
        (
            arguments().argument(Argument::flag("registry", "")),
            "two arguments with the name registry",
        ),
        (
            arguments().argument(Argument::flag("log-level", "")),
            "two arguments with the name log-level",
        ),
        (
            arguments().argument(Argument::flag("help", "")),
            "two arguments with the name help",
        ),
        (arguments().argument(Argument::flag("", "")), "the name \"\""),
        (
            arguments().default_value("register_tll", "1"),
            "a default for \"register_tll\", which is no flag",
        ),
        (
            arguments().default_value("register_ttl", "never"),
            "the default of --register_ttl: \"never\" is no duration",
        ),
        (
            arguments()
                .argument(Argument::rest("a", ""))
                .argument(Argument::positional("b", "")),
            "nothing is left for its argument b",
        ),
        (
            arguments()
                .argument(Argument::positional("a", "").default("b"))
                .argument(Argument::positional("c", "").required()),
            "its argument c is required, but a before it is not",
        ),
        (
            arguments().plugins(Plugins::none()),
            "no registry is called \"\"; this program has: none",
        ),
    ] {
        let text = wrong.parse_from(NO_WORDS, NOTHING).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn bytes_that_are_no_text_are_told() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let bytes = || OsString::from_vec(vec![0xff]);
    let arguments = Arguments::new("greeter");
    let exit = arguments
        .parse_from(NO_WORDS, [(OsString::from("MICRO_SERVER_NAME"), bytes())])
        .unwrap_err();
    assert!(
        exit.to_string().contains("MICRO_SERVER_NAME is not valid UTF-8"),
        "{exit}"
    );
    assert!(
        arguments
            .parse_from(NO_WORDS, [(OsString::from("OTHER"), bytes())])
            .is_ok()
    );
    assert_eq!(arguments.parse_from([bytes()], NOTHING).unwrap_err().code(), 2);
}

#[tokio::test]
async fn services_of_one_table_find_each_other_in_memory() {
    let plugins = Plugins::builtin();
    let start = async |name: &str| {
        let arguments = Arguments::new(name).plugins(plugins.clone());
        let words = [
            "--registry=memory",
            "--transport=memory",
            "--server_metadata=zone=a",
        ];
        let settings = arguments.parse_from(words, NOTHING).unwrap();
        let mut builder = settings.service().await.unwrap();
        builder.options_mut().notice = Duration::from_millis(1);
        let who = name.to_owned();
        let endpoint = endpoint_fn("Who.Are", move |_: Context, (): ()| {
            let who = who.clone();
            async move { Ok(who) }
        });
        builder.handler(endpoint).build().unwrap().start().await.unwrap()
    };
    let (one, two) = (start("one").await, start("two").await);
    assert_eq!(two.record().nodes[0].metadata["zone"], "a");
    let answer: String = one.client().call_plain("two", "Who.Are", ()).await.unwrap();
    assert_eq!(answer, "two");
    let answer: String = two.client().call_plain("one", "Who.Are", ()).await.unwrap();
    assert_eq!(answer, "one");
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_gets_its_addresses_and_the_registry() {
    let plugins = Plugins::builtin().broker("mine", |arguments| async move {
        assert_eq!(arguments.addresses, ["a:1"]);
        assert_eq!(arguments.registry.unwrap().name(), "memory");
        Err(Error::unavailable("mine", "a:1 refuses connections"))
    });
    let arguments = Arguments::new("greeter").plugins(plugins);
    let words = ["--registry=memory", "--broker=mine", "--broker_address=a:1"];
    let settings = arguments.parse_from(words, NOTHING).unwrap();
    for error in [
        settings.service().await.unwrap_err(),
        settings.client().await.unwrap_err(),
    ] {
        assert_eq!(
            error.detail(),
            "cannot connect to the broker mine: a:1 refuses connections"
        );
    }
    let several = ["--registry=memory", "--broker_address=a:1,b:2"];
    let settings = arguments.parse_from(several, NOTHING).unwrap();
    let error = settings.service().await.unwrap_err();
    assert!(error.detail().contains("--broker_address"), "{error}");
}

#[tokio::test]
async fn a_plugin_gets_its_addresses_and_the_environment() {
    let plugins = Plugins::none()
        .registry("mine", |arguments| async move {
            assert_eq!(arguments.addresses, ["a:1", "b:2"]);
            assert_eq!(arguments.variable("MINE_PASSWORD"), Some("secret"));
            assert_eq!(arguments.variable("EMPTY"), None);
            assert!(!format!("{arguments:?}").contains("secret"));
            Err(Error::unavailable("mine", "a:1 refuses connections"))
        })
        .transport("http", |arguments| async move {
            assert_eq!(
                (arguments.pool_size, arguments.pool_ttl),
                (Some(3), Some(Duration::from_secs(60)))
            );
            Ok(Arc::new(micro::transport::MemoryTransport::new()) as _)
        })
        .broker("http", |_| async {
            Ok(Arc::new(micro::broker::MemoryBroker::new()) as _)
        })
        .strategy(Arc::new(Mine));
    let arguments = Arguments::new("greeter")
        .plugins(plugins)
        .default_value("selector", "mine");
    let words = [
        "--registry_address=a:1,b:2",
        "--client_pool_size=3",
        "--client_pool_ttl=1m",
    ];
    let settings = arguments
        .parse_from(words, [("MINE_PASSWORD", "secret"), ("EMPTY", "")])
        .unwrap();
    assert_eq!(settings.registry.name, "mine");
    assert!(!format!("{settings:?}").contains("secret"));
    let error = settings.service().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.detail(),
        "cannot connect to the registry mine: a:1 refuses connections"
    );
    assert!(settings.client().await.is_err());
}

struct Mine;

impl Strategy for Mine {
    fn name(&self) -> &str {
        "mine"
    }

    fn prepare(&self, nodes: &[Arc<micro::selector::Candidate>]) -> Box<dyn micro::selector::Picker> {
        RoundRobin.prepare(nodes)
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_with_its_flag() {
    let words = [
        "--registry=memory",
        "--tls_cert=/nowhere/a.pem",
        "--tls_key=/nowhere/a.key",
    ];
    let error = given(&words, &[]).unwrap().service().await.unwrap_err();
    assert!(
        error
            .detail()
            .starts_with("--tls_cert: cannot read the file /nowhere/a.pem: "),
        "{error}"
    );
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let ca = format!("--tls_ca={here}");
    let error = given(&["--registry=memory", &ca], &[])
        .unwrap()
        .service()
        .await
        .unwrap_err();
    assert!(
        error
            .detail()
            .starts_with("cannot set up the transport http: TLS: "),
        "{error}"
    );
    let error = given(&["--registry=memory", "--transport=memory", &ca], &[])
        .unwrap()
        .client()
        .await
        .unwrap_err();
    assert!(error.detail().contains("no encryption"), "{error}");
}

/// On Linux a listener whose queue is full leaves whoever connects without an answer.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_node_that_does_not_let_anybody_in_is_given_up_in_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let words = [
        "--registry=memory",
        "--client_dial_timeout=200ms",
        "--client_retries=0",
    ];
    let client = given(&words, &[]).unwrap().client().await.unwrap().build();
    let client = client.with_options(CallOptions {
        addresses: vec![address.to_string()],
        ..CallOptions::default()
    });
    let error = client
        .call_plain::<_, ()>("greeter", "Greeter.Hello", ())
        .await
        .unwrap_err();
    assert!(error.detail().contains("no connection within 200ms"), "{error}");
    drop((listener, queued));
}
