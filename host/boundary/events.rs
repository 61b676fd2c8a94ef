//! The table `pintle_events`.

use std::{
    any::Any,
    borrow::Cow,
    ffi::c_void,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pintle_abi::*;

use super::{
    Call, HandlerKind, PluginRecord, answers,
    callback::{Callback, Occasion, Running, not_null, tenant_name, unknown_value},
    coarse::Moment,
    durable, enter, input, stale,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Phase, Seat, Service, Tenant},
    lanes::{Entry, Run, Task},
    services::{
        events::{
            Asked, Batch, Claim, Deliver, Delivery, Draft, Event, Filter, Pattern, Policy, Publisher,
            SubscribeRequest, Subscription, Topic, filter::MAX_FILTER_BYTES,
        },
        log::{Field, Level},
    },
};

const LARGEST_DATA: usize = 1 << 20;
const LONGEST_WAIT_MS: i64 = 60_000;

pub(super) static TABLE: PintleEvents = PintleEvents {
    size: size_of::<PintleEvents>() as u32,
    reserved: 0,
    emit: Some(emit),
    subscribe: Some(subscribe),
    unsubscribe: Some(unsubscribe),
    emit_sync: Some(answers::emit_sync),
    ack: Some(durable::ack),
    nack: Some(durable::nack),
};

unsafe extern "C" fn emit(
    ctx: PintleCtx,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
) -> PintleStatus {
    enter(ctx, Method::EventsEmit, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let Wanted { draft, wait_ms, durable } = unsafe { draft(call, topic, data, options) }?;
        let wait = if wait_ms == 0 { Duration::ZERO } else { wait_of(wait_ms)?.min(patience(call)) };
        let core = call.core();
        as_publisher(call, |publisher| match durable {
            true => core.durable.emit(&core.events, Some(publisher), draft, wait),
            false => core.events.emit_as(publisher, draft, wait),
        })?;
        call.count_bytes(Service::Events, data.len);
        call.record.metrics.count_emitted();
        Ok(())
    })
}

/// What a plugin asks to be published, and how.
pub(super) struct Wanted {
    pub(super) draft: Draft,
    pub(super) wait_ms: i64,
    pub(super) durable: bool,
}

/// The event that a plugin asks to be published, if it may.
///
/// # Safety
/// All inputs are readable for this call.
pub(super) unsafe fn draft(
    call: &Call,
    topic: PintleStr,
    data: PintleBytes,
    options: *const PintleEmitOptions,
) -> Result<Wanted> {
    // SAFETY: the caller vouches for it, here and below.
    let topic = unsafe { input::text("topic", topic, 256) }?;
    // SAFETY: as above.
    let data = unsafe { input::bytes("data", data, LARGEST_DATA) }?;
    // SAFETY: as above.
    let options = unsafe { input::options(options) }?;
    check_publish(call, topic)?;
    call.must_act()?;
    let mut draft = Draft::new(Topic::of_plugin(&call.record.id, topic)?, call.record.source.clone(), data);
    draft.tenant = call.tenant()?.name().clone();
    draft.depth = u32::from(call.scope.depth);
    if let Some(options) = &options {
        // SAFETY: as above; the options' texts are inputs too.
        unsafe { take_options(&mut draft, options) }?;
    }
    let (wait_ms, flags) = options.map_or((0, 0), |options| (options.wait_ms, options.flags));
    Ok(Wanted { draft, wait_ms, durable: flags & PINTLE_EMIT_DURABLE != 0 })
}

/// Publishes on behalf of the calling generation, which can be stopped meanwhile.
pub(super) fn as_publisher<R>(call: &Call, publish: impl FnOnce(Publisher<'_>) -> R) -> R {
    let seat = call.scope.seat;
    let stopping = || Seat::phase(seat) == Phase::Stopping;
    publish(Publisher { number: call.scope.generation, stopping: &stopping })
}

/// # Safety
/// The texts are readable for this call.
unsafe fn take_options(draft: &mut Draft, options: &PintleEmitOptions) -> Result<()> {
    // SAFETY: the caller vouches for it, here and below.
    if let Some(id) = unsafe { input::optional("options.id", options.id, 256) }? {
        draft.id = Some(id.to_owned());
    }
    // SAFETY: as above.
    if let Some(subject) = unsafe { input::optional("options.subject", options.subject, 512) }? {
        draft.subject = subject.to_owned();
    }
    // SAFETY: as above.
    if let Some(content_type) = unsafe { input::optional("options.content_type", options.content_type, 128) }?
    {
        draft.content_type = owned_content_type(content_type);
    }
    // SAFETY: as above.
    if let Some(key) = unsafe { input::optional("options.key", options.key, 512) }? {
        draft.key = key.to_owned();
    }
    Ok(())
}

/// The usual ones need no memory of their own.
fn owned_content_type(text: &str) -> Cow<'static, str> {
    const USUAL: [&str; 3] = ["application/json", "application/octet-stream", "text/plain"];
    match USUAL.into_iter().find(|usual| *usual == text) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(text.to_owned()),
    }
}

fn wait_of(wait_ms: i64) -> Result<Duration> {
    if !(0..=LONGEST_WAIT_MS).contains(&wait_ms) {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `options.wait_ms`: {wait_ms}, 0 to {LONGEST_WAIT_MS} are taken")
        }));
    }
    Ok(Duration::from_millis(wait_ms as u64))
}

/// How long the call may wait at most: not longer than its own caller does, and not at all from the start of `disable`.
fn patience(call: &Call) -> Duration {
    if Seat::phase(call.scope.seat) == Phase::Stopping {
        return Duration::ZERO;
    }
    Duration::from_millis(call.remaining() as u64)
}

fn check_publish(call: &Call, topic: &str) -> Result<()> {
    let granted = &call.grants().permits().publish;
    if granted.iter().any(|granted| granted == topic) {
        return Ok(());
    }
    // Patterns are rare; a topic that is not one is refused with the engine's own reason further on.
    let Ok(wanted) = Topic::parse(topic) else { return Topic::of_plugin(&call.record.id, topic).map(drop) };
    if granted.iter().any(|granted| Pattern::parse(granted).is_ok_and(|granted| granted.matches(&wanted))) {
        return Ok(());
    }
    let topic = topic.to_owned();
    let denied = Error::lazy(ErrorKind::Denied, move || {
        format!(
            "it may not publish \"{topic}\": add it to \"services\": {{ \"events\": {{ \"publish\": [\"{topic}\"] }} }} in its manifest, or, if it is there, to the host's settings"
        )
    });
    Err(denied.of(call.record.id.clone()))
}

fn check_subscribe(call: &Call, pattern: &Pattern) -> Result<()> {
    let granted = &call.grants().permits().subscribe;
    if granted.iter().any(|granted| Pattern::parse(granted).is_ok_and(|granted| pattern.within(&granted))) {
        return Ok(());
    }
    let pattern = pattern.as_str().to_owned();
    let denied = Error::lazy(ErrorKind::Denied, move || {
        format!(
            "it may not subscribe to \"{pattern}\": add it to \"services\": {{ \"events\": {{ \"subscribe\": [\"{pattern}\"] }} }} in its manifest, or, if it is there, to the host's settings"
        )
    });
    Err(denied.of(call.record.id.clone()))
}

pub(super) type Handler =
    unsafe extern "C" fn(*mut c_void, PintleCtx, *const PintleEvent, PintleSink) -> PintleStatus;

/// A plugin's subscription: an entry of its register, the deliverer of the engine's, and the task that stands in the
/// lane once for each event that waits.
struct Subscriber {
    callback: Callback,
    handler: Handler,
    subscription: Weak<Subscription>,
    /// How many dropped events are told in the log next: twice as many each time.
    tell_drops_at: AtomicU64,
    me: Weak<Self>,
}

unsafe extern "C" fn subscribe(
    ctx: PintleCtx,
    pattern: PintleStr,
    handler: PintleEventHandler,
    user: *mut c_void,
    release: PintleRelease,
    options: *const PintleSubscribeOptions,
    subscription: *mut PintleRegistration,
) -> PintleStatus {
    enter(ctx, Method::EventsSubscribe, move |call| {
        let handler = not_null(handler.0)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let pattern = Pattern::parse(unsafe { input::text("pattern", pattern, 256) }?)?;
        // SAFETY: as above.
        let options = unsafe { input::options(options) }?;
        check_subscribe(call, &pattern)?;
        if let Some(options) = options.filter(|options| options.flags & PINTLE_SUBSCRIBE_DURABLE != 0) {
            // SAFETY: as above.
            return unsafe {
                durable::subscribe(call, pattern, handler, (user, release), &options, subscription)
            };
        }
        let register = call.register()?;
        let mut request = SubscribeRequest {
            live: false,
            ..SubscribeRequest::new(call.record.number, tenant_name(&call.tenant()?), pattern)
        };
        if let Some(options) = options {
            // SAFETY: as above.
            if let Some(name) = unsafe { input::optional("options.name", options.name, 128) }? {
                request.name = name.to_owned();
            }
            request.capacity = options.capacity as usize;
            request.policy = policy_of(options.policy)?;
            check_transient(&options)?;
            // SAFETY: as above.
            request.filter = unsafe { filter_of(&options) }?;
            request.priority = options.priority;
        }
        let mut made = Ok(Weak::new());
        let subscriber = Arc::new_cyclic(|me: &Weak<Subscriber>| {
            let deliver = Arc::new(Gateway { subscriber: me.clone(), record: call.record });
            made = call.core().events.subscribe(request, deliver).map(|made| Arc::downgrade(&made));
            Subscriber {
                callback: Callback::new(call, user, release),
                handler,
                subscription: made.clone().unwrap_or_default(),
                tell_drops_at: AtomicU64::new(1),
                me: me.clone(),
            }
        });
        made?;
        let handle = register.add(subscriber.clone()).inspect_err(|_| {
            subscriber.shut();
            subscriber.end();
        })?;
        if let Ok(out) = input::output("subscription", subscription) {
            // SAFETY: the contract says that outputs lead to memory of the caller.
            unsafe { out.write(handle) };
        }
        Ok(())
    })
}

fn policy_of(policy: u32) -> Result<Policy> {
    match policy {
        PINTLE_QUEUE_DROP_OLDEST => Ok(Policy::DropOldest),
        PINTLE_QUEUE_DROP_NEW => Ok(Policy::DropNew),
        PINTLE_QUEUE_WAIT => Ok(Policy::Wait),
        other => Err(unknown_value("options.policy", other)),
    }
}

/// Refuses what only a durable subscription can be asked for.
fn check_transient(options: &PintleSubscribeOptions) -> Result<()> {
    let asked = [
        ("options.flags", options.flags & PINTLE_SUBSCRIBE_ACK != 0),
        ("options.start", options.start != PINTLE_START_NEW),
        ("options.start_at", options.start_at != 0),
        ("options.ack_ms", options.ack_ms != 0),
        ("options.backoff_ms", options.backoff_ms != 0),
        ("options.max_deliveries", options.max_deliveries != 0),
        ("options.in_flight", options.in_flight != 0),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Error::argument(name, "goes with PINTLE_SUBSCRIBE_DURABLE: set that flag or leave this 0"))
        }
    }
}

/// # Safety
/// The filter's text is readable for this call.
pub(super) unsafe fn filter_of(options: &PintleSubscribeOptions) -> Result<Option<Filter>> {
    const NAME: &str = "options.filter";
    // SAFETY: the caller vouches for it.
    let json = unsafe { input::optional(NAME, options.filter, MAX_FILTER_BYTES) }?;
    json.map(|json| Filter::of_argument(NAME, json)).transpose()
}

unsafe extern "C" fn unsubscribe(ctx: PintleCtx, subscription: PintleRegistration) -> PintleStatus {
    enter(ctx, Method::EventsUnsubscribe, move |call| {
        let register = call.register()?;
        match register.end::<Subscriber>(subscription) {
            Some(ended) => ended.callback.release_soon(),
            None => durable::unsubscribe(&register, subscription).ok_or_else(stale)?,
        }
        Ok(())
    })
}

impl Entry for Subscriber {
    fn kind(&self) -> &'static str {
        "subscription"
    }

    fn set_live(&self, live: bool) {
        if let Some(subscription) = self.subscription.upgrade() {
            subscription.set_live(live);
        }
    }

    fn shut(&self) {
        self.callback.end();
    }

    fn end(&self) {
        if let Some(subscription) = self.subscription.upgrade() {
            self.callback.record().core.events.unsubscribe(&subscription);
        }
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.callback.release();
    }
}

impl Subscriber {
    /// Calls the handler with an event of a batch.
    fn deliver(
        &self,
        run: &mut Run<'_>,
        running: Option<&Running<'_>>,
        tenant: &Tenant,
        delivery: &Delivery,
        batch: &mut Batch<'_>,
    ) {
        let event = &delivery.event;
        let core = self.callback.record().core;
        let deadline = delivery.deadline();
        let occasion = Occasion {
            tenant,
            depth: event.depth + 1,
            deadline: deadline.map_or(i64::MAX, |deadline| core.moment(deadline)),
            kind: HandlerKind::Event,
            name: event.id.clone(),
        };
        let outcome = running.and_then(|running| {
            running.call(
                run,
                occasion,
                |ctx| delivery.begin(ctx),
                |user, ctx, reply| {
                    let seen = seen_by_handlers(event, None);
                    // SAFETY: the registration came with this handler and this `user`; the library is mapped, because the
                    // register is drained before the generation ends, and an ended registration is not run.
                    unsafe { (self.handler)(user, ctx, &raw const seen, reply) }
                },
            )
        });
        let Some(outcome) = outcome else {
            return batch.not_begun(delivery.not_begun());
        };
        // Counted first: who waits for the answer finds it counted.
        batch.handled(outcome.is_ok(), deadline.is_some());
        if let Some(error) = delivery.answered(outcome) {
            core.report_failure(&error, &format!("event {} {}", event.topic.as_str(), event.id));
        }
    }

    /// Says in the log that handlers do not keep up: with the first event that is dropped, and then each time that
    /// twice as many are.
    fn tell_drops(&self, subscription: &Subscription) {
        let counters = subscription.counters();
        let dropped = counters.dropped.displaced + counters.dropped.no_room;
        let tell_at = self.tell_drops_at.load(Relaxed);
        // Of publishers that drop at the same time one tells it.
        let next = dropped.saturating_mul(2);
        if dropped >= tell_at && self.tell_drops_at.compare_exchange(tell_at, next, Relaxed, Relaxed).is_ok()
        {
            let record = self.callback.record();
            let fields = [
                Field::text("of", &record.id),
                Field::text("subscription", subscription.name()),
                Field::unsigned("dropped", dropped),
            ];
            record.core.log.host(
                Level::Warn,
                "events were dropped because their handlers do not keep up",
                fields,
            );
        }
    }
}

/// How long handlers of one subscription run one after the other before the lane looks whether something else is to be done
/// first. By the coarse clock, whose steps are of this order.
const LONGEST_BATCH: Duration = Duration::from_millis(1);

/// What the engine is given in place of the subscriber, which does not exist yet when the engine is asked.
struct Gateway {
    subscriber: Weak<Subscriber>,
    record: &'static PluginRecord,
}

impl Deliver for Gateway {
    fn ready(&self, _: &Arc<Subscription>) -> Result<()> {
        let subscriber = self.subscriber.upgrade().ok_or_else(stale)?;
        self.record.lane().push_event(subscriber)
    }

    fn dropped(&self, subscription: &Arc<Subscription>) {
        if let Some(subscriber) = self.subscriber.upgrade() {
            subscriber.tell_drops(subscription);
        }
    }

    fn wait(&self, _: &Arc<Subscription>) -> Result<Box<dyn Any>> {
        Ok(Box::new(self.record.core.pool.begin_wait(&self.record.lane())?))
    }

    fn expect(&self, _: &Arc<Subscription>, publisher: u64, deadline: Instant) -> Result<Asked> {
        answers::expect(&self.record.core.pool, &self.record.lane(), publisher, deadline)
    }

    fn subscriber(&self) -> Arc<str> {
        self.record.id.clone()
    }
}

impl Task for Subscriber {
    fn run(&self, run: &mut Run<'_>) {
        self.run_times(run, 1);
    }

    fn run_times(&self, run: &mut Run<'_>, times: usize) -> usize {
        let Some(subscription) = self.subscription.upgrade() else { return times };
        let Some(mut batch) = subscription.take_batch(times) else { return times };
        let begun = Moment::now();
        let running = self.callback.running();
        let mut tenant: Option<Tenant> = None;
        while let Some(delivery) = batch.next() {
            let event = &delivery.event;
            let tenant = match &mut tenant {
                Some(last) if **last.name() == *event.tenant => last,
                tenant => tenant.insert(self.callback.record().core.tenants.named(&event.tenant)),
            };
            self.deliver(run, running.as_ref(), tenant, &delivery, &mut batch);
            // What takes its time holds nothing back: the lane looks for other work, and the queue for room.
            if batch.is_done() || Moment::now().since(begun) > LONGEST_BATCH || !run.begin_next() {
                break;
            }
        }
        batch.used(times)
    }

    fn describe(&self) -> String {
        match self.me.upgrade().and_then(|me| me.subscription.upgrade()) {
            Some(subscription) => format!("the handler of its subscription \"{}\"", subscription.name()),
            None => "the handler of a subscription that has ended".into(),
        }
    }
}

/// An event as a handler sees it; with the delivery, if its subscription is durable.
pub(super) fn seen_by_handlers(event: &Event, claim: Option<&Claim>) -> PintleEvent {
    PintleEvent {
        size: size_of::<PintleEvent>() as u32,
        depth: event.depth,
        topic: PintleStr::new(event.topic.as_str()),
        id: PintleStr::new(&event.id),
        source: PintleStr::new(&event.source),
        subject: PintleStr::new(&event.subject),
        content_type: PintleStr::new(&event.content_type),
        key: PintleStr::new(&event.key),
        tenant: PintleStr::new(&event.tenant),
        data: PintleBytes::new(&event.data),
        time_ms: event.time_ms,
        sequence: claim.map_or(0, |claim| claim.sequence),
        delivery: claim.map_or(0, |claim| claim.delivery),
        attempt: claim.map_or(0, |claim| claim.attempt),
        reserved: 0,
    }
}
