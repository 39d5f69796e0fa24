//! What keys say.

use std::time::Duration;

use micro_config::{Config, ErrorKind, Format, Source};
use micro_consul_config::{ConsulAgents, ConsulSource, ConsulSourceConfig, KeyFolder};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::consul::{Consul, config, said, source};

/// Go Micro's source makes this of the keys below, by its rules.
const GO: &str = r#"{"cache":{"hosts":["one","two"]},"database":{"host":"db","pool":{"idle":null,"limits":{"\u003chtml\u003e":"ü","max":9},"size":4},"ratio":1.5,"tags":[1,{"x":true}]},"deep":{"er":{"and":{"deeper":{"k":"v"}}}},"dots.in.name":{"k":1},"folder":{},"nothing":null}"#;

#[tokio::test]
async fn the_same_keys_give_the_same_json_as_in_go_micro() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    let keys = [
        ("cache/hosts", r#"["one","two"]"#),
        (
            "database",
            r#"{"host":"db","pool":{"size":4,"idle":null,"limits":{"gone":1}},"ratio":1.5}"#,
        ),
        ("database/pool/limits", r#"{"max":9,"<html>":"ü"}"#),
        ("database/tags", r#"[1,{"x":true}]"#),
        ("deep/er/and/deeper", r#"{"k":"v"}"#),
        ("dots.in.name", r#"{"k":1}"#),
        ("folder/", ""),
        ("nothing", "null"),
    ];
    for (key, value) in keys {
        consul.put(&format!("micro/config/{key}"), value).await;
    }
    consul.put("micro/configuration", "7").await;
    let go: Value = serde_json::from_str(GO).unwrap();
    let told = said(source(&consul, "/micro/config/")).await.unwrap();
    assert_eq!(told, go);
    // The name without a slash means the same, but for a key of this name.
    assert_eq!(said(source(&consul, "micro/config")).await.unwrap(), go);
    let mut kept = config(&consul, "/micro/config/");
    kept.keys.strip_prefix = false;
    let told = said(ConsulSource::new(kept).unwrap()).await.unwrap();
    assert_eq!(told, json!({"micro": {"config": go}}), "Go Micro's default");
}

#[tokio::test]
async fn values_that_are_no_json_are_texts() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/database/host", "db.example").await;
    consul.put("shop/database/port", "5432").await;
    consul.put("shop/database/password", "0123").await;
    consul.put("shop/debug", "true").await;
    let config = Config::builder()
        .source(source(&consul, "shop/"))
        .build()
        .await
        .unwrap();
    assert_eq!(config.get::<String>("database.host").unwrap(), "db.example");
    assert_eq!(config.get::<u16>("database.port").unwrap(), 5432);
    assert_eq!(config.get::<String>("database.password").unwrap(), "0123");
    assert!(config.get::<bool>("debug").unwrap());
    let status = &config.sources()[0];
    assert_eq!(status.name, "consul shop/");
    assert!(
        status
            .documents
            .contains(&"consul key shop/database/host".to_owned()),
        "{status:?}"
    );
}

#[tokio::test]
async fn one_key_may_hold_a_whole_document_of_any_format() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("app.yaml", "database:\n  host: yaml # why\n").await;
    consul.put("app.toml", "[database]\nhost = \"toml\"\n").await;
    consul.put("app", r#"{"database": {"host": "json"}}"#).await;
    consul.put("other", "database: {host: forced}").await;
    let rows = [
        ("app.yaml", "yaml"),
        ("app.toml", "toml"),
        ("/app", "json"),
        ("other?format=yaml", "forced"),
    ];
    for (text, host) in rows {
        let agents = config(&consul, "").agents;
        let config = ConsulSourceConfig::from_text(text, agents).unwrap();
        let told = said(ConsulSource::new(config).unwrap()).await.unwrap();
        assert_eq!(told, json!({"database": {"host": host}}), "{text}");
    }
    let text = format!("//{}/app.yaml", consul.server.address());
    let config = ConsulSourceConfig::from_text(&text, ConsulAgents::default()).unwrap();
    let told = said(ConsulSource::new(config).unwrap()).await.unwrap();
    assert_eq!(told, json!({"database": {"host": "yaml"}}));
}

#[tokio::test]
async fn all_keys_may_be_of_one_format_and_names_of_any_kind() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("gr%C3%BC%C3%9Fe/a%20b/%3Fx", "y: [1, 2]").await;
    let mut config = config(&consul, "grüße/a b");
    config.keys.format = Some(Format::Yaml);
    let told = said(ConsulSource::new(config).unwrap()).await.unwrap();
    assert_eq!(told, json!({"?x": {"y": [1, 2]}}));
    let told = said(source(&consul, "")).await.unwrap();
    assert_eq!(told, json!({"grüße": {"a b": {"?x": "y: [1, 2]"}}}));
}

#[tokio::test]
async fn no_key_is_missing_and_what_is_broken_is_told_with_its_key() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shopping", "1").await;
    for prefix in ["shop", "shop/", "/micro/config/"] {
        let error = said(source(&consul, prefix)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
        let shown = prefix.trim_start_matches('/');
        assert!(error.to_string().contains(shown), "{error}");
        assert!(
            error.to_string().contains(&consul.server.address().to_string()),
            "{error}"
        );
    }
    consul.put("shop/database", "{\"host\":\n \"db\"").await;
    let error = said(source(&consul, "shop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.to_string().contains("consul key shop/database") && error.to_string().contains("line 2"),
        "{error}"
    );
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_at_once() {
    let with = |agents| ConsulSourceConfig {
        agents,
        keys: KeyFolder::default(),
    };
    for agents in [
        ConsulAgents {
            addresses: Vec::new(),
            ..ConsulAgents::default()
        },
        ConsulAgents {
            addresses: vec!["ftp://consul".into()],
            ..ConsulAgents::default()
        },
        ConsulAgents {
            addresses: vec!["https://consul".into()],
            ..ConsulAgents::default()
        },
    ] {
        let error = ConsulSource::new(with(agents)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
    }
}

#[tokio::test]
async fn others_keys_wake_nobody() {
    let Some(consul) = Consul::start().await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let mut source = source(&consul, "shop/");
    source.read().await.unwrap();
    let waiting = timeout(Duration::from_millis(500), source.changed());
    let others = async {
        for number in 0..20 {
            consul.put("elsewhere/a", &number.to_string()).await;
        }
    };
    let (waited, ()) = tokio::join!(waiting, others);
    assert!(waited.is_err());
}
