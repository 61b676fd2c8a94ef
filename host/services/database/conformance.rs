//! What every back end for SQL must do, written once against the trait, through the front. A back end runs all of it by naming
//! it in [`suites`].
//!
//! The SQL here is such as SQLite and PostgreSQL both speak, and what is promised here holds for both; what holds for one back
//! end alone is tested beside it. docs/database.md says what differs.

mod migrations;
mod scopes;
mod statements;
mod tables;
mod transactions;
mod values;
mod writers;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

pub(crate) use self::{
    migrations::*, scopes::*, statements::*, tables::*, transactions::*, values::*, writers::*,
};
use super::{
    Asks, Caller, Database, Done, Fault, Gone, Handle, NoRows, Rows, SqlBackend, SqlLimits, Statement, Value,
    Writes,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{
        clock::{Clock, ManualClock},
        scopes::Scopes,
    },
};

/// How many connections there may be.
pub(crate) const CONNECTIONS: usize = 8;

/// After how long a connection is closed that nobody has.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

/// The most bytes of a value, of a row and of a text of SQL.
pub(crate) const LARGEST: usize = 2 << 20;

/// What all of these databases keep to.
const LIMITS: SqlLimits = SqlLimits {
    statement: Duration::from_secs(5),
    transaction: Duration::from_secs(30),
    rows: 100_000,
    bytes: 64 << 20,
};

/// A thread that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A back end under test.
pub(crate) trait Bed: Sized + Sync {
    /// Without databases, by this clock, with [`CONNECTIONS`], [`IDLE`] and [`LARGEST`].
    fn new(clock: &Arc<ManualClock>) -> Self;

    fn backend(&self) -> Box<dyn SqlBackend>;

    /// A folder of the test's own.
    fn folder(&self) -> &Path;

    /// The host ends and comes again.
    fn restart(self) -> Self;

    /// The host has ended, and an operator puts a backup in the place of the only database that there is.
    fn put_back(&self, backup: &Path);
}

/// The tests of a back end. Each is listed as what it is, so that `tests/promises.rs` finds it too.
macro_rules! suites {
    ($bed:ty) => {
        $crate::services::database::conformance::each! { $bed {
            #[test]
            fn database_7_no_database_sees_anything_of_another();
            #[test]
            fn database_1_a_database_is_made_when_it_is_used();
            #[test]
            fn database_1_one_that_nobody_uses_is_closed_and_found_again();
            #[test]
            fn database_1_more_databases_than_connections_take_turns();
            #[test]
            fn database_1_when_all_connections_are_in_use_the_next_waits_and_is_told_busy();
            #[test]
            fn what_was_written_is_there_after_a_restart();
            #[test]
            fn databases_are_listed_with_whose_they_are();
            #[test]
            fn a_backup_is_of_one_state_and_can_be_put_back();
            #[test]
            fn a_backup_overwrites_nothing_and_makes_no_database();
            #[test]
            fn what_is_removed_is_gone_and_nothing_else();
            #[test]
            fn one_that_is_in_use_is_not_removed();
            #[test]
            fn a_host_that_has_stopped_takes_no_statement();
            #[test]
            fn database_2_integers_come_back_as_they_were();
            #[test]
            fn database_2_reals_come_back_bit_for_bit();
            #[test]
            fn database_2_texts_come_back_in_any_script();
            #[test]
            fn database_2_blobs_come_back_byte_for_byte();
            #[test]
            fn database_2_null_is_null_in_every_kind();
            #[test]
            fn database_2_a_query_names_its_columns_once_also_without_a_row();
            #[test]
            fn database_4_a_value_is_never_part_of_the_text();
            #[test]
            fn database_4_there_are_as_many_values_as_placeholders();
            #[test]
            fn what_a_column_does_not_store_is_the_wrong_type();
            #[test]
            fn what_is_too_large_is_refused_and_nothing_is_changed();
            #[test]
            fn a_statement_tells_how_many_rows_it_changed_and_gave();
            #[test]
            fn a_text_is_one_statement();
            #[test]
            fn a_failure_says_where_in_the_text_it_is();
            #[test]
            fn rows_come_as_they_are_made_and_a_refusal_ends_the_query();
            #[test]
            fn what_a_refused_row_had_changed_is_undone();
            #[test]
            fn database_8_more_rows_than_allowed_end_a_statement_and_nothing_is_changed();
            #[test]
            fn a_query_for_one_row_gives_one_row();
            #[test]
            fn database_8_a_statement_ends_at_its_deadline();
            #[test]
            fn a_statement_ends_when_nobody_waits_for_it();
            #[test]
            fn what_may_not_write_reads_only();
            #[test]
            fn what_breaks_a_constraint_is_a_conflict_and_changes_nothing();
            #[test]
            fn a_script_happens_as_a_whole();
            #[test]
            fn transactions_are_no_business_of_sql();
            #[test]
            fn database_3_nobody_else_sees_a_transaction_before_it_is_committed();
            #[test]
            fn what_has_ended_is_a_stale_handle();
            #[test]
            fn a_statement_that_fails_leaves_the_transaction_as_it_was();
            #[test]
            fn database_3_nested_ones_are_kept_and_undone_by_themselves();
            #[test]
            fn database_3_while_a_nested_one_is_open_only_that_may_be_used();
            #[test]
            fn thirty_two_are_nested_and_not_one_more();
            #[test]
            fn database_3_what_is_open_for_too_long_is_rolled_back();
            #[test]
            fn a_statement_in_a_transaction_ends_with_it();
            #[test]
            fn a_statement_that_is_too_slow_leaves_a_transaction_whole_or_gone();
            #[test]
            fn one_that_only_reads_sees_one_state_and_writes_nothing();
            #[test]
            fn a_query_is_of_one_state_whoever_writes_meanwhile();
            #[test]
            fn a_reference_that_is_checked_at_the_end_may_be_broken_meanwhile();
            #[test]
            fn a_transaction_takes_no_statement_when_its_caller_has_gone();
            #[test]
            fn writers_have_their_turn_in_the_order_in_which_they_came();
            #[test]
            fn who_waits_for_a_writer_too_long_is_told_busy();
            #[test]
            fn who_would_wait_for_itself_is_told_busy_at_once();
            #[test]
            fn of_many_that_add_at_once_nothing_is_lost();
            #[test]
            fn readers_see_every_transaction_whole();
            #[test]
            fn databases_do_not_wait_for_each_other();
            #[test]
            fn a_table_is_created_unless_there_is_one();
            #[test]
            fn a_column_keeps_what_it_was_made_with();
            #[test]
            fn numbers_that_the_database_gives_grow_and_are_never_given_again();
            #[test]
            fn a_table_is_part_of_the_transaction_that_creates_it();
            #[test]
            fn a_database_tells_how_large_it_is();
            #[test]
            fn database_8_a_database_does_not_grow_past_its_quota();
            #[test]
            fn database_5_migrations_run_once_and_in_order();
            #[test]
            fn migrations_are_of_one_database();
            #[test]
            fn a_dry_run_tells_and_runs_nothing();
            #[test]
            fn database_6_a_history_that_is_not_that_of_the_database_is_a_conflict();
            #[test]
            fn a_list_that_can_be_no_history_is_refused();
            #[test]
            fn database_5_one_that_fails_leaves_nothing_and_those_before_it_stay();
            #[test]
            fn a_reference_that_is_broken_at_the_end_of_a_migration_fails_it();
            #[test]
            fn a_migration_without_a_statement_is_noted();
            #[test]
            fn what_is_temporary_in_a_migration_is_not_there_in_the_next();
            #[test]
            fn a_plugin_that_is_loading_migrates_only_if_there_is_nothing_to_do();
            #[test]
            fn a_migration_that_is_too_slow_ends_at_its_deadline();
            #[test]
            fn of_many_that_migrate_at_once_one_runs_each();
            #[test]
            fn of_two_histories_one_is_taken_and_the_other_is_a_conflict();
            #[test]
            fn migrating_waits_for_a_writer_until_the_deadline();
            #[test]
            fn each_migration_has_a_deadline_of_its_own();
            #[test]
            fn a_history_has_up_to_10000_entries();
            #[test]
            fn the_host_s_own_notes_are_out_of_reach();
        } }
    };
}
macro_rules! each {
    ($bed:ty { $(#[test] $(#[ignore = $why:literal])? fn $test:ident();)* }) => {
        $(#[test] $(#[ignore = $why])? fn $test() { $crate::services::database::conformance::$test::<$bed>(); })*
    };
}
pub(crate) use {each, suites};

/// A value that is the test's own.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// The rows of a query.
#[derive(Default)]
struct Kept {
    names: Vec<String>,
    rows: Vec<Vec<Owned>>,
}

impl Rows for Kept {
    fn columns(&mut self, names: &[&str]) -> Result<()> {
        assert!(self.names.is_empty() && self.rows.is_empty(), "names come once, and before the rows");
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(())
    }

    fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        assert_eq!(values.len(), self.names.len(), "each row has a value for each name");
        let own = |value: &Value<'_>| match *value {
            Value::Null => Owned::Null,
            Value::Integer(integer) => Owned::Integer(integer),
            Value::Real(real) => Owned::Real(real),
            Value::Text(text) => Owned::Text(String::from_utf8(text.to_vec()).expect("it is UTF-8")),
            Value::Blob(blob) => Owned::Blob(blob.to_vec()),
        };
        self.rows.push(values.iter().map(own).collect());
        Ok(())
    }
}

/// Does something with each row, from the first, 1, on.
struct Each<F>(u64, F);

impl<F: FnMut(u64) -> Result<()>> Each<F> {
    fn new(each: F) -> Self {
        Self(0, each)
    }
}

impl<F: FnMut(u64) -> Result<()>> Rows for Each<F> {
    fn columns(&mut self, _: &[&str]) -> Result<()> {
        Ok(())
    }

    fn row(&mut self, _: &[Value<'_>]) -> Result<()> {
        self.0 += 1;
        (self.1)(self.0)
    }
}

/// A caller whom a test has in its hands.
struct Watched {
    id: u64,
}

#[derive(Default)]
struct Asked {
    last: u64,
    /// How often each was asked for, and whether it has gone.
    of: BTreeMap<u64, (u64, Option<Gone>)>,
}

static ASKED: LazyLock<(Mutex<Asked>, Condvar)> = LazyLock::new(Default::default);

impl Watched {
    fn new() -> Self {
        let mut asked = ASKED.0.lock();
        asked.last += 1;
        let id = asked.last;
        asked.of.insert(id, (0, None));
        Self { id }
    }

    fn caller(&self) -> Caller {
        fn gone(id: u64) -> Option<Gone> {
            let mut asked = ASKED.0.lock();
            let (times, gone) = asked.of.get_mut(&id)?;
            *times += 1;
            let gone = *gone;
            ASKED.1.notify_all();
            gone
        }
        Caller { id: self.id, gone }
    }

    fn goes(&self, why: Gone) {
        ASKED.0.lock().of.get_mut(&self.id).expect("it is there").1 = Some(why);
    }

    /// Waits until somebody has asked for it: then it is waited or worked for.
    ///
    /// # Panics
    ///
    /// After [`PATIENCE`].
    fn was_asked_for(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut asked = ASKED.0.lock();
        while asked.of[&self.id].0 == 0 {
            let late = ASKED.1.wait_until(&mut asked, deadline).timed_out();
            assert!(!late, "nobody has asked whether the caller is still there");
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        ASKED.0.lock().of.remove(&self.id);
    }
}

/// How a test asks, other than as usual.
#[derive(Clone, Copy)]
struct How<'a> {
    scope: usize,
    within: Option<&'a Handle>,
    writes: Writes,
    max_rows: u64,
    timeout: Option<Duration>,
    limit_bytes: Option<u64>,
    caller: Caller,
}

const USUAL: How<'static> = How {
    scope: 0,
    within: None,
    writes: Writes::Allowed,
    max_rows: 0,
    timeout: None,
    limit_bytes: None,
    caller: Caller::PATIENT,
};

impl<'a> How<'a> {
    fn within(handle: &'a Handle) -> Self {
        Self { within: Some(handle), ..USUAL }
    }
}

struct Tried<B: Bed> {
    bed: B,
    database: Database,
    clock: Arc<ManualClock>,
    scopes: Scopes,
}

impl<B: Bed> Tried<B> {
    fn with(scopes: &[(&str, &str)]) -> Self {
        let clock = ManualClock::at(1_000_000);
        Self::on(B::new(&clock), clock, Scopes::of(scopes))
    }

    fn on(bed: B, clock: Arc<ManualClock>, scopes: Scopes) -> Self {
        let database = Database::new(bed.backend(), LIMITS, Arc::clone(&clock) as _);
        Self { bed, database, clock, scopes }
    }

    fn one() -> Self {
        Self::with(&[("meter", "acme")])
    }

    /// With a table `t` of a key `k` and a number `n`.
    fn table() -> Self {
        let tried = Self::one();
        tried.ok("CREATE TABLE t (k INTEGER PRIMARY KEY, n INTEGER)", &[]);
        tried
    }

    fn restart(self) -> Self {
        self.database.close();
        drop(self.database);
        Self::on(self.bed.restart(), self.clock, self.scopes)
    }

    fn asks(&self, how: &How<'_>) -> Asks<'_> {
        let How { scope, timeout, limit_bytes, caller, .. } = *how;
        Asks { scope: self.scopes.at(scope), caller, timeout, limit_bytes }
    }

    fn run_for(
        &self,
        how: &How<'_>,
        sql: &str,
        values: &[Value<'_>],
        rows: &mut dyn Rows,
    ) -> Result<Done, Fault> {
        let max_rows = self.database.max_rows(how.max_rows);
        let statement = Statement { sql, values, max_rows, writes: how.writes };
        self.database.run(&self.asks(how), how.within, &statement, rows)
    }

    fn run(&self, how: &How<'_>, sql: &str, values: &[Value<'_>]) -> Result<Done, Fault> {
        self.run_for(how, sql, values, &mut NoRows)
    }

    #[track_caller]
    fn ok(&self, sql: &str, values: &[Value<'_>]) -> Done {
        self.run(&USUAL, sql, values).unwrap_or_else(|fault| panic!("{sql}: {fault:?}"))
    }

    /// How a statement fails.
    #[track_caller]
    fn fails(&self, how: &How<'_>, sql: &str, values: &[Value<'_>]) -> ErrorKind {
        match self.run(how, sql, values) {
            Ok(done) => panic!("{sql}: {done:?}"),
            Err(fault) => fault.kind(),
        }
    }

    #[track_caller]
    fn rows_in(&self, how: &How<'_>, sql: &str, values: &[Value<'_>]) -> Vec<Vec<Owned>> {
        let mut kept = Kept::default();
        let done = self.run_for(how, sql, values, &mut kept);
        let done = done.unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
        assert_eq!(done.rows, kept.rows.len() as u64, "{sql}");
        kept.rows
    }

    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<Vec<Owned>> {
        self.rows_in(&USUAL, sql, &[])
    }

    /// The integers of a query with one column.
    #[track_caller]
    fn integers_in(&self, how: &How<'_>, sql: &str) -> Vec<i64> {
        let one = |row: Vec<Owned>| match row[..] {
            [Owned::Integer(integer)] => integer,
            _ => panic!("{sql}: {row:?}"),
        };
        self.rows_in(how, sql, &[]).into_iter().map(one).collect()
    }

    #[track_caller]
    fn integers(&self, sql: &str) -> Vec<i64> {
        self.integers_in(&USUAL, sql)
    }

    /// The keys of `t`.
    #[track_caller]
    fn keys(&self, how: &How<'_>) -> Vec<i64> {
        self.integers_in(how, "SELECT k FROM t ORDER BY k")
    }

    /// Adds a row to `t`.
    fn insert(&self, how: &How<'_>, key: i64) -> Result<Done, Fault> {
        self.run(how, "INSERT INTO t (k, n) VALUES ($1, 0)", &[Value::Integer(key)])
    }

    fn script(&self, how: &How<'_>, sql: &str) -> Result<Done, Fault> {
        self.database.script(&self.asks(how), how.within, sql, how.writes)
    }

    #[track_caller]
    fn begin(&self) -> Handle {
        self.database.begin(&self.asks(&USUAL), None, false, None).expect("nobody writes")
    }

    #[track_caller]
    fn look(&self) -> Handle {
        self.database.begin(&self.asks(&USUAL), None, true, None).expect("there is a connection")
    }

    #[track_caller]
    fn nest(&self, outer: &Handle) -> Handle {
        self.database.begin(&self.asks(&USUAL), Some(outer), false, None).expect("it nests")
    }

    fn commit(&self, handle: &Handle) -> Result<()> {
        self.database.commit(&self.asks(&USUAL), handle)
    }

    fn clock_now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Does something that waits for others in vain: when it waits, `time` passes.
    fn waits_in_vain<T: Send>(
        &self,
        how: How<'_>,
        time: Duration,
        work: impl FnOnce(&How<'_>) -> T + Send,
    ) -> T {
        let watched = Watched::new();
        let how = How { caller: watched.caller(), ..how };
        thread::scope(|threads| {
            let worker = threads.spawn(move || work(&how));
            watched.was_asked_for();
            self.pass(time);
            worker.join().expect("it does not panic")
        })
    }

    /// Does something that needs time, which passes meanwhile.
    ///
    /// # Panics
    ///
    /// After [`PATIENCE`].
    fn while_time_passes<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let deadline = Instant::now() + PATIENCE;
        thread::scope(|threads| {
            let worker = threads.spawn(work);
            while !worker.is_finished() {
                assert!(Instant::now() < deadline, "it hangs");
                self.pass(Duration::from_millis(100));
                thread::yield_now();
            }
            worker.join().expect("it does not panic")
        })
    }
}

/// No row.
const NONE: [i64; 0] = [];

/// Rows without end, which come as they are made.
const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n";

/// Work without end, and no row.
const ENDLESS_COUNT: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n";

fn refused() -> Error {
    Error::new(ErrorKind::Cancelled, "the test wants no more")
}
