//! Hears of orders until Ctrl-C: `cargo run -p pubsub --bin subscriber -- auditor`.

use micro::prelude::*;
use pubsub::{TOPIC, auditor, billing, topic};

#[tokio::main]
async fn main() -> micro::Result<()> {
    let settings = Arguments::new("shop-subscriber")
        .about("Hears of orders until Ctrl-C")
        .argument(Argument::positional("role", "auditor or billing").default("auditor"))
        .argument(topic())
        .parse();
    let topic = settings.value("topic").unwrap_or(TOPIC);
    let subscriber = match settings.value("role") {
        Some("billing") => billing(topic, format!("billing {}", std::process::id())),
        _ => auditor(topic, format!("auditor {}", std::process::id())),
    };
    let service = settings.service().await?.subscriber(subscriber);
    service.build()?.run().await
}
