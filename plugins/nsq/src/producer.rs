//! Publishing: each nsqd has a connection that carries what all publishers have for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use micro_core::{Error, Result, Text, retry_pause};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::config::NsqConfig;
use crate::dial::{Connection, Dialer};
use crate::error;
use crate::frame::{self, Frame};

/// How many messages are published with one command, and how large they are together at most.
const MOST_AT_ONCE: usize = 64;
const LARGEST_TOGETHER: usize = 64 * 1024;
/// After so many failures the pauses grow no more, so that it works again soon after the nsqd does.
const FAILURES: u32 = 3;

/// All nsqds that are published to.
pub(crate) struct Producers {
    producers: Vec<Arc<Producer>>,
    turn: AtomicUsize,
    publish_timeout: Duration,
    addresses: String,
}

/// One nsqd that is published to.
struct Producer {
    address: String,
    dialer: Arc<Dialer>,
    response_timeout: Duration,
    silence: Duration,
    max_pending: usize,
    current: Mutex<Option<Running>>,
    /// One connects, and the others wait for it.
    dialing: tokio::sync::Mutex<Attempts>,
}

/// The task of a connection. Dropping it ends it.
struct Running {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
}

/// A message to be published.
struct Job {
    topic: Text,
    body: Bytes,
    /// Not together with others, of which one may be what the nsqd does not take.
    is_alone: bool,
    told: oneshot::Sender<Outcome>,
}

/// What became of a message.
enum Outcome {
    Confirmed,
    /// Or nothing is known of it, because the connection broke.
    Refused(Error),
    /// One of several that were published together is refused.
    PublishAlone,
}

impl Producers {
    pub(crate) fn new(addresses: &[String], config: &NsqConfig, dialer: &Arc<Dialer>) -> Self {
        let producers = addresses.iter().map(|address| {
            Arc::new(Producer {
                address: address.clone(),
                dialer: dialer.clone(),
                response_timeout: config.response_timeout,
                silence: config.heartbeat * 5 / 2,
                max_pending: config.max_pending.min(Semaphore::MAX_PERMITS),
                current: Mutex::default(),
                dialing: tokio::sync::Mutex::default(),
            })
        });
        Self {
            producers: producers.collect(),
            turn: AtomicUsize::new(0),
            publish_timeout: config.publish_timeout,
            addresses: addresses.join(", "),
        }
    }

    /// Connects to one of them at least. Nothing to connect to is no failure.
    pub(crate) async fn open(&self) -> Result<()> {
        let mut problem = None;
        for producer in &self.producers {
            match producer.jobs().await {
                Ok(_) => return Ok(()),
                Err(error) => problem = Some(error),
            }
        }
        problem.map_or(Ok(()), Err)
    }

    /// Publishes until an nsqd confirms, each in turn.
    pub(crate) async fn publish(&self, topic: &Text, body: &Bytes) -> Result<()> {
        if self.producers.is_empty() {
            return Err(error::misconfigured(
                "there is no nsqd to publish to; name one in `nsqds`",
            ));
        }
        let mut trouble = None;
        let deadline = Instant::now() + self.publish_timeout;
        let published = timeout_at(deadline, self.insist(topic, body, &mut trouble)).await;
        published.unwrap_or_else(|_| {
            Err(error::late(
                &self.addresses,
                self.publish_timeout,
                trouble.as_ref(),
            ))
        })
    }

    async fn insist(&self, topic: &Text, body: &Bytes, trouble: &mut Option<Error>) -> Result<()> {
        let mut is_alone = body.len() > LARGEST_TOGETHER;
        let mut refusals = 0_usize;
        loop {
            let producer = self.next_producer();
            match producer.publish(topic, body, is_alone).await {
                Ok(Outcome::Confirmed) => return Ok(()),
                Ok(Outcome::Refused(problem)) if error::may_pass(&problem) => {
                    *trouble = Some(problem);
                    refusals += 1;
                    // A connection that just broke is made anew at once, and each of the others is asked once.
                    if let Some(rounds @ 1..) = refusals.checked_sub(self.producers.len()) {
                        let failures = u32::try_from(rounds).unwrap_or(FAILURES);
                        sleep(retry_pause(failures.min(FAILURES))).await;
                    }
                }
                Ok(Outcome::Refused(problem)) => return Err(problem),
                Ok(Outcome::PublishAlone) => is_alone = true,
                Err(problem) if error::may_pass(&problem) => *trouble = Some(problem),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// The next in turn that is not known to be away; else the next in turn.
    fn next_producer(&self) -> &Arc<Producer> {
        let count = self.producers.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut in_turn = (0..count).map(|step| &self.producers[(turn.wrapping_add(step)) % count]);
        in_turn
            .find(|producer| producer.may_work())
            .unwrap_or(&self.producers[turn % count])
    }
}

impl Producer {
    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the connection that there is.
    fn open_jobs(&self) -> Option<mpsc::Sender<Job>> {
        let current = self.lock();
        let running = current.as_ref().filter(|running| !running.jobs.is_closed());
        running.map(|running| running.jobs.clone())
    }

    /// Whether it works, or failed so long ago that it may work again.
    fn may_work(&self) -> bool {
        self.open_jobs().is_some()
            || self.dialing.try_lock().is_ok_and(|attempts| {
                attempts
                    .not_before
                    .is_none_or(|not_before| not_before <= Instant::now())
            })
    }

    async fn publish(&self, topic: &Text, body: &Bytes, is_alone: bool) -> Result<Outcome> {
        let jobs = self.jobs().await?;
        let (told, outcome) = oneshot::channel();
        let job = Job {
            topic: topic.clone(),
            body: body.clone(),
            is_alone,
            told,
        };
        // A job that is not taken is dropped, and so is `told`.
        let _ = jobs.send(job).await;
        Ok(outcome.await.unwrap_or_else(|_| {
            let why = "the connection broke before it confirmed";
            Outcome::Refused(error::unreachable(&self.address, why))
        }))
    }

    async fn jobs(&self) -> Result<mpsc::Sender<Job>> {
        if let Some(jobs) = self.open_jobs() {
            return Ok(jobs);
        }
        let mut attempts = self.dialing.lock().await;
        if let Some(jobs) = self.open_jobs() {
            return Ok(jobs);
        }
        if let Some(not_before) = attempts.not_before {
            sleep_until(not_before).await;
        }
        match self.dialer.dial(&self.address).await {
            Ok(connection) => {
                *attempts = Attempts::default();
                let (jobs, waiting) = mpsc::channel(self.max_pending);
                let carrier = Carrier {
                    connection,
                    waiting,
                    unconfirmed: VecDeque::new(),
                    pending: 0,
                    max_pending: self.max_pending,
                    response_timeout: self.response_timeout,
                    silence: self.silence,
                };
                let task = tokio::spawn(carrier.run());
                *self.lock() = Some(Running {
                    jobs: jobs.clone(),
                    task,
                });
                Ok(jobs)
            }
            Err(problem) => {
                attempts.failures = FAILURES.min(attempts.failures + 1);
                attempts.not_before = Some(Instant::now() + retry_pause(attempts.failures));
                Err(problem)
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries messages over a connection until it breaks.
struct Carrier {
    connection: Connection,
    waiting: mpsc::Receiver<Job>,
    /// What was written, in order: each command's messages.
    unconfirmed: VecDeque<Vec<oneshot::Sender<Outcome>>>,
    pending: usize,
    max_pending: usize,
    response_timeout: Duration,
    silence: Duration,
}

impl Carrier {
    async fn run(mut self) {
        let ended = self.carry().await;
        if let Err(problem) = ended {
            tracing::debug!("publishing is interrupted: {problem}");
        }
        // Who waits here or in the queue learns that nothing was confirmed.
    }

    async fn carry(&mut self) -> Result<()> {
        let (mut jobs, mut out) = (Vec::with_capacity(MOST_AT_ONCE), BytesMut::new());
        let mut heard = Instant::now();
        loop {
            let patience = match self.unconfirmed.is_empty() {
                true => self.silence,
                false => self.silence.min(self.response_timeout),
            };
            let room = MOST_AT_ONCE.min(self.max_pending - self.pending.min(self.max_pending));
            tokio::select! {
                frame = self.connection.next() => {
                    heard = Instant::now();
                    self.hear(frame?, &mut out)?;
                    while let Some(frame) = self.connection.arrived()? {
                        self.hear(frame, &mut out)?;
                    }
                }
                count = self.waiting.recv_many(&mut jobs, room), if room > 0 => {
                    if count == 0 {
                        return Ok(());
                    }
                    if self.unconfirmed.is_empty() {
                        heard = Instant::now();
                    }
                    self.write(&mut jobs, &mut out);
                }
                () = sleep_until(heard + patience) => {
                    return Err(error::silent(&self.connection.address, patience));
                }
            }
            if !out.is_empty() {
                let written = tokio::time::timeout(self.response_timeout, self.connection.write(&out)).await;
                written.map_err(|_| error::silent(&self.connection.address, self.response_timeout))??;
                out.clear();
            }
        }
    }

    /// Writes what waits: messages of the same topic together.
    fn write(&mut self, jobs: &mut Vec<Job>, out: &mut BytesMut) {
        let mut together: Vec<Job> = Vec::new();
        let mut size = 0;
        for job in jobs.drain(..) {
            // Nobody waits for it any more.
            if job.told.is_closed() {
                continue;
            }
            let fits = together.first().is_some_and(|first| {
                first.topic == job.topic
                    && !first.is_alone
                    && !job.is_alone
                    && size + job.body.len() <= LARGEST_TOGETHER
            });
            if !fits {
                self.put(&mut together, out);
                size = 0;
            }
            size += job.body.len();
            together.push(job);
        }
        self.put(&mut together, out);
    }

    fn put(&mut self, together: &mut Vec<Job>, out: &mut BytesMut) {
        match &together[..] {
            [] => return,
            [job] => frame::publish(out, &job.topic, &job.body),
            [first, ..] => frame::publish_all(out, &first.topic, together.iter().map(|job| &job.body[..])),
        }
        self.pending += together.len();
        self.unconfirmed
            .push_back(together.drain(..).map(|job| job.told).collect());
    }

    fn hear(&mut self, frame: Frame, out: &mut BytesMut) -> Result<()> {
        match frame {
            Frame::Response(line) if &line[..] == frame::HEARTBEAT => frame::alive(out),
            Frame::Response(line) if &line[..] == frame::OK => self.confirm(),
            Frame::Error(line) => {
                let problem = error::said(&self.connection.address, &line);
                self.refuse(&line);
                return Err(problem);
            }
            _ => {
                return Err(error::unexpected(
                    &self.connection.address,
                    "sent something else than a confirmation",
                ));
            }
        }
        Ok(())
    }

    fn confirm(&mut self) {
        let confirmed = self.unconfirmed.pop_front().unwrap_or_default();
        self.pending -= confirmed.len();
        for told in confirmed {
            // Who went away does not want to know.
            let _ = told.send(Outcome::Confirmed);
        }
    }

    /// The nsqd does not take the oldest, and closes the connection, whatever was written behind it.
    fn refuse(&mut self, line: &[u8]) {
        let refused = self.unconfirmed.pop_front().unwrap_or_default();
        let is_alone = refused.len() == 1;
        for told in refused {
            let _ = told.send(match is_alone {
                true => Outcome::Refused(error::said(&self.connection.address, line)),
                false => Outcome::PublishAlone,
            });
        }
    }
}
