//! `pintle storage`: of a host that runs, of a folder on which none does, and what a kill or a full disk leaves behind.

use std::{fs, io::Write, process::Command, process::Stdio, time::Instant};

use serde_json::json;

use super::place::{Answer, PATIENCE, Place};

fn storage(place: &Place, arguments: &str) -> Answer {
    let words = arguments.split(' ').filter(|it| !it.is_empty());
    place.ask(&["storage"].into_iter().chain(words).collect::<Vec<_>>())
}

/// Ends the host of a place.
fn end(host: super::place::Running) {
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
}

/// Some items of hello, for nobody and for acme.
fn fill(place: &Place) {
    for arguments in ["hello a 1", "hello b two", "hello c 3 --ttl 900000", "hello a x --tenant acme"] {
        storage(place, &format!("set {arguments}")).fine();
    }
}

#[test]
fn what_plugins_have_in_the_storage_is_shown_and_changed_with_a_host_and_without() {
    let place = Place::new();
    let mut host = Some(place.host(&[]));
    fill(&place);
    for round in ["with a host", "without"] {
        let get = |arguments: &str| storage(&place, &format!("get {arguments}"));
        assert_eq!(storage(&place, "list hello").fine().stdout, "a\nb\nc\n", "{round}");
        assert_eq!(storage(&place, "list hello --prefix b --json").fine().json(), [json!({ "key": "b" })]);
        let some = storage(&place, "list hello --limit 1");
        assert_eq!((some.code, &*some.stdout), (Some(0), "a\n"), "{}", some.stderr);
        assert!(some.stderr.contains("there are more than 1: --all lists all of them"), "{}", some.stderr);
        assert_eq!(storage(&place, "list hello --all").fine().stdout, "a\nb\nc\n");
        assert_eq!(get("hello b").fine().stdout, "two");
        assert_eq!(get("hello a --tenant acme").fine().stdout, "x");
        let item = &get("hello c --json").fine().json()[0];
        assert_eq!(
            (&item["plugin"], &item["key"], &item["value"]),
            (&json!("hello"), &json!("c"), &json!("3"))
        );
        assert!(item["left_ms"].as_u64().is_some_and(|left| left <= 900_000), "{item}");
        assert_eq!(
            storage(&place, "").fine().rows(),
            [["hello", "-", "3", "8"], ["hello", "acme", "1", "2"]]
        );
        let stats = storage(&place, "stats hello --json").fine().json();
        assert_eq!(stats[0]["plugins"][0]["items"], 4);
        // Bytes that are no text, from a file and from stdin, and more than goes into a request.
        place.write("empty", "");
        fs::write(place.path("large"), vec![0xff; 3 << 20]).expect("it can be written");
        for file in ["empty", "large"] {
            storage(&place, &format!("set hello {file} --file {file}")).fine();
            let out = place.command(&["storage", "get", "hello", file]).output().expect("it starts");
            assert_eq!(out.stdout, fs::read(place.path(file)).expect("it is there"), "{file}");
            assert_eq!(storage(&place, &format!("remove hello {file}")).fine().stdout, "1\n");
            assert_eq!(storage(&place, &format!("remove hello {file}")).fine().stdout, "0\n");
        }
        let mut piped = place.command(&["storage", "set", "hello", "b", "-"]);
        let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        piped.stdin.take().expect("asked for").write_all(b"two").expect("it is read");
        assert!(piped.wait().expect("it ends").success());
        // A write on a version counts once.
        let version = get("hello b --json").fine().json()[0]["version"].to_string();
        let set = format!("set hello b two --if-version {version}");
        let newer = storage(&place, &set).fine().stdout;
        assert!(newer.trim().parse::<u64>().expect("a version") > version.parse().expect("a version"));
        let late = storage(&place, &set);
        assert_eq!((late.code, &*late.stdout), (Some(1), ""));
        assert!(late.stderr.contains(&format!("has version {}", newer.trim())), "{}", late.stderr);
        assert!(storage(&place, "check").fine().stdout.starts_with("whole: 4 items in 2 scopes, "));
        assert_eq!(storage(&place, "check --thorough --json").fine().json()[0]["problems"], json!([]));
        if let Some(host) = host.take() {
            end(host);
        }
    }
}

#[test]
fn what_is_carried_from_one_folder_to_another_is_the_same() {
    let (from, to) = (Place::new(), Place::new());
    let host = from.host(&[]);
    fill(&from);
    let said = storage(&from, "export hello out").fine().stdout;
    assert!(said.starts_with("4 items of 2 scopes, 10 B, "), "{said}");
    end(host);
    // The same without a host, and into a host that runs.
    assert_eq!(storage(&from, "export hello again --json").fine().json()[0]["items"], 4);
    let items = |name: &str| {
        let text = fs::read_to_string(from.path(name)).expect("it is there");
        text.lines().skip(1).take(4).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(items("out"), items("again"));
    let _host = to.host(&[]);
    let out = from.path("out").display().to_string();
    let said = storage(&to, &format!("import {out}")).fine().stdout;
    assert_eq!(said, "4 items of 2 scopes, 10 B are now of hello\n");
    let refused = storage(&to, &format!("import {out}"));
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert!(refused.stderr.contains("it has 3 items in the system scope already"), "{}", refused.stderr);
    storage(&to, "set hello d 4").fine();
    storage(&to, &format!("import {out} --merge")).fine();
    assert_eq!(storage(&to, "list hello").fine().stdout, "a\nb\nc\nd\n");
    let said = storage(&to, &format!("import {out} --replace")).fine().stdout;
    assert_eq!(said, "4 items of 2 scopes, 10 B are now of hello; 5 were removed for them\n");
    assert_eq!(storage(&to, &format!("import {out} --as other --json")).fine().json()[0]["plugin"], "other");
    assert_eq!(storage(&to, "list other").fine().stdout, "a\nb\nc\n");
    for name in ["one", "two"] {
        let tenant = if name == "one" { "acme" } else { "gone" };
        storage(&to, &format!("export hello {name} --tenant {tenant}")).fine();
    }
    let lines = |name: &str| fs::read_to_string(to.path(name)).expect("it is there").lines().count();
    assert_eq!((lines("one"), lines("two")), (3, 2));
}

#[test]
fn what_cannot_be_done_is_said_with_a_status_of_its_own() {
    let place = Place::new();
    let _host = place.host(&[]);
    fill(&place);
    place.write("taken", "mine\n");
    for (arguments, code, said) in [
        ("get hello gone", 1, "hello has no item \"gone\": `pintle storage list` shows the keys"),
        ("get hello gone --tenant acme", 1, "for the tenant \"acme\""),
        ("get nobody a", 3, "plugin \"nobody\""),
        ("list nobody", 3, "`pintle plugins` shows all"),
        ("stats nobody", 3, "plugin \"nobody\""),
        ("export nobody out", 3, "plugin \"nobody\""),
        ("export hello taken", 1, "taken is there already"),
        ("export hello gone/out", 1, "gone/out cannot be written"),
        ("import gone", 1, "gone cannot be read: No such file"),
        ("import taken", 1, "taken is no export of Pintle"),
        ("import taken --as No", 1, "\"No\" is no plugin id"),
        ("import taken --replace --merge", 2, "cannot be used with"),
        ("set hello k", 2, "required"),
        ("set hello k v --file taken", 2, "cannot be used with"),
        ("set hello k --file gone", 1, "gone cannot be read"),
        ("set hello k v --if-version x", 2, "--if-version"),
        ("list", 2, "PLUGIN"),
        ("list hello --limit 0", 2, "--limit"),
    ] {
        let answer = storage(&place, arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(code), ""), "{arguments}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments}: {}", answer.stderr);
    }
    assert_eq!(fs::read(place.path("taken")).expect("it is there"), b"mine\n");
    storage(&place, "export hello taken --overwrite").fine();
}

#[test]
fn a_folder_that_somebody_has_without_a_socket_is_left_alone() {
    let place = Place::new();
    end(place.host(&[]));
    let settings = fs::read_to_string(place.path("pintle.toml")).expect("it is there");
    place.write("pintle.toml", &format!("control.enabled = false\n{settings}"));
    let host = place.start(&["run"]);
    let pid = host.child.id().to_string();
    let deadline = Instant::now() + PATIENCE;
    // The lock has its number when it has the folder.
    while fs::read_to_string(place.path("data/pintle.lock")).unwrap_or_default().trim() != pid {
        assert!(Instant::now() < deadline, "the host does not start");
    }
    for arguments in ["stats", "set hello a 1", "import gone", "check"] {
        let answer = storage(&place, arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{arguments}: {}", answer.stderr);
        assert!(answer.stderr.contains(&format!("data is in use by process {pid}")), "{}", answer.stderr);
    }
}

/// Damage in the middle of the file, where items lie.
#[test]
fn a_check_of_a_damaged_ledger_ends_with_a_status_of_its_own() {
    let place = Place::new();
    let host = place.host(&[]);
    fill(&place);
    place.write("value", &"x".repeat(20_000));
    for n in 0..10 {
        storage(&place, &format!("set hello {n} --file value")).fine();
    }
    end(host);
    let ledger = place.path("data/pintle.db");
    let good = fs::read(&ledger).expect("it is there");
    let mut bad = good.clone();
    // A page on which a value goes on begins with the number of the next one.
    let page = good.chunks(4_096).position(|page| page[4..].iter().all(|byte| *byte == b'x'));
    let at = page.expect("the values lie there") * 4_096;
    bad[at..at + 4].fill(0xee);
    fs::write(&ledger, bad).expect("it is ours");
    let answer = storage(&place, "check");
    assert_ne!(answer.code, Some(0), "{}", answer.stdout);
    assert!(
        answer.code == Some(4) && answer.stderr.contains("the storage is not whole: export what can be read"),
        "{answer:?}"
    );
    fs::write(&ledger, good).expect("it is ours");
    storage(&place, "check --thorough").fine();
}

/// An export with many items: all of it has the letter as its values.
fn many(place: &Place, letter: &str) -> String {
    let header = format!(
        "{{\"pintle_export\":1,\"plugin\":\"many\",\"tenants\":null,\"exported_ms\":0,\"host\":\"{letter}\"}}\n"
    );
    let mut text = header;
    let (value, count) = (letter.repeat(1_000), 8_000);
    for n in 0..count {
        let tenant = if n < count / 2 { "" } else { "z" };
        text.push_str(&format!(
            "{{\"tenant\":\"{tenant}\",\"key\":\"{n:05}\",\"value\":{{\"text\":\"{value}\"}}}}\n"
        ));
    }
    place.write(letter, &text);
    let sum = Command::new("sha256sum").arg(place.path(letter)).output().expect("it is there");
    let sum = String::from_utf8(sum.stdout).expect("it is text");
    let sum = sum.split(' ').next().unwrap_or_default();
    text.push_str(&format!("{{\"items\":{count},\"bytes\":{},\"sha256\":\"{sum}\"}}\n", count * 1_005));
    place.write(letter, &text);
    letter.to_owned()
}

/// Of the items that are there: how many, and with which values.
fn there(place: &Place, name: &str) -> (u64, Vec<char>) {
    storage(place, &format!("export many {name} --overwrite")).fine();
    let text = fs::read_to_string(place.path(name)).expect("it was written");
    let mut letters: Vec<char> =
        text.lines().filter_map(|line| line.split("\"text\":\"").nth(1)?.chars().next()).collect();
    let count = letters.len() as u64;
    letters.sort_unstable();
    letters.dedup();
    (count, letters)
}

#[test]
fn storage_15_a_kill_during_an_import_leaves_all_of_the_old_or_all_of_the_new() {
    let place = Place::new();
    end(place.host(&[]));
    let files = [many(&place, "o"), many(&place, "n")];
    storage(&place, "import o").fine();
    let wal = place.path("data/pintle.db-wal");
    let (mut now, mut killed) = ('o', 0);
    for round in 0_u64..10 {
        let next = &files[usize::from(now == 'o')];
        let mut import = place.start(&["storage", "import", next, "--replace"]);
        // The log grows as it writes: so far it is to come.
        let until = round * 1_000_000;
        let ended = loop {
            if fs::metadata(&wal).is_ok_and(|log| log.len() >= until) && round > 0 {
                break import.child.try_wait().expect("it can be asked");
            }
            if let Some(ended) = import.child.try_wait().expect("it can be asked") {
                break Some(ended);
            }
            if round == 0 {
                break None;
            }
        };
        // It may have come to its end by itself.
        let _ = import.child.kill();
        let _ = import.ended();
        killed += u64::from(ended.is_none());
        let (count, letters) = there(&place, "left");
        assert_eq!((count, letters.len()), (8_000, 1), "round {round}: {letters:?}");
        now = letters[0];
        storage(&place, "check").fine();
    }
    assert!(killed >= 5, "only {killed} of 10 were killed in the middle");
}

#[test]
fn storage_14_15_on_a_full_disk_nothing_is_imported_and_no_part_of_an_export_is_left() {
    let place = Place::new();
    fs::create_dir(place.path("disk")).expect("it can be made");
    many(&place, "n");
    let mounted = "mount -t tmpfs -o size=4m tmpfs disk || exit 99";
    let script = |lines: &[&str]| {
        let mut command = Command::new("unshare");
        let lines = [&[mounted][..], lines].concat().join("\n");
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            &lines,
            env!("CARGO_BIN_EXE_pintle"),
        ]);
        command.current_dir(place.path("")).stdin(Stdio::null()).output()
    };
    if !script(&["true"]).is_ok_and(|tried| tried.status.success()) {
        return eprintln!("SKIPPED: this user may not mount a small disk of its own (unshare, tmpfs)");
    }
    end(place.host(&[]));
    let done = script(&[
        "cp -r data disk/data",
        "\"$0\" storage import n --data disk/data; echo imported: $?",
        "\"$0\" storage stats --data disk/data",
        "\"$0\" storage check --data disk/data",
        "\"$0\" storage import n --data data && \"$0\" storage export many disk/out --data data; echo exported: $?",
        "ls disk",
    ]);
    let done = done.expect("it could be started before");
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let lines: Vec<&str> = out.lines().collect();
    let [imported, whole, into, exported, data] = lines[..] else { panic!("{out}\n{said}") };
    assert_eq!((imported, exported, data), ("imported: 1", "exported: 1", "data"), "{said}");
    assert!(whole.starts_with("whole: 0 items"), "{whole}");
    assert!(into.starts_with("8000 items"), "{into}");
    assert!(said.contains("the disk of the data folder is full: make room"), "{said}");
    assert!(said.contains("disk/out cannot be written: No space left"), "{said}");
}
