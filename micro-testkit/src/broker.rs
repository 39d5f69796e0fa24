//! What every [`Broker`] must do.
//!
//! ```ignore
//! micro_testkit::broker_conformance!(
//!     || NatsBroker::connect(NatsConfig::default()),
//!     BrokerTraits { redelivers_dropped: false, ..BrokerTraits::default() },
//! );
//! ```

mod arriving;
pub mod by_hand;
mod deciding;
mod leaving;
mod listener;
mod outages;
mod sharing;
mod subject;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Broker;

use self::arriving::*;
use self::deciding::*;
use self::leaving::*;
use self::sharing::*;
use crate::suite::{Boxed, Failure, Suite};

pub use self::outages::{OutageTraits, check_outage};
pub use self::subject::BrokerSubject;

/// In what a broker may rightly differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerTraits {
    /// Whether what one instance publishes reaches another that the factory makes, as over a server. Default: yes.
    pub shared: bool,
    /// Whether subscriptions can share a queue. Default: yes.
    pub queues: bool,
    /// Whether each subscription of a queue surely gets some of many events. Default: yes.
    pub spreads: bool,
    /// Whether an event that was dropped undecided is delivered again. Default: yes.
    pub redelivers_dropped: bool,
    /// Whether an event that a member of a queue drops, and drops again, comes to another member. Default: yes.
    pub hands_on_dropped: bool,
    /// Whether a rejected event is delivered again. Default: no.
    pub redelivers_rejected: bool,
    /// Whether a member of a queue that leaves in order loses nothing for the queue. Default: yes.
    pub drains_without_loss: bool,
    /// Whether headers travel. Default: yes.
    pub carries_headers: bool,
    /// A body of this many bytes must work; a larger one may be refused. Default: 512 KiB.
    pub max_body: usize,
    /// How long until an event surely arrives, be it again. Default: 10 s.
    pub arrives_within: Duration,
}

impl Default for BrokerTraits {
    fn default() -> Self {
        Self {
            shared: true,
            queues: true,
            spreads: true,
            redelivers_dropped: true,
            hands_on_dropped: true,
            redelivers_rejected: false,
            drains_without_loss: true,
            carries_headers: true,
            max_body: 512 * 1024,
            arrives_within: Duration::from_secs(10),
        }
    }
}

/// Makes one test of each case for a broker.
///
/// Takes a factory, `Fn() -> impl Future<Output = Result<impl Broker, impl Display>>`, and optionally
/// [`BrokerTraits`](crate::broker::BrokerTraits). Attributes before the factory, such as
/// `#[ignore = "needs a server"]`, are put on each test. Several in one file need a module each.
#[macro_export]
macro_rules! broker_conformance {
    ($(#[$attribute:meta])* $factory:expr $(,)?) => {
        $crate::broker_conformance!($(#[$attribute])* $factory, $crate::broker::BrokerTraits::default());
    };
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__broker_cases!(__tests { broker, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            it_says_its_name
            that_nobody_is_subscribed_is_no_failure
            an_event_arrives_as_it_was_published
            an_empty_body_arrives_empty
            a_large_body_arrives_whole
            headers_arrive_with_their_event
            events_of_one_publisher_arrive_in_order
            topics_are_told_apart
            topics_of_any_kind_work_or_are_refused_by_name
            what_one_instance_publishes_another_gets
            every_subscription_gets_every_event
            a_queue_shares_its_events
            queues_get_their_own_copies
            a_queue_of_another_topic_is_another_queue
            a_late_member_of_a_queue_shares_in_it
            many_publishers_and_subscribers_lose_nothing
            an_event_that_is_dropped_undecided_comes_again
            an_event_that_is_dropped_goes_to_another_of_its_queue
            an_acknowledged_event_does_not_come_again
            a_rejected_event_does_what_the_broker_says
            one_rejected_event_does_not_hold_up_the_next
            several_events_are_given_out_at_once
            a_dropped_subscription_gets_no_more
            a_topic_can_be_subscribed_to_again
            a_dropped_subscription_leaves_the_others_alone
            a_draining_subscription_ends
            a_member_that_drains_loses_nothing_for_its_queue
            members_that_come_and_go_lose_nothing_for_their_queue
            flushing_with_nothing_to_flush_returns
            dropped_futures_do_no_harm
        }
    };
}

/// All cases for brokers.
pub fn suite() -> Suite<BrokerSubject> {
    Suite::new(crate::__broker_cases!(__cases {}))
}

impl Suite<BrokerSubject> {
    /// Runs the cases against what the factory makes. A case may ask the factory for more than one.
    pub async fn run<F, Fut, B, E>(self, factory: F, traits: BrokerTraits) -> crate::Report
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: Broker,
        E: Display,
    {
        let make = subject::maker(factory);
        self.collect(move || subject(make.clone(), traits.clone())).await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, Fut, B, E>(case: &str, factory: F, traits: BrokerTraits)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<B, E>> + Send + 'static,
    B: Broker,
    E: Display,
{
    suite().check(case, subject(subject::maker(factory), traits));
}

fn subject(make: subject::Make, traits: BrokerTraits) -> Boxed<Result<BrokerSubject, Failure>> {
    Box::pin(async move { BrokerSubject::new(make, Arc::new(traits)).await })
}
