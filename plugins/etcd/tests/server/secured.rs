//! An etcd that asks for passwords, and one that asks for certificates.

use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_etcd::{EtcdConfig, EtcdRegistry, EtcdTls};
use servers::Authority;

use crate::etcd::{Etcd, LONG, config, connect, greeter, ids, in_base64, next, register};

/// Lets in `root`, and `micro` with a password, to the records only.
async fn ask_for_passwords(etcd: &Etcd) {
    let (key, end) = (in_base64("/micro/registry/"), in_base64("/micro/registry0"));
    let steps = [
        ("user/add", r#"{"name":"root","password":"top"}"#.to_owned()),
        ("role/add", r#"{"name":"root"}"#.to_owned()),
        ("user/grant", r#"{"user":"root","role":"root"}"#.to_owned()),
        ("user/add", r#"{"name":"micro","password":"secret"}"#.to_owned()),
        ("role/add", r#"{"name":"records"}"#.to_owned()),
        (
            "role/grant",
            format!(
                r#"{{"name":"records","perm":{{"permType":"READWRITE","key":"{key}","range_end":"{end}"}}}}"#
            ),
        ),
        ("user/grant", r#"{"user":"micro","role":"records"}"#.to_owned()),
        ("enable", "{}".to_owned()),
    ];
    for (path, body) in steps {
        etcd.post(&format!("/v3/auth/{path}"), &body).await;
    }
}

fn as_user(etcd: &Etcd, user: &str, password: &str) -> EtcdConfig {
    EtcdConfig {
        user: Some(user.to_owned()),
        password: password.to_owned(),
        ..config(etcd)
    }
}

#[tokio::test]
async fn a_user_with_the_right_password_and_role_is_let_in() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    // Whoever has a password may use an etcd that asks for none, and goes on when it begins to ask.
    let early = connect(as_user(&etcd, "micro", "secret")).await;
    ask_for_passwords(&etcd).await;
    for config in [
        config(&etcd),
        as_user(&etcd, "micro", "wrong"),
        as_user(&etcd, "nobody", "secret"),
    ] {
        let error = EtcdRegistry::connect(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(error.detail().contains("ETCD_USERNAME"), "{error}");
    }
    let elsewhere = EtcdConfig {
        prefix: "/elsewhere/".into(),
        ..as_user(&etcd, "micro", "secret")
    };
    let error = EtcdRegistry::connect(elsewhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");

    let registry = connect(as_user(&etcd, "micro", "secret")).await;
    let mut watcher = early.watch(Some("greeter")).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));
    // A restarted etcd knows the users, but not the tokens that it gave them.
    etcd.server.start_again().await.unwrap();
    register(&registry, &greeter("a")).await;
    register(&registry, &greeter("b")).await;
    assert_eq!(next(&mut watcher).await.service, greeter("b"));
    assert_eq!(ids(&early.get_service("greeter").await.unwrap()), ["a", "b"]);
    early.deregister(&greeter("a")).await.unwrap();
    assert_eq!(ids(&registry.get_service("greeter").await.unwrap()), ["b"]);
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let authority = Authority::new().unwrap();
    let files = authority.files("127.0.0.1").unwrap();
    let arguments = [
        format!("--cert-file={}", files.certificate),
        format!("--key-file={}", files.key),
        format!("--trusted-ca-file={}", files.authority),
        "--client-cert-auth".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(etcd) = Etcd::start_encrypted(&arguments).await else {
        return;
    };
    let with = |tls| EtcdConfig {
        tls: Some(tls),
        ..config(&etcd)
    };
    let registry = connect(with(authority.client().unwrap())).await;
    let mut watcher = registry.watch(None).await.unwrap();
    registry.register(&greeter("a"), LONG).await.unwrap();
    assert_eq!(next(&mut watcher).await.service, greeter("a"));

    for tls in authority.strangers().unwrap() {
        let error = EtcdRegistry::connect(with(tls)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.detail().contains(&etcd.address()) && error.detail().contains("TLS"),
            "{error}"
        );
    }
    let broken = EtcdTls {
        authorities: b"no certificate".to_vec(),
        ..EtcdTls::default()
    };
    assert!(EtcdRegistry::connect(with(broken)).await.is_err());
}
