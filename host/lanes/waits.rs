//! Who waits for whom: refuses a wait that only the waiter itself could end, before it begins.
//!
//! A call that waits occupies a place in its own lane until all that it waits for has come. A lane has a place for
//! one more task if one is free, or when one of the calls that occupy it returns; for a task that runs alone, or
//! behind one, all of them have to return. A call returns if it does not wait, or if everything that it waits for
//! can come. What cannot be shown to end in this way is a circle. Every circle is closed by the last of its waits,
//! and that one is refused.

use std::{collections::HashMap, sync::Arc};

use super::{
    lane::{Lane, Occupied},
    pending::Wake,
    worker::Place,
};
use crate::error::{Error, ErrorKind, Result};

/// What is waited for in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// A task of its queue.
    Queued,
    /// A task that runs when nothing else does.
    Alone,
}

/// The waits of a pool's calls. Under the pool's lock for waits, which is taken before any lane's.
#[derive(Default)]
pub(super) struct Waits {
    last: u64,
    waits: HashMap<u64, Wait>,
    /// By the lane that is occupied: its calls that wait, by their worker, and what for.
    calls: HashMap<u64, HashMap<Place, Vec<Goal>>>,
}

struct Wait {
    from: Option<(u64, Place)>,
    generation: u64,
    /// None: it cannot be woken, and its own deadline ends it.
    waiter: Option<Arc<dyn Wake>>,
}

/// One thing that a call waits for.
#[derive(Clone)]
struct Goal {
    wait: u64,
    lane: Arc<Lane>,
    turn: Turn,
}

/// A goal as a circle is looked for.
struct Node {
    key: (u64, Turn),
    lane: Occupied,
    /// For each call of the lane that waits: the nodes that it waits for.
    calls: Vec<Vec<usize>>,
    comes: bool,
}

impl Waits {
    /// Notes that the call at `from` (its lane and its worker; none: no call) of `generation` will wait for a turn in
    /// `lane`. REENTRANT if it would wait for itself.
    pub(super) fn begin(
        &mut self,
        from: Option<(u64, Place)>,
        lane: &Arc<Lane>,
        turn: Turn,
        generation: u64,
        waiter: Option<Arc<dyn Wake>>,
    ) -> Result<u64> {
        self.last += 1;
        let wait = self.last;
        self.waits.insert(wait, Wait { from, generation, waiter });
        if let Some((occupied, place)) = from {
            let goal = Goal { wait, lane: lane.clone(), turn };
            self.calls.entry(occupied).or_default().entry(place).or_default().push(goal.clone());
            if !self.can_come(&goal) {
                self.end(wait);
                let name = lane.name().clone();
                return Err(Error::lazy(ErrorKind::Reentrant, move || {
                    format!(
                        "plugin \"{name}\" cannot answer before this very call returns, so waiting for it would never end: do not wait for one's own lane or for a plugin that waits for this call"
                    )
                }));
            }
        }
        Ok(wait)
    }

    /// The wait is over.
    pub(super) fn end(&mut self, wait: u64) {
        let Some(Wait { from: Some((occupied, place)), .. }) = self.waits.remove(&wait) else { return };
        let Some(calls) = self.calls.get_mut(&occupied) else { return };
        if let Some(goals) = calls.get_mut(&place) {
            goals.retain(|goal| goal.wait != wait);
            if goals.is_empty() {
                calls.remove(&place);
            }
        }
        if calls.is_empty() {
            self.calls.remove(&occupied);
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

    /// How many waits are under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waits.len()
    }

    fn can_come(&self, goal: &Goal) -> bool {
        let mut nodes = Vec::new();
        self.reach(goal, &mut nodes);
        // Those found last depend on nobody or on those found before, so that a chain is settled in one round.
        loop {
            let mut settled = true;
            for at in (0..nodes.len()).rev() {
                if !nodes[at].comes && nodes[at].can_come(&nodes) {
                    nodes[at].comes = true;
                    settled = false;
                }
            }
            if nodes[0].comes || settled {
                return nodes[0].comes;
            }
        }
    }

    /// The node of `goal`, with all that it depends on.
    fn reach(&self, goal: &Goal, nodes: &mut Vec<Node>) -> usize {
        let key = (goal.lane.id(), goal.turn);
        if let Some(at) = nodes.iter().position(|node| node.key == key) {
            return at;
        }
        let at = nodes.len();
        nodes.push(Node { key, lane: goal.lane.occupied(), calls: Vec::new(), comes: false });
        let calls = self.calls.get(&key.0);
        let calls = calls.into_iter().flat_map(HashMap::values);
        // A wait that was answered stays here until its thread has woken up; it holds nobody up.
        let mut reach = |goals: &Vec<Goal>| {
            let goals = goals.iter().filter(|goal| !self.is_over(goal.wait));
            goals.map(|goal| self.reach(goal, nodes)).collect()
        };
        let calls = calls.map(&mut reach).collect();
        nodes[at].calls = calls;
        at
    }

    fn is_over(&self, wait: u64) -> bool {
        let waiter = self.waits.get(&wait).and_then(|wait| wait.waiter.as_ref());
        waiter.is_some_and(|waiter| waiter.is_over())
    }
}

impl Node {
    fn can_come(&self, nodes: &[Node]) -> bool {
        let returns = |goals: &Vec<usize>| goals.iter().all(|goal| nodes[*goal].comes);
        if self.key.1 == Turn::Alone || self.lane.alone_waits {
            return self.calls.iter().all(returns);
        }
        self.lane.has_room || self.lane.running > self.calls.len() || self.calls.iter().any(returns)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lanes::{LaneOptions, Pending, Pool, PoolOptions, Report, Run, Task};

    struct Nobody;

    impl Report for Nobody {
        fn stuck(&self, _: &Arc<Lane>, _: &str, _: Duration) {}
        fn resumed(&self, _: &Arc<Lane>, _: &str) {}
        fn failed(&self, _: &str, _: &str) {}
    }

    struct Nothing;

    impl Task for Nothing {
        fn run(&self, _: &mut Run<'_>) {}

        fn describe(&self) -> String {
            "nothing".into()
        }
    }

    /// A lane with one call that runs, on no thread: its pool is gone.
    fn busy(name: &str) -> Arc<Lane> {
        let pool = Pool::new(PoolOptions::default(), Arc::new(Nobody));
        let deadline = Duration::from_secs(60);
        let lane = Lane::new(&pool, LaneOptions { name: name.into(), concurrency: 1, capacity: 4, deadline });
        drop(pool);
        lane.push(Arc::new(Nothing)).expect("there is room");
        assert!(lane.begin(true).is_some());
        lane
    }

    /// A waits for C, which has answered and goes on with a call that waits for A; A's thread is late to notice.
    #[test]
    fn contract_60_a_wait_that_was_answered_closes_no_circle() {
        let (a, c) = (busy("a"), busy("c"));
        let (from_a, from_c) = ((a.id(), Place::default()), (c.id(), Place::default()));
        let mut waits = Waits::default();
        let (pending, promise) = Pending::<()>::pair();
        let first = waits.begin(Some(from_a), &c, Turn::Queued, 1, Some(pending)).expect("c is at work");
        let circle = waits.begin(Some(from_c), &a, Turn::Queued, 2, None).map_err(|error| error.kind());
        assert_eq!(circle, Err(ErrorKind::Reentrant));
        promise.finish(()).expect("a waits");
        let second = waits.begin(Some(from_c), &a, Turn::Queued, 2, None).expect("a is about to go on");
        waits.end(first);
        waits.end(second);
        assert!(waits.calls.is_empty() && waits.waits.is_empty());
    }
}
