//! A subscription: a connection to each nsqd that has its topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::future::{BoxFuture, join_all};
use micro_core::broker::{Event, EventSource, Message, Remainder, envelope};
use micro_core::{Error, Result, Text, retry_pause};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::dial::{Connection, Dialer};
use crate::error;
use crate::frame;
use crate::line::{Command, Habits, Line, News, line};
use crate::lookup::Directories;

/// How many messages may wait beside those that were asked for, such as while the shares of nsqds change.
const SPARE: usize = 1024;

/// What all subscriptions of a broker share.
pub(crate) struct Site {
    pub(crate) nsqds: Vec<String>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) directories: Directories,
    pub(crate) lookup_every: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) habits: Habits,
    /// Connections of subscriptions that have ended, as long as events are not decided.
    pub(crate) ending: Mutex<Vec<CancellationToken>>,
    pub(crate) end: CancellationToken,
}

impl Drop for Site {
    /// With the broker and its subscriptions, all connections end.
    fn drop(&mut self) {
        self.end.cancel();
    }
}

pub(crate) struct Consumer {
    site: Arc<Site>,
    topic: Text,
    channel: Text,
    concurrency: usize,
    news: mpsc::Receiver<News>,
    news_sender: mpsc::Sender<News>,
    lines: BTreeMap<String, Open>,
    last_number: u64,
    /// Which nsqds have the topic.
    wanted: BTreeSet<String>,
    /// Attempts to connect that are under way. They end with the subscription.
    dialing: JoinSet<(String, Result<Connection>)>,
    away: BTreeMap<String, Away>,
    looking: Option<BoxFuture<'static, Result<BTreeSet<String>>>>,
    look_at: Instant,
    is_draining: bool,
}

/// A connection that works.
struct Open {
    line: Line,
    number: u64,
    done: CancellationToken,
    has_said_all: bool,
}

/// An nsqd that could not be connected to.
#[derive(Default)]
struct Away {
    failures: u32,
    /// None: it is being tried.
    again_at: Option<Instant>,
}

enum Step {
    News(News),
    Dialed(String, Result<Connection>),
    Found(Result<BTreeSet<String>>),
    Redial,
    Look,
}

impl Consumer {
    pub(crate) fn new(site: Arc<Site>, topic: Text, channel: Text, concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, 100_000);
        let (news_sender, news) = mpsc::channel(concurrency + SPARE);
        Self {
            site,
            topic,
            channel,
            concurrency,
            news,
            news_sender,
            lines: BTreeMap::new(),
            last_number: 0,
            wanted: BTreeSet::new(),
            dialing: JoinSet::new(),
            away: BTreeMap::new(),
            looking: None,
            look_at: Instant::now(),
            is_draining: false,
        }
    }

    /// Connects and subscribes, but asks for no messages yet.
    async fn dial(site: Arc<Site>, address: String, said: BytesMut) -> Result<Connection> {
        let mut connection = site.dialer.dial(&address).await?;
        let answer = tokio::time::timeout(site.response_timeout, async {
            connection.write(&said).await?;
            connection.confirmed().await
        });
        answer
            .await
            .map_err(|_| error::silent(&address, site.response_timeout))??;
        Ok(connection)
    }

    fn dial_to(&self, address: &str) -> impl Future<Output = Result<Connection>> + Send + 'static {
        let mut said = BytesMut::new();
        frame::subscribe(&mut said, &self.topic, &self.channel);
        Self::dial(self.site.clone(), address.to_owned(), said)
    }

    /// Begins to take messages over a connection, and shares anew what may be given out.
    fn open(&mut self, connection: Connection) {
        self.last_number += 1;
        let (number, address) = (self.last_number, connection.address.clone());
        let done = CancellationToken::new();
        let (opened, task) = line(
            connection,
            number,
            self.concurrency,
            self.site.habits.clone(),
            self.news_sender.clone(),
            done.clone(),
        );
        let end = self.site.end.clone();
        tokio::spawn(async move {
            let _ = end.run_until_cancelled(task.run()).await;
        });
        self.away.remove(&address);
        let open = Open {
            line: opened,
            number,
            done,
            has_said_all: false,
        };
        if let Some(before) = self.lines.insert(address, open) {
            let _ = before.line.tell(Command::Close);
        }
        self.share();
    }

    /// Lets the nsqds send as many together as are worked on at once, and each at least one.
    fn share(&self) {
        let share = (self.concurrency / self.lines.len().max(1)).max(1);
        for open in self.lines.values() {
            // If it is gone, it says so.
            let _ = open.line.tell(Command::Ready(share));
        }
    }

    /// Notes that an nsqd cannot be connected to, and when to try again.
    fn is_away(&mut self, address: String) {
        let away = self.away.entry(address).or_default();
        away.failures += 1;
        away.again_at = Some(Instant::now() + retry_pause(away.failures));
    }

    /// Connects to those that are not connected to.
    fn connect_to_all(&mut self) {
        let missing = self.wanted.iter();
        let missing: Vec<String> = missing
            .filter(|address| !self.lines.contains_key(*address) && !self.away.contains_key(*address))
            .cloned()
            .collect();
        for address in missing {
            self.connect_to(address);
        }
    }

    fn connect_to(&mut self, address: String) {
        self.away.entry(address.clone()).or_default().again_at = None;
        let dialing = self.dial_to(&address);
        self.dialing.spawn(async move { (address, dialing.await) });
    }

    fn redial_at(&self) -> Option<Instant> {
        self.away.values().filter_map(|away| away.again_at).min()
    }

    /// Connects to those whose pause is over; no more to those that no directory knows any more.
    fn redial(&mut self) {
        let now = Instant::now();
        let wanted = &self.wanted;
        self.away.retain(|address, _| wanted.contains(address));
        let due = self.away.iter();
        let due: Vec<String> = due
            .filter(|(_, away)| away.again_at.is_some_and(|at| at <= now))
            .map(|(address, _)| address.clone())
            .collect();
        for address in due {
            self.connect_to(address);
        }
    }

    fn found(&mut self, found: Result<BTreeSet<String>>) {
        self.look_at = Instant::now() + self.site.lookup_every.mul_f64(0.75 + fastrand::f64() / 2.0);
        match found {
            Ok(found) => {
                self.wanted = found;
                self.wanted.extend(self.site.nsqds.iter().cloned());
                self.connect_to_all();
            }
            Err(problem) => {
                tracing::debug!(topic = %self.topic, "the directories are away: {problem}");
            }
        }
    }

    /// A connection has ended. Fails when it was the last.
    fn ended(&mut self, number: u64, problem: Option<Error>) -> Result<()> {
        let of_number = |(address, open): (&String, &Open)| (open.number == number).then(|| address.clone());
        let Some(address) = self.lines.iter().find_map(of_number) else {
            return Ok(());
        };
        match problem {
            None => {
                if let Some(open) = self.lines.get_mut(&address) {
                    open.has_said_all = true;
                }
                Ok(())
            }
            Some(problem) => {
                self.lines.remove(&address);
                if self.is_draining {
                    return Ok(());
                }
                if self.lines.is_empty() {
                    return Err(problem);
                }
                tracing::warn!(topic = %self.topic, %problem, "an nsqd is away; the others go on");
                self.is_away(address);
                self.share();
                Ok(())
            }
        }
    }

    fn dialed(&mut self, address: String, dialed: Result<Connection>) {
        match dialed {
            Ok(connection) if !self.is_draining => self.open(connection),
            Ok(_) => {}
            Err(problem) => {
                tracing::debug!(topic = %self.topic, "an nsqd is not used: {problem}");
                self.is_away(address);
            }
        }
    }

    fn event(&self, news: News) -> Option<Event> {
        let News::Message {
            attempts,
            body,
            undecided,
        } = news
        else {
            return None;
        };
        let message = envelope::decode(&body);
        let is_message = message.is_ok();
        let message = message.unwrap_or_else(|problem| {
            tracing::warn!(topic = %self.topic, %problem, "what is no message was left out");
            Message::default()
        });
        let event = Event::new(self.topic.clone(), message)
            .with_deliveries(attempts.into())
            .with_acknowledge(undecided);
        if is_message {
            return Some(event);
        }
        // Otherwise it comes again and again. Nothing is waited for there.
        let _ = futures_util::FutureExt::now_or_never(event.acknowledge());
        None
    }

    async fn step(&mut self) -> Step {
        let has_directories = !self.site.directories.is_empty();
        let may_look = has_directories && self.looking.is_none() && !self.is_draining;
        let redial_at = self.redial_at().filter(|_| !self.is_draining);
        loop {
            tokio::select! {
                // This side keeps a sender, so that there is always more to come.
                Some(news) = self.news.recv() => return Step::News(news),
                Some(dialed) = self.dialing.join_next() => {
                    // A task that panicked is one less.
                    if let Ok((address, dialed)) = dialed {
                        return Step::Dialed(address, dialed);
                    }
                }
                found = under_way(&mut self.looking) => {
                    self.looking = None;
                    return Step::Found(found);
                }
                () = at(redial_at) => return Step::Redial,
                () = sleep_until(self.look_at), if may_look => return Step::Look,
            }
        }
    }

    fn look(&mut self) {
        let (site, topic) = (self.site.clone(), self.topic.clone());
        self.looking = Some(Box::pin(async move { site.directories.look_up(&topic).await }));
    }

    fn has_said_all(&self) -> bool {
        self.lines.values().all(|open| open.has_said_all)
    }

    /// Lets the connections end as soon as all that was given out is decided.
    fn leave(&mut self) {
        let mut ending = self.site.ending.lock().unwrap_or_else(PoisonError::into_inner);
        ending.retain(|done| !done.is_cancelled());
        for open in std::mem::take(&mut self.lines).into_values() {
            let _ = open.line.tell(Command::Close);
            ending.push(open.done);
        }
    }
}

#[async_trait]
impl EventSource for Consumer {
    async fn begin(&mut self) -> Result<()> {
        self.leave();
        self.dialing.abort_all();
        self.away.clear();
        self.looking = None;
        self.wanted = self.site.nsqds.iter().cloned().collect();
        let mut problem = None;
        if !self.site.directories.is_empty() {
            self.look_at = Instant::now() + self.site.lookup_every.mul_f64(0.75 + fastrand::f64() / 2.0);
            match self.site.directories.look_up(&self.topic).await {
                Ok(found) => self.wanted.extend(found),
                Err(error) => problem = Some(error),
            }
        }
        let addresses: Vec<String> = self.wanted.iter().cloned().collect();
        let dialing = addresses.iter().map(|address| self.dial_to(address));
        let mut dialed = join_all(dialing).await;
        let is_refusal = |dialed: &Result<_>| dialed.as_ref().is_err_and(|error| !error::may_pass(error));
        // A name or a secret that is wrong stays wrong. Nothing is asked of the others then: nobody would take it.
        if let Some(index) = dialed.iter().position(is_refusal) {
            return dialed.swap_remove(index).map(drop);
        }
        for (address, dialed) in addresses.iter().zip(dialed) {
            match dialed {
                Ok(connection) => self.open(connection),
                Err(error) => {
                    self.is_away(address.clone());
                    problem = Some(error);
                }
            }
        }
        match problem {
            Some(problem) if self.lines.is_empty() => Err(problem),
            _ => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if self.is_draining && self.has_said_all() && self.news.is_empty() {
                return Ok(None);
            }
            match self.step().await {
                Step::News(News::Ended { line, problem }) => self.ended(line, problem)?,
                Step::News(news) => {
                    if let Some(event) = self.event(news) {
                        return Ok(Some(event));
                    }
                }
                Step::Dialed(address, dialed) => self.dialed(address, dialed),
                Step::Found(found) => self.found(found),
                Step::Redial => self.redial(),
                Step::Look => self.look(),
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        self.is_draining = true;
        self.dialing.abort_all();
        let close = |open: &mut Open| open.has_said_all |= open.line.tell(Command::Close).is_err();
        self.lines.values_mut().for_each(close);
        Ok(Remainder::Arrived)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leave();
    }
}

async fn under_way<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
