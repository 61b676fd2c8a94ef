//! When databases come to be, are opened and closed, and that they last.

use std::fs;

use pintle_abi::PINTLE_OK;

use super::{add, ask, ask_of, expect, expect_of, files, place};
use crate::keeper::until;

/// How many files of databases this process has open below a folder.
fn open_below(folder: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").expect("this is Linux").filter_map(|entry| {
        let to = fs::read_link(entry.ok()?.path()).ok()?;
        (to.starts_with(folder) && to.extension().is_some_and(|end| end == "db")).then_some(())
    });
    links.count()
}

#[test]
fn database_1_a_database_is_made_when_it_is_first_used_and_is_one_file_for_each_plugin_and_tenant() {
    let place = place();
    add(&place, "second", &[]);
    let host = place.started();
    assert_eq!(files(&place, "sql"), [""; 0]);
    expect(&host, "", &[("query ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ni1")]);
    expect(&host, "acme", &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
    expect(&host, "../Ä", &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
    expect_of(&host, "second", "acme", &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
    let databases = |plugin: &str| -> Vec<String> {
        files(&place, plugin).into_iter().filter(|name| name.ends_with(".db")).collect()
    };
    assert_eq!(databases("sql"), ["system.db", "t-_2e_2e_2f_c3_84.db", "t-acme.db"]);
    assert_eq!(databases("second"), ["t-acme.db"]);
    drop(host);
    assert_eq!(files(&place, "sql"), databases("sql"), "logs are moved into the files at the end");
}

#[test]
fn database_1_a_database_is_closed_when_nobody_has_used_it_for_a_while_and_opened_again() {
    let place = place().toml("[database]\nidle_ms = 30");
    let host = place.started();
    let folder = fs::canonicalize(place.data()).expect("it is there").join("sql");
    expect(
        &host,
        "",
        &[
            ("execute ~ 0 ~ CREATE TABLE t (a)", "OK"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (7)", "OK changed=1 id=1"),
        ],
    );
    until("it is closed", || open_below(&folder) == 0);
    expect(
        &host,
        "",
        &[
            ("hold ~ h", "OK"),
            ("as ~ h ~ begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (8)", "OK changed=1 id=2"),
        ],
    );
    // One that is in use is not closed.
    expect(&host, "", &[("query ~ 0 ~ SELECT a FROM t", "OK rows=1\na\ni7")]);
    expect(&host, "", &[("commit ~ x", "OK"), ("query ~ 0 ~ SELECT a FROM t", "OK rows=2\na\ni7\ni8")]);
    until("it is closed", || open_below(&folder) == 0);
}

#[test]
fn database_1_no_more_are_open_than_the_settings_say() {
    let place = place().toml("[database]\nconnections = 4");
    let host = place.started();
    let folder = fs::canonicalize(place.data()).expect("it is there").join("sql");
    for turn in 0..2 {
        for tenant in 0..12 {
            let tenant = format!("tenant-{tenant}");
            if turn == 0 {
                expect(&host, &tenant, &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
            }
            assert!(
                ask(&host, &tenant, "execute ~ 0 ~ INSERT INTO t VALUES (1)").starts_with("OK changed=1")
            );
            assert!(open_below(&folder) <= 4, "{} are open", open_below(&folder));
        }
    }
    for tenant in ["a", "b", "c", "d"] {
        let begun = ask_of(&host, "sql", tenant, &["hold ~ h", &format!("as ~ h ~ begin ~ x-{tenant} ~ 0")]);
        assert_eq!(begun, ["OK", "OK"]);
    }
    let busy = "BUSY as many databases are in use as may be (4 connections, 4 to one): try again, or raise database.connections in the settings";
    expect(
        &host,
        "e",
        &[("options ~ 30 ~ 0", "OK"), ("query ~ 0 ~ SELECT 1", busy), ("begin ~ y ~ 0 ~ 1 ~ 30 ~ 0", busy)],
    );
    expect(&host, "a", &[("commit ~ x-a", "OK")]);
    expect(&host, "e", &[("query ~ 0 ~ SELECT 1 AS a", "OK rows=1\na\ni1")]);
}

#[test]
fn database_1_what_was_committed_is_there_after_a_restart_and_without_a_data_folder_it_goes() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "acme",
        &[
            ("execute ~ 0 ~ CREATE TABLE t (a)", "OK"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (7)", "OK changed=1 id=1"),
            ("hold ~ h", "OK"),
            ("as ~ h ~ begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (8)", "OK changed=1 id=2"),
        ],
    );
    drop(host);
    let host = place.started();
    expect(&host, "acme", &[("query ~ 0 ~ SELECT a FROM t", "OK rows=1\na\ni7")]);
    drop(host);
    let host = place.started_without_data();
    expect(
        &host,
        "acme",
        &[
            ("query ~ 0 ~ SELECT a FROM t", "INVALID_ARGUMENT …no such table…"),
            ("execute ~ 0 ~ CREATE TABLE t (a)", "OK"),
        ],
    );
    assert_eq!(PINTLE_OK, 0, "what the plugin's answers begin with");
}

#[test]
fn database_1_a_file_that_is_no_database_or_that_of_another_is_left_alone_and_said() {
    let place = place();
    let host = place.started();
    for tenant in ["a", "b", "c"] {
        expect(&host, tenant, &[("execute ~ 0 ~ CREATE TABLE t (a)", "OK")]);
    }
    drop(host);
    let folder = super::folder(&place, "sql");
    fs::write(folder.join("t-a.db"), b"no database at all, but long enough to be taken for one".repeat(100))
        .expect("it can be written");
    fs::copy(folder.join("t-c.db"), folder.join("t-b.db")).expect("it can be written");
    std::os::unix::fs::symlink(folder.join("t-c.db"), folder.join("t-d.db")).expect("it can be made");
    let host = place.started();
    for (tenant, said) in [
        ("a", ""),
        ("b", "is the database of plugin \"sql\" and tenant \"c\", not of \"sql\" and \"b\""),
        ("d", ""),
    ] {
        let answer = ask(&host, tenant, "query ~ 0 ~ SELECT * FROM t");
        assert!(answer.starts_with("UNAVAILABLE ") && answer.contains(said), "{tenant}: {answer}");
    }
    expect(&host, "c", &[("query ~ 0 ~ SELECT * FROM t", "OK\na")]);
}
