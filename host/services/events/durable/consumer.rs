//! A durable subscription while it lasts: when its turn comes, what its handlers answer, and when that is noted in the log.
//!
//! A turn is the right to read the log and to deliver: the lane has it, or the keeper, never both. Answers, deadlines and what is to be
//! noted go on beside it, so that a handler that hangs holds up nothing but its own consumer.
//!
//! Two subscriptions may have one position: on a reload the new one is made while the old one still ends. Only one is attached to it at a
//! time, with a [`Window`] of its own, and lets go of it when all that it has to note is noted.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    super::{Event, Events, Pattern},
    Claim, Core, DurableReport, DurableRequest, Filter, Turns,
    log::{ConsumerName, Logged},
    running::Slot,
    state::{MAX_UNSETTLED, Phase, State, Turn},
    window::{Crashed, Limits, Next, Window},
};
use crate::error::{Error, ErrorKind, Result};

/// How much one turn does.
const TURN_EVENTS: usize = 16;
const TURN: Duration = Duration::from_millis(20);

/// How long an answer waits to be noted together with others.
const GATHER: Duration = Duration::from_millis(20);

/// How long it may take until it is noted that events were passed over, and how many may be before that.
const PASSED_OVER: Duration = Duration::from_secs(60);
const MANY_PASSED_OVER: u64 = 4_096;

/// How many pages the keeper reads of what was not for a consumer, at once.
const SKIM_PAGES: usize = 64;

/// A durable subscription, made by [`Durable::subscribe`](super::Durable::subscribe).
pub(crate) struct Consumer {
    me: Weak<Self>,
    core: Arc<Core>,
    /// Where its name is registered.
    pub(super) events: Arc<Events>,
    /// What the log knows its position by.
    pub(super) number: u64,
    pub(super) owner: u64,
    pub(super) priority: i32,
    name: ConsumerName,
    pattern: Pattern,
    filter: Option<Filter>,
    start: super::Start,
    ack: Duration,
    explicit: bool,
    limits: Limits,
    turns: Arc<dyn Turns>,
    state: Mutex<State>,
}

/// What a turn does next.
enum Step {
    Deliver(Claim, u64),
    Attach,
    Fetch(Vec<u64>),
    Read(u64),
    End,
}

impl Consumer {
    pub(super) fn new(
        core: Arc<Core>,
        events: Arc<Events>,
        number: u64,
        request: DurableRequest,
        turns: Arc<dyn Turns>,
    ) -> Arc<Self> {
        let limits = Limits {
            backoff: request.backoff,
            max_deliveries: request.max_deliveries.max(1),
            in_flight: request.in_flight.max(1),
        };
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            core,
            events,
            number,
            owner: request.owner,
            priority: request.priority,
            name: request.name,
            pattern: request.pattern,
            filter: request.filter,
            start: request.start,
            ack: request.ack,
            explicit: request.explicit,
            limits,
            turns,
            state: Mutex::new(State::new(request.live)),
        })
    }

    /// Delivers what there is, up to 16 events or 20 ms, and notes what became of them. `handle` runs the handler; none: it was not begun,
    /// because the subscription has ended or its plugin takes nothing any more, so that this was no attempt. A panic is a failure.
    ///
    /// To be called once for each [`Turns::ready`], on the lane; a call too many does nothing.
    pub(crate) fn turn(&self, handle: &mut dyn FnMut(&Claim) -> Option<Result<()>>) {
        {
            let mut state = self.state.lock();
            if state.turn != Turn::Asked {
                return;
            }
            state.turn = Turn::Taken;
        }
        let slot = self.core.running.reserve();
        let until = self.core.clock.monotonic() + TURN;
        let mut left = TURN_EVENTS;
        while left > 0 && self.core.clock.monotonic() < until {
            let go_on = match self.step() {
                Step::Deliver(claim, token) => {
                    left -= 1;
                    self.deliver(&slot, &claim, token, handle)
                }
                Step::Attach => self.attach(),
                Step::Fetch(sequences) => self.fetch(&sequences),
                Step::Read(after) => self.read(after),
                Step::End => false,
            };
            if !go_on {
                break;
            }
        }
        if let Err(error) = self.core.running.release(slot) {
            self.core.complain(&error);
        }
        self.settle(false);
        self.end_turn();
    }

    /// Whether events are delivered. While they are not they wait in the log; what is delivered already can still be acknowledged.
    pub(crate) fn set_live(&self, live: bool) {
        {
            let mut state = self.state.lock();
            match (state.phase, live) {
                (Phase::Asleep, true) => {
                    state.phase = Phase::Live;
                    state.pause = None;
                    // A lane that was emptied meanwhile has lost what was asked of it.
                    if state.turn == Turn::Asked {
                        state.turn = Turn::Idle;
                    }
                }
                (Phase::Live, false) => state.phase = Phase::Asleep,
                _ => return,
            }
        }
        if live {
            self.poke();
        } else {
            self.core.plan(Duration::ZERO);
        }
    }

    /// The name that its position is kept under.
    #[must_use]
    pub(crate) fn name(&self) -> &ConsumerName {
        &self.name
    }

    /// Its counts, all of one moment.
    #[cfg(test)]
    pub(crate) fn counters(&self) -> super::super::Counters {
        self.state.lock().counters()
    }

    pub(super) fn report(&self) -> DurableReport {
        let state = self.state.lock();
        let window = state.window.as_ref();
        DurableReport {
            name: self.name.clone(),
            pattern: self.pattern.clone(),
            counters: state.counters(),
            failures: state.failures,
            in_flight: window.map_or(0, Window::in_flight) as u64,
            #[cfg(test)]
            retries: window.map_or(0, Window::retries) as u64,
            #[cfg(test)]
            behind: window.map_or(0, |window| self.core.head().saturating_sub(window.read_up_to())),
        }
    }

    /// Whether an event is for it.
    pub(super) fn is_for(&self, event: &Event) -> bool {
        (self.name.tenant.is_empty() || self.name.tenant == event.tenant)
            && self.pattern.matches(&event.topic)
            && self.filter.as_ref().is_none_or(|filter| filter(event))
    }

    /// Whether an entry of the log is for it. What was replayed is for one consumer alone: it has passed the filter of that one before
    /// it died, and one that was changed since must not lose it. The topic has to be one that its owner may see now.
    pub(super) fn wants(&self, logged: &Logged) -> bool {
        match logged.only {
            None => self.is_for(&logged.event),
            Some(only) => only == self.number && self.pattern.matches(&logged.event.topic),
        }
    }

    /// An event that is for it is in the log.
    pub(super) fn wake(&self) {
        self.state.lock().behind = true;
        self.poke();
    }

    /// Asks the lane for a turn if there is something to do.
    pub(super) fn poke(&self) {
        let now = self.core.clock.monotonic();
        {
            let mut state = self.state.lock();
            if !state.wants_turn(now, self.core.head()) {
                return;
            }
            state.turn = Turn::Asked;
        }
        if self.turns.ready().is_err() {
            let at = {
                let mut state = self.state.lock();
                if state.turn == Turn::Asked {
                    state.turn = Turn::Idle;
                }
                state.pause(now)
            };
            self.core.plan(at);
        }
    }

    /// The subscription is over: nothing is delivered any more. False: it was already.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            return false;
        }
        state.phase = Phase::Over;
        if state.turn == Turn::Asked {
            state.turn = Turn::Idle;
        }
        let State { window, handling, .. } = &mut *state;
        if let Some(window) = window {
            window.give_all_back(*handling);
        }
        true
    }

    /// An answer of [`Durable::ack`](super::Durable::ack), or of `nack` with a reason. False: the delivery is over.
    pub(super) fn answer(&self, sequence: u64, token: u64, nack: Option<(Option<Duration>, &str)>) -> bool {
        let now = self.core.clock.monotonic();
        let (counts, at) = {
            let mut state = self.state.lock();
            self.expire(&mut state, now);
            let counts = state.phase != Phase::Over
                && match nack {
                    None => self.acknowledge(&mut state, sequence, token),
                    Some((delay, reason)) => self.fail(&mut state, sequence, token, now, delay, reason),
                };
            if counts {
                self.core.delivery_over(token);
            }
            (counts, state.settle_within(now, GATHER))
        };
        self.core.plan(at);
        // There may be room for another delivery, or the next one of the key.
        self.poke();
        counts
    }

    /// Called by the keeper: does what is due, and tells when the next thing is.
    pub(super) fn tend(&self, now: Duration) -> Option<Duration> {
        let (settle, detach) = {
            let mut state = self.state.lock();
            if self.expire(&mut state, now) {
                state.settle_within(now, Duration::ZERO);
            }
            if state.pause.is_some_and(|at| at <= now) {
                state.pause = None;
            }
            (state.settle_at.is_some_and(|at| at <= now), state.may_detach())
        };
        if detach {
            self.detach(now);
        } else if settle {
            self.settle(true);
        }
        self.poke();
        self.state.lock().wake_at(now)
    }

    /// Called by the keeper now and then: looks at events that nobody told it of, because they are not for it, so that it is known that it
    /// needs them no more.
    /// True: there is more.
    pub(super) fn skim(&self) -> bool {
        {
            let mut state = self.state.lock();
            if state.phase != Phase::Live || state.turn != Turn::Idle || state.window.is_none() {
                return false;
            }
            state.turn = Turn::Taken;
        }
        let mut more = true;
        for _ in 0..SKIM_PAGES {
            let after = self.state.lock().window.as_ref().and_then(|window| window.skim(self.core.head()));
            more = after.is_some_and(|after| self.read(after));
            if !more {
                break;
            }
        }
        self.settle(true);
        self.end_turn();
        more
    }

    /// Whether it has let go of its position for good.
    pub(super) fn is_gone(&self) -> bool {
        let state = self.state.lock();
        state.phase == Phase::Over && state.window.is_none() && state.turn != Turn::Taken
    }

    /// Notes what has changed. `all`: also if events were only passed over. True: everything is noted.
    pub(super) fn settle(&self, all: bool) -> bool {
        let now = self.core.now();
        let settlement = {
            let mut state = self.state.lock();
            let State { window: Some(window), settling: false, .. } = &mut *state else { return false };
            if !all && window.unsettled() == 0 && window.moved() < MANY_PASSED_OVER {
                let moved = window.moved() > 0;
                if moved {
                    let at = state.settle_within(now.monotonic, PASSED_OVER);
                    drop(state);
                    self.core.plan(at);
                }
                return false;
            }
            if !all && state.settle_wait.is_on() && state.settle_at.is_some_and(|at| at > now.monotonic) {
                return false;
            }
            let Some(window) = &mut state.window else { return false };
            let settlement = window.write(now);
            state.settle_at = None;
            let Some(settlement) = settlement else {
                state.settle_wait.reset();
                return true;
            };
            state.settling = true;
            settlement
        };
        let written = self.core.log.settle(self.number, &settlement);
        let (at, done) = {
            let mut state = self.state.lock();
            state.settling = false;
            let forgotten = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            if let Some(window) = &mut state.window {
                window.written(written.is_ok() || forgotten);
            }
            state.forgotten |= forgotten;
            let unsettled = state.window.as_ref().map_or(0, Window::unsettled);
            if written.is_ok() || forgotten {
                state.settle_wait.reset();
                // Answers that came meanwhile.
                let mut at = (unsettled > 0).then(|| state.settle_within(now.monotonic, GATHER));
                if unsettled == 0 && state.may_detach() {
                    at = Some(Duration::ZERO);
                }
                (at, unsettled == 0)
            } else {
                let wait = state.settle_wait.next();
                state.settle_at = Some(now.monotonic + wait);
                (state.settle_at, false)
            }
        };
        match &written {
            Ok(()) => self.applied(),
            Err(error) => self.core.complain(error),
        }
        if let Some(at) = at {
            self.core.plan(at);
        }
        done
    }

    /// An attempt that the last process did not survive is in the log now.
    fn applied(&self) {
        if let Err(error) = self.core.running.applied(self.number) {
            self.core.complain(&error);
        }
    }

    fn step(&self) -> Step {
        let now = self.core.clock.monotonic();
        let mut state = self.state.lock();
        self.expire(&mut state, now);
        if state.phase != Phase::Live || state.forgotten {
            return Step::End;
        }
        let Some(window) = &mut state.window else { return Step::Attach };
        if window.unsettled() >= MAX_UNSETTLED {
            return Step::End;
        }
        let head = self.core.head();
        match window.next(now, head) {
            Next::Deliver(sequence) => {
                let token = self.core.token();
                let deadline = now + self.ack;
                let Some((event, attempt)) = window.claim(sequence, token, deadline) else {
                    return Step::End;
                };
                state.handling = Some((sequence, token));
                state.pause_wait.reset();
                let delivery = if self.explicit { token } else { 0 };
                if self.explicit {
                    self.core.delivery_begins(token, &self.me, sequence);
                }
                Step::Deliver(Claim { event, sequence, attempt, delivery, deadline }, token)
            }
            Next::Fetch(sequences) => Step::Fetch(sequences),
            Next::Read(after) => Step::Read(after),
            Next::Nothing => {
                state.behind &= window.read_up_to() < head;
                Step::End
            }
        }
    }

    /// Runs the handler of one delivery. False: the turn is over.
    fn deliver(
        &self,
        slot: &Slot,
        claim: &Claim,
        token: u64,
        handle: &mut dyn FnMut(&Claim) -> Option<Result<()>>,
    ) -> bool {
        self.core.plan(claim.deadline);
        let sequence = claim.sequence;
        let begun = Crashed { sequence, attempt: claim.attempt };
        if let Err(error) = self.core.running.begin(slot, self.number, begun) {
            self.core.complain(&error);
        }
        let answer = catch_unwind(AssertUnwindSafe(|| handle(claim)));
        if let Err(error) = self.core.running.clear(slot) {
            self.core.complain(&error);
        }
        let answer =
            answer.unwrap_or_else(|_| Some(Err(Error::new(ErrorKind::Panic, "the handler panicked"))));
        if answer.is_some() {
            self.core.counts.delivered(claim.attempt);
        }
        let failure = answer.as_ref().and_then(|answer| answer.as_ref().err().map(ToString::to_string));

        let now = self.core.clock.monotonic();
        let mut state = self.state.lock();
        state.handling = None;
        // Whatever it answers after the deadline does not count.
        self.expire(&mut state, now);
        let over = state.phase == Phase::Over;
        let ended = match (answer, failure) {
            // Who ends a subscription may be the reason why its handler fails, and nobody can acknowledge any more.
            (answer, failure) if over && (self.explicit || answer.is_none() || failure.is_some()) => {
                state.window.as_mut().is_some_and(|window| window.give_back(sequence, token))
            }
            (None, _) => {
                let at = state.pause(now);
                let ended = state.window.as_mut().is_some_and(|window| window.give_back(sequence, token));
                drop(state);
                if ended {
                    self.core.delivery_over(token);
                }
                self.core.plan(at);
                return false;
            }
            (_, Some(reason)) => self.fail(&mut state, sequence, token, now, None, &reason),
            (Some(_), None) if self.explicit => false,
            (Some(_), None) => self.acknowledge(&mut state, sequence, token),
        };
        if ended && self.explicit {
            self.core.delivery_over(token);
        }
        !over
    }

    /// False: the delivery is over.
    fn acknowledge(&self, state: &mut State, sequence: u64, token: u64) -> bool {
        let ok = state.acknowledge(sequence, token);
        if ok {
            self.core.counts.acknowledged();
        }
        ok
    }

    /// False: the delivery is over.
    fn fail(
        &self,
        state: &mut State,
        sequence: u64,
        token: u64,
        now: Duration,
        delay: Option<Duration>,
        reason: &str,
    ) -> bool {
        let failed = state.fail(sequence, token, now, delay, reason);
        if let Some(failed) = failed {
            self.core.counts.failed(failed);
        }
        failed.is_some()
    }

    /// Deliveries whose deadline has passed have failed. True: there were some.
    fn expire(&self, state: &mut State, now: Duration) -> bool {
        let mut any = false;
        while let Some((sequence, token)) = state.window.as_ref().and_then(|window| window.overdue(now)) {
            let reason = format!("it was not acknowledged within {} ms", self.ack.as_millis());
            if !self.fail(state, sequence, token, now, None, &reason) {
                break;
            }
            self.core.delivery_over(token);
            any = true;
        }
        any
    }

    /// Takes its position, if no other subscription has it. False: not now.
    fn attach(&self) -> bool {
        {
            let mut attached = self.core.attached.lock();
            let other = attached.get(&self.number).and_then(Weak::upgrade);
            if other.is_some_and(|other| !std::ptr::eq(&*other, self)) {
                self.state.lock().blocked = true;
                return false;
            }
            attached.insert(self.number, Weak::clone(&self.me));
        }
        match self.core.log.join(&self.name, self.start) {
            Ok(position) if position.consumer == self.number => {
                let crashed = self.core.running.left(self.number);
                let window = Window::new(position, &crashed, self.limits, self.core.now());
                // What the log knows already need not be noted; the next crash must not find it.
                let known = window.unsettled() == 0;
                {
                    let mut state = self.state.lock();
                    (state.window, state.behind) = (Some(window), true);
                }
                if known && !crashed.is_empty() {
                    self.applied();
                }
                true
            }
            Ok(_) => {
                self.state.lock().forgotten = true;
                self.core.attached.lock().remove(&self.number);
                false
            }
            Err(error) => {
                self.core.attached.lock().remove(&self.number);
                self.log_failed(&error)
            }
        }
    }

    /// Lets go of its position once everything is noted, so that another subscription can take it.
    fn detach(&self, now: Duration) {
        let waits = {
            let state = self.state.lock();
            state.settle_wait.is_on() && state.settle_at.is_some_and(|at| at > now)
        };
        if waits || (self.unsettled() && !self.settle(true)) {
            return;
        }
        {
            let mut attached = self.core.attached.lock();
            let mut state = self.state.lock();
            if !state.may_detach() || state.settling {
                return;
            }
            state.window = None;
            state.settle_at = None;
            if attached.get(&self.number).is_some_and(|other| other.ptr_eq(&self.me)) {
                attached.remove(&self.number);
            }
        }
        self.core.forget_deliveries(&self.me);
        self.core.position_free(self.number);
    }

    /// Another subscription has let go of the position.
    pub(super) fn unblock(&self) {
        self.state.lock().blocked = false;
        self.poke();
    }

    fn unsettled(&self) -> bool {
        let state = self.state.lock();
        state.window.as_ref().is_some_and(|window| window.unsettled() > 0 || window.moved() > 0)
    }

    fn fetch(&self, sequences: &[u64]) -> bool {
        match self.core.log.get(sequences) {
            Ok(events) => {
                let mine = self.sieve(events);
                if let Some(window) = &mut self.state.lock().window {
                    window.fetched(sequences, &mine);
                }
                true
            }
            Err(error) => self.log_failed(&error),
        }
    }

    fn read(&self, after: u64) -> bool {
        match self.core.page(after, &self.name.tenant) {
            Ok(page) => {
                let mine = self.sieve(page.events);
                if let Some(window) = &mut self.state.lock().window {
                    window.take(&mine, page.up_to);
                }
                page.up_to > after
            }
            Err(error) => self.log_failed(&error),
        }
    }

    /// Those that are for this consumer. Not to be called with its lock: filters take their time.
    fn sieve(&self, mut events: Vec<Logged>) -> Vec<Logged> {
        events.retain(|logged| self.wants(logged));
        events
    }

    /// Tries again later. Always false.
    fn log_failed(&self, error: &Error) -> bool {
        let at = self.state.lock().pause(self.core.clock.monotonic());
        self.core.plan(at);
        self.core.complain(error);
        false
    }

    fn end_turn(&self) {
        let tend = {
            let mut state = self.state.lock();
            state.turn = Turn::Idle;
            state.phase != Phase::Live
        };
        if tend {
            self.core.plan(Duration::ZERO);
        }
        self.poke();
        // What is due by itself while it has no turn.
        let now = self.core.clock.monotonic();
        let at = self.state.lock().wake_at(now);
        if let Some(at) = at {
            self.core.plan(at);
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("number", &self.number)
            .field("owner", &self.owner)
            .field("name", &self.name)
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}
