//! What the embedding application hears of its host: subscriptions and jobs as closures, on a lane of their own.

mod durable;
mod jobs;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    boundary::{Core, expect},
    error::{Error, ErrorKind, Result},
    lanes::{Lane, LaneOptions, Run, Task, panic_text},
    services::{
        events::{Asked, Deliver, Event, Filter, Pattern, Policy, SubscribeRequest, Subscription},
        scheduler::Handler as JobHandler,
    },
};

pub(crate) use self::jobs::Timing;
pub use self::{
    durable::{Delivery, DurableOptions, Receipt},
    jobs::{JobOptions, JobRun},
};

/// Whose subscriptions they are, as the engine of events knows it; plugins are numbered from 1.
pub(crate) const OWNER: u64 = 0;

/// The largest reply of a handler.
const LARGEST_REPLY: usize = 1 << 20;

/// The application's side of a host.
pub(crate) struct Application {
    core: &'static Core,
    /// Whose subscriptions they are, where plugins have their id.
    name: Arc<str>,
    lane: Arc<Lane>,
    /// The engine knows them weakly.
    listeners: Mutex<Vec<Arc<Listener>>>,
    followers: Mutex<Vec<Arc<durable::Follower>>>,
    /// Of durable jobs.
    runners: Mutex<Vec<Arc<JobHandler>>>,
}

/// How a subscription of the application is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// What reports call it, at most 128 bytes without control characters; empty: its pattern. No two subscriptions of the application
    /// have the same, durable ones included, so that two of one pattern need names.
    pub name: String,
    /// How many events may wait for the handler, at most 65,536; 0: 1,024.
    pub capacity: usize,
    /// What happens when that many do.
    pub policy: Policy,
    /// Which of the events of these topics; None: all. The others do not count for it.
    pub filter: Option<Filter>,
    /// Of the subscriptions of one event those with a higher number get it first, and those with the same in the order in
    /// which they were made; -1,000 to 1,000. Each runs on its owner's lane: only those of one owner also run in that order.
    pub priority: i32,
}

/// What a publisher that waits is answered with.
type Handler = Box<dyn Fn(&Event) -> Result<Vec<u8>> + Send + Sync>;

/// One closure that listens: what the engine delivers to, and the task that stands in the lane once for each event.
struct Listener {
    core: &'static Core,
    lane: Arc<Lane>,
    handler: Handler,
    /// Of a tap.
    drops: Option<Drops>,
    subscription: Weak<Subscription>,
}

/// Who is told of events that found no room.
struct Drops {
    told: AtomicU64,
    tell: Missed,
}

type Missed = Box<dyn Fn(u64) + Send + Sync>;

/// What the engine is given in place of the listener, which does not exist yet when the engine is asked.
struct Gateway {
    listener: Weak<Listener>,
    name: Arc<str>,
}

/// A subscription that ends when this is dropped.
pub(crate) struct Tap(Arc<Listener>);

impl Application {
    pub(crate) fn new(core: &'static Core, name: &str, deadline: Duration) -> Self {
        // Each subscription has a bound of its own, and a second one here would only drop what the first has taken.
        let name: Arc<str> = name.into();
        let options = LaneOptions { name: name.clone(), concurrency: 1, capacity: usize::MAX, deadline };
        Self {
            core,
            name,
            lane: Lane::new(&core.pool, options),
            listeners: Mutex::default(),
            followers: Mutex::default(),
            runners: Mutex::default(),
        }
    }

    /// Calls `handler` with every event whose topic matches, of every tenant, until the host stops.
    pub(crate) fn subscribe(&self, pattern: &str, options: SubscribeOptions, handler: Handler) -> Result<()> {
        let listener = self.listen(pattern, options, handler, None)?;
        self.listeners.lock().push(listener);
        Ok(())
    }

    /// Like `subscribe`, until the answer is dropped, and under a name of its own: there may be many of one pattern. It answers nobody. `missed` is told
    /// on the publisher's thread how many more events found no room.
    pub(crate) fn tap(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        handler: Handler,
        missed: Missed,
    ) -> Result<Tap> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", self.name, LAST.fetch_add(1, Relaxed) + 1);
        let drops = Drops { told: AtomicU64::new(0), tell: missed };
        self.listen(pattern, SubscribeOptions { name, ..options }, handler, Some(drops)).map(Tap)
    }

    fn listen(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        handler: Handler,
        drops: Option<Drops>,
    ) -> Result<Arc<Listener>> {
        let SubscribeOptions { name, capacity, policy, filter, priority } = options;
        let request = SubscribeRequest {
            name,
            capacity,
            policy,
            filter,
            priority,
            answers: drops.is_none(),
            ..SubscribeRequest::new(OWNER, None, Pattern::parse(pattern)?)
        };
        let mut made = Ok(());
        let listener = Arc::new_cyclic(|me: &Weak<Listener>| {
            let gateway = Gateway { listener: me.clone(), name: self.name.clone() };
            let subscription = self.core.events.subscribe(request, Arc::new(gateway));
            let subscription = subscription.map_err(|error| made = Err(error));
            Listener {
                core: self.core,
                lane: self.lane.clone(),
                handler,
                drops,
                subscription: subscription.map(|made| Arc::downgrade(&made)).unwrap_or_default(),
            }
        });
        made.map(|()| listener)
    }

    pub(crate) fn close(&self) {
        self.lane.close();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(subscription) = self.0.subscription.upgrade() {
            self.0.core.events.unsubscribe(&subscription);
        }
    }
}

impl Deliver for Gateway {
    fn ready(&self, _: &Arc<Subscription>) -> Result<()> {
        let listener = self.listener.upgrade().ok_or_else(over)?;
        let lane = listener.lane.clone();
        lane.push_event(listener)
    }

    fn dropped(&self, subscription: &Arc<Subscription>) {
        if let Some(listener) = self.listener.upgrade()
            && let Some(Drops { told, tell }) = &listener.drops
        {
            let dropped = subscription.counters().dropped;
            let dropped = dropped.displaced + dropped.no_room + dropped.not_taken;
            // Of publishers that come here at the same time each tells what the others have not.
            let before = told.fetch_max(dropped, Relaxed);
            if dropped > before {
                tell(dropped - before);
            }
        }
    }

    fn wait(&self, _: &Arc<Subscription>) -> Result<Box<dyn Any>> {
        let listener = self.listener.upgrade().ok_or_else(over)?;
        Ok(Box::new(listener.core.pool.begin_wait(&listener.lane)?))
    }

    fn expect(&self, _: &Arc<Subscription>, publisher: u64, deadline: Instant) -> Result<Asked> {
        let listener = self.listener.upgrade().ok_or_else(over)?;
        expect(&listener.core.pool, &listener.lane, publisher, deadline)
    }

    fn subscriber(&self) -> Arc<str> {
        self.name.clone()
    }
}

impl Task for Listener {
    fn run(&self, _: &mut Run<'_>) {
        let Some(subscription) = self.subscription.upgrade() else { return };
        let Some(delivery) = subscription.take() else { return };
        if !delivery.begin(0) {
            return subscription.not_begun(delivery.not_begun());
        }
        let result = self.handle(&delivery.event);
        subscription.delivered(result.is_ok());
        if let Some(error) = delivery.answered(result) {
            self.core.report_failure(&error, delivery.event.topic.as_str());
        }
    }

    fn run_times(&self, run: &mut Run<'_>, times: usize) -> usize {
        for time in 0..times {
            if time > 0 && !run.begin_next() {
                return time;
            }
            self.run(run);
        }
        times
    }

    fn describe(&self) -> String {
        match self.subscription.upgrade() {
            Some(subscription) => format!("the application's subscription \"{}\"", subscription.name()),
            None => "a subscription of the application that has ended".into(),
        }
    }
}

impl Listener {
    fn handle(&self, event: &Event) -> Result<Vec<u8>> {
        contained(|| (self.handler)(event))
    }
}

/// What a handler has answered; a panic and a reply that is too large are failures.
fn contained(handler: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    match catch_unwind(AssertUnwindSafe(handler)) {
        Ok(Ok(reply)) if reply.len() > LARGEST_REPLY => {
            let text =
                format!("the application's handler replied {} bytes, at most 1 MiB is taken", reply.len());
            Err(Error::new(ErrorKind::TooLarge, text))
        }
        Ok(result) => result,
        Err(panic) => {
            let text = format!("the application's handler panicked: {}", panic_text(&*panic));
            Err(Error::new(ErrorKind::Panic, text))
        }
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Unavailable, "the host has stopped")
}
