//! Which plugins lie in the folders? Looks into several folders and one level of sub-folders, inspects every
//! library there (see [`inspect`](super::inspect)), and answers what can be loaded and what cannot, each with its
//! reason. No byte of any file is executed, and one bad file keeps no other from being found.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, Metadata},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{
    inspect::{Inspection, inspect_open, io, open_regular},
    manifest::Manifest,
    ownership::TrustPolicy,
    stage,
};
use crate::error::{Error, ErrorKind, Result};

/// What was found, in the order of the folders and by name within each.
#[derive(Debug, Default)]
pub struct Discovery {
    /// What can be loaded.
    pub found: Vec<Candidate>,
    /// What looks like a plugin, or like a folder of them, and cannot be loaded.
    pub skipped: Vec<Skipped>,
    /// What the operator should know although nothing is lost by it.
    pub warnings: Vec<Error>,
}

/// A plugin that was found and looks loadable.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its library.
    pub path: PathBuf,
    /// What the library's file says.
    pub inspection: Inspection,
    /// What the plugin says of itself.
    pub manifest: Arc<Manifest>,
}

/// A file or folder that was passed over.
#[derive(Debug)]
pub struct Skipped {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

impl Candidate {
    /// Would what lies beside it keep it from being loaded? Discovery does not ask that; loading does. Answers what a
    /// host would warn of.
    ///
    /// # Errors
    ///
    /// A library of its own that it needs; a resource of its manifest that is not there, is reached by a link, is too
    /// large, or that strangers may change.
    pub fn check_beside(&self, policy: &TrustPolicy) -> Result<Vec<Error>> {
        stage::check_beside(self, policy)
    }
}

/// Looks for plugins in `folders`, as a host does at its start; where two have the same id, the one in the earlier
/// folder wins.
#[must_use]
pub fn discover(folders: &[PathBuf], policy: &TrustPolicy) -> Discovery {
    let mut search = Search { policy: *policy, ..Search::default() };
    for folder in folders {
        search.folder(folder, Level::Top);
    }
    search.discovery
}

/// Inspects one library as discovery does: for what is loaded by its path.
///
/// # Errors
///
/// Why it cannot be loaded.
pub fn examine(path: &Path, policy: &TrustPolicy) -> Result<(Candidate, Vec<Error>)> {
    let mut warnings = Vec::new();
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let metadata = fs::metadata(folder).map_err(|error| io(folder, &error))?;
    warnings.extend(policy.check(folder, &metadata)?);
    let file = open_regular(path)?;
    let metadata = file.metadata().map_err(|error| io(path, &error))?;
    let candidate = candidate(&file, &metadata, path, *policy, &mut warnings)?;
    Ok((candidate, warnings))
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Top,
    Below,
}

#[derive(Default)]
struct Search {
    policy: TrustPolicy,
    discovery: Discovery,
    /// Files and folders that were looked at, whatever they are called: (device, number).
    seen: HashSet<(u64, u64)>,
    /// Where each id was found first.
    ids: BTreeMap<String, PathBuf>,
}

impl Search {
    fn folder(&mut self, folder: &Path, level: Level) {
        let metadata = match fs::metadata(folder) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && level == Level::Top => {
                let what = format!("the plugin folder {} is not there", folder.display());
                let warning = Error::new(ErrorKind::NotFound, what);
                return self.discovery.warnings.push(warning.mend("make it, or take it out of the settings"));
            }
            Err(error) => return self.skip(folder, io(folder, &error)),
        };
        if !metadata.is_dir() {
            let what = format!("{} is a file, not a plugin folder", folder.display());
            return self.skip(folder, Error::new(ErrorKind::InvalidArgument, what));
        }
        if !self.is_new(&metadata) {
            return;
        }
        if stage::is_private_folder(folder) {
            // The copies of a host whose data folder this is: what is loaded from there are originals.
            if level == Level::Top {
                let what = format!("{} is where a host keeps copies of its plugins", folder.display());
                let error = Error::new(ErrorKind::InvalidArgument, what);
                self.skip(folder, error.mend("name the folder that the plugins themselves lie in"));
            }
            return;
        }
        match self.policy.check(folder, &metadata) {
            Ok(warning) => self.discovery.warnings.extend(warning),
            Err(error) => return self.skip(folder, error),
        }
        match entries(folder) {
            Ok(paths) => self.entries(&paths, level),
            Err(error) => self.skip(folder, io(folder, &error)),
        }
    }

    /// The libraries of a folder first, then its sub-folders.
    fn entries(&mut self, paths: &[PathBuf], level: Level) {
        let mut folders = Vec::new();
        let libraries: Vec<_> = paths.iter().filter(|path| matches!(kind(path), Library::Ours)).collect();
        let mut looked_at = look_at(&libraries, self.policy).into_iter();
        for path in paths {
            let library = kind(path);
            // Most entries are told by their name; only folders and what is named like a library is looked at.
            match (library, level) {
                (Library::None, Level::Below) => {}
                (Library::None, Level::Top) => match fs::metadata(path) {
                    Ok(metadata) if metadata.is_dir() => folders.push(path),
                    Ok(_) => {}
                    // It may have been meant as a folder of plugins: a link to a disk that is not mounted, say.
                    Err(error) => self.skip(path, io(path, &error)),
                },
                (Library::Ours, _) => {
                    if let Some(looked) = looked_at.next() {
                        self.library(path, looked);
                    }
                }
                (Library::Foreign(system), _) => {
                    let (arch, here) = (std::env::consts::ARCH, std::env::consts::OS);
                    let what = format!(
                        "{} is for {system}, by its name, this host is {arch} {here}",
                        path.display()
                    );
                    let error = Error::new(ErrorKind::Unsupported, what);
                    self.skip(path, error.mend(format!("use the build for {here}")));
                }
            }
        }
        for folder in folders {
            self.folder(folder, Level::Below);
        }
    }

    fn library(&mut self, path: &Path, looked: Looked) {
        if !looked.metadata.is_none_or(|metadata| self.is_new(&metadata)) {
            // The very same file was looked at under another name.
            return;
        }
        self.discovery.warnings.extend(looked.warnings);
        match looked.outcome.and_then(|candidate| self.first_of_its_id(candidate)) {
            Ok(candidate) => self.discovery.found.push(candidate),
            Err(error) => self.skip(path, error),
        }
    }

    fn first_of_its_id(&mut self, candidate: Candidate) -> Result<Candidate> {
        let (id, path) = (&candidate.manifest.id, &candidate.path);
        if let Some(first) = self.ids.get(id) {
            let what = format!("{} has the id of {}, which comes first", path.display(), first.display());
            let error = Error::new(ErrorKind::Conflict, what).of(id.as_str());
            return Err(error.mend("remove one of the two, or give it another id"));
        }
        self.ids.insert(id.clone(), path.clone());
        Ok(candidate)
    }

    fn skip(&mut self, path: &Path, error: Error) {
        self.discovery.skipped.push(Skipped { path: path.to_owned(), error });
    }

    #[cfg(unix)]
    fn is_new(&mut self, metadata: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt;
        self.seen.insert((metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn is_new(&mut self, _: &Metadata) -> bool {
        true
    }
}

/// What one look at a library's file came to.
struct Looked {
    /// None if it could not be opened.
    metadata: Option<Metadata>,
    warnings: Vec<Error>,
    outcome: Result<Candidate>,
}

/// With fewer libraries than this for each thread, starting it costs more than it brings.
const WORTH_A_THREAD: usize = 32;
const MOST_THREADS: usize = 8;

/// Looks at libraries, at many of them on several threads. The answers are in the order of the paths.
fn look_at(paths: &[&PathBuf], policy: TrustPolicy) -> Vec<Looked> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = (paths.len() / WORTH_A_THREAD).min(processors).min(MOST_THREADS);
    let look = |paths: &[&PathBuf]| paths.iter().map(|path| look(path, policy)).collect::<Vec<_>>();
    if threads < 2 {
        return look(paths);
    }
    thread::scope(|scope| {
        let chunks = paths.chunks(paths.len().div_ceil(threads));
        let lookers: Vec<_> = chunks.map(|chunk| (chunk, scope.spawn(move || look(chunk)))).collect();
        // One that panicked is asked again here, so that the panic is the caller's.
        lookers
            .into_iter()
            .flat_map(|(chunk, looker)| looker.join().unwrap_or_else(|_| look(chunk)))
            .collect()
    })
}

fn look(path: &Path, policy: TrustPolicy) -> Looked {
    let mut warnings = Vec::new();
    let opened = open_regular(path)
        .and_then(|file| file.metadata().map(|metadata| (file, metadata)).map_err(|error| io(path, &error)));
    match opened {
        Ok((file, metadata)) => {
            let outcome = candidate(&file, &metadata, path, policy, &mut warnings);
            Looked { metadata: Some(metadata), warnings, outcome }
        }
        Err(error) => Looked { metadata: None, warnings, outcome: Err(error) },
    }
}

/// All that is asked of an open library before it may be loaded.
fn candidate(
    file: &fs::File,
    metadata: &Metadata,
    path: &Path,
    policy: TrustPolicy,
    warnings: &mut Vec<Error>,
) -> Result<Candidate> {
    let warning = policy.check(path, metadata)?;
    let inspection = inspect_open(file, path)?;
    inspection.check_loadable()?;
    if let Some(beside) = inspection.manifest.as_ref().and_then(|text| text.beside.as_deref()) {
        let metadata = fs::metadata(beside).map_err(|error| io(beside, &error))?;
        warnings.extend(policy.check(beside, &metadata)?);
    }
    let manifest = inspection.parse_manifest()?;
    manifest.check_abi()?;
    warnings.extend(warning.map(|warning| warning.of(manifest.id.as_str())));
    Ok(Candidate { path: path.to_owned(), inspection, manifest: Arc::new(manifest) })
}

enum Library {
    Ours,
    Foreign(&'static str),
    None,
}

fn kind(path: &Path) -> Library {
    let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else {
        return Library::None;
    };
    match extension {
        _ if extension == std::env::consts::DLL_EXTENSION => Library::Ours,
        "so" => Library::Foreign("linux"),
        "dll" => Library::Foreign("windows"),
        "dylib" => Library::Foreign("macos"),
        _ => Library::None,
    }
}

/// What is in a folder, without hidden entries, in the order of the names' bytes.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

#[cfg(all(test, unix))]
#[path = "discover/tests.rs"]
mod tests;
