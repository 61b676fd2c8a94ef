//! Who has a connection, who waits for one or for the right to write, and when they are closed.

use std::{fs, sync::Barrier};

use super::*;

#[test]
fn readers_go_on_beside_a_writer_and_those_who_wait_for_it_hold_no_connection() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let writer = bed.begin();
    bed.done(Some(&writer), "INSERT INTO t VALUES (1)").expect("it is written");
    thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| bed.done(None, "INSERT INTO t VALUES (2)"))).collect();
        // All of them wait: were they to hold connections, no reader found one.
        bed.until_waiting(8);
        for _ in 0..10 {
            assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "0");
        }
        bed.database.commit(&bed.asks(), &writer).expect("it is committed");
        for waits in waiting {
            waits.join().expect("no panic").expect("its turn comes");
        }
    });
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "9");
}

#[test]
fn those_who_write_have_their_turns_in_the_order_in_which_they_came() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)").expect("it is made");
    let writer = bed.begin();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..6)
            .map(|number| {
                let bed = &bed;
                let waits =
                    scope.spawn(move || bed.run("INSERT INTO t (b) VALUES (?)", &[Value::Integer(number)]));
                bed.until_waiting(number as usize + 1);
                waits
            })
            .collect();
        writer.rollback();
        for waits in waiting {
            waits.join().expect("no panic").expect("its turn comes");
        }
    });
    assert_eq!(bed.one(None, "SELECT group_concat(b) FROM (SELECT b FROM t ORDER BY a)"), "\"0,1,2,3,4,5\"");
}

#[test]
fn whoever_waits_to_write_until_the_deadline_is_told_and_the_next_one_has_its_turn() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let writer = bed.begin();
    thread::scope(|scope| {
        let waits = scope.spawn(|| bed.done(None, "INSERT INTO t VALUES (1)"));
        let begins = scope.spawn(|| bed.database.begin(&bed.asks(), None, false, None).map(drop));
        bed.until_waiting(2);
        bed.clock.advance(Duration::from_secs(6));
        assert_eq!(waits.join().expect("no panic").expect_err("too late").kind(), ErrorKind::Busy);
        assert_eq!(begins.join().expect("no panic").expect_err("too late").kind(), ErrorKind::Busy);
    });
    writer.rollback();
    bed.done(None, "INSERT INTO t VALUES (1)").expect("nobody lost a turn");
}

#[test]
fn where_all_connections_are_used_one_waits_until_one_is_free_or_the_deadline() {
    let bed = Bed::with(|options| options.connections = 2);
    let ids: Vec<Arc<str>> = ["one", "two", "three"].map(Into::into).to_vec();
    let begin = |at: usize| bed.database.begin(&bed.asks_of(at as u64, &ids[at]), None, true, None);
    let (first, second) = (begin(0).expect("there is room"), begin(1).expect("there is room"));
    thread::scope(|scope| {
        let waits = scope.spawn(|| begin(2).map(drop));
        bed.until_waiting(1);
        bed.clock.advance(Duration::from_secs(6));
        assert_eq!(waits.join().expect("no panic").expect_err("too late").kind(), ErrorKind::Busy);
        let waits = scope.spawn(|| begin(2).map(drop));
        bed.until_waiting(1);
        first.rollback();
        waits.join().expect("no panic").expect("there is room now");
    });
    second.rollback();
    // Four to one database at most.
    let bed = Bed::new();
    let reads = || bed.database.begin(&bed.asks(), None, true, None);
    let all: Vec<_> = (0..4).map(|_| reads().expect("there is room")).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| reads().map(drop));
        bed.until_waiting(1);
        drop(all);
        waits.join().expect("no panic").expect("there is room now");
    });
}

#[test]
fn the_one_that_was_used_longest_ago_makes_room_and_an_idle_one_is_closed_in_time() {
    let bed = Bed::with(|options| options.connections = 2);
    let ids: Vec<Arc<str>> = ["one", "two", "three"].map(Into::into).to_vec();
    let use_it = |at: usize| {
        let asks = bed.asks_of(at as u64, &ids[at]);
        bed.database.run(&asks, None, &statement("SELECT 1", &[]), &mut NoRows).expect("there is room");
        bed.clock.advance(Duration::from_secs(1));
    };
    // SQLite removes the log with the last connection.
    let is_open = |at: usize| bed.folder.path().join(format!("sql/p-{}/system.db-wal", ids[at])).exists();
    for at in [0, 1, 0, 2] {
        use_it(at);
    }
    assert_eq!([is_open(0), is_open(1), is_open(2)], [true, false, true]);
    for _ in 0..70 {
        bed.clock.advance(Duration::from_secs(1));
    }
    assert_eq!([is_open(0), is_open(1), is_open(2)], [false; 3]);
    use_it(1);
    assert!(is_open(1));
    bed.clock.advance(Duration::from_secs(61));
    assert!(!is_open(1));
}

#[test]
fn what_was_closed_takes_no_more_and_leaves_no_log() {
    let bed = Bed::new();
    let open = bed.begin();
    bed.done(Some(&open), "CREATE TABLE t (a)").expect("it is made");
    bed.database.close();
    assert_eq!(bed.done(Some(&open), "SELECT 1").expect_err("closed").kind(), ErrorKind::Unavailable);
    assert_eq!(bed.done(None, "SELECT 1").expect_err("closed").kind(), ErrorKind::Unavailable);
    let left: Vec<_> = fs::read_dir(bed.folder.path().join("sql/p-probe")).expect("it is there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn two_hosts_on_one_folder_see_what_the_other_writes() {
    let bed = Bed::new();
    bed.done(None, "CREATE TABLE t (a)").expect("it is made");
    let other = databases_in(bed.folder.path(), ManualClock::at(0));
    let insert = statement("INSERT INTO t VALUES (1)", &[]);
    other.run(&bed.asks(), None, &insert, &mut NoRows).expect("nobody writes");
    let writer = bed.begin();
    bed.done(Some(&writer), "INSERT INTO t VALUES (2)").expect("it is written");
    let fault = other.run(&bed.asks(), None, &insert, &mut NoRows).expect_err("the other writes");
    assert_eq!(fault.kind(), ErrorKind::Unavailable, "{}", fault.error);
    assert!(fault.error.to_string().contains("another process"), "{}", fault.error);
    bed.database.commit(&bed.asks(), &writer).expect("it is committed");
    other.run(&bed.asks(), None, &insert, &mut NoRows).expect("nobody writes");
    assert_eq!(bed.one(None, "SELECT count(*) FROM t"), "3");
}

#[test]
fn whoever_comes_while_a_database_is_being_made_waits_until_it_is() {
    for _ in 0..10 {
        let bed = Bed::new();
        let start = Barrier::new(8);
        thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    start.wait();
                    bed.done(None, "SELECT 1").expect("it is being made");
                });
            }
        });
    }
}

#[test]
fn of_two_hosts_that_make_one_database_neither_takes_it_for_a_strangers() {
    for _ in 0..10 {
        let bed = Bed::new();
        let other = databases_in(bed.folder.path(), ManualClock::at(0));
        let start = Barrier::new(2);
        thread::scope(|threads| {
            for database in [&bed.database, &other] {
                let (bed, start) = (&bed, &start);
                threads.spawn(move || {
                    start.wait();
                    let look = statement("SELECT 1", &[]);
                    while let Err(fault) = database.run(&bed.asks(), None, &look, &mut NoRows) {
                        // The other one may have it for longer than anybody waits.
                        assert!(fault.error.to_string().contains("another process has"), "{}", fault.error);
                    }
                });
            }
        });
    }
}

impl Bed {
    /// Waits until so many threads sleep by the clock, without the databases' own.
    fn until_waiting(&self, count: usize) {
        self.clock.until_asleep(count + 1);
    }
}
