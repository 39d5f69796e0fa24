//! Plain HTTP posts over pooled connections, for what is no call: events of the HTTP broker.

use std::sync::Arc;

use bytes::Bytes;

use super::peer::{Outgoing, PeerShared};
use crate::{Result, Text};

/// Posts to one address.
pub(crate) struct Post(Arc<PeerShared>);

/// What came back.
pub(crate) struct Posted {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Post {
    pub(super) fn new(peer: Arc<PeerShared>) -> Self {
        Self(peer)
    }

    pub(crate) fn address(&self) -> &Text {
        &self.0.address
    }

    /// Posts a body to a request target, such as `/?id=7`, which must be free of spaces and control characters.
    ///
    /// Dropping the future closes the connection it used.
    pub(crate) async fn send(&self, target: &str, content_type: &str, body: &[u8]) -> Result<Posted> {
        let post = Outgoing::Post {
            target,
            content_type,
            body,
        };
        let message = self.0.send(post).await?;
        Ok(Posted {
            status: message.status(),
            body: message.body,
        })
    }
}
