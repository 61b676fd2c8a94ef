//! Bounded reading of a file that nobody trusts yet: only what is asked for, never past its end, never more than
//! a stated size. Nothing is mapped, because a mapped file that shrinks is a SIGBUS.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};

/// So much is read at once: most plugins whole, of the others the headers.
pub(in crate::plugin) const HEAD: u64 = 32 * 1024;

/// What is wrong with a file, before it is said of which.
#[derive(Debug)]
pub(in crate::plugin) struct Flaw {
    kind: ErrorKind,
    what: String,
    mend: Option<String>,
}

impl Flaw {
    /// `what` goes on after the file's path: `is not …`, `has …`.
    pub(in crate::plugin) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), mend: None }
    }

    pub(in crate::plugin) fn invalid(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, what)
    }

    pub(in crate::plugin) fn truncated(what: &str, end: u64, len: u64) -> Self {
        Self::invalid(format!("is truncated: {what} ends at byte {end}, the file has {len}"))
            .mend("build or copy it again")
    }

    pub(in crate::plugin) fn damaged(what: &str) -> Self {
        Self::invalid(format!("is damaged: {what}")).mend("build or copy it again")
    }

    #[must_use]
    pub(in crate::plugin) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    pub(in crate::plugin) fn of(self, path: &Path) -> Error {
        let error = Error::new(self.kind, format!("{} {}", path.display(), self.what));
        match self.mend {
            Some(mend) => error.mend(mend),
            None => error,
        }
    }
}

/// An open file, or a part of one (a universal binary has several in one file).
pub(in crate::plugin) struct Source<'f> {
    file: &'f File,
    start: u64,
    len: u64,
    head: Vec<u8>,
}

impl<'f> Source<'f> {
    /// The `len` bytes of `file` from `start` on; reads the head.
    pub(in crate::plugin) fn new(file: &'f File, start: u64, len: u64) -> Result<Self, Flaw> {
        let mut head = vec![0; usize::try_from(len.min(HEAD)).expect("the head is small")];
        read_at(file, &mut head, start)?;
        Ok(Self { file, start, len, head })
    }

    pub(in crate::plugin) fn len(&self) -> u64 {
        self.len
    }

    /// The first bytes: all of a small file.
    pub(in crate::plugin) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The SHA-256 of all of it; what is small was read whole already.
    pub(in crate::plugin) fn sha256(&self) -> io::Result<[u8; 32]> {
        if self.head.len() as u64 == self.len {
            return Ok(Sha256::digest(&self.head).into());
        }
        let mut file = self.file;
        file.seek(SeekFrom::Start(self.start))?;
        let mut rest = file.take(self.len);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match rest.read(&mut buffer)? {
                // It has become shorter since its size was asked.
                0 if rest.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                0 => return Ok(hasher.finalize().into()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }

    /// Another part of the same file, in this one's offsets.
    pub(in crate::plugin) fn part(&self, what: &str, offset: u64, len: u64) -> Result<Source<'f>, Flaw> {
        self.holds(what, offset, len)?;
        Source::new(self.file, self.start + offset, len)
    }

    /// Does the range lie inside the file?
    pub(in crate::plugin) fn holds(&self, what: &str, offset: u64, size: u64) -> Result<u64, Flaw> {
        let end = offset.saturating_add(size);
        if end > self.len { Err(Flaw::truncated(what, end, self.len)) } else { Ok(end) }
    }

    /// The `size` bytes at `offset`; `most` bounds what a forged size can make the host allocate.
    pub(in crate::plugin) fn at(
        &self,
        what: &str,
        offset: u64,
        size: u64,
        most: u64,
    ) -> Result<Cow<'_, [u8]>, Flaw> {
        let end = self.holds(what, offset, size)?;
        if size > most {
            let text = format!("has {size} bytes of {what}, at most {most} are read");
            return Err(Flaw::new(ErrorKind::TooLarge, text));
        }
        if end <= self.head.len() as u64 {
            return Ok(Cow::Borrowed(&self.head[offset as usize..end as usize]));
        }
        let mut bytes = vec![0; size as usize];
        read_at(self.file, &mut bytes, self.start + offset)?;
        Ok(Cow::Owned(bytes))
    }

    /// The bytes from `offset` up to a NUL, at most `most` of them.
    pub(in crate::plugin) fn text_at(&self, offset: u64, most: u64) -> Result<String, Flaw> {
        let left = self.len.saturating_sub(offset).min(most);
        Ok(text_in(&self.at("a name", offset, left, most)?, 0))
    }
}

/// The text at `offset` of a table of strings, up to its NUL; empty if it lies outside.
pub(in crate::plugin) fn text_in(table: &[u8], offset: usize) -> String {
    let rest = table.get(offset..).unwrap_or_default();
    let rest = &rest[..rest.len().min(1024)];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    String::from_utf8_lossy(&rest[..end]).into_owned()
}

/// A little number in `bytes`; 0 where they end, for the lengths were checked or do not matter.
pub(in crate::plugin) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..offset + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

pub(in crate::plugin) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

pub(in crate::plugin) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> Result<(), Flaw> {
    #[cfg(unix)]
    let done = std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    let done = {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes))
    };
    done.map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Flaw::new(ErrorKind::Unavailable, "became shorter while it was read")
                .mend("it is being written, try again when it is complete")
        }
        _ => Flaw::new(ErrorKind::Unavailable, format!("cannot be read: {error}")),
    })
}
