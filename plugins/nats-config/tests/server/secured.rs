//! Servers that want to know who is there, and that are encrypted.

use micro_config::ErrorKind;
use micro_nats_config::{NatsLogin, NatsServers, NatsSource, NatsSourceConfig, NatsTls};
use servers::{Authority, Kind, Server};
use tempfile::TempDir;

use crate::nats::{config, failure, make_by, read};

async fn start(configuration: &str, files: &TempDir) -> Option<Server> {
    let file = files.path().join("nats.conf");
    std::fs::write(&file, configuration).unwrap();
    servers::start_with_or_skip(Kind::Nats, &["-c", file.to_str().unwrap()]).await
}

fn with(server: &Server, text: &str, user: &str, password: &str) -> NatsSource {
    let mut config = config(server.address(), text);
    config.servers.login = Some(NatsLogin::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    });
    NatsSource::new(config).unwrap()
}

/// Fills the bucket `shop` as somebody who may do everything.
async fn fill(server: &Server) {
    let options = async_nats::ConnectOptions::with_user_and_password("all".into(), "secret".into());
    let client = options.connect(server.address().to_string()).await.unwrap();
    let store = make_by(async_nats::jetstream::new(client), "shop").await;
    store.put("a", "{}").await;
}

#[tokio::test]
async fn the_rights_of_the_front_page_are_enough_and_who_lacks_them_is_told_which() {
    let files = TempDir::new().unwrap();
    let users = r#"authorization { users: [
        { user: all, password: secret },
        { user: reader, password: secret, permissions: {
            publish: ["$JS.API.STREAM.INFO.KV_shop", "$JS.API.CONSUMER.CREATE.KV_shop.>", "_INBOX.>"],
            subscribe: ["_INBOX.>"] } },
        { user: narrow, password: secret, permissions: {
            publish: ["$JS.API.STREAM.INFO.KV_shop", "$JS.API.CONSUMER.CREATE.KV_shop.*.$KV.shop.a", "_INBOX.>"],
            subscribe: ["_INBOX.>"] } },
        { user: stranger, password: secret, permissions: { publish: ["_INBOX.>"], subscribe: ["_INBOX.>"] } },
        { user: looker, password: secret, permissions: {
            publish: ["$JS.API.STREAM.INFO.KV_shop", "_INBOX.>"], subscribe: ["_INBOX.>"] } },
    ] }"#;
    let Some(server) = start(users, &files).await else {
        return;
    };
    fill(&server).await;
    for text in ["shop/a", "shop/>"] {
        assert_eq!(read(&mut with(&server, text, "reader", "secret")).await.len(), 1);
    }
    assert_eq!(
        read(&mut with(&server, "shop/a", "narrow", "secret")).await.len(),
        1
    );
    let error = failure(&mut with(&server, "shop/b", "narrow", "secret")).await;
    assert!(error.to_string().contains("$KV.shop.b"), "{error}");
    for (user, lacks) in [
        ("stranger", "STREAM.INFO.KV_shop"),
        ("looker", "CONSUMER.CREATE.KV_shop"),
    ] {
        let mut source = with(&server, "shop/a", user, "secret");
        for _ in 0..2 {
            let error = failure(&mut source).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(
                error.to_string().contains(lacks) && error.to_string().contains("grant"),
                "{error}"
            );
        }
    }
    let mut source = with(&server, "shop/a", "all", "wrong-one");
    let error = failure(&mut source).await;
    assert!(
        error.to_string().contains("check the login") && !error.to_string().contains("wrong-one"),
        "{error}"
    );
    assert!(!format!("{source:?}").contains("wrong-one"));
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_so() {
    let files = TempDir::new().unwrap();
    let users = "accounts { A: { users: [{ user: all, password: secret }] } }";
    let Some(server) = start(users, &files).await else {
        return;
    };
    let error = failure(&mut with(&server, "shop/a", "all", "secret")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("JetStream"), "{error}");
}

#[tokio::test]
async fn an_encrypted_server_is_believed_by_its_authority_alone() {
    let (files, authority) = (TempDir::new().unwrap(), Authority::new().unwrap());
    let certificates = authority.files("127.0.0.1").unwrap();
    let configuration = format!(
        "tls {{ cert_file: {:?}, key_file: {:?} }}\nauthorization {{ user: all, password: secret }}",
        certificates.certificate, certificates.key
    );
    let Some(server) = start(&configuration, &files).await else {
        return;
    };
    let encrypted = |authority: &Authority| {
        let servers = NatsServers {
            addresses: vec![format!("tls://all:secret@{}", server.address())],
            tls: Some(NatsTls {
                authorities: authority.pem.clone().into_bytes(),
                ..NatsTls::default()
            }),
            ..NatsServers::default()
        };
        let config = NatsSourceConfig {
            servers,
            ..NatsSourceConfig::from_text("shop/a").unwrap()
        };
        NatsSource::new(config).unwrap()
    };
    let error = failure(&mut encrypted(&authority)).await;
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    let error = failure(&mut encrypted(&Authority::new().unwrap())).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
