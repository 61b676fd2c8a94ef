//! The table of contexts: the only global state of the library, since a bare `u64` must find its host.
//!
//! A context is 16 bits of slot and 48 bits of tag. The tag is a keyed permutation of a sequence, so it does not
//! repeat (the sequence wraps after 2^48 contexts) and cannot be guessed from another. A slot has one owner
//! (a worker, a generation, a held context) and needs no lock: the tag works as the counter of a seqlock. The owner clears
//! it, writes the fields, and sets the new one; a reader that sees the same tag before and after has read fields
//! that belong together, and since tags do not repeat, "the same" cannot be a later context.
//!
//! After a `fork` the child finds the table empty, so every context is stale there.

use std::{
    hash::{BuildHasher, RandomState},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicU64, Ordering::*, fence},
    },
};

use parking_lot::Mutex;

use super::{Grants, Tenant};

/// What a context stands for. All of it is copied out of the table.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    /// The host's record of the plugin.
    pub(crate) record: RecordKey,
    /// What the plugin is called and may do.
    pub(crate) grants: &'static Grants,
    /// Which copy of the plugin.
    pub(crate) generation: u64,
    /// On whose behalf, a number below 2^48; see `Tenants` for the name.
    pub(crate) tenant: u64,
    /// Where its calls are counted.
    pub(crate) account: u16,
    /// Where the generation keeps its phase.
    pub(crate) seat: u16,
    /// Whether the context ends with a call.
    pub(crate) call: bool,
    /// How many events led to this call.
    pub(crate) depth: u16,
    /// The worker that runs the call, plus one; 0: none.
    pub(crate) worker: u32,
    /// Until when the caller waits, in milliseconds of the host's monotonic clock; `i64::MAX`: nobody waits.
    pub(crate) deadline: i64,
}

/// The address of a host's record of a plugin, known by type only to the boundary.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordKey(ptr::NonNull<()>);

// SAFETY: the key is made from a `&'static T` with `T: Sync` and is only an address until the boundary turns it
// back into that reference.
unsafe impl Send for RecordKey {}
// SAFETY: as for `Send`.
unsafe impl Sync for RecordKey {}

impl RecordKey {
    pub(crate) fn of<T: Sync>(record: &'static T) -> Self {
        Self(ptr::NonNull::from(record).cast())
    }

    pub(crate) fn as_ptr<T>(self) -> *const T {
        self.0.as_ptr().cast()
    }
}

const SLOTS: usize = 1 << 16;
/// How many slots held contexts must leave, so that no plugin can keep a host from working.
const RESERVED: usize = 8192;
const TAG_BITS: u32 = 48;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// One context, on a cache line of its own.
#[repr(align(64))]
struct Line {
    /// The whole context value; 0: none.
    tag: AtomicU64,
    record: AtomicPtr<()>,
    grants: AtomicPtr<Grants>,
    generation: AtomicU64,
    /// Account and tenant, packed.
    behalf: AtomicU64,
    /// Seat, depth, call flag and worker, packed.
    packed: AtomicU64,
    deadline: AtomicU64,
}

/// Page-aligned and of whole pages, so that the advice to wipe it on fork touches nothing else.
#[repr(align(4096))]
struct Table([Line; SLOTS]);

static TABLE: Table = Table(
    [const {
        Line {
            tag: AtomicU64::new(0),
            record: AtomicPtr::new(ptr::null_mut()),
            grants: AtomicPtr::new(ptr::null_mut()),
            generation: AtomicU64::new(0),
            behalf: AtomicU64::new(0),
            packed: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
        }
    }; SLOTS],
);

/// Which slots are free. Slots that were never used are above `fresh`.
struct Free {
    returned: Vec<u16>,
    fresh: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free { returned: Vec::new(), fresh: 0 });
static SEQUENCE: AtomicU64 = AtomicU64::new(0);
static KEYS: OnceLock<[u64; 3]> = OnceLock::new();

/// How many numbers of the sequence an owner takes at a time.
const BLOCK: u64 = 256;

/// A slot and its owner's share of the sequence. Dropping it ends the context and gives the slot back.
pub(crate) struct Slot {
    index: u16,
    next: u64,
    end: u64,
}

impl Slot {
    /// Takes a free slot; `None` if all 65,536 are in use.
    pub(crate) fn take() -> Option<Self> {
        Self::take_leaving(0)
    }

    /// Takes a free slot for a plugin that holds it; the last ones are left for workers and generations.
    pub(crate) fn take_held() -> Option<Self> {
        Self::take_leaving(RESERVED)
    }

    fn take_leaving(reserved: usize) -> Option<Self> {
        let mut free = FREE.lock();
        if free.fresh - free.returned.len() + reserved >= SLOTS {
            return None;
        }
        let index = match free.returned.pop() {
            Some(index) => index,
            None if free.fresh < SLOTS => {
                if free.fresh == 0 {
                    wipe_on_fork();
                }
                free.fresh += 1;
                (free.fresh - 1) as u16
            }
            None => return None,
        };
        Some(Self { index, next: 0, end: 0 })
    }

    /// Starts a context for `scope` and ends the slot's previous one.
    #[inline]
    pub(crate) fn open(&mut self, scope: &Scope) -> u64 {
        if self.next == self.end {
            self.next = SEQUENCE.fetch_add(BLOCK, Relaxed);
            self.end = self.next + BLOCK;
        }
        let mut tag = permute(self.next);
        self.next += 1;
        if tag == 0 {
            // One number of the sequence maps to 0, which no context may have; its neighbour does not.
            tag = permute(SEQUENCE.fetch_add(1, Relaxed));
        }
        let ctx = tag << 16 | u64::from(self.index);
        let line = &TABLE.0[usize::from(self.index)];
        line.tag.store(0, Relaxed);
        fence(Release);
        line.record.store(scope.record.0.as_ptr(), Relaxed);
        line.grants.store(ptr::from_ref(scope.grants).cast_mut(), Relaxed);
        line.generation.store(scope.generation, Relaxed);
        line.behalf.store(scope.tenant << 16 | u64::from(scope.account), Relaxed);
        line.packed.store(pack(scope), Relaxed);
        line.deadline.store(scope.deadline as u64, Relaxed);
        line.tag.store(ctx, Release);
        ctx
    }

    /// Ends the slot's context. Calls that have already looked it up are finished.
    #[inline]
    pub(crate) fn close(&mut self) {
        TABLE.0[usize::from(self.index)].tag.store(0, Release);
    }

    /// Names the worker that runs a function under this context, which lives on; `None` when that has ended.
    pub(crate) fn set_worker(&mut self, worker: Option<u32>) {
        let line = &TABLE.0[usize::from(self.index)];
        let packed = line.packed.load(Relaxed) & !(u64::from(u32::MAX) << 32);
        line.packed.store(packed | u64::from(worker.map_or(0, |worker| worker + 1)) << 32, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.close();
        FREE.lock().returned.push(self.index);
    }
}

/// What `ctx` stands for, or nothing. No lock, no shared counter.
#[inline]
pub(crate) fn look_up(ctx: u64) -> Option<Scope> {
    let line = &TABLE.0[(ctx & 0xffff) as usize];
    if line.tag.load(Acquire) != ctx || ctx >> 16 == 0 {
        return None;
    }
    let record = line.record.load(Relaxed);
    let grants = line.grants.load(Relaxed);
    let generation = line.generation.load(Relaxed);
    let behalf = line.behalf.load(Relaxed);
    let packed = line.packed.load(Relaxed);
    let deadline = line.deadline.load(Relaxed);
    fence(Acquire);
    if line.tag.load(Relaxed) != ctx {
        return None;
    }
    // SAFETY: the tag was the same before and after, so these are the pointers that `open` stored for this very
    // context, from a `NonNull` and from a `&'static Grants`: neither is null.
    let (record, grants) = unsafe { (ptr::NonNull::new_unchecked(record), &*grants) };
    Some(Scope {
        record: RecordKey(record),
        grants,
        generation,
        tenant: behalf >> 16,
        account: behalf as u16,
        seat: packed as u16,
        depth: (packed >> 16) as u16 & 0x7fff,
        call: packed >> 31 & 1 == 1,
        worker: (packed >> 32) as u32,
        deadline: deadline as i64,
    })
}

/// Marks that the caller of the call under `ctx` waits no longer. The caller of this function sees to it that the
/// call cannot end meanwhile, or the mark could land on its slot's next context.
pub(crate) fn expire(ctx: u64) {
    let line = &TABLE.0[(ctx & 0xffff) as usize];
    if line.tag.load(Acquire) == ctx {
        line.deadline.store(0, Relaxed);
    }
}

/// A number for a handle that is looked up elsewhere (a registration, a logger): never 0, does not repeat, cannot be guessed.
pub(crate) fn next_handle() -> u64 {
    loop {
        let number = permute(SEQUENCE.fetch_add(1, Relaxed));
        if number != 0 {
            return number << 16 | 0xffff;
        }
    }
}

fn pack(scope: &Scope) -> u64 {
    u64::from(scope.seat)
        | u64::from(scope.depth & 0x7fff) << 16
        | u64::from(scope.call) << 31
        | u64::from(scope.worker) << 32
}

/// A bijection of the 48-bit numbers under this process's secret keys: odd factors and xor-shifts.
#[inline]
fn permute(sequence: u64) -> u64 {
    let [offset, first, second] = *KEYS.get_or_init(|| {
        let random = RandomState::new();
        [0_u64, 1, 2].map(|word| random.hash_one(word))
    });
    let mut x = (sequence ^ offset) & TAG_MASK;
    x = x.wrapping_mul(first | 1) & TAG_MASK;
    x ^= x >> 23;
    x = x.wrapping_mul(second | 1) & TAG_MASK;
    x ^ x >> 25
}

/// Asks the kernel to hand a forked child zeroes in place of the table.
#[cfg(target_os = "linux")]
fn wipe_on_fork() {
    let start = ptr::from_ref(&TABLE).cast_mut().cast();
    // SAFETY: the range is exactly the table's own pages (it is page-aligned and a multiple of a page long);
    // the advice changes nothing in this process.
    let done = unsafe { libc::madvise(start, size_of::<Table>(), libc::MADV_WIPEONFORK) };
    if done != 0 {
        clear_in_child();
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn wipe_on_fork() {
    clear_in_child();
}

/// There is no fork.
#[cfg(not(unix))]
fn wipe_on_fork() {}

/// Where the kernel cannot wipe: the child clears the tags itself, first thing after the fork.
#[cfg(unix)]
fn clear_in_child() {
    extern "C" fn clear() {
        for line in &TABLE.0 {
            line.tag.store(0, Relaxed);
        }
    }
    // SAFETY: the handler only stores to atomics, which is async-signal-safe, and lives as long as the process.
    unsafe { libc::pthread_atfork(None, None, Some(clear)) };
}

/// The scope of a plugin's own context: the system scope, no call, no deadline.
impl Scope {
    pub(crate) fn own(
        record: RecordKey,
        grants: &'static Grants,
        generation: u64,
        seat: u16,
        account: u16,
    ) -> Self {
        Self {
            record,
            grants,
            generation,
            tenant: Tenant::SYSTEM,
            account,
            seat,
            call: false,
            depth: 0,
            worker: 0,
            deadline: i64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::atomic::AtomicBool, thread};

    use super::*;
    use crate::identity::Permits;

    fn scope(generation: u64) -> Scope {
        static RECORD: u8 = 0;
        let grants = Grants::intern("probe", "1.0.0", Permits::default());
        Scope::own(RecordKey::of(&RECORD), grants, generation, 7, 11)
    }

    #[test]
    fn contract_1_a_context_finds_its_scope_until_it_ends() {
        let mut slot = Slot::take().expect("a slot is free");
        let ctx = slot.open(&Scope { tenant: 5, depth: 3, call: true, worker: 9, deadline: 77, ..scope(42) });
        let found = look_up(ctx).expect("the context lives");
        assert_eq!((found.generation, found.tenant, found.seat, found.account), (42, 5, 7, 11));
        assert_eq!((found.depth, found.call, found.worker, found.deadline), (3, true, 9, 77));
        assert_eq!(found.grants.plugin(), "probe");
        slot.close();
        assert!(look_up(ctx).is_none());
        let next = slot.open(&scope(43));
        assert_ne!(ctx, next);
        assert!(look_up(ctx).is_none() && look_up(next).is_some());
    }

    #[test]
    fn zero_and_what_was_never_given_out_are_stale() {
        let mut slot = Slot::take().expect("a slot is free");
        let ctx = slot.open(&scope(1));
        assert!(look_up(0).is_none());
        for bit in 0..64 {
            assert!(look_up(ctx ^ 1 << bit).is_none(), "bit {bit} of a context can be flipped");
        }
    }

    #[test]
    fn tags_do_not_repeat() {
        let seen: HashSet<u64> = (0..200_000).map(permute).collect();
        assert_eq!(seen.len(), 200_000);
    }

    #[test]
    fn a_worker_can_be_named_and_a_deadline_expired_while_the_context_lives() {
        let mut slot = Slot::take().expect("a slot is free");
        let ctx = slot.open(&Scope { seat: 3, depth: 9, ..scope(1) });
        slot.set_worker(Some(0));
        assert_eq!(look_up(ctx).map(|scope| (scope.worker, scope.seat, scope.depth)), Some((1, 3, 9)));
        slot.set_worker(None);
        assert_eq!(look_up(ctx).map(|scope| scope.worker), Some(0));
        expire(ctx);
        assert_eq!(look_up(ctx).map(|scope| scope.deadline), Some(0));
    }

    /// Readers never see the fields of one context under the tag of another.
    #[test]
    fn fields_are_never_torn() {
        let mut slot = Slot::take().expect("a slot is free");
        let (current, over) = (AtomicU64::new(0), AtomicBool::new(false));
        thread::scope(|threads| {
            threads.spawn(|| {
                for number in 1..300_000 {
                    let ctx = slot.open(&Scope { tenant: number, deadline: number as i64, ..scope(number) });
                    current.store(ctx, Relaxed);
                }
                over.store(true, Relaxed);
            });
            threads.spawn(|| {
                while !over.load(Relaxed) {
                    if let Some(scope) = look_up(current.load(Relaxed)) {
                        assert_eq!(scope.generation, scope.tenant);
                        assert_eq!(scope.generation, scope.deadline as u64);
                    }
                }
            });
        });
    }
}
