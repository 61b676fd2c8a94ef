//! Where things are: the repository, the target folder, and the folders that built plugins are put into.
//!
//! The host refuses libraries that others may write, and warns of those that a group may write. A umask of 002
//! is common, so every folder made here gets its mode explicitly.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The root of the repository.
///
/// # Panics
/// If it is no longer where this crate was compiled.
#[must_use]
pub fn repository() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        root.canonicalize()
            .unwrap_or_else(|cause| panic!("the repository {} is gone: {cause}", root.display()))
    })
}

/// The folder that cargo builds into.
///
/// Cargo marks it with `CACHEDIR.TAG`, so the way up from the running program finds it, whether it was named by
/// `CARGO_TARGET_DIR`, `--target-dir`, a configuration file or nobody.
#[must_use]
pub fn target_dir() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        let program = env::current_exe().unwrap_or_default();
        let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
        match (marked, env::var_os("CARGO_TARGET_DIR")) {
            (Some(folder), _) => folder.to_path_buf(),
            (None, Some(folder)) => repository().join(folder),
            (None, None) => repository().join("target"),
        }
    })
}

/// The folder of everything that is built here. A target folder of its own, so that it neither waits for the
/// lock of the cargo that runs the tests nor disturbs its fingerprints.
pub(crate) fn samples_dir() -> &'static Path {
    static SAMPLES: OnceLock<PathBuf> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let folder = target_dir().join("samples");
        make_folder(&folder);
        folder
    })
}

/// Makes the folder `below` that of the samples, with the parents that it lacks.
pub(crate) fn folder(below: &str) -> PathBuf {
    let mut folder = samples_dir().to_path_buf();
    for part in below.split('/') {
        folder.push(part);
        make_folder(&folder);
    }
    folder
}

/// Waits until no other process builds samples; the lock is held until the file is dropped.
pub(crate) fn lock() -> fs::File {
    let path = samples_dir().join("lock");
    let taken = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    taken.unwrap_or_else(|cause| panic!("cannot lock {}: {cause}", path.display()))
}

/// Copies `library` into `folder` under its own name, the way an operator installs a plugin: in one step, so that
/// a host that looks at the folder meanwhile sees the old file or the new one, writable by its owner only.
///
/// # Panics
/// If `folder` cannot be written.
pub fn install(library: &Path, folder: &Path) -> PathBuf {
    let name = library.file_name().expect("a library has a name");
    let bytes = fs::read(library)
        .unwrap_or_else(|cause| panic!("cannot read the plugin {}: {cause}", library.display()));
    publish(&bytes, &folder.join(name))
}

/// Puts `bytes` at `to` in one step, unless they are there already.
pub(crate) fn publish(bytes: &[u8], to: &Path) -> PathBuf {
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return to.to_path_buf();
    }
    let folder = to.parent().expect("a file lies in a folder");
    let publish = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, bytes)?;
        set_mode(file.path(), 0o755)?;
        file.persist(to)?;
        Ok(())
    };
    publish().unwrap_or_else(|cause| panic!("cannot write {}: {cause}", to.display()));
    to.to_path_buf()
}

fn make_folder(folder: &Path) {
    let made = match fs::create_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) => set_mode(folder, 0o755),
        Err(cause) => Err(cause),
    };
    made.unwrap_or_else(|cause| panic!("cannot make the folder {}: {cause}", folder.display()));
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
