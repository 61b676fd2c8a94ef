//! The store on the disk: the suite that every store passes, and what only this one can show: where it lies, what it does
//! with links, with damage and with what a crash has left.

use std::{collections::BTreeMap, fs, os::unix::fs as unix, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::services::{
    clock::ManualClock,
    files::{
        Files,
        conformance::{Bed, Scopes, suites},
    },
    ledger::LedgerOptions,
};

/// A data folder, with things beside it that are nobody's business.
pub(super) struct OnDisk {
    around: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl OnDisk {
    fn open(around: TempDir, clock: &Arc<ManualClock>) -> Self {
        let data = around.path().join("data");
        fs::create_dir_all(&data).expect("it can be made");
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(clock) as _,
            schemas: vec![SCHEMA],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(data.join("ledger.db"), options).expect("nothing is in its way");
        Self { around, clock: Arc::clone(clock), ledger: Arc::new(ledger) }
    }

    fn data(&self) -> PathBuf {
        self.around.path().join("data")
    }

    fn disk_files(&self) -> DiskFiles {
        let options = DiskOptions {
            data: self.data(),
            durability: Durability::Normal,
            report: Box::new(|error| panic!("{error}")),
        };
        DiskFiles::open(Arc::clone(&self.ledger), options).expect("nothing is in its way")
    }

    /// Swept through, to the end.
    fn files(&self) -> Files {
        let store = self.disk_files();
        if let Some(sweep) = store.sweep.lock().take() {
            sweep.done();
        }
        Files::new(Box::new(store), 1 << 20)
    }
}

impl Bed for OnDisk {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn store(&self) -> Box<dyn FileStore> {
        Box::new(self.disk_files())
    }

    fn restart(self) -> Self {
        let Self { around, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the store has let go of it"));
        Self::open(around, &clock)
    }
}

suites!(OnDisk);

/// A place to plant things in, and one that nothing may reach.
struct Planted {
    bed: OnDisk,
    files: Files,
    scopes: Scopes,
    outside: PathBuf,
}

const SECRET: &[u8] = b"secret!";

impl Planted {
    /// With a file that is as long as the secret outside.
    fn new() -> Self {
        let bed = OnDisk::new(&ManualClock::at(0));
        let outside = bed.around.path().join("outside");
        fs::create_dir(&outside).expect("it can be made");
        fs::write(outside.join("secret"), SECRET).expect("it can be written");
        let files = bed.files();
        let scopes = Scopes::of(&[("meter", "acme")]);
        files.write(&scopes.at(0), "a", b"1234567").expect("there is room");
        Self { bed, files, scopes, outside }
    }

    fn scope_folder(&self) -> PathBuf {
        self.bed.data().join("files/meter/1")
    }

    /// The one blob that there is.
    fn blob(&self) -> PathBuf {
        let mut blobs = fs::read_dir(self.scope_folder()).expect("the scope has a folder");
        let blob = blobs.next().expect("it has a blob").expect("it can be read").path();
        assert!(blobs.next().is_none(), "it has one blob");
        blob
    }

    fn get(&self) -> Result<Vec<u8>> {
        Ok(self.files.fetch(&self.scopes.at(0), "a")?.expect("it is known").0)
    }

    fn put(&self, bytes: &[u8]) -> Result<Info> {
        self.files.write(&self.scopes.at(0), "a", bytes).map_err(|refused| refused.error)
    }

    /// What lies outside, all of it.
    fn untouched(&self) {
        let list: Vec<_> = fs::read_dir(&self.outside).expect("it is there").collect();
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(fs::read(self.outside.join("secret")).expect("it is there"), SECRET);
    }
}

#[test]
fn files_2_a_link_in_the_place_of_a_blob_is_not_followed() {
    let planted = Planted::new();
    let blob = planted.blob();
    fs::remove_file(&blob).expect("it is there");
    unix::symlink(planted.outside.join("secret"), &blob).expect("it can be made");
    let told = planted.get().expect_err("it is a link").to_string();
    let named = told.contains("\"a\" is damaged") && told.contains(blob.to_str().expect("it is text"));
    assert!(named && told.contains("is a link"), "{told}");
    planted.put(b"new").expect("a write does not look at the old one");
    assert_eq!(planted.get().expect("it was written"), b"new");
    assert!(!blob.is_symlink(), "the link went with the blob whose place it took");
    planted.untouched();
}

#[test]
fn files_2_a_hard_link_in_the_place_of_a_blob_is_never_written_through() {
    let planted = Planted::new();
    let blob = planted.blob();
    fs::remove_file(&blob).expect("it is there");
    fs::hard_link(planted.outside.join("secret"), &blob).expect("it can be made");
    planted.put(b"another").expect("a write makes a new blob");
    assert_eq!(planted.get().expect("it was written"), b"another");
    planted.untouched();
}

#[test]
fn files_2_links_in_the_place_of_folders_are_not_entered() {
    for depth in ["files", "files/meter", "files/meter/1"] {
        let planted = Planted::new();
        let (folder, aside) = (planted.bed.data().join(depth), planted.bed.around.path().join("aside"));
        fs::rename(&folder, &aside).expect("it is there");
        // It leads to where all would be found, so that only the link itself keeps anybody out.
        unix::symlink(&aside, &folder).expect("it can be made");
        let before = listing(&aside);
        for told in [planted.get().map(drop), planted.put(b"new").map(drop)] {
            let error = told.expect_err("there is a link");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let named = format!("{} is a link or no folder", folder.display());
            assert!(error.to_string().contains(&named), "{error}");
        }
        assert_eq!(listing(&aside), before, "behind {depth}");
        // Nor does the next start tidy up behind it.
        drop(planted.bed.files());
        assert_eq!(listing(&aside), before, "behind {depth}");
        let told =
            planted.files.remove(&planted.scopes.at(0), FilePath::parse("path", b"a").expect("a path"));
        assert!(told.expect("the index can be written"), "it is gone, whatever lies there");
        assert_eq!(listing(&aside), before, "behind {depth}");
        planted.untouched();
    }
}

#[test]
fn files_2_links_where_the_next_blobs_would_be_are_not_written_through() {
    let planted = Planted::new();
    let last: u64 =
        planted.blob().file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a number");
    let secret = planted.outside.join("secret");
    for next in 1..4 {
        let name = format!("{}{UNFINISHED}", last + next);
        unix::symlink(&secret, planted.scope_folder().join(name)).expect("it can be made");
    }
    for next in 4..6 {
        unix::symlink(&secret, planted.scope_folder().join((last + next).to_string()))
            .expect("it can be made");
    }
    planted.put(b"new").expect("there are other numbers");
    assert_eq!(planted.get().expect("it was written"), b"new");
    planted.put(b"newer").expect("there are other numbers");
    assert_eq!(planted.get().expect("it was written"), b"newer");
    planted.untouched();
}

#[test]
fn what_is_no_file_in_the_place_of_a_blob_holds_up_nobody() {
    let planted = Planted::new();
    let blob = planted.blob();
    fs::remove_file(&blob).expect("it is there");
    let made = std::process::Command::new("mkfifo").arg(&blob).status().expect("there is a mkfifo");
    assert!(made.success());
    assert!(planted.get().expect_err("it is a pipe").to_string().contains("no file"));
    fs::remove_file(&blob).expect("it is there");
    fs::create_dir(&blob).expect("it can be made");
    assert!(planted.get().expect_err("it is a folder").to_string().contains("no file"));
    planted.put(b"new").expect("a write does not look at the old one");
    assert_eq!(planted.get().expect("it was written"), b"new");
}

#[test]
fn files_3_a_damaged_blob_is_told_with_what_to_do_and_can_be_written_anew() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 3] = [
        ("is gone", |blob| fs::remove_file(blob).expect("it is there")),
        ("has 3 bytes, 7 were written", |blob| fs::write(blob, b"123").expect("it can be written")),
        ("has 9 bytes, 7 were written", |blob| fs::write(blob, b"123456789").expect("it can be written")),
    ];
    for (word, damage) in cases {
        let planted = Planted::new();
        let blob = planted.blob();
        damage(&blob);
        let error = planted.get().expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let told = error.to_string();
        for part in
            ["\"a\" is damaged", blob.to_str().expect("it is text"), word, "put it back from a backup"]
        {
            assert!(told.contains(part), "{told}");
        }
        planted.put(b"new").expect("it can be written anew");
        assert_eq!(planted.get().expect("it was written"), b"new");
        fs::remove_dir_all(planted.bed.data().join("files")).expect("it is there");
        assert!(planted.get().expect_err("all is gone").to_string().contains("is gone"));
        planted.put(b"newer").expect("the folders are made again");
        assert_eq!(planted.get().expect("it was written"), b"newer");
    }
}

#[test]
fn files_3_what_a_crash_has_left_goes_with_the_next_start_and_nothing_else_does() {
    let planted = Planted::new();
    let (kept, folder) = (planted.blob(), planted.scope_folder());
    let first = index::first_of(1);
    let write = |name: &str| fs::write(folder.join(name), b"x").expect("it can be written");
    // More than one step's worth of what an earlier run can have left.
    for number in 1..=300 {
        write(&(first + 5_000 + number).to_string());
    }
    write(&format!("{}{UNFINISHED}", first + 77));
    write("12");
    // What this run will write, and what no host has put there.
    let (next, theirs) =
        ((index::first_of(2) + 9).to_string(), ["007", "notes.txt", "12.old", "-5", "x.new"]);
    write(&next);
    theirs.iter().for_each(|name| write(name));
    let dead = planted.bed.data().join("files/meter/99");
    fs::create_dir(&dead).expect("it can be made");
    fs::write(dead.join((first + 1).to_string()), b"x").expect("it can be written");
    let Planted { bed, files, scopes, .. } = planted;
    files.close();
    drop(files);
    let bed = bed.restart();
    let files = bed.files();
    let kept = kept.file_name().expect("it has a name").to_string_lossy().into_owned();
    let left: Vec<_> = listing(&folder).into_keys().collect();
    let mut expected: Vec<String> = theirs.iter().map(ToString::to_string).chain([next, kept]).collect();
    expected.sort();
    assert_eq!(left, expected);
    assert!(!dead.exists(), "no scope has that number");
    assert_eq!(files.fetch(&scopes.at(0), "a").expect("it can be read").expect("it is there").0, b"1234567");
}

#[test]
fn a_scope_without_files_leaves_nothing_behind() {
    let planted = Planted::new();
    assert!(planted.scope_folder().is_dir());
    let a = FilePath::parse("path", b"a").expect("it is one");
    assert!(planted.files.remove(&planted.scopes.at(0), a).expect("it can be written"));
    assert!(!planted.scope_folder().exists(), "tenants come and go");
    planted.put(b"again").expect("it gets another");
    assert_eq!(planted.get().expect("it was written"), b"again");
    assert!(planted.bed.data().join("files/meter/2").is_dir());
}

#[test]
fn a_scope_that_loses_its_last_file_while_others_write_to_it_loses_no_write() {
    let bed = OnDisk::new(&ManualClock::at(0));
    let (files, scopes) = (bed.files(), Scopes::of(&[("meter", "acme")]));
    std::thread::scope(|threads| {
        for writer in 0..4 {
            let (files, scopes) = (&files, &scopes);
            threads.spawn(move || {
                let name = format!("{writer}");
                let path = FilePath::parse("path", name.as_bytes()).expect("it is one");
                for number in 0..100_u8 {
                    files.write(&scopes.at(0), &name, &[number]).expect("nothing is in its way");
                    let (bytes, _) =
                        files.fetch(&scopes.at(0), &name).expect("it can be read").expect("it is there");
                    assert_eq!(bytes, [number]);
                    assert!(files.remove(&scopes.at(0), path).expect("it can be written"));
                }
            });
        }
    });
    assert!(files.usage().expect("it can be read").is_empty());
    let left = fs::read_dir(bed.data().join("files/meter")).expect("the plugin has a folder");
    let left: Vec<_> = left.map(|entry| listing(&entry.expect("it can be read").path())).collect();
    assert!(left.iter().all(BTreeMap::is_empty), "{left:?}");
}

#[test]
fn folders_and_blobs_are_for_this_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let planted = Planted::new();
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for depth in ["files", "files/meter", "files/meter/1"] {
        assert_eq!(mode(planted.bed.data().join(depth)), 0o700, "{depth}");
    }
    assert_eq!(mode(planted.blob()), 0o600);
}

#[test]
fn a_plugins_folder_is_its_id_and_any_other_text_is_one_name_too() {
    let cases = [
        ("meter-2", "meter-2"),
        ("con", "=63on"),
        ("com1", "=63om1"),
        ("com", "com"),
        ("lpt0", "=6cpt0"),
        ("..", "=2e=2e"),
        ("a/b", "a=2fb"),
        ("A", "=41"),
        ("", "="),
        ("=", "=3d"),
    ];
    for (plugin, folder) in cases {
        assert_eq!(folder_name(plugin), folder);
    }
}

/// What lies in a folder, with its bytes; folders in it by their names.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("it is a folder").map(|entry| entry.expect("it can be read"));
    let mut list = BTreeMap::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().expect("it can be read").is_dir() {
            let below = listing(&entry.path()).into_iter();
            list.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            list.insert(name, fs::read(entry.path()).unwrap_or_default());
        }
    }
    list
}
