//! The load process: `benches load <peer> <address>`.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::command::{Answer, CallResult, Command, StreamResult, answer_line};
use crate::peers::{
    Caller, Hyper, Lapin, Micro, Nats, OverGrpc, OverHttp, OverNats, OverOneGrpc, OverRabbitmq, OverTcp,
    OverUdp, Peer, PeerName, Tarpc, Tonic, Udp,
};
use crate::statistics::percentile;

/// How long a command may take beyond the time that it states.
const PATIENCE: Duration = Duration::from_secs(30);

/// Obeys the commands on standard input, and ends with it.
pub(crate) fn run(runtime: &Runtime, peer: PeerName, address: &str, relay: Option<SocketAddr>) -> Result<()> {
    match peer {
        PeerName::Hyper => obey::<Hyper>(runtime, address, relay),
        PeerName::Tonic => obey::<Tonic>(runtime, address, relay),
        PeerName::Micro => obey::<Micro<OverHttp>>(runtime, address, relay),
        PeerName::Grpc => obey::<Micro<OverGrpc>>(runtime, address, relay),
        PeerName::GrpcOne => obey::<Micro<OverOneGrpc>>(runtime, address, relay),
        PeerName::Tarpc => obey::<Tarpc>(runtime, address, relay),
        PeerName::Tcp => obey::<Micro<OverTcp>>(runtime, address, relay),
        PeerName::UdpRaw => obey::<Udp>(runtime, address, relay),
        PeerName::Udp => obey::<Micro<OverUdp>>(runtime, address, relay),
        PeerName::NatsRaw => obey::<Nats>(runtime, address, relay),
        PeerName::Nats => obey::<Micro<OverNats>>(runtime, address, relay),
        PeerName::RabbitmqRaw => obey::<Lapin>(runtime, address, relay),
        PeerName::Rabbitmq => obey::<Micro<OverRabbitmq>>(runtime, address, relay),
    }
}

fn obey<P: Peer>(runtime: &Runtime, address: &str, relay: Option<SocketAddr>) -> Result<()> {
    let mut load = Load::<P> {
        address: address.to_owned(),
        relay,
        callers: Vec::new(),
    };
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let answer = line?
            .parse()
            .and_then(|command| runtime.block_on(load.patiently(command)));
        // Whoever does not read the answer has gone, and standard input ends as well.
        if writeln!(output, "{}", answer_line(&answer))
            .and_then(|()| output.flush())
            .is_err()
        {
            break;
        }
    }
    runtime.block_on(async { drop(load) });
    Ok(())
}

struct Load<P: Peer> {
    address: String,
    relay: Option<SocketAddr>,
    callers: Vec<P::Caller>,
}

impl<P: Peer> Load<P> {
    async fn patiently(&mut self, command: Command) -> Answer {
        let time = match command {
            Command::Call { time, .. } | Command::Stream { time, .. } => time,
            Command::Connect { .. } | Command::Idle { .. } | Command::Close => Duration::ZERO,
        };
        let answer = timeout(time + PATIENCE, self.execute(command)).await;
        answer.with_context(|| {
            format!(
                "`{command}` to {} was not done {PATIENCE:?} after its time",
                self.address
            )
        })?
    }

    async fn execute(&mut self, command: Command) -> Answer {
        match command {
            Command::Connect { callers } => {
                self.callers = P::connect(&self.address, self.relay, callers).await?
            }
            Command::Idle { callers } => self.idle(callers).await?,
            Command::Call { size, time } => return Ok(self.call(size, time).await?.into()),
            Command::Stream { size, time } => return Ok(self.stream(size, time).await?.into()),
            Command::Close => self.callers.clear(),
        }
        Ok(Vec::new())
    }

    async fn idle(&mut self, callers: usize) -> Result<()> {
        let payload = Bytes::from_static(&[7; 16]);
        if P::POOLS {
            // Called all at once, so that each opens a connection because none is idle yet.
            self.callers = P::connect(&self.address, self.relay, callers).await?;
            let calls = self.callers.iter_mut().map(|caller| caller.call(payload.clone()));
            for answer in try_join_all(calls).await? {
                check(&payload, &answer)?;
            }
            return Ok(());
        }
        for _ in 0..callers {
            for mut caller in P::connect(&self.address, self.relay, 1).await? {
                check(&payload, &caller.call(payload.clone()).await?)?;
                self.callers.push(caller);
            }
        }
        Ok(())
    }

    async fn call(&mut self, size: usize, time: Duration) -> Result<CallResult> {
        let payload = Bytes::from(vec![7; size]);
        let mut running = JoinSet::new();
        let began = Instant::now();
        for caller in self.callers.drain(..) {
            running.spawn(call_until(caller, payload.clone(), began + time));
        }
        let mut latencies = Vec::new();
        while let Some(ended) = running.join_next().await {
            let (caller, its_latencies) = ended??;
            self.callers.push(caller);
            latencies.push(its_latencies);
        }
        let nanoseconds = nanoseconds(began.elapsed());
        let mut latencies = latencies.concat();
        ensure!(
            !latencies.is_empty(),
            "there are no callers: `connect` comes first"
        );
        latencies.sort_unstable();
        let (p50, p99) = (percentile(&latencies, 50), percentile(&latencies, 99));
        Ok(CallResult {
            calls: latencies.len() as u64,
            nanoseconds,
            p50,
            p99,
        })
    }

    async fn stream(&mut self, size: usize, time: Duration) -> Result<StreamResult> {
        let payload = Bytes::from(vec![7; size]);
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        let began = Instant::now();
        for mut caller in self.callers.drain(..) {
            let (payload, stop) = (payload.clone(), Arc::clone(&stop));
            // A flag and not the clock, which would cost as much as a good part of a message.
            let next = move || (!stop.load(Ordering::Relaxed)).then(|| payload.clone());
            let outgoing = stream::iter(std::iter::from_fn(next));
            running.spawn(async move { caller.exchange(outgoing).await.map(|messages| (caller, messages)) });
        }
        tokio::select! {
            () = sleep(time) => stop.store(true, Ordering::Relaxed),
            Some(ended) = running.join_next() => {
                ended??;
                bail!("a stream of {} ended before it was told to", self.address);
            }
        }
        let mut messages = 0;
        while let Some(ended) = running.join_next().await {
            let (caller, its_messages) = ended??;
            self.callers.push(caller);
            messages += its_messages;
        }
        Ok(StreamResult {
            messages,
            nanoseconds: nanoseconds(began.elapsed()),
        })
    }
}

/// Calls one after another until the deadline, and at least once, and gives back the latency of each call in nanoseconds.
async fn call_until<C: Caller>(mut caller: C, payload: Bytes, deadline: Instant) -> Result<(C, Vec<u64>)> {
    let mut latencies = Vec::with_capacity(4096);
    let mut before = Instant::now();
    loop {
        check(&payload, &caller.call(payload.clone()).await?)?;
        let after = Instant::now();
        latencies.push(nanoseconds(after - before));
        if after >= deadline {
            return Ok((caller, latencies));
        }
        before = after;
    }
}

fn check(sent: &Bytes, received: &Bytes) -> Result<()> {
    ensure!(
        sent.len() == received.len(),
        "{} bytes were sent and {} came back",
        sent.len(),
        received.len()
    );
    Ok(())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
