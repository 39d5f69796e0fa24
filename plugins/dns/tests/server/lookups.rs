//! What is found.

use hickory_server::proto::rr::RData;
use hickory_server::proto::rr::rdata::CNAME;
use micro_core::ErrorKind;
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord};
use micro_dns::{DnsConfig, DnsRegistry, Registrations};

use crate::zone::{Zone, found, name, nodes};

#[tokio::test]
async fn a_service_is_found_by_its_srv_records() {
    let zone = Zone::start().await;
    zone.srv("greeter", 0, 9101, "One").await;
    zone.srv("greeter", 0, 9102, "one").await;
    zone.srv("greeter", 0, 9101, "two").await;
    zone.host("one", "192.0.2.1").await;
    zone.host("two", "192.0.2.2").await;
    let registry = zone.registry().await;
    let records = found(&registry, "greeter").await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].name.as_str(), records[0].version.as_str()),
        ("greeter", "latest")
    );
    assert_eq!(
        nodes(&records),
        [
            ("one.micro.example:9101", "192.0.2.1:9101"),
            ("one.micro.example:9102", "192.0.2.1:9102"),
            ("two.micro.example:9101", "192.0.2.2:9101"),
        ]
    );
    assert!(records[0].nodes[0].metadata.is_empty());
}

#[tokio::test]
async fn a_name_with_dots_and_capitals_is_found() {
    let zone = Zone::start().await;
    zone.srv("go.micro.greeter", 0, 1, "one").await;
    zone.host("one", "192.0.2.1").await;
    assert_eq!(
        found(&zone.registry().await, "go.micro.Greeter").await[0].name,
        "go.micro.Greeter"
    );
}

#[tokio::test]
async fn only_the_lowest_priority_that_has_addresses_counts() {
    let zone = Zone::start().await;
    zone.srv("greeter", 5, 1, "nowhere").await;
    zone.srv("greeter", 10, 1, "second").await;
    zone.srv("greeter", 20, 1, "third").await;
    zone.host("second", "192.0.2.2").await;
    zone.host("third", "192.0.2.3").await;
    let registry = zone.registry().await;
    assert_eq!(
        nodes(&found(&registry, "greeter").await),
        [("second.micro.example:1", "192.0.2.2:1")]
    );
    zone.host("nowhere", "192.0.2.1").await;
    assert_eq!(
        nodes(&found(&registry, "greeter").await),
        [("nowhere.micro.example:1", "192.0.2.1:1")]
    );
}

#[tokio::test]
async fn each_address_of_a_host_is_a_node_and_ipv4_goes_before_ipv6() {
    let zone = Zone::start().await;
    zone.srv("greeter", 0, 80, "many").await;
    zone.srv("greeter", 0, 80, "six").await;
    for ip in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        zone.host("many", ip).await;
    }
    zone.host("six", "2001:db8::6").await;
    assert_eq!(
        nodes(&found(&zone.registry().await, "greeter").await),
        [
            ("many.micro.example:80/192.0.2.1", "192.0.2.1:80"),
            ("many.micro.example:80/192.0.2.2", "192.0.2.2:80"),
            ("six.micro.example:80", "[2001:db8::6]:80"),
        ]
    );
    let config = DnsConfig {
        prefer_ipv6: true,
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    assert_eq!(
        nodes(&found(&registry, "greeter").await),
        [
            ("many.micro.example:80", "[2001:db8::1]:80"),
            ("six.micro.example:80", "[2001:db8::6]:80")
        ]
    );
}

#[tokio::test]
async fn addresses_that_came_along_are_not_asked_for() {
    let zone = Zone::start().await;
    for port in 80..83 {
        zone.srv("greeter", 0, port, "one").await;
    }
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    let before = zone.asked();
    assert_eq!(found(&registry, "greeter").await[0].nodes.len(), 3);
    assert_eq!(zone.asked() - before, 1, "one question for all");
}

#[tokio::test]
async fn another_name_for_the_records_is_followed() {
    let zone = Zone::start().await;
    zone.put("_alias._tcp", RData::CNAME(CNAME(name("_greeter._tcp"))))
        .await;
    zone.srv("greeter", 0, 80, "one").await;
    zone.host("one", "192.0.2.1").await;
    assert_eq!(
        nodes(&found(&zone.registry().await, "alias").await),
        [("one.micro.example:80", "192.0.2.1:80")]
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let zone = Zone::start().await;
    zone.srv("gone", 0, 80, ".").await;
    zone.srv("portless", 0, 0, "one").await;
    zone.srv("homeless", 0, 80, "nowhere").await;
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    for service in [
        "unknown",
        "gone",
        "portless",
        "homeless",
        "dot.",
        "",
        "one.example:x",
        "nowhere.micro.example:80",
    ] {
        let error = registry.get_service(service).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{service}: {error}");
        assert!(error.detail().contains(service), "{error}");
    }
}

#[tokio::test]
async fn a_host_with_a_port_is_found_by_its_addresses() {
    let zone = Zone::start().await;
    zone.host("one", "192.0.2.1").await;
    zone.host("six", "2001:db8::6").await;
    let registry = zone.registry().await;
    let rows = [
        ("one.micro.example:8080", "192.0.2.1:8080"),
        ("six.micro.example:8080", "[2001:db8::6]:8080"),
        ("192.0.2.7:80", "192.0.2.7:80"),
        ("[2001:db8::7]:80", "[2001:db8::7]:80"),
    ];
    for (service, address) in rows {
        let records = found(&registry, service).await;
        assert_eq!(records[0].name, service);
        assert_eq!(nodes(&records)[0].1, address);
    }
}

#[tokio::test]
async fn pattern_version_and_metadata_are_as_configured() {
    let zone = Zone::start().await;
    zone.put("greeter.service", RData::SRV(srv("one"))).await;
    zone.host("one", "192.0.2.1").await;
    let config = DnsConfig {
        pattern: "{service}.service.{domain}".to_owned(),
        version: "7".to_owned(),
        metadata: [("protocol".to_owned(), "mucp".to_owned())].into(),
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    let node = Node::new("one.micro.example:80", "192.0.2.1:80").with_metadata("protocol", "mucp");
    assert_eq!(
        found(&registry, "greeter").await,
        [ServiceRecord::new("greeter", "7").with_nodes(vec![node])]
    );
}

fn srv(host: &str) -> hickory_server::proto::rr::rdata::SRV {
    hickory_server::proto::rr::rdata::SRV::new(0, 0, 80, name(host))
}

#[tokio::test]
async fn it_reads_only() {
    let zone = Zone::start().await;
    let registry = zone.registry().await;
    assert_eq!(registry.name(), "dns");
    let record = ServiceRecord::new("greeter", "1").with_nodes(vec![Node::new("a", "127.0.0.1:1")]);
    registry
        .register(&record, RegisterOptions::default())
        .await
        .unwrap();
    registry.deregister(&record).await.unwrap();
    assert!(registry.get_service("greeter").await.is_err());
    for error in [
        registry.list_services().await.unwrap_err(),
        registry.watch(None).await.unwrap_err(),
    ] {
        assert!(error.detail().contains("by its name"), "{error}");
    }
    let config = DnsConfig {
        registrations: Registrations::Refuse,
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    for error in [
        registry
            .register(&record, RegisterOptions::default())
            .await
            .unwrap_err(),
        registry.deregister(&record).await.unwrap_err(),
    ] {
        assert!(
            error.detail().contains("only reads") && error.detail().contains("greeter"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn many_may_ask_at_once() {
    let zone = Zone::start().await;
    zone.srv("greeter", 0, 80, "one").await;
    zone.host("one", "192.0.2.1").await;
    let registry = zone.registry().await;
    let many = (0..200).map(|_| registry.get_service("greeter"));
    for found in futures_util::future::join_all(many).await {
        assert_eq!(found.unwrap()[0].nodes.len(), 1);
    }
}
