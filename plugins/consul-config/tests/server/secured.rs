//! A Consul that asks for tokens, and one that asks for certificates.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use micro_config::{ErrorKind, Source};
use micro_consul_config::{ConsulAgents, ConsulSource, ConsulSourceConfig, ConsulTls};
use micro_core::transport::http::Identity;
use serde_json::json;
use servers::Authority;
use tempfile::TempDir;
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

/// Starts a Consul that shows a certificate of this name and wants one of its callers, and says where.
async fn encrypted(authority: &Authority, name: &str) -> Option<(Consul, SocketAddr)> {
    let files = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let server = authority.issue(name).unwrap();
    let (ca, cert, key) = (
        file("ca.pem", authority.pem.as_bytes()),
        file("server.pem", &server.certificates),
        file("server.key", &server.key),
    );
    let configuration = format!(
        r#"{{"tls":{{"https":{{"ca_file":"{ca}","cert_file":"{cert}","key_file":"{key}","verify_incoming":true}}}}}}"#
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = format!("-https-port={}", free.port());
    let consul = Consul::start_with(&configuration, &[&port]).await?;
    Some((consul, free))
}

fn with_tls(
    address: SocketAddr,
    authorities: &Authority,
    identity: Option<Identity>,
    name: Option<&str>,
) -> ConsulSourceConfig {
    let mut config = config_at(vec![format!("https://{address}")], "shop/");
    config.agents.tls = Some(ConsulTls {
        authorities: authorities.pem.clone().into_bytes(),
        identity,
        server_name: name.map(str::to_owned),
    });
    config
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let Some((consul, address)) = encrypted(&authority, "consul.example").await else {
        return;
    };
    consul.put("shop/a", "1").await;
    let name = Some("consul.example");
    let identity = || Some(authority.issue("client").unwrap());
    let config = follow(ConsulSource::new(with_tls(address, &authority, identity(), name)).unwrap()).await;
    consul.put("shop/a", "2").await;
    until(&config, "a", json!(2)).await;

    let stranger = Authority::new().unwrap();
    let strangers = [
        with_tls(address, &authority, None, name),
        with_tls(address, &stranger, identity(), name),
        with_tls(address, &authority, Some(stranger.issue("client").unwrap()), name),
        with_tls(address, &authority, identity(), None),
        config_at(vec![address.to_string()], "shop/"),
    ];
    for config in strangers {
        let error = ConsulSource::new(config).unwrap().read().await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    let mut broken = with_tls(address, &authority, None, name);
    broken.agents = ConsulAgents {
        tls: Some(ConsulTls {
            authorities: b"no certificate".to_vec(),
            ..ConsulTls::default()
        }),
        ..broken.agents
    };
    let error = ConsulSource::new(broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misused, "{error}");
}
