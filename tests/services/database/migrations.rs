//! Migrations through the table.

use super::{expect, place};

#[test]
fn database_5_each_migration_runs_once_in_a_transaction_of_its_own() {
    let place = place();
    let first = "1 ~ first ~ CREATE TABLE t (a); INSERT INTO t VALUES (1)";
    let second = "5 ~ second ~ INSERT INTO t VALUES (2)";
    {
        let host = place.started();
        expect(
            &host,
            "",
            &[
                ("migrate ~ ", "OK applied=0 pending=0 current=0"),
                (&format!("migrate ~ dry ~ {first}"), "OK applied=0 pending=1 current=0"),
                ("query ~ 0 ~ SELECT * FROM t", "INVALID_ARGUMENT …no such table: t…"),
                (&format!("migrate ~  ~ {first}"), "OK applied=1 pending=0 current=1"),
                (&format!("migrate ~  ~ {first}"), "OK applied=0 pending=0 current=1"),
                (&format!("migrate ~ dry ~ {first} ~ {second}"), "OK applied=0 pending=1 current=1"),
                // The one that fails is undone; those before it stay.
                (
                    &format!(
                        "migrate ~  ~ {first} ~ {second} ~ 6 ~ third ~ DELETE FROM t; INSERT INTO nope VALUES (1) ~ 7 ~ last ~ SELECT 1"
                    ),
                    "INVALID_ARGUMENT migration 6 \"third\" failed: the SQL is wrong: no such table: nope… applied=1 pending=2 current=5",
                ),
                ("query ~ 0 ~ SELECT * FROM t", "OK rows=2\na\ni1\ni2"),
                // It cannot leave, nor end its transaction.
                (
                    &format!("migrate ~  ~ {first} ~ {second} ~ 6 ~ third ~ COMMIT"),
                    "DENIED migration 6 \"third\" failed: … applied=0 pending=1 current=5",
                ),
                (
                    &format!("migrate ~  ~ {first} ~ {second} ~ 6 ~ third ~ INSERT INTO t VALUES (?1)"),
                    "INVALID_ARGUMENT migration 6 \"third\" failed: … applied=0 pending=1 current=5",
                ),
                // Another tenant has a history of its own.
            ],
        );
        expect(
            &host,
            "acme",
            &[(&format!("migrate ~  ~ {first} ~ {second}"), "OK applied=2 pending=0 current=5")],
        );
    }
    let host = place.started();
    expect(&host, "", &[(&format!("migrate ~  ~ {first} ~ {second}"), "OK applied=0 pending=0 current=5")]);
}

#[test]
fn database_6_a_changed_history_is_a_conflict_that_names_which() {
    let place = place();
    let host = place.started();
    let (first, second) = ("1 ~ first ~ CREATE TABLE t (a)", "5 ~ second ~ CREATE TABLE u (a)");
    let conflict = |text: &str| format!("CONFLICT migration {text} applied=0 pending=0 current=5");
    let bad =
        |text: &str| format!("INVALID_ARGUMENT argument `migrations`: {text} applied=0 pending=0 current=0");
    let cases = [
        (
            format!("1 ~ first ~ CREATE TABLE t (b) ~ {second}"),
            conflict("1 \"first\" was run on this database and has other SQL now…"),
        ),
        (
            format!("1 ~ other ~ CREATE TABLE t (a) ~ {second}"),
            conflict("1 \"first\" was run on this database and is called \"other\" now…"),
        ),
        (
            format!("{first} ~ 5 ~ second ~ CREATE TABLE u (a); ~ 6 ~ new ~ SELECT 1"),
            conflict("5 \"second\" was run on this database and has other SQL now…"),
        ),
        (
            first.to_owned(),
            conflict("5 \"second\" was run on this database and is behind the end of the history…"),
        ),
        (second.to_owned(), conflict("1 \"first\" was run on this database and is missing…")),
        (
            String::new(),
            conflict("1 \"first\" was run on this database and is behind the end of the history…"),
        ),
        (
            format!("{first} ~ 3 ~ late ~ SELECT 1 ~ {second}"),
            conflict(
                "5 \"second\" was run on this database and 3 \"late\", which was not, has a lower number…",
            ),
        ),
        (format!("{first} ~ {first}"), bad("migration 1 \"first\" follows 1…")),
        ("0 ~ zero ~ SELECT 1".to_owned(), bad("migration 0 \"zero\" follows 0…")),
        ("1 ~  ~ SELECT 1".to_owned(), bad("migration 1: a name has 1 to 128 bytes…")),
        ("1 ~ a\nb ~ SELECT 1".to_owned(), bad("migration 1: a name has 1 to 128 bytes…")),
        (format!("1 ~ {} ~ SELECT 1", "x".repeat(129)), bad("migration 1: a name has 1 to 128 bytes…")),
    ];
    expect(&host, "", &[(&format!("migrate ~  ~ {first} ~ {second}"), "OK applied=2 pending=0 current=5")]);
    for (history, expected) in &cases {
        let history = if history.is_empty() { String::new() } else { format!(" ~ {history}") };
        for dry in ["dry", ""] {
            expect(&host, "", &[(&format!("migrate ~ {dry}{history}"), expected)]);
        }
    }
    expect(&host, "", &[(&format!("migrate ~  ~ {first} ~ {second}"), "OK applied=0 pending=0 current=5")]);
}
