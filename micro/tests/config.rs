//! Configuration as a program meets it: which of its options win, what is wrong with a file, and what follows it.

#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use micro::Settings;
use micro::arguments::Exit;
use micro::config::{Env, Memory, SourceState};
use micro::handler::IntoEndpoints;
use micro::prelude::*;
use micro::service::RunningService;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const NOTHING: [(&str, &str); 0] = [];
const NO_WORDS: [&str; 0] = [];

/// Files in a folder of their own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes a file, and gives the flag that names it.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        format!("--config={}", path.display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn read(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Exit> {
    let arguments = Arguments::new("greeter");
    arguments.parse_from(words.iter().copied(), environment.iter().copied())
}

/// What is said of a configuration that makes no sense.
fn refusal(text: &str) -> String {
    let files = Files::new();
    let flag = files.write("conf.toml", text);
    let exit = read(&[&flag], &[]).unwrap_err();
    assert_eq!(exit.code(), 2, "{exit}");
    exit.to_string()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never held that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn flags_win_over_variables_and_those_over_files_and_those_over_defaults() {
    type Shown = fn(&Settings) -> String;
    let options: [(&str, [&str; 4], Shown); 7] = [
        ("client_request_timeout", ["1s", "2s", "3s", "4s"], |settings| {
            format!("{:?}", settings.client.request_timeout)
        }),
        ("server_rate_limit", ["1", "2", "3.5", "4"], |settings| {
            settings.limits.rate.unwrap().per_second().to_string()
        }),
        ("server_concurrency_limit", ["1", "2", "3", "4"], |settings| {
            settings.limits.concurrency.unwrap().to_string()
        }),
        ("server_address", [":1", ":2", ":3", ":4"], |settings| {
            settings.service.address.clone()
        }),
        ("selector", ["hash", "p2c", "roundrobin", "random"], |settings| {
            settings.strategy.name().to_owned()
        }),
        ("registry_address", ["a", "b", "c,d", "e"], |settings| {
            settings.registry.addresses.join(",")
        }),
        ("log_level", ["error", "warn", "debug", "trace"], |settings| {
            settings.log_level.clone()
        }),
    ];
    for (option, [by_flag, by_variable, by_file, by_program], shown) in options {
        let files = Files::new();
        let file = files.write("conf.toml", &format!("[micro]\n{option} = \"{by_file}\"\n"));
        let flag = format!("--{option}={by_flag}");
        let variable = format!("MICRO_{}", option.to_uppercase());
        let variable = [(variable.as_str(), by_variable)];
        let of = |words: &[&str], environment: &[(&str, &str)]| {
            let arguments = Arguments::new("greeter").default_value(option, by_program);
            let settings = arguments.parse_from(words.iter().copied(), environment.iter().copied());
            shown(&settings.unwrap())
        };
        assert_eq!(of(&[&flag, &file], &variable), by_flag, "{option}");
        assert_eq!(of(&[&file], &variable), by_variable, "{option}");
        assert_eq!(of(&[&file], &[]), by_file, "{option}");
        assert_eq!(of(&[], &[]), by_program, "{option}");
    }
}

#[test]
fn a_file_wins_over_a_profile_and_may_choose_one() {
    let files = Files::new();
    let flag = files.write("conf.toml", "[micro]\nprofile = 'test'\nselector = 'hash'\n");
    let plugins = Plugins::builtin().profile("test", &[("registry", "memory"), ("selector", "p2c")]);
    let arguments = Arguments::new("greeter").plugins(plugins);
    let settings = arguments.parse_from([flag], NOTHING).unwrap();
    assert_eq!(
        (settings.strategy.name(), &*settings.registry.name),
        ("hash", "memory")
    );
}

#[test]
fn the_later_source_wins_wherever_it_is_named() {
    let files = Files::new();
    let one = files.write("one.yaml", "micro:\n  client_retries: 1\n  server_name: one\n");
    files.write("two.json", r#"{ "micro": { "client_retries": 2 } }"#);
    let two = format!("--config=file:{}", files.path("two.json").display());
    let settings = read(&[&one, &two], &[]).unwrap();
    assert_eq!(
        (settings.client.retry.retries, &*settings.service.name),
        (2, "one")
    );
    let named = format!(
        "{},optional:file:/nowhere/local.toml,env:SHOP",
        files.path("one.yaml").display()
    );
    let environment = [("MICRO_CONFIG", &*named), ("SHOP_MICRO_CLIENT_RETRIES", "3")];
    let settings = read(&[], &environment).unwrap_err().to_string();
    assert!(settings.contains("say the same: keep one of them"), "{settings}");
    let environment = [
        ("MICRO_CONFIG", &*named),
        ("SHOP_GREETING_TEXT", "Hi"),
        ("SHOP_PORT", "7"),
    ];
    let settings = read(&[], &environment).unwrap();
    assert_eq!(settings.client.retry.retries, 1);
    assert_eq!(settings.config().get::<String>("greeting.text").unwrap(), "Hi");
    assert_eq!(settings.config().get::<u16>("port").unwrap(), 7);
}

#[test]
fn options_are_written_flat_or_in_tables_and_lists_as_what_they_are() {
    let files = Files::new();
    let flag = files.write(
        "conf.toml",
        r#"
        [micro]
        start-without-registry = true
        client_retries = 7
        registry_address = ["a:1", "b:2"]
        [micro.server]
        address = ":7"
        metadata = { zone = "eu", rack = 3 }
        [micro.client.request]
        timeout = "3s"
        "#,
    );
    let settings = read(&[&flag], &[]).unwrap();
    assert!(settings.service.registration.start_without_registry);
    assert_eq!(settings.client.retry.retries, 7);
    assert_eq!(settings.registry.addresses, ["a:1", "b:2"]);
    assert_eq!(settings.service.address, ":7");
    let pairs = [("rack", "3"), ("zone", "eu")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(settings.service.metadata, pairs);
    assert_eq!(settings.client.request_timeout, Duration::from_secs(3));
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_path_and_line() {
    for (text, said) in [
        (
            "[micro]\nregistri = 'etcd'\n",
            &[
                "micro.registri in ",
                "conf.toml line 2",
                "no option registri; is registry meant?",
            ][..],
        ),
        (
            "[micro.server]\naddres = ':1'\n",
            &[
                "micro.server.addres in ",
                "conf.toml line 2",
                "is server_address meant?",
            ],
        ),
        ("[micro]\nzzz = 1\n", &["micro.zzz in ", "--help lists them"]),
        ("[micro]\nconfig = 'a.toml'\n", &["sources are named by --config"]),
        ("micro = 1\n", &["micro in ", "a table of options is wanted"]),
        (
            "[micro]\nregistry = ['a']\n",
            &["micro.registry in ", "a text or a number is wanted"],
        ),
        (
            "[micro]\nserver_name = true\n",
            &["micro.server_name in ", "a text or a number is wanted"],
        ),
        (
            "[micro]\nserver_metadata = [['a']]\n",
            &[
                "micro.server_metadata in ",
                "a list of texts, or one text is wanted",
            ],
        ),
        (
            "\n[micro]\nclient_request_timeout = 5\n",
            &[
                "micro.client_request_timeout in ",
                "line 3: \"5\" is no duration: a unit is missing",
            ],
        ),
        (
            "[micro]\nregistry = 'pigeon'\n",
            &[
                "micro.registry in ",
                "line 2: no registry is called \"pigeon\"; this program has: ",
            ],
        ),
        (
            "[micro]\nclient_retries = 'many'\n",
            &["micro.client_retries in ", "\"many\" is no whole number"],
        ),
        (
            "[micro]\nserver_name = 'a'\n[micro.server]\nname = 'b'\n",
            &[
                "micro.server_name in ",
                "micro.server.name in ",
                "say the same: keep one of them",
            ],
        ),
        ("[micro\n", &["conf.toml line 1", "not valid TOML"]),
    ] {
        let refusal = refusal(text);
        for part in said {
            assert!(refusal.contains(part), "{text:?} {part:?}: {refusal}");
        }
        assert!(refusal.contains("--help"), "{refusal}");
    }
}

#[test]
fn sources_that_cannot_be_are_told_with_what_to_do() {
    let said = |flag: &str| read(&[flag], &[]).unwrap_err().to_string();
    let missing = said("--config=file:/nowhere/conf.toml");
    assert!(missing.contains("/nowhere/conf.toml"), "{missing}");
    let unknown = said("--config=pigeon:coop");
    assert!(
        unknown.contains("no source is called \"pigeon\"; this program has: ") && unknown.contains("env, "),
        "{unknown}"
    );
    if cfg!(not(feature = "consul-config")) {
        let unlinked = said("--config=consul:micro/config");
        assert!(
            unlinked.contains("the feature \"consul-config\" of the crate `micro`"),
            "{unlinked}"
        );
    }
    assert!(said("--config=env:MICRO").contains("give yours another prefix"));
    assert!(said("--config=file:").contains("it names no file"));
    let login = said("--config=pigeon://ann:hush@coop/egg");
    assert!(
        login.contains("pigeon://***@coop/egg") && !login.contains("hush"),
        "{login}"
    );
    if cfg!(feature = "nats-config") {
        let login = said("--config=nats://ann:hush@127.0.0.1:1/bucket");
        assert!(
            login.contains("MICRO_NATS_USERNAME") && !login.contains("hush"),
            "{login}"
        );
    }
    assert!(read(&["--config=optional:file:/nowhere/conf.toml"], &[]).is_ok());
}

#[tokio::test]
async fn a_program_reads_its_own_keys_where_the_framework_reads_its_options() {
    let files = Files::new();
    let flag = files.write("conf.toml", "greeting = 'Hi'\n[micro]\nregistry = 'memory'\n");
    let settings = read(&[&flag], &[]).unwrap();
    let service = settings.service().await.unwrap();
    assert_eq!(service.config().get::<String>("greeting").unwrap(), "Hi");
    let service = service.build().unwrap();
    assert_eq!(service.config().get::<String>("greeting").unwrap(), "Hi");
    let client = settings.client().await.unwrap();
    assert_eq!(client.config().get::<String>("greeting").unwrap(), "Hi");
    assert_eq!(client.build().config().get::<String>("greeting").unwrap(), "Hi");
    let without = read(&["--registry=memory"], &[])
        .unwrap()
        .service()
        .await
        .unwrap();
    assert!(without.config().get::<String>("greeting").is_err());
    assert!(without.config().sources().is_empty());
}

#[tokio::test]
async fn a_program_adds_sources_and_a_validation_of_its_own() {
    let memory = Memory::new();
    memory.set("port", 1);
    memory.set("greeting", "Hi");
    let source = memory.clone();
    let files = Files::new();
    let flag = files.write("conf.toml", "greeting = 'Hello'\n");
    let arguments = Arguments::new("greeter")
        .configure(move |config| config.source(source.clone()))
        .configure(|config| {
            config.source(Env::stripped("GREETER").variables([("GREETER_A".to_owned(), "b".to_owned())]))
        })
        .configure(|config| {
            config.validate(|view| match view.get::<u16>("port") {
                Ok(0) => Err("port is 0".to_owned()),
                _ => Ok(()),
            })
        });
    let settings = arguments.parse_from(NO_WORDS, NOTHING).unwrap();
    assert_eq!(settings.config().get::<String>("greeting").unwrap(), "Hi");
    let settings = arguments.parse_from([flag], NOTHING).unwrap();
    let config = settings.config().clone();
    assert_eq!(config.get::<String>("greeting").unwrap(), "Hello");
    assert_eq!(config.get::<String>("a").unwrap(), "b");
    memory.set("port", 0);
    until("the update is refused", || config.refused().is_some()).await;
    assert_eq!(config.get::<u16>("port").unwrap(), 1);
    memory.set("port", 2);
    until("the next is taken over", || {
        config.get::<u16>("port").unwrap() == 2
    })
    .await;
}

#[tokio::test]
async fn time_outs_of_a_running_service_follow_the_file() {
    let files = Files::new();
    let start = "[micro]\nregistry = 'memory'\nserver_address = '127.0.0.1:0'\n";
    let flag = files.write("conf.toml", &format!("{start}client_request_timeout = '9s'\n"));
    let service = read(&[&flag], &[]).unwrap().service().await.unwrap();
    let endpoint = endpoint_fn("Slow.Wait", |_: Context, (): ()| async {
        sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    let service = service.handler(endpoint).build().unwrap().start().await.unwrap();
    let timeout = || service.client().options().get().request_timeout;
    assert_eq!(timeout(), Duration::from_secs(9));
    files.write(
        "conf.toml",
        &format!("{start}client_request_timeout = '200ms'\nclient_retries = 0\n"),
    );
    until("the time-out is shorter", || {
        timeout() == Duration::from_millis(200)
    })
    .await;
    assert_eq!(service.client().options().get().retry.retries, 0);
    let called = service.client().call_plain::<_, ()>("greeter", "Slow.Wait", ());
    let error = called.await.unwrap_err();
    assert_eq!(error.kind(), micro::ErrorKind::Timeout, "{error}");

    // What is wrong changes nothing, and says so; and so does a file that is cut in half.
    for wrong in [
        format!("{start}client_request_timeout = '1'\n"),
        format!("{start}client_requst_timeout = '1s'\n"),
        format!("{start}client_request_timeout = '1"),
    ] {
        files.write("conf.toml", &wrong);
        let config = service.config();
        until("the file is refused", || {
            matches!(config.sources()[0].state, SourceState::Refused { .. })
        })
        .await;
        assert_eq!(timeout(), Duration::from_millis(200), "{wrong}");
        files.write(
            "conf.toml",
            &format!("{start}client_request_timeout = '200ms'\nclient_retries = 0\n"),
        );
        until("the file is well again", || config.sources()[0].state.is_ready()).await;
    }
    // What is not said any more is as it is by default.
    files.write("conf.toml", start);
    until("the default is back", || timeout() == Duration::from_secs(30)).await;
    service.stop().await.unwrap();
}

/// How many calls of so many are answered; the others are refused with 429.
async fn answered(service: &RunningService, calls: usize) -> usize {
    let mut answered = 0;
    for _ in 0..calls {
        match service
            .client()
            .call_plain::<_, ()>("greeter", "Quick.Nod", ())
            .await
        {
            Ok(()) => answered += 1,
            Err(error) => assert_eq!(error.kind(), micro::ErrorKind::TooManyRequests, "{error}"),
        }
    }
    answered
}

async fn until_answered(service: &RunningService, calls: usize, wanted: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while answered(service, calls).await != wanted {
        assert!(
            Instant::now() < deadline,
            "never {wanted} of {calls} calls are answered"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

fn nod() -> impl IntoEndpoints {
    endpoint_fn("Quick.Nod", |_: Context, (): ()| async { Ok(()) })
}

#[tokio::test]
async fn limits_of_a_running_service_follow_the_file_from_none_to_some_and_back() {
    let files = Files::new();
    let start = "[micro]\nregistry = 'memory'\nserver_address = '127.0.0.1:0'\n";
    let flag = files.write("conf.toml", start);
    let service = read(&[&flag], &[]).unwrap().service().await.unwrap();
    let wait = endpoint_fn("Slow.Wait", |_: Context, (): ()| async {
        sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    let service = service.handler(nod()).handler(wait);
    let service = service.build().unwrap().start().await.unwrap();
    assert_eq!(answered(&service, 20).await, 20);
    // So slow a rate that only what may come at once counts: a new burst has room for those that were not used.
    files.write(
        "conf.toml",
        &format!("{start}server_rate_limit = 0.001\nserver_rate_burst = 3\n"),
    );
    until_answered(&service, 5, 0).await;
    files.write(
        "conf.toml",
        &format!("{start}server_rate_limit = 1000000\nserver_rate_burst = 100000\n"),
    );
    until_answered(&service, 20, 20).await;
    files.write(
        "conf.toml",
        &format!("{start}[micro.server.rate]\nlimit = 0.001\n"),
    );
    until_answered(&service, 5, 0).await;
    // What makes no sense changes nothing.
    for wrong in ["-1", "'many'", "true"] {
        files.write("conf.toml", &format!("{start}server_rate_limit = {wrong}\n"));
        let config = service.config();
        until("the file is refused", || {
            matches!(config.sources()[0].state, SourceState::Refused { .. })
        })
        .await;
        assert_eq!(answered(&service, 5).await, 0, "{wrong}");
    }
    files.write("conf.toml", start);
    until_answered(&service, 20, 20).await;

    files.write("conf.toml", &format!("{start}server_concurrency_limit = 1\n"));
    let client = service.client().clone();
    // Perhaps it begins while there is no limit yet, and does not count; so another may have to follow.
    let mut waiting = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while answered(&service, 1).await == 1 {
        assert!(Instant::now() < deadline, "the limit never counts");
        let client = client.clone();
        let call = async move { client.call_plain::<_, ()>("greeter", "Slow.Wait", ()).await };
        waiting.push(tokio::spawn(call));
        sleep(Duration::from_millis(100)).await;
    }
    files.write("conf.toml", start);
    until_answered(&service, 20, 20).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn limits_that_a_flag_or_the_program_says_do_not_follow() {
    let files = Files::new();
    let start = "[micro]\nregistry = 'memory'\nserver_address = '127.0.0.1:0'\nclient_retries = 0\n";
    let flag = files.write("conf.toml", start);
    let by_flag = read(
        &[&flag, "--server_rate_limit=0.001", "--server-rate-burst=2"],
        &[],
    )
    .unwrap();
    let mut by_program = read(&[&flag], &[]).unwrap();
    by_program.limits.rate = by_flag.limits.rate;
    let without_file = read(
        &[
            "--registry=memory",
            "--server_rate_limit=0.001",
            "--server-rate-burst=2",
        ],
        &[],
    );
    for settings in [by_flag, by_program, without_file.unwrap()] {
        files.write("conf.toml", start);
        let service = settings.service().await.unwrap().handler(nod());
        let service = service.build().unwrap().start().await.unwrap();
        assert_eq!(answered(&service, 3).await, 2);
        if !service.config().sources().is_empty() {
            files.write(
                "conf.toml",
                &format!("{start}server_rate_limit = 1000\nclient_request_timeout = '7s'\n"),
            );
            until("the file is read", || {
                service.client().options().get().request_timeout == Duration::from_secs(7)
            })
            .await;
        }
        assert_eq!(answered(&service, 3).await, 0);
        service.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_a_flag_or_the_program_says_does_not_follow() {
    let files = Files::new();
    let text = |seconds: u32| {
        format!(
            "[micro]\nregistry = 'memory'\nclient_request_timeout = '{seconds}s'\nclient_retries = {seconds}\n"
        )
    };
    let flag = files.write("conf.toml", &text(3));
    let by_flag = read(&[&flag, "--client_request_timeout=7s"], &[]).unwrap();
    let mut by_program = read(&[&flag], &[]).unwrap();
    by_program.client.request_timeout = Duration::from_secs(8);
    for (settings, seconds) in [(by_flag, 7), (by_program, 8)] {
        files.write("conf.toml", &text(3));
        let client = settings.client().await.unwrap().build();
        files.write("conf.toml", &text(4));
        until("the retries follow", || client.options().get().retry.retries == 4).await;
        assert_eq!(
            client.options().get().request_timeout,
            Duration::from_secs(seconds)
        );
    }
}

#[cfg(feature = "log")]
#[tokio::test]
async fn the_log_of_a_running_process_follows_the_file() {
    let files = Files::new();
    let flag = files.write("conf.toml", "[micro]\nlog_level = 'warn'\nregistry = 'memory'\n");
    let settings = read(&[&flag], &[]).unwrap();
    settings.start_log();
    let client = settings.client().await.unwrap().build();
    let is_logged = || tracing::enabled!(target: "shop", tracing::Level::DEBUG);
    assert!(!is_logged());
    files.write(
        "conf.toml",
        "[micro]\nlog_level = 'warn,shop=debug'\nregistry = 'memory'\n",
    );
    until("more is logged", is_logged).await;
    files.write("conf.toml", "[micro]\nregistry = 'memory'\n");
    until("less is logged", || !is_logged()).await;
    drop(client);
}

#[tokio::test]
async fn the_configuration_is_followed_for_as_long_as_somebody_has_it() {
    let files = Files::new();
    let flag = files.write("conf.toml", "greeting = 'Hi'\n");
    let config = read(&[&flag], &[]).unwrap().config().clone();
    let mut greetings = config.watch::<String>("greeting");
    files.write("conf.toml", "greeting = 'Hello'\n");
    assert_eq!(greetings.next().await.unwrap().unwrap(), "Hello");
    drop(config);
    assert!(greetings.next().await.is_none());
}
