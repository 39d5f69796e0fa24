//! What every [`Broker`] on a server must live through: the second suite, with a proxy between the two.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use micro_core::broker::{Event, SubscribeOptions, Subscription};
use micro_core::{Broker, Error, ErrorKind};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use super::BrokerTraits;
use super::subject::{BrokerSubject, Make, maker, publish};
use crate::proxy::Proxy;
use crate::suite::{Ending, Failure, Outcome, Subject, Suite, ensure, needs, soon};

/// How long a server that hangs up is left alone, to see how often it is asked.
const WATCHED: Duration = Duration::from_secs(3);
/// How many connections are right in that time for one subscription that comes back after growing pauses.
const FEW: usize = 40;
const SUBSCRIPTIONS: usize = 20;
/// Connections that a client may keep for what it does next.
const KEPT: usize = 6;
/// How often connections are cut while events flow.
const CUTS: usize = 5;
const BETWEEN_CUTS: Duration = Duration::from_millis(300);
const PUBLISHERS: usize = 8;

/// In what a broker on a server may rightly differ from others when its server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageTraits {
    /// Whether all that was accepted is handled at least once by a queue, whatever happens to connections. Default: yes.
    pub keeps: bool,
    /// Whether a queue that has no member for a moment keeps what is published meanwhile. Default: yes.
    pub keeps_for_absent: bool,
    /// How long publishing may take to fail. Default: 15 s.
    pub fails_within: Duration,
    /// How long until a connection that fell silent is given up, and everything works. Default: 45 s.
    pub notices_within: Duration,
    /// How long until everything works again, once the server answers. Default: 10 s.
    pub works_within: Duration,
}

impl Default for OutageTraits {
    fn default() -> Self {
        Self {
            keeps: true,
            keeps_for_absent: true,
            fails_within: Duration::from_secs(15),
            notices_within: Duration::from_secs(45),
            works_within: Duration::from_secs(10),
        }
    }
}

/// Makes one test of each case of outages for a broker.
///
/// Takes what sets a proxy before a server, `Fn() -> impl Future<Output = Result<(Proxy, impl Any + Send), impl Display>>`,
/// whose second value is kept until the case is over, such as a server of its own; what connects to it at the proxy's
/// address, `Fn(SocketAddr) -> impl Future<Output = Result<impl Broker, impl Display>>`; and optionally
/// [`OutageTraits`](crate::broker::OutageTraits).
#[macro_export]
macro_rules! broker_outages {
    ($stage:expr, $connect:expr $(,)?) => {
        $crate::broker_outages!($stage, $connect, $crate::broker::OutageTraits::default());
    };
    ($stage:expr, $connect:expr, $traits:expr $(,)?) => {
        $crate::__broker_outage_cases!(__broker_outage_tests {
            $stage,
            $connect,
            $traits
        });
    };
}

/// Makes one test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __broker_outage_tests {
    ($stage:expr, $connect:expr, $traits:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::broker::check_outage(stringify!($case), $stage, $connect, $traits);
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_outage_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            a_subscription_comes_back_after_a_cut
            subscribing_works_over_a_connection_just_cut
            a_subscription_tells_little_of_an_outage
            what_is_published_in_a_short_cut_arrives_or_fails
            publishing_fails_in_time_and_by_name_and_works_again
            nothing_accepted_is_lost_over_many_cuts
            what_was_not_decided_comes_again_after_a_cut
            a_server_that_hangs_up_is_not_asked_without_pause
            a_silent_server_is_not_waited_for_without_end
            a_connection_that_fell_silent_is_noticed
            dropped_subscriptions_close_what_they_opened
            draining_ends_while_the_server_is_away
            nobody_there_is_told_by_address
        }
    };
}

fn suite() -> Suite<OutageSubject> {
    Suite::new(crate::__broker_outage_cases!(__cases {}))
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check_outage<S, G, K, P, C, F, B, E>(case: &str, stage: S, connect: C, traits: OutageTraits)
where
    S: Fn() -> G + Send + 'static,
    G: Future<Output = Result<(Proxy, K), P>> + Send + 'static,
    K: Any + Send,
    P: Display,
    C: Fn(SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<B, E>> + Send + 'static,
    B: Broker,
    E: Display,
{
    let staged = stage();
    let subject = async move {
        let (proxy, kept) = staged
            .await
            .map_err(|problem| Failure::new(format!("no proxy: {problem}")))?;
        let address = proxy.address();
        let connect = maker(move || connect(address));
        OutageSubject::new(proxy, Box::new(kept), connect, traits).await
    };
    suite().check(case, Box::pin(subject));
}

/// A broker that is connected through a proxy.
#[derive(Clone)]
struct OutageSubject {
    through: BrokerSubject,
    connect: Make,
    proxy: Arc<Mutex<Proxy>>,
    _kept: Arc<Mutex<Box<dyn Any + Send>>>,
    address: SocketAddr,
    traits: OutageTraits,
}

impl Subject for OutageSubject {}

impl OutageSubject {
    async fn new(
        proxy: Proxy,
        kept: Box<dyn Any + Send>,
        connect: Make,
        traits: OutageTraits,
    ) -> Result<Self, Failure> {
        let broker_traits = BrokerTraits {
            arrives_within: traits.works_within,
            ..BrokerTraits::default()
        };
        Ok(Self {
            through: BrokerSubject::new(connect.clone(), Arc::new(broker_traits)).await?,
            connect,
            address: proxy.address(),
            proxy: Arc::new(Mutex::new(proxy)),
            _kept: Arc::new(Mutex::new(kept)),
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

    fn queue(&self) -> SubscribeOptions {
        SubscribeOptions {
            queue: Some(self.through.name("workers").into()),
            ..SubscribeOptions::default()
        }
    }

    async fn subscribe(&self, topic: &str, options: SubscribeOptions) -> Result<Subscription, Ending> {
        let subscribing = self.through.broker().subscribe(topic, options);
        Ok(soon(self.traits.works_within, "subscribing", subscribing).await??)
    }

    /// Publishes until it works.
    async fn publish_until_it_works(&self, topic: &str, body: &str, within: Duration) -> Outcome {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match timeout(left, self.through.publish(topic, body.to_owned())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => ensure!(Instant::now() < until, "publishing does not work again: {error}"),
                Err(_) => return Err(Ending::failed("publishing hangs although the server is there")),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes until the subscription, which may have missed some, gives out one.
    async fn until_an_event(
        &self,
        topic: &str,
        subscription: &mut Subscription,
        within: Duration,
    ) -> Outcome {
        let publishing = async {
            loop {
                let _ = self.through.publish(topic, "probe").await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        let arriving = async {
            // One from before the outage cannot be acknowledged, and comes again.
            while next(subscription).await?.acknowledge().await.is_err() {}
            Ok::<_, Ending>(())
        };
        let both = async {
            tokio::select! {
                arrived = arriving => arrived,
                () = publishing => Ok(()),
            }
        };
        soon(within, "an event after the outage", both).await?
    }

    /// The error must be of the server being away, in words that help.
    fn check(&self, error: &Error, topic: &str) -> Outcome {
        ensure!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
            "an error of a server that is away must be Unavailable or Timeout, not {:?}: {error}",
            error.kind()
        );
        let names_port = error.detail().contains(&self.address.port().to_string());
        ensure!(names_port, "the error does not say which address: {error}");
        ensure!(
            error.detail().contains(topic),
            "the error does not say which topic, {topic}: {error}"
        );
        Ok(())
    }
}

/// The next event; trouble that is told in between is no matter.
async fn next(subscription: &mut Subscription) -> Result<Event, Ending> {
    loop {
        match subscription.next().await {
            Some(Ok(event)) => return Ok(event),
            Some(Err(_)) => {}
            None => return Err(Ending::failed("the subscription ended")),
        }
    }
}

async fn a_subscription_comes_back_after_a_cut(subject: OutageSubject) -> Outcome {
    for (tail, options) in [
        ("alone", SubscribeOptions::default()),
        ("shared", subject.queue()),
    ] {
        let topic = subject.through.name(tail);
        let mut subscription = subject.subscribe(&topic, options).await?;
        for _ in 0..3 {
            subject.proxy().await.cut().await;
            subject.mend().await?;
            subject
                .until_an_event(&topic, &mut subscription, subject.traits.works_within)
                .await?;
        }
    }
    Ok(())
}

async fn subscribing_works_over_a_connection_just_cut(subject: OutageSubject) -> Outcome {
    for (tail, options) in [
        ("alone", SubscribeOptions::default()),
        ("shared", subject.queue()),
    ] {
        for number in 0..CUTS {
            let topic = subject.through.name(&format!("{tail}-{number}"));
            // The broker has a connection, which it does not yet know to be gone.
            subject.through.publish(&topic, "before").await?;
            subject.proxy().await.cut().await;
            subject.mend().await?;
            let mut subscription = subject.subscribe(&topic, options.clone()).await?;
            subject
                .until_an_event(&topic, &mut subscription, subject.traits.works_within)
                .await?;
        }
    }
    Ok(())
}

async fn a_subscription_tells_little_of_an_outage(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("told");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    subject.proxy().await.cut().await;
    let mut told = 0;
    let reading = async {
        loop {
            match subscription.next().await {
                Some(Err(_)) => told += 1,
                Some(Ok(_)) => {}
                None => return,
            }
        }
    };
    let ended = timeout(WATCHED, reading).await.is_ok();
    ensure!(!ended, "the subscription ended because its server is away");
    ensure!(told <= 1, "one outage was told {told} times");
    subject.mend().await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await
}

async fn what_is_published_in_a_short_cut_arrives_or_fails(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    let topic = subject.through.name("short");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await?;
    subject.proxy().await.cut().await;
    let publishing = subject.through.publish(&topic, "meanwhile");
    let mending = async {
        sleep(Duration::from_millis(300)).await;
        subject.mend().await
    };
    let (published, mended) = tokio::join!(publishing, mending);
    mended?;
    published?;
    let arrived = async {
        loop {
            let mut event = next(&mut subscription).await?;
            let is_it = event.take_message().body == "meanwhile";
            // Dropped, a probe would come again before all others, where the server keeps the order.
            event.acknowledge().await?;
            if is_it {
                return Ok::<_, Ending>(());
            }
        }
    };
    soon(
        subject.traits.works_within,
        "what was published in a short cut",
        arrived,
    )
    .await?
}

async fn publishing_fails_in_time_and_by_name_and_works_again(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("away");
    subject.through.publish(&topic, "before").await?;
    subject.proxy().await.cut().await;
    let publishing = subject.through.publish(&topic, "never");
    let failed = soon(subject.traits.fails_within, "publishing to nobody", publishing).await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("published at no server"))?;
    subject.check(&error, &topic)?;
    subject.mend().await?;
    subject
        .publish_until_it_works(&topic, "after", subject.traits.works_within)
        .await
}

/// Publishes numbers until it is told that it is over, and returns those that were accepted.
async fn publish_numbers(
    broker: &dyn Broker,
    topic: &str,
    publisher: usize,
    is_over: &AtomicBool,
) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        let body = format!("{publisher}-{number}");
        if publish(broker, topic, body.clone()).await.is_ok() {
            accepted.push(body);
        }
        number += 1;
        sleep(Duration::from_millis(1)).await;
    }
    accepted
}

/// Handles events for ever, and notes their bodies.
async fn handle_all(subscription: &mut Subscription, handled: &Mutex<BTreeSet<String>>) -> Outcome {
    loop {
        let event = next(subscription).await?;
        let body = String::from_utf8_lossy(&event.message().body).into_owned();
        handled.lock().await.insert(body);
        // One whose broker cannot be told comes again.
        let _ = event.acknowledge().await;
    }
}

async fn nothing_accepted_is_lost_over_many_cuts(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    needs!(
        subject.traits.keeps_for_absent,
        "it forgets a queue without members, and a cut takes them all away"
    );
    let topic = subject.through.name("cuts");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    let (is_over, handled) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let publishing = join_all((0..PUBLISHERS).map(|publisher| {
        let broker = subject.through.broker();
        publish_numbers(&**broker, &topic, publisher, &is_over)
    }));
    let cutting = async {
        for _ in 0..CUTS {
            sleep(BETWEEN_CUTS).await;
            subject.proxy().await.cut().await;
            sleep(BETWEEN_CUTS / 3).await;
            subject.mend().await?;
        }
        sleep(BETWEEN_CUTS).await;
        is_over.store(true, Ordering::Relaxed);
        Outcome::Ok(())
    };
    let arriving = async {
        let (accepted, cut) = tokio::join!(publishing, cutting);
        cut?;
        let accepted: BTreeSet<String> = accepted.into_iter().flatten().collect();
        let count = accepted.len();
        ensure!(count >= CUTS * PUBLISHERS, "only {count} events were accepted");
        let until = Instant::now() + subject.traits.notices_within;
        loop {
            let missing: Vec<String> = accepted.difference(&*handled.lock().await).cloned().collect();
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{} of {count} accepted events did not arrive, such as {:?}",
                missing.len(),
                missing.iter().take(5).collect::<Vec<_>>()
            );
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        arrived = arriving => arrived,
        ended = handle_all(&mut subscription, &handled) => ended,
    }
}

async fn what_was_not_decided_comes_again_after_a_cut(subject: OutageSubject) -> Outcome {
    needs!(subject.traits.keeps, "it may lose what it accepted");
    needs!(
        subject.traits.keeps_for_absent,
        "it forgets a queue without members, and a cut takes them all away"
    );
    let topic = subject.through.name("undecided");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await?;
    subject.through.publish(&topic, "held").await?;
    let held = async {
        loop {
            let event = next(&mut subscription).await?;
            if event.message().body == "held" {
                return Ok::<_, Ending>(event);
            }
            event.acknowledge().await?;
        }
    };
    let held = soon(subject.traits.works_within, "the event", held).await??;
    subject.proxy().await.cut().await;
    subject.mend().await?;
    // What is decided over a connection that is gone may fail, and does no harm.
    drop(held);
    let again = async {
        loop {
            let event = next(&mut subscription).await?;
            let body = event.message().body.clone();
            let _ = event.acknowledge().await;
            if body == "held" {
                return Ok::<_, Ending>(());
            }
        }
    };
    soon(subject.traits.notices_within, "the same event again", again).await?
}

async fn a_server_that_hangs_up_is_not_asked_without_pause(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("hung-up");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    let hung_up = subject.proxy().await.hang_up().await;
    hung_up.map_err(|problem| Ending::failed(format!("the proxy cannot hang up: {problem}")))?;
    let before = subject.proxy().await.accepted();
    let _ = timeout(WATCHED, next(&mut subscription)).await;
    let asked = subject.proxy().await.accepted() - before;
    ensure!(asked > 0, "the subscription does not try to come back");
    ensure!(
        asked <= FEW,
        "one subscription connected {asked} times in {WATCHED:?}"
    );
    subject.mend().await?;
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.works_within)
        .await
}

async fn a_silent_server_is_not_waited_for_without_end(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("silent");
    subject.through.publish(&topic, "before").await?;
    subject.proxy().await.silence();
    let publishing = subject.through.publish(&topic, "never");
    let failed = soon(
        subject.traits.fails_within,
        "publishing to a silent server",
        publishing,
    )
    .await?;
    let error = failed
        .err()
        .ok_or_else(|| Ending::failed("a silent server accepted an event"))?;
    subject.check(&error, &topic)?;
    subject.mend().await?;
    subject
        .publish_until_it_works(&topic, "after", subject.traits.works_within)
        .await
}

async fn a_connection_that_fell_silent_is_noticed(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("forgotten");
    let mut subscription = subject.subscribe(&topic, SubscribeOptions::default()).await?;
    subject.proxy().await.forget();
    subject
        .until_an_event(&topic, &mut subscription, subject.traits.notices_within)
        .await
}

async fn dropped_subscriptions_close_what_they_opened(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("dropped");
    let before = subject.proxy().await.connections();
    let mut subscriptions = Vec::new();
    for _ in 0..SUBSCRIPTIONS {
        subscriptions.push(subject.subscribe(&topic, SubscribeOptions::default()).await?);
    }
    drop(subscriptions);
    let closed = async {
        while subject.proxy().await.connections() > before + KEPT {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let what = "the connections of dropped subscriptions are closed";
    soon(subject.traits.works_within, what, closed).await
}

async fn draining_ends_while_the_server_is_away(subject: OutageSubject) -> Outcome {
    let topic = subject.through.name("leaving");
    let mut subscription = subject.subscribe(&topic, subject.queue()).await?;
    subject.proxy().await.cut().await;
    subscription.drain();
    let ended = async { while subscription.next().await.is_some() {} };
    soon(
        subject.traits.fails_within,
        "a draining subscription ends without its server",
        ended,
    )
    .await
}

async fn nobody_there_is_told_by_address(subject: OutageSubject) -> Outcome {
    subject.proxy().await.cut().await;
    let connecting = (subject.connect)();
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
