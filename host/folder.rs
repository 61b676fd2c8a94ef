//! The data folder of a host: one host at a time has it, and stages its plugins in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    error::{Error, ErrorKind, Result},
    plugin::stage::create_private_folder,
};

/// The data folder, while this host has it.
pub(crate) struct DataFolder {
    path: PathBuf,
    staging: PathBuf,
    /// None for a folder that is only this host's own and goes with it.
    lock: Option<File>,
}

impl DataFolder {
    /// Takes the folder; makes it if it is not there. CONFLICT, naming the other's process, if a host has it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // An application may change its folder later; files are opened here as long as it runs.
        let path = &std::path::absolute(path).map_err(|error| unusable(path, &error))?;
        fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
        let lock = take_lock(path)?;
        let staging = path.join("staging");
        create_private_folder(&staging)?;
        // What a host that crashed has left behind; the lock says that nobody uses it.
        let left = fs::read_dir(&staging).map_err(|error| unusable(&staging, &error))?;
        for entry in left.flatten() {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
        Ok(Self { path: path.clone(), staging, lock: Some(lock) })
    }

    /// A folder for a host that keeps nothing: below the system's folder for such, removed at the end.
    pub(crate) fn temporary() -> Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let unique =
            std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), LAST.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(format!("pintle-{}-{unique:016x}", std::process::id()));
        create_private_folder(&path)?;
        Ok(Self { staging: path.clone(), path, lock: None })
    }

    /// The path of a file of the host's, which nobody but this user may read. An empty one is made if it is not there.
    pub(crate) fn private_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|error| unusable(&path, &error))?;
        Ok(path)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where plugins are staged: for this user only.
    pub(crate) fn staging(&self) -> &Path {
        &self.staging
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        match &mut self.lock {
            Some(lock) => {
                // The file stays: removing it could remove the lock of a host that has just taken it.
                let _ = lock.set_len(0);
                let _ = lock.unlock();
            }
            None => {
                let _ = fs::remove_dir_all(&self.path);
            }
        }
    }
}

fn take_lock(folder: &Path) -> Result<File> {
    let path = folder.join("pintle.lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let who = match pid.trim() {
                "" => "another host".to_owned(),
                pid => format!("the host of process {pid}"),
            };
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the data folder {} is in use by {who}: stop that one or use another folder",
                    folder.display()
                ),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| unusable(&path, &error))?;
    Ok(file)
}

fn unusable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} cannot be used: {error}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_stays_where_it_was_when_the_application_goes_elsewhere() {
        let place = tempfile::tempdir().expect("there is a place for temporary files");
        let here = std::env::current_dir().expect("there is one");
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let below = place.path().strip_prefix("/").expect("it is absolute");
        let folder = DataFolder::open(&up.join(below).join("data")).expect("nothing is in its way");
        let file = folder.private_file("file").expect("nothing is in its way");
        assert!(file.is_absolute() && folder.staging().is_absolute(), "{}", file.display());
        assert!(place.path().join("data/file").is_file());
    }
}
