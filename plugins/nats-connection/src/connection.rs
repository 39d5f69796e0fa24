//! One connection, and what is known of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerError};
use micro_core::backend::Role;
use micro_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

use crate::config::{NatsLogin, NatsServers};
use crate::error::{NATS, unreachable};
use crate::settle::{Settler, Unsettled};

/// How many refused subjects are remembered.
const MAX_REFUSED: usize = 256;
/// The longest pause between attempts to connect again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A connection to NATS that connects again by itself. Clones share it; it ends with the last of them.
#[derive(Clone)]
pub struct NatsConnection(Arc<Shared>);

struct Shared {
    client: Client,
    health: watch::Receiver<Health>,
    settler: Settler,
    servers: String,
    role: Role,
}

/// What is known of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it is connected.
    pub is_up: bool,
    /// How often it was lost.
    pub losses: u64,
    /// How often a message was dropped because a subscription did not take it in time.
    pub dropped: u64,
    /// Subjects that the server does not let this side publish to.
    pub refused_to_publish: BTreeSet<String>,
    /// Subjects that the server does not let this side subscribe to.
    pub refused_to_subscribe: BTreeSet<String>,
}

impl NatsConnection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, no server answers, or the login is wrong.
    pub async fn connect(servers: &NatsServers, role: Role) -> Result<Self> {
        let mut login = servers.login.clone();
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for address in servers.parsed(role)? {
            let parsed: Result<ServerAddr, _> = address.url.parse();
            addresses.push(parsed.map_err(|problem| NATS.misconfigured(role, problem))?);
            names.push(address.url);
            login = login.or(address.login);
        }
        let names = names.join(",");
        let (known, health) = watch::channel(Health {
            is_up: true,
            ..Health::default()
        });
        let shown = names.clone();
        let options = options(servers, login, role)?.event_callback(move |event| {
            note(&known, &event, &shown);
            std::future::ready(())
        });
        let connected = options.connect(addresses).await;
        let client = connected.map_err(|problem| unreachable(role, &names, &problem))?;
        let settler = Settler::start(&client, health.clone())
            .await
            .map_err(|problem| NATS.misconfigured(role, problem))?;
        Ok(Self(Arc::new(Shared {
            client,
            health,
            settler,
            servers: names,
            role,
        })))
    }

    /// The client library's own handle.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The addresses that were configured, without logins, for errors.
    pub fn servers(&self) -> &str {
        &self.0.servers
    }

    /// Whether it is connected just now.
    pub fn is_up(&self) -> bool {
        self.0.client.connection_state() == State::Connected && self.0.health.borrow().is_up
    }

    /// What is known of it, to look at and to wait for.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.0.health.clone()
    }

    /// How often it was lost so far.
    pub fn losses(&self) -> u64 {
        self.0.health.borrow().losses
    }

    /// Waits until it is connected. May be cancelled.
    pub async fn up(&self) {
        while !self.is_up() {
            let mut health = self.health();
            if health.wait_for(|health| health.is_up).await.is_err() {
                return std::future::pending().await;
            }
            // The library tells of the event a little before it is so.
            tokio::task::yield_now().await;
        }
    }

    /// Waits until it has been lost more often than this. May be cancelled.
    pub async fn lost(&self, losses: u64) {
        let mut health = self.health();
        if health.wait_for(|health| health.losses > losses).await.is_err() {
            std::future::pending().await
        }
    }

    /// Attempts something, unless the connection is lost over it, more often than this: `None` then, as what was on its way
    /// is lost, and a failure says nothing of the connection that follows. May be cancelled if `attempt` may.
    pub async fn unless_lost<T>(
        &self,
        losses: u64,
        attempt: impl Future<Output = Result<T>>,
    ) -> Option<Result<T>> {
        let attempted = tokio::select! {
            biased;
            attempted = attempt => attempted,
            () = self.lost(losses) => return None,
        };
        match attempted {
            Err(error) if error.kind() == ErrorKind::Unavailable && self.losses() > losses => None,
            attempted => Some(attempted),
        }
    }

    /// Waits until the server has seen everything that was handed to the library before: messages and subscriptions.
    /// Many who wait at once share the way to the server and back. May be cancelled.
    ///
    /// # Errors
    ///
    /// When the connection is lost meanwhile, the server does not answer within 5 s, or this user may not publish and
    /// subscribe to `_INBOX.>`: then nobody knows what the server has seen.
    pub async fn settled(&self) -> Result<()> {
        let (id, servers) = (self.0.role.id(), &self.0.servers);
        self.0.settler.settled().await.map_err(|why| match why {
            Unsettled::Lost => self.gone(),
            Unsettled::Refused => Error::forbidden(
                id,
                format!(
                    "NATS at {servers} does not let this user publish and subscribe to `_INBOX.>`, so nobody knows \
                     whether it has seen what was sent; grant both to the user in the server's configuration"
                ),
            ),
            Unsettled::Late => Error::unavailable(
                id,
                format!(
                    "NATS at {servers} did not say in time that it has seen what was sent; is it overloaded, or may \
                     this user not publish and subscribe to `_INBOX.>`?"
                ),
            ),
        })
    }

    /// A text that no other process makes, of letters and digits.
    pub fn unique(&self) -> String {
        let inbox = self.0.client.new_inbox();
        inbox.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// Fails when the server is known not to let this side publish to a subject.
    ///
    /// # Errors
    ///
    /// Names the subject.
    pub fn check_publish(&self, subject: &str) -> Result<()> {
        match self.0.health.borrow().refused_to_publish.contains(subject) {
            true => Err(self.forbidden("publish to", subject)),
            false => Ok(()),
        }
    }

    /// Fails when the server is known not to let this side subscribe to a subject.
    ///
    /// # Errors
    ///
    /// Names the subject.
    pub fn check_subscribe(&self, subject: &str) -> Result<()> {
        match self.0.health.borrow().refused_to_subscribe.contains(subject) {
            true => Err(self.forbidden("subscribe to", subject)),
            false => Ok(()),
        }
    }

    fn forbidden(&self, what: &str, subject: &str) -> Error {
        Error::forbidden(
            self.0.role.id(),
            format!(
                "NATS at {} does not let this user {what} the subject {subject:?}; grant it to the user in the server's \
                 configuration",
                self.0.servers
            ),
        )
    }

    /// The error of a connection that is not there.
    pub fn gone(&self) -> Error {
        Error::unavailable(
            self.0.role.id(),
            format!(
                "NATS at {} is not connected; is it running and reachable? It is connected to again as soon as it is",
                self.0.servers
            ),
        )
    }
}

impl fmt::Debug for NatsConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NatsConnection")
            .field("servers", &self.0.servers)
            .field("health", &*self.0.health.borrow())
            .finish_non_exhaustive()
    }
}

fn options(servers: &NatsServers, login: Option<NatsLogin>, role: Role) -> Result<ConnectOptions> {
    let what_for = role.id().trim_start_matches("go.micro.");
    let options = ConnectOptions::new()
        .name(format!("micro {what_for}"))
        .connection_timeout(servers.connect_timeout)
        .ping_interval(servers.ping_interval)
        .reconnect_delay_callback(pause);
    let options = match login {
        None => options,
        Some(NatsLogin::Password { user, password }) => options.user_and_password(user, password),
        Some(NatsLogin::Token(token)) => options.token(token),
        Some(NatsLogin::Nkey(seed)) => {
            let seed = seed.trim().to_owned();
            // What the library would say of a wrong one comes too late, and names the seed.
            options.nkey(seed)
        }
        Some(NatsLogin::Credentials(text)) => options.credentials(&text).map_err(|_| {
            NATS.misconfigured(
                role,
                "the credentials are none; give the text of a file as nsc makes it, with a JWT and a seed",
            )
        })?,
    };
    Ok(match &servers.tls {
        None => options,
        Some(tls) => options
            .require_tls(true)
            .tls_client_config(NATS.client_config(role, Some(tls))?),
    })
}

/// The pause before an attempt to connect: none before the first, and then random ones, so that those who lost a server
/// together do not come back together.
fn pause(attempts: usize) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        attempts => {
            let longest = Duration::from_millis(20) * u32::try_from(attempts).unwrap_or(u32::MAX).min(25);
            longest.min(LONGEST_PAUSE).mul_f64(fastrand::f64() / 2.0 + 0.5)
        }
    }
}

/// Takes note of what the library tells.
fn note(known: &watch::Sender<Health>, event: &Event, servers: &str) {
    match event {
        Event::Connected => known.send_modify(|health| {
            health.is_up = true;
            health.refused_to_publish.clear();
            health.refused_to_subscribe.clear();
        }),
        Event::Disconnected | Event::Closed => known.send_modify(|health| {
            health.is_up = false;
            health.losses += 1;
        }),
        Event::SlowConsumer(_) => known.send_modify(|health| {
            if health.dropped == 0 {
                tracing::warn!(
                    "NATS at {servers}: messages are dropped, because their subscriber is too slow"
                );
            }
            health.dropped += 1;
        }),
        Event::ServerError(ServerError::Other(text)) => match refusal(text) {
            Some((to, subject)) => {
                tracing::warn!("NATS at {servers} refuses the subject {subject:?}: {text}");
                known.send_modify(|health| {
                    let refused = match to {
                        To::Publish => &mut health.refused_to_publish,
                        To::Subscribe => &mut health.refused_to_subscribe,
                    };
                    if refused.len() < MAX_REFUSED {
                        refused.insert(subject.to_owned());
                    }
                });
            }
            None => tracing::warn!("NATS at {servers}: {text}"),
        },
        other => tracing::debug!("NATS at {servers}: {other}"),
    }
}

/// What a subject is refused for.
#[derive(Debug, PartialEq, Eq)]
enum To {
    Publish,
    Subscribe,
}

/// What `Permissions Violation for Publish to "a.b"` refuses.
fn refusal(text: &str) -> Option<(To, &str)> {
    let (what, quoted) = text.split_once('"')?;
    let what = what.to_ascii_lowercase();
    if !what.starts_with("permissions violation") {
        return None;
    }
    let to = match what.contains("subscription") {
        true => To::Subscribe,
        false => To::Publish,
    };
    Some((to, quoted.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_subject_and_what_it_is_refused_for() {
        let text = r#"Permissions Violation for Publish to "orders.new""#;
        assert_eq!(refusal(text), Some((To::Publish, "orders.new")));
        let text = r#"Permissions Violation for Subscription to "orders" using queue "q""#;
        assert_eq!(refusal(text), Some((To::Subscribe, "orders")));
        assert_eq!(refusal("Stale Connection"), None);
    }

    #[test]
    fn pauses_grow_to_half_a_second() {
        assert_eq!(pause(1), Duration::ZERO);
        assert!(pause(2) <= Duration::from_millis(40));
        for attempts in [100, usize::MAX] {
            let pause = pause(attempts);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
    }
}
