//! As `folder.rs`, where the system has no way to enter folders one from the next: each step is looked at before it is
//! taken. Between look and step somebody with the right to write there could put a link; the folders are this user's own.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Where the way begins.
pub(in crate::services::files) struct Root {
    path: PathBuf,
    durable: bool,
}

/// A folder, entered without following a link.
pub(in crate::services::files) struct Folder {
    path: PathBuf,
    durable: bool,
}

/// What lies under a name.
pub(in crate::services::files) enum Entry {
    /// A file, and its length.
    File(File, u64),
    /// Nothing.
    Gone,
    /// A link, a folder, a pipe.
    Other,
}

impl Root {
    /// Links on the way to `path` itself are the operator's, and followed.
    pub(in crate::services::files) fn open(path: &Path, durable: bool) -> io::Result<Self> {
        Ok(Self { path: fs::canonicalize(path)?, durable })
    }

    pub(in crate::services::files) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of these names, one in the other; none if it is not there.
    pub(in crate::services::files) fn enter(&self, names: &[&str]) -> io::Result<Option<Folder>> {
        let mut path = self.path.clone();
        for name in names {
            path.push(name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(no_folder(&path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Folder { path, durable: self.durable }))
    }

    /// The same; makes what is not there.
    pub(in crate::services::files) fn make(&self, names: &[&str], _known: bool) -> io::Result<Folder> {
        for depth in 1..=names.len() {
            let (front, last) = (&names[..depth - 1], names[depth - 1]);
            let Some(here) = self.enter(front)? else { return Err(io::ErrorKind::NotFound.into()) };
            match DirBuilder::new().create(here.path.join(last)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        self.enter(names)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes the last of the folders, if it is empty.
    pub(in crate::services::files) fn remove(&self, names: &[&str]) -> io::Result<()> {
        match self.enter(names)? {
            Some(folder) => fs::remove_dir(folder.path),
            None => Ok(()),
        }
    }
}

impl Folder {
    pub(in crate::services::files) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new file that is there under `name` whole or not at all; until then it lies under `temporary`. Replaces
    /// what is there, and follows no link.
    pub(in crate::services::files) fn write(
        &self,
        name: &str,
        temporary: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let from = self.path.join(temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&from)?;
        let written =
            file.write_all(bytes).and_then(|()| if self.durable { file.sync_all() } else { Ok(()) });
        drop(file);
        written.and_then(|()| fs::rename(&from, self.path.join(name))).inspect_err(|_| {
            let _ = fs::remove_file(&from);
        })
    }

    /// Opens a file to be read.
    pub(in crate::services::files) fn open(&self, name: &str) -> io::Result<Entry> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(Entry::Other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::Gone),
            Err(error) => return Err(error),
        }
        match File::open(&path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Ok(if metadata.is_file() { Entry::File(file, metadata.len()) } else { Entry::Other })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Gone),
            Err(error) => Err(error),
        }
    }

    /// Removes a file, or a link and not what it leads to; tells whether there was one.
    pub(in crate::services::files) fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.path.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names of what lies in it, folders or all else, in no order. Those that are no UTF-8 are none of the store's.
    pub(in crate::services::files) fn names(
        &self,
        folders: bool,
    ) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        Ok(fs::read_dir(&self.path)?.filter_map(move |entry| match entry {
            Ok(entry) => {
                let wanted = entry.file_type().is_ok_and(|kind| kind.is_dir() == folders);
                entry.file_name().into_string().ok().filter(|_| wanted).map(Ok)
            }
            Err(error) => Some(Err(error)),
        }))
    }
}

fn no_folder(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotADirectory,
        format!("{} is a link or no folder, and is not followed", path.display()),
    )
}
