//! What every [`Registry`] on a server must live through: the second suite, with a proxy between the two.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Action, KnownNodes, RegisterOptions, ServiceRecord, Watcher};
use micro_core::{Error, ErrorKind, Registry};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::RegistryTraits;
use super::subject::{LONG, Make, RegistrySubject, found, ids_of, maker};
use crate::proxy::Proxy;
use crate::suite::{Boxed, Ending, Failure, Outcome, Subject, Suite, ensure, soon};

/// How long a silent server is left alone, to see how often it is asked.
const WATCHED: Duration = Duration::from_secs(3);
/// How many connections are right in that time for a watcher that comes back after growing pauses, and look-ups.
const FEW: usize = 40;
const WATCHERS: usize = 20;
/// Connections that a client may keep for what it does next.
const KEPT: usize = 6;

/// In what a registry on a server may rightly differ from others when its server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageTraits {
    /// How long a look-up or a registration may take to fail. Default: 12 s.
    pub fails_within: Duration,
    /// How long until a connection that fell silent is given up, and watchers are right again. Default: 30 s.
    pub notices_within: Duration,
    /// How long until everything works again, once the server answers. Default: 15 s.
    pub works_within: Duration,
}

impl Default for OutageTraits {
    fn default() -> Self {
        Self {
            fails_within: Duration::from_secs(12),
            notices_within: Duration::from_secs(30),
            works_within: Duration::from_secs(15),
        }
    }
}

/// Makes one test of each case of outages for a registry.
///
/// Takes the server, `Fn() -> SocketAddr`; what connects to it at another address, the proxy's,
/// `Fn(SocketAddr) -> impl Future<Output = Result<impl Registry, impl Display>>`; and optionally
/// [`OutageTraits`](crate::registry::OutageTraits).
#[macro_export]
macro_rules! registry_outages {
    ($server:expr, $connect:expr $(,)?) => {
        $crate::registry_outages!($server, $connect, $crate::registry::OutageTraits::default());
    };
    ($server:expr, $connect:expr, $traits:expr $(,)?) => {
        $crate::__outage_cases!(__outage_tests {
            $server,
            $connect,
            $traits
        });
    };
}

/// Makes one test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __outage_tests {
    ($server:expr, $connect:expr, $traits:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::registry::check_outage(stringify!($case), $server, $connect, $traits);
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __outage_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_watcher_is_told_once_of_an_outage_and_then_what_happened_meanwhile
            a_watcher_is_right_after_many_short_cuts
            a_watcher_of_all_comes_back_too
            look_ups_fail_in_time_and_by_address_and_work_again
            registering_fails_in_time_and_by_name_and_works_again
            a_short_cut_takes_no_node_away
            a_server_that_hangs_up_is_not_asked_without_pause
            a_silent_server_is_not_waited_for_without_end
            a_connection_that_fell_silent_is_noticed
            dropped_watchers_close_what_they_opened
            nobody_there_is_told_by_address
        }
    };
}

fn suite() -> Suite<OutageSubject> {
    Suite::new(crate::__outage_cases!(__cases {}))
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check_outage<C, F, R, E>(
    case: &str,
    server: impl Fn() -> SocketAddr + Send + 'static,
    connect: C,
    traits: OutageTraits,
) where
    C: Fn(SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<R, E>> + Send + 'static,
    R: Registry,
    E: Display,
{
    let subject = async move {
        let server = server();
        let proxy = Proxy::open(server)
            .await
            .map_err(|problem| Failure::new(format!("no proxy: {problem}")))?;
        let address = proxy.address();
        let through = connect.clone();
        let through = maker(move || through(address));
        let direct = maker(move || connect(server));
        OutageSubject::new(proxy, through, direct, traits).await
    };
    suite().check(case, Box::pin(subject));
}

/// A registry that is connected through a proxy, and one that is not.
#[derive(Clone)]
struct OutageSubject {
    through: Arc<dyn Registry>,
    connect_through: Make,
    direct: RegistrySubject,
    proxy: Arc<Mutex<Proxy>>,
    address: SocketAddr,
    traits: OutageTraits,
}

impl Subject for OutageSubject {
    fn clean(self) -> Boxed<()> {
        self.direct.clean()
    }
}

impl OutageSubject {
    async fn new(
        proxy: Proxy,
        connect_through: Make,
        direct: Make,
        traits: OutageTraits,
    ) -> Result<Self, Failure> {
        let registry_traits = RegistryTraits {
            seen_within: traits.works_within,
            ..RegistryTraits::default()
        };
        Ok(Self {
            through: connect_through().await?,
            connect_through,
            direct: RegistrySubject::new(direct, Arc::new(registry_traits)).await?,
            address: proxy.address(),
            proxy: Arc::new(Mutex::new(proxy)),
            traits,
        })
    }

    async fn proxy(&self) -> MutexGuard<'_, Proxy> {
        self.proxy.lock().await
    }

    async fn mend(&self) -> Outcome {
        let mended = self.proxy().await.mend().await;
        mended.map_err(|problem| Ending::failed(format!("the proxy cannot be mended: {problem}")))
    }

    async fn watch(&self, service: Option<&str>) -> Result<Watched, Ending> {
        let watcher = soon(self.traits.works_within, "watch", self.through.watch(service)).await??;
        Ok(Watched {
            watcher,
            known: KnownNodes::new(),
            errors: 0,
            prefix: self.direct.prefix().to_owned(),
        })
    }

    /// Registers through the proxy, as core's loop does: until it works.
    async fn register_until_it_works(&self, record: &ServiceRecord) -> Outcome {
        let until = Instant::now() + self.traits.works_within;
        let options = RegisterOptions { ttl: Some(LONG) };
        while let Err(error) = self.through.register(record, options).await {
            ensure!(Instant::now() < until, "registering does not work again: {error}");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Looks up through the proxy until it works.
    async fn look_up_until_it_works(&self, name: &str) -> Result<Vec<ServiceRecord>, Ending> {
        let until = Instant::now() + self.traits.works_within;
        loop {
            match self.through.get_service(name).await {
                Ok(records) => return Ok(records),
                Err(error) => {
                    ensure!(Instant::now() < until, "look-ups do not work again: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// The error must be of the server being away, in words that help.
    fn check(&self, error: &Error, names: &str) -> Outcome {
        ensure!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
            "an error of a server that is away must be Unavailable or Timeout, not {:?}: {error}",
            error.kind()
        );
        ensure!(
            error.detail().contains(&self.address.port().to_string()),
            "the error does not say which address: {error}"
        );
        ensure!(
            error.detail().contains(names),
            "the error does not say what of: {names}: {error}"
        );
        Ok(())
    }
}

/// A watcher, what it told, and how often it told of trouble.
struct Watched {
    watcher: Watcher,
    known: KnownNodes,
    errors: usize,
    prefix: String,
}

impl Watched {
    /// Reads one more item. Other runs' services are left out.
    async fn read(&mut self) -> Outcome {
        match self.watcher.next().await {
            Err(_) => self.errors += 1,
            Ok(change) if change.service.name.starts_with(&self.prefix) => {
                let told = self.known.apply(change.clone());
                // Deleting what the watch began with is news that `known` cannot judge.
                let is_news = change.action == Action::Delete || told.len() == change.service.nodes.len();
                ensure!(is_news, "the watcher told what it had told before: {change:?}");
            }
            Ok(_) => {}
        }
        Ok(())
    }

    /// Reads until just these nodes of a service are known.
    async fn until(&mut self, name: &str, ids: &[String], within: Duration) -> Outcome {
        let read = async {
            while ids_of(&self.known.service(name)) != ids {
                self.read().await?;
            }
            Ok(())
        };
        match timeout(within, read).await {
            Ok(read) => read,
            Err(_) => Err(Ending::failed(format!(
                "the watcher does not know {ids:?} within {within:?} but {:?}",
                ids_of(&self.known.service(name))
            ))),
        }
    }

    async fn until_trouble(&mut self, within: Duration) -> Outcome {
        let trouble = async {
            while self.errors == 0 {
                self.read().await?;
            }
            Ok(())
        };
        soon(within, "the watcher told nothing of the outage", trouble).await?
    }
}

async fn a_watcher_is_told_once_of_an_outage_and_then_what_happened_meanwhile(
    subject: OutageSubject,
) -> Outcome {
    let direct = &subject.direct;
    let (goes, comes) = (
        direct.record("greeter", &["goes"]),
        direct.record("greeter", &["comes"]),
    );
    let mut watched = subject.watch(Some(&goes.name)).await?;
    direct.register(&goes).await?;
    watched
        .until(&goes.name, &[direct.name("goes")], subject.traits.works_within)
        .await?;
    subject.proxy().await.cut().await;
    direct.deregister(&goes).await?;
    direct.register(&comes).await?;
    watched.until_trouble(subject.traits.notices_within).await?;
    let more = timeout(Duration::from_secs(1), watched.read()).await;
    ensure!(more.is_err(), "the watcher told of the outage more than once");
    subject.mend().await?;
    watched
        .until(&goes.name, &[direct.name("comes")], subject.traits.works_within)
        .await?;
    ensure!(
        watched.errors == 1,
        "the outage was told {} times",
        watched.errors
    );
    Ok(())
}

async fn a_watcher_is_right_after_many_short_cuts(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let name = direct.name("greeter");
    let mut watched = subject.watch(Some(&name)).await?;
    let mut ids = Vec::new();
    for number in 0..8 {
        let id = format!("{number}");
        subject.proxy().await.cut().await;
        direct.register(&direct.record("greeter", &[&id])).await?;
        subject.mend().await?;
        ids.push(direct.name(&id));
        if number % 3 == 2 {
            watched.until(&name, &ids, subject.traits.works_within).await?;
        }
    }
    watched.until(&name, &ids, subject.traits.works_within).await
}

async fn a_watcher_of_all_comes_back_too(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let mut watched = subject.watch(None).await?;
    subject.proxy().await.cut().await;
    let record = direct.record("greeter", &["comes"]);
    direct.register(&record).await?;
    watched.until_trouble(subject.traits.notices_within).await?;
    subject.mend().await?;
    watched
        .until(&record.name, &[direct.name("comes")], subject.traits.works_within)
        .await
}

async fn look_ups_fail_in_time_and_by_address_and_work_again(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    subject.look_up_until_it_works(&record.name).await?;
    subject.proxy().await.cut().await;
    let within = subject.traits.fails_within;
    for look_up in ["get_service", "list_services"] {
        let failed = match look_up {
            "get_service" => soon(within, look_up, subject.through.get_service(&record.name)).await?,
            _ => soon(within, look_up, subject.through.list_services()).await?,
        };
        let names = if look_up == "get_service" {
            record.name.as_str()
        } else {
            ""
        };
        match failed {
            Ok(found) => {
                return Err(Ending::failed(format!("{look_up} found {found:?} at no server")));
            }
            Err(error) => subject.check(&error, names)?,
        }
    }
    subject.mend().await?;
    subject.look_up_until_it_works(&record.name).await?;
    Ok(())
}

async fn registering_fails_in_time_and_by_name_and_works_again(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.proxy().await.cut().await;
    let options = RegisterOptions { ttl: Some(LONG) };
    let within = subject.traits.fails_within;
    let failed = soon(within, "register", subject.through.register(&record, options)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("registered at no server"))?;
    subject.check(&error, &record.name)?;
    let failed = soon(within, "deregister", subject.through.deregister(&record)).await?;
    if let Err(error) = failed {
        subject.check(&error, &record.name)?;
    }
    subject.mend().await?;
    subject.register_until_it_works(&record).await?;
    subject.direct.until_nodes(&record.name, &["a"]).await?;
    Ok(subject.through.deregister(&record).await?)
}

async fn a_short_cut_takes_no_node_away(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.register_until_it_works(&record).await?;
    subject.direct.until_nodes(&record.name, &["a"]).await?;
    let until = Instant::now() + WATCHED;
    for _ in 0..3 {
        subject.proxy().await.cut().await;
        subject.mend().await?;
        subject.register_until_it_works(&record).await?;
    }
    while Instant::now() < until {
        let nodes = ids_of(&found(subject.direct.registry(), &record.name).await?);
        ensure!(nodes.len() == 1, "a short cut took the node away");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(subject.through.deregister(&record).await?)
}

async fn a_server_that_hangs_up_is_not_asked_without_pause(subject: OutageSubject) -> Outcome {
    let name = subject.direct.name("greeter");
    let mut watched = subject.watch(Some(&name)).await?;
    let hung_up = subject.proxy().await.hang_up().await;
    hung_up.map_err(|problem| Ending::failed(format!("the proxy cannot hang up: {problem}")))?;
    let before = subject.proxy().await.accepted();
    let _ = timeout(WATCHED, async {
        loop {
            watched.read().await?;
        }
        #[allow(unreachable_code, reason = "gives the block its type")]
        Outcome::Ok(())
    })
    .await;
    let asked = subject.proxy().await.accepted() - before;
    ensure!(asked > 0, "the watcher does not try to come back");
    ensure!(asked <= FEW, "one watcher connected {asked} times in {WATCHED:?}");
    subject.mend().await?;
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    watched
        .until(&name, &[subject.direct.name("a")], subject.traits.works_within)
        .await
}

async fn a_silent_server_is_not_waited_for_without_end(subject: OutageSubject) -> Outcome {
    let record = subject.direct.record("greeter", &["a"]);
    subject.direct.register(&record).await?;
    subject.look_up_until_it_works(&record.name).await?;
    subject.proxy().await.silence();
    let within = subject.traits.fails_within;
    let failed = soon(within, "get_service", subject.through.get_service(&record.name)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("found at a silent server"))?;
    subject.check(&error, &record.name)?;
    let options = RegisterOptions { ttl: Some(LONG) };
    let failed = soon(within, "register", subject.through.register(&record, options)).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("registered at a silent server"))?;
    subject.check(&error, &record.name)?;
    subject.mend().await?;
    subject.look_up_until_it_works(&record.name).await?;
    Ok(())
}

async fn a_connection_that_fell_silent_is_noticed(subject: OutageSubject) -> Outcome {
    let direct = &subject.direct;
    let record = direct.record("greeter", &["a"]);
    let mut watched = subject.watch(Some(&record.name)).await?;
    subject.proxy().await.forget();
    direct.register(&record).await?;
    watched
        .until(&record.name, &[direct.name("a")], subject.traits.notices_within)
        .await
}

async fn dropped_watchers_close_what_they_opened(subject: OutageSubject) -> Outcome {
    let name = subject.direct.name("greeter");
    let before = subject.proxy().await.connections();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(subject.watch(Some(&name)).await?);
    }
    drop(watchers);
    let closed = async {
        while subject.proxy().await.connections() > before + KEPT {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let what = "the connections of dropped watchers are closed";
    soon(subject.traits.works_within, what, closed).await
}

async fn nobody_there_is_told_by_address(subject: OutageSubject) -> Outcome {
    subject.proxy().await.cut().await;
    let connecting = (subject.connect_through)();
    let failed = soon(subject.traits.fails_within, "connecting", connecting).await?;
    let Err(failure) = failed else {
        return Err(Ending::failed("connected to nobody"));
    };
    let words = failure.to_string();
    ensure!(
        words.contains(&subject.address.port().to_string()),
        "the error does not say which address: {words}"
    );
    Ok(())
}
