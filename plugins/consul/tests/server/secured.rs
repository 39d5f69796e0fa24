//! A Consul that asks for tokens, and one that asks for certificates.

use std::net::SocketAddr;

use micro_consul::{ConsulConfig, ConsulRegistry, ConsulTls};
use micro_core::ErrorKind;
use micro_core::registry::Registry;
use servers::Authority;
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

fn with_tls(address: SocketAddr, tls: ConsulTls, name: Option<&str>) -> ConsulConfig {
    ConsulConfig {
        agents: vec![format!("https://{address}")],
        tls: Some(ConsulTls {
            server_name: name.map(str::to_owned),
            ..tls
        }),
        ..ConsulConfig::default()
    }
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let Some((_consul, address)) = Consul::start_encrypted(&authority, "consul.example").await else {
        return;
    };
    let name = Some("consul.example");
    let right = authority.client().unwrap();
    let registry = connect(with_tls(address, right.clone(), name)).await;
    let mut watcher = registry.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));

    let unnamed = with_tls(address, right.clone(), None);
    let strangers = authority.strangers().unwrap();
    let strangers = strangers.map(|tls| with_tls(address, tls, name));
    for config in strangers.into_iter().chain([
        unnamed,
        ConsulConfig {
            agents: vec![address.to_string()],
            ..ConsulConfig::default()
        },
    ]) {
        let error = ConsulRegistry::connect(config).await.unwrap_err();
        assert!(error.detail().contains(&address.to_string()), "{error}");
    }
    let broken = ConsulTls {
        authorities: b"no certificate".to_vec(),
        ..right
    };
    let error = ConsulRegistry::connect(with_tls(address, broken, name))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRequest, "{error}");
}
