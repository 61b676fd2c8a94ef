//! Files: blobs by path, and the plugin's own resources.

use std::{ptr, time::SystemTime};

use pintle_abi::{
    PINTLE_CONFLICT, PINTLE_FILE_IF_VERSION, PINTLE_NOT_FOUND, PINTLE_OK, PintleBytes, PintleFileInfo,
    PintleFileOptions, PintleFiles, PintleStatus, PintleStr,
};

use crate::{
    CheckedWrite, Context, KeyPage, Keys, Result,
    events::at,
    pages::{Pages, read_page},
    table::function,
    wire,
};

/// Files, for the plugin and the tenant of the context ([`Context::files`]): `Ok` to a write means that it is on disk, and
/// whoever reads sees the old bytes or the new ones, whole. They outlive the host, reloads and updates of the plugin.
///
/// A path has 1 to 512 bytes, and segments with `/` between them, none of which is empty, `.` or `..`; `\` and control
/// characters are refused. Two paths differ if their bytes differ. A file has at most 64 MiB unless the operator says
/// otherwise.
///
/// ```
/// # use pintle_plugin::{Context, Result};
/// fn archive(cx: &Context, day: &str, report: &[u8]) -> Result<()> {
///     cx.files().put(&format!("reports/{day}.csv"), report)?;
///     // The ten newest stay.
///     let all = cx.files().list("reports/").collect::<Result<Vec<_>>>()?;
///     for old in all.iter().rev().skip(10) {
///         cx.files().remove(old)?;
///     }
///     Ok(())
/// }
/// ```
///
/// Beside what each function names, all answer [`Denied`](crate::Status::Denied) (the manifest's `services.files` does not
/// ask for the method), [`InvalidArgument`](crate::Status::InvalidArgument) (a path that is none, with what is wrong with it),
/// [`Unavailable`](crate::Status::Unavailable) (the disk fails, a file is damaged, or the host has stopped) and
/// [`StaleHandle`](crate::Status::StaleHandle). Those that write answer `Unavailable` also in `load` and `restore`, and where
/// the disk is full.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    cx: &'a Context,
}

impl<'a> Files<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// Writes a file, in place of the one that is there, and tells what is known of it then.
    ///
    /// # Errors
    /// [`TooLarge`](crate::Status::TooLarge). [`Quota`](crate::Status::Quota): more files or bytes than the operator allows.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<FileInfo> {
        let (status, info) = self.write(path, bytes, ptr::null())?;
        self.cx.check(status)?;
        Ok(info.into())
    }

    /// Writes a file only if it has this version, which [`stat`](Files::stat) or an earlier write told; 0: only if it is not
    /// there.
    ///
    /// # Errors
    /// As [`put`](Files::put). Another version is no error.
    pub fn put_if_version(&self, path: &str, bytes: &[u8], version: u64) -> Result<CheckedWrite> {
        let options = PintleFileOptions {
            size: size_of::<PintleFileOptions>() as u32,
            flags: PINTLE_FILE_IF_VERSION,
            if_version: version,
        };
        match self.write(path, bytes, &raw const options)? {
            (PINTLE_CONFLICT, info) => {
                Ok(CheckedWrite::Conflict((info.version != 0).then_some(info.version)))
            }
            (status, info) => self.cx.check(status).map(|()| CheckedWrite::Written(info.version)),
        }
    }

    /// Writes a file only if it is not there yet.
    ///
    /// # Errors
    /// As [`put`](Files::put). That it is there is no error.
    pub fn create(&self, path: &str, bytes: &[u8]) -> Result<CheckedWrite> {
        self.put_if_version(path, bytes, 0)
    }

    /// Reads a file, whole. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Files).
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let get = function!(self.cx.host(), files: PintleFiles, get)?;
        let mut bytes = Vec::new();
        // SAFETY: `path` is borrowed for the call, the sink's buffer outlives it, and info may be null.
        let status =
            unsafe { get(self.cx.raw(), PintleStr::new(path), wire::sink_into(&mut bytes), ptr::null_mut()) };
        Ok(self.found(status)?.then_some(bytes))
    }

    /// Reads at most `len` bytes of a file from `offset` on: fewer where it ends, none behind its end. `None` if it is not
    /// there.
    ///
    /// # Errors
    /// Those of [every function](Files).
    pub fn read(&self, path: &str, offset: u64, len: u64) -> Result<Option<Vec<u8>>> {
        let read = function!(self.cx.host(), files: PintleFiles, read)?;
        let mut bytes = Vec::new();
        // SAFETY: as in `get`.
        let status = unsafe {
            read(
                self.cx.raw(),
                PintleStr::new(path),
                offset,
                len,
                wire::sink_into(&mut bytes),
                ptr::null_mut(),
            )
        };
        Ok(self.found(status)?.then_some(bytes))
    }

    /// What is known of a file. `None` if it is not there.
    ///
    /// # Errors
    /// Those of [every function](Files).
    pub fn stat(&self, path: &str) -> Result<Option<FileInfo>> {
        let stat = function!(self.cx.host(), files: PintleFiles, stat)?;
        let mut info = NOTHING;
        // SAFETY: `path` is borrowed for the call; `info` says its size and is writable for it.
        let status = unsafe { stat(self.cx.raw(), PintleStr::new(path), &raw mut info) };
        Ok(self.found(status)?.then(|| info.into()))
    }

    /// All paths that begin with `prefix` (the empty one: all paths), in byte order; no character has a meaning of its own.
    ///
    /// They are read in pages while the iterator goes on, so what comes or goes meanwhile may be seen or not. A failure is
    /// the last thing that it gives: those of [every function](Files).
    #[must_use]
    pub fn list(&self, prefix: &str) -> Keys<'a> {
        Keys::new(Pages::Files(*self), prefix)
    }

    /// One page of [`list`](Files::list): at most `limit`, 1 to 1,000, from where `cursor` points. An empty cursor is the
    /// first page's; [`KeyPage::next`] has that of the page behind.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) also for a cursor that no page gave, or another limit.
    pub fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<KeyPage> {
        let list = function!(self.cx.host(), files: PintleFiles, list)?;
        let (prefix, cursor) = (PintleStr::new(prefix), PintleStr::new(cursor));
        read_page(self.cx, |out, next| {
            // SAFETY: prefix and cursor are borrowed for the call; the sinks' buffers outlive it.
            unsafe { list(self.cx.raw(), prefix, cursor, limit, wire::sink_into(out), wire::sink_into(next)) }
        })
    }

    /// Removes a file, and tells whether it was there.
    ///
    /// # Errors
    /// Those of [every function](Files).
    pub fn remove(&self, path: &str) -> Result<bool> {
        let remove = function!(self.cx.host(), files: PintleFiles, remove)?;
        let mut existed = 0;
        // SAFETY: `path` is borrowed and `existed` writable for the call.
        self.cx.check(unsafe { remove(self.cx.raw(), PintleStr::new(path), &raw mut existed) })?;
        Ok(existed != 0)
    }

    /// Reads a resource: a file beside the library that the manifest lists in `files`. It is the one that came with this
    /// version of the plugin, whatever becomes of the original. May be called in `load`.
    ///
    /// # Errors
    /// [`NotFound`](crate::Status::NotFound): the manifest does not list it.
    pub fn resource(&self, name: &str) -> Result<Vec<u8>> {
        let resource = function!(self.cx.host(), files: PintleFiles, resource)?;
        let mut bytes = Vec::new();
        // SAFETY: as in `get`.
        let status = unsafe {
            resource(self.cx.raw(), PintleStr::new(name), wire::sink_into(&mut bytes), ptr::null_mut())
        };
        self.cx.check(status)?;
        Ok(bytes)
    }

    /// Was there something? A miss is an answer, not a failure: nobody asks the host for its sentence.
    fn found(&self, status: PintleStatus) -> Result<bool> {
        match status {
            PINTLE_OK => Ok(true),
            PINTLE_NOT_FOUND => Ok(false),
            status => self.cx.check(status).map(|()| true),
        }
    }

    fn write(
        &self,
        path: &str,
        bytes: &[u8],
        options: *const PintleFileOptions,
    ) -> Result<(PintleStatus, PintleFileInfo)> {
        let put = function!(self.cx.host(), files: PintleFiles, put)?;
        let mut info = NOTHING;
        // SAFETY: everything is borrowed, and `info` says its size and is writable for the call; options may be null.
        let status = unsafe {
            put(self.cx.raw(), PintleStr::new(path), PintleBytes::new(bytes), options, &raw mut info)
        };
        Ok((status, info))
    }
}

const NOTHING: PintleFileInfo = PintleFileInfo {
    size: size_of::<PintleFileInfo>() as u32,
    reserved: 0,
    len: 0,
    version: 0,
    created_ms: 0,
    updated_ms: 0,
};

/// What the host knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// How many bytes it has.
    pub len: u64,
    /// Another one with each write; grows over all files, and is never used again. For [`Files::put_if_version`].
    pub version: u64,
    /// When it was first written.
    pub created: SystemTime,
    /// When it was last written.
    pub updated: SystemTime,
}

impl From<PintleFileInfo> for FileInfo {
    fn from(info: PintleFileInfo) -> Self {
        Self {
            len: info.len,
            version: info.version,
            created: at(info.created_ms),
            updated: at(info.updated_ms),
        }
    }
}
