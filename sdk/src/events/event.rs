//! An event as a handler sees it.

use std::{fmt, marker::PhantomData, time::SystemTime};

use pintle_abi::{PintleEvent, PintleSink};
use serde::{Serialize, de::DeserializeOwned};

use super::{Delivery, at};
use crate::{Context, Error, Result, wire};

/// An event, lent to a handler. The attributes are those of CloudEvents 1.0.
pub struct Event<'a> {
    raw: PintleEvent,
    reply: PintleSink,
    cx: &'a Context,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Event<'a> {
    /// # Safety
    /// `raw` and all it points to is lent for `'a`.
    pub(super) unsafe fn lent(raw: PintleEvent, reply: PintleSink, cx: &'a Context) -> Self {
        Self { raw, reply, cx, lent: PhantomData }
    }

    /// The topic, whole: CloudEvents `type`.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        // SAFETY: the host lends the event and all it points to until the handler returns; so in every accessor.
        unsafe { wire::text(self.raw.topic) }
    }

    /// CloudEvents `id`: unique together with [`source`](Event::source).
    #[must_use]
    pub fn id(&self) -> &'a str {
        // SAFETY: as in `topic`.
        unsafe { wire::text(self.raw.id) }
    }

    /// CloudEvents `source`: `/plugins/<id>` for a plugin, otherwise what the application gave.
    #[must_use]
    pub fn source(&self) -> &'a str {
        // SAFETY: as in `topic`.
        unsafe { wire::text(self.raw.source) }
    }

    /// CloudEvents `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.subject) })
    }

    /// CloudEvents `datacontenttype`.
    #[must_use]
    pub fn content_type(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.content_type) })
    }

    /// The ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.key) })
    }

    /// The tenant on whose behalf it was emitted; `None` in the system scope.
    #[must_use]
    pub fn tenant(&self) -> Option<&'a str> {
        // SAFETY: as in `topic`.
        wire::some(unsafe { wire::text(self.raw.tenant) })
    }

    /// The payload.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        // SAFETY: as in `topic`.
        unsafe { wire::bytes(self.raw.data) }
    }

    /// The payload as text.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not UTF-8.
    pub fn text(&self) -> Result<&'a str> {
        str::from_utf8(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of {}", self.topic())))
    }

    /// The payload, read as JSON.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) if it is not JSON or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data())
            .map_err(|error| Error::from(error).context(format_args!("the data of {}", self.topic())))
    }

    /// CloudEvents `time`.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        at(self.raw.time_ms)
    }

    /// How many events led to this one: 0 for one that no handler emitted.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.raw.depth
    }

    /// The number of a durable event in the log, which grows; `None`: it is transient.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        (self.raw.sequence != 0).then_some(self.raw.sequence)
    }

    /// Which delivery of the event to this durable subscription it is, from 1; `None`: the subscription is transient.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        (self.raw.attempt != 0).then_some(self.raw.attempt)
    }

    /// What acknowledges this delivery, here or later; `None` unless the subscription is one with
    /// [`SubscribeOptions::acknowledge`](crate::SubscribeOptions::acknowledge).
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        (self.raw.delivery != 0).then_some(Delivery(self.raw.delivery))
    }

    /// Adds to the reply, at most 1 MiB, for publishers that wait for it ([`Events::emit_sync`](crate::Events::emit_sync)).
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge).
    pub fn reply(&self, bytes: &[u8]) -> Result<()> {
        self.cx.check(wire::write(self.reply, bytes))
    }

    /// [`reply`](Event::reply) with a value, as JSON.
    ///
    /// # Errors
    /// As `reply`; [`InvalidArgument`](crate::Status::InvalidArgument) if it cannot be written as JSON.
    pub fn reply_json(&self, value: &impl Serialize) -> Result<()> {
        let reply = serde_json::to_vec(value)
            .map_err(|error| Error::from(error).context(format_args!("the reply to {}", self.topic())))?;
        self.reply(&reply)
    }

    /// None for null, and for one that is smaller than events have been since ABI 1.0.
    ///
    /// # Safety
    /// `event` is null or an event of the host.
    pub(super) unsafe fn read(event: *const PintleEvent) -> Option<PintleEvent> {
        const SMALLEST: usize = 168;
        // SAFETY: an event begins with its size, and is read only where it is large enough.
        unsafe { crate::table::reaches(event.cast(), SMALLEST).then(|| event.read()) }
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic())
            .field("id", &self.id())
            .field("source", &self.source())
            .field("tenant", &self.tenant())
            .field("bytes", &self.data().len())
            .field("sequence", &self.sequence())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
