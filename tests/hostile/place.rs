//! A folder with plugins, and a host that uses it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use pintle::{Error, Host, HostBuilder, log};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

/// How long anything may take that should happen soon, also on a machine that does other things beside.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A folder of one test, in which `plugins` is the plugin folder.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("there is a place for temporary files"));
        place.folder("plugins");
        place
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a folder that only its owner may write, whatever the umask.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("its parent is there");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    /// Puts a plugin of this name into a folder.
    pub(crate) fn plugin(&self, name: &str, folder: impl AsRef<Path>) -> PathBuf {
        install(&relay(name), &self.path(folder))
    }
}

/// A host in the making that looks into these folders. Nobody reads its log.
pub(crate) fn looking_into(folders: &[PathBuf]) -> HostBuilder {
    let target = log::Target::Writer(Box::new(std::io::sink()));
    let host = Host::builder().log(log::Options { target, ..log::Options::default() });
    folders.iter().fold(host, HostBuilder::plugins)
}

/// A host that looks into these folders.
pub(crate) fn host(folders: &[PathBuf]) -> Host {
    looking_into(folders).build().unwrap_or_else(|error| panic!("{error}"))
}

/// A plugin of this name, in a file of this name, which answers `pong` to `ping`.
pub(crate) fn relay(name: &str) -> PathBuf {
    compile_c(name, repository().join("tests/plugins/relay.c"), &[&format!("-DNAME={name}")])
}

/// Calls a plugin.
pub(crate) fn ping(host: &Host, name: &str) -> Result<Vec<u8>, Error> {
    host.call("", &format!("{name}.ping"), 1, "ping", b"", Some(SOON))
}
