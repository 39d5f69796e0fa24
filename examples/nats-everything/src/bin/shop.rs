//! Calls the warehouse and tells of orders, with nothing but NATS: `cargo run -p nats-everything --bin shop`.

use micro::prelude::*;
use nats_everything::{Placed, Shelf, TAKE, TOPIC, Take};

#[tokio::main]
async fn main() -> micro::Result<()> {
    let settings = Arguments::new("shop")
        .about("Sells goods of the warehouse")
        .default_value("profile", "nats")
        .parse();
    let client = settings.client().await?.build();
    for order in 1..=3 {
        let taken: micro::Result<Shelf> = client.call_plain("warehouse", TAKE, Take { pieces: 4 }).await;
        match taken {
            Ok(shelf) => {
                client.publish_plain(TOPIC, Placed { order }).await?;
                println!("sold order {order}, {} pieces are left", shelf.left);
            }
            Err(error) => println!("order {order} was not sold: {}", error.detail()),
        }
    }
    Ok(())
}
