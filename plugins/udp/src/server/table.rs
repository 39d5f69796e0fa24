//! What is remembered of calls, so that none runs twice and every answer may be sent again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::{LONGEST, UdpLimits};

/// How many callers that got a token and did not call yet are told when the listener goes.
const WELCOMED: usize = 1024;
/// For how long they are.
const LATELY: Duration = Duration::from_secs(5);

/// The callers and their calls.
pub(super) struct Table {
    limits: UdpLimits,
    callers: HashMap<u64, Caller>,
    running: usize,
    remembered: usize,
    /// Bytes of answers.
    kept: usize,
    swept: Option<Instant>,
    /// Who got a token lately.
    welcomed: VecDeque<(u64, SocketAddr, Instant)>,
    is_leaving: bool,
}

struct Caller {
    address: SocketAddr,
    /// All its calls before this one are over.
    oldest: u64,
    calls: BTreeMap<u64, Call>,
    heard: Instant,
    /// It knows that the listener goes, and waits for nothing.
    is_done: bool,
}

struct Call {
    state: State,
    heard: Instant,
}

enum State {
    Running(AbortHandle),
    Answered(Bytes),
    /// Nobody waits for it. Remembered, because its datagrams may still be under way.
    GivenUp,
}

/// What is to be done with a datagram that holds a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is to be handled.
    New,
    Working,
    Answered(Bytes),
    /// Nobody waits for it.
    Over,
    /// It was not looked at: there is no room for it, or the listener goes.
    Full,
    Leaving,
}

impl Table {
    pub(super) fn new(limits: UdpLimits) -> Self {
        Self {
            limits,
            callers: HashMap::new(),
            running: 0,
            remembered: 0,
            kept: 0,
            swept: None,
            welcomed: VecDeque::new(),
            is_leaving: false,
        }
    }

    /// Looks at a call. One that is new is to be [begun](Self::begin) before anything else is asked.
    pub(super) fn look(
        &mut self,
        id: u64,
        number: u64,
        oldest: u64,
        address: SocketAddr,
        now: Instant,
    ) -> Verdict {
        if let Some(caller) = self.callers.get_mut(&id) {
            (caller.address, caller.heard) = (address, now);
        }
        self.see(id, oldest);
        if let Some(caller) = self.callers.get_mut(&id) {
            if let Some(call) = caller.calls.get_mut(&number) {
                call.heard = now;
                return match &call.state {
                    State::Running(_) => Verdict::Working,
                    State::Answered(answer) => Verdict::Answered(answer.clone()),
                    State::GivenUp => Verdict::Over,
                };
            }
            if number < caller.oldest {
                return Verdict::Over;
            }
        }
        if self.is_leaving {
            return Verdict::Leaving;
        }
        if self.is_full(id) {
            self.sweep_soon(now);
            if self.is_full(id) {
                return Verdict::Full;
            }
        }
        Verdict::New
    }

    fn is_full(&self, caller: u64) -> bool {
        self.running >= self.limits.calls
            || self.remembered >= self.limits.remembered
            || self.kept >= self.limits.answers
            || (self.callers.len() >= self.limits.callers && !self.callers.contains_key(&caller))
    }

    /// Remembers a call that begins.
    pub(super) fn begin(
        &mut self,
        id: u64,
        number: u64,
        oldest: u64,
        address: SocketAddr,
        handle: AbortHandle,
        now: Instant,
    ) {
        self.running += 1;
        self.insert(id, number, oldest, address, State::Running(handle), now);
    }

    fn insert(&mut self, id: u64, number: u64, oldest: u64, address: SocketAddr, state: State, now: Instant) {
        let caller = self.callers.entry(id);
        let caller = caller.or_insert_with(|| Caller::new(address, oldest, now));
        caller.calls.insert(number, Call { state, heard: now });
        self.remembered += 1;
    }

    /// Keeps the answer of a call. Gives where it is to be sent, if anybody waits for it.
    pub(super) fn finish(&mut self, id: u64, number: u64, answer: Bytes) -> Option<SocketAddr> {
        let caller = self.callers.get_mut(&id)?;
        let call = caller.calls.get_mut(&number)?;
        if !matches!(call.state, State::Running(_)) {
            return None;
        }
        self.running -= 1;
        self.kept += answer.len();
        call.state = State::Answered(answer);
        Some(caller.address)
    }

    /// Drops the handler of a call that nobody waits for. The call may be one that is still under way.
    pub(super) fn cancel(&mut self, id: u64, number: u64, now: Instant) {
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        caller.heard = now;
        let address = caller.address;
        match caller.calls.get_mut(&number) {
            Some(call) => {
                self.running -= usize::from(call.give_up(&mut self.kept));
            }
            None if number >= caller.oldest && self.remembered < self.limits.remembered => {
                let oldest = caller.oldest;
                self.insert(id, number, oldest, address, State::GivenUp, now);
            }
            None => {}
        }
    }

    /// Forgets the calls of a caller that it says are over.
    pub(super) fn see(&mut self, id: u64, oldest: u64) {
        let Some(caller) = self.callers.get_mut(&id) else {
            return;
        };
        if oldest <= caller.oldest {
            return;
        }
        caller.oldest = oldest;
        let waiting = caller.calls.split_off(&oldest);
        for (_, mut call) in std::mem::replace(&mut caller.calls, waiting) {
            self.running -= usize::from(call.give_up(&mut self.kept));
            self.remembered -= 1;
        }
    }

    fn sweep_soon(&mut self, now: Instant) {
        const PAUSE: Duration = Duration::from_secs(1);
        if self.swept.is_none_or(|swept| swept + PAUSE <= now) {
            self.sweep(now);
        }
    }

    /// Drops handlers whose callers are gone, and forgets what is old.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        let (silence, remember) = (
            self.limits.silence_timeout.min(LONGEST),
            self.limits.remember.min(LONGEST),
        );
        let (running, remembered, kept) = (&mut self.running, &mut self.remembered, &mut self.kept);
        self.callers.retain(|_, caller| {
            caller.calls.retain(|_, call| {
                if call.heard + silence <= now && matches!(call.state, State::Running(_)) {
                    *running -= usize::from(call.give_up(kept));
                }
                if call.heard + remember > now || matches!(call.state, State::Running(_)) {
                    return true;
                }
                call.give_up(kept);
                *remembered -= 1;
                false
            });
            !caller.calls.is_empty() || caller.heard + remember > now
        });
    }

    /// Notes who asks for a token. False: it gets none, because the listener goes.
    pub(super) fn welcome(&mut self, id: u64, address: SocketAddr, now: Instant) -> bool {
        if self.is_leaving {
            return false;
        }
        self.welcomed.truncate(WELCOMED - 1);
        self.welcomed.push_front((id, address, now));
        true
    }

    /// Takes no more calls.
    pub(super) fn leave(&mut self, now: Instant) {
        self.is_leaving = true;
        for (id, address, since) in self.welcomed.drain(..) {
            if since + LATELY > now {
                let known = self.callers.entry(id);
                known.or_insert_with(|| Caller::new(address, 0, now));
            }
        }
    }

    /// How many handlers run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// A caller knows that the listener goes, and waits for nothing.
    pub(super) fn let_go(&mut self, id: u64) {
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.is_done = self.is_leaving;
        }
    }

    /// The callers that may not know that the listener goes, or wait for answers.
    pub(super) fn callers(&self) -> Vec<(u64, SocketAddr)> {
        let callers = self.callers.iter().filter(|(_, caller)| !caller.is_done);
        callers.map(|(id, caller)| (*id, caller.address)).collect()
    }
}

impl Caller {
    fn new(address: SocketAddr, oldest: u64, now: Instant) -> Self {
        Self {
            address,
            oldest,
            calls: BTreeMap::new(),
            heard: now,
            is_done: false,
        }
    }
}

impl Call {
    /// Lets go of the handler or of the answer. True: there was a handler.
    fn give_up(&mut self, kept: &mut usize) -> bool {
        match std::mem::replace(&mut self.state, State::GivenUp) {
            State::Running(handle) => {
                handle.abort();
                true
            }
            State::Answered(answer) => {
                *kept -= answer.len();
                false
            }
            State::GivenUp => false,
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Table {
    /// Drops all handlers.
    pub(super) fn abort(&mut self) {
        for caller in self.callers.values_mut() {
            for call in caller.calls.values_mut() {
                self.running -= usize::from(call.give_up(&mut self.kept));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "127.0.0.1:9".parse().unwrap()
    }

    fn begin(table: &mut Table, number: u64, oldest: u64) -> Verdict {
        let now = Instant::now();
        let verdict = table.look(1, number, oldest, address(), now);
        if verdict == Verdict::New {
            let handle = tokio::spawn(std::future::pending::<()>()).abort_handle();
            table.begin(1, number, oldest, address(), handle, now);
        }
        verdict
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_runs_once_and_its_answer_is_kept_until_it_was_seen() {
        let mut table = Table::new(UdpLimits::default());
        assert_eq!(begin(&mut table, 5, 5), Verdict::New);
        assert_eq!(begin(&mut table, 5, 5), Verdict::Working);
        assert_eq!(table.finish(1, 5, "answer".into()), Some(address()));
        assert_eq!(table.finish(1, 5, "again".into()), None);
        assert_eq!(begin(&mut table, 5, 5), Verdict::Answered("answer".into()));
        assert_eq!(begin(&mut table, 6, 6), Verdict::New);
        assert_eq!(begin(&mut table, 5, 5), Verdict::Over, "it was seen");
        assert_eq!((table.running, table.remembered, table.kept), (1, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_does_not_begin_again() {
        let mut table = Table::new(UdpLimits::default());
        assert_eq!(begin(&mut table, 1, 1), Verdict::New);
        table.cancel(1, 1, Instant::now());
        assert_eq!(begin(&mut table, 1, 1), Verdict::Over);
        table.cancel(1, 2, Instant::now());
        assert_eq!(
            begin(&mut table, 2, 1),
            Verdict::Over,
            "the cancellation overtook it"
        );
        assert_eq!(table.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_callers_lose_their_handlers_and_then_their_place() {
        let limits = UdpLimits {
            calls: 1,
            ..UdpLimits::default()
        };
        let mut table = Table::new(limits);
        assert_eq!(begin(&mut table, 1, 1), Verdict::New);
        assert_eq!(begin(&mut table, 2, 1), Verdict::Full);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(begin(&mut table, 2, 1), Verdict::New);
        assert_eq!(begin(&mut table, 1, 1), Verdict::Over);
        table.cancel(1, 2, Instant::now());
        tokio::time::advance(Duration::from_secs(130)).await;
        table.sweep(Instant::now());
        assert!(table.callers.is_empty() && table.remembered == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_bounds() {
        let limits = UdpLimits {
            remembered: 3,
            answers: 10,
            callers: 1,
            ..UdpLimits::default()
        };
        let mut table = Table::new(limits);
        for number in 1..=3 {
            assert_eq!(begin(&mut table, number, 1), Verdict::New);
        }
        assert_eq!(begin(&mut table, 4, 1), Verdict::Full);
        assert_eq!(begin(&mut table, 4, 4), Verdict::New, "the others were seen");
        assert!(table.finish(1, 4, vec![0; 10].into()).is_some());
        assert_eq!(begin(&mut table, 5, 4), Verdict::Full);
        assert_eq!(begin(&mut table, 5, 5), Verdict::New);
        let other = table.look(2, 1, 1, address(), Instant::now());
        assert_eq!(other, Verdict::Full, "another caller");
        table.leave(Instant::now());
        assert_eq!(begin(&mut table, 6, 5), Verdict::Leaving);
        assert_eq!(begin(&mut table, 5, 5), Verdict::Working);
    }
}
