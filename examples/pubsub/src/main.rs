//! A shop that tells of its orders, an auditor that hears of each, and two that bill: each order goes to one of them.
//!
//! `--bin subscriber` and `--bin publisher` do the same as processes of their own.

use micro::Settings;
use micro::prelude::*;
use micro::server::Subscriber;
use micro::service::RunningService;
use pubsub::{Placed, TOPIC, auditor, billing, topic};

#[tokio::main]
async fn main() -> micro::Result<()> {
    // Alone, the example keeps to this machine; flags and MICRO_* variables go before these defaults.
    let settings = Arguments::new("shop")
        .about("A shop that tells of its orders, and those who hear of them")
        .argument(Argument::flag("orders", "How many orders to place").default("4"))
        .argument(topic())
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    let orders: u64 = settings
        .value("orders")
        .and_then(|orders| orders.parse().ok())
        .unwrap_or(4);
    let topic = settings.value("topic").unwrap_or(TOPIC);

    let auditing = start(&settings, "auditing", auditor(topic, "auditor")).await?;
    let billing_1 = start(&settings, "billing-1", billing(topic, "billing 1")).await?;
    let billing_2 = start(&settings, "billing-2", billing(topic, "billing 2")).await?;

    let shop = settings.client().await?.build();
    for order in 1..=orders {
        println!("shop       -> order {order}");
        shop.publish_plain(topic, Placed { order }).await?;
    }

    tokio::try_join!(auditing.stop(), billing_1.stop(), billing_2.stop())?;
    Ok(())
}

async fn start(settings: &Settings, name: &str, subscriber: Subscriber) -> micro::Result<RunningService> {
    let mut service = settings.service().await?.subscriber(subscriber);
    service.options_mut().name = name.to_owned();
    service.build()?.start().await
}
