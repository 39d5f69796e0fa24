//! What every [`Selector`] must do.
//!
//! ```ignore
//! micro_testkit::selector_conformance!(|registry| async move { Ok::<_, Infallible>(OwnSelector::new(registry)) });
//! ```

mod choice;
mod health;
mod many;
mod subject;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::MemoryRegistry;
use micro_core::selector::Selector;
use micro_core::{Registry, Result};

use self::choice::*;
use self::health::*;
use self::many::*;
use crate::suite::{Boxed, Failure, Suite};

pub use self::subject::SelectorSubject;

/// In what a selector may rightly differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorTraits {
    /// How many failed calls in a row surely put a node out. Default: 10.
    pub failures: u32,
    /// How long at most a node is out that failed so often. Default: 1 min.
    pub back_within: Duration,
    /// Whether calls without a key are spread over all nodes. Default: yes.
    pub spreads: bool,
    /// Whether calls with equal keys go to the same node. Default: no.
    pub hashes: bool,
}

impl Default for SelectorTraits {
    fn default() -> Self {
        Self {
            failures: 10,
            back_within: Duration::from_secs(60),
            spreads: true,
            hashes: false,
        }
    }
}

/// Makes one test of each case for a selector. The clock is paused in them.
///
/// Takes a factory, `Fn(Arc<dyn Registry>) -> impl Future<Output = Result<impl Selector, impl Display>>`, and
/// optionally [`SelectorTraits`](crate::selector::SelectorTraits). Several in one file need a module each.
#[macro_export]
macro_rules! selector_conformance {
    ($(#[$attribute:meta])* $factory:expr $(,)?) => {
        $crate::selector_conformance!($(#[$attribute])* $factory, $crate::selector::SelectorTraits::default());
    };
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__selector_cases!(__tests { selector, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __selector_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_service_that_nobody_runs_is_not_found
            a_node_is_chosen_with_what_is_known_of_it
            nodes_that_come_and_go_are_followed
            a_node_that_moves_is_followed
            a_service_that_comes_back_is_found_again
            further_attempts_get_other_nodes
            a_node_is_the_same_candidate_in_every_answer
            filters_leave_nodes_out
            filters_that_leave_none_are_told
            calls_spread_over_the_nodes
            equal_keys_go_to_the_same_node
            what_is_chosen_at_once_is_what_is_waited_for
            it_says_its_name
            an_unreachable_node_is_left_out_and_comes_back
            a_failing_node_is_left_out_and_comes_back
            a_success_is_held_against_nobody
            calls_that_say_nothing_put_no_node_out
            when_all_nodes_fail_one_is_still_given
            a_reset_forgets_failures
            ten_thousand_nodes_are_no_burden
            many_tasks_choose_while_nodes_change
            dropped_choices_do_no_harm
        }
    };
}

/// All cases for selectors.
pub fn suite() -> Suite<SelectorSubject> {
    Suite::new(crate::__selector_cases!(__cases {}))
}

impl Suite<SelectorSubject> {
    /// Runs the cases against what the factory makes over a registry.
    pub async fn run<F, Fut, S, E>(self, factory: F, traits: SelectorTraits) -> crate::Report
    where
        F: Fn(Arc<dyn Registry>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<S, E>> + Send + 'static,
        S: Selector,
        E: Display,
    {
        self.collect(move || subject(factory.clone(), traits.clone()))
            .await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, Fut, S, E>(case: &str, factory: F, traits: SelectorTraits)
where
    F: Fn(Arc<dyn Registry>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    S: Selector,
    E: Display,
{
    suite().check(case, subject(factory, traits));
}

fn subject<F, Fut, S, E>(factory: F, traits: SelectorTraits) -> Boxed<Result<SelectorSubject, Failure>>
where
    F: Fn(Arc<dyn Registry>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    S: Selector,
    E: Display,
{
    Box::pin(async move {
        let registry = MemoryRegistry::new();
        match factory(Arc::new(registry.clone())).await {
            Ok(selector) => Ok(SelectorSubject {
                selector: Arc::new(selector),
                registry,
                traits: Arc::new(traits),
            }),
            Err(error) => Err(Failure::new(format!("the factory made no selector: {error}"))),
        }
    })
}
