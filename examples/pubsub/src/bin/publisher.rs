//! Tells of orders: `cargo run -p pubsub --bin publisher -- 4`.

use micro::prelude::*;
use pubsub::{Placed, TOPIC, topic};

#[tokio::main]
async fn main() -> micro::Result<()> {
    let settings = Arguments::new("shop")
        .about("Tells of orders")
        .argument(Argument::positional("orders", "How many orders to place").default("4"))
        .argument(topic())
        .parse();
    let orders = settings.value("orders").unwrap_or("4");
    let orders: u64 = orders
        .parse()
        .map_err(|problem| Error::bad_request("shop", format!("orders: {orders:?}: {problem}")))?;
    let topic = settings.value("topic").unwrap_or(TOPIC);
    let shop = settings.client().await?.build();
    for order in 1..=orders {
        shop.publish_plain(topic, Placed { order }).await?;
        println!("shop -> order {order}");
    }
    Ok(())
}
