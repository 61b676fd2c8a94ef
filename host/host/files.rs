//! What an application does with the files of one of its plugins: [`PluginFiles`].

use std::{
    fmt,
    io::Write,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::Host;
use crate::{
    boundary::Core,
    error::{Error, ErrorKind, Result},
    identity::{DataScope, Tenant},
    services::{
        files::{self, FilePath, Info, Part},
        keys::LONGEST_KEY,
    },
};

/// What one plugin has in files on behalf of one tenant: [`Host::files`]. All functions may be called from any thread; after
/// the host has stopped they answer UNAVAILABLE, and so they do while the disk fails.
///
/// What a file means only its plugin knows: an application reads files and takes them away, and never writes one.
#[derive(Clone)]
pub struct PluginFiles {
    core: &'static Core,
    number: u64,
    id: Arc<str>,
    /// Held, so that its number stays.
    tenant: Tenant,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// How many bytes it has.
    pub len: u64,
    /// Another one with each write; grows over all files; never 0.
    pub version: u64,
    /// When it was first written.
    pub created: SystemTime,
    /// When it was last written.
    pub updated: SystemTime,
}

/// Some of the paths of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilePaths {
    /// In byte order.
    pub paths: Vec<String>,
    /// The cursor of the next page; None: this is the last.
    pub next: Option<String>,
}

impl Host {
    /// The files of a plugin on behalf of a tenant (empty: the system scope). The plugin need not be loaded: what it has
    /// left can be read and taken away too.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let host = pintle::Host::builder().data("var").plugins("plugins").build()?;
    /// let files = host.files("reports", "acme")?;
    /// for path in files.list("2026/", "", 100)?.paths {
    ///     let mut copy = std::fs::File::create("report.pdf")?;
    ///     let info = files.read(&path, &mut copy)?;
    ///     println!("{path}: {} bytes", info.len);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// NOT_FOUND: the plugin was never loaded in this host, and it has no files. INVALID_ARGUMENT: the tenant. UNAVAILABLE:
    /// the host has stopped, or the plugin was never loaded and the disk fails.
    pub fn files(&self, plugin: &str, tenant: &str) -> Result<PluginFiles> {
        let core = self.inner.core;
        let tenant = core.tenants.named_by_application(tenant)?;
        let (number, id) = self.inner.plugins.with_files(plugin)?;
        Ok(PluginFiles { core, number, id, tenant })
    }
}

impl PluginFiles {
    /// The plugin's id.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.id
    }

    /// The tenant; empty: the system scope.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.tenant.name()
    }

    /// What is known of a file; None if there is none.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the path, with what is wrong with it.
    pub fn stat(&self, path: &str) -> Result<Option<FileInfo>> {
        let found = self.core.files.stat(&self.scope(), parse(path)?)?;
        Ok(found.map(Into::into))
    }

    /// Writes a file's bytes to `out`, in pieces: nothing of it is kept in memory, and whatever is put meanwhile, they are
    /// of one version.
    ///
    /// # Errors
    ///
    /// NOT_FOUND: there is none. CANCELLED: `out` failed; it has got some of the bytes then. INVALID_ARGUMENT: as
    /// [`stat`](Self::stat). UNAVAILABLE also if the file is damaged, naming what is.
    pub fn read(&self, path: &str, out: &mut dyn Write) -> Result<FileInfo> {
        let path = parse(path)?;
        let found = self.core.files.read(&self.scope(), path, Part::WHOLE, &mut |piece| {
            out.write_all(piece).map_err(|error| {
                Error::new(
                    ErrorKind::Cancelled,
                    format!("the bytes of a file could not be passed on: {error}"),
                )
            })
        })?;
        found.map(Into::into).ok_or_else(|| files::not_found(path))
    }

    /// A page of the paths that begin with `prefix`, in byte order. `cursor`: empty for the first one, else what the page
    /// before it said; `limit`: 1 to 1,000, 0 is 100.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: the prefix (up to 512 bytes), the limit, or a cursor that no page gave.
    pub fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<FilePaths> {
        if prefix.len() > LONGEST_KEY {
            let text = format!("{} bytes, at most {LONGEST_KEY} are taken", prefix.len());
            return Err(Error::argument("prefix", text));
        }
        let files::Page { paths, next } = self.core.files.list(&self.scope(), prefix, cursor, limit)?;
        Ok(FilePaths { paths, next })
    }

    /// Removes a file; tells whether it was there.
    ///
    /// # Errors
    ///
    /// As [`stat`](Self::stat).
    pub fn remove(&self, path: &str) -> Result<bool> {
        self.core.files.remove(&self.scope(), parse(path)?)
    }

    fn scope(&self) -> DataScope<'_> {
        DataScope::new(self.number, &self.id, self.tenant.number(), &self.core.tenants)
    }
}

impl fmt::Debug for PluginFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginFiles")
            .field("plugin", &self.plugin())
            .field("tenant", &self.tenant())
            .finish_non_exhaustive()
    }
}

impl From<Info> for FileInfo {
    fn from(info: Info) -> Self {
        let Info { len, version, created_ms, updated_ms } = info;
        Self { len, version, created: at(created_ms), updated: at(updated_ms) }
    }
}

fn parse(path: &str) -> Result<FilePath<'_>> {
    FilePath::parse("path", path.as_bytes())
}

/// A time that the system cannot say becomes 1970.
fn at(ms: i64) -> SystemTime {
    let span = Duration::from_millis(ms.unsigned_abs());
    let time = if ms < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}
