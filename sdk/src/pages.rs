//! Lists of keys, page by page: of storage, of files and of the cache.

use std::{collections::VecDeque, fmt, iter::FusedIterator};

use pintle_abi::PintleStatus;

use crate::{Cache, Context, Files, Result, Storage};

/// One page of keys, or of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// In byte order, but in none if they are of the cache.
    pub keys: Vec<String>,
    /// The cursor of the page behind; `None` after the last.
    pub next: Option<String>,
}

/// Asks the host for a page: `ask` lets it fill in the keys, and the cursor of the page behind.
pub(crate) fn read_page(
    cx: &Context,
    ask: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> PintleStatus,
) -> Result<KeyPage> {
    let (mut out, mut next) = (Vec::new(), Vec::new());
    cx.check(ask(&mut out, &mut next))?;
    // Each key is followed by a NUL, which is in none.
    let keys = out.split(|byte| *byte == 0).filter(|key| !key.is_empty());
    let keys: Result<_, _> = keys.map(|key| str::from_utf8(key).map(str::to_owned)).collect();
    let next = String::from_utf8(next)?;
    Ok(KeyPage { keys: keys?, next: (!next.is_empty()).then_some(next) })
}

/// Where pages are read.
#[derive(Clone, Copy)]
pub(crate) enum Pages<'a> {
    Cache(Cache<'a>),
    Storage(Storage<'a>),
    Files(Files<'a>),
}

impl Pages<'_> {
    /// Large enough that the calls do not show, and far below what would fill memory.
    const LIMIT: u32 = 250;

    fn read(&self, prefix: &str, cursor: &str) -> Result<KeyPage> {
        match self {
            Self::Cache(cache) => cache.page(prefix, cursor, Self::LIMIT),
            Self::Storage(storage) => storage.page(prefix, cursor, Self::LIMIT),
            Self::Files(files) => files.page(prefix, cursor, Self::LIMIT),
        }
    }
}

/// The keys that begin with a prefix. From [`Storage::keys`], [`Files::list`] and [`Cache::keys`].
pub struct Keys<'a> {
    pages: Pages<'a>,
    prefix: String,
    page: VecDeque<String>,
    /// The cursor of the page to read next; `None` when there is none.
    next: Option<String>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(pages: Pages<'a>, prefix: &str) -> Self {
        Self { pages, prefix: prefix.to_owned(), page: VecDeque::new(), next: Some(String::new()) }
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.pop_front() {
                return Some(Ok(key));
            }
            let cursor = self.next.take()?;
            match self.pages.read(&self.prefix, &cursor) {
                Ok(page) => (self.page, self.next) = (page.keys.into(), page.next),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for Keys<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
