//! A Consul that asks for tokens, and one that asks for certificates.

use std::net::{SocketAddr, TcpListener};

use micro_consul::{ConsulConfig, ConsulRegistry, ConsulTls};
use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_core::transport::http::Identity;
use servers::Authority;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::consul::{Consul, LONG, PATIENCE, config, connect, greeter, next, register, until};

const ROOT: &str = "11111111-1111-1111-1111-111111111111";
const OURS: &str = "22222222-2222-2222-2222-222222222222";
const READS: &str = "33333333-3333-3333-3333-333333333333";

/// Makes two tokens: one that may register, one that may look up.
async fn ask_for_tokens(consul: &Consul) {
    let policy =
        |name: &str, rules: &str| format!(r#"{{"Name":"{name}","Rules":"{}"}}"#, rules.replace('"', "\\\""));
    let reads = r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
    let writes = r#"service_prefix "greeter" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
    let token =
        |id: &str, policy: &str| format!(r#"{{"SecretID":"{id}","Policies":[{{"Name":"{policy}"}}]}}"#);
    let steps = [
        ("policy", policy("reads", reads)),
        ("policy", policy("writes", writes)),
        ("token", token(READS, "reads")),
        ("token", token(OURS, "writes")),
    ];
    let until = Instant::now() + PATIENCE;
    for (path, body) in steps {
        loop {
            let (status, answer) = consul.http("PUT", &format!("/v1/acl/{path}"), ROOT, &body).await;
            if status == 200 {
                break;
            }
            assert!(Instant::now() < until, "{path}: {status} {answer}");
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn with_token(consul: &Consul, token: &str) -> ConsulConfig {
    ConsulConfig {
        token: Some(token.to_owned()),
        ..config(consul.server.address())
    }
}

#[tokio::test]
async fn a_token_says_what_is_allowed() {
    let acl = format!(
        r#"{{"acl":{{"enabled":true,"default_policy":"deny","tokens":{{"initial_management":"{ROOT}","agent":"{ROOT}"}}}}}}"#
    );
    let Some(consul) = Consul::start_with(&acl, &[]).await else {
        return;
    };
    drop(connect(with_token(&consul, ROOT)).await);
    ask_for_tokens(&consul).await;

    let registry = connect(with_token(&consul, OURS)).await;
    let reader = connect(with_token(&consul, READS)).await;
    let mut watcher = reader.watch(None).await.unwrap();
    register(&registry, &greeter("a")).await;
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    until(&reader, "greeter", &["a"]).await;

    let mut other = greeter("b");
    other.name = "other".into();
    for error in [
        registry.register(&other, LONG).await.unwrap_err(),
        reader.register(&greeter("c"), LONG).await.unwrap_err(),
        reader.deregister(&greeter("a")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
        assert!(error.detail().contains("CONSUL_HTTP_TOKEN"), "{error}");
        assert!(
            !error.detail().contains(OURS) && !error.detail().contains(READS),
            "{error}"
        );
    }
    let unknown = "44444444-4444-4444-4444-444444444444";
    let error = ConsulRegistry::connect(with_token(&consul, unknown))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert!(error.detail().contains("ACL not found"), "{error}");
    registry.deregister(&greeter("a")).await.unwrap();
    until(&reader, "greeter", &[]).await;
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
) -> ConsulConfig {
    ConsulConfig {
        agents: vec![format!("https://{address}")],
        tls: Some(ConsulTls {
            authorities: authorities.pem.clone().into_bytes(),
            identity,
            server_name: name.map(str::to_owned),
        }),
        ..ConsulConfig::default()
    }
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let Some((_consul, address)) = encrypted(&authority, "consul.example").await else {
        return;
    };
    let name = Some("consul.example");
    let identity = || Some(authority.issue("client").unwrap());
    let registry = connect(with_tls(address, &authority, identity(), name)).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));

    let stranger = Authority::new().unwrap();
    let strangers = [
        with_tls(address, &authority, None, name),
        with_tls(address, &stranger, identity(), name),
        with_tls(address, &authority, Some(stranger.issue("client").unwrap()), name),
        with_tls(address, &authority, identity(), None),
        ConsulConfig {
            agents: vec![address.to_string()],
            ..ConsulConfig::default()
        },
    ];
    for config in strangers {
        let error = ConsulRegistry::connect(config).await.unwrap_err();
        assert!(error.detail().contains(&address.to_string()), "{error}");
    }
    let mut broken = with_tls(address, &authority, None, name);
    broken.tls.as_mut().unwrap().authorities = b"no certificate".to_vec();
    let error = ConsulRegistry::connect(broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest, "{error}");
}
