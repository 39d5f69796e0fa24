//! A NATS that wants to know who is there, and one that is encrypted.

use micro_core::broker::SubscribeOptions;
use micro_core::{Broker, ErrorKind};
use micro_nats::{NatsBroker, NatsConfig, NatsLogin, NatsServers, NatsTls};
use servers::{Authority, Kind, Server};
use tempfile::TempDir;

use crate::nats::{body, config, connect, publish, servers_at};

/// A key that everybody knows, for tests.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

async fn start(configuration: &str, files: &TempDir) -> Option<Server> {
    let file = files.path().join("nats.conf");
    std::fs::write(&file, configuration).unwrap();
    servers::start_with_or_skip(Kind::Nats, &["-c", file.to_str().unwrap()]).await
}

fn with(server: &Server, login: NatsLogin) -> NatsConfig {
    NatsConfig {
        servers: NatsServers {
            login: Some(login),
            ..servers_at(server)
        },
        ..config(server)
    }
}

fn password(user: &str, password: &str) -> NatsLogin {
    NatsLogin::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test]
async fn who_has_the_right_login_is_let_in_with_its_rights() {
    let files = TempDir::new().unwrap();
    let users = format!(
        r#"authorization {{ users: [
            {{ user: all, password: secret }},
            {{ nkey: {PUBLIC} }},
            {{ user: some, password: secret, permissions: {{
                publish: ["orders.>", "_INBOX.>"], subscribe: ["_INBOX.>", "orders.>"] }} }},
        ] }}"#
    );
    let Some(server) = start(&users, &files).await else {
        return;
    };
    let wrong = [
        config(&server),
        with(&server, password("all", "wrong")),
        with(&server, NatsLogin::Token("wrong".into())),
    ];
    for config in wrong {
        let error = NatsBroker::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(
            error.detail().contains("MICRO_NATS_USERNAME") && !error.detail().contains("wrong"),
            "{error}"
        );
    }
    let in_address = NatsConfig {
        servers: NatsServers {
            addresses: vec![format!("nats://all:secret@{}", server.address())],
            ..NatsServers::default()
        },
        ..NatsConfig::default()
    };
    let logins = [
        with(&server, password("all", "secret")),
        with(&server, NatsLogin::Nkey(SEED.to_owned())),
        in_address,
        with(&server, password("some", "secret")),
    ];
    for config in logins {
        let broker = connect(config).await;
        let options = SubscribeOptions::default();
        let mut subscription = broker.subscribe("orders.new", options).await.unwrap();
        publish(&broker, "orders.new", "x").await.unwrap();
        assert_eq!(body(&mut subscription).await, "x");
    }
    let broker = connect(with(&server, password("some", "secret"))).await;
    // NATS refuses behind the publisher's back, which is known from the next message on at the latest.
    let _ = publish(&broker, "bills", "x").await;
    let error = publish(&broker, "bills", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert!(error.detail().contains("bills"), "{error}");
}

#[tokio::test]
async fn who_may_not_publish_to_a_topic_may_still_subscribe_to_it() {
    let files = TempDir::new().unwrap();
    let users = r#"authorization { users: [
        { user: all, password: secret },
        { user: reader, password: secret, permissions: {
            publish: ["_INBOX.>"], subscribe: ["_INBOX.>", "orders"] } },
    ] }"#;
    let Some(server) = start(users, &files).await else {
        return;
    };
    let reader = connect(with(&server, password("reader", "secret"))).await;
    let error = loop {
        if let Err(error) = publish(&reader, "orders", "x").await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    let options = SubscribeOptions::default();
    let mut subscription = reader.subscribe("orders", options).await.unwrap();
    let writer = connect(with(&server, password("all", "secret"))).await;
    publish(&writer, "orders", "y").await.unwrap();
    assert_eq!(body(&mut subscription).await, "y");
}

#[tokio::test]
async fn a_login_without_inboxes_is_told_what_it_lacks() {
    let files = TempDir::new().unwrap();
    let users = r#"authorization { users: [
        { user: writer, password: secret, permissions: { publish: ["orders"], subscribe: ["_INBOX.>"] } },
        { user: deaf, password: secret, permissions: { publish: [">"], subscribe: ["orders"] } },
    ] }"#;
    let Some(server) = start(users, &files).await else {
        return;
    };
    for user in ["writer", "deaf"] {
        let broker = connect(with(&server, password(user, "secret"))).await;
        let error = publish(&broker, "orders", "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
        assert!(error.detail().contains("_INBOX.>"), "{error}");
    }
}

#[tokio::test]
async fn one_token_lets_all_in() {
    let files = TempDir::new().unwrap();
    let Some(server) = start("authorization { token: secret }", &files).await else {
        return;
    };
    let broker = connect(with(&server, NatsLogin::Token("secret".into()))).await;
    publish(&broker, "orders", "x").await.unwrap();
    let shown = format!("{broker:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_seed_or_credentials_that_are_none_are_refused_without_showing_them() {
    let files = TempDir::new().unwrap();
    let Some(server) = start("", &files).await else {
        return;
    };
    let broken = NatsLogin::Credentials("secret".into());
    let error = NatsBroker::connect(with(&server, broken)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest, "{error}");
    assert!(!error.detail().contains("secret"), "{error}");
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let certificates = authority.files("127.0.0.1").unwrap();
    let files = TempDir::new().unwrap();
    let tls = format!(
        r#"tls {{ cert_file: "{}", key_file: "{}", ca_file: "{}", verify: true }}"#,
        certificates.certificate, certificates.key, certificates.authority,
    );
    let Some(server) = start(&tls, &files).await else {
        return;
    };
    let with = |tls: NatsTls, server_name: Option<&str>| NatsConfig {
        servers: NatsServers {
            tls: Some(NatsTls {
                server_name: server_name.map(str::to_owned),
                ..tls
            }),
            ..servers_at(&server)
        },
        ..NatsConfig::default()
    };
    let right = authority.client().unwrap();
    for name in [None, Some("127.0.0.1")] {
        let broker = connect(with(right.clone(), name)).await;
        publish(&broker, "orders", "x").await.unwrap();
    }
    let strangers = authority.strangers().unwrap().map(|tls| with(tls, None));
    let misnamed = with(right, Some("elsewhere.example"));
    for config in strangers.into_iter().chain([config(&server), misnamed]) {
        let error = NatsBroker::connect(config).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
            "{error}"
        );
        assert!(error.detail().contains(&server.address().to_string()), "{error}");
    }
}
