//! This process as a member of the cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, ListenerHandle, ProtocolVersion,
    spawn_chitchat,
};
use micro_core::Result;
use tokio::sync::watch;

use crate::config::GossipConfig;
use crate::error;
use crate::record::ROOT;
use crate::socket::{Opened, Traffic};
use crate::view::peers;

/// A dead member is forgotten after this time; until then others try to reach it, in case that it was cut off. Not for
/// long: it takes room in each message until then, and more than some 2,000 members do not fit.
const REMEMBER_DEAD: Duration = Duration::from_secs(300);
/// How long it is remembered that an entry was taken out.
const REMEMBER_DELETED: Duration = Duration::from_secs(600);
/// To how many others a change is told at once. They tell it on.
const TELL: usize = 3;

/// What runs while this process is a member. Dropping it ends the membership without a goodbye.
pub(crate) struct Member {
    pub(crate) handle: ChitchatHandle,
    pub(crate) address: SocketAddr,
    seeds: Vec<SocketAddr>,
    _listener: ListenerHandle,
}

impl Member {
    /// Listens, and begins to gossip. The bell rings when an entry comes or changes.
    pub(crate) async fn begin(
        config: &GossipConfig,
        at: Option<SocketAddr>,
        entries: Vec<(String, String)>,
        bell: watch::Sender<()>,
        traffic: Arc<Traffic>,
    ) -> Result<Self> {
        let seeds = config.resolve_seeds().await;
        let places = at.map_or_else(|| config.listen_at(&seeds), |at| vec![at]);
        let (opened, bound) = open(&places, config, traffic).await?;
        let advertised = config.advertised(bound, &seeds)?;
        let seeds: Vec<SocketAddr> = seeds.into_iter().filter(|seed| *seed != advertised).collect();
        let chitchat = ChitchatConfig {
            chitchat_id: ChitchatId::new(name(), generation(), advertised),
            cluster_id: config.cluster.clone(),
            gossip_interval: config.interval,
            listen_addr: bound,
            // As addresses, because names would be resolved by a task that nobody ends.
            seed_nodes: seeds.iter().map(ToString::to_string).collect(),
            failure_detector_config: failure_detector(config),
            marked_for_deletion_grace_period: REMEMBER_DELETED,
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V1,
        };
        let handle = spawn_chitchat(chitchat, entries, &opened)
            .await
            .map_err(|why| error::cannot_listen(bound, why))?;
        let ring = move |_: chitchat::KeyChangeEvent<'_>| {
            bell.send_replace(());
        };
        let listener = handle
            .with_chitchat(|chitchat| chitchat.subscribe_event(ROOT, ring.clone()))
            .await;
        Ok(Self {
            handle,
            address: bound,
            seeds,
            _listener: listener,
        })
    }

    pub(crate) fn has_seeds(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// Notes what the names of the seeds mean now.
    pub(crate) fn set_seeds(&mut self, seeds: Vec<SocketAddr>) {
        let own = self.handle.chitchat_id().gossip_advertise_addr;
        self.seeds = seeds.into_iter().filter(|seed| *seed != own).collect();
    }

    /// Speaks at once with some of those that are alive, or with seeds where nobody is.
    pub(crate) async fn tell(&self) {
        let mut others = self.handle.with_chitchat(|chitchat| peers(chitchat)).await;
        if others.is_empty() {
            others.clone_from(&self.seeds);
        }
        fastrand::shuffle(&mut others);
        others.truncate(TELL);
        // Whoever waits until a change was told counts two messages, since one may have been on its way before.
        let times = if others.len() == 1 { 2 } else { 1 };
        for other in others {
            for _ in 0..times {
                let _ = self.handle.gossip(other);
            }
        }
    }

    /// Speaks with a seed that is not known to be alive, in case that the cluster fell into parts.
    pub(crate) async fn look_for_others(&self) {
        let alive = self.handle.with_chitchat(|chitchat| peers(chitchat)).await;
        let missing: Vec<&SocketAddr> = self.seeds.iter().filter(|seed| !alive.contains(seed)).collect();
        if let Some(seed) = fastrand::choice(missing) {
            let _ = self.handle.gossip(*seed);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

async fn open(
    places: &[SocketAddr],
    config: &GossipConfig,
    traffic: Arc<Traffic>,
) -> Result<(Opened, SocketAddr)> {
    let mut failure = error::misconfigured("there is no address to listen at");
    for place in places {
        match Opened::bind(*place, config.key.as_ref(), traffic.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(why) => failure = error::cannot_listen(*place, format!("{why:#}")),
        }
    }
    Err(failure)
}

/// A member is taken for dead when it is silent for eight times the mean of its last five pauses and of five that are a
/// quarter of `failure_timeout`: that is the timeout and four mean pauses. The invented ones keep the bound high where
/// members are heard of very often.
fn failure_detector(config: &GossipConfig) -> FailureDetectorConfig {
    FailureDetectorConfig {
        phi_threshold: 8.0,
        sampling_window_size: 5,
        max_interval: config.failure_timeout,
        initial_interval: config.failure_timeout / 4,
        dead_node_grace_period: REMEMBER_DEAD,
    }
}

/// A name that no other member has. It is in most of what is said, and therefore short.
fn name() -> String {
    format!("{:x}", fastrand::u64(..))
}

/// Tells a member that was begun later from an earlier one at the same address.
fn generation() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
