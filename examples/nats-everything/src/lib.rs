//! What the two programs share: messages, and what both call things.

use serde::{Deserialize, Serialize};

/// Where orders are told of.
pub const TOPIC: &str = "orders.placed";
/// The endpoint that takes goods from the shelf.
pub const TAKE: &str = "Warehouse.Take";

/// Asks for goods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Take {
    /// How many.
    pub pieces: u32,
}

/// What is on the shelf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shelf {
    /// How many pieces are left.
    pub left: u32,
}

/// An order was placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Placed {
    /// Its number.
    pub order: u32,
}
