//! What every [`Transport`] must do.
//!
//! ```ignore
//! micro_testkit::transport_conformance!(|| async { NatsTransport::connect(NatsConfig::default()).await });
//! ```

mod closing;
mod failure;
mod flow;
mod metadata;
mod streaming;
mod subject;
mod unary;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Transport;

use self::closing::*;
use self::failure::*;
use self::flow::*;
use self::metadata::*;
use self::streaming::*;
use self::unary::*;
use crate::suite::{Boxed, Failure, Suite};

pub use self::subject::TransportSubject;

/// In what a transport may rightly differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportTraits {
    /// An address on which cases listen, as often as they like. Default: `127.0.0.1:0`.
    pub address: String,
    /// What is no address, to dial or to listen at. Default: texts that are not `host:port`.
    pub malformed: Vec<String>,
    /// A message of this many bytes must work. Default: 10 MiB.
    pub max_message: usize,
    /// Whether it carries streams. Default: yes.
    pub streams: bool,
    /// Whether the far handler sees the end of the caller's messages while the caller still reads. Default: yes.
    pub half_close: bool,
    /// Whether a slow reader slows the writer: how many messages of 64 KiB may be under way. `None`: it does not.
    /// Default: 256, which is 16 MiB.
    pub under_way: Option<usize>,
    /// Whether dropping a call drops the handler at the far side. Default: yes.
    pub cancels: bool,
    /// Whether a caller is told soon that nobody listens, or that the far side went away. Default: yes.
    pub notices_absence: bool,
    /// How long anything may take that happens at once. Default: 10 s.
    pub soon: Duration,
}

impl Default for TransportTraits {
    fn default() -> Self {
        let malformed = [
            "",
            "nowhere",
            "127.0.0.1",
            "127.0.0.1:notaport",
            "127.0.0.1:99999",
            "a b:1",
        ];
        Self {
            address: "127.0.0.1:0".to_owned(),
            malformed: malformed.map(str::to_owned).to_vec(),
            max_message: 10 * 1024 * 1024,
            streams: true,
            half_close: true,
            under_way: Some(256),
            cancels: true,
            notices_absence: true,
            soon: Duration::from_secs(10),
        }
    }
}

/// Makes one test of each case for a transport.
///
/// Takes a factory, `Fn() -> impl Future<Output = Result<impl Transport, impl Display>>`, and optionally
/// [`TransportTraits`](crate::transport::TransportTraits). What it makes dials the listeners that it serves.
/// Attributes before the factory are put on each test. Several in one file need a module each.
#[macro_export]
macro_rules! transport_conformance {
    ($(#[$attribute:meta])* $factory:expr $(,)?) => {
        $crate::transport_conformance!($(#[$attribute])* $factory, $crate::transport::TransportTraits::default());
    };
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__transport_cases!(__tests { transport, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __transport_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_message_comes_back
            an_empty_message_comes_back_empty
            bytes_of_every_value_come_back
            a_message_of_one_mebibyte_comes_back
            a_message_of_the_promised_size_comes_back
            many_calls_follow_each_other
            many_calls_at_once_get_their_own_answers
            a_panic_behind_recover_fails_one_call
            service_endpoint_and_content_type_arrive
            the_content_type_of_an_answer_arrives
            metadata_travel_both_ways_whatever_their_case
            odd_metadata_break_nothing
            the_deadline_arrives_and_is_no_longer_than_sent
            an_error_travels_with_id_code_and_detail
            a_plain_text_travels_as_an_error
            a_very_long_error_is_still_an_error
            a_dropped_call_drops_its_handler
            a_dropped_call_leaves_its_answer_to_nobody
            a_call_to_nobody_never_started
            a_malformed_address_is_refused_by_name
            a_taken_address_is_refused_by_name
            a_listener_that_closes_lets_running_calls_end
            a_listener_that_closes_gives_up_after_its_grace
            a_closed_listener_starts_no_calls
            a_dropped_listener_fails_running_calls_as_unanswered
            a_peer_reaches_a_listener_that_came_back
            a_dropped_peer_holds_up_no_listener
            one_message_is_answered_by_many
            many_messages_are_answered_by_one
            the_caller_may_speak_first
            the_far_side_may_speak_first
            both_sides_may_talk_at_once
            streams_without_messages_just_end
            empty_messages_arrive_in_streams
            an_error_in_mid_stream_comes_after_the_messages_before_it
            an_error_in_place_of_a_stream_is_that_error
            a_panic_in_mid_stream_is_an_error_behind_recover
            metadata_and_deadline_arrive_with_a_stream
            a_stream_to_one_answer_has_one_message
            a_plain_call_of_a_streaming_endpoint_does_not_hang
            a_stream_keeps_its_order
            a_stream_of_large_messages_arrives_whole
            dropping_the_answer_drops_the_far_handler
            dropping_the_answer_after_the_own_end_drops_the_far_handler
            a_handler_that_stops_reading_can_answer
            a_slow_caller_slows_the_handler
            a_slow_handler_slows_the_caller
            many_streams_run_at_once
            a_dropped_listener_cuts_streams_with_an_error
            a_listener_that_closes_lets_running_streams_end
        }
    };
}

/// All cases for transports.
pub fn suite() -> Suite<TransportSubject> {
    Suite::new(crate::__transport_cases!(__cases {}))
}

impl Suite<TransportSubject> {
    /// Runs the cases against what the factory makes.
    pub async fn run<F, Fut, T, E>(self, factory: F, traits: TransportTraits) -> crate::Report
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Transport,
        E: Display,
    {
        self.collect(move || subject(factory(), traits.clone())).await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, Fut, T, E>(case: &str, factory: F, traits: TransportTraits)
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Transport,
    E: Display,
{
    suite().check(case, subject(async move { factory().await }, traits));
}

fn subject<T: Transport, E: Display>(
    made: impl Future<Output = Result<T, E>> + Send + 'static,
    traits: TransportTraits,
) -> Boxed<Result<TransportSubject, Failure>> {
    Box::pin(async move {
        match made.await {
            Ok(transport) => Ok(TransportSubject::new(Arc::new(transport), traits)),
            Err(error) => Err(Failure::new(format!("the factory made no transport: {error}"))),
        }
    })
}
