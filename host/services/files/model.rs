//! Files in memory, as plainly as it goes: what the suite is tried on beside real stores, so that it asks for nothing that
//! only one of them does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::{
    FilePath, FileStore, PIECE,
    conformance::{Bed, suites},
    item::{Growth, Info, Part, Put, Refused, Total, Usage, conflict},
};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::clock::{Clock, ManualClock},
};

type Scope = (Arc<str>, Arc<str>);

/// Those of one scope, by path.
type Blobs = BTreeMap<String, (Arc<[u8]>, Info)>;

#[derive(Default)]
struct Kept {
    files: BTreeMap<Scope, Blobs>,
    version: u64,
}

impl Kept {
    fn total<'a>(scopes: impl Iterator<Item = &'a Blobs>) -> Total {
        scopes.flat_map(BTreeMap::values).fold(Total::default(), |total, (_, info)| Total {
            files: total.files + 1,
            bytes: total.bytes + info.len,
        })
    }
}

/// A store that keeps nothing behind the end of the process.
struct Model {
    kept: Arc<Mutex<Kept>>,
    clock: Arc<ManualClock>,
    closed: AtomicBool,
}

impl Model {
    fn kept(&self) -> Result<parking_lot::MutexGuard<'_, Kept>> {
        if self.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the host has stopped"));
        }
        Ok(self.kept.lock())
    }

    fn find(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<Option<(Arc<[u8]>, Info)>> {
        let scope = place(scope)?;
        Ok(self.kept()?.files.get(&scope).and_then(|files| files.get(path.as_str())).cloned())
    }
}

fn place(scope: &DataScope<'_>) -> Result<Scope> {
    Ok((Arc::clone(scope.id), Arc::clone(scope.tenant()?.name())))
}

impl FileStore for Model {
    fn put(&self, scope: &DataScope<'_>, path: FilePath<'_>, put: &Put<'_>) -> Result<Info, Refused> {
        let (scope, now, mut kept) = (place(scope)?, self.clock.now_ms(), self.kept()?);
        let old = kept.files.get(&scope).and_then(|files| files.get(path.as_str())).map(|(_, info)| *info);
        let current = old.map_or(0, |old| old.version);
        if let Some(wanted) = put.if_version.filter(|wanted| *wanted != current) {
            return Err(conflict(path, wanted, current));
        }
        let plugins = kept.files.iter().filter(|((plugin, _), _)| *plugin == scope.0).map(|(_, files)| files);
        let growth = Growth {
            plugin: Kept::total(plugins),
            tenant: Kept::total(kept.files.get(&scope).into_iter()),
            files: old.is_none().into(),
            bytes: put.bytes.len() as u64,
            freed: old.map_or(0, |old| old.len),
        };
        growth.check(&put.quotas)?;
        kept.version += 1;
        let info = Info {
            len: put.bytes.len() as u64,
            version: kept.version,
            created_ms: old.map_or(now, |old| old.created_ms),
            updated_ms: now,
        };
        kept.files.entry(scope).or_default().insert(path.as_str().into(), (put.bytes.into(), info));
        Ok(info)
    }

    fn read(
        &self,
        scope: &DataScope<'_>,
        path: FilePath<'_>,
        part: Part,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<Info>> {
        let Some((bytes, info)) = self.find(scope, path)? else { return Ok(None) };
        let start = part.offset.min(info.len) as usize;
        for piece in bytes[start..start + part.within(info.len) as usize].chunks(PIECE) {
            take(piece)?;
        }
        Ok(Some(info))
    }

    fn stat(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<Option<Info>> {
        Ok(self.find(scope, path)?.map(|(_, info)| info))
    }

    fn list(
        &self,
        scope: &DataScope<'_>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let scope = place(scope)?;
        let kept = self.kept()?;
        let paths = kept.files.get(&scope).into_iter().flat_map(BTreeMap::keys);
        let wanted =
            paths.filter(|path| path.starts_with(prefix) && after.is_none_or(|after| path.as_str() > after));
        Ok(wanted.take(limit).cloned().collect())
    }

    fn remove(&self, scope: &DataScope<'_>, path: FilePath<'_>) -> Result<bool> {
        let scope = place(scope)?;
        Ok(self.kept()?.files.get_mut(&scope).is_some_and(|files| files.remove(path.as_str()).is_some()))
    }

    fn usage(&self) -> Result<Vec<Usage>> {
        let kept = self.kept()?;
        let usage = kept.files.iter().map(|((plugin, tenant), files)| {
            let Total { files, bytes } = Kept::total([files].into_iter());
            Usage { plugin: Arc::clone(plugin), tenant: Arc::clone(tenant), files, bytes }
        });
        Ok(usage.filter(|used| used.files > 0).collect())
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }
}

struct InMemory {
    kept: Arc<Mutex<Kept>>,
    clock: Arc<ManualClock>,
}

impl Bed for InMemory {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self { kept: Arc::default(), clock: Arc::clone(clock) }
    }

    fn store(&self) -> Box<dyn FileStore> {
        let (kept, clock) = (Arc::clone(&self.kept), Arc::clone(&self.clock));
        Box::new(Model { kept, clock, closed: AtomicBool::new(false) })
    }

    fn restart(self) -> Self {
        self
    }
}

suites!(InMemory);
