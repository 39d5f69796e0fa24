//! Registries beside each other, each with a server of its own where it has one: how soon a node is seen, how soon a
//! killed one is gone where there is no server, what a node costs the server when nothing happens, and what a watcher
//! costs its process.

use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use micro::registry::{Action, Node, RegisterOptions, Registry, ServiceRecord, Watcher};
use micro::{Arguments, Service};
use micro_testkit::proxy::Proxy;
use servers::{Kind, Server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::options::Options;
use crate::statistics::percentile;
use crate::suite::progress;
use crate::table::{NONE, Table, precise};
use crate::usage::resident_bytes;

/// How often a node is registered, to see how soon it is seen.
const SEEN: usize = 200;
/// How often a process is killed.
const KILLED: usize = 3;
/// How often that process registers its node, whose time to live is twice as long.
const INTERVAL: Duration = Duration::from_millis(2500);
/// How many nodes of a watcher are registered by one member: a pod of Kubernetes has room for no more.
const NODES_OF_ONE: usize = 100;
/// How many of them are of one service.
const NODES_OF_SERVICE: usize = 10;
const OPTIONS: RegisterOptions = RegisterOptions {
    ttl: Some(Duration::from_secs(600)),
};
/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures each and gives the table.
pub(crate) async fn measure(options: &Options) -> Result<String> {
    let heads = [
        "registry".to_owned(),
        "seen p50 ms".to_owned(),
        "seen p99 ms".to_owned(),
        "killed gone after s".to_owned(),
        "messages/node/min".to_owned(),
        format!("watcher of {} nodes MiB", options.nodes()),
    ];
    let mut table = Table::new(heads.into());
    for name in &options.registries {
        let row = measure_one(name, options).await;
        table.push(row.with_context(|| format!("the registry {name}"))?);
    }
    Ok(table.to_string())
}

async fn measure_one(name: &str, options: &Options) -> Result<Vec<String>> {
    progress(&format!("{name}: begin"));
    let stage = Stage::set(name).await?;
    progress(&format!("{name}: how soon is a node seen"));
    let seen = seen(&stage.place).await.context("register and watch")?;
    let [mut gone, mut messages] = [NONE, NONE].map(str::to_owned);
    if stage.server.is_some() {
        progress(&format!("{name}: what does a node cost the server at rest"));
        let sent = at_rest(&stage.place, options.rest()).await;
        messages = precise(sent.context("a service at rest")?);
    } else {
        progress(&format!("{name}: how soon is a killed node gone"));
        let longest = killed(&stage.place).await;
        gone = precise(longest.context("a killed node")?.as_secs_f64());
    }
    progress(&format!("{name}: what does a watcher cost"));
    let grown = memory(&stage.place, options.nodes()).await;
    let watcher = precise(grown.context("a watcher of many nodes")?);
    Ok(vec![
        name.to_owned(),
        milliseconds(percentile(&seen, 50)),
        milliseconds(percentile(&seen, 99)),
        gone,
        messages,
        watcher,
    ])
}

/// A registry, and what must live as long as it is used.
struct Stage {
    place: Place,
    server: Option<Server>,
    /// The member whom others are told of where there is no server.
    _first: Option<Arc<dyn Registry>>,
}

impl Stage {
    async fn set(name: &str) -> Result<Self> {
        let place = |address: String| Place {
            registry: name.to_owned(),
            address,
            cluster: None,
        };
        match name {
            "mdns" => Ok(Self {
                place: place("lo".to_owned()),
                server: None,
                _first: None,
            }),
            "gossip" => {
                let free = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string();
                let variables = [("MICRO_GOSSIP_LISTEN", free.as_str())];
                let settings = Arguments::new("bench").parse_from(["--registry=gossip"], variables)?;
                Ok(Self {
                    _first: Some(settings.connect_registry().await?),
                    place: place(free),
                    server: None,
                })
            }
            _ => {
                let server = Server::start(name.parse()?).await?;
                let cluster = (server.kind() == Kind::Kubernetes).then(|| server.address());
                Ok(Self {
                    place: Place {
                        cluster,
                        ..place(server.address().to_string())
                    },
                    server: Some(server),
                    _first: None,
                })
            }
        }
    }
}

/// Where a registry is: its server, or a proxy before it.
#[derive(Clone)]
struct Place {
    registry: String,
    address: String,
    /// The API server, which has a pod for each member.
    cluster: Option<SocketAddr>,
}

/// What a program is told to join.
struct Membership {
    flags: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Place {
    /// One more member.
    async fn join(&self) -> Result<Membership> {
        let variables = match self.cluster {
            Some(cluster) => {
                let pod = format!("bench-{:016x}", fastrand::u64(..));
                servers::kubernetes::start_pod(cluster, &pod).await?;
                servers::kubernetes::variables(&pod)
            }
            None => Vec::new(),
        };
        Ok(Membership {
            flags: vec![
                format!("--registry={}", self.registry),
                format!("--registry_address={}", self.address),
            ],
            variables,
        })
    }

    async fn registry(&self) -> Result<Arc<dyn Registry>> {
        let membership = self.join().await?;
        let settings = Arguments::new("bench").parse_from(membership.flags, membership.variables)?;
        Ok(settings.connect_registry().await?)
    }
}

fn milliseconds(nanoseconds: u64) -> String {
    precise(nanoseconds as f64 / 1e6)
}

/// Nanoseconds from each registration's begin until a watcher of another connection has told of it, sorted.
async fn seen(place: &Place) -> Result<Vec<u64>> {
    let (here, there) = (place.registry().await?, place.registry().await?);
    let mut watcher = there.watch(Some("seen")).await?;
    let mut times = Vec::new();
    for number in 0..SEEN {
        let record = record("seen", number);
        let began = Instant::now();
        let (registered, told) = tokio::join!(
            here.register(&record, OPTIONS),
            timeout(PATIENCE, next(&mut watcher, Action::Create))
        );
        registered?;
        told.context("the watcher tells nothing")??;
        times.push(u64::try_from(began.elapsed().as_nanos())?);
        here.deregister(&record).await?;
        timeout(PATIENCE, next(&mut watcher, Action::Delete))
            .await
            .context("the watcher tells nothing")??;
    }
    times.sort_unstable();
    Ok(times)
}

/// The longest time from SIGKILL until a watcher tells that a node is gone which another process kept registered.
async fn killed(place: &Place) -> Result<Duration> {
    let registry = place.registry().await?;
    let mut watcher = registry.watch(Some("killed")).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..KILLED {
        let Membership { flags, variables } = place.join().await?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("register")
            .args(flags)
            .envs(variables)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        timeout(PATIENCE, next(&mut watcher, Action::Create))
            .await
            .context("the watcher tells nothing of the process")??;
        // Refreshed at least once, so that a record that lives on is not merely new.
        sleep(INTERVAL * 3 / 2).await;
        child.kill().await?;
        let began = Instant::now();
        timeout(PATIENCE, next(&mut watcher, Action::Delete))
            .await
            .context("the watcher tells nothing of the kill")??;
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}

/// The process that is killed: keeps a node registered until its standard input ends.
pub(crate) async fn register(flags: &[String]) -> Result<()> {
    let registry = Arguments::new("bench")
        .parse_from(flags, std::env::vars())?
        .connect_registry()
        .await?;
    let record = record("killed", usize::from(fastrand::u16(..1024)));
    let options = RegisterOptions {
        ttl: Some(INTERVAL * 2),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        registry.register(&record, options).await?;
        tokio::select! {
            _ = lines.next_line() => return Ok(()),
            () = sleep(INTERVAL) => {}
        }
    }
}

async fn next(watcher: &mut Watcher, action: Action) -> Result<()> {
    while watcher.next().await?.action != action {}
    Ok(())
}

/// The messages that one service which calls another sends to the server in a minute, with the default times: its own
/// registration's, and the watch of the service that it calls.
async fn at_rest(place: &Place, rest: Duration) -> Result<f64> {
    let called = place.registry().await?;
    called.register(&record("called", 0), OPTIONS).await?;
    let proxy = Proxy::open(place.address.parse()?).await?;
    let through = Place {
        address: proxy.address().to_string(),
        ..place.clone()
    };
    let registry = through.registry().await?;
    let service = Service::builder("resting")
        .registry(registry)
        .address("127.0.0.1:0")
        .build()?;
    let running = service.start().await?;
    let client = running.client();
    // It does not answer, but now it is watched.
    let _ = timeout(
        Duration::from_secs(1),
        client.call_plain::<(), ()>("called", "Nothing.At", ()),
    )
    .await;
    let before = proxy.sent();
    sleep(rest).await;
    let sent = proxy.sent() - before;
    running.stop().await?;
    Ok(sent as f64 * 60.0 / rest.as_secs_f64())
}

/// The MiB by which a process grows that watches all services, for so many nodes.
async fn memory(place: &Place, nodes: usize) -> Result<f64> {
    let mut watching = Watching::start(place.join().await?)?;
    watching.known().await?;
    let before = resident_bytes(watching.id()?)?;
    let mut members = Vec::new();
    for first in (0..nodes).step_by(NODES_OF_ONE) {
        let member = place.registry().await?;
        for number in first..nodes.min(first + NODES_OF_ONE) {
            let service = format!("many-{}", number / NODES_OF_SERVICE);
            member.register(&record(&service, number), OPTIONS).await?;
        }
        members.push(member);
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let known = watching.known().await?;
        if known >= nodes {
            break;
        }
        if Instant::now() > until {
            bail!("the watcher knows only {known} of {nodes} nodes");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let after = resident_bytes(watching.id()?)?;
    Ok(after.saturating_sub(before) as f64 / 1024.0 / 1024.0)
}

fn record(service: &str, number: usize) -> ServiceRecord {
    let node = Node::new(
        format!("{service}-{number}"),
        format!("127.0.0.1:{}", 1024 + number),
    )
    .with_metadata("protocol", "mucp")
    .with_metadata("transport", "http");
    ServiceRecord::new(service, "latest").with_nodes(vec![node])
}

/// A process that watches.
struct Watching {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(membership: Membership) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("watch")
            .args(membership.flags)
            .envs(membership.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("no standard input")?,
            lines: BufReader::new(child.stdout.take().context("no standard output")?).lines(),
            child,
        })
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the watching process ended")
    }

    /// How many nodes it knows.
    async fn known(&mut self) -> Result<usize> {
        self.input.write_all(b"\n").await?;
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .context("the watching process hangs")??;
        Ok(line.context("the watching process ended")?.parse()?)
    }
}

/// The process: watches everything, and says how many nodes it knows whenever a line comes in.
pub(crate) async fn watch(flags: &[String]) -> Result<()> {
    let registry = Arguments::new("bench")
        .parse_from(flags, std::env::vars())?
        .connect_registry()
        .await?;
    let mut watcher = registry.watch(None).await?;
    // Only counted: what the watcher itself keeps is what is measured.
    let mut known = 0;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(_) => println!("{known}"),
                None => return Ok(()),
            },
            change = watcher.next() => match change {
                Ok(change) if change.action == Action::Create => known += change.service.nodes.len(),
                Ok(change) if change.action == Action::Delete => known -= change.service.nodes.len(),
                // Trouble is told once, and the watcher goes on.
                Ok(_) | Err(_) => {}
            }
        }
    }
}
