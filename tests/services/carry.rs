//! The storage as applications and operators have it: items of a plugin, and whole plugins out of a host and into one. No
//! plugin runs here: what it has left is enough.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Duration,
};

use data_encoding::{BASE64, HEXLOWER};
use pintle::{
    ErrorKind, Host, Result,
    log::{Options, Target},
    storage::{ExportOptions, ImportMode, ImportOptions, SetOptions, StorageItem},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A host without plugins, and a place for files.
struct Rig {
    host: Host,
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let quiet = Options { target: Target::File(folder.path().join("log")), ..Options::default() };
        let host = Host::builder()
            .data(folder.path().join("data"))
            .log(quiet)
            .build()
            .expect("nothing is in its way");
        Self { host, folder }
    }

    /// With a plugin `meter` that has an item in the system scope.
    fn with_meter() -> Self {
        let rig = Self::new();
        rig.import(&file("meter", &Value::Null, &[item("", "first", "1")])).expect("nothing is in its way");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn import(&self, text: &[u8]) -> Result<pintle::storage::ImportReport> {
        self.import_with(text, &ImportOptions::default())
    }

    fn import_with(&self, text: &[u8], options: &ImportOptions) -> Result<pintle::storage::ImportReport> {
        fs::write(self.path("given"), text).expect("it can be written");
        self.host.import(self.path("given"), options)
    }

    /// All items of a plugin by tenant and key.
    fn all(&self, plugin: &str) -> BTreeMap<(String, String), StorageItem> {
        let mut all = BTreeMap::new();
        for scope in self.host.storage_scopes(plugin).unwrap_or_default() {
            let storage = self.host.storage(plugin, &scope.tenant).expect("it has something");
            let mut cursor = None;
            loop {
                let page = storage.keys("", cursor.as_deref(), 0).expect("it can be read");
                for key in page.keys {
                    let item = storage.get(&key).expect("it can be read").expect("it is listed");
                    all.insert((scope.tenant.clone(), key), item);
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        all
    }

    /// The same without versions.
    fn values(&self, plugin: &str) -> BTreeMap<(String, String), Vec<u8>> {
        self.all(plugin).into_iter().map(|(place, item)| (place, item.value)).collect()
    }
}

/// A line of a file for an item that is text and does not expire.
fn item(tenant: &str, key: &str, text: &str) -> String {
    json!({ "tenant": tenant, "key": key, "value": { "text": text } }).to_string()
}

/// A file as docs/export.md specifies it, put together by somebody else.
fn file(plugin: &str, tenants: &Value, items: &[String]) -> Vec<u8> {
    let header = json!({
        "pintle_export": 1, "plugin": plugin, "tenants": tenants, "exported_ms": 1_700_000_000_000_i64, "host": "9",
    });
    let mut bytes = 0;
    for item in items {
        let Ok(item) = serde_json::from_str::<Value>(item) else { continue };
        let value = match (item["value"]["text"].as_str(), item["value"]["base64"].as_str()) {
            (Some(text), _) => text.len(),
            (_, coded) => {
                coded.and_then(|coded| BASE64.decode(coded.as_bytes()).ok()).unwrap_or_default().len()
            }
        };
        bytes += item["key"].as_str().unwrap_or_default().len() + value;
    }
    let mut text: String = [header.to_string()].iter().chain(items).map(|line| format!("{line}\n")).collect();
    let sha256 = HEXLOWER.encode(&Sha256::digest(&text));
    text.push_str(&format!("{}\n", json!({ "items": items.len(), "bytes": bytes, "sha256": sha256 })));
    text.into_bytes()
}

fn key_of(tenant: &str, key: &str) -> (String, String) {
    (tenant.to_owned(), key.to_owned())
}

#[test]
fn an_application_reads_and_writes_what_a_plugin_has_for_one_tenant() {
    let rig = Rig::with_meter();
    let storage = rig.host.storage("meter", "acme").expect("the plugin has something");
    assert_eq!((storage.plugin(), storage.tenant()), ("meter", "acme"));
    assert_eq!(storage.get("k").expect("it can be read"), None);
    let first =
        storage.set("k", b"", &SetOptions { if_version: Some(0), ttl: None }).expect("it is not there");
    let found = storage.get("k").expect("it can be read").expect("it was written");
    assert_eq!((&*found.value, found.version, found.left), (&b""[..], first, None));
    assert_eq!(found.created_ms, found.updated_ms);
    let error =
        storage.set("k", b"2", &SetOptions { if_version: Some(0), ttl: None }).expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(&format!("version {first}")), "{error}");
    let hour = Duration::from_secs(3_600);
    let second = storage.set("k", &[0, 0xff], &SetOptions { if_version: Some(first), ttl: Some(hour) });
    assert!(second.expect("the version is right") > first);
    let found = storage.get("k").expect("it can be read").expect("it was written");
    assert_eq!(found.value, [0, 0xff]);
    assert!(found.left.is_some_and(|left| left <= hour && left > hour / 2), "{:?}", found.left);
    assert_eq!(storage.keys("", None, 0).expect("it can be read").keys, ["k"]);
    let usage = storage.usage().expect("it can be read");
    assert_eq!((&*usage.tenant, usage.items, usage.bytes), ("acme", 1, 3));
    let scopes = rig.host.storage_scopes("meter").expect("it has something");
    let scopes: Vec<_> = scopes.iter().map(|scope| (&*scope.tenant, scope.items, scope.bytes)).collect();
    assert_eq!(scopes, [("", 1, 6), ("acme", 1, 3)]);
    assert!(
        storage.remove("k").expect("it can be written") && !storage.remove("k").expect("it can be written")
    );
    for key in ["a", "b"] {
        storage.set(key, b"1", &SetOptions::default()).expect("it can be written");
    }
    assert_eq!(storage.clear().expect("it can be written"), 2);
    assert_eq!(rig.values("meter"), [(key_of("", "first"), b"1".to_vec())].into());
    for (what, kind) in [
        (rig.host.storage("nobody", "").err(), ErrorKind::NotFound),
        (rig.host.storage_scopes("nobody").err(), ErrorKind::NotFound),
        (rig.host.storage("meter", "a\nb").err(), ErrorKind::InvalidArgument),
        (storage.get("").err(), ErrorKind::InvalidArgument),
        (storage.set("k", &[0; (4 << 20) + 1], &SetOptions::default()).err(), ErrorKind::TooLarge),
        (storage.keys("", Some("x"), 0).err(), ErrorKind::InvalidArgument),
    ] {
        assert_eq!(what.expect("it is refused").kind(), kind);
    }
    rig.host.stop();
    assert_eq!(storage.get("first").expect_err("it has stopped").kind(), ErrorKind::Unavailable);
}

/// Any bytes, any names.
fn fill(rig: &Rig) {
    let long = "k".repeat(512);
    let day = Some(Duration::from_secs(86_400));
    let all: [(&str, &str, &[u8], Option<Duration>); 10] = [
        ("", "first", b"one", None),
        ("", "empty", b"", None),
        ("", "nul", b"a\0b", None),
        ("", "binary", &[0xff, 0xfe, 0, 1], day),
        ("", "\u{1}\"\\\u{2028}\u{fffd}", "\u{7f}\u{1b}[2J\r\n\t\"\\\u{10ffff}".as_bytes(), None),
        ("", &long, b"{\"items\":1}", None),
        ("acme", "first", b"of another", day),
        ("acme", "fi", &[b'x'; 200_000], None),
        ("\u{e4}\u{2028} \"", "first", b"odd name", None),
        ("z", "{\"tenant\"", b"\xef\xbb\xbfmark", None),
    ];
    for (tenant, key, value, ttl) in all {
        let storage = rig.host.storage("meter", tenant).expect("it has something");
        storage.set(key, value, &SetOptions { if_version: None, ttl }).expect("it can be written");
    }
}

#[test]
fn what_was_exported_and_imported_is_the_same_in_every_byte() {
    let (from, to) = (Rig::with_meter(), Rig::new());
    fill(&from);
    let export = from.path("export");
    let report = from.host.export("meter", &export, &ExportOptions::default()).expect("it can be written");
    let there = from.all("meter");
    let bytes: usize = there.iter().map(|((_, key), item)| key.len() + item.value.len()).sum();
    assert_eq!((report.tenants, report.items, report.bytes), (4, 10, bytes as u64));
    assert_eq!(
        (&report.path, report.file_bytes),
        (&export, fs::metadata(&export).expect("it is there").len())
    );
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&export).expect("it is there"));
        assert_eq!(mode & 0o777, 0o600);
    }
    let read = to.host.import(&export, &ImportOptions::default()).expect("it is whole");
    assert_eq!((&*read.plugin, read.tenants, read.items, read.bytes), ("meter", 4, 10, report.bytes));
    assert_eq!((read.expired, read.removed), (0, 0));
    let here = to.all("meter");
    assert_eq!(to.values("meter"), from.values("meter"));
    for (place, item) in &here {
        let old = &there[place];
        assert_eq!((item.created_ms, item.updated_ms), (old.created_ms, old.updated_ms), "{place:?}");
        let gap = item.left.unwrap_or_default().abs_diff(old.left.unwrap_or_default());
        assert!(item.left.is_some() == old.left.is_some() && gap < Duration::from_secs(60), "{place:?}");
    }
    // Versions are new ones, and the sequence goes on behind them.
    let newest = here.values().map(|item| item.version).max().expect("there are some");
    let set = to.host.storage("meter", "").expect("it is there").set("new", b"", &SetOptions::default());
    assert!(set.expect("it can be written") > newest);
    // Once more out of the new one: the same items.
    let again = to.path("again");
    let one = ExportOptions { tenant: Some("acme".into()), overwrite: false };
    assert_eq!(to.host.export("meter", &again, &one).expect("it can be written").items, 2);
    assert!(to.host.check_storage(true).expect("it can be read").problems.is_empty());
}

#[test]
fn one_tenant_can_be_carried_alone_and_the_others_stay() {
    let (from, to) = (Rig::with_meter(), Rig::with_meter());
    fill(&from);
    let other = to.host.storage("meter", "z").expect("it has something");
    other.set("stays", b"1", &SetOptions::default()).expect("it can be written");
    for (tenant, items) in [("acme", 2), ("", 6), ("none", 0)] {
        let export = from.path(&format!("export of {tenant}"));
        let options = ExportOptions { tenant: Some(tenant.into()), overwrite: false };
        assert_eq!(from.host.export("meter", &export, &options).expect("it can be written").items, items);
        let options = ImportOptions { mode: ImportMode::Replace, plugin: None };
        let report = to.host.import(&export, &options).expect("it is whole");
        assert_eq!((report.items, report.removed), (items, u64::from(tenant.is_empty())), "{tenant:?}");
    }
    let (mut expected, there) = (from.values("meter"), to.values("meter"));
    expected.retain(|(tenant, _), _| tenant.is_empty() || tenant == "acme");
    expected.insert(key_of("z", "stays"), b"1".to_vec());
    assert_eq!(there, expected);
}

#[test]
fn what_is_there_is_in_the_way_or_goes_or_stays_as_was_asked_for() {
    let given = file("meter", &Value::Null, &[item("", "first", "new"), item("b", "x", "new")]);
    let one = file("meter", &json!([""]), &[item("", "first", "new")]);
    let new = |tenant, key| (key_of(tenant, key), b"new".to_vec());
    let old = |tenant, key| (key_of(tenant, key), b"1".to_vec());
    let all_old = [old("", "first"), old("", "second"), old("c", "x")];
    let cases = [
        (&given, ImportMode::Empty, None, all_old.to_vec()),
        (&one, ImportMode::Empty, None, all_old.to_vec()),
        (&given, ImportMode::Replace, Some((2, 3)), vec![new("", "first"), new("b", "x")]),
        (&one, ImportMode::Replace, Some((1, 2)), vec![new("", "first"), old("c", "x")]),
        (
            &given,
            ImportMode::Merge,
            Some((2, 0)),
            vec![new("", "first"), old("", "second"), new("b", "x"), old("c", "x")],
        ),
        (&one, ImportMode::Merge, Some((1, 0)), vec![new("", "first"), old("", "second"), old("c", "x")]),
    ];
    for (at, (given, mode, done, expected)) in cases.into_iter().enumerate() {
        let rig = Rig::with_meter();
        rig.host
            .storage("meter", "")
            .expect("it is there")
            .set("second", b"1", &SetOptions::default())
            .expect("it can");
        rig.host
            .storage("meter", "c")
            .expect("it is there")
            .set("x", b"1", &SetOptions::default())
            .expect("it can");
        let before = rig.all("meter");
        let report = rig.import_with(given, &ImportOptions { mode, plugin: None });
        match (done, report) {
            (Some(done), Ok(report)) => assert_eq!((report.items, report.removed), done, "case {at}"),
            (None, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "case {at}");
                let said = "plugin \"meter\": it has 2 items in the system scope already";
                assert!(error.to_string().starts_with(said), "case {at}: {error}");
                assert_eq!(rig.all("meter"), before, "case {at}");
            }
            (_, other) => panic!("case {at}: {other:?}"),
        }
        assert_eq!(rig.values("meter"), expected.into_iter().collect(), "case {at}");
        // What was written has a version above all before.
        let newest = before.values().map(|item| item.version).max();
        for item in rig.all("meter").values().filter(|item| item.value == b"new") {
            assert!(Some(item.version) > newest, "case {at}");
        }
        assert!(rig.host.check_storage(true).expect("it can be read").problems.is_empty(), "case {at}");
    }
}

#[test]
fn an_export_becomes_another_plugin_s_only_where_that_is_said() {
    let rig = Rig::with_meter();
    let export = rig.path("export");
    rig.host.export("meter", &export, &ExportOptions::default()).expect("it can be written");
    let into = |plugin: &str| ImportOptions { mode: ImportMode::Empty, plugin: Some(plugin.into()) };
    let report = rig.host.import(&export, &into("meter-2")).expect("it has nothing yet");
    assert_eq!(report.plugin, "meter-2");
    assert_eq!(rig.values("meter-2"), rig.values("meter"));
    for id in ["", "Meter", "-meter", "a/b", &"m".repeat(64)] {
        let error = rig.host.import(&export, &into(id)).expect_err("it is no id");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{id}");
    }
}

#[test]
fn items_whose_lifetime_is_over_are_left_out_and_counted() {
    let rig = Rig::new();
    let line = |key: &str, expires: i64| {
        json!({ "tenant": "", "key": key, "value": { "text": "v" }, "version": 7, "created_ms": 1, "updated_ms": 2, "expires_ms": expires }).to_string()
    };
    let far = 32_503_680_000_000;
    let report = rig.import(&file("meter", &Value::Null, &[line("a", 1), line("b", far), line("c", 3)]));
    let report = report.expect("it is whole");
    assert_eq!((report.items, report.expired), (1, 2));
    let all = rig.all("meter");
    let [(place, item)] = &all.iter().collect::<Vec<_>>()[..] else { panic!("{all:?}") };
    assert_eq!((&*place.1, item.created_ms, item.updated_ms), ("b", 1, 2));
    assert!(item.left.is_some_and(|left| left > Duration::from_secs(86_400)), "{:?}", item.left);
}

#[test]
fn a_file_that_others_wrote_may_leave_out_what_only_the_host_knows() {
    let rig = Rig::new();
    rig.import(&file("meter", &Value::Null, &[item("", "k", "v")])).expect("it is whole");
    let all = rig.all("meter");
    let item = &all[&key_of("", "k")];
    assert_eq!((item.created_ms, item.updated_ms, item.left), (1_700_000_000_000, 1_700_000_000_000, None));
}

/// Each kind of damage, what is said of it, and in which line.
#[test]
fn storage_15_a_damaged_file_is_refused_as_a_whole_with_the_line_and_what_to_do() {
    let lines = [item("", "a", "1"), item("", "b", "2"), item("t", "a", "3")];
    let good = String::from_utf8(file("meter", &Value::Null, &lines)).expect("it is text");
    let all: Vec<&str> = good.split_inclusive('\n').collect();
    let header = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let items = |items: &[String]| file("meter", &Value::Null, items);
    let raw = |value: &str| format!("{{\"tenant\":\"\",\"key\":\"k\",\"value\":{value}}}");
    let without = |at: usize| {
        all.iter()
            .enumerate()
            .filter(|(line, _)| *line != at)
            .map(|(_, text)| *text)
            .collect::<String>()
            .into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, ErrorKind, &str)> = vec![
        ("nothing", vec![], ErrorKind::InvalidArgument, "is no export of Pintle: the file is empty"),
        (
            "cut in a line",
            good.as_bytes()[..good.len() - 9].to_vec(),
            ErrorKind::InvalidArgument,
            "line 5: it has no line feed at its end: the file was cut off",
        ),
        (
            "cut in the first line",
            good.as_bytes()[..9].to_vec(),
            ErrorKind::InvalidArgument,
            "line 1: it has no line feed",
        ),
        (
            "cut between lines",
            without(4),
            ErrorKind::InvalidArgument,
            "line 4: the file ends before the last line of an export",
        ),
        (
            "a line is gone",
            without(2),
            ErrorKind::InvalidArgument,
            "line 4: the lines before have the SHA-256",
        ),
        (
            "a value was changed",
            header("\"text\":\"2\"", "\"text\":\"4\""),
            ErrorKind::InvalidArgument,
            "line 5: the lines before have the SHA-256",
        ),
        (
            "a brace is gone",
            header("{\"text\":\"2\"}", "\"text\":\"2\"}"),
            ErrorKind::InvalidArgument,
            "line 3: it is not an item, at byte",
        ),
        (
            "a byte is no UTF-8",
            {
                let mut bytes = good.clone().into_bytes();
                let at = good.find("\"text\":\"2\"").expect("it is there");
                bytes[at + 8] = 0xff;
                bytes
            },
            ErrorKind::InvalidArgument,
            "line 3: it is not an item",
        ),
        (
            "something behind",
            [good.as_bytes(), b"{}\n"].concat(),
            ErrorKind::InvalidArgument,
            "line 6: something comes after the last line",
        ),
        (
            "no header",
            without(0),
            ErrorKind::InvalidArgument,
            "is no export of Pintle: it does not begin with",
        ),
        (
            "another file",
            b"[package]\nname = 1\n".to_vec(),
            ErrorKind::InvalidArgument,
            "is no export of Pintle",
        ),
        (
            "a newer form",
            header("\"pintle_export\":1", "\"pintle_export\":2"),
            ErrorKind::Unsupported,
            "is an export of form 2, this host reads forms up to 1: update the host",
        ),
        (
            "form 0",
            header("\"pintle_export\":1", "\"pintle_export\":0"),
            ErrorKind::InvalidArgument,
            "line 1: `pintle_export`: there is no form 0",
        ),
        (
            "no plugin",
            header("\"plugin\":\"meter\",", ""),
            ErrorKind::InvalidArgument,
            "line 1: it is not the first line of an export, at byte",
        ),
        (
            "no plugin id",
            header("\"plugin\":\"meter\"", "\"plugin\":\"../meter\""),
            ErrorKind::InvalidArgument,
            "line 1: `plugin`: \"../meter\" is no plugin id",
        ),
        (
            "an unknown member",
            header("\"host\":", "\"guest\":"),
            ErrorKind::InvalidArgument,
            "unknown field `guest`",
        ),
        (
            "a tenant that is none",
            items(&[item("a\u{7}", "k", "1")]),
            ErrorKind::InvalidArgument,
            "line 2: \"a\\u{7}\" is no name of a tenant",
        ),
        (
            "a tenant that line 1 does not name",
            file("meter", &json!(["a"]), &[item("b", "k", "1")]),
            ErrorKind::InvalidArgument,
            "line 2: `tenant`: \"b\" is none of those that line 1 names",
        ),
        (
            "a key twice",
            items(&[item("", "k", "1"), item("", "k", "2")]),
            ErrorKind::InvalidArgument,
            "line 3: the item \"k\" is there twice",
        ),
        (
            "keys out of order",
            items(&[item("", "k", "1"), item("", "j", "2")]),
            ErrorKind::InvalidArgument,
            "line 3: the item \"j\" is not in its place",
        ),
        (
            "tenants out of order",
            items(&[item("b", "k", "1"), item("a", "k", "2")]),
            ErrorKind::InvalidArgument,
            "line 3: the item \"k\" is not in its place",
        ),
        (
            "an empty key",
            items(&[item("", "", "1")]),
            ErrorKind::InvalidArgument,
            "line 2: argument `key`: it is empty",
        ),
        (
            "a long key",
            items(&[item("", &"k".repeat(513), "1")]),
            ErrorKind::InvalidArgument,
            "line 2: argument `key`: 513 bytes",
        ),
        (
            "a key with NUL",
            items(&[item("", "a\0b", "1")]),
            ErrorKind::InvalidArgument,
            "line 2: argument `key`: a NUL at byte 1",
        ),
        (
            "no base64",
            items(&[raw("{\"base64\":\"a*==\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: the value of \"k\" is no base64 with padding",
        ),
        (
            "base64 without padding",
            items(&[raw("{\"base64\":\"YQ\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: the value of \"k\" is no base64",
        ),
        (
            "base64 of 1 and a half bytes",
            items(&[raw("{\"base64\":\"YWJ=\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: the value of \"k\" is no base64",
        ),
        (
            "a value of no kind",
            items(&[raw("{\"hex\":\"00\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: it is not an item",
        ),
        (
            "a value of two kinds",
            items(&[raw("{\"text\":\"a\",\"base64\":\"YQ==\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: it is not an item",
        ),
        (
            "a value that is no object",
            items(&[raw("\"a\"")]),
            ErrorKind::InvalidArgument,
            "line 2: it is not an item",
        ),
        (
            "half a surrogate",
            items(&[raw("{\"text\":\"\\ud800\"}")]),
            ErrorKind::InvalidArgument,
            "line 2: it is not an item",
        ),
        (
            "a member twice",
            items(&["{\"tenant\":\"\",\"tenant\":\"\",\"key\":\"k\",\"value\":{\"text\":\"\"}}".into()]),
            ErrorKind::InvalidArgument,
            "duplicate field `tenant`",
        ),
        ("a blank line", items(&[String::new()]), ErrorKind::InvalidArgument, "line 2: it is not an item"),
        (
            "a version that is none",
            items(&["{\"tenant\":\"\",\"key\":\"k\",\"value\":{\"text\":\"\"},\"version\":-1}".into()]),
            ErrorKind::InvalidArgument,
            "line 2: it is not an item",
        ),
        (
            "a value above the limit",
            items(&[item("", "k", &"v".repeat((4 << 20) + 1))]),
            ErrorKind::TooLarge,
            "line 2: the value of \"k\" has 4194305 bytes, at most 4194304 are taken: raise storage.max_value",
        ),
        (
            "a line above all limits",
            items(&[item("", "k", &"v".repeat(26 << 20))]),
            ErrorKind::TooLarge,
            "line 2: the line has more bytes than an item can have",
        ),
        (
            "wrong counts",
            header("{\"bytes\":6,\"items\":3", "{\"bytes\":6,\"items\":4"),
            ErrorKind::InvalidArgument,
            "line 5: there are 3 items of 6 bytes, here it is 4 of 6",
        ),
    ];
    let rig = Rig::with_meter();
    let before = rig.all("meter");
    let options = ImportOptions { mode: ImportMode::Replace, plugin: None };
    for (case, bytes, kind, said) in cases {
        let error = rig.import_with(&bytes, &options).expect_err(case);
        assert_eq!(error.kind(), kind, "{case}: {error}");
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("given"), "{case}: {text}");
        assert_eq!(rig.all("meter"), before, "{case}");
    }
    rig.import_with(good.as_bytes(), &options).expect("the good one is taken");
}

/// There is no byte whose change nobody notices.
#[test]
fn storage_15_a_file_with_any_one_byte_changed_or_cut_off_is_refused() {
    let rig = Rig::with_meter();
    let storage = rig.host.storage("meter", "t").expect("it has something");
    storage
        .set("bin", &[0xff], &SetOptions { if_version: None, ttl: Some(Duration::from_secs(900)) })
        .expect("it can");
    let export = rig.path("export");
    rig.host.export("meter", &export, &ExportOptions::default()).expect("it can be written");
    let (good, before) = (fs::read(&export).expect("it is there"), rig.all("meter"));
    let options = ImportOptions { mode: ImportMode::Replace, plugin: None };
    for at in 0..good.len() {
        assert!(rig.import_with(&good[..at], &options).is_err(), "{at} bytes of {}", good.len());
        for flip in [0x01, 0x20, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert!(rig.import_with(&bytes, &options).is_err(), "byte {at}: {changed:?}");
        }
    }
    let versions =
        |all: BTreeMap<_, StorageItem>| all.into_values().map(|item| item.version).collect::<Vec<_>>();
    assert_eq!(versions(rig.all("meter")), versions(before));
}

fn left_beside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("it is there");
    let names =
        names.map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is text"));
    names.filter(|name| name.contains(".part-")).collect()
}

#[test]
fn storage_14_an_export_takes_the_place_of_no_file_unless_told_so_and_leaves_nothing_where_it_fails() {
    let rig = Rig::with_meter();
    let taken = rig.path("taken");
    fs::write(&taken, "mine").expect("it can be written");
    fs::create_dir(rig.path("folder")).expect("it can be made");
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", rig.path("link")).expect("it can be made");
    let over = ExportOptions { tenant: None, overwrite: true };
    let cases = [
        ("taken", ExportOptions::default(), ErrorKind::Conflict, "is there already: name another file"),
        #[cfg(unix)]
        ("link", ExportOptions::default(), ErrorKind::Conflict, "is there already"),
        ("folder", ExportOptions::default(), ErrorKind::Conflict, "is there already"),
        ("folder", over.clone(), ErrorKind::Conflict, "it is no file"),
        ("gone/export", over.clone(), ErrorKind::Unavailable, "cannot be written"),
        ("taken/export", over.clone(), ErrorKind::Unavailable, "cannot be written"),
    ];
    for (name, options, kind, said) in cases {
        let error = rig.host.export("meter", rig.path(name), &options).expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    assert_eq!(fs::read(&taken).expect("it is there"), b"mine");
    rig.host.export("meter", &taken, &over).expect("it was told so");
    assert!(
        fs::read_to_string(&taken)
            .expect("it is there")
            .starts_with("{\"pintle_export\":1,\"plugin\":\"meter\",")
    );
    assert_eq!(
        rig.host.export("nobody", rig.path("none"), &over).expect_err("it has nothing").kind(),
        ErrorKind::NotFound
    );
    assert_eq!(left_beside(rig.folder.path()), Vec::<String>::new());
    for (name, kind) in [("gone", ErrorKind::Unavailable), ("folder", ErrorKind::InvalidArgument)] {
        let error = rig.host.import(rig.path(name), &ImportOptions::default()).expect_err(name);
        assert_eq!(error.kind(), kind, "{error}");
    }
    rig.host.stop();
    let error = rig.host.export("meter", rig.path("late"), &over).expect_err("it has stopped");
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Stopping), "{error}");
    assert!(!rig.path("late").exists());
}

#[test]
fn storage_14_an_export_has_the_items_of_one_moment_while_others_write() {
    let rig = Rig::with_meter();
    // Each round writes all keys in their order, so that at every moment they are of two rounds at most, in one step.
    let keys: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
    let storage = rig.host.storage("meter", "t").expect("it has something");
    let done = AtomicBool::new(false);
    let write = |round: u64| {
        for key in &keys {
            storage
                .set(key, round.to_string().as_bytes(), &SetOptions::default())
                .expect("it can be written");
        }
    };
    write(0);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut round = 1;
            while !done.load(SeqCst) {
                write(round);
                round += 1;
            }
        });
        for at in 0..20 {
            let export = rig.path(&format!("export {at}"));
            let report =
                rig.host.export("meter", &export, &ExportOptions::default()).expect("it can be written");
            assert_eq!(report.items, 201);
            let text = fs::read_to_string(&export).expect("it is there");
            let rounds: Vec<u64> = text
                .lines()
                .filter_map(|line| {
                    serde_json::from_str::<Value>(line).ok().filter(|line| line["tenant"] == "t")
                })
                .map(|line| {
                    line["value"]["text"].as_str().and_then(|text| text.parse().ok()).expect("a number")
                })
                .collect();
            assert_eq!(rounds.len(), 200);
            assert!(rounds.is_sorted_by(|one, next| one >= next), "{rounds:?}");
            assert!(rounds[0] - rounds[199] <= 1, "{rounds:?}");
        }
        done.store(true, SeqCst);
    });
}

#[test]
fn an_operator_asks_for_the_same_by_its_methods() {
    let rig = Rig::with_meter();
    let ask = |method: &str, params: Value| rig.host.ask(method, params);
    let fine =
        |method: &str, params: Value| ask(method, params).unwrap_or_else(|error| panic!("{method}: {error}"));
    let version =
        fine("storage.set", json!({ "plugin": "meter", "key": "k", "value": "v" }))["version"].take();
    let item = fine("storage.get", json!({ "plugin": "meter", "key": "k" }));
    assert_eq!((&item["item"]["value"], &item["item"]["version"]), (&json!("v"), &version));
    assert_eq!(item["item"]["left_ms"], Value::Null);
    fine(
        "storage.set",
        json!({ "plugin": "meter", "tenant": "t", "key": "b", "value_base64": "/w==", "ttl_ms": 900_000 }),
    );
    let item = fine("storage.get", json!({ "plugin": "meter", "tenant": "t", "key": "b" }));
    assert_eq!(item["item"]["value_base64"], "/w==");
    assert!(item["item"]["left_ms"].as_u64().is_some_and(|left| left > 0 && left <= 900_000), "{item}");
    fs::write(rig.path("value"), vec![b'x'; 3 << 20]).expect("it can be written");
    fine("storage.set", json!({ "plugin": "meter", "key": "large", "file": rig.path("value") }));
    assert_eq!(
        fine("storage.list", json!({ "plugin": "meter", "prefix": "" }))["keys"],
        json!(["first", "k", "large"])
    );
    assert_eq!(
        fine("storage.remove", json!({ "plugin": "meter", "key": "large" })),
        json!({ "existed": true })
    );
    let stats = fine("storage.stats", json!({}));
    let tenants =
        json!([{ "tenant": "", "items": 2, "bytes": 8 }, { "tenant": "t", "items": 1, "bytes": 2 }]);
    assert_eq!(stats["plugins"], json!([{ "id": "meter", "items": 3, "bytes": 10, "tenants": tenants }]));
    assert_eq!(fine("storage.stats", json!({ "plugin": "meter" })), stats);
    let export = rig.path("export");
    let report = fine("storage.export", json!({ "plugin": "meter", "path": export }));
    assert_eq!((&report["items"], &report["tenants"]), (&json!(3), &json!(2)));
    let report = fine("storage.import", json!({ "path": export, "mode": "replace" }));
    assert_eq!((&report["items"], &report["removed"]), (&json!(3), &json!(3)));
    let report = fine("storage.import", json!({ "path": export, "plugin": "other" }));
    assert_eq!(report["plugin"], "other");
    let check = fine("storage.check", json!({ "thorough": true }));
    assert_eq!((&check["problems"], &check["items"], &check["scopes"]), (&json!([]), &json!(6), &json!(4)));
    for (method, params, kind) in [
        ("storage.get", json!({ "plugin": "nobody", "key": "k" }), ErrorKind::NotFound),
        (
            "storage.set",
            json!({ "plugin": "meter", "key": "k", "value": "v", "if_version": 1 }),
            ErrorKind::Conflict,
        ),
        ("storage.set", json!({ "plugin": "meter", "key": "k" }), ErrorKind::InvalidArgument),
        (
            "storage.set",
            json!({ "plugin": "meter", "key": "k", "value": "", "value_base64": "" }),
            ErrorKind::InvalidArgument,
        ),
        (
            "storage.set",
            json!({ "plugin": "meter", "key": "k", "value_base64": "*" }),
            ErrorKind::InvalidArgument,
        ),
        (
            "storage.set",
            json!({ "plugin": "meter", "key": "k", "file": "value" }),
            ErrorKind::InvalidArgument,
        ),
        ("storage.export", json!({ "plugin": "meter", "path": "relative" }), ErrorKind::InvalidArgument),
        ("storage.export", json!({ "plugin": "meter", "path": export }), ErrorKind::Conflict),
        ("storage.import", json!({ "path": "relative" }), ErrorKind::InvalidArgument),
        ("storage.import", json!({ "path": export }), ErrorKind::Conflict),
        ("storage.import", json!({ "path": export, "mode": "all" }), ErrorKind::InvalidArgument),
    ] {
        let error = ask(method, params.clone()).expect_err("it is refused");
        assert_eq!(error.kind(), kind, "{method} {params}: {error}");
    }
}

#[test]
fn a_value_in_a_file_is_read_no_further_than_a_value_may_be() {
    let rig = Rig::with_meter();
    // Without bytes on the disk.
    let large = fs::File::create(rig.path("large")).expect("it can be made");
    large.set_len(1 << 30).expect("a file may have holes");
    let params = json!({ "plugin": "meter", "key": "k", "file": rig.path("large") });
    let error = rig.host.ask("storage.set", params).expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let told = error.to_string();
    assert!(told.contains("large has more bytes") && told.contains("4194304"), "{told}");
}

#[test]
fn what_all_plugins_have_is_told_or_that_nobody_can_tell() {
    let rig = Rig::with_meter();
    assert_eq!(rig.host.ask("storage.stats", json!({})).expect("it can be read")["items"], 1);
    rig.host.stop();
    let error = rig.host.ask("storage.stats", json!({})).expect_err("it has stopped");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
