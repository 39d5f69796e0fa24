//! An etcd that asks for passwords, and one that asks for certificates.

use micro_config::{ErrorKind, Source};
use micro_etcd_config::{EtcdServers, EtcdSource, EtcdTls};
use serde_json::json;
use servers::Authority;

use crate::etcd::{Etcd, config, follow, in_base64, source, until, until_well};

/// Lets in `root`, and `micro` with a password, who may read the configuration only.
async fn ask_for_passwords(etcd: &Etcd) {
    let (key, end) = (in_base64("/shop"), in_base64("/shoq"));
    let steps = [
        ("user/add", r#"{"name":"root","password":"top"}"#.to_owned()),
        ("role/add", r#"{"name":"root"}"#.to_owned()),
        ("user/grant", r#"{"user":"root","role":"root"}"#.to_owned()),
        ("user/add", r#"{"name":"micro","password":"secret"}"#.to_owned()),
        ("role/add", r#"{"name":"reads"}"#.to_owned()),
        (
            "role/grant",
            format!(r#"{{"name":"reads","perm":{{"permType":"READ","key":"{key}","range_end":"{end}"}}}}"#),
        ),
        ("user/grant", r#"{"user":"micro","role":"reads"}"#.to_owned()),
        ("enable", "{}".to_owned()),
    ];
    for (path, body) in steps {
        etcd.post(&format!("/v3/auth/{path}"), &body).await;
    }
}

/// What nobody but `root` may do is done while nobody is asked for a password.
async fn put_as_root(etcd: &Etcd, key: &str, value: &str) {
    let answer = etcd
        .post("/v3/auth/authenticate", r#"{"name":"root","password":"top"}"#)
        .await;
    let token = answer.split(r#""token":""#).nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let body = format!(r#"{{"key":"{}","value":"{}"}}"#, in_base64(key), in_base64(value));
    let request = format!(
        "POST /v3/kv/put HTTP/1.1\r\nhost: etcd\r\nauthorization: {token}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(etcd.server.address())
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn as_user(etcd: &Etcd, user: &str, password: &str, prefix: &str) -> EtcdSource {
    let mut config = config(etcd, prefix);
    config.servers = EtcdServers {
        user: Some(user.to_owned()),
        password: password.to_owned(),
        ..config.servers
    };
    EtcdSource::new(config).unwrap()
}

#[tokio::test]
async fn a_user_with_the_right_password_and_role_is_let_in() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/shop/a", "1").await;
    etcd.put("/secret/a", "1").await;
    // Whoever has a password may use an etcd that asks for none, and goes on when it begins to ask.
    let early = follow(as_user(&etcd, "micro", "secret", "/shop")).await;
    ask_for_passwords(&etcd).await;
    for mut source in [
        source(&etcd, "/shop/"),
        as_user(&etcd, "micro", "wrong", "/shop/"),
        as_user(&etcd, "nobody", "secret", "/shop/"),
    ] {
        let error = source.read().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("ETCD_USERNAME"), "{error}");
        assert!(!format!("{error} {error:?} {source:?}").contains("secret"));
    }
    let mut elsewhere = as_user(&etcd, "micro", "secret", "/secret/");
    let error = elsewhere.read().await.unwrap_err();
    assert!(
        error.to_string().contains("grant the user's role `read`"),
        "{error}"
    );

    let config = follow(as_user(&etcd, "micro", "secret", "/shop")).await;
    put_as_root(&etcd, "/shop/a", "2").await;
    until(&config, "a", json!(2)).await;
    until(&early, "a", json!(2)).await;
    // A restarted etcd knows the users, but not the tokens that it gave them.
    etcd.server.start_again().await.unwrap();
    put_as_root(&etcd, "/shop/a", "3").await;
    until(&config, "a", json!(3)).await;
    until_well(&config, true).await;
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
    let with = |tls| {
        let mut config = config(&etcd, "/shop/");
        config.servers.tls = Some(tls);
        EtcdSource::new(config)
    };
    // Nobody is refused, so that it is known that the connection stands: there is no key yet.
    let mut right = with(authority.client().unwrap()).unwrap();
    let error = right.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing, "{error}");

    for tls in authority.strangers().unwrap() {
        let error = with(tls).unwrap().read().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().contains(&etcd.address()) && error.to_string().contains("TLS"),
            "{error}"
        );
    }
    let broken = EtcdTls {
        authorities: b"no certificate".to_vec(),
        ..EtcdTls::default()
    };
    let refused = match with(broken) {
        Ok(mut source) => source.read().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains(&etcd.address()), "{refused}");
}
