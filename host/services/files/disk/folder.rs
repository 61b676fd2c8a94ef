//! Folders of the disk that are entered from one to the next, so that no link in them is ever followed, whoever puts one
//! there and whenever. Names are the store's own: numbers, and ids of plugins.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

const ENTER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where the way begins.
pub(in crate::services::files) struct Root {
    dir: OwnedFd,
    path: PathBuf,
    /// What is written is to survive a power failure.
    durable: bool,
}

/// A folder, entered without following a link.
pub(in crate::services::files) struct Folder {
    dir: OwnedFd,
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
        let dir = fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, path: path.to_owned(), durable })
    }

    pub(in crate::services::files) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of these names, one in the other; none if it is not there.
    pub(in crate::services::files) fn enter(&self, names: &[&str]) -> io::Result<Option<Folder>> {
        let mut here = Folder { dir: self.dir.try_clone()?, path: self.path.clone(), durable: self.durable };
        for name in names {
            match here.child(name) {
                Ok(child) => here = child,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(no_folder(&here.path.join(name), error)),
            }
        }
        Ok(Some(here))
    }

    /// The same; makes what is not there, for this user only. `known`: this was done before in this run of the host, and
    /// nothing is to be done for what is there already.
    pub(in crate::services::files) fn make(&self, names: &[&str], known: bool) -> io::Result<Folder> {
        let mut here = Folder { dir: self.dir.try_clone()?, path: self.path.clone(), durable: self.durable };
        for name in names {
            let path = here.path.join(name);
            let mut child = here.child(name);
            let made = matches!(child, Err(Errno::NOENT));
            if made {
                match fs::mkdirat(&here.dir, *name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => child = here.child(name),
                    Err(error) => return Err(error.into()),
                }
            }
            if made || !known {
                here.sync()?;
            }
            here = child.map_err(|error| no_folder(&path, error))?;
        }
        Ok(here)
    }

    /// Removes the last of the folders, if it is empty.
    pub(in crate::services::files) fn remove(&self, names: &[&str]) -> io::Result<()> {
        let Some((last, front)) = names.split_last() else { return Ok(()) };
        match self.enter(front)? {
            Some(folder) => Ok(fs::unlinkat(&folder.dir, *last, AtFlags::REMOVEDIR)?),
            None => Ok(()),
        }
    }
}

impl Folder {
    pub(in crate::services::files) fn path(&self) -> &Path {
        &self.path
    }

    fn child(&self, name: &str) -> Result<Self, Errno> {
        let dir = fs::openat(&self.dir, name, ENTER, Mode::empty())?;
        Ok(Self { dir, path: self.path.join(name), durable: self.durable })
    }

    /// Writes a new file that is there under `name` whole or not at all; until then it lies under `temporary`. Replaces
    /// what is there, and follows no link.
    pub(in crate::services::files) fn write(
        &self,
        name: &str,
        temporary: &str,
        bytes: &[u8],
    ) -> io::Result<()> {
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&self.dir, temporary, new, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| if self.durable { file.sync_all() } else { Ok(()) })
            .and_then(|()| Ok(fs::renameat(&self.dir, temporary, &self.dir, name)?));
        if written.is_err() {
            let _ = self.remove(temporary);
            return written;
        }
        self.sync().inspect_err(|_| {
            let _ = self.remove(name);
        })
    }

    /// Opens a file to be read.
    pub(in crate::services::files) fn open(&self, name: &str) -> io::Result<Entry> {
        // What is no file must not make the host wait.
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match fs::openat(&self.dir, name, read, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Entry::Gone),
            // A link; a socket, or a device without a driver.
            Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => return Ok(Entry::Other),
            Err(error) => return Err(error.into()),
        };
        let file = File::from(opened);
        let metadata = file.metadata()?;
        Ok(if metadata.is_file() { Entry::File(file, metadata.len()) } else { Entry::Other })
    }

    /// Removes a file, or a link and not what it leads to; tells whether there was one.
    pub(in crate::services::files) fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of what lies in it, folders or all else, in no order. Those that are no UTF-8 are none of the store's.
    pub(in crate::services::files) fn names(
        &self,
        folders: bool,
    ) -> io::Result<impl Iterator<Item = io::Result<String>>> {
        let wanted =
            move |kind: FileType| kind == FileType::Unknown || (kind == FileType::Directory) == folders;
        Ok(Dir::read_from(&self.dir)?.filter_map(move |entry| match entry {
            Ok(entry) if wanted(entry.file_type()) => {
                let name = entry.file_name().to_str().ok()?;
                (name != "." && name != "..").then(|| Ok(name.to_owned()))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        }))
    }

    fn sync(&self) -> io::Result<()> {
        if self.durable { Ok(fs::fsync(&self.dir)?) } else { Ok(()) }
    }
}

/// What keeps a folder from being entered: a link is one of those things.
fn no_folder(path: &Path, error: Errno) -> io::Error {
    match error {
        Errno::NOTDIR | Errno::LOOP | Errno::MLINK => io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is a link or no folder, and is not followed", path.display()),
        ),
        error => error.into(),
    }
}
