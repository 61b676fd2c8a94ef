//! Who waits for whom: refuses a wait that only the waiter itself could end, before it begins.
//!
//! A call that waits occupies a place in its own lane until the other lane answers. The other lane can answer if
//! it has a free place, or if one of the calls that occupy it does not wait, or waits for a lane that can answer.
//! If none of that is so, the new wait would close a circle. Every circle is closed by the last of its waits, and
//! that one is refused.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{lane::Lane, pending::Wake};
use crate::error::{Error, ErrorKind, Result};

/// The waits of a pool's calls. Under the pool's lock for waits, which is taken before any lane's.
#[derive(Default)]
pub(super) struct Waits {
    last: u64,
    waits: HashMap<u64, Wait>,
    /// By the lane that is occupied: what its calls wait for.
    edges: HashMap<u64, Vec<(u64, Arc<Lane>)>>,
}

struct Wait {
    from: Option<u64>,
    generation: u64,
    /// None: it cannot be woken, and its own deadline ends it.
    waiter: Option<Arc<dyn Wake>>,
}

impl Waits {
    /// Notes that a call of lane `from` (none: no call) of `generation` will wait for `target`. REENTRANT if it
    /// would wait for itself.
    pub(super) fn begin(
        &mut self,
        from: Option<u64>,
        target: &Arc<Lane>,
        generation: u64,
        waiter: Option<Arc<dyn Wake>>,
    ) -> Result<u64> {
        self.last += 1;
        let number = self.last;
        if let Some(from) = from {
            self.edges.entry(from).or_default().push((number, target.clone()));
            if !self.can_answer(target, &mut HashSet::new()) {
                self.forget_edge(from, number);
                let name = target.name().clone();
                return Err(Error::lazy(ErrorKind::Reentrant, move || {
                    format!(
                        "plugin \"{name}\" cannot answer before this very call returns, so waiting for it would never end: do not wait for one's own lane or for a plugin that waits for this call"
                    )
                }));
            }
        }
        self.waits.insert(number, Wait { from, generation, waiter });
        Ok(number)
    }

    /// The wait is over.
    pub(super) fn end(&mut self, number: u64) {
        if let Some(Wait { from: Some(from), .. }) = self.waits.remove(&number) {
            self.forget_edge(from, number);
        }
    }

    /// Who waits on behalf of a generation.
    pub(super) fn of_generation(&self, generation: u64) -> Vec<Arc<dyn Wake>> {
        self.waits
            .values()
            .filter(|wait| wait.generation == generation)
            .filter_map(|wait| wait.waiter.clone())
            .collect()
    }

    fn forget_edge(&mut self, from: u64, number: u64) {
        if let Some(edges) = self.edges.get_mut(&from) {
            edges.retain(|(edge, _)| *edge != number);
            if edges.is_empty() {
                self.edges.remove(&from);
            }
        }
    }

    fn can_answer(&self, lane: &Arc<Lane>, seen: &mut HashSet<u64>) -> bool {
        if !seen.insert(lane.id()) {
            return false;
        }
        let (room, running) = lane.has_room();
        let waits = self.edges.get(&lane.id()).map_or(&[][..], Vec::as_slice);
        room || running as usize > waits.len() || waits.iter().any(|(_, next)| self.can_answer(next, seen))
    }
}
