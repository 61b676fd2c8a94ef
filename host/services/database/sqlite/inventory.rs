//! Which databases there are, whose they are, and how large: what lies in the folder, in use or not.
//!
//! Each file says itself whose it is. It is asked once, without a lock and without its log, which nobody who only counts is to touch:
//! what it answers stands there from its first commit on.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use super::{super::Held, fault::failed, open, place};
use crate::{
    error::{Error, ErrorKind, Result},
    services::part::unusable,
};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How often a file is asked that is no database at first sight: it may be written just now.
const TRIES: usize = 3;

/// After so many steps of the machine that runs statements, times [`STEPS`], a file that is asked whose it is has another plan.
const LOOKS: u32 = 100;
const STEPS: i32 = 1_000;

/// What lies in the folder of databases.
pub(super) struct Inventory {
    /// The data folder.
    root: PathBuf,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// Whose a file is that was asked.
#[derive(Clone)]
struct Known {
    /// The file that was there then.
    file: FileNumber,
    plugin: String,
    tenant: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileNumber(u64, u64);

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) held: Vec<Held>,
    /// What is no database of anybody, and why.
    pub(super) strangers: Vec<Error>,
}

impl Inventory {
    pub(super) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), known: Mutex::default() }
    }

    /// All that there is.
    pub(super) fn look(&self) -> Result<Found> {
        let mut found = Found::default();
        let root = self.root.join(place::FOLDER);
        for folder in entries(&root)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if place::is_folder(&name) && is_folder(&folder) {
                self.look_into(&folder, &mut found)?;
            } else {
                found.strangers.push(stranger(&folder, "is no folder of a plugin's databases"));
            }
        }
        let mut known = self.known.lock();
        known.retain(|path, _| path.symlink_metadata().is_ok());
        Ok(found)
    }

    /// The databases of a plugin, or that of one tenant. UNAVAILABLE: what lies where one would is none.
    pub(super) fn of_plugin(&self, plugin: &str, tenant: Option<&str>) -> Result<Vec<Held>> {
        let mut found = Found::default();
        match tenant {
            None => self.look_into(&place::folder(&self.root, plugin), &mut found)?,
            Some(tenant) => {
                self.look_at(&place::file(&self.root, plugin, tenant), &mut found);
                if let Some(error) = found.strangers.pop() {
                    return Err(error);
                }
            }
        }
        found.held.retain(|held| held.plugin == plugin);
        Ok(found.held)
    }

    /// Whether a plugin has a database, or one for that tenant. Does not open it.
    pub(super) fn holds(&self, plugin: &str, tenant: Option<&str>) -> Result<bool> {
        let is_database = |path: &Path| path.symlink_metadata().is_ok_and(|is| is.is_file() && is.len() > 0);
        match tenant {
            Some(tenant) => Ok(is_database(&place::file(&self.root, plugin, tenant))),
            None => {
                let files = entries(&place::folder(&self.root, plugin))?;
                Ok(files.iter().any(|file| place::is_file(&name_of(file)) && is_database(file)))
            }
        }
    }

    /// Removes databases, with what SQLite keeps beside them, and the plugin's folder, if nothing else lies there. Nobody has one of
    /// them open.
    pub(super) fn remove(&self, plugin: &str, going: Vec<Held>) -> Result<Vec<Held>> {
        for held in &going {
            let path = place::file(&self.root, plugin, &held.tenant);
            // The database first: a log without one counts for nothing, a database without its log is another one.
            for file in [path.clone()].into_iter().chain(BESIDE.map(|end| beside(&path, end))) {
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(unusable(&file, "removed", &error));
                    }
                    _ => {}
                }
            }
            self.known.lock().remove(&path);
        }
        // It stays if something is in it.
        let _ = fs::remove_dir(place::folder(&self.root, plugin));
        Ok(going)
    }

    fn look_into(&self, folder: &Path, found: &mut Found) -> Result<()> {
        for file in entries(folder)? {
            let name = name_of(&file);
            if place::is_file(&name) {
                self.look_at(&file, found);
            } else if !BESIDE.iter().any(|end| name.strip_suffix(end).is_some_and(place::is_file)) {
                found.strangers.push(stranger(&file, "is no database of a plugin"));
            }
        }
        Ok(())
    }

    fn look_at(&self, path: &Path, found: &mut Found) {
        let Ok(is) = path.symlink_metadata() else { return };
        if !is.is_file() {
            found.strangers.push(stranger(path, "is no file"));
            return;
        }
        // It is being made, or whoever made it came no further.
        if is.len() == 0 {
            return;
        }
        match self.whose(path, &is) {
            Ok(Known { plugin, tenant, .. }) => {
                let log = beside(path, "-wal").symlink_metadata().map_or(0, |log| log.len());
                found.held.push(Held { plugin, tenant, bytes: is.len() + log });
            }
            Err(error) => found.strangers.push(error),
        }
    }

    fn whose(&self, path: &Path, is: &fs::Metadata) -> Result<Known> {
        let file = FileNumber::of(is);
        if let Some(known) = self.known.lock().get(path).filter(|known| known.file == file) {
            return Ok(known.clone());
        }
        let mut tries = 1;
        let (plugin, tenant) = loop {
            match ask(path) {
                Err(_) if tries < TRIES => tries += 1,
                told => break told?,
            }
        };
        if place::file(&self.root, &plugin, &tenant) != path {
            let text = format!(
                "{} is the database of plugin {plugin:?} and tenant {tenant:?}, and lies in another's place",
                path.display()
            );
            return Err(Error::new(ErrorKind::Unavailable, text).mend("put it back where it was"));
        }
        let known = Known { file, plugin, tenant };
        self.known.lock().insert(path.to_owned(), known.clone());
        Ok(known)
    }
}

impl FileNumber {
    #[cfg(unix)]
    fn of(is: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(is.dev(), is.ino())
    }

    #[cfg(not(unix))]
    fn of(is: &fs::Metadata) -> Self {
        let made = is.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Self(0, made.map_or(0, |time| time.as_nanos() as u64))
    }
}

/// Asks a file whose it is. By SQLite, and by nothing else: a file that this process opens and closes by itself loses the locks of
/// those who use it.
fn ask(path: &Path) -> Result<(String, String)> {
    let said = |error: rusqlite::Error| failed(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(unchanging(path), flags).map_err(said)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(said)?;
    // What calls itself so may be a view of anything.
    let mut looks = 0;
    let ends = move || {
        looks += 1;
        looks > LOOKS
    };
    connection.progress_handler(STEPS, Some(ends)).map_err(said)?;
    open::whose(path, &connection)
}

/// The name of a file for SQLite, as one that nobody changes: it takes no lock, and looks for no log.
fn unchanging(path: &Path) -> String {
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                name.push(char::from(*byte))
            }
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name + "?immutable=1"
}

/// What lies in a folder, in the order of names; nothing if it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: io::Error| unusable(folder, "read", &error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = paths.map_err(unreadable)?;
    paths.sort_unstable();
    Ok(paths)
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|is| is.is_dir())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn stranger(path: &Path, what: &str) -> Error {
    let text = format!("{} {what}; it is kept as it is", path.display());
    Error::new(ErrorKind::Unavailable, text).mend("move it away")
}
