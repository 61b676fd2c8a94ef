//! What every store of files must do, written once against the trait. A store runs all of it by naming it in [`suites`].

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use super::{FilePath, FileStore, Files, Info, PIECE, Page, Part, Put, Refused, Usage};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::DataScope,
    services::{
        clock::{Clock, ManualClock},
        storage::{Quota, Quotas},
    },
};

/// The most bytes that a file may have here.
const LARGEST: usize = 1 << 20;

/// When the tests begin.
const START: i64 = 1_000_000;

/// A store under test.
pub(super) trait Bed: Sized + Sync {
    /// An empty one, by this clock.
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn store(&self) -> Box<dyn FileStore>;

    /// The host ends and comes again.
    fn restart(self) -> Self;
}

/// The tests of a store. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::files::conformance::each! { $bed {
            #[test]
            fn files_1_what_was_put_is_there_with_what_is_known_of_it();
            #[test]
            fn files_1_a_part_is_what_lies_within_the_file();
            #[test]
            fn files_1_a_large_file_comes_in_pieces_and_a_taker_can_end_it();
            #[test]
            fn files_1_listing_is_by_literal_prefix_in_byte_order();
            #[test]
            fn files_1_pages_go_on_where_they_were_whatever_is_removed();
            #[test]
            fn files_1_remove_tells_whether_there_was_one();
            #[test]
            fn files_1_versions_come_from_one_sequence_and_never_twice();
            #[test]
            fn files_1_a_conflict_tells_the_version_and_changes_nothing();
            #[test]
            fn files_1_of_many_that_write_on_one_version_one_does();
            #[test]
            fn files_1_a_file_has_up_to_the_largest_size();
            #[test]
            fn files_2_paths_differ_if_their_bytes_do();
            #[test]
            fn files_3_whoever_reads_sees_one_version_whole_while_others_write();
            #[test]
            fn everywhere_4_no_names_can_be_chosen_so_that_scopes_of_files_meet();
            #[test]
            fn everywhere_11_above_a_quota_of_files_nothing_is_written_and_what_shrinks_is();
            #[test]
            fn what_was_put_is_there_after_a_restart();
            #[test]
            fn usage_is_what_is_there_of_files();
            #[test]
            fn a_closed_store_answers_unavailable();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] fn $test:ident();)* }) => {
        $(#[test] fn $test() { $crate::services::files::conformance::$test::<$bed>(); })*
    };
}
pub(super) use {each, suites};

pub(super) use crate::services::scopes::Scopes;

pub(super) fn path(text: &str) -> FilePath<'_> {
    FilePath::parse("path", text.as_bytes()).expect("it is a path")
}

/// Files as most tests use them.
impl Files {
    pub(super) fn write(&self, scope: &DataScope<'_>, name: &str, bytes: &[u8]) -> Result<Info, Refused> {
        self.put(scope, path(name), &Put { bytes, if_version: None, quotas: Quotas::default() })
    }

    pub(super) fn fetch(&self, scope: &DataScope<'_>, name: &str) -> Result<Option<(Vec<u8>, Info)>> {
        let mut bytes = Vec::new();
        let info = self.read(scope, path(name), Part::WHOLE, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(info.map(|info| (bytes, info)))
    }
}

struct Tried<B: Bed> {
    bed: B,
    files: Files,
    clock: Arc<ManualClock>,
    scopes: Scopes,
}

impl<B: Bed> Tried<B> {
    fn with(scopes: &[(&str, &str)]) -> Self {
        let clock = ManualClock::at(START);
        let bed = B::new(&clock);
        let files = Files::new(bed.store(), LARGEST);
        Self { bed, files, clock, scopes: Scopes::of(scopes) }
    }

    fn one() -> Self {
        Self::with(&[("meter", "acme")])
    }

    fn restart(self) -> Self {
        self.files.close();
        drop(self.files);
        let bed = self.bed.restart();
        let files = Files::new(bed.store(), LARGEST);
        Self { bed, files, clock: self.clock, scopes: self.scopes }
    }

    fn put_in(&self, scope: usize, name: &str, bytes: &[u8]) -> Info {
        self.files
            .write(&self.scopes.at(scope), name, bytes)
            .unwrap_or_else(|refused| panic!("{name}: {refused:?}"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Info {
        self.put_in(0, name, bytes)
    }

    fn put_if(&self, name: &str, bytes: &[u8], version: u64) -> Result<Info, Refused> {
        let put = Put { bytes, if_version: Some(version), quotas: Quotas::default() };
        self.files.put(&self.scopes.at(0), path(name), &put)
    }

    fn get_in(&self, scope: usize, name: &str) -> Option<(Vec<u8>, Info)> {
        self.files.fetch(&self.scopes.at(scope), name).expect("it can be read")
    }

    fn get(&self, name: &str) -> Option<(Vec<u8>, Info)> {
        self.get_in(0, name)
    }

    fn part(&self, name: &str, offset: u64, len: u64) -> Option<(Vec<u8>, u64)> {
        let mut bytes = Vec::new();
        let mut pieces = 0;
        let info = self.files.read(&self.scopes.at(0), path(name), Part { offset, len }, &mut |piece| {
            bytes.extend_from_slice(piece);
            pieces += 1;
            Ok(())
        });
        let info = info.expect("it can be read")?;
        assert!(pieces > 0, "an empty part is told too");
        Some((bytes, info.len))
    }

    fn stat(&self, name: &str) -> Option<Info> {
        self.files.stat(&self.scopes.at(0), path(name)).expect("it can be read")
    }

    fn remove_in(&self, scope: usize, name: &str) -> bool {
        self.files.remove(&self.scopes.at(scope), path(name)).expect("it can be written")
    }

    fn remove(&self, name: &str) -> bool {
        self.remove_in(0, name)
    }

    fn page(&self, prefix: &str, cursor: &str, limit: u32) -> Result<Page> {
        self.files.list(&self.scopes.at(0), prefix, cursor, limit)
    }

    fn paths_in(&self, scope: usize, prefix: &str) -> Vec<String> {
        let page = self.files.list(&self.scopes.at(scope), prefix, "", 1_000).expect("it can be read");
        assert_eq!(page.next, None);
        page.paths
    }

    fn usage(&self) -> Vec<(String, String, u64, u64)> {
        let usage = self.files.usage().expect("it can be read").into_iter();
        let usage = usage.map(|Usage { plugin, tenant, files, bytes }| {
            (plugin.to_string(), tenant.to_string(), files, bytes)
        });
        usage.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

pub(super) fn files_1_what_was_put_is_there_with_what_is_known_of_it<B: Bed>() {
    let tried = Tried::<B>::one();
    assert_eq!((tried.get("a/b"), tried.stat("a/b")), (None, None));
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [&b"one"[..], b"", b"\0", &every] {
        let first = tried.put("a/b", bytes);
        assert_eq!(tried.get("a/b"), Some((bytes.to_vec(), first)));
        assert_eq!(tried.stat("a/b"), Some(first));
        assert_eq!(first.len, bytes.len() as u64);
    }
    let first = tried.stat("a/b").expect("it was put");
    assert_eq!((first.created_ms, first.updated_ms), (START, START));
    tried.clock.set_wall(START + 7);
    let second = tried.put("a/b", b"two");
    assert_eq!((second.created_ms, second.updated_ms), (START, START + 7));
    assert!(tried.remove("a/b"));
    let third = tried.put("a/b", b"three");
    assert_eq!((third.created_ms, third.updated_ms), (START + 7, START + 7), "it is another file");
}

pub(super) fn files_1_a_part_is_what_lies_within_the_file<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.put("a", b"0123456789");
    let cases: [(u64, u64, &[u8]); 9] = [
        (0, 10, b"0123456789"),
        (0, u64::MAX, b"0123456789"),
        (3, 4, b"3456"),
        (9, 5, b"9"),
        (10, 1, b""),
        (11, 1, b""),
        (u64::MAX, u64::MAX, b""),
        (0, 0, b""),
        (5, u64::MAX - 2, b"56789"),
    ];
    for (offset, len, expected) in cases {
        assert_eq!(tried.part("a", offset, len), Some((expected.to_vec(), 10)), "{len} from {offset}");
    }
    assert_eq!(tried.part("b", 0, 1), None);
}

pub(super) fn files_1_a_large_file_comes_in_pieces_and_a_taker_can_end_it<B: Bed>() {
    let tried = Tried::<B>::one();
    let bytes: Vec<u8> = (0..LARGEST).map(|at| (at * 31 % 251) as u8).collect();
    tried.put("a", &bytes);
    let (mut got, mut largest) = (Vec::new(), 0);
    let info = tried.files.read(&tried.scopes.at(0), path("a"), Part::WHOLE, &mut |piece| {
        got.extend_from_slice(piece);
        largest = largest.max(piece.len());
        Ok(())
    });
    assert!(info.expect("it can be read").is_some() && got == bytes);
    assert!(largest <= PIECE, "a piece had {largest} bytes");
    let mut pieces = 0;
    let ended = tried.files.read(&tried.scopes.at(0), path("a"), Part::WHOLE, &mut |_| {
        pieces += 1;
        if pieces == 2 { Err(Error::new(ErrorKind::Cancelled, "enough")) } else { Ok(()) }
    });
    assert_eq!(ended.expect_err("it was ended").kind(), ErrorKind::Cancelled);
    assert_eq!(pieces, 2, "nothing comes after the end");
}

pub(super) fn files_1_listing_is_by_literal_prefix_in_byte_order<B: Bed>() {
    let tried = Tried::<B>::one();
    let all =
        ["B", "a", "a%", "a%b", "a*", "a/1", "a/10", "a/2", "aX", "a_", "ab", "z", "ä", "äb", "\u{10ffff}"];
    for name in all.iter().rev() {
        tried.put(name, b"");
    }
    let cases: [(&str, &[&str]); 9] = [
        ("", &all),
        ("a/", &["a/1", "a/10", "a/2"]),
        ("a%", &["a%", "a%b"]),
        ("a_", &["a_"]),
        ("A", &[]),
        ("ä", &["ä", "äb"]),
        ("\u{10ffff}", &["\u{10ffff}"]),
        ("/", &[]),
        ("a/10/", &[]),
    ];
    for (prefix, expected) in cases {
        assert_eq!(tried.paths_in(0, prefix), expected, "with the prefix {prefix:?}");
    }
}

pub(super) fn files_1_pages_go_on_where_they_were_whatever_is_removed<B: Bed>() {
    let tried = Tried::<B>::one();
    let names: Vec<_> = (0..25).map(|number| format!("n/{number:02}")).collect();
    for name in &names {
        tried.put(name, b"");
    }
    let first = tried.page("n/", "", 10).expect("it can be read");
    assert_eq!(first.paths, names[..10]);
    let next = first.next.expect("there is more");
    for gone in ["n/09", "n/03", "n/10"] {
        assert!(tried.remove(gone));
    }
    tried.put("n/095", b"");
    let second = tried.page("n/", &next, 10).expect("it can be read");
    assert_eq!((&*second.paths[0], &second.paths[1..]), ("n/095", &names[11..20]));
    let third = tried.page("n/", &second.next.expect("there is more"), 10).expect("it can be read");
    assert_eq!((&third.paths[..], third.next), (&names[20..], None));
    for (prefix, cursor, limit) in [("x", &*next, 1), ("", "garbage", 1), ("", "1.!", 1), ("", "", 1_001)] {
        let error = tried.page(prefix, cursor, limit).expect_err("it is none of this listing");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

pub(super) fn files_1_remove_tells_whether_there_was_one<B: Bed>() {
    let tried = Tried::<B>::one();
    assert!(!tried.remove("a"));
    tried.put("a", b"1");
    tried.put("a/b", b"2");
    assert_eq!((tried.remove("a"), tried.remove("a")), (true, false));
    assert_eq!((tried.get("a"), tried.paths_in(0, "")), (None, vec!["a/b".to_owned()]));
}

pub(super) fn files_1_versions_come_from_one_sequence_and_never_twice<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("other", "")]);
    let mut last = 0;
    let mut grows = |info: Info| {
        assert!(info.version > last, "{} comes after {last}", info.version);
        last = info.version;
    };
    grows(tried.put("a", b"1"));
    grows(tried.put_in(1, "a", b"1"));
    grows(tried.put("a", b"2"));
    grows(tried.put("b", b"1"));
    assert!(tried.remove("b") && tried.remove("a") && tried.remove_in(1, "a"));
    tried = tried.restart();
    grows(tried.put("b", b"1"));
    assert!(tried.remove("b"));
    tried = tried.restart();
    grows(tried.put("a", b"1"));
}

pub(super) fn files_1_a_conflict_tells_the_version_and_changes_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    let conflict = |name: &str, version| {
        let refused = tried.put_if(name, b"new", version).expect_err("it is not the version");
        assert_eq!(refused.error.kind(), ErrorKind::Conflict, "{refused:?}");
        refused.current
    };
    assert_eq!(conflict("a", 7), 0);
    assert_eq!(tried.get("a"), None);
    let first = tried.put_if("a", b"old", 0).expect("it was absent").version;
    assert_eq!(conflict("a", 0), first);
    let before = (tried.get("a"), tried.usage());
    for wrong in [first + 1, u64::MAX] {
        assert_eq!(conflict("a", wrong), first);
        assert_eq!((tried.get("a"), tried.usage()), before);
    }
    let second = tried.put_if("a", b"new", first).expect("it was the version");
    assert_eq!(tried.get("a"), Some((b"new".to_vec(), second)));
    assert!(tried.remove("a"));
    assert_eq!(conflict("a", second.version), 0);
}

pub(super) fn files_1_of_many_that_write_on_one_version_one_does<B: Bed>() {
    let tried = Tried::<B>::one();
    let start = tried.put("sum", b"0").version;
    let done = thread::scope(|threads| {
        let tried = &tried;
        let writers: Vec<_> = (0..8)
            .map(|number| threads.spawn(move || tried.put_if("sum", &[number; 9_000], start)))
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
    });
    let written: Vec<_> = done.iter().filter_map(|one| one.as_ref().ok()).collect();
    let [info] = written[..] else { panic!("{done:?}") };
    for refused in done.iter().filter_map(|one| one.as_ref().err()) {
        assert_eq!((refused.error.kind(), refused.current), (ErrorKind::Conflict, info.version));
    }
    assert_eq!(tried.stat("sum"), Some(*info));
}

pub(super) fn files_1_a_file_has_up_to_the_largest_size<B: Bed>() {
    let tried = Tried::<B>::one();
    let largest = vec![1; LARGEST];
    let info = tried.put("a", &largest);
    let refused = tried.put_if("a", &[&largest[..], &[0]].concat(), info.version).expect_err("too large");
    assert_eq!(refused.error.kind(), ErrorKind::TooLarge);
    assert!(refused.error.to_string().contains("1048576"), "{}", refused.error);
    assert_eq!(tried.stat("a"), Some(info));
}

pub(super) fn files_2_paths_differ_if_their_bytes_do<B: Bed>() {
    let tried = Tried::<B>::one();
    // One name to a person, or to a disk that folds case, composes, or drops what stands at the end.
    let same = [
        "Report",
        "report",
        "REPORT",
        "report.",
        "report ",
        "report..",
        "café",
        "cafe\u{301}",
        "straße",
        "STRASSE",
        "ﬁle",
        "file",
        "İ",
        "i̇",
        "K",
        "\u{212a}",
        "a",
        "a/b",
        "A/B",
        "a/B",
    ];
    for name in same {
        assert_eq!(tried.get(name), None, "{name:?} before it was put");
        tried.put(name, name.as_bytes());
    }
    for name in same {
        assert_eq!(tried.get(name).map(|(bytes, _)| bytes), Some(name.as_bytes().to_vec()), "{name:?}");
    }
    assert_eq!(tried.paths_in(0, ""), BTreeSet::from(same).into_iter().collect::<Vec<_>>());
}

pub(super) fn files_3_whoever_reads_sees_one_version_whole_while_others_write<B: Bed>() {
    let tried = Tried::<B>::one();
    // Of each version all bytes are alike, and their number says which it is.
    let bytes = |number: u8| vec![number; 100_000 + usize::from(number)];
    tried.put("a", &bytes(0));
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let (tried, done) = (&tried, &done);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                threads.spawn(move || {
                    let mut last = 0;
                    while !done.load(Relaxed) {
                        let (got, info) = tried.get("a").expect("it is always there");
                        assert!(got == bytes(got[0]), "{} bytes of {}", got.len(), got[0]);
                        assert_eq!(info.len, got.len() as u64);
                        assert!(info.version >= last, "a version that is older than one before");
                        last = info.version;
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                threads.spawn(move || {
                    for number in 0..60 {
                        tried.put("a", &bytes(number * 2 + writer));
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().is_ok()) && ended.iter().all(Result::is_ok));
    });
}

pub(super) fn everywhere_4_no_names_can_be_chosen_so_that_scopes_of_files_meet<B: Bed>() {
    let scopes = [
        ("a", "b"),
        ("ab", ""),
        ("a", ""),
        ("a", "b/c"),
        ("a", "%"),
        ("a", "B"),
        ("A", "b"),
        ("=41", "b"),
        ("a/b", "c"),
        ("..", "b"),
        (".", "b"),
        ("", "b"),
        ("con", "b"),
        ("=63on", "b"),
        ("a", "b'; DROP TABLE files_blobs; --"),
        ("a", "1:b"),
    ];
    let names = ["k", "b", "b/k", "1:k", "K", "'", "%"];
    let tried = Tried::<B>::with(&scopes);
    for (scope, parts) in scopes.iter().enumerate() {
        for name in names {
            assert_eq!(tried.get_in(scope, name), None, "{parts:?} {name} before it was put");
            tried.put_in(scope, name, format!("{parts:?} {name}").as_bytes());
        }
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for (scope, parts) in scopes.iter().enumerate() {
        assert_eq!(tried.paths_in(scope, ""), sorted);
        for name in names {
            let expected = format!("{parts:?} {name}").into_bytes();
            assert_eq!(tried.get_in(scope, name).map(|(bytes, _)| bytes), Some(expected));
        }
    }
}

pub(super) fn everywhere_11_above_a_quota_of_files_nothing_is_written_and_what_shrinks_is<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "other"), ("else", "acme")]);
    let quota = |items, bytes| Quota { items: Some(items), bytes: Some(bytes) };
    let quotas = Quotas { plugin: quota(3, 100), tenant: quota(2, 60) };
    let put = |scope, name: &str, len: usize| {
        let put = Put { bytes: &vec![7; len], if_version: None, quotas };
        tried.files.put(&tried.scopes.at(scope), path(name), &put).map_err(|refused| {
            assert_eq!(refused.error.kind(), ErrorKind::Quota, "{refused:?}");
            refused.error.to_string()
        })
    };
    let refused = |scope, name: &str, len, word: &str| {
        let before = (tried.usage(), tried.get_in(scope, name));
        let told = put(scope, name, len).expect_err("it is too much");
        assert!(told.contains(word), "{told}");
        assert_eq!((tried.usage(), tried.get_in(scope, name)), before);
    };
    put(0, "a", 30).expect("there is room");
    refused(0, "b", 31, "tenant_files_bytes");
    put(0, "b", 30).expect("there is room to the last byte");
    refused(0, "c", 0, "tenant_files_count");
    refused(0, "a", 31, "tenant_files_bytes");
    put(1, "a", 40).expect("it is another tenant");
    refused(1, "b", 1, "quota.files_count");
    refused(1, "a", 41, "quota.files_bytes");
    put(0, "a", 10).expect("less is always taken");
    put(1, "a", 60).expect("there is room again");
    // Above a quota that was larger once: what does not grow is taken.
    tried.put_in(2, "a", &[0; 500]);
    put(2, "a", 500).expect("it is no more than before");
    put(2, "a", 400).expect("it is less than before");
    refused(2, "a", 401, "quota.files_bytes");
}

pub(super) fn what_was_put_is_there_after_a_restart<B: Bed>() {
    let mut tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "")]);
    let a = tried.put("a", b"1");
    let b = tried.put_in(1, "b/c", &[3; 70_000]);
    tried.put("gone", b"");
    assert!(tried.remove("gone"));
    let usage = tried.usage();
    for _ in 0..2 {
        tried = tried.restart();
        assert_eq!(tried.get("a"), Some((b"1".to_vec(), a)));
        assert_eq!(tried.get_in(1, "b/c"), Some((vec![3; 70_000], b)));
        assert_eq!((tried.get("gone"), tried.usage()), (None, usage.clone()));
    }
}

pub(super) fn usage_is_what_is_there_of_files<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", ""), ("other", "acme")]);
    assert!(tried.usage().is_empty());
    tried.put("a", b"12345");
    tried.put("a", b"123");
    tried.put("b", b"");
    tried.put_in(1, "a", b"12");
    let of = |plugin: &str, tenant: &str, files, bytes| (plugin.to_owned(), tenant.to_owned(), files, bytes);
    assert_eq!(tried.usage(), [of("meter", "", 1, 2), of("meter", "acme", 2, 3)]);
    assert!(tried.remove("a") && tried.remove("b"));
    assert_eq!(tried.usage(), [of("meter", "", 1, 2)]);
    tried.put("a", b"1");
    assert_eq!(tried.usage(), [of("meter", "", 1, 2), of("meter", "acme", 1, 1)]);
}

pub(super) fn a_closed_store_answers_unavailable<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.put("a", b"1");
    let before = tried.clock.now_ms();
    tried.files.close();
    let kinds = [
        tried.files.write(&tried.scopes.at(0), "a", b"2").map(drop).map_err(|refused| refused.error),
        tried.files.fetch(&tried.scopes.at(0), "a").map(drop),
        tried.files.stat(&tried.scopes.at(0), path("a")).map(drop),
        tried.page("", "", 0).map(drop),
        tried.files.remove(&tried.scopes.at(0), path("a")).map(drop),
        tried.files.usage().map(drop),
    ]
    .map(|answer| answer.expect_err("it is closed").kind());
    assert_eq!(kinds, [ErrorKind::Unavailable; 6]);
    assert_eq!(tried.clock.now_ms(), before);
    assert_eq!(tried.restart().get("a").map(|(bytes, _)| bytes), Some(b"1".to_vec()));
}
