//! Each server starts, forgets on request, and keeps its data otherwise.

#![allow(clippy::unwrap_used, reason = "tests")]

use servers::{Kind, http, start_or_skip};

#[tokio::test]
async fn etcd_keeps_its_data_or_forgets_it() {
    let Some(mut etcd) = start_or_skip(Kind::Etcd).await else {
        return;
    };
    let address = etcd.address();
    let put = r#"{"key":"YQ==","value":"Yg=="}"#;
    http(address, "POST", "/v3/kv/put", put).await.unwrap();
    let get = || http(address, "POST", "/v3/kv/range", r#"{"key":"YQ=="}"#);
    etcd.start_again().await.unwrap();
    assert!(get().await.unwrap().contains("Yg=="));
    etcd.kill().await.unwrap();
    assert!(get().await.is_err());
    etcd.start_empty().await.unwrap();
    assert!(!get().await.unwrap().contains("Yg=="));
}

#[tokio::test]
async fn each_starts_and_starts_again() {
    for &kind in Kind::ALL {
        if let Some(mut server) = start_or_skip(kind).await {
            server.start_empty().await.unwrap();
        }
    }
}

#[test]
fn a_name_means_a_server() {
    for &kind in Kind::ALL {
        assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
    }
    assert!(
        "eureka"
            .parse::<Kind>()
            .unwrap_err()
            .to_string()
            .contains("etcd, consul")
    );
}
