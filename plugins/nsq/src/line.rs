//! A subscription's connection to one nsqd: messages one way, and what became of them the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use micro_core::backend::in_one_line;
use micro_core::broker::Acknowledge;
use micro_core::{Error, Result};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dial::Connection;
use crate::error;
use crate::frame::{self, Frame, MessageId};

/// How long a connection stays after the nsqd said that there will be no more: a message that was on its way goes back at
/// once then, and not only when its time is over.
const LINGER: Duration = Duration::from_millis(100);

/// What the nsqd is told.
pub(crate) enum Command {
    /// How many messages it may send.
    Ready(usize),
    Finish(MessageId),
    Requeue(MessageId, Duration),
    /// It is to send no more. The connection ends when all that was given out is decided.
    Close,
}

/// What a connection brings.
pub(crate) enum News {
    Message {
        attempts: u16,
        body: Bytes,
        undecided: Undecided,
    },
    /// Nothing more will come over it. None: as it was asked.
    Ended { line: u64, problem: Option<Error> },
}

/// One end of a connection: where it is told what became of messages.
#[derive(Clone)]
pub(crate) struct Line {
    commands: mpsc::Sender<Command>,
    address: Arc<str>,
    requeue_delay: Duration,
}

/// How a connection behaves.
#[derive(Clone)]
pub(crate) struct Habits {
    pub(crate) requeue_delay: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) silence: Duration,
}

impl Line {
    /// Tells the nsqd. There is room for one answer to each message, so that nobody needs to wait.
    pub(crate) fn tell(&self, command: Command) -> Result<()> {
        self.commands
            .try_send(command)
            .map_err(|_| error::gone(&self.address))
    }
}

/// The other end, which the task of the connection has.
pub(crate) struct LineTask {
    pub(crate) connection: Connection,
    pub(crate) number: u64,
    pub(crate) habits: Habits,
    address: Arc<str>,
    commands: mpsc::Receiver<Command>,
    /// What was given out, and is not decided.
    in_flight: HashSet<MessageId>,
    news: mpsc::Sender<News>,
    /// Its own messages answer to it over this, which does not keep it going.
    line: mpsc::WeakSender<Command>,
    is_closing: bool,
    /// The nsqd will send no more.
    is_closed: bool,
    /// Nobody is there any more to whom a message could be given, and all that were given out are decided.
    is_abandoned: bool,
    /// Says that it has ended.
    _done: DropGuard,
}

/// Makes both ends. `most` is how many messages are given out at once.
pub(crate) fn line(
    connection: Connection,
    number: u64,
    most: usize,
    habits: Habits,
    news: mpsc::Sender<News>,
    done: CancellationToken,
) -> (Line, LineTask) {
    let (sender, commands) = mpsc::channel(2 * most + 16);
    let address: Arc<str> = connection.address.as_str().into();
    let line = Line {
        commands: sender.clone(),
        address: address.clone(),
        requeue_delay: habits.requeue_delay,
    };
    let task = LineTask {
        connection,
        number,
        habits,
        address,
        commands,
        in_flight: HashSet::new(),
        news,
        line: sender.downgrade(),
        is_closing: false,
        is_closed: false,
        is_abandoned: false,
        _done: done.drop_guard(),
    };
    (line, task)
}

impl LineTask {
    /// Runs until the connection breaks, or nobody needs it any more.
    pub(crate) async fn run(mut self) {
        let problem = self.carry().await.err();
        if let Some(problem) = &problem {
            tracing::debug!("a subscription is interrupted: {problem}");
        }
        let ended = News::Ended {
            line: self.number,
            problem,
        };
        // Nobody wants to know if the subscription is gone.
        let _ = self.news.send(ended).await;
    }

    async fn carry(&mut self) -> Result<()> {
        let mut out = BytesMut::new();
        let mut heard = Instant::now();
        let touch_every = self.touch_every();
        let mut touch_at = Instant::now() + touch_every;
        loop {
            let may_end = self.is_closed && self.is_abandoned;
            tokio::select! {
                () = sleep(LINGER), if may_end => return Ok(()),
                frame = self.connection.next() => {
                    heard = Instant::now();
                    self.hear(frame?, &mut out)?;
                    while let Some(frame) = self.connection.arrived()? {
                        self.hear(frame, &mut out)?;
                    }
                }
                command = self.commands.recv(), if !self.is_abandoned => {
                    match command {
                        Some(command) => self.obey(&command, &mut out),
                        None => {
                            self.is_abandoned = true;
                            self.obey(&Command::Close, &mut out);
                        }
                    }
                    while let Ok(command) = self.commands.try_recv() {
                        self.obey(&command, &mut out);
                    }
                }
                () = sleep_until(touch_at) => {
                    touch_at = Instant::now() + touch_every;
                    for id in &self.in_flight {
                        frame::touch(&mut out, id);
                    }
                }
                () = sleep_until(heard + self.habits.silence) => {
                    return Err(error::silent(&self.connection.address, self.habits.silence));
                }
            }
            if !out.is_empty() {
                let within = self.habits.response_timeout;
                let written = timeout(within, self.connection.write(&out)).await;
                written.map_err(|_| error::silent(&self.connection.address, within))??;
                out.clear();
            }
        }
    }

    /// A third of the time after which the nsqd gives a message to another.
    fn touch_every(&self) -> Duration {
        let millis = match self.connection.terms.msg_timeout {
            0 => 60_000,
            millis => millis,
        };
        Duration::from_millis((millis / 3).clamp(1, 24 * 60 * 60 * 1000))
    }

    fn obey(&mut self, command: &Command, out: &mut BytesMut) {
        match command {
            Command::Ready(count) => {
                let most = self.connection.terms.max_rdy_count.max(1);
                frame::ready(out, *count.min(&most));
            }
            Command::Finish(id) => {
                self.in_flight.remove(id);
                frame::finish(out, id);
            }
            Command::Requeue(id, delay) => {
                self.in_flight.remove(id);
                frame::requeue(out, id, u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            }
            Command::Close => {
                if !self.is_closing {
                    frame::close(out);
                }
                self.is_closing = true;
            }
        }
    }

    fn hear(&mut self, frame: Frame, out: &mut BytesMut) -> Result<()> {
        match frame {
            Frame::Message { attempts, id, body } => self.deliver(attempts, id, body, out),
            Frame::Response(line) if &line[..] == frame::HEARTBEAT => frame::alive(out),
            Frame::Response(line) if &line[..] == frame::CLOSE_WAIT => {
                self.is_closed = true;
                let ended = News::Ended {
                    line: self.number,
                    problem: None,
                };
                // There is room for it, or the subscription is gone: see `deliver`.
                let _ = self.news.try_send(ended);
            }
            Frame::Response(_) => {}
            Frame::Error(line) if error::is_passing(&line) => {
                tracing::debug!("nsqd at {}: {}", self.connection.address, in_one_line(&line));
            }
            Frame::Error(line) => return Err(error::said(&self.connection.address, &line)),
        }
        Ok(())
    }

    /// Hands on a message. Where nobody takes it, it goes back.
    fn deliver(&mut self, attempts: u16, id: MessageId, body: Bytes, out: &mut BytesMut) {
        let Some(commands) = self.line.upgrade() else {
            frame::requeue(out, &id, 0);
            return;
        };
        let undecided = Undecided {
            line: Line {
                commands,
                address: self.address.clone(),
                requeue_delay: self.habits.requeue_delay,
            },
            id,
            attempts,
            is_decided: false,
        };
        self.in_flight.insert(id);
        // Dropped, it goes back by itself.
        let _ = self.news.try_send(News::Message {
            attempts,
            body,
            undecided,
        });
    }
}

/// A message that was given out. Dropped, it goes back.
pub(crate) struct Undecided {
    line: Line,
    id: MessageId,
    attempts: u16,
    is_decided: bool,
}

#[async_trait]
impl Acknowledge for Undecided {
    async fn acknowledge(mut self: Box<Self>) -> Result<()> {
        self.is_decided = true;
        self.line.tell(Command::Finish(self.id))
    }

    async fn reject(mut self: Box<Self>, _: &Error) -> Result<()> {
        self.is_decided = true;
        let delay = self.line.requeue_delay * u32::from(self.attempts);
        let delay = delay.min(Duration::from_secs(60 * 60));
        self.line.tell(Command::Requeue(self.id, delay))
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if !self.is_decided {
            // If the connection is gone, it has gone back already.
            let _ = self.line.tell(Command::Requeue(self.id, Duration::ZERO));
        }
    }
}
