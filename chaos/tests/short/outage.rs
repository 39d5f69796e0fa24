//! The broker's server is restarted and its connections are cut. Left out, aloud, where its program is not installed.

use servers::Kind;

use crate::run::{number, printed, row};

async fn lives_through(kind: Kind) {
    if !servers::is_installed_or_skip(kind) {
        return;
    }
    let text = printed(
        &format!("outage --broker {kind} --messages 1500 --cuts 2 --rate 300 --publishers 8 --ignore-times"),
        0,
    )
    .await;
    let row = row(&text, kind.name());
    assert_eq!((row[0].as_str(), row[3].as_str()), ("1,500", "0"), "{text}");
    assert!(number(&row[2]) >= 1500 - number(&row[1]), "{text}");
    assert!(text.contains(" cuts, published after"), "{text}");
}

#[tokio::test]
async fn redis_may_be_killed_and_its_connections_cut() {
    lives_through(Kind::Redis).await;
}

#[tokio::test]
async fn nats_may_be_killed_and_its_connections_cut() {
    lives_through(Kind::Nats).await;
}

#[tokio::test]
async fn nsq_may_be_restarted_and_its_connections_cut() {
    lives_through(Kind::Nsq).await;
}

#[tokio::test]
async fn events_that_are_never_handled_break_the_promise() {
    if !servers::is_installed_or_skip(Kind::Redis) {
        return;
    }
    let text = printed(
        "outage --broker redis --messages 200 --cuts 0 --rate 500 --publishers 8 --patience 3 --ignore-times \
         --sabotage errors",
        1,
    )
    .await;
    assert!(
        text.contains("broken  nothing is lost that was accepted: 2 of 200 lost"),
        "{text}"
    );
}
