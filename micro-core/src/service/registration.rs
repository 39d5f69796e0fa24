//! Registers a service and never gives up keeping it registered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::RegistrationOptions;
use crate::error::SERVER;
use crate::registry::{RegisterOptions, ServiceRecord};
use crate::{Error, Registry, Result};

/// How often registering is tried before starting fails.
const FIRST_TRIES: u32 = 3;
/// The first pause after a failure; it doubles up to the interval.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a start that failed may take to take back what it perhaps registered.
const LAST_TRY: Duration = Duration::from_secs(1);
/// The longest wait between two refreshes: some 136 years, which every clock can count.
const LONGEST_WAIT: Duration = Duration::from_secs(u32::MAX as u64);
/// How long one request to the registry may take.
const TIMEOUT: Duration = Duration::from_secs(5);

impl RegistrationOptions {
    /// Refuses what would let records lapse, or never rest.
    pub(super) fn check(self, service: &str) -> Result<()> {
        let Self { ttl, interval, .. } = self;
        if Duration::ZERO < interval && interval < ttl {
            return Ok(());
        }
        Err(Error::bad_request(
            SERVER,
            format!(
                "service {service}: registered for {ttl:?} and refreshed every {interval:?}; the interval must be more \
                 than nothing and shorter than the time to live"
            ),
        ))
    }
}

/// A record that is kept registered until it is taken out, or this is dropped.
pub(crate) struct Registration {
    registry: Arc<dyn Registry>,
    record: Arc<ServiceRecord>,
    refresh: AbortOnDropHandle<()>,
}

impl Registration {
    pub(crate) async fn start(
        registry: Arc<dyn Registry>,
        record: ServiceRecord,
        options: RegistrationOptions,
    ) -> Result<Self> {
        options.check(&record.name)?;
        let record = Arc::new(record);
        let mut failures = 0;
        let mut began = Instant::now();
        while let Err(error) = register(&*registry, &record, options).await {
            failures += 1;
            tracing::warn!(service = %record.name, registry = registry.name(), %error, "cannot register");
            if options.start_without_registry {
                break;
            }
            if failures >= FIRST_TRIES {
                // An attempt that was not answered may have been carried out all the same. Who did not answer then
                // is not waited for long.
                let _ = timeout(LAST_TRY, registry.deregister(&record)).await;
                return Err(error.context(format_args!(
                    "service {} cannot be registered in {}; is the registry running?",
                    record.name,
                    registry.name()
                )));
            }
            sleep(FIRST_PAUSE * 2_u32.pow(failures)).await;
            began = Instant::now();
        }
        let is_registered = failures == 0 || !options.start_without_registry;
        let took = began.elapsed();
        let refresh = refresh(registry.clone(), record.clone(), options, is_registered, took);
        Ok(Self {
            registry,
            record,
            refresh: AbortOnDropHandle::new(tokio::spawn(refresh)),
        })
    }

    /// Takes the record out. Failure is only told: the record will lapse.
    pub(crate) async fn stop(self) {
        self.refresh.abort();
        // Awaited, so that no refresh under way comes after the deregistration.
        let _ = self.refresh.await;
        for node in &self.record.nodes {
            tracing::info!(service = %self.record.name, node = %node.id, "deregistering node");
        }
        let result = timeout(TIMEOUT, self.registry.deregister(&self.record))
            .await
            .unwrap_or_else(|_| Err(too_slow()));
        if let Err(error) = result {
            tracing::warn!(service = %self.record.name, registry = self.registry.name(), %error,
                "cannot deregister; the record will lapse by its time to live");
        }
    }
}

async fn refresh(
    registry: Arc<dyn Registry>,
    record: Arc<ServiceRecord>,
    options: RegistrationOptions,
    mut is_registered: bool,
    mut took: Duration,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Nodes that started together shall not all come at once, and after an outage even less.
        let wait = if is_registered {
            let interval = options
                .interval
                .min(LONGEST_WAIT)
                .mul_f64(0.9 + 0.1 * fastrand::f64());
            // A record lives from when the registry took it, which may be long before the registry answered.
            interval.saturating_sub(took).max(interval / 2)
        } else {
            jittered(pause)
        };
        sleep(wait).await;
        let began = Instant::now();
        let registered = register(&*registry, &record, options).await;
        took = began.elapsed();
        match registered {
            Ok(()) => {
                if !is_registered {
                    tracing::info!(service = %record.name, registry = registry.name(), "registered again");
                }
                (is_registered, pause) = (true, FIRST_PAUSE);
            }
            Err(error) => {
                tracing::warn!(service = %record.name, registry = registry.name(), %error, "cannot register; trying on");
                is_registered = false;
                pause = (pause * 2).min(options.interval).min(LONGEST_WAIT);
            }
        }
    }
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * fastrand::f64())
}

async fn register(
    registry: &dyn Registry,
    record: &ServiceRecord,
    options: RegistrationOptions,
) -> Result<()> {
    let register = registry.register(
        record,
        RegisterOptions {
            ttl: Some(options.ttl),
        },
    );
    timeout(TIMEOUT, register)
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Error {
    Error::timeout(
        "go.micro.registry",
        format!("the registry did not answer within {TIMEOUT:?}"),
    )
}
