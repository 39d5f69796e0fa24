//! Services and clients of the core over this registry.

use std::sync::Arc;

use micro_core::handler::{Context, endpoint_fn};
use micro_core::transport::HttpTransport;
use micro_core::transport::http::HttpConfig;
use micro_core::{ErrorKind, Result, Service};
use micro_dns::{DnsConfig, DnsRegistry, Registrations};
use tokio::time::{sleep, timeout};

use crate::zone::{PATIENCE, Zone};

async fn hello(_: Context, name: String) -> Result<String> {
    Ok(format!("Hello {name}"))
}

fn service(registry: DnsRegistry) -> Service {
    Service::builder("greeter")
        .registry(Arc::new(registry))
        .transport(Arc::new(HttpTransport::new(HttpConfig::default()).unwrap()))
        .address("127.0.0.1:0")
        .handler(endpoint_fn("Greeter.Hello", hello))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_service_starts_unregistered_and_is_called_when_the_zone_has_it() {
    let zone = Zone::start().await;
    let running = service(zone.registry().await).start().await.unwrap();
    let client = running.client();
    let call = || client.call_plain::<_, String>("greeter", "Greeter.Hello", "Alice".to_owned());
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::NotFound);
    let port = running.address().rsplit_once(':').unwrap().1.parse().unwrap();
    zone.srv("greeter", 0, port, "one").await;
    zone.host("one", "127.0.0.1").await;
    let answer = async {
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(_) => sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, answer).await.unwrap(), "Hello Alice");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_must_not_believe_itself_registered_does_not_start() {
    let zone = Zone::start().await;
    let config = DnsConfig {
        registrations: Registrations::Refuse,
        ..zone.config()
    };
    let registry = DnsRegistry::connect(config).await.unwrap();
    let error = service(registry).start().await.err().unwrap();
    assert!(error.detail().contains("only reads"), "{error}");
}
