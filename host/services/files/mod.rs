//! Files: blobs by path, each under (plugin, tenant, path), and the resources that a plugin brings along. A write that has
//! returned is on disk, whole.
//!
//! [`Files`] is the front that the tables call: it knows the limits, the same for every store. [`FileStore`] is what a store
//! does; `disk/` is the one that is always there. [`path`] says what a path is, [`item`] what is known of a file,
//! `resources.rs` what a generation was staged with.

mod disk;
mod item;
mod path;
mod resources;
mod store;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod model;

pub(crate) use self::{
    disk::{DiskFiles, DiskOptions, SCHEMA},
    item::{Info, Page, Part, Put, Refused, Usage},
    path::FilePath,
    resources::Resources,
    store::FileStore,
};
use super::{cursor, keys::page_limit};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
};

/// How many bytes are read at once: large files are not held in memory.
const PIECE: usize = 64 << 10;

/// The files of one host.
pub(crate) struct Files {
    store: Box<dyn FileStore>,
    largest: usize,
}

impl Files {
    /// `largest`: the most bytes that a file may have.
    pub(crate) fn new(store: Box<dyn FileStore>, largest: usize) -> Self {
        Self { store, largest }
    }

    /// Writes a file, in place of the one that is there.
    pub(crate) fn put(
        &self,
        scope: &DataScope<'_>,
        path: FilePath<'_>,
        put: &Put<'_>,
    ) -> Result<Info, Refused> {
        let (len, largest) = (put.bytes.len(), self.largest);
        if len > largest {
            let error = Error::lazy(ErrorKind::TooLarge, move || {
                format!(
                    "argument `bytes`: {len} bytes, at most {largest} are taken (files.max_size in the settings)"
                )
            });
            return Err(error.into());
        }
        self.store.put(scope, path, put)
    }

    /// Hands a part of a file to `take`, in pieces, at least one; none if it is not there.
    pub(crate) fn read(
        &self,
        scope: &DataScope<'_>,
        path: FilePath<'_>,
        part: Part,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Info>> {
        let found = self.store.read(scope, path, part, take)?;
        if let Some(info) = found
            && part.within(info.len) == 0
        {
            take(&[])?;
        }
        Ok(found)
    }

    /// What is known of a file; none if it is not there.
    pub(crate) fn stat(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<Option<Info>> {
        self.store.stat(scope, path)
    }

    /// A page of the paths that begin with `prefix`. `cursor`: empty for the first one, else what the page before it
    /// said; `limit`: 0 is 100.
    pub(crate) fn list(&self, scope: &DataScope<'_>, prefix: &str, cursor: &str, limit: u32) -> Result<Page> {
        let limit = page_limit(limit)?;
        let after = cursor::read(cursor, prefix)?;
        // One more than asked for tells whether there is a next page.
        let mut paths = self.store.list(scope, prefix, after.as_deref(), limit + 1)?;
        let more = paths.len() > limit;
        paths.truncate(limit);
        let next = paths.last().filter(|_| more).map(|last| cursor::after(last));
        Ok(Page { paths, next })
    }

    /// Removes a file; tells whether it was there.
    pub(crate) fn remove(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<bool> {
        self.store.remove(scope, path)
    }

    /// What each scope has that has any file, in no order.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>> {
        self.store.usage()
    }

    /// Nobody is to call it any more.
    pub(crate) fn close(&self) {
        self.store.close();
    }
}

/// It is not there.
pub(crate) fn not_found(path: FilePath<'_>) -> Error {
    let path = path.as_str().to_owned();
    Error::lazy(ErrorKind::NotFound, move || format!("there is no file {path:?} in this scope"))
}
