//! A service that answers calls and hears of events, with nothing but NATS: `cargo run -p nats-everything --bin
//! warehouse`, and `nats-server` beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use micro::prelude::*;
use nats_everything::{Placed, Shelf, TAKE, TOPIC, Take};

#[tokio::main]
async fn main() -> micro::Result<()> {
    let settings = Arguments::new("warehouse")
        .about("Gives out goods, and hears of orders")
        // Registry, transport and broker in one word: the same as --profile=nats.
        .default_value("profile", "nats")
        .parse();
    let shelf = Arc::new(AtomicU32::new(10));
    let take = move |_: Context, request: Take| {
        let shelf = shelf.clone();
        async move {
            let take = |left: u32| left.checked_sub(request.pieces);
            match shelf.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
                Ok(before) => Ok(Shelf {
                    left: before - request.pieces,
                }),
                Err(left) => Err(Error::conflict(
                    "warehouse",
                    format!("only {left} pieces are left"),
                )),
            }
        }
    };
    let heard = |_: Context, placed: Placed| {
        println!("heard of order {}", placed.order);
        std::future::ready(Ok::<(), Error>(()))
    };
    let service = settings
        .service()
        .await?
        .handler(endpoint_fn(TAKE, take))
        .subscriber(subscriber_plain(TOPIC, heard).queue("warehouse"));
    service.build()?.run().await
}
