//! Where the socket is: made so that it is never open to others, found again by clients, taken away at the end.

use std::{
    fs::{self, Permissions},
    io::{self, ErrorKind::*},
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use super::SOCKET;
use crate::error::{Error, ErrorKind, Result};

/// A connection.
pub(super) type Stream = UnixStream;

/// The socket's name while it is made.
const UNFINISHED: &str = "control.sock";

/// Of an address the system takes 107 bytes at most, on some systems 103.
const LONGEST_ADDRESS: usize = 103;

/// The socket of a host.
pub(super) struct Place {
    path: PathBuf,
    listener: UnixListener,
    /// The same socket. Its end wakes whoever waits in `accept`; made now, for later there may be no descriptor left.
    waker: UnixStream,
    /// Device and number of the file. No other can have them as long as the socket is open.
    file: (u64, u64),
}

impl Place {
    /// Makes the socket in the folder `private`, which nobody else can enter, and moves it into the folder `data`.
    pub(super) fn make(data: &Path, private: &Path) -> Result<Self> {
        let path = data.join(SOCKET);
        // A socket is one of a host that has crashed: whoever makes ours has the lock of the folder.
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => {}
            Ok(found) => {
                let kind = found.file_type();
                let what = if kind.is_dir() {
                    "a folder"
                } else if kind.is_symlink() {
                    "a link"
                } else {
                    "a file"
                };
                let text =
                    format!("there is no control socket: {} is {what}, and is left alone", path.display());
                return Err(Error::new(ErrorKind::Conflict, text).mend("move it elsewhere"));
            }
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(unusable(&path, &error)),
        }
        let unfinished = private.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Ok(()) => {}
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(unusable(&unfinished, &error)),
        }
        let listener =
            addressed(&unfinished, |it| UnixListener::bind(it)).map_err(|error| unusable(&path, &error))?;
        let finish = || {
            fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
            let found = fs::symlink_metadata(&unfinished)?;
            let waker = UnixStream::from(OwnedFd::from(listener.try_clone()?));
            fs::rename(&unfinished, &path)?;
            Ok(((found.dev(), found.ino()), waker))
        };
        match finish() {
            Ok((file, waker)) => Ok(Self { path, listener, waker, file }),
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                Err(unusable(&path, &error))
            }
        }
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// A descriptor that is good for nothing but to be given up for another; None if there are none left.
    pub(super) fn reserve(&self) -> Option<OwnedFd> {
        self.listener.try_clone().ok().map(OwnedFd::from)
    }

    /// Nobody is let in any more; whoever waits in `accept` is woken.
    pub(super) fn shut(&self) {
        if self.waker.shutdown(Shutdown::Both).is_err() || cfg!(not(target_os = "linux")) {
            // Elsewhere a knock on the door wakes.
            let _ = self.listener.set_nonblocking(true);
            self.knock();
        }
        self.remove();
    }

    /// Connects to it, by the name that it has now: the one that it was made by is gone.
    pub(super) fn knock(&self) {
        let _ = addressed(&self.path, |it| UnixStream::connect(it));
    }

    /// The file, if it is still ours.
    fn remove(&self) {
        if let Ok(found) = fs::symlink_metadata(&self.path)
            && (found.dev(), found.ino()) == self.file
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the host that serves the folder `data`; None if there is none.
pub(super) fn connect(data: &Path) -> Result<Option<Stream>> {
    let path = data.join(SOCKET);
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == NotFound => return Ok(None),
        Err(error) if error.kind() == PermissionDenied => {
            let text = format!("{} cannot be looked for: {error}", path.display());
            return Err(
                Error::new(ErrorKind::Denied, text).mend("run this as the user that the host runs as")
            );
        }
        Err(error) => return Err(unreachable(&path, &error)),
    };
    if !found.file_type().is_socket() {
        let text = format!("{} is no socket, so no host can be asked there", path.display());
        return Err(Error::new(ErrorKind::Unavailable, text).mend("move it elsewhere"));
    }
    match addressed(&path, |it| UnixStream::connect(it)) {
        Ok(stream) => Ok(Some(stream)),
        // Left behind by a host that has crashed; or a host has just ended.
        Err(error) if error.kind() == ConnectionRefused => Ok(None),
        Err(error) if error.kind() == NotFound && fs::symlink_metadata(&path).is_err() => Ok(None),
        Err(error) if error.kind() == PermissionDenied => {
            let text = format!("{} is for user {} alone", path.display(), found.uid());
            Err(Error::new(ErrorKind::Denied, text).mend("run this as that user"))
        }
        Err(error) => Err(unreachable(&path, &error)),
    }
}

/// Does it with the path as the address of a socket; a long one goes by way of its folder.
fn addressed<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return act(path);
    }
    by_folder(path, act)
}

#[cfg(target_os = "linux")]
fn by_folder<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(InvalidInput.into());
    };
    let folder = fs::File::open(folder)?;
    act(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(not(target_os = "linux"))]
fn by_folder<T>(path: &Path, _: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let text = format!(
        "the path has {} bytes, a socket's has at most {LONGEST_ADDRESS} here",
        path.as_os_str().len()
    );
    Err(io::Error::new(InvalidInput, text))
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    let text = format!("there is no control socket: {} cannot be made: {error}", path.display());
    Error::new(ErrorKind::Unavailable, text)
}

fn unreachable(path: &Path, error: &io::Error) -> Error {
    let text = format!("{} cannot be connected to: {error}", path.display());
    Error::new(ErrorKind::Unavailable, text)
}
