//! Users and passwords.

use micro_core::ErrorKind;
use micro_core::broker::SubscribeOptions;
use micro_kafka::{KafkaBroker, KafkaConfig, KafkaSasl, SaslMechanism};
use servers::Kind;

use crate::kafka::{body, connect, name, publish, subscribe};

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_and_a_wrong_one_is_told_without_being_shown() {
    let [port] = servers::free_ports().unwrap();
    let address = format!("127.0.0.1:{port}");
    let arguments = [
        format!("listeners=SECURED://{address}"),
        format!("advertised.listeners=SECURED://{address}"),
        "listener.security.protocol.map=SECURED:SASL_PLAINTEXT".to_owned(),
        "listener.name.secured.sasl.enabled.mechanisms=PLAIN".to_owned(),
        "listener.name.secured.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
         required user_me=\"secret\";"
            .to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(_server) = servers::start_with_or_skip(Kind::Kafka, &arguments).await else {
        return;
    };
    let with = |password: &str| KafkaConfig {
        servers: vec![address.clone()],
        sasl: Some(KafkaSasl {
            mechanism: SaslMechanism::Plain,
            user: "me".into(),
            password: password.into(),
        }),
        ..KafkaConfig::default()
    };
    let (broker, topic) = (connect(with("secret")).await, name("secured"));
    let mut subscription = subscribe(&broker, &topic, SubscribeOptions::default()).await;
    publish(&broker, &topic, "a").await.unwrap();
    assert_eq!(body(&mut subscription).await, "a");

    let error = KafkaBroker::connect(with("guessed")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(
        error.detail().contains("MICRO_KAFKA_PASSWORD") && !error.detail().contains("guessed"),
        "{error}"
    );
}
