//! The one task of a registry: hears, answers, announces, and keeps watched services fresh.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::packet::Message;
use crate::record::LIST;
use crate::shared::Shared;
use crate::sighting::sightings;
use crate::socket::{Arrival, Links};

/// The largest datagram there is.
const BUFFER: usize = 65_536;
/// How long a packet that came through several interfaces counts as the same, and how many are remembered.
const SAME: Duration = Duration::from_secs(1);
const MAX_RECENT: usize = 128;
/// How soon to look for working interfaces after a socket failed.
const REPAIR: Duration = Duration::from_secs(1);
/// Watched nodes are asked for this many times within their time to live, but not more often than this.
const ASKED_PER_TTL: u32 = 4;
const SHORTEST_REFRESH: Duration = Duration::from_millis(200);

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut responder = Responder {
        next: Instant::now(),
        refresh: None,
        rescan: Instant::now() + shared.config.rescan,
        recent: VecDeque::new(),
        hasher: RandomState::new(),
        shared,
    };
    let mut buffer = vec![0; BUFFER];
    let mut last = 0;
    loop {
        let links = responder.shared.links();
        tokio::select! {
            received = poll_fn(|context| links.poll_receive(context, &mut buffer, last)) => match received {
                Ok(arrival) => {
                    last = arrival.link;
                    responder.receive(&links, arrival, &buffer[..arrival.length]).await;
                }
                Err((link, error)) => responder.drop_link(&links, link, &error),
            },
            () = responder.shared.wake.notified() => responder.next = Instant::now(),
            () = sleep_until(responder.next) => {}
        }
        // Looked at after packets too: a flood of them must not keep the clock from being heard.
        if Instant::now() >= responder.next {
            responder.tick(&links).await;
        }
    }
}

struct Responder {
    shared: Arc<Shared>,
    /// When there is something to do without a packet.
    next: Instant,
    refresh: Option<Instant>,
    rescan: Instant,
    recent: VecDeque<(Instant, u64, usize)>,
    hasher: RandomState,
}

impl Responder {
    async fn receive(&mut self, links: &Links, arrival: Arrival, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            tracing::trace!(from = %arrival.from, "mdns: a packet that is no DNS message");
            return;
        };
        if !message.is_plain() {
            return;
        }
        if message.is_response() {
            if !arrival.in_group || !self.is_repeated(arrival, bytes) {
                self.hear(&message, arrival.in_group).await;
            }
        } else if arrival.in_group
            && !links.is_own_question(arrival.from)
            && !(links.is_local(arrival.from.ip()) && self.is_repeated(arrival, bytes))
        {
            self.answer(links, &message, arrival).await;
        }
    }

    /// Whether the same packet was just heard through another interface. Processes of one machine hear each other
    /// through all that they share; taken twice, an announcement could overtake the goodbye after it.
    fn is_repeated(&mut self, arrival: Arrival, bytes: &[u8]) -> bool {
        let now = Instant::now();
        self.recent.retain(|(heard, _, _)| now < *heard + SAME);
        let hash = self.hasher.hash_one(bytes);
        let Some(known) = self.recent.iter_mut().find(|(_, known, _)| *known == hash) else {
            self.recent.truncate(MAX_RECENT - 1);
            self.recent.push_front((now, hash, arrival.link));
            return false;
        };
        known.2 != arrival.link
    }

    async fn answer(&self, links: &Links, message: &Message<'_>, arrival: Arrival) {
        for question in &message.questions {
            let shared = &self.shared;
            let answers = shared
                .lock()
                .own
                .answers(question, &shared.config.domain, &shared.host);
            for answer in answers {
                links.answer(arrival, &answer).await;
            }
        }
    }

    async fn hear(&mut self, message: &Message<'_>, announced: bool) {
        let shared = &self.shared;
        let wanted = |service: &str| shared.lock().heard.wants(service);
        let mut unexplored = Vec::new();
        for sighting in sightings(message, &shared.config.domain, wanted) {
            let now = Instant::now();
            let mut state = shared.lock();
            if sighting.key.0 == LIST && state.heard.is_unexplored(&sighting.key.2) {
                unexplored.push(sighting.key.2.clone());
            }
            // What lives shortly must be asked for soon.
            let soon = Duration::from_secs(sighting.ttl.into()) / (ASKED_PER_TTL + 1);
            self.next = self.next.min(now + soon);
            state.hear(sighting, announced, now);
        }
        for service in unexplored {
            shared.ask(&service).await;
        }
    }

    async fn tick(&mut self, links: &Links) {
        let now = Instant::now();
        let packets = {
            let mut state = self.shared.lock();
            let mut packets = state.lapse(now);
            packets.extend(state.own.due(now));
            packets
        };
        for packet in packets {
            if let Err(error) = links.tell(&packet).await {
                tracing::debug!(%error, "mdns: an announcement was not sent");
            }
        }
        if self.refresh.is_some_and(|refresh| refresh <= now) {
            self.refresh = None;
            let watched = self.shared.lock().heard.watched();
            for service in watched {
                self.shared.ask(&service).await;
            }
        }
        if self.rescan <= now {
            self.rescan = now + self.shared.config.rescan;
            self.rescan(links).await;
        }
        self.plan(now);
    }

    fn plan(&mut self, now: Instant) {
        let state = self.shared.lock();
        if state.heard.is_watched_at_all() {
            let shortest = state.heard.shortest_ttl().map(|ttl| ttl / ASKED_PER_TTL);
            let longest = self.shared.config.refresh;
            let refresh = shortest.unwrap_or(longest).min(longest).max(SHORTEST_REFRESH);
            // Processes that began together do not ask together for long.
            let planned = now + refresh.mul_f64(0.8 + 0.2 * fastrand::f64());
            self.refresh = Some(self.refresh.map_or(planned, |refresh| refresh.min(planned)));
        } else {
            self.refresh = None;
        }
        let times = [
            self.refresh,
            Some(self.rescan),
            state.own.next(),
            state.heard.next_lapse(),
        ];
        self.next = times.into_iter().flatten().min().unwrap_or(self.rescan);
    }

    async fn rescan(&mut self, links: &Links) {
        if let Some(links) = links.reopened(&self.shared.config).await {
            tracing::info!("mdns: the network interfaces have changed");
            self.shared.set_links(links);
            let announcements = self.shared.lock().own.announcements();
            for announcement in announcements {
                let _ = self.shared.tell(&announcement).await;
            }
            self.refresh = Some(Instant::now());
        }
    }

    fn drop_link(&mut self, links: &Links, link: usize, error: &io::Error) {
        // Somebody whom we answered is gone; some systems tell so here.
        if [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused].contains(&error.kind()) {
            return;
        }
        tracing::warn!(%error, "mdns: a socket failed and will be opened again");
        self.shared.set_links(links.without(link));
        self.rescan = self.rescan.min(Instant::now() + REPAIR);
        self.next = self.next.min(self.rescan);
    }
}
