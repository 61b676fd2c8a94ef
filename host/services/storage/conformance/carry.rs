//! Whole plugins: what is exported is what is imported, all of it or nothing.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tempfile::TempDir;

use super::{
    super::{ChangeKind, ExportPlan, GoOn, ImportMode, ImportReport, Lifetime},
    Bed, Tried,
};
use crate::error::{Error, ErrorKind, Result};

/// A plugin for nobody and for acme, and another one.
const SCOPES: [(&str, &str); 3] = [("meter", "acme"), ("meter", ""), ("other", "acme")];

/// A folder for exports.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is a place for temporary files"))
    }

    /// What meter has, for one tenant or for all.
    fn export<B: Bed>(&self, tried: &Tried<B>, name: &str, tenant: Option<&str>) -> PathBuf {
        let path = self.0.path().join(name);
        let plan = ExportPlan { plugin: "meter", tenant, path: &path, overwrite: false, host: "0.0.0" };
        tried.storage.export(&plan, &always()).expect("nothing is in its way");
        path
    }
}

fn always() -> GoOn {
    Arc::new(|| Ok(()))
}

fn import<B: Bed>(tried: &Tried<B>, path: &Path, mode: ImportMode) -> Result<ImportReport> {
    tried.storage.import(path, mode, None, &always())
}

fn filled<B: Bed>() -> Tried<B> {
    let tried = Tried::<B>::with(&SCOPES);
    tried.set("a", b"first");
    tried.pass(3);
    tried.set("a", b"second");
    tried.set_for("b", b"\xff\0", Lifetime::Ms(50_000));
    for scope in [1, 2] {
        tried.set_in(scope, "a", b"");
        tried.set_in(scope, "z", b"of others");
    }
    tried
}

/// Key, value and times of an item.
type Kept = (String, Vec<u8>, [Option<i64>; 3]);

/// Everything that is there but for versions.
fn kept<B: Bed>(tried: &Tried<B>) -> Vec<Vec<Kept>> {
    let scopes = tried.all().into_iter().map(|items| {
        let items = items.into_iter().map(|(name, value, info)| {
            (name, value, [Some(info.created_ms), Some(info.updated_ms), info.expires_ms])
        });
        items.collect()
    });
    scopes.collect()
}

pub(in super::super) fn storage_14_what_is_exported_is_the_same_where_it_is_imported<B: Bed>() {
    let (from, files) = (filled::<B>(), Files::new());
    let export = files.export(&from, "all", None);
    let to = Tried::<B>::with(&SCOPES);
    to.set_in(2, "a", b"another's");
    to.pass(3);
    let before = to.version();
    let done = import(&to, &export, ImportMode::Empty).expect("there is nothing");
    assert_eq!((done.items, done.tenants, done.removed, done.expired), (4, 2, 0, 0));
    assert_eq!(kept(&to)[..2], kept(&from)[..2]);
    assert_eq!((to.counts(0), to.counts(1)), (from.counts(0), from.counts(1)));
    assert_eq!(to.keys_in(2, ""), ["a"], "another plugin's stay");
    let mut versions: Vec<u64> = to.all()[..2].iter().flatten().map(|(.., info)| info.version).collect();
    versions.sort_unstable();
    versions.dedup();
    assert!(versions.len() == 4 && versions[0] > before && versions[3] == to.version(), "{versions:?}");
    let check = to.storage.verify(true, &always()).expect("it can be read");
    assert_eq!((check.scopes, check.items, check.problems), (3, 5, vec![]));
    // They live on as they would have.
    to.pass(50_000);
    assert_eq!(to.keys_in(0, ""), ["a"]);
    let to = to.restart();
    assert_eq!(to.keys_in(1, ""), ["a", "z"]);
}

pub(in super::super) fn storage_14_an_export_of_one_tenant_is_about_no_other<B: Bed>() {
    let (tried, files) = (filled::<B>(), Files::new());
    let export = files.export(&tried, "acme", Some("acme"));
    tried.set_in(0, "new", b"");
    tried.set_in(1, "new", b"");
    let done = import(&tried, &export, ImportMode::Replace).expect("nothing is in its way");
    assert_eq!((done.items, done.removed), (2, 3));
    assert_eq!(
        [0, 1, 2].map(|scope| tried.keys_in(scope, "")),
        [&["a", "b"][..], &["a", "new", "z"], &["a", "z"]]
    );
}

pub(in super::super) fn storage_15_what_is_there_is_in_the_way_or_goes_or_stays<B: Bed>() {
    let (tried, files) = (filled::<B>(), Files::new());
    let export = files.export(&tried, "all", None);
    tried.set("a", b"newer");
    tried.set("c", b"new");
    let before = (tried.all(), tried.version());
    let error = import(&tried, &export, ImportMode::Empty).expect_err("there is something");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains("2 items in the system scope"), "{error}");
    assert_eq!((tried.all(), tried.version()), before);
    assert_eq!(import(&tried, &export, ImportMode::Merge).expect("it may").removed, 0);
    assert_eq!(tried.get("a").map(|(value, _)| value).as_deref(), Some(&b"second"[..]));
    assert_eq!((tried.keys_in(0, ""), tried.counts(0)), (["a", "b", "c"].map(String::from).into(), (3, 14)));
    assert_eq!(import(&tried, &export, ImportMode::Replace).expect("it may").removed, 5);
    assert_eq!((tried.keys_in(0, ""), tried.counts(0)), (["a", "b"].map(String::from).into(), (2, 10)));
    // Those of the file that are over are left out, and those that were there and are over are nobody's.
    tried.pass(50_000);
    let done = import(&tried, &export, ImportMode::Replace).expect("it may");
    assert_eq!((done.items, done.expired, done.removed), (3, 1, 3));
    assert_eq!(tried.keys_in(0, ""), ["a"]);
}

pub(in super::super) fn storage_15_an_import_that_fails_anywhere_changes_nothing<B: Bed>() {
    let (tried, files) = (filled::<B>(), Files::new());
    let export = files.export(&tried, "all", None);
    tried.set("c", b"new");
    let before = (tried.all(), tried.usage(), tried.version(), tried.heard().len());
    // Six lines are looked through, and read again.
    for mode in [ImportMode::Replace, ImportMode::Merge] {
        for fails_at in [1, 6, 7, 9, 10, 12] {
            let steps = AtomicU64::new(0);
            let stop: GoOn = Arc::new(move || match steps.fetch_add(1, Relaxed) + 1 == fails_at {
                true => Err(Error::new(ErrorKind::Stopping, "the host is stopping")),
                false => Ok(()),
            });
            let error = tried.storage.import(&export, mode, None, &stop).expect_err("it was stopped");
            assert_eq!(error.kind(), ErrorKind::Stopping, "{mode:?}, at {fails_at}: {error}");
            let after = (tried.all(), tried.usage(), tried.version(), tried.heard().len());
            assert_eq!(after, before, "{mode:?}, at {fails_at}");
        }
    }
}

pub(in super::super) fn storage_8_an_import_is_told_as_other_writes_are<B: Bed>() {
    let (tried, files) = (filled::<B>(), Files::new());
    let export = files.export(&tried, "all", None);
    tried.set("c", b"new");
    let (heard, before) = (tried.heard().len(), tried.version());
    import(&tried, &export, ImportMode::Replace).expect("nothing is in its way");
    let told = tried.heard().split_off(heard);
    let what: Vec<_> = told.iter().map(|change| (change.kind, &*change.key)).collect();
    assert_eq!(what, [(ChangeKind::Cleared, ""), (ChangeKind::Set, "a"), (ChangeKind::Set, "b")]);
    let numbered: Vec<_> = tried.told("", before).into_iter().map(|change| change.version).collect();
    assert_eq!(numbered, told.iter().map(|change| change.version).collect::<Vec<_>>());
    import(&tried, &export, ImportMode::Merge).expect("nothing is in its way");
    let told = tried.heard().split_off(heard + 3);
    let what: Vec<_> = told.iter().map(|change| (change.kind, &*change.key)).collect();
    assert_eq!(what, [(ChangeKind::Set, "a"), (ChangeKind::Set, "b")]);
}
