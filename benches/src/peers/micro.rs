//! The framework's own stack: the place for it.
//!
//! Its typed client, selector, pool, transport, router and typed handler make one peer here: implement
//! [`Peer`](super::Peer) and [`Caller`](super::Caller) for it, and add `Micro` to [`PeerName`](super::PeerName).
//!
//! - `serve` starts a service with one handler that echoes a message with one `bytes` field, and one that echoes a stream,
//!   on port 0, and announces the node's address.
//! - `connect` makes one client over a registry that knows that node alone; its callers are clones of the client.
//! - `call` and `exchange` go through the generated, typed methods, as a user's would.
