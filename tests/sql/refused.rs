//! Statements that the host does not run, though SQLite would: what the fence denies and what is too large. Each must end in
//! exactly this status.

use pintle_abi::{PINTLE_DENIED, PINTLE_INVALID_ARGUMENT, PINTLE_TOO_LARGE};

use super::{
    dice::Dice,
    step::{Does, Expects, Step},
};

const REFUSED: [(&str, i32); 44] = [
    ("ATTACH 'other.db' AS other", PINTLE_DENIED),
    ("ATTACH DATABASE ':memory:' AS other", PINTLE_DENIED),
    ("ATTACH '' AS other", PINTLE_DENIED),
    ("DETACH main", PINTLE_DENIED),
    ("VACUUM", PINTLE_DENIED),
    ("VACUUM INTO 'copy.db'", PINTLE_DENIED),
    ("BEGIN", PINTLE_DENIED),
    ("BEGIN IMMEDIATE", PINTLE_DENIED),
    ("COMMIT", PINTLE_DENIED),
    ("ROLLBACK", PINTLE_DENIED),
    ("SAVEPOINT x", PINTLE_DENIED),
    ("RELEASE x", PINTLE_DENIED),
    ("PRAGMA journal_mode", PINTLE_DENIED),
    ("PRAGMA journal_mode = DELETE", PINTLE_DENIED),
    ("PRAGMA writable_schema = ON", PINTLE_DENIED),
    ("PRAGMA foreign_keys = OFF", PINTLE_DENIED),
    ("PRAGMA database_list", PINTLE_DENIED),
    ("PRAGMA main.cache_size = 100000", PINTLE_DENIED),
    ("PRAGMA trusted_schema = ON", PINTLE_DENIED),
    ("PRAGMA temp_store_directory = '/tmp'", PINTLE_DENIED),
    ("PRAGMA max_page_count = 1000000", PINTLE_DENIED),
    ("PRAGMA wal_checkpoint", PINTLE_DENIED),
    ("SELECT * FROM pragma_database_list", PINTLE_DENIED),
    ("SELECT load_extension('x')", PINTLE_DENIED),
    ("SELECT * FROM dbstat", PINTLE_DENIED),
    ("SELECT * FROM sqlite_dbpage", PINTLE_INVALID_ARGUMENT),
    ("SELECT * FROM pintle_owner", PINTLE_DENIED),
    ("SELECT * FROM PINTLE_MIGRATIONS", PINTLE_DENIED),
    ("UPDATE pintle_owner SET plugin = 'x'", PINTLE_DENIED),
    ("DROP TABLE pintle_migrations", PINTLE_DENIED),
    ("CREATE TABLE pintle_mine (a)", PINTLE_DENIED),
    ("CREATE VIEW pintle_seen AS SELECT 1", PINTLE_DENIED),
    ("CREATE VIRTUAL TABLE v USING dbstat", PINTLE_DENIED),
    ("CREATE VIRTUAL TABLE v USING fts3(a)", PINTLE_DENIED),
    ("CREATE TEMP TABLE t (a)", PINTLE_DENIED),
    ("CREATE TEMP VIEW t AS SELECT 1", PINTLE_DENIED),
    ("DELETE FROM sqlite_master", PINTLE_INVALID_ARGUMENT),
    ("SELECT zeroblob(2000000)", PINTLE_TOO_LARGE),
    ("SELECT hex(zeroblob(600000))", PINTLE_TOO_LARGE),
    ("SELECT randomblob(1048577)", PINTLE_TOO_LARGE),
    ("SELECT replace(hex(zeroblob(20000)), '0', 'a lot of text in place of each zero')", PINTLE_TOO_LARGE),
    ("SELECT 1; SELECT 2", PINTLE_INVALID_ARGUMENT),
    ("  -- nothing", PINTLE_INVALID_ARGUMENT),
    ("SELECT :name", PINTLE_INVALID_ARGUMENT),
];

pub(crate) fn refused(dice: &mut Dice) -> Step {
    let (sql, status) = match dice.roll(12) {
        0 => (format!("SELECT {}1{}", "(1 + ".repeat(300), ")".repeat(300)), PINTLE_TOO_LARGE),
        1 => (vec!["SELECT 1"; 251].join(" UNION ALL "), PINTLE_TOO_LARGE),
        2 => (format!("SELECT {}1", "1, ".repeat(300)), PINTLE_TOO_LARGE),
        3 => (format!("SELECT '{}'", "x".repeat(600_000)), PINTLE_TOO_LARGE),
        4 => (format!("SELECT max({}1)", "1, ".repeat(120)), PINTLE_TOO_LARGE),
        5 => (format!("SELECT 'a' LIKE '{}'", "%a".repeat(600)), PINTLE_TOO_LARGE),
        _ => {
            let (sql, status) = dice.one_of(&REFUSED);
            (sql.to_owned(), status)
        }
    };
    Step { expects: Expects::Status(status), ..Step::new(Does::Read, sql) }
}
