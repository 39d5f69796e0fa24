//! What is served beside calls: paths, and what answers them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Body, Error, Result};

/// Answers HTTP requests under a mounted path: a health page, a metrics page, a gateway.
#[async_trait]
pub trait Route: Send + Sync + 'static {
    /// Answers one request. The body's messages are pieces of the HTTP body, in no particular sizes.
    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body>;
}

/// Routes by the path prefixes at which they are mounted. Clones share them.
#[derive(Clone, Default)]
pub struct Routes(Arc<[(String, Arc<dyn Route>)]>);

impl Routes {
    /// Routes beside calls.
    ///
    /// # Errors
    ///
    /// When a route would never be asked, or always: its prefix must be a path other than `/`.
    pub fn new(routes: Vec<(String, Arc<dyn Route>)>) -> Result<Self> {
        let is_path = |prefix: &str| prefix.starts_with('/') && !prefix.trim_end_matches('/').is_empty();
        match routes.iter().find(|(prefix, _)| !is_path(prefix)) {
            None => Ok(Self(routes.into())),
            Some((prefix, _)) => Err(Error::bad_request(
                "go.micro.transport",
                format!(
                    "a route is mounted at {prefix:?}, but calls are served at \"/\"; mount it at a path such as \
                     \"/health\""
                ),
            )),
        }
    }

    /// One route at every path.
    pub(super) fn everywhere(route: Arc<dyn Route>) -> Self {
        Self(Arc::new([("/".to_owned(), route)]))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The route mounted at a request target: at the path itself or above it; the longest counts.
    pub fn find(&self, target: &str) -> Option<&Arc<dyn Route>> {
        let path = target.split('?').next().unwrap_or_default();
        let covers = |prefix: &str| {
            let prefix = prefix.trim_end_matches('/');
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mounted = self.0.iter().filter(|(prefix, _)| covers(prefix));
        mounted
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, route)| route)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.0.iter().map(|(prefix, _)| prefix))
            .finish()
    }
}
