//! What every [`Source`] of configuration must do.
//!
//! ```ignore
//! micro_testkit::source_conformance!(|| async { Key::in_own_server().await });
//! ```
//!
//! where `Key` is a [`Place`]: it makes sources that read one key, and writes and removes that key by another way.

pub mod by_hand;
mod changes;
pub mod folder;
mod live;
mod outages;
mod reading;
mod subject;

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use micro_config::{Result, Source, async_trait};
use tokio::sync::Mutex;

use self::changes::*;
use self::live::*;
use self::outages::*;
use self::reading::*;
use crate::proxy::Proxy;
use crate::suite::{Boxed, Failure, Suite};

pub use self::subject::SourceSubject;

/// Where a source reads: a file, a key of a server. Each case has one of its own, at first with nothing in it.
#[async_trait]
pub trait Place: Send + Sync + 'static {
    /// A new source that reads this place, through [`proxy`](Self::proxy) where there is one.
    async fn source(&self) -> Result<Box<dyn Source>>;

    /// Writes JSON to it, which a source then reads as a whole: what `{"a": 1}` says is at the path `a`. By another
    /// way than the proxy. Text that is no JSON is written too, as far as [`SourceTraits::malformed`] says.
    async fn put(&self, text: &str) -> Result<()>;

    /// Removes it, so that there is nothing to be read. By another way than the proxy.
    async fn remove(&self) -> Result<()>;

    /// What is between the source and its server, so that cases can make trouble. None: there is no server.
    fn proxy(&self) -> Option<&Mutex<Proxy>> {
        None
    }

    /// Takes back what was written.
    async fn clean(&self) {}
}

/// In what a source may rightly differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTraits {
    /// Whether text that is no JSON can be put. Default: yes.
    pub malformed: bool,
    /// Whether it can be missing. Default: yes.
    pub removable: bool,
    /// A text of this many bytes must work. Default: 64 KiB.
    pub max_text: usize,
    /// How long until a change is told. Default: 5 s.
    pub seen_within: Duration,
    /// How long reading may take to fail while the server is away. Default: 15 s.
    pub fails_within: Duration,
    /// How long until everything works again, once the server answers. Default: 15 s.
    pub works_within: Duration,
    /// How long until a connection that fell silent is given up, and changes are told. Default: 60 s.
    pub notices_within: Duration,
}

impl Default for SourceTraits {
    fn default() -> Self {
        Self {
            malformed: true,
            removable: true,
            max_text: 64 * 1024,
            seen_within: Duration::from_secs(5),
            fails_within: Duration::from_secs(15),
            works_within: Duration::from_secs(15),
            notices_within: Duration::from_secs(60),
        }
    }
}

/// Makes one test of each case for a source of configuration.
///
/// Takes a factory, `Fn() -> impl Future<Output = Result<impl Place, impl Display>>`, and optionally
/// [`SourceTraits`](crate::config::SourceTraits). Attributes before the factory, such as `#[ignore = "needs a
/// server"]`, are put on each test. Several in one file need a module each.
#[macro_export]
macro_rules! source_conformance {
    ($(#[$attribute:meta])* $factory:expr $(,)?) => {
        $crate::source_conformance!($(#[$attribute])* $factory, $crate::config::SourceTraits::default());
    };
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__source_cases!(__tests { config, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __source_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            what_was_put_is_read
            what_was_put_again_is_read
            reading_twice_gives_the_same
            a_large_text_is_read
            what_was_never_put_is_missing
            what_was_removed_is_missing
            what_is_put_after_a_removal_is_read
            it_says_what_it_is_called
            two_sources_of_one_place_read_the_same
            a_change_is_told
            a_change_between_reading_and_waiting_is_told
            a_removal_is_told
            a_return_is_told
            waiting_that_was_dropped_misses_nothing
            nothing_is_told_without_end
            a_configuration_follows
            a_burst_of_changes_ends_with_the_last
            a_malformed_text_leaves_the_last_good
            an_optional_source_counts_as_soon_as_it_is_there
            a_source_that_vanishes_leaves_what_it_said
            reading_fails_in_time_while_the_server_is_away
            an_optional_source_may_be_away_at_the_beginning
            a_change_during_an_outage_is_seen_after_it
            a_change_after_a_short_cut_is_seen
            a_connection_that_fell_silent_is_noticed
            a_server_that_hangs_up_is_not_asked_without_pause
            a_slow_server_is_not_asked_without_end
            a_closed_configuration_leaves_no_connections
        }
    };
}

/// All cases for sources of configuration.
pub fn suite() -> Suite<SourceSubject> {
    Suite::new(crate::__source_cases!(__cases {}))
}

impl Suite<SourceSubject> {
    /// Runs the cases against the places that the factory makes.
    pub async fn run<F, Fut, P, E>(self, factory: F, traits: SourceTraits) -> crate::Report
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, E>> + Send + 'static,
        P: Place,
        E: Display,
    {
        self.collect(move || subject(factory(), traits.clone())).await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, Fut, P, E>(case: &str, factory: F, traits: SourceTraits)
where
    F: Fn() -> Fut + Send + 'static,
    Fut: Future<Output = Result<P, E>> + Send + 'static,
    P: Place,
    E: Display,
{
    // What the factory does belongs to the case's runtime.
    let made = async move { factory().await };
    suite().check(case, subject(made, traits));
}

fn subject<P: Place, E: Display>(
    made: impl Future<Output = Result<P, E>> + Send + 'static,
    traits: SourceTraits,
) -> Boxed<Result<SourceSubject, Failure>> {
    Box::pin(async move {
        match made.await {
            Ok(place) => Ok(SourceSubject::new(place, traits)),
            Err(error) => Err(Failure::new(format!("the factory made no place: {error}"))),
        }
    })
}
