//! `pintle sql`: of a host that runs, of a folder on which none does, and what cannot be done.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use serde_json::json;

use super::place::{Answer, Place, Running};

fn sql(place: &Place, arguments: &[&str]) -> Answer {
    place.ask(&[&["sql"], arguments].concat())
}

/// Ends the host of a place.
fn end(host: Running) {
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
}

/// A table of hello's, for nobody and for acme.
fn fill(place: &Place) {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT, size REAL, raw BLOB)";
    for tenant in ["", "acme"] {
        let made = sql(place, &["hello", "--tenant", tenant, "--write", table]).fine();
        assert_eq!(made.stdout, "0\n");
    }
    let insert = "INSERT INTO t (note, size, raw) VALUES (?1, ?2, ?3)";
    for (note, size, raw) in
        [("one", "1.5", "{\"$blob\":\"AP8=\"}"), ("", "2", "null"), ("tab\there\u{1b}", "-1e3", "null")]
    {
        let values = ["--param", note, "--param", size, "--param-json", raw];
        let inserted = sql(place, &[&["hello", "--write", insert][..], &values].concat()).fine();
        assert_eq!(inserted.stdout, "1\n");
    }
    let acme = ["hello", "--tenant", "acme", "--write", "INSERT INTO t (note) VALUES ('of acme')", "--json"];
    assert_eq!(sql(place, &acme).fine().json(), [json!({ "changed": 1, "last_insert_id": 1 })]);
}

#[test]
fn rows_are_shown_and_changed_with_a_host_and_without() {
    let place = Place::new();
    let mut host = Some(place.host(&[]));
    fill(&place);
    for round in ["with a host", "without"] {
        let query = |arguments: &[&str]| sql(&place, &[&["hello"], arguments].concat()).fine();
        let all = "SELECT * FROM t ORDER BY id";
        assert_eq!(
            query(&[all]).stdout,
            "1\tone\t1.5\tx'00ff'\n2\t\t2.0\t\\N\n3\ttab\\there\\u{1b}\t-1000.0\t\\N\n",
            "{round}"
        );
        assert_eq!(
            query(&[all, "--json"]).json(),
            [
                json!({ "id": 1, "note": "one", "size": 1.5, "raw": { "$blob": "AP8=" } }),
                json!({ "id": 2, "note": "", "size": 2.0, "raw": null }),
                json!({ "id": 3, "note": "tab\there\u{1b}", "size": -1000.0, "raw": null }),
            ]
        );
        assert_eq!(
            query(&[all, "--csv"]).stdout,
            "id,note,size,raw\n1,one,1.5,x'00ff'\n2,\"\",2.0,\n3,tab\there\u{1b},-1000.0,\n"
        );
        assert_eq!(query(&["SELECT note FROM t", "--tenant", "acme"]).stdout, "of acme\n");
        // In the order of the command line, each of its type.
        let types = "SELECT typeof(?1), typeof(?2), typeof(?3), typeof(?4), typeof(?5)";
        let values = [
            "--param",
            "7",
            "--param-json",
            "\"7\"",
            "--param",
            "007",
            "--param",
            "7.0",
            "--param-json",
            "null",
        ];
        let asked = [&[types][..], &values].concat();
        assert_eq!(query(&asked).stdout, "integer\ttext\ttext\treal\tnull\n");
        // What it changes is there for the next one, whoever asks.
        let returned = query(&["--write", "UPDATE t SET size = size + 1 WHERE id = 2 RETURNING id, size"]);
        assert_eq!(returned.stdout, "2\t3.0\n");
        place.write(
            "script.sql",
            "UPDATE t SET size = 2 WHERE id = 2; -- back\nDELETE FROM t WHERE id = 99;\n",
        );
        assert_eq!(query(&["--write", "--file", "script.sql"]).stdout, "1\n");
        // Of a script that fails nothing has happened.
        place.write("bad.sql", "DELETE FROM t;\nINSERT INTO gone VALUES (1);\n");
        let failed = sql(&place, &["hello", "--write", "--file", "bad.sql"]);
        assert_eq!((failed.code, &*failed.stdout), (Some(1), ""));
        assert!(failed.stderr.contains("no such table: gone"), "{}", failed.stderr);
        assert_eq!(query(&["SELECT count(*) FROM t"]).stdout, "3\n");
        let listed = sql(&place, &["--list"]).fine();
        let rows = listed.rows();
        assert_eq!(rows.iter().map(|row| &row[..2]).collect::<Vec<_>>(), [["hello", "-"], ["hello", "acme"]]);
        assert!(rows.iter().all(|row| row[2].parse::<u64>().expect("a number") >= 8_192), "{rows:?}");
        let shown = sql(&place, &["hello", "--list", "--json"]).fine().json();
        assert_eq!(
            (&shown[0]["databases"][1]["tenant"], &shown[0]["problems"]),
            (&json!("acme"), &json!([]))
        );
        if let Some(host) = host.take() {
            let stats = place.ask(&["stats", "hello"]).fine().stdout;
            assert!(stats.contains("  databases 2, "), "{stats}");
            end(host);
        }
    }
    let plugins = place.ask(&["plugins", "--json"]);
    assert!(plugins.stdout.contains("\"database_bytes\":"), "{}", plugins.stdout);
}

#[test]
fn what_cannot_be_done_is_said_with_a_status_of_its_own() {
    let place = Place::new();
    let nobody = sql(&place, &["hello", "SELECT 1"]);
    assert_eq!((nobody.code, &*nobody.stdout), (Some(5), ""), "{}", nobody.stderr);
    let mut host = Some(place.host(&[]));
    // Whoever only looks leaves no database behind.
    let empty = sql(&place, &["hello", "SELECT 1"]);
    assert_eq!((empty.code, &*empty.stdout), (Some(1), ""), "{}", empty.stderr);
    assert!(
        empty.stderr.contains("plugin \"hello\": it has no database on nobody's behalf"),
        "{}",
        empty.stderr
    );
    assert!(!place.path("data/sql").exists(), "one was made");
    fill(&place);
    place.write("taken", "mine\n");
    place.write("binary", "SELECT 1");
    fs::write(place.path("binary"), b"SELECT \xff").expect("it can be written");
    for round in ["with a host", "without"] {
        for (arguments, code, said) in [
            (&["nobody", "SELECT 1"][..], 3, "plugin \"nobody\""),
            (&["nobody", "--backup", "out"], 3, "`pintle plugins` shows all"),
            (&["nobody", "--list"], 3, "plugin \"nobody\""),
            (&["hello", "--tenant", "gone", "SELECT 1"], 1, "it has no database for the tenant \"gone\""),
            (&["hello", "--tenant", "gone", "--backup", "out"], 1, "no database for the tenant \"gone\""),
            (&["hello", "--tenant", "a\u{1}", "SELECT 1"], 1, "control character"),
            (&["hello", "SELECT oops FROM t"], 1, "no such column: oops"),
            (&["hello", "SELECT oops FROM t"], 1, "pintle:   SELECT oops FROM t\npintle:          ^\n"),
            (&["hello", "SELECT 1;\n SELEC 2"], 1, "more than one statement"),
            (&["hello", "SELECT\n\u{1b}[2J"], 1, "pintle:   \\u{1b}[2J\npintle:   ^\n"),
            (&["hello", ""], 1, "no statement"),
            (&["hello", "DELETE FROM t"], 1, "only reading was asked for"),
            (
                &["hello", "INSERT INTO t VALUES (9, 'x', 1, NULL) RETURNING id"],
                1,
                "only reading was asked for",
            ),
            (&["hello", "ATTACH 'x' AS y"], 1, "not allowed"),
            (&["hello", "--write", "VACUUM INTO 'x'"], 1, "not allowed"),
            (&["hello", "--write", "SELECT load_extension('x')"], 1, "load_extension"),
            (&["hello", "--write", "DROP TABLE pintle_owner"], 1, "the host's own"),
            (&["hello", "SELECT ?1"], 1, "placeholders for 1 values, 0 were passed"),
            (&["hello", "SELECT 1", "--param", "1"], 1, "placeholders for 0 values, 1 were passed"),
            (&["hello", "SELECT 1", "--param-json", "[1]"], 2, "--param-json"),
            (&["hello", "SELECT 1", "--timeout", "0"], 2, "--timeout"),
            (
                &[
                    "hello",
                    "--timeout",
                    "50",
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
                ],
                1,
                "took too long",
            ),
            (&["hello", "--write", "UPDATE t SET id = 1"], 1, "UNIQUE constraint failed: t.id"),
            (&["hello"], 2, "required"),
            (&["hello", "SELECT 1", "--list"], 2, "cannot be used with"),
            (&["hello", "--file", "binary"], 2, "--write"),
            (&["hello", "--write", "--file", "binary"], 1, "not UTF-8 from byte 7 on"),
            (&["hello", "--write", "--file", "gone"], 1, "gone cannot be read"),
            (&["hello", "--backup", "taken"], 1, "taken is there already"),
            (&["hello", "--backup", "gone/out"], 1, "gone/out cannot be written"),
            (&["hello", "--backup", "plugins", "--overwrite"], 1, "it is no file"),
        ] {
            let answer = sql(&place, arguments);
            assert_eq!(
                (answer.code, &*answer.stdout),
                (Some(code), ""),
                "{round}: {arguments:?}: {}",
                answer.stderr
            );
            assert!(answer.stderr.contains(said), "{round}: {arguments:?}: {}", answer.stderr);
        }
        assert_eq!(sql(&place, &["hello", "SELECT count(*) FROM t"]).fine().stdout, "3\n");
        if let Some(host) = host.take() {
            end(host);
        }
    }
    assert_eq!(fs::read(place.path("taken")).expect("it is there"), b"mine\n");
}

/// More than any answer takes, through a pipe that somebody may close.
#[test]
fn as_many_rows_as_may_be_go_through_and_whoever_has_seen_enough_ends_them() {
    let place = Place::new();
    let settings = fs::read_to_string(place.path("pintle.toml")).expect("it is there");
    place.write("pintle.toml", &format!("{settings}[database]\nmax_rows = 200000\n"));
    let mut host = Some(place.host(&[]));
    fill(&place);
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 200000) SELECT x, 'row ' || x FROM n";
    for round in ["with a host", "without"] {
        let mut all =
            place.command(&["sql", "hello", many]).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(all.stdout.take().expect("asked for")).lines();
        let mut count = 0;
        for line in lines {
            count += 1;
            let line = line.expect("it is text");
            assert!(count % 50_000 != 0 || line == format!("{count}\trow {count}"), "{line}");
        }
        assert_eq!((count, all.wait().expect("it ends").code()), (200_000, Some(0)), "{round}");
        let mut some = place.command(&["sql", "hello", many]);
        let mut some = some.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut first = String::new();
        let mut lines = BufReader::new(some.stdout.take().expect("asked for"));
        lines.read_line(&mut first).expect("it is text");
        drop(lines);
        let mut said = String::new();
        some.stderr.take().expect("asked for").read_to_string(&mut said).expect("it is text");
        assert_eq!(
            (some.wait().expect("it ends").code(), &*first, &*said),
            (Some(0), "1\trow 1\n", ""),
            "{round}"
        );
        // One row more than the settings allow.
        let more = many.replace("200000", "200001");
        let refused = sql(&place, &["hello", &more]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("more than the 200000 rows"), "{}", refused.stderr);
        // A value that no answer has room for, and one that a row just takes.
        let wide = "SELECT hex(zeroblob(500000)), hex(zeroblob(500000)), hex(zeroblob(500000))";
        let answer = sql(&place, &["hello", wide]);
        if round == "without" {
            assert_eq!(answer.fine().stdout.len(), 3_000_003);
        } else {
            assert_eq!(answer.code, Some(1), "{}", answer.stderr);
            assert!(answer.stderr.contains("ask for fewer columns"), "{}", answer.stderr);
        }
        if let Some(host) = host.take() {
            end(host);
        }
    }
}

#[test]
fn a_copy_made_while_others_write_is_whole_and_takes_the_place_of_what_it_was_made_of() {
    let (place, other) = (Place::new(), Place::new());
    let host = place.host(&[]);
    fill(&place);
    // Two rows that are equal at any moment, in every state that there is.
    let setup = "CREATE TABLE pairs (side TEXT PRIMARY KEY, n INTEGER); INSERT INTO pairs VALUES ('l', 0), ('r', 0);
        CREATE TABLE bulk AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000) SELECT x, hex(randomblob(200)) AS y FROM n;";
    place.write("setup.sql", setup);
    sql(&place, &["hello", "--write", "--file", "setup.sql"]).fine();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Relaxed) {
                sql(&place, &["hello", "--write", "UPDATE pairs SET n = n + 1"]).fine();
            }
        });
        for round in 0..5 {
            let name = format!("copy{round}");
            let copied = sql(&place, &["hello", "--backup", &name, "--json"]).fine().json();
            assert!(copied[0]["bytes"].as_u64().expect("a number") > 8_000_000, "{copied:?}");
            let mode = fs::metadata(place.path(&name)).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        done.store(true, Relaxed);
    });
    let left = fs::read_dir(place.path("")).expect("it is there").flatten();
    let parts: Vec<_> = left.filter(|it| it.file_name().to_string_lossy().starts_with("copy")).collect();
    assert_eq!(parts.len(), 5, "nothing else is left: {parts:?}");
    end(host);
    // In another data folder, under the same name.
    end(other.host(&[]));
    let folder = other.path("data/sql/p-hello");
    fs::create_dir_all(&folder).expect("it can be made");
    for round in 0..5 {
        fs::copy(place.path(&format!("copy{round}")), folder.join("system.db")).expect("it can be copied");
        let check = "SELECT (SELECT count(DISTINCT n) FROM pairs), (SELECT count(*) FROM bulk), (SELECT group_concat(integrity_check) FROM pragma_integrity_check)";
        assert_eq!(sql(&other, &["hello", check]).fine().stdout, "1\t20000\tok\n", "{round}");
        // For another tenant it is no good, and stays as it is.
        fs::copy(place.path("copy0"), folder.join("t-acme.db")).expect("it can be copied");
        let wrong = sql(&other, &["hello", "--tenant", "acme", "SELECT 1"]);
        assert_eq!(wrong.code, Some(1));
        assert!(
            wrong.stderr.contains("is the database of plugin \"hello\" and tenant \"\""),
            "{}",
            wrong.stderr
        );
        fs::remove_file(folder.join("t-acme.db")).expect("it is there");
    }
}

#[test]
fn what_is_no_database_is_told_and_left_alone() {
    let place = Place::new();
    let _host = place.host(&[]);
    fill(&place);
    let at = |name: &str| place.path(&format!("data/sql/{name}"));
    fs::create_dir(at("p-other")).expect("it can be made");
    let whole = fs::read(at("p-hello/t-acme.db")).expect("it is there");
    let strange: [(&str, &[u8]); 5] = [
        ("notes.txt", b"mine"),
        ("p-hello/notes.txt", b"mine"),
        (
            "p-hello/t-text.db",
            b"this is no database at all, but it is long enough to be looked at: it has text",
        ),
        ("p-hello/t-half.db", &whole[..5_000]),
        ("p-other/t-acme.db", &whole),
    ];
    for (name, bytes) in strange {
        fs::write(at(name), bytes).expect("it can be written");
    }
    Command::new("mkfifo").arg(at("p-hello/t-pipe.db")).status().expect("mkfifo is everywhere");
    std::os::unix::fs::symlink(at("p-hello/t-acme.db"), at("p-hello/t-link.db")).expect("it can be made");
    let listed = sql(&place, &["--list"]);
    assert_eq!(listed.code, Some(4), "{}", listed.stderr);
    assert_eq!(
        listed.rows().iter().map(|row| &row[..2]).collect::<Vec<_>>(),
        [["hello", "-"], ["hello", "acme"]]
    );
    for name in ["notes.txt", "p-hello/notes.txt", "t-text.db", "p-other/t-acme.db", "t-pipe.db", "t-link.db"]
    {
        assert!(listed.stderr.contains(name), "{name}: {}", listed.stderr);
    }
    for (name, bytes) in strange {
        assert_eq!(fs::read(at(name)).expect("it is there"), bytes, "{name}");
        assert!(!at(&format!("{name}-wal")).exists() && !at(&format!("{name}-shm")).exists(), "{name}");
    }
    let damaged = sql(&place, &["hello", "--tenant", "text", "SELECT 1"]);
    assert_eq!((damaged.code, &*damaged.stdout), (Some(1), ""), "{}", damaged.stderr);
}

#[test]
fn a_copy_for_which_the_disk_has_no_room_leaves_nothing_behind() {
    let place = Place::new();
    fs::create_dir(place.path("disk")).expect("it can be made");
    let mounted = "mount -t tmpfs -o size=2m tmpfs disk || exit 99";
    let script = |lines: &str| {
        let mut command = Command::new("unshare");
        let lines = format!("{mounted}\n{lines}");
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
    if !script("true").is_ok_and(|tried| tried.status.success()) {
        let _ = std::io::stderr()
            .write_all(b"SKIPPED: this user may not mount a small disk of its own (unshare, tmpfs)\n");
        return;
    }
    let host = place.host(&[]);
    fill(&place);
    let bulk = "CREATE TABLE bulk AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000) SELECT x, hex(randomblob(200)) AS y FROM n";
    sql(&place, &["hello", "--write", bulk]).fine();
    end(host);
    let done = script("\"$0\" sql hello --backup disk/out --data data; echo status: $?; ls -A disk")
        .expect("it could be started");
    let (out, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(out, "status: 1\n", "{said}");
    assert!(said.contains("out cannot be written: its disk is full: make room"), "{said}");
}
