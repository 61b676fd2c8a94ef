//! A file that is written beside its place, for this user alone, and takes its name when all of it is on disk: what is there under the
//! name is whole. Exports and backups are made so.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::error::{Error, ErrorKind, Result};

/// A file on its way to its place. Leaves nothing behind if it is dropped before its end.
pub(in crate::services) struct PartFile {
    target: PathBuf,
    overwrite: bool,
    /// None: it has become the target.
    part: Option<PathBuf>,
}

impl PartFile {
    /// Makes the file. CONFLICT: there is something at its place, which is not to be replaced (`overwrite`) or is no file.
    pub(in crate::services) fn begin(target: &Path, overwrite: bool) -> Result<(Self, File)> {
        let target = std::path::absolute(target).map_err(|error| unusable(target, "written", &error))?;
        if !overwrite && target.symlink_metadata().is_ok() {
            return Err(taken(&target));
        }
        // A folder, a device, a pipe: a file that took its place would not be what anybody meant.
        if target.metadata().is_ok_and(|is| !is.is_file()) {
            let text = format!("{} cannot be written: it is no file", target.display());
            return Err(Error::new(ErrorKind::Conflict, text).mend("name another one"));
        }
        let (part, file) = make_beside(&target)?;
        Ok((Self { target, overwrite, part: Some(part) }, file))
    }

    /// Where it is to be.
    pub(in crate::services) fn target(&self) -> &Path {
        &self.target
    }

    /// Where it is now.
    pub(in crate::services) fn path(&self) -> &Path {
        self.part.as_deref().unwrap_or(&self.target)
    }

    /// Gives the file, which is open as `file` and whole, its name when it is on disk.
    pub(in crate::services) fn finish(mut self, file: &File) -> Result<PathBuf> {
        file.sync_all().map_err(|error| unusable(&self.target, "written", &error))?;
        let moved = match self.overwrite {
            true => fs::rename(self.path(), &self.target),
            false => move_where_nothing_is(self.path(), &self.target),
        };
        moved.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.target),
            _ => unusable(&self.target, "written", &error),
        })?;
        self.part = None;
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        // Systems that cannot open a folder keep names in an order of their own.
        let kept = File::open(folder).map_or(Ok(()), |folder| folder.sync_all());
        kept.map_err(|error| unusable(folder, "written", &error))?;
        Ok(self.target.clone())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

/// What an error of the operating system means for a file.
pub(in crate::services) fn unusable(path: &Path, done: &str, error: &io::Error) -> Error {
    let text = format!("{} cannot be {done}: {error}", path.display());
    let unusable = Error::new(ErrorKind::Unavailable, text);
    match crate::error::mend_of(error) {
        Some(mend) => unusable.mend(mend),
        None => unusable,
    }
}

/// A rename would replace what has appeared there meanwhile; a second name for the file does not.
fn move_where_nothing_is(part: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(part, target) {
        Ok(()) => fs::remove_file(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without such names.
        Err(_) if target.symlink_metadata().is_err() => fs::rename(part, target),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// A new file in the folder of the target, for this user alone.
fn make_beside(target: &Path) -> Result<(PathBuf, File)> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let Some(name) = target.file_name() else {
        let text = format!("{} cannot be written: it is a folder", target.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text).mend("name a file in it"));
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        let mut part = name.to_owned();
        part.push(format!(".part-{}-{}", std::process::id(), LAST.fetch_add(1, Relaxed)));
        let part = target.with_file_name(part);
        match options.open(&part) {
            Ok(file) => return Ok((part, file)),
            // Of a process of the same number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(target, "written", &error)),
        }
    }
}

fn taken(target: &Path) -> Error {
    Error::new(ErrorKind::Conflict, format!("{} is there already", target.display()))
        .mend("name another file, or say that it is to be overwritten")
}
