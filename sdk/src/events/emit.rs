//! What a publisher may say.

use std::time::Duration;

use pintle_abi::{PINTLE_EMIT_DURABLE, PintleEmitOptions, PintleStr};

use crate::context::milliseconds;

/// What a publisher may say beside topic and data.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmitOptions<'a> {
    id: &'a str,
    subject: &'a str,
    content_type: &'a str,
    key: &'a str,
    wait: Duration,
    durable: bool,
}

impl<'a> EmitOptions<'a> {
    /// Nothing beside topic and data.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The event is on disk before `emit` returns, and is delivered to each durable subscription until it is acknowledged,
    /// whatever happens to the process. Transient subscriptions get it as any other event. Not for `emit_sync`.
    ///
    /// ```
    /// # use pintle_plugin::{Context, EmitOptions, Result};
    /// fn paid(cx: &Context, order: u64) -> Result<()> {
    ///     // Asked twice within the dedupe window, it is published once.
    ///     let id = format!("paid-{order}");
    ///     cx.events().emit_json_with("paid", &order, &EmitOptions::new().durable().id(&id))
    /// }
    /// ```
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// CloudEvents `id`, 1 to 256 bytes; otherwise the host makes one. A [durable](EmitOptions::durable) event whose id and
    /// source are those of one that was written for the same tenant within the dedupe window (two minutes, unless the settings
    /// say otherwise) is that event: nothing is delivered again.
    #[must_use]
    pub fn id(mut self, id: &'a str) -> Self {
        self.id = id;
        self
    }

    /// CloudEvents `subject`, at most 512 bytes.
    #[must_use]
    pub fn subject(mut self, subject: &'a str) -> Self {
        self.subject = subject;
        self
    }

    /// CloudEvents `datacontenttype`, at most 128 bytes; otherwise `application/json`.
    #[must_use]
    pub fn content_type(mut self, content_type: &'a str) -> Self {
        self.content_type = content_type;
        self
    }

    /// The ordering key, at most 512 bytes.
    #[must_use]
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = key;
        self
    }

    /// How long to wait for room in the queues of subscriptions with [`QueuePolicy::Wait`](crate::QueuePolicy::Wait), at most a minute;
    /// otherwise not at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// What is said, to be kept: a batch is sent later.
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            texts: [self.id, self.subject, self.content_type, self.key].map(str::to_owned),
            wait: self.wait,
            durable: self.durable,
        }
    }

    pub(crate) fn raw(&self) -> PintleEmitOptions {
        PintleEmitOptions {
            size: size_of::<PintleEmitOptions>() as u32,
            flags: if self.durable { PINTLE_EMIT_DURABLE } else { 0 },
            id: PintleStr::new(self.id),
            subject: PintleStr::new(self.subject),
            content_type: PintleStr::new(self.content_type),
            key: PintleStr::new(self.key),
            wait_ms: milliseconds(self.wait),
        }
    }
}

/// [`EmitOptions`] that borrow nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// Id, subject, content type and key, empty where they are not given.
    pub(crate) texts: [String; 4],
    wait: Duration,
    pub(crate) durable: bool,
}

impl Kept {
    pub(crate) fn lend(&self) -> EmitOptions<'_> {
        let [id, subject, content_type, key] = &self.texts;
        EmitOptions { id, subject, content_type, key, wait: self.wait, durable: self.durable }
    }
}
