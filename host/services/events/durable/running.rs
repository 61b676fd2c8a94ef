//! The file of what is being handled: one slot of 16 bytes for each consumer, written before a handler runs and cleared after it. It is
//! never synced, for it is there for the end of the process, not of the machine: what was written survives the former anyway.
//!
//! A slot is the consumer's number, the sequence in 48 bits and the attempt in 16, all little-endian; zeros: nothing. With the attempt in
//! it, a slot that is found twice, or whose failure the log knows already, counts once.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::window::Crashed;
use crate::error::{Error, ErrorKind, Result};

const SLOT_BYTES: usize = 16;
const SEQUENCE_BITS: u32 = 48;

/// More than so many slots are of no file that was written here.
const MAX_SLOTS: u64 = 1 << 16;

/// The file, open.
pub(super) struct Running {
    file: File,
    path: PathBuf,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    free: BTreeSet<u64>,
    /// How many there are.
    count: u64,
    /// What the last process did not survive, by consumer, with its slot. More than one if what was found before could not be noted yet.
    left: HashMap<u64, Vec<(u64, Crashed)>>,
}

/// The place of one consumer in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot(u64);

impl Running {
    /// Opens the file, and reads what it says.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: it cannot be opened or read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let fail = |what: &str, error: &io::Error| {
            let text = format!("the file {} cannot be {what}: {error}", path.display());
            Error::new(ErrorKind::Unavailable, text)
                .mend("look who it belongs to and whether the disk is full")
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| fail("opened", &error))?;
        let length = file.metadata().map_err(|error| fail("read", &error))?.len();
        let count = (length / SLOT_BYTES as u64).min(MAX_SLOTS);
        let mut slots = Slots { count, ..Slots::default() };
        for at in 0..count {
            let mut slot = [0; SLOT_BYTES];
            read_at(&file, &mut slot, at * SLOT_BYTES as u64).map_err(|error| fail("read", &error))?;
            match parse(&slot) {
                Some((consumer, crashed)) => slots.left.entry(consumer).or_default().push((at, crashed)),
                None => drop(slots.free.insert(at)),
            }
        }
        Ok(Self { file, path: path.into(), slots: Mutex::new(slots) })
    }

    /// What this consumer was handling when the last process ended.
    pub(super) fn left(&self, consumer: u64) -> Vec<Crashed> {
        let slots = self.slots.lock();
        slots.left.get(&consumer).into_iter().flatten().map(|&(_, crashed)| crashed).collect()
    }

    /// That has been noted in the log.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE: it cannot be cleared.
    pub(super) fn applied(&self, consumer: u64) -> Result<()> {
        let Some(left) = self.slots.lock().left.remove(&consumer) else { return Ok(()) };
        left.into_iter().try_for_each(|(at, _)| self.release(Slot(at)))
    }

    /// The consumers that something was found of.
    pub(super) fn found(&self) -> Vec<u64> {
        self.slots.lock().left.keys().copied().collect()
    }

    /// A place for a consumer.
    pub(super) fn reserve(&self) -> Slot {
        let mut slots = self.slots.lock();
        Slot(slots.free.pop_first().unwrap_or_else(|| {
            slots.count += 1;
            slots.count - 1
        }))
    }

    /// The place is needed no more.
    pub(super) fn release(&self, slot: Slot) -> Result<()> {
        let cleared = self.clear(&slot);
        self.slots.lock().free.insert(slot.0);
        cleared
    }

    /// The consumer is about to handle this.
    pub(super) fn begin(&self, slot: &Slot, consumer: u64, crashed: Crashed) -> Result<()> {
        let mut bytes = [0; SLOT_BYTES];
        let packed = u64::from(crashed.attempt) << SEQUENCE_BITS | crashed.sequence;
        bytes[..8].copy_from_slice(&consumer.to_le_bytes());
        bytes[8..].copy_from_slice(&packed.to_le_bytes());
        self.write(slot, &bytes)
    }

    /// It is handled.
    pub(super) fn clear(&self, slot: &Slot) -> Result<()> {
        self.write(slot, &[0; SLOT_BYTES])
    }

    fn write(&self, slot: &Slot, bytes: &[u8]) -> Result<()> {
        write_at(&self.file, bytes, slot.0 * SLOT_BYTES as u64).map_err(|error| {
            let path = self.path.display();
            let text = format!(
                "the file {path} cannot be written, so a crash of a handler would not count: {error}"
            );
            Error::new(ErrorKind::Unavailable, text).mend("look whether the disk is full")
        })
    }
}

fn parse(slot: &[u8; SLOT_BYTES]) -> Option<(u64, Crashed)> {
    let (consumer, packed) = slot.split_at(8);
    let consumer = u64::from_le_bytes(consumer.try_into().ok()?);
    let packed = u64::from_le_bytes(packed.try_into().ok()?);
    let attempt = u32::try_from(packed >> SEQUENCE_BITS).ok()?;
    let sequence = packed & ((1 << SEQUENCE_BITS) - 1);
    (consumer != 0 && sequence != 0 && attempt != 0).then_some((consumer, Crashed { sequence, attempt }))
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
        read if read == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
        written if written == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_being_handled_is_found_by_the_next_process_and_only_once_after_it_is_noted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("running");
        let running = Running::open(&path).expect("it opens");
        let slots = [running.reserve(), running.reserve(), running.reserve()];
        for (at, slot) in slots.iter().enumerate() {
            let crashed = Crashed { sequence: 100 + at as u64, attempt: 1 + at as u32 };
            running.begin(slot, 7 + at as u64, crashed).expect("it is written");
        }
        running.clear(&slots[1]).expect("it is cleared");

        let next = Running::open(&path).expect("it opens again");
        assert_eq!(next.left(7), [Crashed { sequence: 100, attempt: 1 }]);
        assert_eq!(next.left(8), []);
        assert_eq!(next.left(9), [Crashed { sequence: 102, attempt: 3 }]);
        assert_eq!(next.reserve(), Slot(1), "a slot that is not cleared is not given away");
        assert_eq!(next.reserve(), Slot(3));
        next.applied(7).expect("it is cleared");
        assert_eq!(next.reserve(), Slot(0));

        let last = Running::open(&path).expect("it opens again");
        assert_eq!((last.left(7), last.left(9)), (vec![], vec![Crashed { sequence: 102, attempt: 3 }]));
    }

    #[test]
    fn a_file_of_anything_says_nothing_that_harms() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("running");
        for bytes in
            [&[][..], &[1; 7], &[0; 64], &[0xff; 47], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]
        {
            std::fs::write(&path, bytes).expect("it is written");
            let running = Running::open(&path).expect("it opens");
            let slot = running.reserve();
            running.begin(&slot, 1, Crashed { sequence: 2, attempt: 3 }).expect("it is written");
            assert_eq!(
                Running::open(&path).expect("it opens").left(1),
                [Crashed { sequence: 2, attempt: 3 }]
            );
        }
    }
}
