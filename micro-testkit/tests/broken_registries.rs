//! A registry that breaks its contract fails by the name of the case that is about it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use micro_core::registry::{
    Action, Change, MemoryRegistry, Node, RegisterOptions, Registry, ServiceRecord, Watcher,
};
use micro_core::{ErrorKind, Result};
use micro_testkit::Report;
use micro_testkit::registry::{RegistryTraits, suite};

/// The ways in which a registry may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    EmptyListForNobody,
    RefreshForgotten,
    DeregistrationMissed,
    AbsentRefused,
    ChangesIgnored,
    DuplicatesKept,
    VersionsMixed,
    NamesByPrefix,
    MetadataCut,
    DeletesUntold,
    OldNodesTold,
    RefreshesTold,
    OthersTold,
    WatcherHangs,
    HugeSilentlyDropped,
    Panics,
}

struct Broken {
    inner: MemoryRegistry,
    fault: Fault,
}

#[async_trait]
impl Registry for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    async fn register(&self, service: &ServiceRecord, options: RegisterOptions) -> Result<()> {
        let mut service = service.clone();
        let known = self.inner.get_service(&service.name).await.is_ok();
        match self.fault {
            Fault::RefreshForgotten | Fault::ChangesIgnored if known && self.has(&service).await => {
                return Ok(());
            }
            Fault::DuplicatesKept if self.has(&service).await => {
                for node in &mut service.nodes {
                    let again = Node::new(format!("{} ", node.id), node.address.clone());
                    *node = again;
                }
            }
            Fault::MetadataCut => service.nodes.iter_mut().for_each(|node| {
                node.metadata.retain(|_, value| value.is_ascii());
            }),
            Fault::VersionsMixed => service.version = "1".into(),
            Fault::HugeSilentlyDropped if format!("{service:?}").len() > 100_000 => return Ok(()),
            Fault::Panics => panic!("as asked"),
            _ => {}
        }
        self.inner.register(&service, options).await
    }

    async fn deregister(&self, service: &ServiceRecord) -> Result<()> {
        match self.fault {
            Fault::DeregistrationMissed => Ok(()),
            Fault::AbsentRefused => {
                self.inner.get_service(&service.name).await?;
                self.inner.deregister(service).await
            }
            _ => self.inner.deregister(service).await,
        }
    }

    async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
        let found = match self.fault {
            Fault::NamesByPrefix => {
                let mut all = Vec::new();
                for listed in self.inner.list_services().await? {
                    if listed.name.starts_with(name) {
                        all.push(listed);
                    }
                }
                if all.is_empty() {
                    self.inner.get_service(name).await
                } else {
                    Ok(all)
                }
            }
            _ => self.inner.get_service(name).await,
        };
        match found {
            Err(error) if self.fault == Fault::EmptyListForNobody && error.kind() == ErrorKind::NotFound => {
                Ok(vec![])
            }
            found => found,
        }
    }

    async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
        self.inner.list_services().await
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watcher> {
        let fault = self.fault;
        if fault == Fault::WatcherHangs {
            return Ok(Watcher::new(futures_util::stream::pending()));
        }
        let asked = if fault == Fault::OthersTold { None } else { service };
        let watcher = self.inner.watch(asked).await?;
        let kept = watcher.filter(move |change| {
            let is_delete = matches!(
                change,
                Ok(Change {
                    action: Action::Delete,
                    ..
                })
            );
            async move { fault != Fault::DeletesUntold || !is_delete }
        });
        let before = match (fault, service) {
            (Fault::OldNodesTold, Some(name)) => self.inner.get_service(name).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        let before = before.into_iter().map(|service| {
            Ok(Change {
                action: Action::Create,
                service,
            })
        });
        let repeated = kept.flat_map(move |change| {
            let twice = fault == Fault::RefreshesTold;
            let again = change.as_ref().ok().filter(|_| twice).cloned().map(Ok);
            futures_util::stream::iter([change].into_iter().chain(again))
        });
        Ok(Watcher::new(futures_util::stream::iter(before).chain(repeated)))
    }
}

impl Broken {
    async fn has(&self, service: &ServiceRecord) -> bool {
        let known = self.inner.get_service(&service.name).await.unwrap_or_default();
        let mut nodes = known
            .iter()
            .filter(|known| known.version == service.version)
            .flat_map(|known| &known.nodes);
        nodes.any(|known| service.nodes.iter().any(|node| node.id == known.id))
    }
}

async fn report(fault: Fault) -> Report {
    let traits = RegistryTraits {
        min_ttl: Duration::from_millis(100),
        lapse_delay: Duration::from_millis(100),
        seen_within: Duration::from_millis(150),
        many_nodes: 20,
        ..RegistryTraits::default()
    };
    let shared = Arc::new(MemoryRegistry::new());
    let factory = move || {
        let inner = (*shared).clone();
        async move { Ok::<_, micro_core::Error>(Broken { inner, fault }) }
    };
    suite().run(factory, traits).await
}

async fn fails_by(fault: Fault, cases: &[&str]) {
    let report = report(fault).await;
    for case in cases {
        assert!(
            report.has_failed(case),
            "{fault:?} does not fail {case}:\n{report}"
        );
    }
    assert!(
        report.failed().len() < suite().names().len() || fault == Fault::Panics,
        "{report}"
    );
}

#[tokio::test]
async fn a_registry_without_fault_passes() {
    let report = report(Fault::None).await;
    assert!(report.is_good(), "{report}");
    assert_eq!(report.passed().len(), suite().names().len());
}

#[tokio::test]
async fn an_empty_list_for_an_unknown_name_fails_by_name() {
    fails_by(
        Fault::EmptyListForNobody,
        &["an_unknown_service_is_not_found_and_never_an_empty_list"],
    )
    .await;
}

#[tokio::test]
async fn a_forgotten_refresh_fails_by_name() {
    fails_by(
        Fault::RefreshForgotten,
        &["a_record_that_is_registered_again_lives_on"],
    )
    .await;
}

#[tokio::test]
async fn a_missed_deregistration_fails_by_name() {
    fails_by(
        Fault::DeregistrationMissed,
        &[
            "deregistering_one_of_two_nodes_leaves_the_other",
            "deregistering_the_last_node_takes_the_service_with_it",
            "a_watcher_sees_a_node_come_change_and_go",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_error_for_an_absent_node_fails_by_name() {
    fails_by(Fault::AbsentRefused, &["deregistering_what_is_absent_succeeds"]).await;
}

#[tokio::test]
async fn ignored_changes_fail_by_name() {
    fails_by(
        Fault::ChangesIgnored,
        &[
            "a_changed_address_replaces_the_old_one",
            "changed_metadata_replace_the_old",
            "changed_endpoints_replace_the_old",
        ],
    )
    .await;
}

#[tokio::test]
async fn duplicates_fail_by_name() {
    fails_by(Fault::DuplicatesKept, &["registering_twice_does_not_duplicate"]).await;
}

#[tokio::test]
async fn mixed_versions_fail_by_name() {
    fails_by(Fault::VersionsMixed, &["versions_stay_apart"]).await;
}

#[tokio::test]
async fn look_ups_by_prefix_fail_by_name() {
    fails_by(
        Fault::NamesByPrefix,
        &["a_service_whose_name_begins_alike_is_another"],
    )
    .await;
}

#[tokio::test]
async fn cut_metadata_fail_by_name() {
    fails_by(
        Fault::MetadataCut,
        &["a_full_record_comes_back_whole", "a_watcher_tells_whole_records"],
    )
    .await;
}

#[tokio::test]
async fn untold_deletions_fail_by_name() {
    fails_by(
        Fault::DeletesUntold,
        &[
            "a_watcher_sees_a_node_come_change_and_go",
            "a_watcher_sees_that_a_record_lapses",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_watcher_that_tells_of_before_fails_by_name() {
    fails_by(Fault::OldNodesTold, &["a_watcher_is_not_told_what_was_before_it"]).await;
}

#[tokio::test]
async fn a_watcher_that_tells_twice_fails_by_name() {
    fails_by(
        Fault::RefreshesTold,
        &[
            "a_watcher_is_told_nothing_of_a_mere_refresh",
            "many_nodes_are_seen_by_a_watcher",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_watcher_that_tells_of_others_fails_by_name() {
    fails_by(Fault::OthersTold, &["a_watcher_of_one_service_sees_no_other"]).await;
}

#[tokio::test]
async fn a_watcher_that_hangs_fails_by_name() {
    fails_by(
        Fault::WatcherHangs,
        &[
            "a_watcher_of_all_sees_all",
            "a_storm_ends_in_the_right_state_and_the_watcher_agrees",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_large_record_that_is_lost_in_silence_fails_by_name() {
    fails_by(
        Fault::HugeSilentlyDropped,
        &["a_record_of_one_megabyte_works_or_is_refused_by_name"],
    )
    .await;
}

#[tokio::test]
async fn a_panic_fails_its_case_with_its_words() {
    let report = report(Fault::Panics).await;
    let failure = &report.failed()["what_was_registered_is_found"];
    assert!(failure.to_string().contains("as asked"), "{failure}");
    assert!(
        report
            .passed()
            .contains(&"an_unknown_service_is_not_found_and_never_an_empty_list")
    );
}
