//! What the programs share: the event, and those who handle it.

use micro::prelude::*;
use micro::server::Subscriber;
use serde::{Deserialize, Serialize};

/// Where orders are told of.
pub const TOPIC: &str = "orders.placed";

/// An order was placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Placed {
    /// Its number.
    pub order: u64,
}

/// Writes down every order. Each auditor hears of each.
pub fn auditor(topic: &str, name: impl Into<String>) -> Subscriber {
    subscriber_plain(topic, printer(name.into()))
}

/// Bills orders. All that bill share a queue, so that each order is billed once.
pub fn billing(topic: &str, name: impl Into<String>) -> Subscriber {
    subscriber_plain(topic, printer(name.into())).queue("billing")
}

/// The flag that chooses another topic.
pub fn topic() -> Argument {
    Argument::flag("topic", "Where orders are told of").default(TOPIC)
}

fn printer(name: String) -> impl Fn(Context, Placed) -> std::future::Ready<Result<()>> + Send + Sync {
    move |_, placed| {
        println!("{name:<10} <- order {}", placed.order);
        std::future::ready(Ok(()))
    }
}
