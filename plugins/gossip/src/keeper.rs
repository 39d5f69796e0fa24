//! The one task of a registry: it tells others of changes, lets entries lapse, and begins anew when the gossip ends.

use std::sync::Arc;
use std::time::Duration;

use micro_core::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::member::Member;
use crate::shared::Shared;
use crate::view;

/// Changes within this time are told together.
const TOGETHER: Duration = Duration::from_millis(5);
/// How often names of seeds are resolved again, and seeds that are not there are looked for.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(60);
/// The pause before gossip that ended is begun anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Begins the membership, for the registry or for the task.
pub(crate) async fn begin(shared: &Shared, before: Option<&Member>) -> Result<Member> {
    let entries = shared.own_entries();
    let keys: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
    let member = Member::begin(
        &shared.config,
        before.map(|member| member.address),
        entries,
        shared.bell.clone(),
        shared.traffic.clone(),
    )
    .await?;
    shared.go_on_with(member.handle.chitchat(), &keys).await?;
    Ok(member)
}

pub(crate) async fn run(shared: Arc<Shared>, mut member: Member) {
    let mut look_for_others = Instant::now() + LOOK_FOR_OTHERS;
    let mut resolving = JoinSet::new();
    loop {
        let ended = member.handle.termination_watcher();
        tokio::select! {
            () = shared.tell.notified() => {
                sleep(TOGETHER).await;
                member.tell().await;
            }
            () = lapse(shared.next_lapse()) => shared.lapse().await,
            () = shared.look.notified() => {}
            () = sleep_until(look_for_others), if resolving.is_empty() => {
                look_for_others = Instant::now() + LOOK_FOR_OTHERS;
                // Takes seconds where the name servers are away, and nothing else may wait for that.
                let shared = shared.clone();
                resolving.spawn(async move { shared.config.resolve_seeds().await });
            }
            Some(Ok(seeds)) = resolving.join_next() => {
                member.set_seeds(seeds);
                member.look_for_others().await;
            }
            result = ended => {
                tracing::warn!(address = %member.address, "gossip: it ended and is begun anew: {result:?}");
                match begin_anew(&shared, member).await {
                    Some(begun) => member = begun,
                    None => return,
                }
            }
            () = shared.end.notified() => return,
        }
    }
}

/// Nothing when the registry was closed meanwhile.
async fn begin_anew(shared: &Shared, member: Member) -> Option<Member> {
    member.handle.abort();
    loop {
        sleep(PAUSE).await;
        if shared.is_closed() {
            return None;
        }
        match begin(shared, Some(&member)).await {
            Ok(begun) => {
                // Whoever watches compares with what is there now.
                shared.bell.send_replace(());
                return Some(begun);
            }
            Err(problem) => tracing::warn!("gossip: it cannot be begun anew yet: {problem}"),
        }
    }
}

async fn lapse(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits until the others are known, as far as there are any.
pub(crate) async fn join(shared: &Shared) -> Result<()> {
    let config = &shared.config;
    let until = Instant::now() + config.join_timeout;
    let mut met: Option<Instant> = None;
    loop {
        // The more often both have spoken, the sooner each takes the other for alive.
        shared.tell.notify_one();
        sleep((config.interval / 8).clamp(TOGETHER * 2, Duration::from_millis(100))).await;
        let (alive, known) = view::counts(&*shared.lock().await?);
        let now = Instant::now();
        if alive > 0 {
            let since = *met.get_or_insert(now);
            // Of those who are known and not alive, some are dead, and others were not heard of often enough yet.
            if alive == known || now - since > config.interval * 4 {
                return Ok(());
            }
        } else if now > until {
            tracing::warn!(
                seeds = %config.seeds.join(","),
                "gossip: no seed answers; this member begins alone, and will meet the others when one does"
            );
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::GossipConfig;

    use super::*;

    #[tokio::test]
    async fn what_is_registered_and_deregistered_while_gossip_is_begun_anew_counts() {
        let shared = Shared::new(GossipConfig {
            listen: Some(([127, 0, 0, 1], 0).into()),
            ..GossipConfig::default()
        });
        let _first = begin(&shared, None).await.unwrap();
        let entry = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        for key in ["gone", "stays", "changes"] {
            shared.put(entry(key, "before"), None).await.unwrap();
        }
        let (entries, keys) = (shared.own_entries(), shared.own_keys());
        let second = Member::begin(
            &shared.config,
            None,
            entries,
            shared.bell.clone(),
            shared.traffic.clone(),
        );
        let second = second.await.unwrap();
        shared.take_out(vec!["gone".to_owned()]).await.unwrap();
        shared.put(entry("changes", "after"), None).await.unwrap();
        shared.put(entry("new", "after"), None).await.unwrap();
        shared.go_on_with(second.handle.chitchat(), &keys).await.unwrap();
        let mut chitchat = shared.lock().await.unwrap();
        let state = chitchat.self_node_state();
        let values = ["gone", "stays", "changes", "new"].map(|key| state.get(key));
        assert_eq!(values, [Some(""), Some("before"), Some("after"), Some("after")]);
    }
}
