//! Files through their table, in a real host, with `tests/plugins/filer.c` as the plugin.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use pintle::{ErrorKind, Host};
use pintle_abi::*;
use pintle_test_support::{compile_c, install, repository};

use crate::keeper::Place;

const TABLE: &[u8] = b"a,b\n1,2\n";

/// A place with a filer and its resources.
fn place(flags: &[&str]) -> Place {
    let place = Place::new();
    let plugins = place.plugins();
    install(&compile_c("filer", repository().join("tests/plugins/filer.c"), flags), &plugins);
    fs::create_dir(plugins.join("data")).expect("the folder can be written");
    fs::write(plugins.join("data/table.csv"), TABLE).expect("the folder can be written");
    fs::write(plugins.join("empty"), b"").expect("the folder can be written");
    place
}

/// What the filer told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: i32,
    len: u64,
    version: u64,
    pieces: u64,
    largest: u64,
    sum: u64,
    rest: Vec<u8>,
}

impl Told {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

/// Has the filer do something on behalf of a tenant.
fn ask(host: &Host, tenant: &str, letter: u8, path: &[u8], more: &[&[u8]]) -> Told {
    let request = [&[letter][..], &(path.len() as u64).to_le_bytes(), path, &more.concat()].concat();
    let answer = host.call(tenant, "filer.run", 1, "do", &request, Some(Duration::from_secs(60)));
    read(&answer.unwrap_or_else(|error| panic!("{}: {error}", letter as char)))
}

fn read(answer: &[u8]) -> Told {
    let end = answer.iter().position(|byte| *byte == b'\n').expect("there is a line");
    let line = String::from_utf8_lossy(&answer[..end]).into_owned();
    let number = |name: &str| -> u64 {
        let value = line.split(' ').find_map(|word| word.strip_prefix(name)).expect("it is told");
        value.parse().expect("it is a number")
    };
    Told {
        status: line
            .split(' ')
            .next()
            .and_then(|status| status.parse().ok())
            .expect("it begins with the status"),
        len: number("len="),
        version: number("version="),
        pieces: number("pieces="),
        largest: number("largest="),
        sum: number("sum="),
        rest: answer[end + 1..].to_vec(),
    }
}

fn put(host: &Host, path: &[u8], bytes: &[u8]) -> Told {
    ask(host, "", b'p', path, &[bytes])
}

fn get(host: &Host, path: &[u8]) -> Told {
    ask(host, "", b'g', path, &[])
}

fn kind(status: i32) -> &'static str {
    match status {
        PINTLE_OK => "OK",
        PINTLE_NOT_FOUND => "NOT_FOUND",
        PINTLE_INVALID_ARGUMENT => "INVALID_ARGUMENT",
        PINTLE_DENIED => "DENIED",
        PINTLE_CONFLICT => "CONFLICT",
        PINTLE_TOO_LARGE => "TOO_LARGE",
        PINTLE_QUOTA => "QUOTA",
        PINTLE_CANCELLED => "CANCELLED",
        PINTLE_UNAVAILABLE => "UNAVAILABLE",
        PINTLE_UNSUPPORTED => "UNSUPPORTED",
        _ => "another",
    }
}

#[test]
fn files_1_the_table_puts_gets_reads_tells_lists_and_removes() {
    let place = place(&[]);
    let host = place.started();
    let first = put(&host, b"a/b", b"hello");
    assert_eq!((kind(first.status), first.len), ("OK", 5));
    let got = get(&host, b"a/b");
    assert_eq!((kind(got.status), &*got.rest, got.len, got.version), ("OK", &b"hello"[..], 5, first.version));
    let part = ask(&host, "", b'r', b"a/b", &[&1_u64.to_le_bytes(), &3_u64.to_le_bytes()]);
    assert_eq!((kind(part.status), &*part.rest, part.len), ("OK", &b"ell"[..], 5));
    let known = ask(&host, "", b's', b"a/b", &[]);
    assert_eq!((kind(known.status), known.len, known.version), ("OK", 5, first.version));
    let older = ask(&host, "", b'S', b"a/b", &[]);
    assert_eq!((kind(older.status), older.len, older.version), ("OK", 5, 7), "no further than its size");
    assert_eq!(kind(ask(&host, "", b'N', b"a/b", &[]).status), "INVALID_ARGUMENT");
    assert_eq!(kind(ask(&host, "", b'n', b"a/b", &[]).status), "INVALID_ARGUMENT");

    for path in ["c", "a", "b"] {
        put(&host, path.as_bytes(), b"");
    }
    let list = |prefix: &[u8], limit: u64, cursor: &[u8]| {
        ask(&host, "", b'l', prefix, &[&limit.to_le_bytes(), cursor])
    };
    assert_eq!(list(b"", 0, b"").text(), "a\0a/b\0b\0c\0");
    assert_eq!(list(b"a", 0, b"").text(), "a\0a/b\0");
    let page = list(b"", 3, b"").text();
    let cursor = page.strip_prefix("a\0a/b\0b\0").expect("three of them, and where it goes on");
    assert_eq!(list(b"", 3, cursor.as_bytes()).text(), "c\0");
    for (prefix, limit, cursor) in
        [(&b""[..], 1_001, &b""[..]), (b"", 1, b"nonsense"), (&[b'x'; 513], 1, b"")]
    {
        assert_eq!(kind(list(prefix, limit, cursor).status), "INVALID_ARGUMENT");
    }

    let gone = ask(&host, "", b'd', b"a/b", &[]);
    assert_eq!((kind(gone.status), gone.len), ("OK", 1));
    let again = ask(&host, "", b'd', b"a/b", &[]);
    assert_eq!((kind(again.status), again.len), ("OK", 0));
    for letter in [b'g', b's'] {
        let missed = ask(&host, "", letter, b"a/b", &[]);
        assert_eq!((kind(missed.status), missed.len, missed.version), ("NOT_FOUND", 7, 7));
        assert!(missed.text().contains("there is no file \"a/b\" in this scope"), "{}", missed.text());
    }
    assert_eq!(
        kind(ask(&host, "other", b'g', b"a", &[]).status),
        "NOT_FOUND",
        "another tenant's are its own"
    );
}

#[test]
fn files_1_a_version_guards_a_write_and_a_conflict_tells_it() {
    let place = place(&[]);
    let host = place.started();
    let put_if = |version: u64, bytes: &[u8]| ask(&host, "", b'c', b"a", &[&version.to_le_bytes(), bytes]);
    let first = put_if(0, b"1");
    assert_eq!(kind(first.status), "OK");
    let refused = put_if(0, b"2");
    assert_eq!((kind(refused.status), refused.len, refused.version), ("CONFLICT", 0, first.version));
    assert!(refused.text().contains("\"a\" is there already"), "{}", refused.text());
    let second = put_if(first.version, b"2");
    assert!(kind(second.status) == "OK" && second.version > first.version);
    assert_eq!(get(&host, b"a").rest, b"2");
    assert_eq!(kind(ask(&host, "", b'o', b"a", &[b"3"]).status), "UNSUPPORTED");
    assert_eq!(get(&host, b"a").rest, b"2");
}

#[test]
fn files_1_large_files_go_through_in_pieces_up_to_the_limit_of_the_settings() {
    let place = place(&[]);
    let host = place.started();
    let large = |len: u64| ask(&host, "", b'P', b"large", &[&len.to_le_bytes(), &[1]]);
    assert_eq!(kind(large(64 << 20).status), "OK", "64 MiB without settings");
    let got = ask(&host, "", b'h', b"large", &[]);
    let sum = (0..64_u64 << 20).fold(0_u64, |sum, _| sum.wrapping_mul(31).wrapping_add(1));
    assert_eq!((kind(got.status), got.len, got.sum), ("OK", 64 << 20, sum));
    assert_eq!((got.pieces, got.largest), (1_024, 64 << 10));
    let refused = large((64 << 20) + 1);
    assert_eq!(kind(refused.status), "TOO_LARGE");
    assert!(refused.text().contains("67108865 bytes, at most 67108864"), "{}", refused.text());
    let ended = ask(&host, "", b'x', b"large", &[]);
    assert_eq!((kind(ended.status), ended.pieces), ("CANCELLED", 2));
    drop(host);

    let place = place
        .toml("[files]\nmax_size = 1024\n[plugin.filer.quota]\nfiles_count = 2\ntenant_files_bytes = 1500");
    let host = place.started();
    let len = ask(&host, "", b's', b"large", &[]).len;
    assert_eq!(len, 64 << 20, "what is there stays");
    assert_eq!(kind(put(&host, b"large", &[1; 1025]).status), "TOO_LARGE");
    assert_eq!(kind(put(&host, b"large", &[1; 1024]).status), "OK", "less than before");
    let refused = put(&host, b"b", &[1; 1000]);
    assert_eq!(kind(refused.status), "QUOTA");
    assert!(refused.text().contains("quota.tenant_files_bytes"), "{}", refused.text());
    assert_eq!(kind(put(&host, b"b", b"").status), "OK");
    assert!(put(&host, b"c", b"").text().contains("quota.files_count"));
}

/// What becomes of a path.
enum Fate {
    Stored,
    /// With this in the text.
    Refused(&'static str),
}

/// Paths that somebody may hope to get somewhere with.
fn hostile() -> Vec<(Vec<u8>, Fate)> {
    use Fate::{Refused, Stored};
    let (dots, root, end, empty, back) =
        ("the segment `..`", "it begins with `/`", "it ends with `/`", "an empty segment", "a `\\`");
    let text: [(&str, Fate); 90] = [
        ("..", Refused(dots)),
        ("../outside", Refused(dots)),
        ("../../../../../../etc/passwd", Refused(dots)),
        ("a/..", Refused(dots)),
        ("a/../b", Refused(dots)),
        ("a/../../outside", Refused(dots)),
        ("a/b/../../../outside", Refused(dots)),
        (".", Refused("the segment `.`")),
        ("./a", Refused("the segment `.`")),
        ("a/.", Refused("the segment `.`")),
        ("a/./b", Refused("the segment `.`")),
        ("./../a", Refused("the segment `.`")),
        ("/", Refused(root)),
        ("/etc/passwd", Refused(root)),
        ("//server/share", Refused(root)),
        ("/../a", Refused(root)),
        ("/a/", Refused(root)),
        ("a/", Refused(end)),
        ("a/b/", Refused(end)),
        ("a//", Refused(end)),
        ("a//b", Refused(empty)),
        ("a///b", Refused(empty)),
        ("a//../b", Refused(empty)),
        ("..\\outside", Refused(back)),
        ("..\\..\\outside", Refused(back)),
        ("a\\b", Refused(back)),
        ("\\", Refused(back)),
        ("\\\\server\\share", Refused(back)),
        ("\\\\?\\C:\\a", Refused(back)),
        ("C:\\a", Refused(back)),
        ("a/..\\b", Refused(back)),
        ("a\nb", Refused("U+000A")),
        ("a\r", Refused("U+000D")),
        ("a\tb", Refused("U+0009")),
        ("\u{1b}[2J", Refused("U+001B")),
        ("a\u{7f}", Refused("U+007F")),
        ("a\u{85}b", Refused("U+0085")),
        ("\u{9b}2J", Refused("U+009B")),
        ("\u{1}", Refused("U+0001")),
        ("", Refused("it is empty")),
        ("a\0", Refused("a NUL at byte 1")),
        ("a\0/../b", Refused("a NUL at byte 1")),
        ("\0", Refused("a NUL at byte 0")),
        ("C:", Stored),
        ("C:a", Stored),
        ("C:/a", Stored),
        ("a:stream", Stored),
        ("...", Stored),
        ("....", Stored),
        (".. ", Stored),
        (" ..", Stored),
        (".../a", Stored),
        ("..a", Stored),
        ("a..", Stored),
        (".a", Stored),
        ("a.", Stored),
        ("a ", Stored),
        (" a", Stored),
        (" ", Stored),
        ("~", Stored),
        ("~root/a", Stored),
        ("$HOME/a", Stored),
        ("%2e%2e/a", Stored),
        ("%2e%2e%2fa", Stored),
        ("%252e%252e%252fa", Stored),
        ("..%2fa", Stored),
        ("..%5ca", Stored),
        ("a%00b", Stored),
        ("\u{2024}\u{2024}/a", Stored),
        ("\u{2025}/a", Stored),
        ("\u{ff0e}\u{ff0e}/a", Stored),
        ("\u{ff0e}\u{ff0e}\u{ff0f}a", Stored),
        ("..\u{2215}a", Stored),
        ("..\u{2044}a", Stored),
        ("..\u{ff3c}a", Stored),
        ("\u{202e}a", Stored),
        ("\u{feff}a", Stored),
        ("a\u{200b}", Stored),
        ("caf\u{e9}", Stored),
        ("cafe\u{301}", Stored),
        ("CON", Stored),
        ("con.txt", Stored),
        ("NUL", Stored),
        ("aux/a", Stored),
        ("COM1", Stored),
        ("A", Stored),
        ("a", Stored),
        ("a/b", Stored),
        ("a/B", Stored),
        ("*?<>|\"':;`$(rm -rf)&", Stored),
    ];
    let bytes: [(Vec<u8>, Fate); 10] = [
        (b"\xc0\xae\xc0\xae/a".to_vec(), Refused("not UTF-8")),
        (b"..\xc0\xafa".to_vec(), Refused("not UTF-8")),
        (b"\xe0\x80\xae\xe0\x80\xae/a".to_vec(), Refused("not UTF-8")),
        (b"a\xff".to_vec(), Refused("not UTF-8")),
        (b"\xed\xa0\x80".to_vec(), Refused("not UTF-8")),
        (vec![b'p'; 513], Refused("513 bytes")),
        (b"../".repeat(10_000), Refused("30000 bytes")),
        (vec![b'p'; 512], Stored),
        (b"d/".repeat(255).into_iter().chain(*b"dd").collect(), Stored),
        ("\u{1f600}".repeat(128).into_bytes(), Stored),
    ];
    let text = text.into_iter().map(|(path, fate)| (path.as_bytes().to_vec(), fate));
    text.chain(bytes).collect()
}

#[test]
fn files_2_no_path_leaves_the_folder_and_what_is_stored_reads_back_under_that_name() {
    let place = place(&[]);
    let host = place.started();
    // What a path that is resolved would find.
    fs::write(place.data().join("outside"), b"outside").expect("it can be written");
    put(&host, b"first", b"first");
    let around = place.data().parent().expect("the data lie in a folder").to_owned();
    let before = listing(&around);
    let (mut stored, cases) = (vec![b"first".to_vec()], hostile());
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for (path, fate) in cases {
        let shown = String::from_utf8_lossy(&path).into_owned();
        let known = ask(&host, "", b's', &path, &[]);
        let written = put(&host, &path, &path);
        match fate {
            Fate::Refused(word) => {
                for told in [written, known, get(&host, &path), ask(&host, "", b'd', &path, &[])] {
                    assert_eq!(kind(told.status), "INVALID_ARGUMENT", "{shown:?}: {told:?}");
                    assert!(told.text().contains("argument `path`: "), "{shown:?}: {}", told.text());
                    assert!(told.text().contains(word), "{shown:?}: {}", told.text());
                }
            }
            Fate::Stored => {
                assert_eq!(kind(known.status), "NOT_FOUND", "{shown:?} is another's name");
                assert_eq!(kind(written.status), "OK", "{shown:?}: {}", written.text());
                assert_eq!(get(&host, &path).rest, path, "{shown:?}");
                stored.push(path);
            }
        }
        assert_eq!(listing(&around), before, "something has changed around the folder after {shown:?}");
    }
    stored.sort();
    let list = || ask(&host, "", b'l', b"", &[&1_000_u64.to_le_bytes()]).rest;
    assert_eq!(list(), stored.iter().flat_map(|path| [path, &b"\0"[..]].concat()).collect::<Vec<_>>());
    for path in &stored[1..] {
        assert_eq!(ask(&host, "", b'd', path, &[]).len, 1, "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(listing(&around), before);
}

#[test]
fn files_2_links_planted_in_the_folder_lead_a_plugin_nowhere() {
    let place = place(&[]);
    let host = place.started();
    put(&host, b"a", b"1234567");
    let (scope, secret) = (place.data().join("files/filer/1"), place.data().join("secret"));
    fs::write(&secret, b"secret!").expect("it can be written");
    let blob =
        fs::read_dir(&scope).expect("it is there").next().expect("one").expect("it can be read").path();
    fs::remove_file(&blob).expect("it is there");
    symlink(&secret, &blob).expect("it can be made");
    let refused = get(&host, b"a");
    assert_eq!(kind(refused.status), "UNAVAILABLE");
    assert!(refused.text().contains("\"a\" is damaged"), "{}", refused.text());
    assert_eq!(kind(put(&host, b"a", b"new").status), "OK");
    let aside = place.data().join("aside");
    fs::rename(&scope, &aside).expect("it is there");
    symlink(&aside, &scope).expect("it can be made");
    for told in [get(&host, b"a"), put(&host, b"a", b"newer")] {
        assert_eq!(kind(told.status), "UNAVAILABLE");
        assert!(told.text().contains("is a link or no folder, and is not followed"), "{}", told.text());
    }
    fs::remove_file(&scope).expect("it is a link");
    fs::rename(&aside, &scope).expect("it is there");
    assert_eq!(get(&host, b"a").rest, b"new");
    assert_eq!(fs::read(&secret).expect("it is there"), b"secret!");
}

#[test]
fn files_3_files_are_there_after_a_restart_and_without_a_data_folder_they_go() {
    let place = place(&[]);
    let host = place.started();
    let first = put(&host, b"a", b"kept");
    drop(host);
    let host = place.started();
    let got = get(&host, b"a");
    assert_eq!((&*got.rest, got.version), (&b"kept"[..], first.version));
    drop(host);
    let host = place.started_without_data();
    assert_eq!(kind(get(&host, b"a").status), "NOT_FOUND");
    assert_eq!(kind(put(&host, b"a", b"gone soon").status), "OK");
    assert_eq!(get(&host, b"a").rest, b"gone soon");
    drop(host);
    assert!(place.log().contains("this host has no data folder"), "{}", place.log());
}

#[test]
fn files_3_many_tenants_write_and_read_at_once() {
    let place = place(&[]);
    let host = place.started();
    thread::scope(|threads| {
        for tenant in ["a", "b", "c", ""] {
            let host = &host;
            threads.spawn(move || {
                for number in 0..20_u8 {
                    let bytes = format!("{tenant}{number}").repeat(1_000).into_bytes();
                    assert_eq!(kind(ask(host, tenant, b'p', b"same", &[&bytes]).status), "OK");
                    assert_eq!(ask(host, tenant, b'g', b"same", &[]).rest, bytes);
                }
            });
        }
    });
}

#[test]
fn everywhere_12_what_a_plugin_has_in_files_is_counted_for_all_tenants() {
    let place = place(&[]);
    let host = place.started();
    let counted = |host: &Host| {
        let stats = host.stats();
        let filer = stats.plugins.iter().find(|plugin| plugin.id == "filer").expect("it is known");
        let calls = filer.calls.get("files").cloned().unwrap_or_default();
        (filer.files.map(|files| (files.items, files.bytes)), calls.calls, calls.failed, calls.bytes)
    };
    let before = counted(&host);
    assert_eq!(before.0, Some((0, 0)));
    put(&host, b"a", b"12345");
    ask(&host, "acme", b'p', b"a", &[b"123"]);
    get(&host, b"a");
    put(&host, b"../a", b"");
    let after = counted(&host);
    assert_eq!(after.0, Some((2, 8)));
    assert_eq!((after.1 - before.1, after.2 - before.2, after.3 - before.3), (4, 1, 13));
    host.stop();
    assert_eq!(counted(&host).0, Some((2, 8)), "as it was at the end");
}

#[test]
fn files_4_resources_are_those_of_the_version_and_no_other_file() {
    let place = place(&[]);
    let host = place.started();
    let resource = |name: &[u8]| ask(&host, "", b'R', name, &[]);
    let table = resource(b"data/table.csv");
    assert_eq!(
        (kind(table.status), &*table.rest, table.len, table.version),
        ("OK", TABLE, TABLE.len() as u64, 0)
    );
    let empty = resource(b"empty");
    assert_eq!((kind(empty.status), empty.len, empty.pieces), ("OK", 0, 1));
    for other in ["filer.so", "data", "data/../empty", "/empty", "data/table.csv/", "EMPTY", "..", "nothing"]
    {
        let refused = resource(other.as_bytes());
        assert_eq!(kind(refused.status), "NOT_FOUND", "{other}");
        assert!(refused.text().contains("the manifest names no resource"), "{}", refused.text());
    }
    for wrong in [&b""[..], b"a\0", &[b'x'; 513]] {
        assert_eq!(kind(resource(wrong).status), "INVALID_ARGUMENT");
    }
    // The original is another's business from now on.
    fs::write(place.plugins().join("data/table.csv"), b"changed").expect("it can be written");
    assert_eq!(resource(b"data/table.csv").rest, TABLE);
    host.unload("filer").expect("it is loaded");
    host.enable("filer").expect("it is there");
    assert_eq!(resource(b"data/table.csv").rest, b"changed");
}

#[test]
fn files_4_in_load_a_plugin_reads_its_resources_and_writes_nothing() {
    let place = place(&[]);
    let host = place.started();
    let request = [&[b'L'][..], &0_u64.to_le_bytes()].concat();
    let told = host.call("", "filer.run", 1, "do", &request, None).expect("it answers");
    let told = String::from_utf8(told).expect("it is text");
    let lines: Vec<_> = told.lines().filter(|line| line.contains(" len=")).collect();
    let status = |at: usize| lines[at].split(' ').next().and_then(|word| word.parse().ok()).map(kind);
    assert_eq!(
        [status(0), status(1), status(2), status(3)],
        ["UNAVAILABLE", "UNAVAILABLE", "NOT_FOUND", "OK"].map(Some),
        "{told}"
    );
    assert!(told.contains("a plugin does not act in `load`") && told.contains("1,2"), "{told}");
}

#[test]
fn files_4_everywhere_8_what_was_not_asked_for_is_denied() {
    let place = place(&["-DSERVICES=\"storage\": {}"]);
    let host = place.started();
    for letter in *b"pgsldR" {
        let told = ask(&host, "", letter, b"empty", &[&[0; 8]]);
        assert_eq!(kind(told.status), "DENIED", "{}", letter as char);
        assert!(told.text().contains("add \"files\": {} to \"services\""), "{}", told.text());
    }
}

#[test]
fn files_1_an_application_lists_reads_and_removes_what_a_plugin_keeps() {
    let place = place(&[]);
    let host = place.started();
    assert_eq!(host.files("nobody", "").expect_err("it was never there").kind(), ErrorKind::NotFound);
    assert_eq!(kind(ask(&host, "acme", b'p', b"b/c", &[b"bytes"]).status), "OK");
    ask(&host, "acme", b'p', b"a", &[&[9; 100_000]]);
    let files = host.files("filer", "acme").expect("it is loaded");
    assert_eq!((files.plugin(), files.tenant()), ("filer", "acme"));
    let page = files.list("", "", 1).expect("it can be read");
    assert_eq!(page.paths, ["a"]);
    let rest = files.list("", &page.next.expect("there is more"), 0).expect("it can be read");
    assert_eq!((rest.paths, rest.next), (vec!["b/c".to_owned()], None));
    let mut bytes = Vec::new();
    let info = files.read("b/c", &mut bytes).expect("it is there");
    assert_eq!((&*bytes, info.len), (&b"bytes"[..], 5));
    assert_eq!(files.stat("b/c").expect("it can be read"), Some(info));
    assert_eq!(files.read("../x", &mut bytes).expect_err("no path").kind(), ErrorKind::InvalidArgument);
    assert_eq!(files.read("none", &mut bytes).expect_err("nothing").kind(), ErrorKind::NotFound);
    assert_eq!(files.read("a", &mut &mut [0; 10][..]).expect_err("it is full").kind(), ErrorKind::Cancelled);
    assert!(
        files.remove("b/c").expect("it can be written") && !files.remove("b/c").expect("it can be written")
    );
    assert_eq!(files.stat("b/c").expect("it can be read"), None);
    drop(host);
    assert_eq!(files.stat("a").expect_err("the host has stopped").kind(), ErrorKind::Unavailable);
    // The plugin need not be loaded.
    let host = place.build();
    let files = host.files("filer", "acme").expect("it has files");
    assert_eq!(files.stat("a").expect("it can be read").map(|info| info.len), Some(100_000));
}

/// What lies below a folder, with its bytes; neither the ledger, which notes each write, nor the log, nor what the scope's
/// own folder has.
fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut list = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it is a folder") {
            let entry = entry.expect("it can be read");
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().expect("it can be read");
            if name.starts_with("pintle.db") || name == "log" || kind.is_file() && is_blob(&path) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path.clone());
                list.insert(path, Vec::new());
            } else {
                let bytes =
                    if kind.is_file() { fs::read(&path).expect("it can be read") } else { Vec::new() };
                list.insert(path, bytes);
            }
        }
    }
    list
}

/// Whether it lies in the folder of the first scope, and is called as a blob is.
fn is_blob(path: &Path) -> bool {
    let in_scope = path.parent().is_some_and(|parent| parent.ends_with("data/files/filer/1"));
    in_scope && path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u64>().is_ok())
}
