//! What a consumer knows of its events: which may be delivered next, which are under way, which wait, and what has to be noted of them.
//! It does nothing by itself: no locks, no log, no clock.
//!
//! Everything up to `read` has been looked at, and of that everything is settled but what is open. So what is settled needs no place here,
//! however much it is; bounded are the open events ([`MAX_OPEN`]), and of those the ones that are kept whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    super::Event,
    log::{Dead, Logged, Position, Retry, Settlement},
};

/// How many events may be open: delivered, waiting for their time, or behind another of their key. Then none is read until one is settled.
pub(super) const MAX_OPEN: usize = 4_096;

/// How many events are read ahead whole, and how many bytes of them.
const MAX_AHEAD: usize = 256;
const MAX_AHEAD_BYTES: usize = 1 << 20;

/// How many events are fetched again at once.
const FETCH: usize = 64;

/// The longest wait of an event that has failed, unless its handler asks for more.
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);

/// The longest wait that a handler may ask for: a due time in the log beyond that is of a clock that was set since.
const MAX_DELAY: Duration = Duration::from_secs(86_400);

/// The most bytes of the reason of a failure.
const MAX_REASON_BYTES: usize = 1_024;

/// What bounds the attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) backoff: Duration,
    pub(super) max_deliveries: u32,
    pub(super) in_flight: usize,
}

/// An attempt that the process did not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crashed {
    pub(super) sequence: u64,
    pub(super) attempt: u32,
}

/// Both times of the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) monotonic: Duration,
    pub(super) wall_ms: i64,
}

/// What became of an event that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    Again,
    Dead,
}

/// What is to be done before the next event can be delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This one can.
    Deliver(u64),
    /// These have to be fetched again: see [`Window::fetched`].
    Fetch(Vec<u64>),
    /// More has to be read behind this sequence: see [`Window::take`].
    Read(u64),
    /// Nothing can be done but wait.
    Nothing,
}

pub(super) struct Window {
    limits: Limits,
    read: u64,
    /// Settled already, and not looked at yet.
    ahead: BTreeSet<u64>,
    open: BTreeMap<u64, Open>,
    /// The open events of each key, the first of which holds up the others.
    keys: HashMap<Arc<Key>, BTreeSet<u64>>,
    /// Free, and not behind another of their key.
    ready: BTreeSet<u64>,
    waiting: BTreeSet<(Duration, u64)>,
    deadlines: BTreeSet<(Duration, u64)>,
    /// Open since before this window, and not looked at yet: what their keys hold up is not known.
    unknown: BTreeSet<u64>,
    whole: usize,
    whole_bytes: usize,
    changes: Changes,
    /// Changes that are being written.
    writing: Option<(u64, Changes)>,
    written_floor: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    tenant: Arc<str>,
    key: Box<str>,
}

struct Open {
    /// How many attempts were begun.
    attempts: u32,
    key: Option<Arc<Key>>,
    event: Option<Arc<Event>>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Free,
    Waiting(Duration),
    InFlight { token: u64, deadline: Duration },
}

#[derive(Default)]
struct Changes {
    settled: BTreeSet<u64>,
    retries: BTreeMap<u64, Again>,
    dead: BTreeMap<u64, Gone>,
}

struct Again {
    attempts: u32,
    due: Duration,
    reason: Arc<str>,
}

struct Gone {
    attempts: u32,
    reason: Arc<str>,
}

impl Window {
    /// As the log knows it, with what the process did not survive.
    pub(super) fn new(position: Position, crashed: &[Crashed], limits: Limits, now: Now) -> Self {
        let mut window = Self {
            limits,
            read: position.floor,
            ahead: position.settled.into_iter().collect(),
            open: BTreeMap::new(),
            keys: HashMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            unknown: BTreeSet::new(),
            whole: 0,
            whole_bytes: 0,
            changes: Changes::default(),
            writing: None,
            written_floor: position.floor,
        };
        for retry in position.retries {
            let left = u64::try_from(retry.due_ms.saturating_sub(now.wall_ms)).unwrap_or(0);
            let due = now.monotonic + Duration::from_millis(left).min(MAX_DELAY);
            window.reopen(retry.sequence, retry.attempts, due);
        }
        for crashed in crashed {
            window.crashed(*crashed, now.monotonic);
        }
        window
    }

    /// An attempt that began and did not end counts; one that is known to have failed is not counted twice.
    fn crashed(&mut self, Crashed { sequence, attempt }: Crashed, now: Duration) {
        let known = self.open.get(&sequence).map_or(0, |open| open.attempts);
        if sequence <= self.read || self.ahead.contains(&sequence) || attempt <= known {
            return;
        }
        let reason: Arc<str> = "the process ended while it was handled".into();
        if attempt >= self.limits.max_deliveries {
            self.close(sequence);
            self.ahead.insert(sequence);
            self.changes.dead.insert(sequence, Gone { attempts: attempt, reason });
            return;
        }
        let due = now + self.backoff(attempt);
        self.close(sequence);
        self.reopen(sequence, attempt, due);
        self.changes.retries.insert(sequence, Again { attempts: attempt, due, reason });
    }

    fn reopen(&mut self, sequence: u64, attempts: u32, due: Duration) {
        self.open.insert(sequence, Open { attempts, key: None, event: None, phase: Phase::Waiting(due) });
        self.waiting.insert((due, sequence));
        self.unknown.insert(sequence);
    }

    /// What is to be done next. `head`: the newest sequence of the log.
    pub(super) fn next(&mut self, now: Duration, head: u64) -> Next {
        while let Some(&(due, sequence)) = self.waiting.first()
            && due <= now
        {
            self.free(sequence);
        }
        if !self.unknown.is_empty() {
            return Next::Fetch(self.unknown.iter().take(FETCH).copied().collect());
        }
        if self.deadlines.len() >= self.limits.in_flight {
            return Next::Nothing;
        }
        match self.ready.first() {
            Some(first) if self.open.get(first).is_some_and(|open| open.event.is_some()) => {
                Next::Deliver(*first)
            }
            Some(_) => {
                let bare = |sequence: &&u64| self.open.get(sequence).is_some_and(|open| open.event.is_none());
                Next::Fetch(self.ready.iter().filter(bare).take(FETCH).copied().collect())
            }
            None if head > self.read && self.open.len() < MAX_OPEN => {
                self.lighten();
                Next::Read(self.read)
            }
            None => Next::Nothing,
        }
    }

    /// Where to read on if there is room for more, whether or not something can be delivered.
    pub(super) fn skim(&self, head: u64) -> Option<u64> {
        let room = self.unknown.is_empty()
            && self.open.len() < MAX_OPEN
            && self.whole < MAX_AHEAD
            && self.whole_bytes < MAX_AHEAD_BYTES;
        (room && head > self.read).then_some(self.read)
    }

    /// Takes in the events behind `read` that are for this consumer, up to a sequence.
    pub(super) fn take(&mut self, events: &[Logged], up_to: u64) {
        let before = self.read;
        self.read = before.max(up_to);
        for logged in events {
            let sequence = logged.sequence;
            if sequence <= before || self.ahead.remove(&sequence) || self.open.contains_key(&sequence) {
                continue;
            }
            self.open.insert(sequence, Open { attempts: 0, key: None, event: None, phase: Phase::Free });
            self.keep(sequence, &logged.event);
            self.link(sequence, &logged.event);
        }
        // Whatever was settled and is not there any more.
        self.ahead = self.ahead.split_off(&(self.read + 1));
        // Those that come again, now that it is known what they are behind.
        let reached: Vec<_> = self.open.range(before + 1..).map(|(&sequence, _)| sequence).collect();
        for sequence in reached.into_iter().take_while(|sequence| *sequence <= up_to) {
            self.line_up(sequence);
        }
    }

    /// Takes in what was found of `asked`; the others are gone from the log, or not for this consumer any more, and are passed over.
    pub(super) fn fetched(&mut self, asked: &[u64], events: &[Logged]) {
        for &sequence in asked {
            let unknown = self.unknown.remove(&sequence);
            let Some(open) = self.open.get(&sequence) else { continue };
            if matches!(open.phase, Phase::InFlight { .. }) {
                continue;
            }
            match events.iter().find(|logged| logged.sequence == sequence) {
                Some(logged) => {
                    if matches!(open.phase, Phase::Free) && open.event.is_none() {
                        self.keep_always(sequence, &logged.event);
                    }
                    if unknown {
                        self.link(sequence, &logged.event);
                    }
                }
                None => self.pass_over(sequence),
            }
        }
    }

    /// Delivers an event that can be; answers it and which attempt it is.
    pub(super) fn claim(
        &mut self,
        sequence: u64,
        token: u64,
        deadline: Duration,
    ) -> Option<(Arc<Event>, u32)> {
        let open = self.open.get_mut(&sequence)?;
        let event = open.event.take()?;
        open.attempts += 1;
        open.phase = Phase::InFlight { token, deadline };
        let attempt = open.attempts;
        self.whole -= 1;
        self.whole_bytes -= size(&event);
        self.ready.remove(&sequence);
        self.deadlines.insert((deadline, sequence));
        Some((event, attempt))
    }

    /// Whether this delivery is still under way.
    pub(super) fn is_in_flight(&self, sequence: u64, token: u64) -> bool {
        let of = |open: &Open| matches!(open.phase, Phase::InFlight { token: other, .. } if other == token);
        self.open.get(&sequence).is_some_and(of)
    }

    /// It was not begun after all: the attempt does not count. False: it is over.
    pub(super) fn give_back(&mut self, sequence: u64, token: u64) -> bool {
        if !self.is_in_flight(sequence, token) {
            return false;
        }
        self.land(sequence);
        if let Some(open) = self.open.get_mut(&sequence) {
            open.attempts -= 1;
            open.phase = Phase::Free;
        }
        self.line_up(sequence);
        true
    }

    /// The same for all that are under way, but for the one whose handler runs.
    pub(super) fn give_all_back(&mut self, handling: Option<(u64, u64)>) {
        let under_way: Vec<_> = self.deadlines.iter().map(|&(_, sequence)| sequence).collect();
        for sequence in under_way {
            if let Some(Open { phase: Phase::InFlight { token, .. }, .. }) = self.open.get(&sequence)
                && handling != Some((sequence, *token))
            {
                self.give_back(sequence, *token);
            }
        }
    }

    /// The event is done with. False: the delivery is over.
    pub(super) fn acknowledge(&mut self, sequence: u64, token: u64) -> bool {
        if !self.is_in_flight(sequence, token) {
            return false;
        }
        self.close(sequence);
        self.changes.retries.remove(&sequence);
        self.changes.settled.insert(sequence);
        true
    }

    /// The attempt has failed: the event comes again, or it was the last. None: the delivery is over.
    pub(super) fn fail(
        &mut self,
        sequence: u64,
        token: u64,
        now: Duration,
        delay: Option<Duration>,
        reason: &str,
    ) -> Option<Failed> {
        if !self.is_in_flight(sequence, token) {
            return None;
        }
        let attempts = self.open.get(&sequence)?.attempts;
        let reason: Arc<str> = shortened(reason).into();
        self.changes.retries.remove(&sequence);
        if attempts >= self.limits.max_deliveries {
            self.close(sequence);
            self.changes.dead.insert(sequence, Gone { attempts, reason });
            return Some(Failed::Dead);
        }
        self.land(sequence);
        let due = now + delay.map_or_else(|| self.backoff(attempts), |delay| delay.min(MAX_DELAY));
        self.open.get_mut(&sequence)?.phase = Phase::Waiting(due);
        self.waiting.insert((due, sequence));
        self.changes.retries.insert(sequence, Again { attempts, due, reason });
        Some(Failed::Again)
    }

    /// The first delivery whose deadline has passed.
    pub(super) fn overdue(&self, now: Duration) -> Option<(u64, u64)> {
        let &(deadline, sequence) = self.deadlines.first()?;
        match self.open.get(&sequence)?.phase {
            Phase::InFlight { token, .. } if deadline <= now => Some((sequence, token)),
            _ => None,
        }
    }

    /// When something happens by itself, later than `now`: a deadline passes, or an event comes again.
    pub(super) fn wake_at(&self, now: Duration) -> Option<Duration> {
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let due = self.waiting.first().map(|&(at, _)| at);
        [deadline, due].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Everything up to here is settled.
    pub(super) fn floor(&self) -> u64 {
        let open = self.open.first_key_value().map_or(u64::MAX, |(&first, _)| first.saturating_sub(1));
        self.read.min(open).max(self.written_floor)
    }

    pub(super) fn read_up_to(&self) -> u64 {
        self.read
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.deadlines.len()
    }

    #[cfg(test)]
    pub(super) fn retries(&self) -> usize {
        self.waiting.len()
    }

    /// How many events have something to be noted.
    pub(super) fn unsettled(&self) -> usize {
        let count = |changes: &Changes| changes.settled.len() + changes.retries.len() + changes.dead.len();
        count(&self.changes) + self.writing.as_ref().map_or(0, |(_, changes)| count(changes))
    }

    /// How far the floor has moved since it was noted.
    pub(super) fn moved(&self) -> u64 {
        self.floor() - self.written_floor
    }

    /// What has to be noted, to be answered with [`written`](Self::written). None: nothing, or it is being written.
    pub(super) fn write(&mut self, now: Now) -> Option<Settlement> {
        if self.writing.is_some() || (self.changes.is_empty() && self.moved() == 0) {
            return None;
        }
        let floor = self.floor();
        let changes = std::mem::take(&mut self.changes);
        let retries = changes.retries.iter().map(|(&sequence, again)| {
            let left = again.due.saturating_sub(now.monotonic).as_millis();
            let due_ms = now.wall_ms.saturating_add(i64::try_from(left).unwrap_or(i64::MAX));
            Retry { sequence, attempts: again.attempts, due_ms, reason: Arc::clone(&again.reason) }
        });
        let dead = changes.dead.iter().map(|(&sequence, gone)| Dead {
            sequence,
            attempts: gone.attempts,
            reason: Arc::clone(&gone.reason),
        });
        let settlement = Settlement {
            floor,
            settled: changes.settled.range(floor + 1..).copied().collect(),
            retries: retries.collect(),
            dead: dead.collect(),
        };
        self.writing = Some((floor, changes));
        Some(settlement)
    }

    /// What was to be noted has been, or it has to be noted later.
    pub(super) fn written(&mut self, ok: bool) {
        let Some((floor, mut old)) = self.writing.take() else { return };
        if ok {
            self.written_floor = floor;
            return;
        }
        let new = std::mem::take(&mut self.changes);
        for sequence in new.settled.iter().chain(new.retries.keys()).chain(new.dead.keys()) {
            old.retries.remove(sequence);
        }
        old.settled.extend(new.settled);
        old.retries.extend(new.retries);
        old.dead.extend(new.dead);
        self.changes = old;
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.limits.backoff.saturating_mul(factor).min(MAX_BACKOFF.max(self.limits.backoff))
    }

    /// Enters an event among those of its key, and among those that can be delivered.
    fn link(&mut self, sequence: u64, event: &Event) {
        if !event.key.is_empty() {
            let key = Key { tenant: Arc::clone(&event.tenant), key: event.key.as_str().into() };
            let key = match self.keys.get_key_value(&key) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::new(key),
            };
            if let Some(open) = self.open.get_mut(&sequence) {
                open.key = Some(Arc::clone(&key));
            }
            let line = self.keys.entry(key).or_default();
            // It comes before one that was the first so far.
            if let Some(first) = line.first().filter(|first| **first > sequence) {
                self.ready.remove(first);
            }
            line.insert(sequence);
        }
        self.line_up(sequence);
    }

    /// Makes an event one that can be delivered, if it can.
    fn line_up(&mut self, sequence: u64) {
        let Some(open) = self.open.get(&sequence) else { return };
        let first = match &open.key {
            // Beyond what has been looked at, there may be one before it.
            Some(key) => {
                sequence <= self.read && self.keys.get(key).and_then(BTreeSet::first) == Some(&sequence)
            }
            None => !self.unknown.contains(&sequence),
        };
        if first && open.phase == Phase::Free {
            self.ready.insert(sequence);
        }
    }

    /// Its time has come again.
    fn free(&mut self, sequence: u64) {
        if let Some(open) = self.open.get_mut(&sequence)
            && let Phase::Waiting(due) = open.phase
        {
            open.phase = Phase::Free;
            self.waiting.remove(&(due, sequence));
            self.line_up(sequence);
        }
    }

    /// It is not under way any more.
    fn land(&mut self, sequence: u64) {
        if let Some(Open { phase: Phase::InFlight { deadline, .. }, .. }) = self.open.get(&sequence) {
            self.deadlines.remove(&(*deadline, sequence));
        }
    }

    /// The event is gone, or not for this consumer any more.
    fn pass_over(&mut self, sequence: u64) {
        self.close(sequence);
        self.changes.retries.remove(&sequence);
        // Not forgotten where the floor stays below: it has been looked at, and will be again after a restart.
        if sequence > self.read {
            self.ahead.insert(sequence);
        }
        self.changes.settled.insert(sequence);
    }

    /// It is settled: the next of its key can be delivered.
    fn close(&mut self, sequence: u64) {
        self.land(sequence);
        let Some(open) = self.open.remove(&sequence) else { return };
        if let Phase::Waiting(due) = open.phase {
            self.waiting.remove(&(due, sequence));
        }
        if let Some(event) = &open.event {
            self.whole -= 1;
            self.whole_bytes -= size(event);
        }
        self.ready.remove(&sequence);
        self.unknown.remove(&sequence);
        if sequence > self.read {
            self.ahead.insert(sequence);
        }
        let Some(key) = open.key else { return };
        let Some(line) = self.keys.get_mut(&key) else { return };
        line.remove(&sequence);
        match line.first().copied() {
            Some(next) => self.line_up(next),
            None => drop(self.keys.remove(&key)),
        }
    }

    /// Keeps an event whole if there is room.
    fn keep(&mut self, sequence: u64, event: &Arc<Event>) {
        if self.whole < MAX_AHEAD && self.whole_bytes < MAX_AHEAD_BYTES {
            self.keep_always(sequence, event);
        }
    }

    fn keep_always(&mut self, sequence: u64, event: &Arc<Event>) {
        if let Some(open) = self.open.get_mut(&sequence) {
            open.event = Some(Arc::clone(event));
            self.whole += 1;
            self.whole_bytes += size(event);
        }
    }

    /// Lets go of what is kept whole and cannot be delivered, so that others can pass it.
    fn lighten(&mut self) {
        if self.whole < MAX_AHEAD && self.whole_bytes < MAX_AHEAD_BYTES {
            return;
        }
        for (sequence, open) in &mut self.open {
            if !self.ready.contains(sequence)
                && let Some(event) = open.event.take()
            {
                self.whole -= 1;
                self.whole_bytes -= size(&event);
            }
        }
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.retries.is_empty() && self.dead.is_empty()
    }
}

fn size(event: &Event) -> usize {
    event.data.len() + 256
}

/// At most as much of a reason as the log keeps.
fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)]
}
