//! Files on the disk: bytes in blobs, names in the ledger.
//!
//! A blob lies under `files/<plugin>/<scope>/<blob>` in the data folder, and the last two are numbers that come once: no path
//! of a plugin ever becomes one of the disk, and a blob is never written to again. `put` writes a blob and sees that it is on
//! disk, then the index (`index.rs`) takes it for the file's in one commit, then the blob from before goes. Whatever happens in
//! between, the index knows the old one or the new one, and that one is whole. What a crash leaves behind no file has;
//! `sweep.rs` finds it at the next start. `folder.rs` enters folders and follows no link.

#[cfg_attr(not(unix), path = "portable.rs")]
mod folder;
mod index;
mod sweep;

#[cfg(test)]
mod crash_tests;
#[cfg(all(test, unix))]
mod tests;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

pub(super) use self::folder::{Entry, Root};
pub(crate) use self::index::SCHEMA;
use self::{
    folder::Folder,
    index::{Assign, Assigned, BeginRun, Enter, Found, Place, Removed},
    sweep::Sweep,
};
use super::{
    FilePath, FileStore, PIECE,
    item::{Info, Part, Put, Refused, Usage, conflict},
};
use crate::{
    error::{Error, ErrorKind, Result, mend_of},
    identity::DataScope,
    services::ledger::{Durability, Ledger},
};

/// The folder in the data folder.
const FILES: &str = "files";

/// What follows a blob's number while it is written.
const UNFINISHED: &str = ".new";

/// How often a write that meets others at the birth or the end of its scope begins anew.
const TRIES: usize = 1_000;

/// The most scopes that are remembered as made in this run.
const MOST_MADE: usize = 16_384;

/// How files are kept.
pub(crate) struct DiskOptions {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// That of the ledger.
    pub(crate) durability: Durability,
    /// Told what goes wrong where no caller waits for it.
    pub(crate) report: Box<dyn Fn(&Error) + Send + Sync>,
}

/// The store that is always there.
pub(crate) struct DiskFiles {
    disk: Arc<Disk>,
    /// None when it is closed.
    sweep: Mutex<Option<Sweep>>,
}

struct Disk {
    ledger: Arc<Ledger>,
    root: Root,
    durability: Durability,
    /// The number of the last blob; none: this run has written none.
    last: Mutex<Option<u64>>,
    /// Scopes whose folders this run has seen to.
    made: Mutex<HashSet<u64>>,
    closed: AtomicBool,
}

impl DiskFiles {
    /// The ledger must have been opened with [`SCHEMA`], and nobody else may have its folder.
    pub(crate) fn open(ledger: Arc<Ledger>, options: DiskOptions) -> Result<Self> {
        let DiskOptions { data, durability, report } = options;
        let root = Root::open(&data, durability != Durability::Off).map_err(|error| failed(&data, &error))?;
        let disk = Arc::new(Disk {
            ledger,
            root,
            durability,
            last: Mutex::default(),
            made: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let sweep = Sweep::start(&disk, report)?;
        Ok(Self { disk, sweep: Mutex::new(sweep) })
    }

    fn disk(&self) -> Result<&Disk> {
        if self.disk.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        Ok(&self.disk)
    }
}

impl FileStore for DiskFiles {
    fn put(&self, scope: &DataScope<'_>, path: FilePath<'_>, put: &Put<'_>) -> Result<Info, Refused> {
        let (disk, place) = (self.disk()?, Place::of(scope)?);
        for _ in 0..TRIES {
            // What would be refused is not written first.
            let there = index::find(&disk.ledger, &place, path)?;
            index::check(path, there.as_ref(), put.if_version)?;
            if let Some(info) = disk.put_once(&place, path, put)? {
                return Ok(info);
            }
        }
        let text = "the folder of these files vanishes again and again";
        Err(Error::new(ErrorKind::Unavailable, text).mend("see who removes it").into())
    }

    fn read(
        &self,
        scope: &DataScope<'_>,
        path: FilePath<'_>,
        part: Part,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Info>> {
        let (disk, place) = (self.disk()?, Place::of(scope)?);
        let mut missed = None;
        while let Some(found) = index::find(&disk.ledger, &place, path)? {
            let opened = disk.open_blob(&place, &found);
            let blob = || disk.path_of(&place, &found);
            let (mut file, len) = match opened.map_err(|error| failed(&blob(), &error))? {
                Entry::File(file, len) => (file, len),
                Entry::Other => return Err(damaged(path, &blob(), "is a link or no file".into())),
                // A `put` or `remove` was faster, and then the index knows.
                Entry::Gone if missed != Some(found.blob) => {
                    missed = Some(found.blob);
                    continue;
                }
                Entry::Gone => return Err(damaged(path, &blob(), "is gone".into())),
            };
            let whole = found.info.len;
            if len != whole {
                return Err(damaged(path, &blob(), format!("has {len} bytes, {whole} were written")));
            }
            let unreadable = |error: &io::Error| failed(&blob(), error);
            if part.offset > 0 {
                let start = SeekFrom::Start(part.offset.min(whole));
                file.seek(start).map_err(|error| unreadable(&error))?;
            }
            pieces(&mut file, part.within(whole), take, unreadable)?;
            return Ok(Some(found.info));
        }
        Ok(None)
    }

    fn stat(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<Option<Info>> {
        let found = index::find(&self.disk()?.ledger, &Place::of(scope)?, path)?;
        Ok(found.map(|found| found.info))
    }

    fn list(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        index::list(&self.disk()?.ledger, &Place::of(scope)?, prefix, after, limit)
    }

    fn remove(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<bool> {
        let (disk, place) = (self.disk()?, Place::of(scope)?);
        let removal = index::Remove { place: place.clone(), path: path.as_str().into() };
        let Some(Removed { scope, blob, last }) = disk.ledger.write(removal)? else { return Ok(false) };
        // The file is gone, whatever becomes of its blob: what is left of that goes with the next start.
        let names = Names::new(&place.plugin, scope);
        if let Ok(Some(folder)) = disk.root.enter(&names.all()) {
            disk.discard(&folder, blob);
        }
        if last {
            let _ = disk.root.remove(&names.all());
        }
        Ok(true)
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        index::usage(&self.disk()?.ledger)
    }

    fn close(&self) {
        self.disk.closed.store(true, Relaxed);
        if let Some(sweep) = self.sweep.lock().take() {
            sweep.end();
        }
    }
}

impl Disk {
    /// None: the scope has ended meanwhile.
    fn put_once(&self, place: &Place, path: FilePath<'_>, put: &Put<'_>) -> Result<Option<Info>, Refused> {
        let scope = match index::scope_of(&self.ledger, place)? {
            Some(scope) => scope,
            None => self.ledger.write(Enter { place: place.clone() })?,
        };
        let names = Names::new(&place.plugin, scope);
        let known = self.made.lock().contains(&scope);
        let failed = |error: &io::Error| Refused::from(failed(&self.path_to(&names), error));
        let folder = match self.root.make(&names.all(), known) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let blob = self.next_blob()?;
        match folder.write(&blob.to_string(), &format!("{blob}{UNFINISHED}"), put.bytes) {
            Ok(()) => {}
            // The folder has gone with the last file in it; or somebody has put something where a blob was to be.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(&error)),
        }
        self.note_made(scope);
        let assigned = self.ledger.write(Assign {
            plugin: Arc::clone(&place.plugin),
            scope,
            path: path.as_str().into(),
            blob,
            len: put.bytes.len() as u64,
            if_version: put.if_version,
            quotas: put.quotas,
        });
        match assigned {
            Ok(Assigned::Done { info, old }) => {
                if let Some(old) = old {
                    self.discard(&folder, old);
                }
                Ok(Some(info))
            }
            Ok(Assigned::Left) => {
                let _ = folder.remove(&blob.to_string());
                let _ = self.root.remove(&names.all());
                Ok(None)
            }
            Ok(Assigned::Conflict(current)) => {
                let _ = folder.remove(&blob.to_string());
                Err(conflict(path, put.if_version.unwrap_or_default(), current))
            }
            Err(error) => {
                let _ = folder.remove(&blob.to_string());
                Err(error.into())
            }
        }
    }

    /// A number that no blob has had.
    fn next_blob(&self) -> Result<u64> {
        let mut last = self.last.lock();
        let next = match *last {
            Some(last) => last + 1,
            None => index::first_of(self.ledger.write(BeginRun)?),
        };
        *last = Some(next);
        Ok(next)
    }

    fn note_made(&self, scope: u64) {
        let mut made = self.made.lock();
        if made.len() >= MOST_MADE {
            // What is forgotten costs a sync more.
            made.clear();
        }
        made.insert(scope);
    }

    /// Removes a blob that no file has any more. One that stays goes with the next start.
    fn discard(&self, folder: &Folder, blob: u64) {
        // Without it, a power failure could take the commit and leave what comes after it.
        if self.durability == Durability::Normal && self.ledger.sync().is_err() {
            return;
        }
        let _ = folder.remove(&blob.to_string());
    }

    fn open_blob(&self, place: &Place, found: &Found) -> io::Result<Entry> {
        let names = Names::new(&place.plugin, found.scope);
        match self.root.enter(&names.all())? {
            Some(folder) => folder.open(&found.blob.to_string()),
            None => Ok(Entry::Gone),
        }
    }

    /// For messages.
    fn path_of(&self, place: &Place, found: &Found) -> PathBuf {
        self.path_to(&Names::new(&place.plugin, found.scope)).join(found.blob.to_string())
    }

    fn path_to(&self, names: &Names) -> PathBuf {
        names.all().iter().fold(self.root.path().to_owned(), |path, name| path.join(name))
    }
}

/// The names of a scope's folder, from the data folder on.
struct Names {
    plugin: String,
    scope: String,
}

impl Names {
    fn new(plugin: &str, scope: u64) -> Self {
        Self { plugin: folder_name(plugin), scope: scope.to_string() }
    }

    fn all(&self) -> [&str; 3] {
        [FILES, &self.plugin, &self.scope]
    }
}

/// The folder of a plugin: its id. What no manifest allows in one is written in hexadecimal, and so is the beginning of a
/// name that means a device somewhere; so that no id, wherever it comes from, leads anywhere else or meets another.
fn folder_name(plugin: &str) -> String {
    let device = match plugin {
        "con" | "prn" | "aux" | "nul" => true,
        _ => plugin
            .strip_prefix("com")
            .or(plugin.strip_prefix("lpt"))
            .is_some_and(|rest| rest.len() == 1 && rest.starts_with(|digit: char| digit.is_ascii_digit())),
    };
    let mut name = String::with_capacity(plugin.len());
    for (at, byte) in plugin.bytes().enumerate() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if plain && !(device && at == 0) {
            name.push(byte.into());
        } else {
            name.push_str(&format!("={byte:02x}"));
        }
    }
    if name.is_empty() { "=".into() } else { name }
}

/// Hands the next `len` bytes of a file to `take`, in pieces. The file had them when it was opened.
pub(super) fn pieces(
    file: &mut File,
    len: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
    failed: impl Fn(&io::Error) -> Error,
) -> Result<()> {
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    let mut left = len;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(PIECE));
        file.read_exact(&mut piece[..most]).map_err(|error| failed(&error))?;
        take(&piece[..most])?;
        left -= most as u64;
    }
    Ok(())
}

/// What the index knows is not what lies on the disk.
fn damaged(path: FilePath<'_>, blob: &Path, how: String) -> Error {
    let what = format!("the file {:?} is damaged: {} {how}", path.as_str(), blob.display());
    Error::new(ErrorKind::Unavailable, what).mend("put it back from a backup, or write or remove the file")
}

/// The disk fails, or does not have what it should.
fn failed(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::StorageFull {
        return Error::new(ErrorKind::Unavailable, "the disk of the data folder is full").mend("make room");
    }
    let what = format!("{} cannot be used: {error}", path.display());
    let unusable = Error::new(ErrorKind::Unavailable, what);
    match mend_of(error) {
        Some(mend) => unusable.mend(mend),
        None if error.kind() == io::ErrorKind::NotADirectory => {
            unusable.mend("move it away, and put the folder that was there back")
        }
        None => unusable,
    }
}
