//! A listener: its subject, and the task that takes what comes there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use micro_core::transport::Listener;
use micro_core::{Error, Handler, Result};
use micro_nats_connection::check_subject;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::sockets::{Begun, Serving};
use super::work;
use crate::error;
use crate::frame::{AnswerHeader, Frame};
use crate::mark::{Mark, farewell};
use crate::transport::Shared;

/// How long NATS may take to let a subject go.
const LETTING_GO: Duration = Duration::from_millis(500);
/// How many requests on their way to a listener that closes are surely told to go elsewhere.
const ON_THEIR_WAY: u64 = 256;

pub(crate) async fn listen(
    shared: &Arc<Shared>,
    address: &str,
    handler: Arc<dyn Handler>,
) -> Result<NatsListener> {
    let connection = &shared.connection;
    let client = connection.client();
    // What asks for a free port gets a subject of its own.
    let address = match address.ends_with(":0") {
        true => client.new_inbox(),
        false => address.to_owned(),
    };
    check_subject(&address).map_err(|why| error::no_address(&address, why))?;
    let patience = shared.config.connect_timeout;
    let begun = timeout(patience, begin(shared, &address)).await;
    let (requests, returns, prefix) = begun.map_err(|_| connection.gone())??;
    let serving = Arc::new(Serving::new(
        connection.clone(),
        shared.config.clone(),
        handler,
        prefix,
    ));
    let task = run(serving.clone(), address.clone(), requests, returns);
    Ok(NatsListener {
        address,
        serving,
        task: Some(AbortOnDropHandle::new(tokio::spawn(task))),
    })
}

/// Subscribes, unless somebody else listens there: NATS would let both, and each call would be handled twice.
async fn begin(shared: &Shared, address: &str) -> Result<(Subscriber, Subscriber, String)> {
    let connection = &shared.connection;
    let client = connection.client();
    let gone = |_| connection.gone();
    connection.up().await;
    connection.check_subscribe(address)?;
    if !is_free(client, address, || connection.settled()).await? {
        return Err(error::taken(address, connection.servers()));
    }
    let prefix = client.new_inbox();
    let requests = client.subscribe(address.to_owned()).await.map_err(gone)?;
    let returns = client.subscribe(format!("{prefix}.*")).await.map_err(gone)?;
    connection.settled().await?;
    connection.check_subscribe(address)?;
    Ok((requests, returns, prefix))
}

async fn is_free<F: Future<Output = Result<()>>>(
    client: &Client,
    address: &str,
    settled: impl FnOnce() -> F,
) -> Result<bool> {
    let inbox = client.new_inbox();
    let gone = |_| error::misconfigured(format!("the subject {address} cannot be asked"));
    let mut answer = client.subscribe(inbox.clone()).await.map_err(gone)?;
    let headers = Mark::Close.headers();
    let asked = client.publish_with_reply_and_headers(address.to_owned(), inbox, headers, farewell());
    asked.await.map_err(|problem| {
        error::misconfigured(format!("the subject {address} cannot be asked: {problem}"))
    })?;
    settled().await?;
    // By now NATS has said if nobody is there.
    let said = answer.next().now_or_never().flatten();
    Ok(said.is_some_and(|said| said.status == Some(StatusCode::NO_RESPONDERS)))
}

/// Takes what comes, until it is dropped, and with it all that is being worked on.
async fn run(serving: Arc<Serving>, address: String, mut requests: Subscriber, mut returns: Subscriber) {
    let mut tasks = JoinSet::new();
    let mut losses = serving.connection.losses();
    let first = losses;
    let mut taken: u64 = 0;
    loop {
        tokio::select! {
            biased;
            () = serving.connection.lost(losses) => {
                losses = serving.connection.losses();
                // Messages of streams may be lost. They are told when the connection is back.
                serving.cut_streams();
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            request = requests.next() => match request {
                Some(request) => {
                    taken += 1;
                    take(&serving, request, &mut tasks).await;
                }
                None => return,
            },
            // After a loss NATS counts from zero, and the library does not.
            () = serving.finish.notified() => match losses == first {
                true => let_go(&serving, &address, &mut requests, taken).await,
                false => return,
            },
            returned = returns.next() => match returned {
                Some(returned) => serving.returned(&returned),
                None => return,
            },
        }
    }
}

/// Gives the subject up, and still hears what is on its way. Who just unsubscribes never hears it, and its caller waits
/// for an answer; so NATS is asked to end the subscription after a number of messages, and gets so many.
async fn let_go(serving: &Serving, address: &str, requests: &mut Subscriber, taken: u64) {
    if requests.unsubscribe_after(taken + ON_THEIR_WAY).await.is_err() {
        return;
    }
    let client = serving.connection.client();
    for _ in 0..ON_THEIR_WAY {
        let _ = client.publish(address.to_owned(), Bytes::new()).await;
    }
}

async fn take(serving: &Arc<Serving>, message: Message, tasks: &mut JoinSet<()>) {
    let Some(reply) = message.reply.clone() else {
        return;
    };
    let mark = Mark::of(&message);
    match mark {
        _ if message.status.is_some() => return,
        Some(Mark::Close) => return serving.close(&reply),
        Some(Mark::Grant(more)) => return serving.grant(&reply, more),
        _ => {}
    }
    let mut frame = match Frame::read(&message.payload) {
        Ok(frame) => frame,
        Err(problem) => {
            let frame = Frame::default();
            let wrong = Error::bad_request("go.micro.server", problem.detail().to_owned());
            return refuse(serving, reply, &frame, &wrong, Mark::Refused).await;
        }
    };
    if frame.stream.is_some() && serving.forward(&reply, &mut frame, mark).await {
        return;
    }
    if frame.is_end() {
        return;
    }
    let window = match mark {
        Some(Mark::Window(window)) => Some(window),
        _ => None,
    };
    match serving.begin(&reply, &frame, window) {
        Ok(Begun::Call(socket)) => {
            tasks.spawn(work::call(serving.clone(), socket, frame));
        }
        Ok(Begun::Stream(socket, messages)) => {
            if window.is_some() {
                serving.announce(reply).await;
            }
            tasks.spawn(work::stream(serving.clone(), socket, messages, frame));
        }
        Err(error) => refuse(serving, reply, &frame, &error, Mark::Refused).await,
    }
}

async fn refuse(serving: &Serving, reply: Subject, frame: &Frame, error: &Error, mark: Mark) {
    let header = AnswerHeader {
        content_type: &frame.content_type,
        id: &frame.id,
        stream: frame.stream.as_ref(),
    };
    let client = serving.connection.client();
    let payload = header.error(error, client.max_payload());
    let _ = client.publish_with_headers(reply, mark.headers(), payload).await;
}

/// A subject that is being served.
pub(crate) struct NatsListener {
    address: String,
    serving: Arc<Serving>,
    task: Option<AbortOnDropHandle<()>>,
}

#[async_trait]
impl Listener for NatsListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn close(mut self: Box<Self>, grace: Duration) {
        let until = Instant::now() + grace;
        self.serving.drain();
        let _ = timeout_at(until, self.serving.idle()).await;
        self.serving.cut_all();
        self.serving.finish.notify_one();
        if let Some(mut task) = self.task.take()
            && timeout(LETTING_GO, &mut task).await.is_err()
        {
            task.abort();
            let _ = task.await;
        }
        // From now on callers are told that nobody is here.
        let settled = self.serving.connection.settled();
        let _ = timeout(LETTING_GO, settled).await;
    }
}

impl Drop for NatsListener {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.serving.cut_all();
        }
    }
}
