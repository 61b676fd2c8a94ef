//! From a plugin's file to a private copy that is safe to open: in a folder of our own, under a name that no other
//! generation has, with all checks made on the copy, so that the bytes that were checked are the bytes that are
//! loaded. The original is never opened by dlopen, because a file that is written over while it is mapped takes
//! the process with it. Uses [`inspect`](super::inspect), [`manifest`](super::manifest) and
//! [`ownership`](super::ownership); opening the copy is `library`'s business.

mod neighbours;
mod original;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder},
    io::ErrorKind as Io,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::original::Original;
use super::{
    discover::Candidate,
    inspect::{
        Inspection, MAX_FILE, ManifestText, inspect_source, io, open_beside, open_regular, read_beside,
        source::Source,
    },
    manifest::{MAX_TEXT, Manifest},
    ownership::TrustPolicy,
};
use crate::{
    error::{Error, ErrorKind, Result, mend_of},
    services::files::Resources,
};

/// The most bytes that all the resources of one plugin may have together.
pub(crate) const MAX_RESOURCES: u64 = 256 << 20;

/// The name of the private folder in a host's data folder.
pub(crate) const STAGING: &str = "staging";

/// The name of the lock beside it.
pub(crate) const LOCK: &str = "pintle.lock";

/// A copy that is ready to be opened. What was staged is removed when this is dropped; what is mapped stays mapped.
#[derive(Debug)]
pub(crate) struct Staged {
    /// The copy of the library.
    pub library: PathBuf,
    /// The SHA-256 of the copy.
    pub sha256: [u8; 32],
    /// What the copy says; `path` is that of the original, for messages.
    pub inspection: Inspection,
    /// What the plugin says of itself.
    pub manifest: Arc<Manifest>,
    /// What the operator should know although it did not keep the plugin from being staged.
    pub warnings: Vec<Error>,
    copies: Copies,
}

impl Staged {
    /// Where the resource that the manifest calls `name` lies; `None` if it names no such one.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn resource(&self, name: &str) -> Option<PathBuf> {
        self.manifest.files.iter().any(|file| file == name).then(|| self.copies.resources().join(name))
    }

    /// The resources, for whoever reads them for the plugin.
    #[must_use]
    pub(crate) fn resources(&self) -> Resources {
        Resources::new(self.copies.resources(), self.manifest.files.clone())
    }

    /// Removes what was staged, and tells if that failed.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE, with the system's reason.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.copies.remove()
    }
}

/// Copies the plugin at `path` into `private` (see [`create_private_folder`]), checks the copy,
/// and stages its resources along. `known` spares reading the manifest again if discovery saw the same text. Whether
/// the id is still the one that was asked for is the caller's question.
///
/// # Errors
///
/// Why the plugin cannot be loaded; nothing of it is left behind then. UNAVAILABLE if the file is being written:
/// try again.
pub(crate) fn stage(
    path: &Path,
    known: Option<&Candidate>,
    private: &Path,
    generation: u64,
    policy: &TrustPolicy,
) -> Result<Staged> {
    let mut warnings = Vec::new();
    let home = folder_of(path);
    let metadata = fs::metadata(home).map_err(|error| io(home, &error))?;
    warnings.extend(policy.check(home, &metadata)?);
    let original = Original::open(open_regular(path)?, path, policy, &mut warnings)?;

    let mut copies = Copies::new(private, generation);
    let library = copies.file(path);
    let copy = original.copy_to(&library, MAX_FILE)?;
    copies.made.push(library.clone());
    let source = Source::new(&copy, 0, original.size()).map_err(|flaw| flaw.of(path))?;
    let sha256 = source.sha256().map_err(|error| io(&library, &error))?;
    let mut inspection = inspect_source(&source, path)?;
    inspection.add_beside(stage_beside(path, &mut copies, policy, &mut warnings)?)?;
    inspection.check_loadable()?;
    neighbours::check(&inspection, home)?;

    let manifest = match known.filter(|known| same_text(&known.inspection, &inspection)) {
        Some(known) => Arc::clone(&known.manifest),
        None => Arc::new(inspection.parse_manifest()?),
    };
    manifest.check_abi()?;
    if known.is_some() {
        // Discovery has told of the folder and of these files.
        warnings.clear();
    }
    stage_resources(&manifest, home, &mut copies, policy, &mut warnings)
        .map_err(|error| error.of(manifest.id.as_str()))?;
    let warnings = warnings.into_iter().map(|warning| warning.of(manifest.id.as_str())).collect();
    Ok(Staged { library, sha256, inspection, manifest, warnings, copies })
}

/// What staging would say of what lies beside the plugin, where discovery does not look: libraries of its own, and
/// resources. Copies nothing; answers the warnings.
///
/// # Errors
///
/// Why it would be refused, in the words of [`stage`].
pub(super) fn check_beside(candidate: &Candidate, policy: &TrustPolicy) -> Result<Vec<Error>> {
    let (home, manifest) = (folder_of(&candidate.path), &candidate.manifest);
    neighbours::check(&candidate.inspection, home)?;
    let (mut warnings, mut left) = (Vec::new(), MAX_RESOURCES);
    let mut resource = |name: &String| {
        let from = home.join(name);
        let original = open_resource(name, &from, home, policy, &mut warnings)?;
        original.check_size(left)?;
        left -= original.size();
        Ok(())
    };
    manifest
        .files
        .iter()
        .try_for_each(&mut resource)
        .map_err(|error: Error| error.of(manifest.id.as_str()))?;
    Ok(warnings.into_iter().map(|warning| warning.of(manifest.id.as_str())).collect())
}

/// Makes the folder that staged copies are put in, for this user only; one that is there already must be just that.
///
/// # Errors
///
/// DENIED if it is open to others or somebody else's, with the mend; UNAVAILABLE if it cannot be made.
pub(crate) fn create_private_folder(path: &Path) -> Result<()> {
    match private_builder().create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == Io::AlreadyExists => {}
        Err(error) => return Err(cannot_make(path, &error)),
    }
    // Not following a link: somebody else could point it elsewhere later.
    let metadata = fs::symlink_metadata(path).map_err(|error| io(path, &error))?;
    let shown = path.display();
    if !metadata.is_dir() {
        let what = format!("{shown} is there already and is no folder");
        return Err(Error::new(ErrorKind::Denied, what).mend("remove it, or name another place"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (owner, user, bits) = (metadata.uid(), effective_user(), metadata.mode() & 0o7777);
        if owner != user {
            let what = format!("{shown} is owned by user {owner}, the host runs as {user}");
            return Err(Error::new(ErrorKind::Denied, what).mend("remove it, or name another place"));
        }
        if bits & 0o077 != 0 {
            let what = format!("{shown} has mode {bits:04o}, and must be for this user only");
            return Err(Error::new(ErrorKind::Denied, what).mend(format!("chmod 700 {shown}")));
        }
    }
    Ok(())
}

/// The user that this process acts as.
#[cfg(unix)]
#[must_use]
#[allow(unsafe_code, reason = "the standard library does not tell the user")]
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail (POSIX).
    unsafe { libc::geteuid() }
}

/// The copies of one generation, removed when dropped. They lie side by side in the private folder, told apart by
/// the generation in front of their names; a folder is made only for resources, because making one can cost as
/// much as all the rest.
#[derive(Debug)]
struct Copies {
    private: PathBuf,
    generation: u64,
    made: Vec<PathBuf>,
    has_resources: bool,
}

impl Copies {
    fn new(private: &Path, generation: u64) -> Self {
        Self { private: private.to_owned(), generation, made: Vec::new(), has_resources: false }
    }

    /// The place for a copy of this file. It keeps the name, which debuggers and profilers show, if that fits.
    fn file(&self, original: &Path) -> PathBuf {
        let mut name = OsString::from(format!("{}-", self.generation));
        let kept = original.file_name().unwrap_or_default();
        if kept.len() <= 200 {
            name.push(kept);
        } else {
            name.push(self.made.len().to_string());
        }
        self.private.join(name)
    }

    fn resources(&self) -> PathBuf {
        self.private.join(format!("{}.files", self.generation))
    }

    /// Makes the folder for resources, once.
    fn make_resources(&mut self) -> Result<PathBuf> {
        let path = self.resources();
        if !self.has_resources {
            private_builder().create(&path).map_err(|error| cannot_make(&path, &error))?;
            self.has_resources = true;
        }
        Ok(path)
    }

    fn remove(&mut self) -> Result<()> {
        let mut failed = None;
        for path in self.made.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                failed = Some((path, error));
            }
        }
        if std::mem::take(&mut self.has_resources) {
            let path = self.resources();
            if let Err(error) = fs::remove_dir_all(&path) {
                failed = Some((path, error));
            }
        }
        failed.map_or(Ok(()), |(path, error)| {
            let what = format!("{} cannot be removed: {error}", path.display());
            Err(Error::new(ErrorKind::Unavailable, what))
        })
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // Nobody is there to be told; `Staged::remove` tells.
        let _ = self.remove();
    }
}

/// Whether `folder` is the private folder in the data folder of a host, by its name and by the lock beside it.
pub(super) fn is_private_folder(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name == STAGING) && folder_of(folder).join(LOCK).is_file()
}

/// Removes the copies that a host has left behind in its private folder, and nothing that was never staged: whoever names
/// a folder with a `staging` of their own as the data folder has made a mistake, and loses nothing by it.
pub(crate) fn remove_left_copies(private: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(private)? {
        let entry = entry?;
        if is_copy(&entry.file_name()) {
            // If one cannot be removed, staging the generation that gets its number says so.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}

/// Whether [`Copies`] gives such names.
fn is_copy(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && (name[digits..].starts_with(b"-") || &name[digits..] == b".files")
}

fn private_builder() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn cannot_make(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("the folder {} cannot be made: {error}", path.display());
    mended(Error::new(ErrorKind::Unavailable, what), error)
}

/// With what to do about it, where the system's reason says that.
fn mended(told: Error, error: &std::io::Error) -> Error {
    match mend_of(error) {
        Some(mend) => told.mend(mend),
        None => told,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

fn same_text(one: &Inspection, two: &Inspection) -> bool {
    match (&one.manifest, &two.manifest) {
        (Some(one), Some(two)) => one.bytes == two.bytes,
        _ => false,
    }
}

/// Copies the manifest's file beside the library, if there is one, and reads the copy.
fn stage_beside(
    library: &Path,
    copies: &mut Copies,
    policy: &TrustPolicy,
    warnings: &mut Vec<Error>,
) -> Result<Option<ManifestText>> {
    let Some((path, file)) = open_beside(library)? else { return Ok(None) };
    let to = copies.file(&path);
    let original = Original::open(file, &path, policy, warnings)?;
    let copy = original.copy_to(&to, MAX_TEXT as u64)?;
    copies.made.push(to);
    let bytes = read_beside(&copy, &path)?;
    Ok(Some(ManifestText { bytes, beside: Some(path) }))
}

/// Copies the resources that the manifest names: regular files in real folders, no links.
fn stage_resources(
    manifest: &Manifest,
    home: &Path,
    copies: &mut Copies,
    policy: &TrustPolicy,
    warnings: &mut Vec<Error>,
) -> Result<()> {
    let mut left = MAX_RESOURCES;
    for name in &manifest.files {
        let folder = copies.make_resources()?;
        let (from, to) = (home.join(name), folder.join(name));
        let original = open_resource(name, &from, home, policy, warnings)?;
        if let Some(parent) = to.parent() {
            private_builder().recursive(true).create(parent).map_err(|error| cannot_make(parent, &error))?;
        }
        original.copy_to(&to, left)?;
        left -= original.size();
    }
    Ok(())
}

/// Opens the resource called `name`, which lies at `from`, if no link leads there and nobody else may change it.
fn open_resource<'p>(
    name: &str,
    from: &'p Path,
    home: &Path,
    policy: &TrustPolicy,
    warnings: &mut Vec<Error>,
) -> Result<Original<'p>> {
    let parents = Path::new(name).ancestors().skip(1).filter(|parent| *parent != Path::new(""));
    for parent in parents.collect::<Vec<_>>().into_iter().rev() {
        let path = home.join(parent);
        let metadata = fs::symlink_metadata(&path).map_err(|error| missing(name, &path, &error))?;
        if !metadata.is_dir() {
            return Err(linked(name, &path));
        }
        warnings.extend(policy.check(&path, &metadata)?);
    }
    let metadata = fs::symlink_metadata(from).map_err(|error| missing(name, from, &error))?;
    if metadata.is_symlink() {
        return Err(linked(name, from));
    }
    let original = Original::open(open_regular(from)?, from, policy, warnings)?;
    if original.is(&metadata) { Ok(original) } else { Err(original::changed(from)) }
}

fn missing(name: &str, path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == Io::NotFound {
        let what = format!("the manifest names the resource \"{name}\", and {} is not there", path.display());
        return Error::new(ErrorKind::NotFound, what)
            .mend("put it beside the library, or take it out of \"files\"");
    }
    io(path, error)
}

fn linked(name: &str, path: &Path) -> Error {
    let what = format!(
        "the resource \"{name}\" is reached through {}, which is a link or no folder",
        path.display()
    );
    Error::new(ErrorKind::Denied, what).mend("put the file itself beside the library")
}

#[cfg(all(test, unix))]
#[path = "stage/tests.rs"]
mod tests;
