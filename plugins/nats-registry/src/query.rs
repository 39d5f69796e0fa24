//! Asking who is there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::StatusCode;
use futures_util::StreamExt;
use micro_core::Result;
use micro_core::registry::ServiceRecord;
use tokio::time::{Instant, timeout, timeout_at};

use crate::message::{Question, read_record, write_question};
use crate::registry::Shared;

/// How much longer to wait, as parts of the time, where somebody could answer and nobody does.
const GIVE_UP: f64 = 2.5;
/// How long it must be quiet behind an answer, as parts of the time.
const QUIET: f64 = 0.5;
/// How long to wait at most, as parts of the time, for answers that keep coming.
const AT_MOST: u32 = 10;
/// The most that answers to one question may have together.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The records that come in answer, as they come: those of one version may be in several. Waits for the server if need
/// be.
pub(crate) async fn ask(shared: &Arc<Shared>, question: &Question) -> Result<Vec<ServiceRecord>> {
    let patience = shared.config.request_timeout;
    match timeout(patience, ask_until_it_works(shared, question)).await {
        Ok(found) => found,
        Err(_) => Err(shared.connection.gone()),
    }
}

async fn ask_until_it_works(shared: &Arc<Shared>, question: &Question) -> Result<Vec<ServiceRecord>> {
    let payload = write_question(question)?;
    let connection = &shared.connection;
    loop {
        connection.up().await;
        connection.check_publish(&shared.config.query_subject)?;
        let losses = connection.losses();
        let asking = ask_once(shared, question, payload.clone());
        if let Some(found) = connection.unless_lost(losses, asking).await {
            return found;
        }
    }
}

async fn ask_once(shared: &Shared, question: &Question, payload: bytes::Bytes) -> Result<Vec<ServiceRecord>> {
    let client = shared.connection.client();
    let wait = shared.config.timeout;
    let inbox = client.new_inbox();
    let subscribed = client.subscribe(inbox.clone()).await;
    let mut answers = subscribed.map_err(|_| shared.connection.gone())?;
    let asked = client
        .publish_with_reply(shared.config.query_subject.clone(), inbox, payload)
        .await;
    asked.map_err(|_| shared.connection.gone())?;
    let begun = Instant::now();
    let mut until = begun + wait.mul_f64(GIVE_UP);
    let (mut found, mut bytes, mut is_nobody_there) = (Vec::new(), 0, false);
    while let Ok(Some(message)) = timeout_at(until, answers.next()).await {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            is_nobody_there = true;
            break;
        }
        bytes += message.payload.len();
        if bytes > MAX_BYTES {
            tracing::warn!(
                "the answers of NATS at {} are cut off at {MAX_BYTES} bytes",
                shared.connection.servers()
            );
            break;
        }
        let Some(record) = read_record(&message.payload) else {
            continue;
        };
        if matches!(question, Question::Get(name) if *name != record.name) {
            continue;
        }
        found.push(record);
        until = patience(begun, Instant::now(), wait);
    }
    if found.is_empty() && !is_nobody_there {
        // Nobody may have it, or the server may not even have heard the question.
        shared.connection.settled().await?;
    }
    Ok(found)
}

/// Until when to wait behind an answer.
fn patience(begun: Instant, now: Instant, wait: Duration) -> Instant {
    let quiet = now + wait.mul_f64(QUIET);
    quiet.clamp(begun + wait, begun + wait * AT_MOST)
}
