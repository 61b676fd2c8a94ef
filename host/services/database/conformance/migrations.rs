//! Migrations: each once, in order, as a whole; what was run is never taken for something else.

use std::{sync::Barrier, thread, time::Duration};

use super::{
    super::{Fault, Gone, Migrated, Migration, Writes},
    Bed, ENDLESS, How, LIMITS, NONE, Tried, USUAL, Watched,
};
use crate::error::ErrorKind;

const ONE: Migration<'static> =
    Migration { number: 1, name: "orders", sql: "CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER)" };
/// Several statements, tables and rows.
const TWO: Migration<'static> = Migration {
    number: 2,
    name: "more of them",
    sql: "ALTER TABLE t ADD COLUMN more TEXT;\n-- and\nCREATE INDEX t_n ON t (n);\nINSERT INTO t (k, n, more) VALUES (1, 1, 'a'), (2, 2, 'b');",
};
/// After a gap.
const FIVE: Migration<'static> =
    Migration { number: 5, name: "ünïcode 'names'", sql: "UPDATE t SET n = n + 10" };

const HISTORY: [Migration<'static>; 3] = [ONE, TWO, FIVE];

fn told(applied: u32, pending: u32, current: u32) -> Migrated {
    Migrated { applied, pending, current }
}

impl<B: Bed> Tried<B> {
    fn migrate_for(
        &self,
        how: &How<'_>,
        migrations: &[Migration<'_>],
        dry: bool,
    ) -> (Migrated, Result<(), Fault>) {
        self.database.migrate(&self.asks(how), migrations, how.writes, dry)
    }

    #[track_caller]
    fn migrate(&self, migrations: &[Migration<'_>]) -> Migrated {
        let (migrated, done) = self.migrate_for(&USUAL, migrations, false);
        done.unwrap_or_else(|fault| panic!("{migrated:?}: {fault:?}"));
        migrated
    }

    /// How it fails, and with which text.
    #[track_caller]
    fn migrate_fails(&self, migrations: &[Migration<'_>]) -> (Migrated, ErrorKind, String) {
        let (migrated, done) = self.migrate_for(&USUAL, migrations, false);
        let fault = done.expect_err("it must not be taken");
        (migrated, fault.kind(), fault.error.to_string())
    }
}

pub(crate) fn database_5_migrations_run_once_and_in_order<B: Bed>() {
    let tried = Tried::<B>::one();
    assert_eq!(tried.migrate(&[]), told(0, 0, 0));
    assert_eq!(tried.migrate(&HISTORY[..1]), told(1, 0, 1));
    assert_eq!(tried.migrate(&HISTORY), told(2, 0, 5));
    assert_eq!(tried.migrate(&HISTORY), told(0, 0, 5));
    let tried = tried.restart();
    assert_eq!(tried.migrate(&HISTORY), told(0, 0, 5));
    assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), [11, 12]);
}

pub(crate) fn migrations_are_of_one_database<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", ""), ("other", "acme")]);
    for scope in 0..3 {
        let (migrated, done) = tried.migrate_for(&How { scope, ..USUAL }, &HISTORY[..=scope], false);
        done.expect("it is a database of its own");
        assert_eq!(migrated.applied, scope as u32 + 1);
    }
}

pub(crate) fn a_dry_run_tells_and_runs_nothing<B: Bed>() {
    let tried = Tried::<B>::one();
    let dry = |migrations: &[Migration<'_>]| {
        let (migrated, done) = tried.migrate_for(&USUAL, migrations, true);
        done.map(|()| migrated).map_err(|fault| fault.kind())
    };
    assert_eq!(dry(&HISTORY), Ok(told(0, 3, 0)));
    assert_eq!(tried.fails(&USUAL, "SELECT k FROM t", &[]), ErrorKind::InvalidArgument);
    tried.migrate(&HISTORY[..1]);
    assert_eq!(dry(&HISTORY), Ok(told(0, 2, 1)));
    assert_eq!(tried.integers("SELECT k FROM t"), NONE);
    // It compares, and does not look whether the rest is SQL.
    let wrong = Migration { number: 2, name: "wrong", sql: "SELEC 1" };
    assert_eq!(dry(&[ONE, wrong]), Ok(told(0, 1, 1)));
    assert_eq!(dry(&[wrong]), Err(ErrorKind::Conflict));
    assert_eq!(dry(&[ONE, ONE]), Err(ErrorKind::InvalidArgument));
    // Nobody who writes holds it up.
    let open = tried.begin();
    assert_eq!(dry(&HISTORY), Ok(told(0, 2, 1)));
    open.rollback();
    let how = How { writes: Writes::Preparing, ..USUAL };
    let (migrated, done) = tried.migrate_for(&how, &HISTORY, true);
    done.expect("it only looks");
    assert_eq!(migrated, told(0, 2, 1));
}

pub(crate) fn database_6_a_history_that_is_not_that_of_the_database_is_a_conflict<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.migrate(&HISTORY);
    let six = Migration { number: 6, name: "new", sql: "DROP TABLE t" };
    let other_sql = Migration { sql: "UPDATE t SET n = n + 11", ..FIVE };
    let line_ends = TWO.sql.replace('\n', "\r\n");
    let line_ends = Migration { sql: &line_ends, ..TWO };
    let blank = Migration { sql: "UPDATE t SET n = n + 10 ", ..FIVE };
    let other_name = Migration { name: "orders ", ..ONE };
    let three = Migration { number: 3, ..six };
    let another = Migration { number: 2, ..six };
    // What moves from the name to the SQL is another name and other SQL.
    let moved = Migration { number: 1, name: "order", sql: &format!("s{}", ONE.sql) };
    let cases: &[(&str, &[Migration<'_>], &[&str])] = &[
        ("empty", &[], &["1 \"orders\"", "older version of the plugin"]),
        ("older", &[ONE, TWO], &["5 \"ünïcode 'names'\"", "older version of the plugin"]),
        ("one is missing", &[ONE, FIVE], &["2 \"more of them\"", "missing"]),
        ("the first is missing", &[TWO, FIVE, six], &["1 \"orders\"", "missing"]),
        ("missing, and a new one", &[ONE, TWO, six], &["5 \"ünïcode 'names'\"", "missing"]),
        ("inserted", &[ONE, TWO, three, FIVE], &["5 \"ünïcode 'names'\"", "3 \"new\"", "lower number"]),
        ("renumbered", &[ONE, Migration { number: 3, ..TWO }, FIVE], &["2 \"more of them\"", "number 3 now"]),
        ("renumbered down", &[ONE, TWO, Migration { number: 4, ..FIVE }], &["5 \"ünïc", "number 4 now"]),
        ("other SQL", &[ONE, TWO, other_sql], &["5 \"ünïcode 'names'\"", "other SQL now"]),
        ("other line ends", &[ONE, line_ends, FIVE], &["2 \"more of them\"", "other SQL now", "line ends"]),
        ("a blank more", &[ONE, TWO, blank], &["5 \"ünïcode 'names'\"", "other SQL now"]),
        ("another name", &[other_name, TWO, FIVE], &["1 \"orders\"", "is called \"orders \" now"]),
        ("another one", &[ONE, another, FIVE], &["2 \"more of them\"", "another one now, \"new\""]),
        ("moved", &[moved, TWO, FIVE], &["1 \"orders\"", "another one now"]),
        ("with a new one behind", &[ONE, TWO, other_sql, six], &["5 \"ünïcode 'names'\"", "other SQL now"]),
        ("the first of two", &[other_name, TWO, other_sql], &["1 \"orders\""]),
    ];
    for (what, history, says) in cases {
        let (migrated, kind, text) = tried.migrate_fails(history);
        assert_eq!(kind, ErrorKind::Conflict, "{what}");
        assert!(says.iter().all(|word| text.contains(word)), "{what}: {text}");
        assert_eq!(migrated, told(0, 0, 5), "{what}");
        assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), [11, 12], "{what}");
    }
    assert_eq!(tried.migrate(&HISTORY), told(0, 0, 5));
}

pub(crate) fn a_list_that_can_be_no_history_is_refused<B: Bed>() {
    let tried = Tried::<B>::one();
    let long = "x".repeat(129);
    let named = |name| Migration { name, ..TWO };
    let most: Vec<_> = (1..=10_001).map(|number| Migration { number, ..ONE }).collect();
    let cases: &[(&str, &[Migration<'_>])] = &[
        ("zero", &[Migration { number: 0, ..ONE }]),
        ("twice", &[ONE, ONE]),
        ("backwards", &[ONE, FIVE, TWO]),
        ("no name", &[ONE, named("")]),
        ("a long name", &[ONE, named(&long)]),
        ("a control character", &[ONE, named("a\nb")]),
        ("too many", &most),
    ];
    for (what, history) in cases {
        let (migrated, kind, _) = tried.migrate_fails(history);
        assert_eq!((migrated, kind), (told(0, 0, 0), ErrorKind::InvalidArgument), "{what}");
    }
    assert_eq!(tried.fails(&USUAL, "SELECT k FROM t", &[]), ErrorKind::InvalidArgument, "nothing was run");
    let last = Migration { number: u32::MAX, name: &long[..128], sql: "DROP TABLE t" };
    assert_eq!(tried.migrate(&[ONE, last]), told(2, 0, u32::MAX));
    assert_eq!(tried.migrate(&[ONE, last]), told(0, 0, u32::MAX));
}

pub(crate) fn database_5_one_that_fails_leaves_nothing_and_those_before_it_stay<B: Bed>() {
    let tried = Tried::<B>::one();
    let fill =
        "CREATE TABLE u (k INTEGER); INSERT INTO u (k) VALUES (1); DROP INDEX t_n; UPDATE t SET n = 77; ";
    for (last, kind) in [
        ("SELEC 1", ErrorKind::InvalidArgument),
        ("INSERT INTO t (k) VALUES (1)", ErrorKind::Conflict),
        ("INSERT INTO t (k) VALUES ($1)", ErrorKind::InvalidArgument),
        ("INSERT INTO nowhere (k) VALUES (1)", ErrorKind::InvalidArgument),
        ("COMMIT", ErrorKind::Denied),
        ("ROLLBACK", ErrorKind::Denied),
        ("BEGIN", ErrorKind::Denied),
        ("COMMIT; BEGIN", ErrorKind::Denied),
        ("ROLLBACK; SELECT 1", ErrorKind::Denied),
        ("SAVEPOINT s", ErrorKind::Denied),
        ("RELEASE SAVEPOINT s", ErrorKind::Denied),
    ] {
        let sql = format!("{fill}{last}");
        let three = Migration { number: 3, name: "the wrong one", sql: &sql };
        let (migrated, found, text) = tried.migrate_fails(&[ONE, TWO, three, FIVE]);
        assert_eq!(found, kind, "{last}: {text}");
        assert!(text.contains("migration 3 \"the wrong one\" failed"), "{last}: {text}");
        let applied = migrated.applied;
        assert_eq!(migrated, told(applied, 2, 2), "{last}");
        assert!(applied == 2 || last != "SELEC 1", "the first time those before it are run");
        assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), [1, 2], "{last}");
        assert_eq!(tried.fails(&USUAL, "SELECT k FROM u", &[]), ErrorKind::InvalidArgument, "{last}");
    }
    // It was not noted: it may be mended, and the rest goes on from there.
    let three = Migration { number: 3, name: "the right one", sql: fill };
    assert_eq!(tried.migrate(&[ONE, TWO, three, FIVE]), told(2, 0, 5));
    assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), [87, 87]);
}

pub(crate) fn a_reference_that_is_broken_at_the_end_of_a_migration_fails_it<B: Bed>() {
    let tried = Tried::<B>::one();
    let tables = Migration {
        number: 1,
        name: "tables",
        sql: "CREATE TABLE parent (id INTEGER PRIMARY KEY);
              CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
    };
    let child = "INSERT INTO child (id, parent) VALUES (1, 1)";
    let (migrated, kind, text) =
        tried.migrate_fails(&[tables, Migration { number: 2, name: "rows", sql: child }]);
    assert_eq!((migrated, kind), (told(1, 1, 1), ErrorKind::Conflict), "{text}");
    assert!(text.contains("migration 2 \"rows\" failed"), "{text}");
    let both = format!("{child}; INSERT INTO parent (id) VALUES (1)");
    let rows = Migration { number: 2, name: "rows", sql: &both };
    assert_eq!(tried.migrate(&[tables, rows]), told(1, 0, 2));
}

pub(crate) fn a_migration_without_a_statement_is_noted<B: Bed>() {
    let tried = Tried::<B>::one();
    let empty = |number, sql| Migration { number, name: "nothing", sql };
    let history = [empty(1, ""), empty(2, " ;; "), empty(3, "-- nothing\n"), empty(4, "SELECT 1")];
    assert_eq!(tried.migrate(&history), told(4, 0, 4));
    assert_eq!(tried.migrate(&history), told(0, 0, 4));
}

pub(crate) fn what_is_temporary_in_a_migration_is_not_there_in_the_next<B: Bed>() {
    let tried = Tried::<B>::one();
    let make = "CREATE TEMPORARY TABLE scratch (k INTEGER); INSERT INTO scratch (k) VALUES (1);
                CREATE TABLE t (k INTEGER); INSERT INTO t (k) SELECT k FROM scratch";
    let make = Migration { number: 1, name: "make", sql: make };
    let again = Migration { number: 2, name: "again", sql: "CREATE TEMPORARY TABLE scratch (other TEXT)" };
    let look = Migration { number: 3, name: "look", sql: "SELECT other FROM scratch" };
    let (migrated, kind, _) = tried.migrate_fails(&[make, again, look]);
    assert_eq!((migrated, kind), (told(2, 1, 2), ErrorKind::InvalidArgument));
    assert_eq!(tried.integers("SELECT k FROM t"), [1]);
}

pub(crate) fn a_plugin_that_is_loading_migrates_only_if_there_is_nothing_to_do<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.migrate(&[ONE]);
    for (writes, kind) in
        [(Writes::Preparing, ErrorKind::Unavailable), (Writes::LooksOnly, ErrorKind::Denied)]
    {
        let how = How { writes, ..USUAL };
        let (migrated, done) = tried.migrate_for(&how, &HISTORY, false);
        assert_eq!((migrated, done.map_err(|fault| fault.kind())), (told(0, 2, 1), Err(kind)));
        let (migrated, done) = tried.migrate_for(&how, &[ONE], false);
        done.expect("there is nothing to do");
        assert_eq!(migrated, told(0, 0, 1));
        let (_, done) = tried.migrate_for(&how, &[], false);
        assert_eq!(done.map_err(|fault| fault.kind()), Err(ErrorKind::Conflict));
    }
}

pub(crate) fn a_migration_that_is_too_slow_ends_at_its_deadline<B: Bed>() {
    let tried = Tried::<B>::one();
    let endless =
        format!("CREATE TABLE u (k INTEGER); INSERT INTO u (k) SELECT count(*) FROM ({ENDLESS}) AS endless");
    let slow = Migration { number: 2, name: "slow", sql: &endless };
    let history = [ONE, slow, FIVE];
    for timeout in [None, Some(Duration::from_millis(700))] {
        let how = How { timeout, ..USUAL };
        let began = tried.clock_now();
        let (migrated, done) = tried.while_time_passes(|| tried.migrate_for(&how, &history, false));
        let fault = done.expect_err("it has no end");
        assert_eq!((migrated.pending, migrated.current), (2, 1));
        assert_eq!(fault.kind(), ErrorKind::Timeout);
        assert!(fault.error.to_string().contains("migration 2 \"slow\" failed"), "{}", fault.error);
        let took = tried.clock_now() - began;
        // Longer than a statement may take: each migration has a minute unless somebody says otherwise.
        assert!(took >= timeout.unwrap_or(Duration::from_secs(60)), "{took:?}");
        assert_eq!(tried.fails(&USUAL, "SELECT k FROM u", &[]), ErrorKind::InvalidArgument);
    }
    let watched = Watched::new();
    let how = How { caller: watched.caller(), ..USUAL };
    thread::scope(|threads| {
        let worker = threads.spawn(|| tried.migrate_for(&how, &history, false).1);
        watched.was_asked_for();
        watched.goes(Gone::GivenUp);
        let done = worker.join().expect("it does not panic");
        assert_eq!(done.map_err(|fault| fault.kind()), Err(ErrorKind::Cancelled));
    });
    assert_eq!(tried.migrate(&[ONE, Migration { sql: "SELECT 1", ..slow }, FIVE]), told(2, 0, 5));
}

pub(crate) fn of_many_that_migrate_at_once_one_runs_each<B: Bed>() {
    let tried = Tried::<B>::one();
    let texts: Vec<String> = (2..=20)
        .map(|number| format!("INSERT INTO t (k, n) VALUES ({number}, 0); UPDATE t SET n = n + 1"))
        .collect();
    let more = texts.iter().zip(2..).map(|(sql, number)| Migration { number, name: "row", sql });
    let history: Vec<_> = [ONE].into_iter().chain(more).collect();
    let start = Barrier::new(6);
    let applied: u32 = thread::scope(|threads| {
        let workers: Vec<_> = (0..6)
            .map(|_| {
                threads.spawn(|| {
                    start.wait();
                    let migrated = tried.migrate(&history);
                    assert_eq!((migrated.pending, migrated.current), (0, 20));
                    migrated.applied
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("it does not panic")).sum()
    });
    assert_eq!(applied, 20);
    let wanted: Vec<i64> = (1..=19).rev().collect();
    assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), wanted);
}

pub(crate) fn of_two_histories_one_is_taken_and_the_other_is_a_conflict<B: Bed>() {
    let tried = Tried::<B>::one();
    let other = [Migration { name: "another beginning", ..ONE }, TWO];
    let open = tried.begin();
    let done = thread::scope(|threads| {
        let workers = [&HISTORY[..2], &other].map(|history| {
            let watched = Watched::new();
            let (tried, how) = (&tried, How { caller: watched.caller(), ..USUAL });
            let worker = threads.spawn(move || tried.migrate_for(&how, history, false));
            // Then it has compared its history with a database that has none.
            watched.was_asked_for();
            (watched, worker)
        });
        open.rollback();
        workers.map(|(_watched, worker)| worker.join().expect("it does not panic"))
    });
    let [(first, taken), (second, conflict)] = done;
    taken.expect("it came first");
    assert_eq!(first, told(2, 0, 2));
    // Whose first step was the other's: it has run nothing.
    assert_eq!(conflict.map_err(|fault| fault.kind()), Err(ErrorKind::Conflict));
    assert_eq!((second.applied, second.current), (0, 0));
    assert_eq!(tried.integers("SELECT count(*) FROM t"), [2]);
}

pub(crate) fn migrating_waits_for_a_writer_until_the_deadline<B: Bed>() {
    let tried = Tried::<B>::one();
    let open = tried.begin();
    let second = Duration::from_secs(1);
    let how = How { timeout: Some(second), ..USUAL };
    let (migrated, done) = tried.waits_in_vain(how, second, |how| tried.migrate_for(how, &HISTORY, false));
    assert_eq!((migrated, done.map_err(|fault| fault.kind())), (told(0, 3, 0), Err(ErrorKind::Busy)));
    open.rollback();
    assert_eq!(tried.migrate(&HISTORY), told(3, 0, 5));
}

pub(crate) fn each_migration_has_a_deadline_of_its_own<B: Bed>() {
    let tried = Tried::<B>::one();
    let (most, less) = (Duration::from_secs(10), Duration::from_secs(6));
    let (migrates, writes) = (Watched::new(), Watched::new());
    let asks = |watched: &Watched| How { timeout: Some(most), caller: watched.caller(), ..USUAL };
    let (migrating, writing) = (asks(&migrates), asks(&writes));
    let first = tried.begin();
    thread::scope(|threads| {
        let worker = threads.spawn(|| tried.migrate_for(&migrating, &HISTORY[..2], false));
        migrates.was_asked_for();
        // Behind it: its turn is between the first step and the second.
        let other = threads.spawn(|| {
            let how = How { timeout: None, ..writing };
            tried.database.begin(&tried.asks(&how), None, false, None).expect("its turn comes")
        });
        writes.was_asked_for();
        tried.pass(LIMITS.statement - Duration::from_millis(1));
        first.rollback();
        let second = other.join().expect("it does not panic");
        assert_eq!(tried.keys(&USUAL), NONE, "the first step was run");
        tried.pass(less);
        second.rollback();
        let (migrated, done) = worker.join().expect("it does not panic");
        done.expect("it waited for less than its deadline, twice");
        assert_eq!(migrated, told(2, 0, 2));
    });
}

pub(crate) fn a_history_has_up_to_10000_entries<B: Bed>() {
    let tried = Tried::<B>::one();
    let history: Vec<_> = (1..=10_000)
        .map(|number| Migration { number, name: "step", sql: if number == 1 { ONE.sql } else { "" } })
        .collect();
    assert_eq!(tried.migrate(&history), told(10_000, 0, 10_000));
    assert_eq!(tried.migrate(&history), told(0, 0, 10_000));
    let (_, kind, text) = tried.migrate_fails(&history[..9_999]);
    assert_eq!(kind, ErrorKind::Conflict);
    assert!(text.contains("migration 10000 \"step\""), "{text}");
}

pub(crate) fn the_host_s_own_notes_are_out_of_reach<B: Bed>() {
    let tried = Tried::<B>::one();
    tried.migrate(&HISTORY);
    // Whether they are there and denied, or nowhere to be found, is the back end's business.
    let is_refused = |kind| matches!(kind, ErrorKind::Denied | ErrorKind::InvalidArgument);
    for sql in [
        "SELECT * FROM pintle_migrations",
        "SELECT count(*) FROM PINTLE_MIGRATIONS",
        "DELETE FROM pintle_migrations",
        "UPDATE pintle_migrations SET number = 9",
        "INSERT INTO pintle_migrations (number) VALUES (9)",
        "DROP TABLE pintle_migrations",
        "ALTER TABLE pintle_migrations RENAME TO mine",
        "CREATE INDEX mine ON pintle_migrations (name)",
        "CREATE VIEW mine AS SELECT * FROM pintle_migrations; SELECT * FROM mine",
    ] {
        let script = tried.script(&USUAL, sql).map_err(|fault| is_refused(fault.kind()));
        assert_eq!(script, Err(true), "{sql}");
        let six = Migration { number: 6, name: "reaches out", sql };
        let (_, kind, _) = tried.migrate_fails(&[ONE, TWO, FIVE, six]);
        assert!(is_refused(kind), "{sql}: {kind:?}");
    }
    assert_eq!(tried.migrate(&HISTORY), told(0, 0, 5));
}
