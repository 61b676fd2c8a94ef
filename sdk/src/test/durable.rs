//! Durable events in the test host: the log, where each durable subscription stands in it, and what has become of each delivery.

use std::collections::BTreeMap;

use pintle_abi::*;

use super::{
    Emitted, Host, drive, input,
    inside::{Inside, Registration, State, Tenant, What, enter},
};
use crate::{Delivery, Error, Result, Status};

/// Within this time an event with the id and source of another of its tenant is that event.
const DEDUPE_MS: i64 = 120_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How a durable subscription is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Durable {
    /// It acknowledges by `ack`.
    pub(super) explicit: bool,
    pub(super) ack_ms: i64,
    pub(super) backoff_ms: i64,
    pub(super) max_deliveries: u32,
    pub(super) in_flight: usize,
}

/// Where a durable subscription begins that has no position yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    New,
    Sequence(u64),
    Time(i64),
}

/// Whose position it is: the tenant and the name of a subscription.
type Place = (Tenant, String);

/// All durable events, and who stands where.
#[derive(Default)]
pub(super) struct Log {
    /// The number of each is its place, from 1.
    events: Vec<Emitted>,
    positions: BTreeMap<Place, Position>,
    dead: Vec<DeadLetter>,
}

/// Where a durable subscription stands.
struct Position {
    /// Events from this number on have not been looked at.
    next: u64,
    /// Events that were written before are not for it.
    since_ms: i64,
    /// What is for it and not done with, by number.
    open: BTreeMap<u64, Open>,
}

struct Open {
    /// How often it was delivered.
    attempt: u32,
    stage: Stage,
}

enum Stage {
    /// It is delivered at this time, or later.
    Due(i64),
    /// It was delivered to a subscription.
    Delivered { to: u64, delivery: PintleDelivery, explicit: bool, deadline_ms: i64 },
}

/// A durable event that has failed for the last time. From [`Host::dead_letters`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The name of the subscription.
    pub subscription: String,
    /// The event.
    pub event: Emitted,
    /// How often it was delivered.
    pub attempts: u32,
    /// Why it failed the last time.
    pub reason: String,
}

/// A durable event that was delivered and neither acknowledged nor failed. From [`Host::unacknowledged`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unacknowledged {
    /// The name of the subscription.
    pub subscription: String,
    /// The event.
    pub event: Emitted,
    /// Which delivery of the event it is, from 1.
    pub attempt: u32,
    /// What acknowledges it; the test can do that with its own [context](super::Scoped::context).
    pub delivery: Delivery,
}

impl Host {
    /// The durable events that became dead letters so far, in order.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.inside.state().log.dead.clone()
    }

    /// What was delivered to subscriptions with [`SubscribeOptions::acknowledge`](crate::SubscribeOptions::acknowledge) and is not
    /// acknowledged yet, by the name of the subscription and in the order of the log.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pintle_plugin::{Context, EmitOptions, Plugin, Result, SubscribeOptions, plugin, test::Host};
    ///
    /// struct Slow;
    ///
    /// impl Plugin for Slow {
    ///     fn load(_: &Context) -> Result<Self> {
    ///         Ok(Slow)
    ///     }
    ///
    ///     fn enable(&self, cx: &Context) -> Result<()> {
    ///         let options = SubscribeOptions::new().durable().acknowledge().max_deliveries(2);
    ///         cx.events().subscribe_with("work", &options, |_, _| Ok(()))?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// plugin!(Slow, inline r#"{
    ///     "id": "slow", "version": "1.0.0", "abi": "1.0",
    ///     "services": { "events": { "subscribe": ["work"] } }
    /// }"#);
    ///
    /// # fn main() -> Result<()> {
    /// let host = Host::new().start::<Slow>()?;
    /// host.emit_with("work", b"1", &EmitOptions::new().durable())?;
    /// host.emit_with("work", b"2", &EmitOptions::new().durable())?;
    /// let open = host.unacknowledged();
    /// assert_eq!((open[0].event.data.as_slice(), open[0].attempt, open.len()), (&b"1"[..], 1, 2));
    /// open[0].delivery.ack(host.context())?;
    ///
    /// // The other is not acknowledged in time, twice.
    /// host.advance(Duration::from_secs(120))?;
    /// assert_eq!(host.unacknowledged(), []);
    /// assert_eq!((host.dead_letters()[0].event.data.as_slice(), host.dead_letters()[0].attempts), (&b"2"[..], 2));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<Unacknowledged> {
        let state = self.inside.state();
        let log = &state.log;
        let each = log.positions.iter().flat_map(|((_, name), position)| {
            position.open.iter().filter_map(move |(sequence, open)| match open.stage {
                Stage::Delivered { delivery, explicit: true, .. } => Some(Unacknowledged {
                    subscription: name.clone(),
                    event: log.event(*sequence).clone(),
                    attempt: open.attempt,
                    delivery: Delivery(delivery),
                }),
                _ => None,
            })
        });
        each.collect()
    }
}

impl Log {
    fn event(&self, sequence: u64) -> &Emitted {
        &self.events[sequence as usize - 1]
    }

    /// Writes an event and gives it its number; false if it is there already.
    pub(super) fn append(&mut self, event: &mut Emitted) -> bool {
        let same = |one: &&Emitted| {
            (&one.id, &one.source, &one.tenant) == (&event.id, &event.source, &event.tenant)
                && one.time_ms + DEDUPE_MS > event.time_ms
        };
        if self.events.iter().any(|one| same(&one)) {
            return false;
        }
        event.sequence = Some(self.events.len() as u64 + 1);
        self.events.push(event.clone());
        true
    }

    /// Makes the position of a subscription that has none under its name.
    pub(super) fn join(&mut self, tenant: &Tenant, name: &str, begin: Begin) {
        let end = self.events.len() as u64 + 1;
        let (next, since_ms) = match begin {
            Begin::New => (end, i64::MIN),
            Begin::Sequence(next) => (next, i64::MIN),
            Begin::Time(since_ms) => (1, since_ms),
        };
        let place = (tenant.clone(), name.to_owned());
        self.positions.entry(place).or_insert_with(|| Position { next, since_ms, open: BTreeMap::new() });
    }

    /// The subscription of this handle has ended: what it had not acknowledged is delivered to the next of its name, and does not
    /// count.
    pub(super) fn leave(&mut self, handle: u64, now_ms: i64) {
        let all = self.positions.values_mut().flat_map(|position| position.open.values_mut());
        for open in all {
            if matches!(open.stage, Stage::Delivered { to, explicit: true, .. } if to == handle) {
                *open = Open { attempt: open.attempt - 1, stage: Stage::Due(now_ms) };
            }
        }
    }

    /// The number of the next event that can be delivered now, which is at most `up_to`.
    fn next(&mut self, one: &Registration, in_flight: usize, now_ms: i64, up_to: u64) -> Option<u64> {
        let position = self.positions.get_mut(&(one.tenant.clone(), one.name.clone()))?;
        while let Some(event) = self.events.get(position.next as usize - 1) {
            if one.wants(event) && event.time_ms >= position.since_ms {
                position.open.insert(position.next, Open { attempt: 0, stage: Stage::Due(now_ms) });
            }
            position.next += 1;
        }
        let delivered = position.open.values().filter(|open| matches!(open.stage, Stage::Delivered { .. }));
        if delivered.count() >= in_flight {
            return None;
        }
        // What is open holds up what has its key.
        let mut keys = Vec::new();
        position.open.range(..=up_to).find_map(|(sequence, open)| {
            let event = &self.events[*sequence as usize - 1];
            let key = event.key.as_ref().map(|key| (key, &event.tenant));
            let held_up = key.is_some() && keys.contains(&key);
            keys.push(key);
            let due = matches!(open.stage, Stage::Due(at) if at <= now_ms);
            (due && !held_up).then_some(*sequence)
        })
    }

    /// What this delivery is of.
    fn of(&self, wanted: PintleDelivery) -> Option<(Place, u64, u64)> {
        self.positions.iter().find_map(|(place, position)| {
            position.open.iter().find_map(|(sequence, open)| match open.stage {
                Stage::Delivered { to, delivery, .. } if delivery == wanted => {
                    Some((place.clone(), *sequence, to))
                }
                _ => None,
            })
        })
    }

    fn done(&mut self, place: &Place, sequence: u64) {
        if let Some(position) = self.positions.get_mut(place) {
            position.open.remove(&sequence);
        }
    }

    fn failed(
        &mut self,
        (place, sequence): (&Place, u64),
        durable: &Durable,
        now_ms: i64,
        delay_ms: Option<i64>,
        reason: &str,
    ) {
        let Some(position) = self.positions.get_mut(place) else { return };
        let Some(open) = position.open.get_mut(&sequence) else { return };
        if open.attempt < durable.max_deliveries {
            let doubled = durable.backoff_ms.saturating_mul(1 << (open.attempt - 1).min(32));
            let delay_ms = delay_ms.unwrap_or(doubled.min(HOUR_MS));
            open.stage = Stage::Due(now_ms + delay_ms);
            return;
        }
        let attempts = open.attempt;
        position.open.remove(&sequence);
        let event = self.event(sequence).clone();
        let (subscription, reason) = (place.1.clone(), reason.to_owned());
        self.dead.push(DeadLetter { subscription, event, attempts, reason });
    }
}

impl Registration {
    /// Is the event one of those that this subscription is for?
    pub(super) fn wants(&self, event: &Emitted) -> bool {
        let What::Subscription { pattern, filter, durable, .. } = &self.what else { return false };
        (self.tenant.is_none() || self.tenant.as_deref() == event.tenant.as_deref())
            && (durable.is_none() || event.sequence.is_some())
            && super::topic::matches(pattern, &event.topic)
            && filter.as_ref().is_none_or(|filter| filter.takes(event))
    }
}

impl State {
    /// The durable subscriptions that are live, those of a higher priority first.
    fn consumers(&self) -> Vec<(u64, Durable)> {
        let enabled = self.loaded.filter(|loaded| loaded.enabled).map(|loaded| loaded.generation);
        let all = self.registrations.iter().filter(|(_, one)| Some(one.generation) == enabled);
        let mut all: Vec<_> = all
            .filter_map(|(handle, one)| match &one.what {
                What::Subscription { durable: Some(durable), priority, .. } => {
                    Some((-priority, *handle, *durable))
                }
                _ => None,
            })
            .collect();
        all.sort_by_key(|(priority, handle, _)| (*priority, *handle));
        all.into_iter().map(|(_, handle, durable)| (handle, durable)).collect()
    }

    /// When the next delivery is due, or the time of one is over.
    pub(super) fn next_delivery(&self) -> Option<i64> {
        let each = self.consumers().into_iter().filter_map(|(handle, _)| {
            let one = &self.registrations[&handle];
            let position = self.log.positions.get(&(one.tenant.clone(), one.name.clone()))?;
            let times = position.open.values().map(|open| match open.stage {
                Stage::Due(at) => at,
                Stage::Delivered { deadline_ms, .. } => deadline_ms,
            });
            // What is due and still there waits for another of its key, or for room.
            times.filter(|at| *at > self.now_ms).min()
        });
        each.min()
    }

    /// Time has passed: what was not acknowledged has failed.
    pub(super) fn pass_deliveries(&mut self) {
        for (handle, durable) in self.consumers() {
            let one = &self.registrations[&handle];
            let (place, now_ms) = ((one.tenant.clone(), one.name.clone()), self.now_ms);
            let Some(position) = self.log.positions.get(&place) else { continue };
            let late = |open: &Open| matches!(open.stage, Stage::Delivered { deadline_ms, .. } if deadline_ms <= now_ms);
            let late: Vec<_> =
                position.open.iter().filter(|(_, open)| late(open)).map(|(sequence, _)| *sequence).collect();
            let reason = format!("it was not acknowledged within {} ms", durable.ack_ms);
            for sequence in late {
                let tenant = self.log.event(sequence).tenant.clone();
                self.log.failed((&place, sequence), &durable, now_ms, None, &reason);
                let error = Error::new(Status::Timeout, reason.clone());
                self.report("a delivery failed", &place.1, tenant, &error);
            }
        }
    }
}

/// Delivers the oldest event that a durable subscription can be given now; false if there is none.
pub(super) fn deliver_next(inside: &Inside) -> bool {
    let next = {
        let mut state = inside.state();
        let state = &mut *state;
        let consumers = state.consumers().into_iter().enumerate();
        let candidates = consumers.filter_map(|(at, (handle, durable))| {
            let one = &state.registrations[&handle];
            let sequence = state.log.next(one, durable.in_flight, state.now_ms, u64::MAX)?;
            Some((sequence, at, handle))
        });
        candidates.min()
    };
    next.is_some_and(|(sequence, _, handle)| deliver_up_to(inside, handle, sequence))
}

/// Delivers to one durable subscription what it can be given now, up to an event; false if that was nothing.
pub(super) fn deliver_up_to(inside: &Inside, handle: u64, up_to: u64) -> bool {
    let mut any = false;
    loop {
        let (registration, durable, event, attempt, delivery, deadline_ms) = {
            let mut state = inside.state();
            let state = &mut *state;
            let consumers = state.consumers();
            let Some((_, durable)) = consumers.into_iter().find(|(one, _)| *one == handle) else {
                return any;
            };
            let registration = state.registrations[&handle].clone();
            let next = state.log.next(&registration, durable.in_flight, state.now_ms, up_to);
            let Some(sequence) = next else { return any };
            let delivery = inside.fresh(state);
            let place = (registration.tenant.clone(), registration.name.clone());
            let position = state.log.positions.get_mut(&place).expect("something is next there");
            let open = position.open.get_mut(&sequence).expect("it is next");
            open.attempt += 1;
            let deadline_ms = state.now_ms + durable.ack_ms;
            open.stage = Stage::Delivered { to: handle, delivery, explicit: durable.explicit, deadline_ms };
            let attempt = open.attempt;
            (registration, durable, state.log.event(sequence).clone(), attempt, delivery, deadline_ms)
        };
        any = true;
        let shown = if durable.explicit { delivery } else { 0 };
        let outcome = drive::handle_event(inside, &registration, &event, Some(deadline_ms), (shown, attempt));
        let mut state = inside.state();
        let now_ms = state.now_ms;
        // It may have been acknowledged or refused by now.
        let Some((place, sequence, _)) = state.log.of(delivery) else { continue };
        match outcome {
            Ok(_) if durable.explicit => {}
            Ok(_) => state.log.done(&place, sequence),
            Err(error) => state.log.failed((&place, sequence), &durable, now_ms, None, error.message()),
        }
    }
}

pub(super) unsafe extern "C" fn ack(ctx: PintleCtx, delivery: PintleDelivery) -> PintleStatus {
    enter(ctx, "events.ack", |call| {
        let mut state = call.state();
        let (place, sequence, _) = owned(&state, call.entry.generation, delivery)?;
        state.log.done(&place, sequence);
        Ok(())
    })
}

pub(super) unsafe extern "C" fn nack(
    ctx: PintleCtx,
    delivery: PintleDelivery,
    delay_ms: i64,
    reason: PintleStr,
) -> PintleStatus {
    enter(ctx, "events.nack", |call| {
        if !(0..=DAY_MS).contains(&delay_ms) {
            let text =
                format!("argument `delay_ms`: {delay_ms}, 1 to {DAY_MS} are taken, or 0 for the back-off");
            return Err(Error::new(Status::OutOfRange, text));
        }
        // SAFETY: the contract: inputs are readable for this call.
        let reason = unsafe { input::text("reason", reason, 1_024) }?;
        let mut state = call.state();
        let (place, sequence, durable) = owned(&state, call.entry.generation, delivery)?;
        let (now_ms, tenant) = (state.now_ms, state.log.event(sequence).tenant.clone());
        let delay_ms = (delay_ms != 0).then_some(delay_ms);
        state.log.failed((&place, sequence), &durable, now_ms, delay_ms, reason);
        let error = Error::new(Status::Cancelled, reason.to_owned());
        state.report("a delivery failed", &place.1, tenant, &error);
        Ok(())
    })
}

/// What a delivery is of, if it is not over, and the subscription is the caller's.
fn owned(state: &State, generation: u64, delivery: PintleDelivery) -> Result<(Place, u64, Durable)> {
    let found = state.log.of(delivery).and_then(|(place, sequence, to)| {
        let one = state.registrations.get(&to)?;
        match one.what {
            What::Subscription { durable: Some(durable), .. }
                if durable.explicit && (generation == 0 || one.generation == generation) =>
            {
                Some((place, sequence, durable))
            }
            _ => None,
        }
    });
    found.ok_or_else(|| {
        let text = "the delivery is over: it was acknowledged or refused, it took too long, or its subscription has ended";
        Error::new(Status::StaleHandle, text)
    })
}
