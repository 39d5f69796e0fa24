//! Journeys over every registry: services that meet, come, go, are killed, and live through their registry's absence.
//!
//! The programs and the registries are real. `cargo xtask backends up` sees to the servers; where one is missing, its
//! journeys fail and say so.

#![allow(clippy::unwrap_used, reason = "tests")]

mod calls;
mod emptied;
mod killed;
mod many;
mod meet;
mod network;
mod outage;
mod peer;
mod several;
mod toxiproxy;
mod versions;

/// Makes one test of each journey for each registry.
macro_rules! journeys {
    ($($registry:ident: $($module:ident::$journey:ident),+ $(,)?;)+) => {
        $(
            mod $registry {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $journey() {
                        super::$module::$journey(stringify!($registry)).await;
                    }
                )+
            }
        )+
    };
}

journeys! {
    mdns:
        meet::two_services_meet,
        versions::versions_live_side_by_side;
    consul:
        meet::two_services_meet,
        versions::versions_live_side_by_side,
        killed::a_killed_process_disappears,
        outage::calls_go_on_through_outages,
        emptied::everybody_registers_again_with_an_emptied_server,
        many::many_services_are_listed_and_watched;
    etcd:
        meet::two_services_meet,
        versions::versions_live_side_by_side,
        killed::a_killed_process_disappears,
        outage::calls_go_on_through_outages,
        emptied::everybody_registers_again_with_an_emptied_server,
        many::many_services_are_listed_and_watched;
    gossip:
        meet::two_services_meet,
        versions::versions_live_side_by_side,
        killed::a_killed_process_disappears;
    zookeeper:
        meet::two_services_meet,
        versions::versions_live_side_by_side,
        killed::a_killed_process_disappears,
        outage::calls_go_on_through_outages,
        emptied::everybody_registers_again_with_an_emptied_server,
        many::many_services_are_listed_and_watched;
    kubernetes:
        meet::two_services_meet,
        versions::versions_live_side_by_side,
        killed::a_killed_process_disappears,
        outage::calls_go_on_through_outages,
        emptied::everybody_registers_again_with_an_emptied_server,
        many::many_services_are_listed_and_watched;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_move_from_consul_to_etcd() {
    several::services_move_from_one_registry_to_another("consul", "etcd").await;
}
