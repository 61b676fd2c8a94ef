//! Quotas, deadlines, rows and sizes.

use super::{ask, expect, place};
use crate::keeper::Place;

/// Four hundred thousand rows that nobody wants to wait for, and more.
const ENDLESS: &str = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)";

fn small() -> Place {
    place().toml("[plugin.sql.quota]\ndatabase_bytes = 1048576")
}

#[test]
fn database_8_a_database_does_not_become_larger_than_its_quota() {
    let place = small();
    let host = place.started();
    for tenant in ["", "acme"] {
        expect(&host, tenant, &[("execute ~ 0 ~ CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "OK")]);
        let mut made = 0;
        let full = loop {
            let answer = ask(&host, tenant, "execute ~ 0 ~ INSERT INTO t (b) VALUES (?1) ~ B100000");
            if !answer.starts_with("OK") {
                break answer;
            }
            made += 1;
            assert!(made < 20, "more than the quota was written");
        };
        assert!(full.starts_with("QUOTA the database has the 1048576 bytes that it may have"), "{full}");
        assert!(full.contains("raise the plugin's quota database_bytes in the settings"), "{full}");
        assert!((5..=10).contains(&made), "{made} of 100,000 bytes each");
        expect(
            &host,
            tenant,
            &[
                ("query ~ 0 ~ SELECT count(*) AS n FROM t", &format!("OK rows=1\nn\ni{made}")),
                // There is room again when something goes.
                ("execute ~ 0 ~ DELETE FROM t WHERE a < 4", "OK changed=3"),
                ("execute ~ 0 ~ INSERT INTO t (b) VALUES (?1) ~ B100000", "OK changed=1 id=…"),
                // A transaction that needs more is rolled back, and says so until it is ended.
                ("begin ~ x ~ 0", "OK"),
                ("execute ~ x ~ DELETE FROM t", "OK changed=…"),
                ("execute ~ x ~ INSERT INTO t (b) VALUES (?1), (?1) ~ B900000", "QUOTA …"),
                ("rollback ~ x", "OK"),
                ("query ~ 0 ~ SELECT count(*) > 1 AS n FROM t", "OK rows=1\nn\ni1"),
                ("stats", "OK transactions=0 bytes=… free=… limit=1048576"),
            ],
        );
    }
}

#[test]
fn database_8_a_statement_that_takes_too_long_is_stopped_and_has_changed_nothing() {
    let place = place().toml("[database]\nstatement_ms = 300");
    let host = place.started();
    let late = "TIMEOUT the statement took too long and was stopped: … code=9…";
    expect(
        &host,
        "",
        &[
            ("execute ~ 0 ~ CREATE TABLE t (a)", "OK"),
            (&format!("query ~ 0 ~ {ENDLESS} SELECT count(*) FROM c"), late),
            (&format!("execute ~ 0 ~ {ENDLESS} INSERT INTO t SELECT n FROM c"), late),
            // No longer than the settings say.
            ("options ~ 3600000 ~ 0", "OK"),
            (&format!("execute ~ 0 ~ {ENDLESS} INSERT INTO t SELECT n FROM c"), late),
            ("options ~ 20 ~ 0", "OK"),
            (&format!("script ~ 0 ~ INSERT INTO t VALUES (1); {ENDLESS} SELECT count(*) FROM c"), late),
            (&format!("execute ~ 0 ~ {ENDLESS} SELECT count(*) FROM c"), late),
            ("query ~ 0 ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni0"),
            // In a transaction, which goes on.
            ("begin ~ x ~ 0", "OK"),
            ("execute ~ x ~ INSERT INTO t VALUES (1)", "OK changed=1 id=1"),
            (&format!("execute ~ x ~ {ENDLESS} UPDATE t SET a = (SELECT count(*) FROM c)"), "TIMEOUT …"),
        ],
    );
}

#[test]
fn database_8_a_query_gives_no_more_rows_than_it_may() {
    let place = place().toml("[database]\nmax_rows = 100");
    let host = place.started();
    let many = "TOO_LARGE the statement gives more than the 100 rows that it may give: add a LIMIT, or page through them seen=100";
    expect(
        &host,
        "",
        &[
            (&format!("count ~ 0 ~ {ENDLESS} SELECT n FROM c LIMIT 100"), "OK rows=100 seen=100"),
            (&format!("count ~ 0 ~ {ENDLESS} SELECT n FROM c LIMIT 101"), many),
            ("options ~ 0 ~ 5", "OK"),
            (&format!("count ~ 0 ~ {ENDLESS} SELECT n FROM c LIMIT 5"), "OK rows=5 seen=5"),
            (&format!("count ~ 0 ~ {ENDLESS} SELECT n FROM c"), "TOO_LARGE …more than the 5 rows… seen=5"),
            ("options ~ 0 ~ 1000", "OK"),
            (&format!("count ~ 0 ~ {ENDLESS} SELECT n FROM c"), many),
            ("execute ~ 0 ~ CREATE TABLE t (a)", "OK"),
            (
                &format!("execute ~ 0 ~ {ENDLESS} INSERT INTO t SELECT n FROM c LIMIT 101"),
                "OK changed=101 id=101",
            ),
            ("query ~ 0 ~ UPDATE t SET a = 0 RETURNING a", "TOO_LARGE …"),
            ("query ~ 0 ~ SELECT sum(a) AS a FROM t", "OK rows=1\na\ni5151"),
        ],
    );
}

#[test]
fn database_8_values_rows_and_texts_have_a_size() {
    let place = place().toml("[database]\nmax_value = 65536");
    let host = place.started();
    let large = "TOO_LARGE a value, a row or the SQL is too large: string or blob too big…";
    expect(
        &host,
        "",
        &[
            ("execute ~ 0 ~ CREATE TABLE t (a, b)", "OK"),
            ("query ~ 0 ~ SELECT length(?1) AS a ~ B65536", "OK rows=1\na\ni65536"),
            ("query ~ 0 ~ SELECT length(?1) AS a ~ B65537", large),
            ("query ~ 0 ~ SELECT length(?1) AS a ~ T65537", large),
            ("execute ~ 0 ~ INSERT INTO t VALUES (?1, ?2) ~ T40000 ~ T40000", large),
            (&format!("execute ~ 0 ~ {}", super::repeated(66_000, "SELECT 1", " ", "")), "TOO_LARGE …"),
            ("query ~ 0 ~ SELECT count(*) AS n FROM t", "OK rows=1\nn\ni0"),
        ],
    );
}
