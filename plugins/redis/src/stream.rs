//! A subscription to a stream: by a queue's group, or alone from a place that it remembers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use micro_core::Result;
use micro_core::broker::{Event, EventSource, Remainder};
use redis::{Cmd, Value};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::dial::{Connection, Dialer};
use crate::entry::{Entry, EntryId, read_entries, read_streams};
use crate::member::{Member, Returned, Share, give_back};
use crate::upkeep::{last_entry, millis, number};
use crate::{entry, error};

/// How long Redis holds back an answer while there is nothing new. A connection that fell silent is noticed after this
/// and the time to answer.
const BLOCK: Duration = Duration::from_secs(2);
/// How often a member looks for what others left.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long ending a wait early may take. Else it ends by itself.
const UNBLOCK_WITHIN: Duration = Duration::from_millis(500);
/// How long handlers that are at work may make more room before so many events are asked for as there is room for. Redis
/// is asked for many at once rather than often: each answer may wait for its disk.
const MORE_ROOM_WITHIN: Duration = Duration::from_millis(1);
/// How many events are asked for at once at most.
const MOST_AT_ONCE: usize = 1024;
/// How many that a lost connection may have carried are looked at in one go.
const PAGE: usize = 1000;
/// After a lost connection Redis may still send events there, until its wait for new ones has ended. What is that old and
/// has not arrived, never will.
const LOST_AFTER: Duration = Duration::from_secs(1);

type Reading = BoxFuture<'static, (Result<Value>, OwnedSemaphorePermit)>;
type Claiming = BoxFuture<'static, (Result<Claimed>, OwnedSemaphorePermit)>;

pub(crate) struct StreamSource {
    member: Arc<Member>,
    dialer: Arc<Dialer>,
    response_timeout: Duration,
    /// Room for events that are not decided.
    slots: Arc<Semaphore>,
    /// How much room is worth a question.
    much_room: u32,
    /// Room for one that comes again while all the other is kept for what is waited for.
    spare: Arc<Semaphore>,
    connection: Option<Reader>,
    /// Up to where everything was read.
    position: Option<EntryId>,
    /// These go on where they were when the future of `next` was dropped.
    reading: Option<Reading>,
    claiming: Option<Claiming>,
    arrived: VecDeque<Arrived>,
    look_at: Instant,
    /// Until when events may turn up that were sent over a connection that was lost.
    check_until: Instant,
    /// Where looking for what others left goes on.
    cursor: EntryId,
    is_draining: bool,
}

/// A connection on which nothing but reading is done.
struct Reader {
    connection: Arc<Connection>,
    /// As what Redis knows it.
    id: Option<u64>,
}

struct Arrived {
    entry: Entry,
    deliveries: u32,
    slot: OwnedSemaphorePermit,
}

/// What a member took over from others.
struct Claimed {
    entries: Vec<(Entry, u32)>,
    cursor: EntryId,
}

enum Step {
    Read(Result<Value>, OwnedSemaphorePermit),
    Took(Result<Claimed>, OwnedSemaphorePermit),
    Room(OwnedSemaphorePermit),
    Look,
}

impl StreamSource {
    pub(crate) fn new(
        member: Arc<Member>,
        dialer: Arc<Dialer>,
        response_timeout: Duration,
        concurrency: usize,
    ) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            member,
            dialer,
            response_timeout,
            slots: Arc::new(Semaphore::new(concurrency)),
            much_room: u32::try_from(concurrency.min(MOST_AT_ONCE) / 2).unwrap_or(u32::MAX),
            spare: Arc::new(Semaphore::new(1)),
            connection: None,
            position: None,
            reading: None,
            claiming: None,
            arrived: VecDeque::new(),
            look_at: Instant::now(),
            check_until: Instant::now(),
            cursor: EntryId::default(),
            is_draining: false,
        }
    }

    /// Where to read from, and where the queue's group begins if it is not there. Redis may have come back without its
    /// data, and counts from the beginning then.
    async fn find_position(&mut self) -> Result<EntryId> {
        let last = last_entry(&self.member.link, &self.member.key).await?;
        let position = match self.position {
            None => last,
            Some(position) if last < position => EntryId::default(),
            Some(position) => position,
        };
        self.position = Some(position);
        Ok(position)
    }

    async fn join(&mut self, share: &Share, position: EntryId) -> Result<()> {
        let mut command = redis::cmd("XGROUP");
        command
            .arg("CREATE")
            .arg(&self.member.key)
            .arg(share.queue.as_str());
        command.arg(position.to_string()).arg("MKSTREAM");
        match self.member.link.try_request(&command).await? {
            Err(problem) if !error::is_there_already(&problem) => {
                Err(error::failed(self.member.link.address(), &problem))
            }
            _ => Ok(()),
        }
    }

    /// Asks for so many new events, and waits for the first.
    fn read(&self, reader: &Reader, slots: OwnedSemaphorePermit) -> Reading {
        let mut command = Cmd::with_capacity(12, 256);
        match &self.member.share {
            Some(share) => {
                command.arg("XREADGROUP").arg("GROUP");
                command.arg(share.queue.as_str()).arg(&share.consumer)
            }
            None => command.arg("XREAD"),
        };
        command.arg("COUNT").arg(slots.num_permits());
        command.arg("BLOCK").arg(millis(BLOCK));
        command.arg("STREAMS").arg(&self.member.key);
        match &self.member.share {
            Some(_) => command.arg(">"),
            None => command.arg(self.position.unwrap_or_default().to_string()),
        };
        let (connection, dialer) = (reader.connection.clone(), self.dialer.clone());
        Box::pin(async move {
            let answer = connection.ask(&command).await;
            (answer.map_err(|problem| dialer.failed(&problem)), slots)
        })
    }

    /// Takes over so many events of the queue that nobody looks after.
    fn claim(&self, share: &Share, slots: OwnedSemaphorePermit) -> Claiming {
        let (member, share, cursor) = (self.member.clone(), share.clone(), self.cursor);
        let has_lost = Instant::now() < self.check_until;
        Box::pin(async move {
            if has_lost && let Err(problem) = give_back_lost(&member, &share, LOST_AFTER).await {
                return (Err(problem), slots);
            }
            let claimed = claim(&member, &share, cursor, slots.num_permits()).await;
            (claimed, slots)
        })
    }

    /// Notes what was read.
    fn arrived(&mut self, entries: impl IntoIterator<Item = (Entry, u32)>, mut slots: OwnedSemaphorePermit) {
        for (entry, deliveries) in entries {
            // Redis does not send more than it was asked for.
            let Some(slot) = slots.split(1) else { break };
            self.member.hold(entry.id);
            self.arrived.push_back(Arrived {
                entry,
                deliveries,
                slot,
            });
        }
    }

    fn new_entries(&mut self, answer: Value, slots: OwnedSemaphorePermit) -> Result<()> {
        let Some(entries) = read_streams(answer) else {
            return Err(error::unexpected(
                self.dialer.address(),
                "answered a read with something else",
            ));
        };
        if let Some(last) = entries.last() {
            self.position = self.position.max(Some(last.id));
        }
        self.arrived(entries.into_iter().map(|entry| (entry, 1)), slots);
        Ok(())
    }

    /// Makes an event of what arrived. None: it was no message.
    fn event(&mut self, arrived: Arrived) -> Option<Event> {
        let Arrived {
            entry,
            deliveries,
            slot,
        } = arrived;
        match entry.message {
            Ok(message) => Some(self.member.event(entry.id, message, deliveries, slot)),
            Err(problem) => {
                tracing::warn!(topic = %self.member.topic, id = %entry.id, %problem,
                    "what is no message was left out");
                if self.member.share.is_some() {
                    let event = self.member.event(entry.id, Default::default(), deliveries, slot);
                    self.member.spawn(async move {
                        // Otherwise somebody finds it again, and leaves it out.
                        let _ = event.acknowledge().await;
                    });
                }
                None
            }
        }
    }

    /// One step of reading: waits for what comes first. Whatever is under way is kept when the future is dropped.
    async fn step(&mut self) -> Step {
        let is_open = !self.is_draining;
        // With so much to be given out again, room is for that; without any, it is waited for all the same.
        let may_take = is_open && self.reading.is_none() && (!self.member.is_full() || !self.has_room());
        let (look_at, may_look) = match &self.member.share {
            Some(_) => (Some(self.look_at), is_open && self.claiming.is_none()),
            None => (self.member.take_returned_at(), is_open),
        };
        tokio::select! {
            biased;
            (answer, slots) = under_way(&mut self.reading) => {
                self.reading = None;
                Step::Read(answer, slots)
            }
            (claimed, slots) = under_way(&mut self.claiming) => {
                self.claiming = None;
                Step::Took(claimed, slots)
            }
            () = at(look_at), if may_look && self.has_room() => Step::Look,
            () = self.member.wake.notified(), if may_look => {
                self.look_at = Instant::now();
                self.cursor = EntryId::default();
                Step::Look
            }
            slot = room(self.slots.clone(), self.much_room), if may_take => match slot {
                Ok(slot) => Step::Room(slot),
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Whether something that comes again has room.
    fn has_room(&self) -> bool {
        let is_waiting = self.reading.is_some() && self.spare.available_permits() > 0;
        is_waiting || self.slots.available_permits() > 0
    }

    fn room_for_one(&self) -> Option<OwnedSemaphorePermit> {
        let slot = self.slots.clone().try_acquire_owned().ok();
        let may_spare = self.reading.is_some();
        slot.or_else(|| self.spare.clone().try_acquire_owned().ok().filter(|_| may_spare))
    }

    /// All the room that there is beside this, up to a bound.
    fn more_room(&self, mut slots: OwnedSemaphorePermit) -> OwnedSemaphorePermit {
        while slots.num_permits() < MOST_AT_ONCE && Arc::ptr_eq(slots.semaphore(), &self.slots) {
            match self.slots.clone().try_acquire_owned() {
                Ok(more) => slots.merge(more),
                Err(_) => break,
            }
        }
        slots
    }

    /// Looks for what others left, or what was returned here.
    async fn look(&mut self) -> Result<()> {
        match self.member.share.clone() {
            Some(share) => {
                if let Some(slot) = self.room_for_one() {
                    self.claiming = Some(self.claim(&share, self.more_room(slot)));
                }
                Ok(())
            }
            None => self.reread().await,
        }
    }

    fn took(&mut self, claimed: Claimed, slots: OwnedSemaphorePermit) {
        self.cursor = claimed.cursor;
        self.look_at = Instant::now();
        // The whole list was looked through.
        if self.cursor == EntryId::default() {
            self.look_at += LOOK_EVERY.mul_f64(0.75 + fastrand::f64() / 2.0);
        }
        self.arrived(claimed.entries, slots);
    }

    /// Reads again what was returned to this subscription, which shares with nobody.
    async fn reread(&mut self) -> Result<()> {
        let Some(slot) = self.room_for_one() else {
            return Ok(());
        };
        let Some(returned) = self.member.take_returned() else {
            return Ok(());
        };
        let returned = Borrowed {
            member: self.member.clone(),
            returned: Some(returned),
        };
        let mut command = redis::cmd("XRANGE");
        let id = returned.id().to_string();
        command.arg(&self.member.key).arg(&id).arg(&id);
        let answer = self.member.link.request(&command).await?;
        let deliveries = returned.keep();
        let entries = read_entries(answer).unwrap_or_default();
        if entries.is_empty() {
            tracing::warn!(topic = %self.member.topic, id, "an event cannot come again: it was removed from its stream");
        }
        let entries = entries.into_iter().map(|entry| (entry, deliveries + 1));
        self.arrived(entries, slot);
        Ok(())
    }
}

/// What is to be given out again, while it is fetched. Dropped before, it goes back.
struct Borrowed {
    member: Arc<Member>,
    returned: Option<Returned>,
}

impl Borrowed {
    fn id(&self) -> EntryId {
        self.returned
            .as_ref()
            .map_or(EntryId::default(), |returned| returned.id)
    }

    fn keep(mut self) -> u32 {
        self.returned.take().map_or(0, |returned| returned.deliveries)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(returned) = self.returned.take() {
            self.member.put_back(returned.id, returned.deliveries);
        }
    }
}

#[async_trait]
impl EventSource for StreamSource {
    async fn begin(&mut self) -> Result<()> {
        self.connection = None;
        self.reading = None;
        self.claiming = None;
        let is_back = self.position.is_some();
        let position = self.find_position().await?;
        if let Some(share) = self.member.share.clone() {
            self.join(&share, position).await?;
            if is_back {
                give_back_lost(&self.member, &share, Duration::ZERO).await?;
                self.check_until = Instant::now() + BLOCK + LOST_AFTER + LOOK_EVERY * 2;
            }
        }
        let connection = Arc::new(self.dialer.dial(BLOCK + self.response_timeout).await?);
        let mut command = redis::cmd("CLIENT");
        // Who may not ask it can still read; draining takes a little longer then.
        let id = connection.ask(command.arg("ID")).await.ok();
        self.connection = Some(Reader {
            connection,
            id: id.as_ref().and_then(number),
        });
        self.look_at = Instant::now();
        self.cursor = EntryId::default();
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(arrived) = self.arrived.pop_front() {
                match self.event(arrived) {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if self.is_draining && self.reading.is_none() && self.claiming.is_none() {
                return Ok(None);
            }
            match self.step().await {
                Step::Read(answer, slots) => self.new_entries(answer?, slots)?,
                Step::Took(claimed, slots) => self.took(claimed?, slots),
                Step::Look => self.look().await?,
                Step::Room(slot) => {
                    if let Some(reader) = self.connection.as_ref().filter(|_| !self.member.is_full()) {
                        self.reading = Some(self.read(reader, self.more_room(slot)));
                    }
                }
            }
        }
    }

    async fn drain(&mut self) -> Result<Remainder> {
        self.is_draining = true;
        if let (Some(_), Some(reader)) = (&self.reading, &self.connection) {
            unblock(&self.member, reader.id).await;
        }
        let has_more = !self.arrived.is_empty() || self.reading.is_some() || self.claiming.is_some();
        Ok(match has_more {
            true => Remainder::Arrived,
            false => Remainder::Nothing,
        })
    }
}

impl Drop for StreamSource {
    /// Gives back what was not given out, and what is on its way.
    fn drop(&mut self) {
        let Some(share) = self.member.share.clone() else {
            return;
        };
        let (reading, claiming) = (self.reading.take(), self.claiming.take());
        let arrived: Vec<EntryId> = self.arrived.drain(..).map(|arrived| arrived.entry.id).collect();
        if reading.is_none() && claiming.is_none() && arrived.is_empty() {
            return;
        }
        self.member.let_go(&arrived);
        let (member, reader) = (self.member.clone(), self.connection.take());
        self.member.spawn(async move {
            let mut ids = arrived;
            if let Some(reading) = reading {
                unblock(&member, reader.and_then(|reader| reader.id)).await;
                let entries = reading.await.0.ok().and_then(read_streams).unwrap_or_default();
                ids.extend(entries.into_iter().map(|entry| entry.id));
            }
            if let Some(claiming) = claiming
                && let Ok(claimed) = claiming.await.0
            {
                ids.extend(claimed.entries.into_iter().map(|(entry, _)| entry.id));
            }
            let given = give_back(&member.link, &member.key, &share, &ids, member.claim_after).await;
            if let Err(problem) = given {
                tracing::warn!(topic = %member.topic, %problem, "events were not given back; they come again later");
            }
        });
    }
}

/// Ends the wait for new events, as if nothing had come.
async fn unblock(member: &Member, id: Option<u64>) {
    if let Some(id) = id {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNBLOCK").arg(id);
        let until = Instant::now() + UNBLOCK_WITHIN;
        // Else the wait ends by itself.
        let _ = member.link.ask_once(&command, until).await;
    }
}

/// Gives back what Redis counts as given to this member for at least so long, and what never arrived.
async fn give_back_lost(member: &Member, share: &Share, idle: Duration) -> Result<()> {
    let mut from = "-".to_owned();
    loop {
        let mut command = redis::cmd("XPENDING");
        command.arg(&member.key).arg(share.queue.as_str());
        command.arg("IDLE").arg(millis(idle)).arg(&from).arg("+");
        command.arg(PAGE).arg(&share.consumer);
        let Value::Array(pending) = member.link.request(&command).await? else {
            return Ok(());
        };
        let ids: Vec<EntryId> = pending.iter().filter_map(first_id).collect();
        let lost: Vec<EntryId> = ids.iter().copied().filter(|id| !member.holds(*id)).collect();
        give_back(&member.link, &member.key, share, &lost, member.claim_after).await?;
        match ids.last() {
            Some(last) if pending.len() == PAGE => from = format!("({last}"),
            _ => return Ok(()),
        }
    }
}

/// Takes over entries that nobody looks after, and asks how often they were given out.
async fn claim(member: &Member, share: &Share, cursor: EntryId, count: usize) -> Result<Claimed> {
    let queue = share.queue.as_str();
    let mut command = redis::cmd("XAUTOCLAIM");
    command.arg(&member.key).arg(queue).arg(&share.consumer);
    command.arg(millis(member.claim_after)).arg(cursor.to_string());
    command.arg("COUNT").arg(count);
    let answer = member.link.request(&command).await?;
    let unexpected = || error::unexpected(member.link.address(), "answered XAUTOCLAIM with something else");
    let Value::Array(parts) = answer else {
        return Err(unexpected());
    };
    let mut parts = parts.into_iter();
    let cursor = parts.next().as_ref().and_then(EntryId::of);
    let entries = parts.next().and_then(read_entries);
    let (Some(cursor), Some(entries)) = (cursor, entries) else {
        return Err(unexpected());
    };
    if entries.is_empty() {
        return Ok(Claimed {
            entries: Vec::new(),
            cursor,
        });
    }
    let mut counts = redis::Pipeline::with_capacity(entries.len());
    for entry in &entries {
        let id = entry.id.to_string();
        counts.cmd("XPENDING").arg(&member.key).arg(queue);
        counts.arg(&id).arg(&id).arg(1);
    }
    // Without the counts they are events all the same.
    let counts = member.link.ask_all(&counts).await.unwrap_or_default();
    let mut counts = counts.iter().map(deliveries_of);
    let entries = entries.into_iter().map(|entry| {
        let count = counts.next().flatten();
        (entry, count.unwrap_or(2))
    });
    Ok(Claimed {
        entries: entries.collect(),
        cursor,
    })
}

/// The count in an answer to `XPENDING` for one entry: its id, its consumer, its idle time, its count.
fn deliveries_of(pending: &Value) -> Option<u32> {
    let Value::Array(list) = pending else { return None };
    let Some(Value::Array(entry)) = list.first() else {
        return None;
    };
    u32::try_from(number(entry.get(3)?)?).ok()
}

fn first_id(pending: &Value) -> Option<EntryId> {
    match pending {
        Value::Array(parts) => parts.first().and_then(entry::EntryId::of),
        _ => None,
    }
}

/// Goes on with what is under way; waits for ever when nothing is.
async fn under_way<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits for room, and then a moment for much of it.
async fn room(slots: Arc<Semaphore>, much: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
    let slot = slots.clone().acquire_owned().await?;
    if slots.available_permits() + 1 < much as usize {
        let _ = timeout(MORE_ROOM_WITHIN, slots.acquire_many(much - 1)).await;
    }
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;
    use crate::link::Link;
    use crate::member::{MOST_RETURNED, Membership};
    use crate::tasks::Tasks;

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_waited_for_also_while_nothing_new_is_read() {
        let time = Duration::from_secs(60);
        let dialer = Arc::new(Dialer::new(&RedisConfig::default()).unwrap());
        let member = Member::new(Membership {
            link: Arc::new(Link::new(dialer.clone(), time, time)),
            tasks: Arc::new(Tasks::here()),
            topic: "orders".into(),
            key: "orders".to_owned(),
            queue: None,
            claim_after: time,
            retention: None,
        });
        let mut source = StreamSource::new(member.clone(), dialer, time, 1);
        let slot = source.slots.clone().try_acquire_owned().unwrap();
        for number in 0..MOST_RETURNED as u64 {
            member.put_back(EntryId(number, 0), 0);
        }
        assert!(matches!(source.step().await, Step::Look), "it was told to look");
        assert!(source.room_for_one().is_none());
        let decided = async {
            tokio::task::yield_now().await;
            drop(slot);
        };
        let (step, ()) = tokio::join!(tokio::time::timeout(time / 2, source.step()), decided);
        assert!(matches!(step.unwrap(), Step::Room(_)));
        assert!(matches!(source.step().await, Step::Look), "there is room now");
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for_and_much_of_it_for_a_moment_only() {
        let slots = Arc::new(Semaphore::new(0));
        assert!(futures_util::poll!(std::pin::pin!(room(slots.clone(), 4))).is_pending());
        let begun = Instant::now();
        slots.add_permits(1);
        drop(room(slots.clone(), 4).await.unwrap());
        assert!(begun.elapsed() >= MORE_ROOM_WITHIN, "no more came");
        let begun = Instant::now();
        let (slot, ()) = tokio::join!(room(slots.clone(), 4), async { slots.add_permits(3) });
        assert_eq!((begun.elapsed(), slots.available_permits()), (Duration::ZERO, 3));
        drop(slot);
        drop(room(slots, 4).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO, "there is much room");
    }

    #[test]
    fn the_count_of_deliveries_is_the_fourth_of_what_is_pending() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = Value::Array(vec![text("1-1"), text("me"), Value::Int(7), Value::Int(3)]);
        assert_eq!(first_id(&entry), Some(EntryId(1, 1)));
        assert_eq!(deliveries_of(&Value::Array(vec![entry])), Some(3));
        assert_eq!(deliveries_of(&Value::Array(vec![])), None);
        assert_eq!(deliveries_of(&Value::Nil), None);
    }
}
