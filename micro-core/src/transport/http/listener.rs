//! The serving end: what the connections of a port share.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dialect::{Host, Speaker};
use super::mount::Tasks;
use super::plain::Plain;
use super::routes::{Route, Routes};
use super::{HttpConfig, HttpLimits, serve};
use crate::error::SERVER;
use crate::handler::{Peer, handler_fn};
use crate::transport::Listener;
use crate::transport::socket::{self, Acceptor, Draining, Serve};
use crate::{Error, Handler, Request, Result};

/// What all connections of a listener share.
pub(super) struct Server {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) limits: HttpLimits,
    pub(super) routes: Routes,
    /// Whether `/` is where calls go.
    pub(super) serves_calls: bool,
    pub(super) draining: Draining,
    /// What answers requests that do not come in Go Micro's own way.
    pub(super) host: Host,
    pub(super) speaker: Option<Arc<dyn Speaker>>,
    /// The calls that came over HTTP/2.
    pub(super) tasks: Tasks,
    acceptor: Acceptor,
}

impl Serve for Server {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: Peer) {
        let socket = match timeout(self.limits.head_timeout, self.acceptor.accept(stream)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(problem)) => {
                tracing::debug!(remote = %peer.remote, %problem, "a connection could not be encrypted");
                return;
            }
            Err(_) => return,
        };
        serve::serve(socket.into_io(), peer, self).await;
    }

    fn draining(&self) -> &Draining {
        &self.draining
    }

    async fn finish(&self) {
        self.tasks.finish().await;
        if let Some(speaker) = &self.speaker {
            speaker.finish().await;
        }
    }
}

pub(super) async fn listen(
    address: &str,
    handler: Arc<dyn Handler>,
    config: &HttpConfig,
    acceptor: Acceptor,
) -> Result<Box<dyn Listener>> {
    let routes = Routes::new(config.routes.clone())
        .map_err(|error| error.context(format_args!("cannot listen at {address}")))?;
    start(address, handler, routes, config, acceptor).await
}

/// Serves a route at every path, and no calls.
pub(super) async fn serve(
    address: &str,
    route: Arc<dyn Route>,
    config: &HttpConfig,
    acceptor: Acceptor,
) -> Result<Box<dyn Listener>> {
    let no_calls = handler_fn(|request: Request| async move {
        Err(Error::not_found(
            SERVER,
            format!("{}: no calls are served at this address", request.endpoint),
        ))
    });
    start(
        address,
        Arc::new(no_calls),
        Routes::everywhere(route),
        config,
        acceptor,
    )
    .await
}

async fn start(
    address: &str,
    handler: Arc<dyn Handler>,
    routes: Routes,
    config: &HttpConfig,
    acceptor: Acceptor,
) -> Result<Box<dyn Listener>> {
    acceptor.check(address)?;
    let serves_calls = routes.find("/").is_none();
    let draining = Draining::default();
    let host = Host {
        handler: handler.clone(),
        draining: draining.clone(),
        plain: Plain {
            handler: handler.clone(),
            limits: config.limits,
            routes: routes.clone(),
        },
    };
    let dialect = config.dialect.as_ref().filter(|_| serves_calls);
    let server = Arc::new(Server {
        handler,
        limits: config.limits,
        serves_calls,
        routes,
        draining,
        speaker: dialect.map(|dialect| dialect.start(host.clone())),
        host,
        tasks: Tasks::default(),
        acceptor,
    });
    socket::listen(address, config.limits.connections, server).await
}
