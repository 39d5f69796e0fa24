//! A Consul that asks for tokens, and one that asks for certificates.

use std::net::SocketAddr;
use std::time::Duration;

use micro_config::{ErrorKind, Source};
use micro_consul_config::{ConsulSource, ConsulSourceConfig, ConsulTls};
use serde_json::json;
use servers::Authority;
use tokio::time::{Instant, sleep};

use crate::consul::{Consul, PATIENCE, config, config_at, follow, until};

const ROOT: &str = "11111111-1111-1111-1111-111111111111";
const OURS: &str = "22222222-2222-2222-2222-222222222222";

/// Repeats a request until the agent, which has just begun, can answer it.
async fn as_root(consul: &Consul, path: &str, body: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (status, answer) = consul.http("PUT", path, ROOT, body).await;
        if status == 200 {
            return;
        }
        assert!(Instant::now() < until, "{path}: {status} {answer}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn with_token(consul: &Consul, token: &str, prefix: &str) -> ConsulSource {
    let mut config = config(consul, prefix);
    config.agents.token = Some(token.to_owned());
    ConsulSource::new(config).unwrap()
}

#[tokio::test]
async fn a_token_says_what_may_be_read() {
    let acl = format!(
        r#"{{"acl":{{"enabled":true,"default_policy":"deny","tokens":{{"initial_management":"{ROOT}","agent":"{ROOT}"}}}}}}"#
    );
    let Some(consul) = Consul::start_with(&acl, &[]).await else {
        return;
    };
    let rules = r#"key_prefix \"shop/\" { policy = \"read\" }"#;
    as_root(
        &consul,
        "/v1/acl/policy",
        &format!(r#"{{"Name":"reads","Rules":"{rules}"}}"#),
    )
    .await;
    let token = format!(r#"{{"SecretID":"{OURS}","Policies":[{{"Name":"reads"}}]}}"#);
    as_root(&consul, "/v1/acl/token", &token).await;
    as_root(&consul, "/v1/kv/shop/a", "1").await;
    as_root(&consul, "/v1/kv/secret/a", "1").await;

    let config = follow(with_token(&consul, OURS, "shop")).await;
    as_root(&consul, "/v1/kv/shop/a", "2").await;
    until(&config, "a", json!(2)).await;

    // What a token may not read, Consul leaves out without a word.
    let error = with_token(&consul, OURS, "secret/").read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");
    assert!(error.to_string().contains("the token may not read it"), "{error}");
    let unknown = "44444444-4444-4444-4444-444444444444";
    let mut source = with_token(&consul, unknown, "shop/");
    let error = source.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("CONSUL_HTTP_TOKEN"), "{error}");
    assert!(!format!("{error} {error:?} {source:?}").contains(unknown));
}

fn with_tls(address: SocketAddr, tls: ConsulTls, name: Option<&str>) -> ConsulSourceConfig {
    let mut config = config_at(vec![format!("https://{address}")], "shop/");
    config.agents.tls = Some(ConsulTls {
        server_name: name.map(str::to_owned),
        ..tls
    });
    config
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let Some((consul, address)) = Consul::start_encrypted(&authority, "consul.example").await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let name = Some("consul.example");
    let right = authority.client().unwrap();
    let config = follow(ConsulSource::new(with_tls(address, right.clone(), name)).unwrap()).await;
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;

    let unnamed = with_tls(address, right.clone(), None);
    let strangers = authority.strangers().unwrap();
    let strangers = strangers.map(|tls| with_tls(address, tls, name));
    for config in strangers
        .into_iter()
        .chain([unnamed, config_at(vec![address.to_string()], "shop/")])
    {
        let error = ConsulSource::new(config).unwrap().read().await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    let broken = ConsulTls {
        authorities: b"no certificate".to_vec(),
        ..right
    };
    let error = ConsulSource::new(with_tls(address, broken, name)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
}
