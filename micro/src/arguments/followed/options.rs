//! What follows the configuration while it runs: what is logged, the options of a client, and the limits of a service.

use std::sync::Arc;

use micro_config::Config;
use micro_core::ServiceBuilder;
use micro_core::client::{ClientBuilder, ClientOptions, LiveOptions};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::super::limits::{BURST, CONCURRENCY, Limits, LiveLimits, RATE};
use super::super::section::NAME;
use super::super::values::Given;
use super::super::{CONFIG, Settings};

// The options that count as soon as they change.
const LOG_LEVEL: &str = "log_level";
const REQUEST_TIMEOUT: &str = "client_request_timeout";
const RETRIES: &str = "client_retries";

/// What a service or client is given so that it follows the configuration.
pub(in super::super) struct Follower {
    config: Config,
    options: LiveOptions,
    limits: LiveLimits,
    task: Option<Task>,
}

/// Follows until nobody has it any more.
#[derive(Clone)]
struct Task {
    _task: Arc<Aborted>,
}

struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Settings {
    /// Begins to follow the configuration. What the program has changed in the settings does not follow: it is the
    /// program's word.
    pub(in super::super) fn follow(&self) -> Follower {
        let options = LiveOptions::from(self.client);
        let limits = LiveLimits::of(self.limits);
        let config = self.followed.config.clone();
        let task = self.followed.reading.clone().map(|reading| {
            let following = Following {
                given: reading.given.clone(),
                config: config.clone(),
                settings: self.clone(),
                options: options.clone(),
                limits: limits.clone(),
                own: own(self, &reading.read),
            };
            let task = Arc::new(Aborted(tokio::spawn(following.run())));
            Task { _task: task }
        });
        Follower {
            config,
            options,
            limits,
            task,
        }
    }
}

impl Follower {
    pub(in super::super) fn into_service(self, builder: ServiceBuilder) -> ServiceBuilder {
        let builder = builder.client_options(self.options).extension(self.config);
        let builder = self.limits.wrap(builder, self.task.is_some());
        match self.task {
            Some(task) => builder.extension(task),
            None => builder,
        }
    }

    pub(in super::super) fn into_client(self, builder: ClientBuilder) -> ClientBuilder {
        let builder = builder.options(self.options).extension(self.config);
        match self.task {
            Some(task) => builder.extension(task),
            None => builder,
        }
    }
}

struct Following {
    given: Arc<Given>,
    config: Config,
    /// As they were read last.
    settings: Settings,
    options: LiveOptions,
    limits: LiveLimits,
    /// Options for which the program has its own word.
    own: Vec<&'static str>,
}

impl Following {
    async fn run(mut self) {
        let mut changes = self.config.watch::<Value>(NAME);
        loop {
            // What makes no sense was refused before it could be seen here.
            if let Ok(now) = super::of_view(&self.given, &self.config.view()) {
                self.apply(now);
            }
            if changes.next().await.is_none() {
                return;
            }
        }
    }

    fn apply(&mut self, now: Settings) {
        let mut options = self.options.get();
        for name in now.values.differing(&self.settings.values) {
            if name == CONFIG || self.own.contains(&name) {
                continue;
            }
            match name {
                LOG_LEVEL => {
                    if let Err(problem) = self.given.live_level.set(&now.log_level) {
                        tracing::warn!("the configuration changed {name} in vain: {problem}");
                        continue;
                    }
                }
                REQUEST_TIMEOUT => options.request_timeout = now.client.request_timeout,
                RATE | BURST => self.limits.set_rate(now.limits.rate),
                CONCURRENCY => self.limits.set_concurrency(now.limits.concurrency),
                RETRIES => options.retry.retries = now.client.retry.retries,
                _ => {
                    tracing::warn!(
                        "the configuration changed {name}, which counts when the process is started anew"
                    );
                    continue;
                }
            }
            tracing::info!("the configuration changed {name}, which counts from now on");
        }
        self.options.set(options);
        self.settings = now;
    }
}

/// The live options that a program has changed in the settings since they were read.
fn own(settings: &Settings, read: &Read) -> Vec<&'static str> {
    let Read {
        log_level,
        client,
        limits,
    } = read;
    let is_other_rate = settings.limits.rate != limits.rate;
    let changed = [
        (LOG_LEVEL, settings.log_level != *log_level),
        (
            REQUEST_TIMEOUT,
            settings.client.request_timeout != client.request_timeout,
        ),
        (RATE, is_other_rate),
        (BURST, is_other_rate),
        (CONCURRENCY, settings.limits.concurrency != limits.concurrency),
        (RETRIES, settings.client.retry.retries != client.retry.retries),
    ];
    let changed = changed.into_iter().filter(|(_, is_changed)| *is_changed);
    changed.map(|(name, _)| name).collect()
}

/// What the program may change of the live options, as it was read.
pub(super) struct Read {
    pub(super) log_level: String,
    pub(super) client: ClientOptions,
    pub(super) limits: Limits,
}
