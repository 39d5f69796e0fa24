//! What every [`Registry`] must do.
//!
//! ```ignore
//! micro_testkit::registry_conformance!(
//!     || EtcdRegistry::connect(EtcdConfig::default()),
//!     RegistryTraits { carries_service_metadata: false, ..RegistryTraits::default() },
//! );
//! ```

pub mod by_hand;
mod lapse;
mod load;
mod lookup;
mod names;
mod outages;
mod record;
mod subject;
mod watching;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Registry;

use self::lapse::*;
use self::load::*;
use self::lookup::*;
use self::names::*;
use self::record::*;
use self::watching::*;
use crate::suite::{Boxed, Failure, Suite};

pub use self::outages::OutageTraits;
#[doc(hidden)]
pub use self::outages::check_outage;
pub use self::subject::RegistrySubject;

/// In what a registry may rightly differ from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryTraits {
    /// Whether what one instance registers is seen by another that the factory makes, as on a server. Default: yes.
    pub shared: bool,
    /// Whether records lapse when they are not registered again. Default: yes.
    pub lapses: bool,
    /// The shortest time to live that it keeps to. Default: 1 s.
    pub min_ttl: Duration,
    /// How long after the time to live a record may still be there. Default: 3 s.
    pub lapse_delay: Duration,
    /// How long until what was registered is seen by look-ups and watchers. Default: 5 s.
    pub seen_within: Duration,
    /// Whether it carries the metadata of the service beside those of its nodes. Default: yes.
    pub carries_service_metadata: bool,
    /// Whether it carries endpoints. Default: yes.
    pub carries_endpoints: bool,
    /// A record of this many bytes of JSON must work; a larger one may be refused by name. Default: 8 KiB.
    pub max_record: usize,
    /// How many nodes of one service must work. Default: 500.
    pub many_nodes: usize,
}

impl Default for RegistryTraits {
    fn default() -> Self {
        Self {
            shared: true,
            lapses: true,
            min_ttl: Duration::from_secs(1),
            lapse_delay: Duration::from_secs(3),
            seen_within: Duration::from_secs(5),
            carries_service_metadata: true,
            carries_endpoints: true,
            max_record: 8 * 1024,
            many_nodes: 500,
        }
    }
}

/// Makes one test of each case for a registry.
///
/// Takes a factory, `Fn() -> impl Future<Output = Result<impl Registry, impl Display>>`, and optionally
/// [`RegistryTraits`](crate::registry::RegistryTraits). Attributes before the factory, such as
/// `#[ignore = "needs a server"]`, are put on each test. Several in one file need a module each.
#[macro_export]
macro_rules! registry_conformance {
    ($(#[$attribute:meta])* $factory:expr $(,)?) => {
        $crate::registry_conformance!($(#[$attribute])* $factory, $crate::registry::RegistryTraits::default());
    };
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__registry_cases!(__tests { registry, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __registry_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            an_unknown_service_is_not_found_and_never_an_empty_list
            what_was_registered_is_found
            registering_twice_does_not_duplicate
            registering_at_the_same_time_does_not_duplicate
            a_changed_address_replaces_the_old_one
            changed_metadata_replace_the_old
            changed_endpoints_replace_the_old
            deregistering_what_is_absent_succeeds
            deregistering_one_of_two_nodes_leaves_the_other
            deregistering_the_last_node_takes_the_service_with_it
            deregistering_goes_by_the_id_of_the_node
            several_nodes_are_registered_and_deregistered_with_one_record
            a_record_without_nodes_makes_no_service
            versions_stay_apart
            nodes_of_one_version_are_merged
            a_service_whose_name_begins_alike_is_another
            the_list_has_each_service_once_and_in_order
            a_service_without_nodes_is_not_listed
            what_one_instance_registers_another_sees
            it_says_its_name
            a_full_record_comes_back_whole
            empty_texts_come_back_empty
            a_record_of_the_promised_size_works
            a_record_of_one_megabyte_works_or_is_refused_by_name
            names_of_any_kind_work_or_are_refused_by_name
            versions_of_any_kind_work_or_are_refused_by_name
            ids_of_any_kind_work_or_are_refused_by_name
            names_that_differ_by_case_are_apart_or_refused_by_name
            a_record_lapses_when_it_is_not_registered_again
            a_record_that_is_registered_again_lives_on
            a_lapsed_record_can_be_registered_again
            a_lapsed_node_leaves_its_neighbours_alone
            a_record_without_a_time_to_live_stays
            a_watcher_sees_that_a_record_lapses
            a_watcher_sees_a_node_come_change_and_go
            a_watcher_is_not_told_what_was_before_it
            a_watcher_is_told_nothing_of_a_mere_refresh
            a_watcher_of_one_service_sees_no_other
            a_watcher_of_all_sees_all
            a_watcher_may_begin_before_its_service
            a_watcher_tells_whole_records
            a_watcher_that_is_waited_for_in_pieces_misses_nothing
            several_watchers_see_the_same
            a_dropped_watcher_leaves_the_others_alone
            what_one_instance_registers_a_watcher_of_another_sees
            many_nodes_are_found
            many_nodes_are_seen_by_a_watcher
            a_watcher_that_is_read_late_misses_nothing
            a_storm_ends_in_the_right_state_and_the_watcher_agrees
            dropped_futures_leave_nothing_half_done
        }
    };
}

/// All cases for registries.
pub fn suite() -> Suite<RegistrySubject> {
    Suite::new(crate::__registry_cases!(__cases {}))
}

impl Suite<RegistrySubject> {
    /// Runs the cases against what the factory makes. A case may ask the factory for more than one.
    pub async fn run<F, Fut, R, E>(self, factory: F, traits: RegistryTraits) -> crate::Report
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Registry,
        E: Display,
    {
        let make = subject::maker(factory);
        self.collect(move || subject(make.clone(), traits.clone())).await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, Fut, R, E>(case: &str, factory: F, traits: RegistryTraits)
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Registry,
    E: Display,
{
    suite().check(case, subject(subject::maker(factory), traits));
}

fn subject(make: subject::Make, traits: RegistryTraits) -> Boxed<Result<RegistrySubject, Failure>> {
    Box::pin(async move { RegistrySubject::new(make, Arc::new(traits)).await })
}
