//! What keys say.

use micro_config::{ErrorKind, Format};
use micro_etcd_config::{EtcdServers, EtcdSource, EtcdSourceConfig, KeyFolder};
use serde_json::{Value, json};

use crate::etcd::{Etcd, config, follow, said, source};

/// Go Micro's source makes this of the keys below, by its rules.
const GO: &str = r#"{"cache":{"hosts":["one","two"]},"database":{"host":"db","pool":{"idle":null,"limits":{"\u003chtml\u003e":"ü","max":9},"size":4},"ratio":1.5,"tags":[1,{"x":true}]},"deep":{"er":{"and":{"deeper":{"k":"v"}}}},"dots.in.name":{"k":1},"nothing":null,"scalars":{"n":42,"s":"text","t":true}}"#;

#[tokio::test]
async fn the_same_keys_give_the_same_json_as_in_go_micro() {
    let Some(etcd) = Etcd::start().await else { return };
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
        ("nothing", "null"),
        ("scalars/n", "42"),
        ("scalars/s", r#""text""#),
        ("scalars/t", "true"),
    ];
    for (key, value) in keys {
        etcd.put(&format!("/micro/config/{key}"), value).await;
    }
    etcd.put("/micro/configuration", "7").await;
    etcd.put("/micro/config.old", "{").await;
    let go: Value = serde_json::from_str(GO).unwrap();
    let mut kept = config(&etcd, "/micro/config/");
    kept.keys.strip_prefix = false;
    let told = said(EtcdSource::new(kept).unwrap()).await.unwrap();
    assert_eq!(told, json!({"micro": {"config": go}}), "Go Micro's default");
    for prefix in ["/micro/config/", "/micro/config"] {
        assert_eq!(said(source(&etcd, prefix)).await.unwrap(), go);
    }
}

#[tokio::test]
async fn values_that_are_no_json_are_texts() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("shop/database/host", "db.example").await;
    etcd.put("shop/database/port", "5432").await;
    etcd.put("shop/database/password", "0123").await;
    etcd.put("shop/empty", "").await;
    let config = follow(source(&etcd, "shop/")).await;
    assert_eq!(config.get::<String>("database.host").unwrap(), "db.example");
    assert_eq!(config.get::<u16>("database.port").unwrap(), 5432);
    assert_eq!(config.get::<String>("database.password").unwrap(), "0123");
    assert!(
        config.get::<String>("empty").is_err(),
        "an empty value says nothing"
    );
    let status = &config.sources()[0];
    assert_eq!(status.name, "etcd shop/");
    assert!(
        status
            .documents
            .contains(&"etcd key shop/database/host".to_owned()),
        "{status:?}"
    );
}

#[tokio::test]
async fn one_key_may_hold_a_whole_document_of_any_format() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/app.yaml", "database:\n  host: yaml # why\n").await;
    etcd.put("/app.toml", "[database]\nhost = \"toml\"\n").await;
    etcd.put("/app", r#"{"database": {"host": "json"}}"#).await;
    etcd.put("/other", "database: {host: forced}").await;
    let rows = [
        ("app.yaml", "yaml"),
        ("app.toml", "toml"),
        ("/app", "json"),
        ("other?format=yaml", "forced"),
    ];
    for (text, host) in rows {
        let config = EtcdSourceConfig::from_text(text, config(&etcd, "").servers).unwrap();
        let told = said(EtcdSource::new(config).unwrap()).await.unwrap();
        assert_eq!(told, json!({"database": {"host": host}}), "{text}");
    }
    let text = format!("//{}/app.yaml", etcd.server.address());
    let config = EtcdSourceConfig::from_text(&text, EtcdServers::default()).unwrap();
    let told = said(EtcdSource::new(config).unwrap()).await.unwrap();
    assert_eq!(told, json!({"database": {"host": "yaml"}}));
}

#[tokio::test]
async fn all_keys_may_be_of_one_format_and_of_the_whole_store() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("grüße/a b", "y: [1, 2]").await;
    let mut config = config(&etcd, "");
    config.keys.format = Some(Format::Yaml);
    let told = said(EtcdSource::new(config).unwrap()).await.unwrap();
    assert_eq!(told, json!({"grüße": {"a b": {"y": [1, 2]}}}));
}

#[tokio::test]
async fn no_key_is_missing_and_what_is_broken_is_told_with_its_key() {
    let Some(etcd) = Etcd::start().await else { return };
    etcd.put("/shopping", "1").await;
    etcd.put("/shop-2", "1").await;
    for prefix in ["/shop", "/shop/", "/micro/config/"] {
        let error = said(source(&etcd, prefix)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
        assert!(error.to_string().contains(prefix), "{error}");
        assert!(error.to_string().contains(&etcd.address()), "{error}");
    }
    etcd.put("/shop/database", "{\"host\":\n \"db\"").await;
    let error = said(source(&etcd, "/shop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.to_string().contains("etcd key /shop/database") && error.to_string().contains("line 2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused_at_once() {
    for endpoints in [Vec::new(), vec!["ftp://etcd".into()], vec!["https://etcd".into()]] {
        let config = EtcdSourceConfig {
            servers: EtcdServers {
                endpoints,
                ..EtcdServers::default()
            },
            keys: KeyFolder::default(),
        };
        let error = EtcdSource::new(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
    }
}
