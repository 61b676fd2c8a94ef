//! An original while it is copied: opened once, judged by what was opened, and only taken if it stood still.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

use crate::{
    error::{Error, ErrorKind, Result},
    plugin::{inspect::io as failed, ownership::TrustPolicy},
};

pub(super) struct Original<'p> {
    file: File,
    path: &'p Path,
    before: Metadata,
}

impl<'p> Original<'p> {
    /// Judges an open regular file. A link to it is allowed: what counts is the file that was opened.
    pub(super) fn open(
        file: File,
        path: &'p Path,
        policy: &TrustPolicy,
        warnings: &mut Vec<Error>,
    ) -> Result<Self> {
        let before = file.metadata().map_err(|error| failed(path, &error))?;
        warnings.extend(policy.check(path, &before)?);
        Ok(Self { file, path, before })
    }

    pub(super) fn size(&self) -> u64 {
        self.before.len()
    }

    /// Is it the file that this metadata was of?
    pub(super) fn is(&self, other: &Metadata) -> bool {
        same_file(&self.before, other)
    }

    /// It may not be copied if it has more bytes than this.
    pub(super) fn check_size(&self, most: u64) -> Result<()> {
        if self.size() > most {
            let what =
                format!("{} has {} bytes, at most {most} are allowed here", self.path.display(), self.size());
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(())
    }

    /// Copies it to a new file, which is readable by this user only, and answers that.
    pub(super) fn copy_to(&self, to: &Path, most: u64) -> Result<File> {
        self.check_size(most)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut copy = options.open(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let what = format!("{} is there already, from another generation", to.display());
                Error::new(ErrorKind::Conflict, what).mend("give each host a private folder of its own")
            }
            _ => cannot_copy(self.path, to, &error),
        })?;
        let done = self.fill(&mut copy, to);
        if done.is_err() {
            // Nobody else knows of it yet.
            let _ = fs::remove_file(to);
        }
        done.map(|()| copy)
    }

    fn fill(&self, copy: &mut File, to: &Path) -> Result<()> {
        // One byte more than there should be, to see a file that grows; the kernel copies without us, where it can.
        let copied = io::copy(&mut (&self.file).take(self.size() + 1), copy)
            .map_err(|error| cannot_copy(self.path, to, &error))?;
        if copied != self.size() {
            return Err(changed(self.path));
        }
        self.check_still()
    }

    /// Size, time and place are what they were when it was opened: nobody wrote to it or put another in its place.
    pub(super) fn check_still(&self) -> Result<()> {
        let after = self.file.metadata().map_err(|error| failed(self.path, &error))?;
        let named = fs::metadata(self.path).map_err(|_| changed(self.path))?;
        let modified = |metadata: &Metadata| metadata.modified().ok();
        let still = after.len() == self.before.len()
            && modified(&after) == modified(&self.before)
            && same_file(&named, &self.before);
        if still { Ok(()) } else { Err(changed(self.path)) }
    }
}

pub(super) fn changed(path: &Path) -> Error {
    let what = format!("{} changed while it was copied", path.display());
    Error::new(ErrorKind::Unavailable, what).mend("it is being written, try again when it is complete")
}

fn cannot_copy(from: &Path, to: &Path, error: &io::Error) -> Error {
    let what = format!("{} cannot be copied to {}: {error}", from.display(), to.display());
    super::mended(Error::new(ErrorKind::Unavailable, what), error)
}

#[cfg(unix)]
fn same_file(one: &Metadata, two: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (two.dev(), two.ino())
}

#[cfg(not(unix))]
fn same_file(one: &Metadata, two: &Metadata) -> bool {
    one.created().ok() == two.created().ok() && one.len() == two.len()
}
