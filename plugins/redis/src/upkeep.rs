//! What is done beside handling events: saying that they are looked after, and removing what everybody has handled.

use std::sync::Weak;
use std::time::Duration;

use micro_core::Result;
use redis::{Cmd, Value};
use tokio::time::{Instant, sleep};

use crate::entry::{EntryId, text};
use crate::link::Link;
use crate::member::{Member, Share};

/// How often what everybody has handled is removed.
const TRIM_EVERY: Duration = Duration::from_secs(60);
/// After how long without a sign of life a member that has no events is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps up a membership until it ends.
pub(crate) async fn keep(member: Weak<Member>, claim_after: Duration) {
    let every = (claim_after / 3).clamp(Duration::from_millis(1), TRIM_EVERY / 2);
    // Not all members at once.
    let mut trim_at = Instant::now() + TRIM_EVERY.mul_f64(0.5 + fastrand::f64());
    loop {
        sleep(every).await;
        let Some(member) = member.upgrade() else { return };
        if let Some(share) = &member.share {
            let refreshed = refresh(&member, share).await;
            told(
                &member,
                "the events that are being handled may be given to others",
                refreshed,
            );
        }
        if Instant::now() >= trim_at {
            trim_at = Instant::now() + TRIM_EVERY.mul_f64(0.5 + fastrand::f64());
            told(&member, "what was handled stays", tidy(&member).await);
        }
    }
}

fn told(member: &Member, consequence: &str, result: Result<()>) {
    if let Err(problem) = result {
        tracing::debug!(topic = %member.topic, %problem, "{consequence}");
    }
}

/// Says that somebody still works on the events that were given out.
async fn refresh(member: &Member, share: &Share) -> Result<()> {
    let held = member.held_ids();
    if held.is_empty() {
        return Ok(());
    }
    let mut command = redis::cmd("XCLAIM");
    command.arg(&member.key).arg(share.queue.as_str());
    command.arg(&share.consumer).arg(0);
    for id in held {
        command.arg(id.to_string());
    }
    command.arg("JUSTID");
    member.link.request(&command).await.map(drop)
}

async fn tidy(member: &Member) -> Result<()> {
    if let Some(retention) = member.retention {
        trim(&member.link, &member.key, retention).await?;
    }
    match &member.share {
        Some(share) => forget_the_dead(&member.link, &member.key, share).await,
        None => Ok(()),
    }
}

/// Removes what all queues have handled and is older than subscriptions without a queue may need.
pub(crate) async fn trim(link: &Link, key: &str, retention: Duration) -> Result<()> {
    let Value::Array(time) = link.request(&redis::cmd("TIME")).await? else {
        return Ok(());
    };
    let part = |index: usize| time.get(index).and_then(number).unwrap_or_default();
    let (seconds, micros) = (part(0), part(1));
    let now = seconds.saturating_mul(1000).saturating_add(micros / 1000);
    let mut until = EntryId(now.saturating_sub(millis(retention)), 0);
    let mut groups = redis::cmd("XINFO");
    let Value::Array(groups) = link.request(groups.arg("GROUPS").arg(key)).await? else {
        return Ok(());
    };
    for group in groups {
        let Some(unhandled) = first_unhandled(link, key, &group).await? else {
            return Ok(());
        };
        until = until.min(unhandled);
    }
    let mut command = redis::cmd("XTRIM");
    command.arg(key).arg("MINID").arg("~").arg(until.to_string());
    // Redis removes some ten thousand at once, and more may have come since the last time.
    while number(&link.request(&command).await?).is_some_and(|removed| removed > 0) {}
    Ok(())
}

/// Before which entry a queue has handled everything. None: that cannot be known.
async fn first_unhandled(link: &Link, key: &str, group: &Value) -> Result<Option<EntryId>> {
    let (Some(name), Some(last)) = (field(group, "name"), field(group, "last-delivered-id")) else {
        return Ok(None);
    };
    let Some(last) = EntryId::of(last) else {
        return Ok(None);
    };
    let pending = field(group, "pending").and_then(number).unwrap_or(1);
    if pending == 0 {
        return Ok(Some(last));
    }
    let mut command = redis::cmd("XPENDING");
    let name = text(name).unwrap_or_default();
    let Value::Array(summary) = link.request(command.arg(key).arg(name)).await? else {
        return Ok(None);
    };
    let first = summary.get(1).and_then(EntryId::of);
    Ok(Some(first.unwrap_or_default().min(last)))
}

/// Removes the names of members that ended without a word, once others have taken over what they had.
async fn forget_the_dead(link: &Link, key: &str, share: &Share) -> Result<()> {
    let mut command = redis::cmd("XINFO");
    command.arg("CONSUMERS").arg(key).arg(share.queue.as_str());
    let Value::Array(consumers) = link.request(&command).await? else {
        return Ok(());
    };
    for consumer in &consumers {
        let of = |name| field(consumer, name).and_then(number);
        let is_dead = of("pending") == Some(0) && of("idle").is_some_and(|idle| idle > millis(FORGET_AFTER));
        if let (true, Some(name)) = (is_dead, field(consumer, "name").and_then(text)) {
            let mut command = redis::cmd("XGROUP");
            command.arg("DELCONSUMER").arg(key);
            link.request(command.arg(share.queue.as_str()).arg(name)).await?;
        }
    }
    Ok(())
}

/// A field of what Redis tells in names and values.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Array(pairs) = value else { return None };
    let mut pairs = pairs.chunks_exact(2);
    let found = pairs.find(|pair| text(&pair[0]) == Some(name.as_bytes()))?;
    Some(&found[1])
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => std::str::from_utf8(text(other)?).ok()?.parse().ok(),
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX / 2)
        .min(u64::MAX / 2)
}

/// The id of the last entry that a stream ever had.
pub(crate) async fn last_entry(link: &Link, key: &str) -> Result<EntryId> {
    let mut command: Cmd = redis::cmd("XINFO");
    command.arg("STREAM").arg(key);
    match link.try_request(&command).await? {
        Ok(info) => Ok(field(&info, "last-generated-id")
            .and_then(EntryId::of)
            .unwrap_or_default()),
        Err(problem) if crate::error::is_absent(&problem) => Ok(EntryId::default()),
        Err(problem) => Err(crate::error::failed(link.address(), &problem)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use servers::Kind;

    use super::*;
    use crate::config::RedisConfig;
    use crate::dial::Dialer;

    /// Adds entries to a stream at once, and waits until they belong to the past by the server's clock.
    async fn add(link: &Link, count: usize) {
        let script = "for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'body', 'x') end";
        let mut command = redis::cmd("EVAL");
        link.request(command.arg(script).arg(1).arg("key").arg(count))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    fn link_to(server: &servers::Server) -> Link {
        let config = RedisConfig {
            address: server.address().to_string(),
            ..RedisConfig::default()
        };
        let dialer = Arc::new(Dialer::new(&config).unwrap());
        Link::new(dialer, config.response_timeout, config.publish_timeout)
    }

    #[tokio::test]
    async fn everything_old_is_removed_however_much_it_is() {
        let Some(server) = servers::start_or_skip(Kind::Redis).await else {
            return;
        };
        let link = link_to(&server);
        add(&link, 30_000).await;
        trim(&link, "key", Duration::ZERO).await.unwrap();
        let length = link.request(redis::cmd("XLEN").arg("key")).await.unwrap();
        assert!(number(&length).unwrap() < 200, "{length:?}");
    }

    #[tokio::test]
    async fn only_what_all_queues_have_handled_is_removed() {
        let Some(server) = servers::start_or_skip(Kind::Redis).await else {
            return;
        };
        let link = link_to(&server);
        let ask = async |words: &str| {
            let mut words = words.split(' ');
            let mut command = redis::cmd(words.next().unwrap());
            for word in words {
                command.arg(word);
            }
            link.request(&command).await.unwrap()
        };
        let length = async || number(&ask("XLEN key").await).unwrap();
        for queue in ["fast", "slow"] {
            ask(&format!("XGROUP CREATE key {queue} $ MKSTREAM")).await;
        }
        add(&link, 1000).await;
        trim(&link, "key", Duration::ZERO).await.unwrap();
        assert_eq!(length().await, 1000, "nobody has handled anything");
        let read = ask("XREADGROUP GROUP fast me COUNT 1000 NOACK STREAMS key >").await;
        assert_eq!(crate::entry::read_streams(read).unwrap().len(), 1000);
        let read = ask("XREADGROUP GROUP slow me COUNT 500 STREAMS key >").await;
        let read = crate::entry::read_streams(read).unwrap();
        trim(&link, "key", Duration::ZERO).await.unwrap();
        assert_eq!(
            length().await,
            1000,
            "one queue has some that are not acknowledged"
        );
        let handled: Vec<String> = read[..499].iter().map(|entry| entry.id.to_string()).collect();
        ask(&format!("XACK key slow {}", handled.join(" "))).await;
        trim(&link, "key", Duration::from_secs(60)).await.unwrap();
        assert_eq!(length().await, 1000, "they are not old enough");
        trim(&link, "key", Duration::ZERO).await.unwrap();
        let left = length().await;
        assert!((501..=700).contains(&left), "{left}");
        let left = ask("XREADGROUP GROUP slow me COUNT 1000 STREAMS key >").await;
        assert_eq!(crate::entry::read_streams(left).unwrap().len(), 500);
        let share = Share {
            queue: "slow".into(),
            consumer: "me".into(),
        };
        forget_the_dead(&link, "key", &share).await.unwrap();
        assert_eq!(last_entry(&link, "nothing").await.unwrap(), EntryId::default());
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let group = Value::Array(vec![
            text("name"),
            text("workers"),
            text("pending"),
            Value::Int(3),
        ]);
        assert_eq!(field(&group, "pending").and_then(number), Some(3));
        assert_eq!(field(&group, "name"), Some(&text("workers")));
        assert_eq!(field(&group, "workers"), None);
        assert_eq!(number(&text("17")), Some(17));
        assert_eq!(number(&Value::Int(-1)), None);
    }
}
