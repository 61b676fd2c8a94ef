//! What expires next: a wheel of wheels, each tooth 64 times as long as one of the wheel below.
//!
//! An item hangs in the bucket of the highest digit (of base 64) in which its deadline differs from now, so adding and
//! taking away are a few writes, however many there are, and each item comes down by a wheel seven times at most. An
//! item whose deadline moves away stays where it is until its bucket is due: to write the same key again and again
//! costs the wheel nothing.
//!
//! Whether an item has expired is decided by its deadline, in nanoseconds; the wheel only finds candidates. It looks at
//! [`Slots::due`], which for an item with spans is first the moment when it is to be counted out.

use super::slots::{Cold, ENDLESS, Links, NONE, Slots};

const DIGIT: u32 = 6;
const TEETH: usize = 1 << DIGIT;

/// Enough for 2^64 nanoseconds.
const WHEELS: usize = 8;

const TICK_NS: u64 = 1_000_000;

/// In no bucket.
pub(super) const NOWHERE: u16 = u16::MAX;

pub(super) struct Wheel {
    /// In ticks: all that was due earlier is gone.
    now: u64,
    /// For each wheel, which buckets have items.
    taken: [u64; WHEELS],
    /// In nanoseconds: before that nothing is due.
    quiet_until: u64,
    /// Made when something is hung up for the first time.
    first: Option<Box<[[u32; TEETH]; WHEELS]>>,
}

impl Wheel {
    /// What it takes on the heap.
    pub(super) const BYTES: usize = size_of::<[[u32; TEETH]; WHEELS]>() + 64;

    pub(super) fn new() -> Self {
        Self { now: 0, taken: [0; WHEELS], quiet_until: ENDLESS, first: None }
    }

    /// Whether something may be due at `now`.
    #[inline]
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.quiet_until
    }

    /// Hangs it up by its deadline, if it has one. It hangs nowhere yet.
    pub(super) fn add(&mut self, slots: &mut Slots, at: u32) {
        let due = slots.due(at);
        if due == ENDLESS {
            return;
        }
        let tick = (due / TICK_NS).max(self.now);
        let wheel = (63 - (tick ^ self.now | 1).leading_zeros()) / DIGIT;
        let shift = wheel * DIGIT;
        let tooth = (tick >> shift) as usize % TEETH;
        self.quiet_until = self.quiet_until.min((tick >> shift << shift) * TICK_NS);
        let wheel = wheel as usize;
        let buckets = self.first.get_or_insert_with(|| Box::new([[NONE; TEETH]; WHEELS]));
        let first = std::mem::replace(&mut buckets[wheel][tooth], at);
        if first != NONE {
            slots.cold_mut(first).timer.before = at;
        }
        self.taken[wheel] |= 1 << tooth;
        let cold = slots.cold_mut(at);
        cold.timer = Links { before: NONE, after: first };
        cold.bucket = (wheel * TEETH + tooth) as u16;
    }

    pub(super) fn remove(&mut self, slots: &mut Slots, at: u32) {
        let cold = slots.cold_mut(at);
        let bucket = std::mem::replace(&mut cold.bucket, NOWHERE);
        if bucket == NOWHERE {
            return;
        }
        let Links { before, after } = std::mem::replace(&mut cold.timer, Links::LOOSE);
        if after != NONE {
            slots.cold_mut(after).timer.before = before;
        }
        match before {
            NONE => self.set_first(bucket, after),
            before => slots.cold_mut(before).timer.after = after,
        }
    }

    /// It is due at another time than `before`.
    #[inline]
    pub(super) fn changed(&mut self, slots: &mut Slots, at: u32, before: u64) {
        let due = slots.due(at);
        // What did not expire may hang nowhere; what did hangs somewhere, early enough for what is due later.
        if if before == ENDLESS { due != ENDLESS } else { due < before } {
            self.again(slots, at);
        }
    }

    /// Hangs it up anew.
    pub(super) fn again(&mut self, slots: &mut Slots, at: u32) {
        self.remove(slots, at);
        self.add(slots, at);
    }

    /// The item lies in slot `to` now.
    pub(super) fn moved(&mut self, slots: &mut Slots, to: u32) {
        let &Cold { timer: Links { before, after }, bucket, .. } = slots.cold(to);
        if bucket == NOWHERE {
            return;
        }
        if after != NONE {
            slots.cold_mut(after).timer.before = to;
        }
        match before {
            NONE => self.set_first(bucket, to),
            before => slots.cold_mut(before).timer.after = to,
        }
    }

    /// The next bucket in which something may be due at `now`, in nanoseconds. Whoever asks takes each item out of it,
    /// or hangs it up again.
    pub(super) fn due(&mut self, now: u64) -> Option<u16> {
        let target = (now / TICK_NS).max(self.now);
        // A bucket that the wheel stands at was not emptied the last time; what is in it comes before all else.
        for wheel in 1..WHEELS {
            let tooth = (self.now >> (wheel as u32 * DIGIT)) as usize % TEETH;
            if self.taken[wheel] >> tooth & 1 == 1 {
                return Some((wheel * TEETH + tooth) as u16);
            }
        }
        let Some(wheel) = self.taken.iter().position(|taken| *taken != 0) else {
            self.now = target;
            self.quiet_until = ENDLESS;
            return None;
        };
        let tooth = self.taken[wheel].trailing_zeros();
        let shift = wheel as u32 * DIGIT;
        let above = self.now >> shift >> DIGIT << DIGIT;
        let start = (above | u64::from(tooth)) << shift;
        if start > target {
            self.now = target;
            self.quiet_until = start * TICK_NS;
            return None;
        }
        self.now = start;
        Some((wheel * TEETH) as u16 + tooth as u16)
    }

    /// The first item of a bucket; the others follow by `timer.after`.
    pub(super) fn first(&self, bucket: u16) -> u32 {
        let (wheel, tooth) = (usize::from(bucket) / TEETH, usize::from(bucket) % TEETH);
        self.first.as_ref().map_or(NONE, |buckets| buckets[wheel][tooth])
    }

    fn set_first(&mut self, bucket: u16, at: u32) {
        let (wheel, tooth) = (usize::from(bucket) / TEETH, usize::from(bucket) % TEETH);
        if let Some(buckets) = &mut self.first {
            buckets[wheel][tooth] = at;
        }
        if at == NONE {
            self.taken[wheel] &= !(1 << tooth);
        }
    }

    #[cfg(test)]
    fn is_quiet_at(&self, due: u64) -> bool {
        due < self.quiet_until
    }

    /// How many hang in it, after a look at every bucket.
    #[cfg(test)]
    pub(super) fn count(&self, slots: &Slots) -> usize {
        let mut count = 0;
        for bucket in 0..(WHEELS * TEETH) as u16 {
            let (mut at, mut before) = (self.first(bucket), NONE);
            let taken = self.taken[usize::from(bucket) / TEETH] >> (usize::from(bucket) % TEETH) & 1 == 1;
            assert_eq!(taken, at != NONE);
            while at != NONE {
                let cold = slots.cold(at);
                assert_eq!((cold.bucket, cold.timer.before), (bucket, before));
                assert!(!self.is_quiet_at(slots.due(at)), "it is looked for in time");
                count += 1;
                (before, at) = (at, cold.timer.after);
            }
        }
        count
    }
}
