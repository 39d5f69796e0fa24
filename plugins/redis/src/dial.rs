//! Making connections to Redis.

use std::time::Duration;

use micro_core::backend::Role;
use micro_core::transport::socket::Connector;
use micro_core::{Error, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisConnectionInfo, RedisResult, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{RedisConfig, Server};
use crate::error::{self, REDIS};

/// Makes connections, encrypted and logged in as configured.
pub(crate) struct Dialer {
    server: Server,
    connector: Connector,
    connect_timeout: Duration,
    max_pending: usize,
}

/// A connection. Dropping it closes it.
pub(crate) struct Connection {
    commands: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl Dialer {
    /// Connects when it is asked to.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense.
    pub(crate) fn new(config: &RedisConfig) -> Result<Self> {
        Ok(Self {
            server: config.server()?,
            connector: REDIS.connector(Role::Broker, config.tls.as_ref(), &[])?,
            connect_timeout: config.connect_timeout,
            max_pending: config.max_pending.min(Semaphore::MAX_PERMITS),
        })
    }

    /// Whom it connects to.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    /// Connects and logs in. Who asks on that connection waits for the answer at most that long.
    pub(crate) async fn dial(&self, answer_within: Duration) -> Result<Connection> {
        self.dial_as(
            ProtocolVersion::RESP2,
            AsyncConnectionConfig::new(),
            answer_within,
        )
        .await
    }

    /// The same with another protocol, for what Redis says unasked.
    pub(crate) async fn dial_as(
        &self,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
        answer_within: Duration,
    ) -> Result<Connection> {
        let connecting = self.connect(protocol, config, answer_within);
        let connected = timeout(self.connect_timeout, connecting).await;
        connected.unwrap_or_else(|_| {
            let why = format_args!(
                "no connection within {:?} (`connect_timeout`)",
                self.connect_timeout
            );
            Err(error::unreachable(self.address(), why))
        })
    }

    async fn connect(
        &self,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
        answer_within: Duration,
    ) -> Result<Connection> {
        let socket = self.connector.connect(self.address()).await;
        // Redis answers each command at once, and many small ones at once are the rule here.
        let socket = socket.and_then(|socket| socket.set_nodelay(false).map(|()| socket));
        let socket = socket.map_err(|problem| error::unreachable(self.address(), problem))?;
        let mut login = RedisConnectionInfo::default()
            .set_db(self.server.database)
            .set_protocol(protocol)
            .set_skip_set_lib_name();
        if let Some(password) = &self.server.password {
            login = login.set_password(password);
            if let Some(user) = &self.server.user {
                login = login.set_username(user);
            }
        }
        let config = config
            .set_response_timeout(Some(answer_within))
            .set_pipeline_buffer_size(self.max_pending);
        let connected = MultiplexedConnection::new_with_config(&login, socket, config).await;
        let (commands, driver) = connected.map_err(|problem| self.failed(&problem))?;
        Ok(Connection {
            commands,
            driver: tokio::spawn(driver),
        })
    }

    /// What an answer is for the user.
    pub(crate) fn failed(&self, problem: &redis::RedisError) -> Error {
        error::failed(self.address(), problem)
    }
}

impl Connection {
    /// Asks for one thing. Dropped, it may have been done all the same.
    pub(crate) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let answer = self.commands.clone().send_packed_command(command).await?;
        answer.extract_error()
    }

    /// For what is more than one question and one answer.
    pub(crate) fn commands(&self) -> MultiplexedConnection {
        self.commands.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
