//! The calling end: a node, and the calls that wait for its answers.

mod conversation;
mod exchange;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::handler::CallKind;
use micro_core::{Error, Handler, Request, Response, Result, Text};
use tokio::sync::Semaphore;

use self::conversation::{Conversation, Unmet};
use self::exchange::{Failure, Told, exchange};
use crate::config::UdpConfig;

/// The id of errors that are made here.
const CLIENT: &str = "go.micro.client";
/// How often a call is begun anew, because the node did not look at it.
const ATTEMPTS: usize = 4;

/// A node that was dialled.
pub(crate) struct UdpPeer {
    address: Text,
    config: Arc<UdpConfig>,
    /// `None` before the first words, and after a farewell.
    conversation: Mutex<Option<Arc<Conversation>>>,
    /// Whoever has its permit says the first words.
    gate: Semaphore,
    calls: Semaphore,
}

impl UdpPeer {
    pub(crate) fn new(address: &str, config: Arc<UdpConfig>) -> Result<Self> {
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty() && !host.contains(char::is_whitespace))
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(Error::bad_request(
                CLIENT,
                format!("connection error: node address {address:?} is not host:port, which the udp transport needs"),
            )
            .never_started());
        }
        Ok(Self {
            address: address.into(),
            calls: Semaphore::new(config.calls.clamp(1, Semaphore::MAX_PERMITS)),
            config,
            conversation: Mutex::default(),
            gate: Semaphore::new(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Conversation>>> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<Conversation>> {
        self.lock()
            .as_ref()
            .filter(|conversation| !conversation.is_leaving())
            .cloned()
    }

    /// The conversation with the node, begun where there is none.
    async fn conversation(&self) -> Result<Arc<Conversation>> {
        if let Some(conversation) = self.current() {
            return Ok(conversation);
        }
        // The semaphore is never closed.
        let _permit = self.gate.acquire().await;
        if let Some(conversation) = self.current() {
            return Ok(conversation);
        }
        let begun = Conversation::begin(&self.address, &self.config).await;
        let conversation = begun.map_err(|unmet| self.unreachable(&unmet))?;
        *self.lock() = Some(conversation.clone());
        Ok(conversation)
    }

    fn unreachable(&self, problem: &Unmet) -> Error {
        let address = &self.address;
        Error::unavailable(
            CLIENT,
            format!("connection error: cannot reach {address}: {problem}"),
        )
        .never_started()
    }

    fn forget(&self, conversation: &Arc<Conversation>) {
        let mut current = self.lock();
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, conversation))
        {
            *current = None;
        }
    }

    async fn call(&self, request: &mut Request, message: &[u8]) -> Result<Response> {
        let _permit = self.calls.acquire().await;
        let mut attempts = 0;
        loop {
            let conversation = self.conversation().await?;
            let failure = match exchange(&conversation, request, message, &self.config).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            attempts += 1;
            match failure {
                Failure::Answered(error) => return Err(error),
                Failure::Told(told) => {
                    if told != Told::Full {
                        self.forget(&conversation);
                    }
                    if attempts == ATTEMPTS || told == Told::Nobody {
                        return Err(self.unreachable(&Unmet::Told(told)));
                    }
                    // Not at once: it has too much to do.
                    if told == Told::Full {
                        tokio::time::sleep(self.config.first_pause).await;
                    }
                }
                Failure::Unsendable(problem) => {
                    return Err(Error::too_large(
                        CLIENT,
                        format!(
                            "{} {} to {}: the request does not fit into a datagram: {problem}, and may take {}, the \
                             limit datagram_size; send less, or over another transport",
                            request.service,
                            request.endpoint,
                            self.address,
                            self.config.datagram_size()
                        ),
                    )
                    .never_started());
                }
                Failure::Silent(silence) => return Err(self.unanswered(&silent(silence))),
                Failure::Gone => return Err(self.unanswered("nobody listens there any more")),
                Failure::Malformed => return Err(self.unanswered("its answer cannot be read")),
            }
        }
    }

    fn unanswered(&self, problem: &str) -> Error {
        Error::unavailable(
            CLIENT,
            format!(
                "connection error: {} did not answer: {problem}; whether the call was handled is unknown",
                self.address
            ),
        )
        .unanswered()
    }
}

fn silent(silence: Duration) -> String {
    format!("nothing was heard of it for {silence:?}, the limit silence_timeout")
}

#[async_trait]
impl Handler for UdpPeer {
    async fn handle(&self, mut request: Request) -> Result<Response> {
        self.handle_kept(&mut request).await
    }

    async fn handle_kept(&self, request: &mut Request) -> Result<Response> {
        let message = request.body.as_single().cloned();
        let Some(message) = message.filter(|_| request.kind == CallKind::Unary) else {
            return Err(Error::bad_request(
                CLIENT,
                format!(
                    "{} {} to {}: streams do not travel over udp; choose another transport",
                    request.service, request.endpoint, self.address
                ),
            )
            .never_started());
        };
        self.call(request, &message).await
    }
}
