//! Durable subscriptions of plugins, and what they acknowledge.

use std::{
    ffi::c_void,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use pintle_abi::*;

use super::{
    Call, HandlerKind, PluginRecord,
    callback::{Callback, Occasion, unknown_value},
    enter,
    events::{Handler, filter_of, seen_by_handlers},
    input, stale,
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::Method,
    lanes::{Entry, Register, Run, Task},
    services::events::{Claim, Consumer, ConsumerName, DurableRequest, Event, Pattern, Start, Turns},
};

const HOUR_MS: i64 = 3_600_000;
const LONGEST_DELAY_MS: i64 = 86_400_000;
const LONGEST_REASON: usize = 1_024;
const MOST_DELIVERIES: u32 = 1_000;
const MOST_IN_FLIGHT: u32 = 1_024;

/// What holds where the options say nothing.
const ACK: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_secs(1);
const DELIVERIES: u32 = 10;
const IN_FLIGHT: u32 = 64;

/// A plugin's durable subscription: an entry of its register, and the task that stands in the lane once while there is something
/// to deliver.
struct Subscriber {
    callback: Callback,
    handler: Handler,
    consumer: Weak<Consumer>,
    /// How long a delivery may take.
    ack: Duration,
}

/// What the engine is given in place of the subscriber, which does not exist yet when the engine is asked.
struct Gateway {
    subscriber: Weak<Subscriber>,
    record: &'static PluginRecord,
}

/// Makes a durable subscription.
///
/// # Safety
/// The texts of the options are readable for this call, and `subscription` leads to memory of the caller or is null.
pub(super) unsafe fn subscribe(
    call: &Call,
    pattern: Pattern,
    handler: Handler,
    (user, release): (*mut c_void, PintleRelease),
    options: &PintleSubscribeOptions,
    subscription: *mut PintleRegistration,
) -> Result<()> {
    let register = call.register()?;
    // SAFETY: the caller vouches for it.
    let request = unsafe { request(call, pattern, options) }?;
    let ack = request.ack;
    let mut made = Ok(Weak::new());
    let subscriber = Arc::new_cyclic(|me: &Weak<Subscriber>| {
        let deliver = Arc::new(Gateway { subscriber: me.clone(), record: call.record });
        let core = call.core();
        made = core.durable.subscribe(&core.events, request, deliver).map(|made| Arc::downgrade(&made));
        let consumer = made.clone().unwrap_or_default();
        Subscriber { callback: Callback::new(call, user, release), handler, consumer, ack }
    });
    made?;
    let handle = register.add(subscriber.clone()).inspect_err(|_| {
        subscriber.shut();
        subscriber.end();
    })?;
    if let Ok(out) = input::output("subscription", subscription) {
        // SAFETY: the caller vouches for it.
        unsafe { out.write(handle) };
    }
    Ok(())
}

/// Ends a durable subscription; none: the handle is of no such one.
pub(super) fn unsubscribe(register: &Register, subscription: PintleRegistration) -> Option<()> {
    register.end::<Subscriber>(subscription)?.callback.release_soon();
    Some(())
}

/// # Safety
/// The texts of the options are readable for this call.
unsafe fn request(call: &Call, pattern: Pattern, options: &PintleSubscribeOptions) -> Result<DurableRequest> {
    for (name, given) in [("capacity", options.capacity), ("policy", options.policy)] {
        if given != 0 {
            return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!(
                    "argument `options.{name}`: {given}, but the events of a durable subscription wait in the log: leave it 0"
                )
            }));
        }
    }
    // SAFETY: the caller vouches for it.
    let name = unsafe { input::optional("options.name", options.name, 128) }?;
    let name: Arc<str> = name.unwrap_or(pattern.as_str()).into();
    // SAFETY: as above.
    let filter = unsafe { filter_of(options) }?
        .map(|filter| Arc::new(move |event: &Event| filter.matches(event)) as _);
    Ok(DurableRequest {
        owner: call.record.number,
        name: ConsumerName { plugin: call.record.id.clone(), tenant: call.tenant()?.name().clone(), name },
        pattern,
        filter,
        start: start(options)?,
        ack: span("ack_ms", options.ack_ms, ACK)?,
        backoff: span("backoff_ms", options.backoff_ms, BACKOFF)?,
        max_deliveries: number("max_deliveries", options.max_deliveries, MOST_DELIVERIES, DELIVERIES)?,
        in_flight: number("in_flight", options.in_flight, MOST_IN_FLIGHT, IN_FLIGHT)? as usize,
        explicit: options.flags & PINTLE_SUBSCRIBE_ACK != 0,
        live: false,
        priority: options.priority,
    })
}

fn start(options: &PintleSubscribeOptions) -> Result<Start> {
    let at = options.start_at;
    match options.start {
        PINTLE_START_NEW | PINTLE_START_ALL if at != 0 => {
            Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!(
                    "argument `options.start_at`: {at}, but `start` asks for no sequence and no time: leave it 0"
                )
            }))
        }
        PINTLE_START_NEW => Ok(Start::New),
        PINTLE_START_ALL => Ok(Start::All),
        PINTLE_START_SEQUENCE => u64::try_from(at).map(Start::Sequence).map_err(|_| {
            Error::lazy(ErrorKind::OutOfRange, move || {
                format!("argument `options.start_at`: {at}, a sequence is not negative")
            })
        }),
        PINTLE_START_TIME => Ok(Start::Time(at)),
        other => Err(unknown_value("options.start", other)),
    }
}

/// A time of the options in milliseconds; 0: `usual`.
fn span(name: &'static str, ms: i64, usual: Duration) -> Result<Duration> {
    match ms {
        0 => Ok(usual),
        1..=HOUR_MS => Ok(Duration::from_millis(ms as u64)),
        _ => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `options.{name}`: {ms}, 1 to {HOUR_MS} are taken; 0 is the default")
        })),
    }
}

fn number(name: &'static str, given: u32, most: u32, usual: u32) -> Result<u32> {
    match given {
        0 => Ok(usual),
        given if given <= most => Ok(given),
        _ => Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!("argument `options.{name}`: {given}, 1 to {most} are taken; 0 is the default")
        })),
    }
}

pub(super) unsafe extern "C" fn ack(ctx: PintleCtx, delivery: PintleDelivery) -> PintleStatus {
    enter(ctx, Method::EventsAck, move |call| call.core().durable.ack(call.record.number, delivery))
}

pub(super) unsafe extern "C" fn nack(
    ctx: PintleCtx,
    delivery: PintleDelivery,
    delay_ms: i64,
    reason: PintleStr,
) -> PintleStatus {
    enter(ctx, Method::EventsNack, move |call| {
        let delay = match delay_ms {
            0 => None,
            1..=LONGEST_DELAY_MS => Some(Duration::from_millis(delay_ms as u64)),
            _ => {
                return Err(Error::lazy(ErrorKind::OutOfRange, move || {
                    format!(
                        "argument `delay_ms`: {delay_ms}, 1 to {LONGEST_DELAY_MS} are taken; 0 is the back-off of the subscription"
                    )
                }));
            }
        };
        // SAFETY: the contract says that inputs are readable for this call.
        let reason = unsafe { input::optional("reason", reason, LONGEST_REASON) }?.unwrap_or_default();
        call.core().durable.nack(call.record.number, delivery, delay, reason)
    })
}

impl Entry for Subscriber {
    fn kind(&self) -> &'static str {
        "subscription"
    }

    fn set_live(&self, live: bool) {
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.set_live(live);
        }
    }

    fn shut(&self) {
        self.callback.end();
    }

    fn end(&self) {
        if let Some(consumer) = self.consumer.upgrade() {
            let core = self.callback.record().core;
            core.durable.unsubscribe(&consumer);
        }
    }

    fn needs_release(&self) -> bool {
        true
    }

    fn release(&self) {
        self.callback.release();
    }
}

impl Turns for Gateway {
    fn ready(&self) -> Result<()> {
        let subscriber = self.subscriber.upgrade().ok_or_else(stale)?;
        self.record.lane().push_event(subscriber)
    }
}

impl Task for Subscriber {
    fn run(&self, run: &mut Run<'_>) {
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.turn(&mut |claim| self.handle(run, claim));
        }
    }

    fn describe(&self) -> String {
        match self.consumer.upgrade() {
            Some(consumer) => format!("the handler of its durable subscription \"{}\"", consumer.name().name),
            None => "the handler of a subscription that has ended".into(),
        }
    }
}

impl Subscriber {
    /// Runs the handler with one event; none: the subscription has ended.
    fn handle(&self, run: &mut Run<'_>, claim: &Claim) -> Option<Result<()>> {
        let event = &claim.event;
        let core = self.callback.record().core;
        let occasion = Occasion {
            tenant: &core.tenants.named(&event.tenant),
            depth: event.depth + 1,
            deadline: core.moment(Instant::now() + self.ack),
            kind: HandlerKind::Event,
            name: event.id.clone(),
        };
        let outcome = self.callback.run(
            run,
            occasion,
            |_| true,
            |user, ctx, reply| {
                let seen = seen_by_handlers(event, Some(claim));
                // SAFETY: the registration came with this handler and this `user`; the library is mapped, because the register
                // is drained before the generation ends, and an ended registration is not run.
                unsafe { (self.handler)(user, ctx, &raw const seen, reply) }
            },
        )?;
        if let Err(error) = &outcome {
            let about = format!("event {} {}, delivery {}", event.topic.as_str(), event.id, claim.attempt);
            core.report_failure(error, &about);
        }
        Some(outcome.map(drop))
    }
}
