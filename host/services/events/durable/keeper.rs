//! The keeper: the one thread that looks after deadlines, retries, what is to be noted, and what the log need not keep any more.
//!
//! It sleeps until the earliest of these, and is rung only for what is earlier still. While there are events in the log it wakes once a
//! minute, to have old ones taken away and to look at what nobody was woken for.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;

use super::{Core, log::ConsumerName};
use crate::{
    error::{Error, ErrorKind, Result},
    services::clock::{Alarm, Clock},
};

/// How often it is looked whether events are to be taken away.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How often it is said of a consumer that it is too late.
const SAY_LATE: Duration = Duration::from_secs(3_600);

/// When the thread is to wake, as the others know it.
pub(super) struct Keeper {
    alarm: Arc<Alarm>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    asleep: bool,
    /// The earliest time that was asked for since the thread began its round, or that it sleeps to.
    at: Option<Duration>,
    /// When the house is kept next; none: not before there are events.
    house: Option<Duration>,
    stopping: bool,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        // At the start there may be something to take away.
        let plan = Plan { house: Some(Duration::ZERO), ..Plan::default() };
        Self { alarm: clock.alarm(), plan: Mutex::new(plan) }
    }

    /// Has the thread look after the consumers at this time, or before.
    pub(super) fn plan(&self, at: Duration) {
        self.plan.lock().wake(at, &self.alarm);
    }

    /// There are events in the log.
    pub(super) fn appended(&self, now: Duration) {
        let mut plan = self.plan.lock();
        if plan.house.is_none() {
            plan.house = Some(now + HOUSEKEEPING);
            plan.wake(now + HOUSEKEEPING, &self.alarm);
        }
    }

    /// Ends the thread, and waits for it unless it is the caller.
    pub(super) fn stop(&self) {
        let thread = {
            let mut plan = self.plan.lock();
            plan.stopping = true;
            plan.thread.take()
        };
        // Nobody sleeps on it any more otherwise.
        let Some(thread) = thread else { return };
        self.alarm.ring();
        if thread.thread().id() != thread::current().id() {
            // One that has panicked has ended, too, and has said so.
            drop(thread.join());
        }
    }
}

impl Plan {
    fn wake(&mut self, at: Duration, alarm: &Alarm) {
        if self.at.is_none_or(|planned| at < planned) {
            self.at = Some(at);
            if self.asleep && !self.stopping {
                alarm.ring();
            }
        }
    }
}

/// Starts the thread.
///
/// # Errors
///
/// UNAVAILABLE: there is none.
pub(super) fn start(core: &Arc<Core>) -> Result<()> {
    let for_thread = Arc::clone(core);
    let thread = thread::Builder::new()
        .name("pintle-events".into())
        .spawn(move || {
            run(&for_thread);
            for_thread.keeper.alarm.leave();
        })
        .map_err(|error| {
            let text = format!("the thread of the durable events cannot be started: {error}");
            Error::new(ErrorKind::Unavailable, text).mend("raise the limit of threads")
        })?;
    core.keeper.plan.lock().thread = Some(thread);
    Ok(())
}

fn run(core: &Core) {
    let mut said = HashMap::new();
    loop {
        {
            let mut plan = core.keeper.plan.lock();
            if plan.stopping {
                return;
            }
            (plan.asleep, plan.at) = (false, None);
        }
        let now = core.clock.monotonic();
        let next = tend(core, now);
        if core.keeper.plan.lock().house.take_if(|at| *at <= now).is_some() {
            let at = keep_house(core, now, &mut said);
            let mut plan = core.keeper.plan.lock();
            plan.house = [plan.house, at].into_iter().flatten().min();
        }
        let until = {
            let mut plan = core.keeper.plan.lock();
            plan.at = [plan.at, plan.house, next].into_iter().flatten().min();
            plan.asleep = true;
            plan.at
        };
        if until.is_none_or(|until| until > now) {
            core.clock.wait(&core.keeper.alarm, until);
        }
    }
}

/// Looks after each consumer; tells when the next thing is due.
fn tend(core: &Core, now: Duration) -> Option<Duration> {
    let (consumers, ending) = {
        let register = core.register.read();
        (register.consumers.clone(), register.ending.clone())
    };
    let next = consumers.iter().chain(&ending).filter_map(|consumer| consumer.tend(now)).min();
    if ending.iter().any(|consumer| consumer.is_gone()) {
        core.register.write().ending.retain(|consumer| !consumer.is_gone());
    }
    next
}

/// Takes away what the log need not keep; tells when to do so again.
fn keep_house(core: &Core, now: Duration, said: &mut HashMap<ConsumerName, Duration>) -> Option<Duration> {
    let consumers = core.register.read().consumers.clone();
    let mut more = false;
    // Before anything is taken away: who has no use for it is not late.
    for consumer in consumers {
        more |= consumer.skim();
    }
    said.retain(|_, at| now < *at + SAY_LATE);
    match core.log.retain(&core.retention) {
        Ok(cleared) => {
            for name in cleared.late {
                if let Entry::Vacant(new) = said.entry(name) {
                    core.complain(&late(new.key()));
                    new.insert(now);
                }
            }
            more |= cleared.more;
        }
        Err(error) => {
            core.complain(&error);
            return Some(now + HOUSEKEEPING);
        }
    }
    if more {
        return Some(now);
    }
    match core.log.extent() {
        Ok(extent) if extent.events == 0 => None,
        _ => Some(now + HOUSEKEEPING),
    }
}

fn late(ConsumerName { plugin, tenant, name }: &ConsumerName) -> Error {
    let (name, tenant) = (Arc::clone(name), Arc::clone(tenant));
    Error::lazy(ErrorKind::Unavailable, move || {
        let under = if tenant.is_empty() { String::new() } else { format!(" under tenant \"{tenant}\"") };
        format!("durable events were taken away before its subscription \"{name}\"{under} had handled them")
    })
    .of(Arc::clone(plugin))
    .mend("look why it is behind, or keep events longer (events.keep_ms, events.max_bytes)")
}
