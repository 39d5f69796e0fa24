//! Many records.

use std::time::Duration;

use micro_core::ErrorKind;
use micro_core::registry::Registry;
use micro_dns::{DnsConfig, DnsRegistry};
use tokio::time::Instant;

use crate::zone::{Zone, found};

fn patient(zone: &Zone) -> DnsConfig {
    DnsConfig {
        request_timeout: Duration::from_secs(10),
        ..zone.config()
    }
}

#[tokio::test]
async fn what_is_too_long_for_a_datagram_comes_over_tcp() {
    let zone = Zone::start().await;
    for port in 1..=1_000 {
        zone.srv("greeter", 0, port, "one").await;
    }
    zone.host("one", "192.0.2.1").await;
    let registry = DnsRegistry::connect(patient(&zone)).await.unwrap();
    let began = Instant::now();
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 1_000);
    println!("1,000 targets after {:?}", began.elapsed());
}

#[tokio::test]
async fn many_hosts_are_asked_for_one_by_one() {
    let zone = Zone::start().await;
    for number in 0..500 {
        let host = format!("host-{number}");
        zone.srv("greeter", 0, 80, &host).await;
        zone.host(&host, &format!("192.0.{}.{}", number / 250, number % 250))
            .await;
    }
    let registry = DnsRegistry::connect(patient(&zone)).await.unwrap();
    let began = Instant::now();
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 500);
    println!(
        "500 hosts after {:?} and {} questions",
        began.elapsed(),
        zone.asked()
    );
}

#[tokio::test]
async fn five_thousand_records_are_more_than_a_message_has() {
    let zone = Zone::start().await;
    for port in 1..=5_000 {
        zone.srv("greeter", 0, port, "one").await;
    }
    zone.host("one", "192.0.2.1").await;
    let registry = DnsRegistry::connect(patient(&zone)).await.unwrap();
    let error = registry.get_service("greeter").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn the_nodes_of_a_service_are_bounded() {
    let zone = Zone::start().await;
    for port in 80..84 {
        zone.srv("greeter", 0, port, "many").await;
    }
    for number in 0..1_500 {
        zone.host("many", &format!("192.0.{}.{}", number / 250, number % 250))
            .await;
    }
    let registry = DnsRegistry::connect(patient(&zone)).await.unwrap();
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 5_000);
}
