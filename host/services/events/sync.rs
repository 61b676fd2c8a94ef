//! `emit_sync`: one event, and what each of its handlers answers.
//!
//! Such an event stands in the queues of its subscriptions like any other, so that each of them sees it behind all that
//! was published before. What is different is its answer, which has two sides: the publisher waits for an [`Expected`],
//! and the [`Answer`] travels with the event. Whatever becomes of the event on its way (it runs, finds no room, or loses
//! its place; the subscription ends; the host stops) gives that answer, so nobody waits for what does not come.
//!
//! The lanes make both sides (see [`Deliver::expect`](super::Deliver::expect)), since they know who waits for whom. All
//! waits begin before the event is queued anywhere: if one of them would never end, no handler is called.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    Draft, Emitted, Event, Events, Publisher, Subscription,
    subscription::{Offer, ended},
};
use crate::error::{Error, ErrorKind, Result};

/// What became of an event at one subscription.
#[derive(Clone, Debug)]
pub struct HandlerResult {
    /// Whose subscription it is: a plugin's id, or `application`.
    pub subscriber: Arc<str>,
    /// The subscription's name.
    pub subscription: Arc<str>,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a handler answered, or why it did not.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It answered OK, with this reply.
    Handled(Vec<u8>),
    /// It answered anything else.
    Failed(Error),
    /// It had not answered by the deadline; if it had begun, it may still do what it does.
    Timeout(Error),
    /// It panicked or threw, which was caught.
    Panic(Error),
    /// It was not called: its plugin is not enabled, is stuck, or has too much to do.
    Skipped(Error),
}

impl Outcome {
    /// What the handler wrote to its reply; empty unless it answered OK.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        match self {
            Self::Handled(reply) => reply,
            _ => &[],
        }
    }

    /// Why it did not answer OK.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Handled(_) => None,
            Self::Failed(why) | Self::Timeout(why) | Self::Panic(why) | Self::Skipped(why) => Some(why),
        }
    }
}

impl From<Result<Vec<u8>>> for Outcome {
    fn from(answered: Result<Vec<u8>>) -> Self {
        match answered {
            Ok(reply) => Self::Handled(reply),
            Err(panic) if panic.kind() == ErrorKind::Panic => Self::Panic(panic),
            Err(error) => Self::Failed(error),
        }
    }
}

/// The handler's side of an answer. One that goes without having been given ends the wait.
///
/// It is given with a queue locked, too, and takes no lock but its own.
pub(crate) trait Answer: Send + Sync {
    /// The handler begins under the context of this number (0: none). False: nobody waits any more, and it must not.
    fn begin(&self, ctx: u64) -> bool;

    /// Until when the publisher waits.
    fn deadline(&self) -> Instant;

    /// Tells the publisher. False: it waits no longer.
    fn give(&self, outcome: Outcome) -> bool;
}

/// The publisher's side of an answer. Whoever lets go of it waits no longer.
pub(crate) trait Expected {
    /// The event has been queued everywhere and the publisher is about to sleep. Called once for all answers.
    fn let_another_in(&self);

    /// Waits for the answer. TIMEOUT at the deadline; STOPPING if the publisher is to wait for nobody any more;
    /// UNAVAILABLE if the answer went without having been given before the handler began.
    fn wait(&self, deadline: Instant) -> Result<Outcome>;
}

/// The two sides of an answer.
pub(crate) type Asked = (Box<dyn Expected>, Box<dyn Answer>);

/// An event on its way to one handler.
pub(crate) struct Delivery {
    /// The event, shared by all subscriptions.
    pub event: Arc<Event>,
    /// If the publisher waits for it: where the answer goes.
    pub(super) answer: Option<Box<dyn Answer>>,
}

impl Delivery {
    /// Until when its publisher waits; none: it does not wait.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.answer.as_ref().map(|answer| answer.deadline())
    }

    /// The handler begins under the context of this number (0: none). False: its publisher waited for it and does so no
    /// longer, so it must not begin.
    pub(crate) fn begin(&self, ctx: u64) -> bool {
        self.answer.as_ref().is_none_or(|answer| answer.begin(ctx))
    }

    /// The handler has answered: tells who waits for it. What failed without anybody being told comes back.
    pub(crate) fn answered(&self, result: Result<Vec<u8>>) -> Option<Error> {
        let error = result.as_ref().err().cloned();
        let told = self.answer.as_ref().is_some_and(|answer| answer.give(result.into()));
        error.filter(|_| !told)
    }

    /// The handler is not called, because the subscription has ended or because nobody waits for it any more; tells
    /// whether it is the latter.
    pub(crate) fn not_begun(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.give(Outcome::Skipped(ended())))
    }

    /// The handler is not called: tells who waits for it why.
    pub(super) fn skip(&self, why: impl FnOnce() -> Error) {
        if let Some(answer) = &self.answer {
            answer.give(Outcome::Skipped(why()));
        }
    }
}

impl Events {
    /// Publishes an event and waits until `deadline` for what its handlers answer: one result for each subscription
    /// that it was for and that answers, in their order. What the handlers answer is no error.
    ///
    /// REENTRANT if a handler could only run after this call has returned, BUSY if too many wait already: then no
    /// handler was called, as with all errors of [`emit`](Self::emit). STOPPING if the publisher is to wait for nobody
    /// any more: then handlers may have been called.
    pub(crate) fn emit_sync(
        &self,
        publisher: Option<Publisher<'_>>,
        draft: Draft,
        deadline: Instant,
    ) -> Result<Vec<HandlerResult>> {
        draft.check()?;
        let (matching, event) = self.matching(draft)?;
        let number = publisher.map_or(0, |publisher| publisher.number);
        // Who only listens in is told as of any other event, and changes nothing for those who talk.
        let (answering, listening): (Vec<_>, Vec<_>) =
            matching.iter().partition(|subscription| subscription.answers);
        let asked = answering.iter().map(|subscription| ask(subscription, number, deadline));
        let asked: Vec<_> = asked.collect::<Result<_>>()?;
        // Not before all waits can be found by who stops it: one of the two sees the other.
        if publisher.is_some_and(|publisher| (publisher.stopping)()) {
            return Err(Error::new(
                ErrorKind::Stopping,
                "the publisher is stopping: it waits for nobody any more",
            ));
        }

        self.emitted.fetch_add(1, Ordering::Relaxed);
        let mut emitted = Emitted::default();
        let Some(event) = event else {
            self.count(&matching, emitted, false);
            return Ok(Vec::new());
        };
        let mut waits = Vec::with_capacity(answering.len());
        for (subscription, asked) in answering.into_iter().zip(asked) {
            let (offer, expected) = match asked {
                Some((expected, answer)) => (subscription.offer_awaited(&event, answer), Some(expected)),
                None => (subscription.pass_over(), None),
            };
            emitted.add(offer);
            if offer != Offer::Over {
                waits.push((subscription, expected));
            }
        }
        for subscription in listening {
            emitted.add(subscription.offer(&event, false));
        }
        self.count(&matching, emitted, false);
        if let Some(first) = waits.iter().find_map(|(_, expected)| expected.as_ref()) {
            first.let_another_in();
        }
        let results = waits.into_iter().map(|(subscription, expected)| {
            let outcome = match expected {
                Some(expected) => outcome_of(expected.wait(deadline))?,
                None => Outcome::Skipped(subscription.not_enabled()),
            };
            let Subscription { subscriber, name, .. } = &**subscription;
            Ok(HandlerResult { subscriber: subscriber.clone(), subscription: name.clone(), outcome })
        });
        results.collect()
    }
}

/// Begins to wait for the handler of a subscription; none if it will not be called.
fn ask(subscription: &Arc<Subscription>, publisher: u64, deadline: Instant) -> Result<Option<Asked>> {
    if !subscription.is_live() {
        return Ok(None);
    }
    match subscription.deliver.expect(subscription, publisher, deadline) {
        Ok(asked) => Ok(Some(asked)),
        Err(error) if matches!(error.kind(), ErrorKind::Reentrant | ErrorKind::Busy) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What the end of a wait says about the handler. An error is the publisher's own.
fn outcome_of(waited: Result<Outcome>) -> Result<Outcome> {
    match waited {
        Ok(outcome) => Ok(outcome),
        Err(error) => match error.kind() {
            ErrorKind::Stopping => Err(error),
            ErrorKind::Timeout => Ok(Outcome::Timeout(Error::new(
                ErrorKind::Timeout,
                "the handler did not answer in time: if it had begun, it may still do what it does",
            ))),
            ErrorKind::Unavailable => Ok(Outcome::Skipped(error)),
            _ => Ok(Outcome::Failed(error)),
        },
    }
}
