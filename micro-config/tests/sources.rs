//! What variables, flags and memory say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use micro_config::{Config, Env, ErrorKind, Flags, Memory, Source, View};
use serde_json::{Value, json};
use std::sync::Arc;

async fn view(source: impl Source) -> Arc<View> {
    Config::builder().source(source).build().await.unwrap().view()
}

async fn whole(source: impl Source) -> Value {
    view(source).await.value("").unwrap()
}

fn variables(env: Env, variables: &[(&str, &str)]) -> Env {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    env.variables(variables.iter().map(owned).collect::<Vec<_>>())
}

#[tokio::test]
async fn variables_are_split_and_guessed_as_go_micro_does() {
    let env = variables(
        Env::all(),
        &[
            ("DATABASE_HOST", "x"),
            ("DATABASE_PORT", "-5432"),
            ("debug", "true"),
            ("PIN", "0042"),
            ("_", "/usr/bin/env"),
            ("A__B_", "1.5"),
        ],
    );
    let wanted = json!({
        "database": {"host": "x", "port": -5432}, "debug": true, "pin": "0042", "a": {"b": "1.5"},
    });
    assert_eq!(whole(env).await, wanted);
}

#[tokio::test]
async fn the_first_variable_at_a_path_wins() {
    let first = [("A_B", "1"), ("A", "2"), ("A_b", "3"), ("C", "4"), ("C_D", "5")];
    assert_eq!(
        whole(variables(Env::all(), &first)).await,
        json!({"a": {"b": 1}, "c": 4})
    );
}

#[tokio::test]
async fn a_prefix_is_kept_or_stripped() {
    let all = [("APP_PORT", "1"), ("APPLE_PORT", "2"), ("PORT", "3")];
    assert_eq!(
        whole(variables(Env::prefixed("APP"), &all)).await,
        json!({"app": {"port": 1}})
    );
    assert_eq!(
        whole(variables(Env::prefixed("APP_"), &all)).await,
        json!({"app": {"port": 1}})
    );
    assert_eq!(
        whole(variables(Env::stripped("APP"), &all)).await,
        json!({"port": 1})
    );
}

#[tokio::test]
async fn what_a_variable_says_is_read_as_the_type_that_is_asked_for() {
    let env = [
        ("A_NUMBER", "8080"),
        ("A_LIST", "a, b,c"),
        ("A_PORTS", "1,2"),
        ("A_ON", "T"),
        ("A_OFF", "0"),
    ];
    let view = view(variables(Env::stripped("A"), &env)).await;
    assert_eq!(view.get::<String>("number").unwrap(), "8080");
    assert_eq!(view.get::<f32>("number").unwrap(), 8080.0);
    assert_eq!(view.get::<Vec<String>>("list").unwrap(), ["a", "b", "c"]);
    assert_eq!(view.get::<Vec<u16>>("ports").unwrap(), [1, 2]);
    assert!(view.get::<bool>("on").unwrap());
    assert!(!view.get::<bool>("off").unwrap());
}

#[tokio::test]
async fn a_variable_may_name_a_file_with_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "hunter2 \n\n").unwrap();
    let path = file.to_str().unwrap();
    let env = variables(Env::stripped("APP"), &[("APP_DATABASE_PASSWORD_FILE", path)]);
    assert_eq!(whole(env).await, json!({"database": {"password": "hunter2 \n"}}));
    // Without a prefix, others' variables are named so.
    let env = variables(Env::all(), &[("SSL_CERT_FILE", "/nowhere")]);
    assert_eq!(whole(env).await, json!({"ssl": {"cert": {"file": "/nowhere"}}}));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_by_variable_and_file() {
    let mut env = variables(Env::stripped("APP"), &[("APP_KEY_FILE", "/nowhere/key")]);
    let error = env.read().await.unwrap_err();
    // It is a mistake, and waiting does not help.
    assert_eq!(error.kind(), ErrorKind::Misused);
    let error = error.to_string();
    assert!(
        error.contains("/nowhere/key") && error.contains("APP_KEY_FILE"),
        "{error}"
    );
    let both = [("APP_KEY_FILE", "/nowhere/key"), ("APP_KEY", "x")];
    let error = variables(Env::stripped("APP"), &both).read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misused);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_secret_without_end_is_not_read_to_its_end() {
    // The system says of both that they have no bytes.
    for file in ["/dev/zero", "/proc/self/maps"] {
        let mut env = variables(Env::stripped("APP"), &[("APP_KEY_FILE", file)]);
        let read = env.read().await;
        assert_eq!(read.is_ok(), file.starts_with("/proc"), "{file}");
    }
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, "x".repeat(1024 * 1024 + 1)).unwrap();
    let mut env = variables(Env::stripped("APP"), &[("APP_KEY_FILE", large.to_str().unwrap())]);
    let error = env.read().await.unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_variable_with_very_many_parts_does_no_harm() {
    let name = "A_".repeat(50_000);
    assert_eq!(whole(variables(Env::all(), &[(&name, "1")])).await, json!({}));
}

#[tokio::test]
async fn flags_are_split_and_the_later_wins() {
    let flags = Flags::from_args([
        "serve",
        "--database-host=a=b",
        "--database_port",
        "5432",
        "--verbose",
        "--offset",
        "-5",
        "--Name",
        "x",
        "--verbose",
        "--size=1",
        "--size=2",
        "--",
        "--ignored",
    ]);
    let wanted = json!({
        "database": {"host": "a=b", "port": 5432}, "verbose": true, "offset": -5, "name": "x", "size": 2,
    });
    assert_eq!(whole(flags).await, wanted);
}

#[tokio::test]
async fn memory_is_set_removed_and_replaced() {
    let memory = Memory::new();
    memory.set("a.b", 1);
    memory.set("a.c", "x");
    memory.set("a.b.d", true);
    assert!(memory.remove("a.c") && !memory.remove("a.c") && !memory.remove("x.y"));
    assert_eq!(whole(memory.clone()).await, json!({"a": {"b": {"d": true}}}));
    memory.replace(json!({"z": null}));
    assert_eq!(whole(memory.clone()).await, json!({"z": null}));
    memory.set("", json!({"y": 1}));
    assert_eq!(whole(memory).await, json!({"y": 1}));
}

#[tokio::test]
async fn what_is_no_table_is_refused() {
    let built = Config::builder().source(Memory::from(json!([1]))).build().await;
    let error = built.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "a table of names and values is expected, and there is a list (memory)"
    );
}
