//! The connection that everybody shares: made again when it is lost, with what was asked for asked again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::{Error, ErrorKind, Result, retry_pause};
use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::dial::{Connection, Dialer};
use crate::error;

/// After so many failures the pauses grow no more, so that it works again soon after the server does.
const FAILURES: u32 = 3;

pub(crate) struct Link {
    dialer: Arc<Dialer>,
    response_timeout: Duration,
    publish_timeout: Duration,
    current: Mutex<Current>,
    /// One connects, and the others wait for it.
    dialing: tokio::sync::Mutex<Attempts>,
}

#[derive(Default)]
struct Current {
    connection: Option<Arc<Connection>>,
    /// Why there was none lately.
    trouble: Option<String>,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
}

impl Link {
    pub(crate) fn new(dialer: Arc<Dialer>, response_timeout: Duration, publish_timeout: Duration) -> Self {
        Self {
            dialer,
            response_timeout,
            publish_timeout,
            current: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
        }
    }

    /// Whom it connects to.
    pub(crate) fn address(&self) -> &str {
        self.dialer.address()
    }

    /// Connects, and asks whether somebody is there.
    pub(crate) async fn open(&self) -> Result<()> {
        let connection = self.connection().await?;
        let answer = connection.ask(&redis::cmd("PING")).await;
        answer.map(drop).map_err(|problem| self.dialer.failed(&problem))
    }

    /// Asks until it is answered, over as many connections as that takes, within the time for publishing.
    ///
    /// # Errors
    ///
    /// When Redis refuses, or does not answer within the time.
    pub(crate) async fn request(&self, command: &Cmd) -> Result<Value> {
        self.in_time(command)
            .await?
            .map_err(|problem| problem.into_error(self.address()))
    }

    /// The same, for those who look into refusals.
    pub(crate) async fn try_request(&self, command: &Cmd) -> Result<Result<Value, RedisError>> {
        match self.in_time(command).await? {
            Ok(value) => Ok(Ok(value)),
            Err(Failure::Said(problem)) => Ok(Err(problem)),
            Err(Failure::NoConnection(problem)) => Err(problem),
        }
    }

    /// Asks once, over the connection that there is.
    pub(crate) async fn ask_once(&self, command: &Cmd, until: Instant) -> Result<Value> {
        let asked = async {
            let connection = self.connection().await?;
            let answer = connection.ask(command).await;
            answer.map_err(|problem| {
                if error::is_lost(&problem) {
                    self.lost(&connection);
                }
                self.dialer.failed(&problem)
            })
        };
        timeout_at(until, asked).await.map_err(|_| self.late())?
    }

    /// All of them in one go, once, over the connection that there is.
    pub(crate) async fn ask_all(&self, commands: &redis::Pipeline) -> Result<Vec<Value>> {
        let connection = self.connection().await?;
        let asked = connection
            .commands()
            .send_packed_commands(commands, 0, commands.len())
            .await;
        asked.map_err(|problem| {
            if error::is_lost(&problem) {
                self.lost(&connection);
            }
            self.dialer.failed(&problem)
        })
    }

    fn late(&self) -> Error {
        let trouble = self.lock().trouble.clone();
        let trouble = trouble.map(|detail| Error::unavailable("", detail));
        error::late(self.address(), self.publish_timeout, trouble.as_ref())
    }

    async fn in_time(&self, command: &Cmd) -> Result<Result<Value, Failure>> {
        let mut losses = 0;
        let answer = timeout(self.publish_timeout, self.insist(command, &mut losses)).await;
        answer.map_err(|_| match losses {
            0 | 1 => self.late(),
            _ => error::hangs_up(self.address(), self.publish_timeout, losses),
        })
    }

    /// Counts how often the connection was lost right after the command.
    async fn insist(&self, command: &Cmd, losses: &mut u32) -> Result<Value, Failure> {
        let mut refusals = 0;
        loop {
            let connection = match self.connection().await {
                Ok(connection) => connection,
                Err(problem) if is_passing(&problem) => continue,
                Err(problem) => return Err(Failure::NoConnection(problem)),
            };
            match connection.ask(command).await {
                Ok(answer) => return Ok(answer),
                Err(problem) if error::is_lost(&problem) => {
                    self.lock().trouble = Some(problem.to_string());
                    self.lost(&connection);
                    if problem.is_timeout() {
                        continue;
                    }
                    *losses = losses.saturating_add(1);
                    // Redis may hang up on just this command, again and again, and with that on everybody.
                    if let failures @ 1.. = *losses - 1 {
                        sleep(retry_pause(failures.min(FAILURES))).await;
                    }
                }
                Err(problem) if error::may_pass(&problem) => {
                    refusals = FAILURES.min(refusals + 1);
                    sleep(retry_pause(refusals)).await;
                }
                Err(problem) => return Err(Failure::Said(problem)),
            }
        }
    }

    /// The connection that there is, or a new one.
    async fn connection(&self) -> Result<Arc<Connection>> {
        if let Some(connection) = self.lock().connection.clone() {
            return Ok(connection);
        }
        let mut attempts = self.dialing.lock().await;
        if let Some(connection) = self.lock().connection.clone() {
            return Ok(connection);
        }
        if let Some(not_before) = attempts.not_before {
            sleep_until(not_before).await;
        }
        match self.dial().await {
            Ok(connection) => {
                *attempts = Attempts::default();
                let connection = Arc::new(connection);
                *self.lock() = Current {
                    connection: Some(connection.clone()),
                    trouble: None,
                };
                Ok(connection)
            }
            Err(problem) => {
                attempts.failures = FAILURES.min(attempts.failures + 1);
                attempts.not_before = Some(Instant::now() + retry_pause(attempts.failures));
                self.lock().trouble = Some(problem.detail().to_owned());
                Err(problem)
            }
        }
    }

    /// Makes a connection over which somebody answers. Whoever hangs up on all connections would be asked without end.
    async fn dial(&self) -> Result<Connection> {
        let connection = self.dialer.dial(self.response_timeout).await?;
        match connection.ask(&redis::cmd("PING")).await {
            Err(problem) if error::is_lost(&problem) => Err(self.dialer.failed(&problem)),
            _ => Ok(connection),
        }
    }

    /// That connection is of no more use.
    fn lost(&self, connection: &Arc<Connection>) {
        let mut current = self.lock();
        if current
            .connection
            .as_ref()
            .is_some_and(|kept| Arc::ptr_eq(kept, connection))
        {
            current.connection = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Failure {
    NoConnection(Error),
    Said(RedisError),
}

impl Failure {
    fn into_error(self, address: &str) -> Error {
        match self {
            Self::NoConnection(problem) => problem,
            Self::Said(problem) => error::failed(address, &problem),
        }
    }
}

/// Whether connecting may do better in a moment.
fn is_passing(problem: &Error) -> bool {
    matches!(problem.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}
