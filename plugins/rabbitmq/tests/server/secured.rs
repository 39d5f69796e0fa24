//! A RabbitMQ that wants passwords, and one that speaks TLS.

use micro_core::ErrorKind;
use micro_rabbitmq::{RabbitmqBroker, RabbitmqTls};
use servers::{Authority, Kind, start_with_or_skip};

use crate::shared::{at, body, connect, publish, subscribe};

#[tokio::test]
async fn users_are_let_in_with_their_password_alone() {
    let users = [
        "default_user = micro",
        "default_pass = secret",
        "default_vhost = orders",
    ];
    let Some(server) = start_with_or_skip(Kind::Rabbitmq, &users).await else {
        return;
    };
    let address = server.address();
    let with = |text: String| {
        let mut config = at(address);
        config.server.addresses = vec![text];
        config
    };
    connect(with(format!("amqp://micro:secret@{address}/orders"))).await;
    let mut beside = with(format!("amqp://{address}/orders"));
    beside.server.user = Some("micro".into());
    beside.server.password = Some("secret".into());
    connect(beside).await;
    for wrong in [
        format!("amqp://micro:hush@{address}/orders"),
        format!("amqp://nobody:hush@{address}/orders"),
        format!("amqp://{address}/orders"),
    ] {
        let error = RabbitmqBroker::connect(with(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.detail().contains("MICRO_RABBITMQ_PASSWORD"), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
    let elsewhere = with(format!("amqp://micro:secret@{address}/mails"));
    let error = RabbitmqBroker::connect(elsewhere).await.unwrap_err();
    assert!(error.detail().contains("virtual host"), "{error}");
}

#[tokio::test]
async fn tls_believes_the_authority_that_it_is_told_to() {
    let authority = Authority::new().unwrap();
    let files = authority.files("127.0.0.1").unwrap();
    let options = [
        "listeners.ssl.1 = 127.0.0.1:{port}".to_owned(),
        format!("ssl_options.cacertfile = {}", files.authority),
        format!("ssl_options.certfile = {}", files.certificate),
        format!("ssl_options.keyfile = {}", files.key),
        "ssl_options.verify = verify_peer".to_owned(),
        "ssl_options.fail_if_no_peer_cert = true".to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let Some(server) = start_with_or_skip(Kind::Rabbitmq, &options).await else {
        return;
    };
    let with = |tls: RabbitmqTls| {
        let mut config = at(server.address());
        config.server.tls = Some(tls);
        config
    };
    let right = authority.client().unwrap();
    let broker = connect(with(right.clone())).await;
    let mut subscription = subscribe(&broker, "orders", None).await;
    publish(&broker, "orders", "secret").await;
    assert_eq!(body(&mut subscription).await, "secret");
    let misnamed = RabbitmqTls {
        server_name: Some("elsewhere.example".into()),
        ..right
    };
    for tls in authority.strangers().unwrap().into_iter().chain([misnamed]) {
        let error = RabbitmqBroker::connect(with(tls)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}
