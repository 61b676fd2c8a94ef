//! Transactions: handles that end in time, whatever a plugin forgets.

use std::time::Duration;

use super::{add, answers, ask, ask_of, compare, expect, expect_of, place, raw, told_to};
use crate::keeper::until;

const MADE: (&str, &str) = ("execute ~ 0 ~ CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "OK");
const COUNT: &str = "query ~ 0 ~ SELECT count(*) AS n FROM t";

/// A statement that gives rows without end.
const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";

#[test]
fn database_3_what_is_in_a_transaction_is_seen_by_itself_until_it_is_committed() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            ("query ~ x ~ SELECT b FROM t", "OK rows=1\nb\ntx"),
            ("one ~ x ~ SELECT b FROM t", "OK rows=1\nb\ntx"),
            (COUNT, "OK rows=1\nn\ni0"),
            ("stats", "OK transactions=1 …"),
            ("commit ~ x", "OK"),
            ("stats", "OK transactions=0 …"),
            (COUNT, "OK rows=1\nn\ni1"),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ DELETE FROM t", "OK changed=1"),
            ("rollback ~ x", "OK"),
            (COUNT, "OK rows=1\nn\ni1"),
            // The C helper: commits what went well, and rolls back what did not.
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            ("end ~ x ~ 0", "OK"),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (3, 'z')", "OK changed=1 id=3"),
            (
                "execute ~ x ~ INSERT INTO t VALUES (3, 'z')",
                "CONFLICT UNIQUE constraint failed: t.a code=1555",
            ),
            ("end ~ x ~ 6", "CONFLICT UNIQUE constraint failed: t.a"),
            (COUNT, "OK rows=1\nn\ni2"),
            // A statement that fails takes itself back, not the transaction.
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (4, 'w')", "OK changed=1 id=4"),
            ("execute ~ x ~ INSERT INTO t VALUES (5, 'w'), (4, 'v')", "CONFLICT …"),
            ("refuse ~ x ~ SELECT a FROM t ~ 1 ~ 1", "CANCELLED …"),
            ("commit ~ x", "OK"),
            ("query ~ 0 ~ SELECT group_concat(a) AS a FROM t", "OK rows=1\na\nt1,2,4"),
        ],
    );
}

#[test]
fn database_3_nested_ones_are_savepoints() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            ("begin ~ y ~ x", "OK"),
            ("execute ~ y ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            // While it is open only the innermost may be used.
            ("execute ~ x ~ DELETE FROM t", "BUSY a transaction nested in this one is open: end that first"),
            ("begin ~ z ~ x", "BUSY a transaction nested in this one is open: end that first"),
            ("commit ~ x", "BUSY a transaction nested in this one is open: end that first"),
            ("begin ~ z ~ y", "OK"),
            ("execute ~ z ~ INSERT INTO t VALUES (3, 'z')", "OK changed=1 id=3"),
            ("stats", "OK transactions=1 …"),
            ("commit ~ z", "OK"),
            ("query ~ y ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni3"),
            ("rollback ~ y", "OK"),
            ("query ~ x ~ SELECT group_concat(a) AS a FROM t", "OK rows=1\na\nt1"),
            // One that has ended, and those that were in it.
            ("execute ~ y ~ SELECT 1", "STALE_HANDLE …"),
            ("commit ~ z", "STALE_HANDLE …"),
            // Rolled back from the outside, those in it end with it.
            ("begin ~ y ~ x", "OK"),
            ("begin ~ z ~ y", "OK"),
            ("execute ~ z ~ INSERT INTO t VALUES (4, 'w')", "OK changed=1 id=4"),
            ("rollback ~ y", "OK"),
            ("execute ~ z ~ SELECT 1", "STALE_HANDLE …"),
            ("rollback ~ z", "STALE_HANDLE …"),
            ("execute ~ x ~ INSERT INTO t VALUES (5, 'v')", "OK changed=1 id=5"),
            ("begin ~ y ~ x", "OK"),
            ("rollback ~ x", "OK"),
            ("execute ~ y ~ SELECT 1", "STALE_HANDLE …"),
            (COUNT, "OK rows=1\nn\ni0"),
        ],
    );
    // 32 deep, and as often as anybody likes.
    expect(
        &host,
        "",
        &[
            ("begin ~ x ~ 0", "OK"),
            ("begin ~ x ~ x", "OK"),
            ("many ~ 40 ~ begin ~ x ~ x", "0:31 10:9 "),
            ("rollback ~ x", "OK"),
        ],
    );
    let turns: Vec<_> = (0..1100).flat_map(|_| ["begin ~ y ~ x", "begin ~ z ~ y", "rollback ~ y"]).collect();
    let commands = [&["begin ~ x ~ 0"], &turns[..], &["commit ~ x"]].concat();
    let answers = ask_of(&host, "sql", "", &commands);
    assert!(
        answers.iter().all(|answer| answer == "OK"),
        "{:?}",
        answers.iter().find(|answer| *answer != "OK")
    );
}

#[test]
fn database_3_one_that_the_handler_left_open_is_rolled_back_when_it_returns() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("begin ~ x ~ 0", "OK"),
            ("begin ~ y ~ x", "OK"),
            ("execute ~ y ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
        ],
    );
    expect(
        &host,
        "",
        &[
            ("stats", "OK transactions=0 …"),
            ("execute ~ x ~ SELECT 1", "STALE_HANDLE …"),
            ("commit ~ y", "STALE_HANDLE …"),
            // Nobody waits for it.
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            ("query ~ 0 ~ SELECT a FROM t", "OK rows=1\na\ni2"),
        ],
    );
}

#[test]
fn database_3_one_of_a_held_context_lives_until_that_is_released() {
    let place = place();
    let host = place.started();
    expect(&host, "", &[MADE, ("hold ~ h", "OK"), ("as ~ h ~ begin ~ x ~ 0", "OK")]);
    expect(&host, "", &[("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1")]);
    expect(&host, "", &[("as ~ h ~ query ~ x ~ SELECT a FROM t", "OK rows=1\na\ni1"), ("commit ~ x", "OK")]);
    expect(
        &host,
        "",
        &[
            ("as ~ h ~ begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            ("release ~ h", "OK"),
            ("commit ~ x", "STALE_HANDLE …"),
            (COUNT, "OK rows=1\nn\ni1"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (3, 'z')", "OK changed=1 id=3"),
        ],
    );
}

#[test]
fn database_3_one_that_is_open_for_too_long_is_rolled_back() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("hold ~ h", "OK"),
            // Nobody else has to wait for more than this, whatever becomes of it.
            ("as ~ h ~ begin ~ x ~ 0 ~ 0 ~ 0 ~ 50", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            ("execute ~ x ~ SELECT 1", "TIMEOUT the transaction was open for too long and was rolled back…"),
            ("begin ~ y ~ x", "TIMEOUT the transaction was open for too long…"),
            ("stats", "OK transactions=1 …"),
            ("commit ~ x", "TIMEOUT the transaction was open for too long…"),
            ("commit ~ x", "STALE_HANDLE …"),
            ("query ~ 0 ~ SELECT a FROM t", "OK rows=1\na\ni2"),
            ("as ~ h ~ begin ~ x ~ 0 ~ 0 ~ 0 ~ 50", "OK"),
            // A statement has no more time than its transaction.
            (&format!("count ~ x ~ {ENDLESS}"), "TIMEOUT … seen=…"),
            ("rollback ~ x", "OK"),
            ("rollback ~ x", "STALE_HANDLE …"),
        ],
    );
    // What the settings say is the most.
    let place = super::place().toml("[database]\ntransaction_ms = 50");
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("hold ~ h", "OK"),
            ("as ~ h ~ begin ~ x ~ 0 ~ 0 ~ 0 ~ 3600000", "OK"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            ("rollback ~ x", "OK"),
        ],
    );
}

#[test]
fn database_3_and_database_12_unloading_rolls_back_and_ends_the_handles() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "acme",
        &[
            MADE,
            ("hold ~ h", "OK"),
            ("as ~ h ~ begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
        ],
    );
    let handle = ask(&host, "acme", "handle ~ x");
    host.unload("sql").expect("it is loaded");
    host.enable("sql").expect("it is there");
    expect(
        &host,
        "acme",
        &[
            (&format!("execute ~ #{handle} ~ SELECT 1"), "STALE_HANDLE …"),
            (&format!("commit ~ #{handle}"), "STALE_HANDLE …"),
            (COUNT, "OK rows=1\nn\ni0"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
        ],
    );
}

#[test]
fn database_3_one_that_enable_left_open_is_rolled_back_when_it_returns() {
    let commands =
        ["execute ~ 0 ~ CREATE TABLE t (a)", "begin ~ x ~ 0", "execute ~ x ~ INSERT INTO t VALUES (1)"];
    let place = place().toml(&told_to("sql", "enable", &commands));
    let host = place.started();
    assert_eq!(ask_of(&host, "sql", "", &["told ~ 1"]), ["OK", "OK", "OK changed=1 id=1"]);
    expect(
        &host,
        "",
        &[
            ("commit ~ x", "STALE_HANDLE …"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2)", "OK changed=1 id=1"),
            ("query ~ 0 ~ SELECT a FROM t", "OK rows=1\na\ni2"),
        ],
    );
}

#[test]
fn database_12_handles_of_others_and_of_nobody_are_stale() {
    let place = place();
    add(&place, "second", &[]);
    let host = place.started();
    for (name, tenant) in [("sql", "acme"), ("sql", "globex"), ("sql", ""), ("second", "acme")] {
        expect_of(&host, name, tenant, &[MADE]);
    }
    expect(
        &host,
        "acme",
        &[("hold ~ h", "OK"), ("as ~ h ~ begin ~ x ~ 0", "OK"), ("as ~ h ~ begin ~ y ~ x", "OK")],
    );
    let mine = [ask(&host, "acme", "handle ~ x"), ask(&host, "acme", "handle ~ y")];
    let held = ask(&host, "acme", "handle ~ h");
    let mine: Vec<u64> = mine.iter().map(|number| number.parse().expect("it is a number")).collect();
    let none: u64 = held.parse().expect("it is a number");
    let forged = [1, u64::MAX, none, mine[0] + 1_000_000, mine[0] ^ 1 << 40];
    for (name, tenant) in [("sql", "globex"), ("sql", ""), ("second", "acme")] {
        for handle in mine.iter().chain(&forged) {
            all_stale(&host, name, tenant, *handle);
        }
    }
    for handle in forged {
        all_stale(&host, "sql", "acme", handle);
    }
    // The owner's own are as they were.
    expect(
        &host,
        "acme",
        &[
            ("execute ~ y ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            ("commit ~ y", "OK"),
            ("commit ~ x", "OK"),
        ],
    );
    for handle in mine {
        all_stale(&host, "sql", "acme", handle);
    }
    // 0 stands for none, and cannot be ended.
    expect(&host, "acme", &[("commit ~ 0", "STALE_HANDLE …"), ("rollback ~ 0", "STALE_HANDLE …")]);
}

#[track_caller]
fn all_stale(host: &pintle::Host, name: &str, tenant: &str, handle: u64) {
    let commands = [
        format!("execute ~ #{handle} ~ INSERT INTO t VALUES (9, 'x')"),
        format!("query ~ #{handle} ~ SELECT 1"),
        format!("one ~ #{handle} ~ SELECT 1"),
        format!("script ~ #{handle} ~ SELECT 1"),
        format!("create ~ #{handle} ~ u ~ a ~ 1 ~ 0 ~ "),
        format!("begin ~ z ~ #{handle}"),
        format!("commit ~ #{handle}"),
        format!("rollback ~ #{handle}"),
    ];
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    for (command, answer) in commands.iter().zip(ask_of(host, name, tenant, &commands)) {
        assert!(answer.starts_with("STALE_HANDLE "), "{name} for {tenant:?}: {command}: {answer}");
    }
}

#[test]
fn database_13_in_load_a_plugin_reads_and_does_not_write() {
    let commands = [
        "query ~ 0 ~ SELECT 1 AS a",
        "execute ~ 0 ~ CREATE TABLE t (a)",
        "query ~ 0 ~ CREATE TABLE t (a)",
        "script ~ 0 ~ CREATE TABLE t (a)",
        "create ~ 0 ~ t ~ a ~ 1 ~ 0 ~ ",
        "begin ~ x ~ 0",
        "begin ~ x ~ 0 ~ 1 ~ 0 ~ 0",
        "query ~ x ~ SELECT 2 AS a",
        "execute ~ x ~ CREATE TABLE t (a)",
        "begin ~ y ~ x",
        "migrate ~ dry ~ 1 ~ first ~ CREATE TABLE t (a)",
        "migrate ~  ~ 1 ~ first ~ CREATE TABLE t (a)",
        "migrate ~ ",
        "stats",
    ];
    let place = place().toml(&told_to("sql", "load", &commands));
    let host = place.started();
    let unavailable = "UNAVAILABLE a plugin does not act in `load` and `restore`: write from `enable` on";
    let told = ask_of(&host, "sql", "", &["told ~ 0"]);
    let expected = [
        "OK rows=1\na\ni1",
        unavailable,
        unavailable,
        unavailable,
        "UNAVAILABLE a plugin does not act in `load`… created=7",
        "UNAVAILABLE a plugin does not act in `load`…",
        "OK",
        "OK rows=1\na\ni2",
        "…write…",
        "OK",
        "OK applied=0 pending=1 current=0",
        "UNAVAILABLE a plugin does not act in `load`… applied=0 pending=1 current=0",
        "OK applied=0 pending=0 current=0",
        "OK …",
    ];
    let table: Vec<_> = commands.iter().copied().zip(expected).collect();
    compare(&table, &told);
    // What `load` left open has ended with it.
    expect(&host, "", &[("execute ~ x ~ SELECT 1", "STALE_HANDLE …"), ("stats", "OK transactions=0 …")]);
}

#[test]
fn database_15_a_plugin_that_is_stopped_can_still_write_what_it_has_in_a_transaction() {
    let flush = |value: u32| {
        [
            "begin ~ x ~ 0".to_owned(),
            format!("execute ~ x ~ INSERT INTO t VALUES ({value}, 'flushed')"),
            "commit ~ x".to_owned(),
        ]
    };
    let (disable, unload) = (flush(1), flush(2));
    let texts = |commands: &[String]| -> Vec<String> { commands.to_vec() };
    let (disable, unload) = (texts(&disable), texts(&unload));
    let (disable, unload): (Vec<&str>, Vec<&str>) =
        (disable.iter().map(String::as_str).collect(), unload.iter().map(String::as_str).collect());
    let place = place().toml(&told_to("sql", "disable", &disable)).toml(&told_to("sql", "unload", &unload));
    let host = place.started();
    expect(&host, "", &[MADE]);
    host.unload("sql").expect("it is loaded");
    host.enable("sql").expect("it is there");
    expect(&host, "", &[("query ~ 0 ~ SELECT a, b FROM t", "OK rows=2\na|b\ni1|tflushed\ni2|tflushed")]);
}

#[test]
fn database_17_a_statement_ends_when_its_context_does() {
    let place = place();
    let host = place.started();
    let endless = format!("thread ~ worker ~ count ~ 0 ~ {ENDLESS}");
    // A held context of a thread of the plugin's own.
    expect(
        &host,
        "",
        &[
            ("hold ~ h", "OK"),
            (&format!("as ~ h ~ {endless}"), "OK"),
            ("rows ~ worker ~ 1", "OK"),
            ("release ~ h", "OK"),
            (
                "join ~ worker",
                "STALE_HANDLE …the context ended while the statement ran: it was stopped…seen=…",
            ),
        ],
    );
    // That of a call which returns meanwhile.
    expect(&host, "", &[(&endless, "OK"), ("rows ~ worker ~ 1", "OK")]);
    expect(&host, "", &[("join ~ worker", "STALE_HANDLE … seen=…")]);
}

#[test]
fn database_17_a_statement_ends_with_its_transaction() {
    let place = place();
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            (&format!("thread ~ worker ~ count ~ x ~ {ENDLESS}"), "OK"),
            ("rows ~ worker ~ 1", "OK"),
            ("rollback ~ x", "OK"),
            ("join ~ worker", "CANCELLED the statement was stopped: its transaction has ended…seen=…"),
            (COUNT, "OK rows=1\nn\ni0"),
            // The one around a nested one goes on.
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (2, 'x')", "OK changed=1 id=2"),
            ("begin ~ y ~ x", "OK"),
            (&format!("thread ~ worker ~ count ~ y ~ {ENDLESS}"), "OK"),
            ("rows ~ worker ~ 1", "OK"),
            ("rollback ~ y", "OK"),
            ("join ~ worker", "CANCELLED … seen=…"),
            (
                "count ~ x ~ WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) SELECT n FROM c",
                "OK rows=5000 seen=5000",
            ),
            ("commit ~ x", "OK"),
            (COUNT, "OK rows=1\nn\ni1"),
        ],
    );
}

#[test]
fn database_17_a_statement_ends_when_nobody_waits_for_it() {
    let place = place();
    let host = place.started();
    let request = raw(&format!("count ~ 0 ~ {ENDLESS}"));
    let patience = Some(Duration::from_millis(200));
    // The statement is stopped at the moment at which the caller gives up, so that the answer may come in just that.
    if let Err(given_up) = host.call("", "sql.run", 1, "do", request.as_bytes(), patience) {
        assert_eq!(given_up.kind(), pintle::ErrorKind::Timeout, "{given_up}");
    }
    let told = host.call("", "sql.run", 1, "do", raw("told ~ 3").as_bytes(), None).expect("it answers");
    let told = answers(&String::from_utf8(told).expect("it is text"));
    let expected = "CANCELLED the caller of this function has given up: the statement was stopped…seen=…";
    compare(&[("endless", expected)], &told);
}

#[test]
fn database_17_a_thread_of_the_plugin_can_be_stopped_before_its_unload() {
    let commands = ["release ~ h", "join ~ worker"];
    let place = place().toml(&told_to("sql", "disable", &commands));
    let host = place.started();
    expect(
        &host,
        "",
        &[
            MADE,
            ("hold ~ h", "OK"),
            ("as ~ h ~ begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            (&format!("as ~ h ~ thread ~ worker ~ count ~ x ~ {ENDLESS}"), "OK"),
            ("rows ~ worker ~ 1", "OK"),
        ],
    );
    host.unload("sql").expect("its thread has ended");
    host.enable("sql").expect("it is there");
    expect(&host, "", &[(COUNT, "OK rows=1\nn\ni0")]);
}

#[test]
fn database_21_a_transaction_that_the_database_has_rolled_back_says_so_until_it_is_ended() {
    let place = place();
    let host = place.started();
    let said = "CONFLICT the transaction was rolled back when a statement of it failed: UNIQUE constraint failed: t.a";
    expect(
        &host,
        "",
        &[
            MADE,
            ("execute ~ 0 ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
            (
                "execute ~ x ~ INSERT OR ROLLBACK INTO t VALUES (1, 'again')",
                "CONFLICT UNIQUE constraint failed: t.a code=1555",
            ),
            ("execute ~ x ~ INSERT INTO t VALUES (3, 'z')", said),
            ("query ~ x ~ SELECT a FROM t", said),
            ("begin ~ y ~ x", said),
            // Others need not wait for its end.
            ("execute ~ 0 ~ INSERT INTO t VALUES (4, 'w')", "OK changed=1 id=4"),
            ("commit ~ x", said),
            ("commit ~ x", "STALE_HANDLE …"),
            ("query ~ 0 ~ SELECT group_concat(a) AS a FROM t", "OK rows=1\na\nt1,4"),
            // A foreign key that is looked at in the end.
            ("execute ~ 0 ~ CREATE TABLE u (t REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)", "OK"),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO u VALUES (77)", "OK changed=1 id=1"),
            ("commit ~ x", "CONFLICT …a row refers to one that is not there (a deferred foreign key)"),
            ("rollback ~ x", "STALE_HANDLE …"),
            ("query ~ 0 ~ SELECT count(*) AS n FROM u", "OK rows=1\nn\ni0"),
        ],
    );
}

#[test]
fn database_24_those_that_write_wait_for_each_other_and_those_that_read_for_nobody() {
    let place = place();
    let host = place.started();
    let busy = "BUSY others write to this database: the statement waited for them until its deadline";
    let itself = "BUSY this very call is writing to the database, in a transaction or in a statement whose rows it is being given, \
                  and would wait for itself: pass that transaction, or end it first";
    expect(
        &host,
        "",
        &[
            MADE,
            ("hold ~ h", "OK"),
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1"),
            // Long enough for what comes before the wait, on a busy machine too.
            ("options ~ 1000 ~ 0", "OK"),
            ("as ~ h ~ execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", busy),
            ("as ~ h ~ query ~ 0 ~ DELETE FROM t RETURNING a", &format!("{busy}…")),
            ("as ~ h ~ script ~ 0 ~ DELETE FROM t", busy),
            ("as ~ h ~ begin ~ y ~ 0 ~ 0 ~ 1000 ~ 0", busy),
            // Without a deadline of its own: it is told at once, or waits for 5 s.
            ("options ~ 0 ~ 0", "OK"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", itself),
            ("query ~ 0 ~ DELETE FROM t RETURNING a", &format!("{itself}…")),
            ("script ~ 0 ~ DELETE FROM t", itself),
            ("begin ~ y ~ 0 ~ 0 ~ 0 ~ 0", itself),
            (COUNT, "OK rows=1\nn\ni0"),
            // One that only reads stays with what it has seen first.
            ("begin ~ r ~ 0 ~ 1 ~ 30 ~ 0", "OK"),
            ("query ~ r ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni0"),
            (
                "execute ~ r ~ DELETE FROM t",
                "INVALID_ARGUMENT the statement writes, and the transaction that it is in was begun to read only",
            ),
            ("commit ~ x", "OK"),
            ("query ~ r ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni0"),
            (COUNT, "OK rows=1\nn\ni1"),
            ("commit ~ r", "OK"),
            ("execute ~ 0 ~ INSERT INTO t VALUES (2, 'y')", "OK changed=1 id=2"),
        ],
    );
    // Another thread's turn comes when the first has ended.
    expect(
        &host,
        "",
        &[
            ("hold ~ h", "OK"),
            ("begin ~ x ~ 0", "OK"),
            ("as ~ h ~ thread ~ worker ~ execute ~ 0 ~ INSERT INTO t VALUES (3, 'z')", "OK"),
            ("execute ~ x ~ DELETE FROM t", "OK changed=2"),
            ("commit ~ x", "OK"),
            ("join ~ worker", "OK changed=1 id=3"),
            (COUNT, "OK rows=1\nn\ni1"),
        ],
    );
    // Another tenant's database is another.
    expect(&host, "", &[("hold ~ o", "OK"), ("as ~ o ~ begin ~ x ~ 0", "OK")]);
    expect(&host, "acme", &[MADE, ("execute ~ 0 ~ INSERT INTO t VALUES (1, 'x')", "OK changed=1 id=1")]);
    until("the transaction is committed", || ask(&host, "", "commit ~ x") == "OK");
}
