//! The registry's server is taken away. Left out, aloud, where its program is not installed.

use servers::Kind;

use crate::run::{chaos, number, printed, row};

/// What a run prints in which the server of a registry is gone and comes back empty, and the table's rows for that.
async fn lives_through(kind: Kind) {
    if !servers::is_installed_or_skip(kind) {
        return;
    }
    let text = printed(
        &format!("blackout --registry {kind} --secs 6 --ttl 2 --rate 500 --callers 8 --ignore-times"),
        0,
    )
    .await;
    for part in [", before", " gone", " back"] {
        let row = row(&text, &format!("{kind}{part}"));
        assert!(number(&row[0]) > 0, "{text}");
        assert_eq!((row[1].as_str(), &row[3]), ("0", &row[0]), "{text}");
    }
    assert!(
        text.contains("came back empty; time to live 2.00 s, interval 1.00 s"),
        "{text}"
    );
    assert!(text.contains("within two intervals: 3 of 3"), "{text}");
    assert!(text.contains("after SIGKILL"), "{text}");
}

#[tokio::test]
async fn etcd_may_be_gone_and_come_back_empty() {
    lives_through(Kind::Etcd).await;
}

#[tokio::test]
async fn consul_may_be_gone_and_come_back_empty() {
    lives_through(Kind::Consul).await;
}

#[tokio::test]
async fn kubernetes_may_be_gone_and_come_back_empty() {
    lives_through(Kind::Kubernetes).await;
}

#[tokio::test]
async fn zookeeper_may_be_gone_and_come_back_empty() {
    lives_through(Kind::Zookeeper).await;
}

#[tokio::test]
async fn nodes_that_do_not_register_again_break_the_promise() {
    if !servers::is_installed_or_skip(Kind::Etcd) {
        return;
    }
    let text = printed(
        "blackout --registry etcd --secs 1 --ttl 2 --rate 500 --callers 8 --ignore-times --sabotage forgets",
        1,
    )
    .await;
    assert!(
        text.contains("broken  all nodes are registered again within two intervals: 0 of 3"),
        "{text}"
    );
    assert!(
        text.contains("registered again after its return: never, never, never"),
        "{text}"
    );
    assert!(text.contains("none was there to be killed"), "{text}");
    assert!(text.contains("kept    no call fails"), "{text}");
}

#[tokio::test]
async fn a_missing_program_is_told_with_what_to_do() {
    let mut run = chaos("blackout --registry etcd");
    let output = run.env("PATH", "").output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cargo xtask backends up etcd"), "{errors}");
}
