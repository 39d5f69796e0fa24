//! What every [`Broker`] on a server must live through: the second suite, with a proxy between the two.

mod publishing;
mod subject;
mod subscriptions;

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use micro_core::Broker;

use self::publishing::*;
use self::subject::OutageSubject;
use self::subscriptions::*;
use super::subject::maker;
use crate::proxy::Proxy;
use crate::suite::{Failure, Suite};

/// In what a broker on a server may rightly differ from others when its server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageTraits {
    /// Whether all that was accepted is handled at least once by a queue, whatever happens to connections. Default: yes.
    pub keeps: bool,
    /// Whether a queue that has no member for a moment keeps what is published meanwhile. Default: yes.
    pub keeps_for_absent: bool,
    /// How long publishing may take to fail. Default: 15 s.
    pub fails_within: Duration,
    /// How long until a connection that fell silent is given up, and everything works. Default: 45 s.
    pub notices_within: Duration,
    /// How long until everything works again, once the server answers. Default: 10 s.
    pub works_within: Duration,
}

impl Default for OutageTraits {
    fn default() -> Self {
        Self {
            keeps: true,
            keeps_for_absent: true,
            fails_within: Duration::from_secs(15),
            notices_within: Duration::from_secs(45),
            works_within: Duration::from_secs(10),
        }
    }
}

/// Makes one test of each case of outages for a broker.
///
/// Takes what sets a proxy before a server, `Fn() -> impl Future<Output = Result<(Proxy, impl Any + Send), impl Display>>`,
/// whose second value is kept until the case is over, such as a server of its own; what connects to it at the proxy's
/// address, `Fn(SocketAddr) -> impl Future<Output = Result<impl Broker, impl Display>>`; and optionally
/// [`OutageTraits`](crate::broker::OutageTraits).
#[macro_export]
macro_rules! broker_outages {
    ($stage:expr, $connect:expr $(,)?) => {
        $crate::broker_outages!($stage, $connect, $crate::broker::OutageTraits::default());
    };
    ($stage:expr, $connect:expr, $traits:expr $(,)?) => {
        $crate::__broker_outage_cases!(__outage_tests {
            broker,
            $stage,
            $connect,
            $traits
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_outage_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_subscription_comes_back_after_a_cut
            subscribing_works_over_a_connection_just_cut
            a_subscription_tells_little_of_an_outage
            what_is_published_in_a_short_cut_arrives_or_fails
            publishing_fails_in_time_and_by_name_and_works_again
            nothing_accepted_is_lost_over_many_cuts
            what_was_not_decided_comes_again_after_a_cut
            a_server_that_hangs_up_is_not_asked_without_pause
            a_silent_server_is_not_waited_for_without_end
            a_connection_that_fell_silent_is_noticed
            dropped_subscriptions_close_what_they_opened
            draining_ends_while_the_server_is_away
            nobody_there_is_told_by_address
        }
    };
}

fn suite() -> Suite<OutageSubject> {
    Suite::new(crate::__broker_outage_cases!(__cases {}))
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check_outage<S, G, K, P, C, F, B, E>(case: &str, stage: S, connect: C, traits: OutageTraits)
where
    S: Fn() -> G + Send + 'static,
    G: Future<Output = Result<(Proxy, K), P>> + Send + 'static,
    K: Any + Send,
    P: Display,
    C: Fn(SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<B, E>> + Send + 'static,
    B: Broker,
    E: Display,
{
    let staged = stage();
    let subject = async move {
        let (proxy, kept) = staged
            .await
            .map_err(|problem| Failure::new(format!("no proxy: {problem}")))?;
        let address = proxy.address();
        let connect = maker(move || connect(address));
        OutageSubject::new(proxy, Box::new(kept), connect, traits).await
    };
    suite().check(case, Box::pin(subject));
}
