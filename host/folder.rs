//! The data folder of a host: one host at a time has it, and stages its plugins in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::{
    error::{Error, ErrorKind, Result, mend_of},
    plugin::stage::{LOCK, STAGING, create_private_folder, remove_left_copies},
};

/// More than this no host writes into its lock.
const LONGEST_LOCK: u64 = 64;

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
        let staging = path.join(STAGING);
        create_private_folder(&staging)?;
        // What a host that crashed has left behind; the lock says that nobody uses it.
        remove_left_copies(&staging).map_err(|error| unusable(&staging, &error))?;
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
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        open_file(options.write(true), &path)?;
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
    let path = folder.join(LOCK);
    let mut file = open_file(OpenOptions::new().read(true).write(true), &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let who = match content(&mut file).ok().flatten().as_deref() {
                None | Some("") => "another host".to_owned(),
                Some(pid) => format!("the host of process {pid}"),
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
    if content(&mut file).map_err(|error| unusable(&path, &error))?.is_none() {
        let what = format!("{} was not written by this version of pintle", path.display());
        let unknown = Error::new(ErrorKind::Unsupported, what);
        return Err(unknown.mend("update the host, or use another data folder"));
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| unusable(&path, &error))?;
    Ok(file)
}

/// The number in a lock file, empty if there is none; `None` if something else is in it, which no host has written that
/// we know of. A power failure leaves the file as long as it was, full of zeros.
fn content(file: &mut File) -> io::Result<Option<String>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(LONGEST_LOCK + 1).read_to_end(&mut text)?;
    let known = text.len() as u64 <= LONGEST_LOCK
        && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'\n' | 0));
    Ok(known
        .then(|| text.iter().filter(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect()))
}

/// Opens a file of the host's, or makes it; one that is no file is not waited for.
fn open_file(options: &mut OpenOptions, path: &Path) -> Result<File> {
    options.create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
    match opened {
        Ok((true, file)) => Ok(file),
        Ok((false, _)) => Err(no_file(path)),
        // A pipe that nobody reads, a socket, a device without a driver.
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Err(no_file(path)),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn no_file(path: &Path) -> Error {
    let what = format!("{} cannot be used: it is not a file", path.display());
    Error::new(ErrorKind::Unavailable, what).mend("move it away, or use another data folder")
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    let what = format!("{} cannot be used: {error}", path.display());
    let unusable = Error::new(ErrorKind::Unavailable, what);
    match mend_of(error) {
        Some(mend) => unusable.mend(mend),
        None => unusable,
    }
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
