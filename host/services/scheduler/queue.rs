//! What is due next, by one clock: jobs in the order of their due times.
//!
//! Jobs that are due together stand in one bucket, in the order in which they came, so a million jobs of a hundred rules
//! make a hundred entries of a map. A job knows its place, and leaves it at once when it ends: nothing has to be swept up.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::job::Job;

pub(super) struct Queue<K>(BTreeMap<K, Bucket>);

/// Mostly one job where due times are by the monotonic clock, and many where they are by rules.
enum Bucket {
    One(Arc<Job>),
    Many(Box<Many>),
}

struct Many {
    jobs: VecDeque<Arc<Job>>,
    /// The number of the one in front; they are counted round and round.
    first: u32,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Queue<K> {
    /// Takes a job in; tells its number among those of this due time.
    pub(super) fn push(&mut self, key: K, job: Arc<Job>) -> u32 {
        match self.0.get_mut(&key) {
            None => {
                self.0.insert(key, Bucket::One(job));
                0
            }
            Some(Bucket::Many(many)) => {
                many.jobs.push_back(job);
                many.first.wrapping_add(many.jobs.len() as u32 - 1)
            }
            Some(bucket) => {
                let Bucket::One(other) = bucket else { unreachable!("looked at above") };
                let jobs = VecDeque::from([Arc::clone(other), job]);
                *bucket = Bucket::Many(Box::new(Many { jobs, first: 0 }));
                1
            }
        }
    }

    /// Takes a job out of its place. Another one may move there: that is given back, to be told its number, which is this one.
    pub(super) fn remove(&mut self, key: K, number: u32) -> Option<Arc<Job>> {
        let bucket = self.0.get_mut(&key)?;
        let Bucket::Many(many) = bucket else {
            self.0.remove(&key);
            return None;
        };
        let at = number.wrapping_sub(many.first) as usize;
        many.jobs.swap_remove_back(at);
        if many.jobs.is_empty() {
            self.0.remove(&key);
            return None;
        }
        many.jobs.get(at).cloned()
    }

    /// Takes the first job out if it is due by `until`.
    pub(super) fn pop(&mut self, until: K) -> Option<(K, Arc<Job>)> {
        let mut first = self.0.first_entry().filter(|first| *first.key() <= until)?;
        let key = *first.key();
        if let Bucket::Many(many) = first.get_mut() {
            let job = many.jobs.pop_front()?;
            many.first = many.first.wrapping_add(1);
            if many.jobs.is_empty() {
                first.remove();
            }
            return Some((key, job));
        }
        let Bucket::One(job) = first.remove() else { unreachable!("looked at above") };
        Some((key, job))
    }

    /// When the first one is due.
    pub(super) fn first(&self) -> Option<K> {
        self.0.first_key_value().map(|(key, _)| *key)
    }

    /// Takes all out, in no order.
    pub(super) fn drain(&mut self) -> Vec<Arc<Job>> {
        let mut jobs = Vec::new();
        for bucket in std::mem::take(&mut self.0).into_values() {
            match bucket {
                Bucket::One(job) => jobs.push(job),
                Bucket::Many(many) => jobs.extend(many.jobs),
            }
        }
        jobs
    }
}
