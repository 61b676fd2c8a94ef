//! A durable subscription while it lasts.

use super::super::Counters;
use super::{Claim, ConsumerName};
use crate::error::Result;

/// A durable subscription, made by [`Durable::subscribe`](super::Durable::subscribe).
pub(crate) struct Consumer;

impl Consumer {
    /// Delivers what there is, up to 16 events or 20 ms. `handle` runs the handler; none: it was not begun, because the subscription has
    /// ended or its plugin takes nothing any more.
    pub(crate) fn turn(&self, handle: &mut dyn FnMut(&Claim) -> Option<Result<()>>) {
        let _ = handle;
        unimplemented!()
    }

    /// Whether events are delivered. While they are not they wait in the log.
    pub(crate) fn set_live(&self, live: bool) {
        let _ = live;
        unimplemented!()
    }

    /// The name that its position is kept under.
    #[must_use]
    pub(crate) fn name(&self) -> &ConsumerName {
        unimplemented!()
    }

    /// Its counts, all of one moment.
    #[must_use]
    pub(crate) fn counters(&self) -> Counters {
        unimplemented!()
    }
}
