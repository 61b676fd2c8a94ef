//! The jobs by their names. The table holds nothing but a pointer for each: the names are the jobs' own.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::quality::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::job::Job;

/// A job's name, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Named<'a> {
    /// A plugin's id, or `application`.
    pub(crate) plugin: &'a str,
    /// The tenant on whose behalf it runs; none: the system scope.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) name: &'a str,
}

impl Named<'_> {
    /// A part of `most`, 0 to `most`, that is the same for this name in every process and on every machine.
    pub(super) fn part_of(&self, most: i64) -> i64 {
        if most <= 0 {
            return 0;
        }
        // FNV-1a, each part with its length, so that no two names run into each other; then stirred, for its high bits are weak.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for part in [self.plugin, self.tenant.unwrap_or_default(), self.name] {
            for byte in (part.len() as u64).to_le_bytes().into_iter().chain(part.bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((hash >> 1) % (most as u64 + 1)) as i64
    }
}

#[derive(Default)]
pub(super) struct Names {
    jobs: HashTable<Arc<Job>>,
    random: RandomState,
}

impl Names {
    pub(super) fn get(&self, named: &Named<'_>) -> Option<&Arc<Job>> {
        self.jobs.find(self.random.hash_one(named), |job| job.named() == *named)
    }

    /// Takes a job in; gives back the one that had the name.
    pub(super) fn insert(&mut self, job: Arc<Job>) -> Option<Arc<Job>> {
        let random = &self.random;
        let hash = random.hash_one(job.named());
        let same = |other: &Arc<Job>| other.named() == job.named();
        match self.jobs.entry(hash, same, |job| random.hash_one(job.named())) {
            Entry::Occupied(mut entry) => Some(std::mem::replace(entry.get_mut(), job)),
            Entry::Vacant(entry) => {
                entry.insert(job);
                None
            }
        }
    }

    /// Takes this very job out; false if its name is another's, or nobody's.
    pub(super) fn remove(&mut self, job: &Arc<Job>) -> bool {
        let hash = self.random.hash_one(job.named());
        let entry = self.jobs.find_entry(hash, |other| Arc::ptr_eq(other, job));
        entry.map(|entry| entry.remove()).is_ok()
    }

    /// All, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> Vec<Arc<Job>> {
        std::mem::take(&mut self.jobs).into_iter().collect()
    }
}
