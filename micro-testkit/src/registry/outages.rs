//! What every [`Registry`] on a server must live through: the second suite, with a proxy between the two.

mod calls;
mod subject;
mod watching;

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use micro_core::Registry;

use self::calls::*;
use self::subject::OutageSubject;
use self::watching::*;
use super::subject::maker;
use crate::proxy::Proxy;
use crate::suite::{Failure, Suite};

/// In what a registry on a server may rightly differ from others when its server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageTraits {
    /// How long a look-up or a registration may take to fail. Default: 12 s.
    pub fails_within: Duration,
    /// How long until a connection that fell silent is given up, and watchers are right again. Default: 30 s.
    pub notices_within: Duration,
    /// How long until everything works again, once the server answers. Default: 15 s.
    pub works_within: Duration,
}

impl Default for OutageTraits {
    fn default() -> Self {
        Self {
            fails_within: Duration::from_secs(12),
            notices_within: Duration::from_secs(30),
            works_within: Duration::from_secs(15),
        }
    }
}

/// Makes one test of each case of outages for a registry.
///
/// Takes the server, `Fn() -> SocketAddr`; what connects to it at another address, the proxy's,
/// `Fn(SocketAddr) -> impl Future<Output = Result<impl Registry, impl Display>>`; and optionally
/// [`OutageTraits`](crate::registry::OutageTraits).
#[macro_export]
macro_rules! registry_outages {
    ($server:expr, $connect:expr $(,)?) => {
        $crate::registry_outages!($server, $connect, $crate::registry::OutageTraits::default());
    };
    ($server:expr, $connect:expr, $traits:expr $(,)?) => {
        $crate::__registry_outage_cases!(__outage_tests {
            registry,
            $server,
            $connect,
            $traits
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __registry_outage_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_watcher_is_told_once_of_an_outage_and_then_what_happened_meanwhile
            a_watcher_is_right_after_many_short_cuts
            a_watcher_of_all_comes_back_too
            look_ups_fail_in_time_and_by_address_and_work_again
            registering_fails_in_time_and_by_name_and_works_again
            a_short_cut_takes_no_node_away
            a_server_that_hangs_up_is_not_asked_without_pause
            a_silent_server_is_not_waited_for_without_end
            a_connection_that_fell_silent_is_noticed
            dropped_watchers_close_what_they_opened
            nobody_there_is_told_by_address
        }
    };
}

fn suite() -> Suite<OutageSubject> {
    Suite::new(crate::__registry_outage_cases!(__cases {}))
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check_outage<C, F, R, E>(
    case: &str,
    server: impl Fn() -> SocketAddr + Send + 'static,
    connect: C,
    traits: OutageTraits,
) where
    C: Fn(SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<R, E>> + Send + 'static,
    R: Registry,
    E: Display,
{
    let subject = async move {
        let server = server();
        let proxy = Proxy::open(server)
            .await
            .map_err(|problem| Failure::new(format!("no proxy: {problem}")))?;
        let address = proxy.address();
        let through = connect.clone();
        let through = maker(move || through(address));
        let direct = maker(move || connect(server));
        OutageSubject::new(proxy, through, direct, traits).await
    };
    suite().check(case, Box::pin(subject));
}
