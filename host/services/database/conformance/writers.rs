//! Many at once: those that write wait for each other in order, and nothing is lost.

use std::{sync::Barrier, thread, time::Duration};

use parking_lot::Mutex;

use super::{
    super::{Gone, Rows, Value},
    Bed, How, LIMITS, NONE, Owned, Tried, USUAL, Watched,
};
use crate::error::{ErrorKind, Result};

pub(crate) fn writers_have_their_turn_in_the_order_in_which_they_came<B: Bed>() {
    let tried = Tried::<B>::table();
    let came = Mutex::new(Vec::new());
    let first = tried.begin();
    thread::scope(|threads| {
        let mut waiting = Vec::new();
        for number in 1..=2 {
            let watched = Watched::new();
            let (tried, came, caller) = (&tried, &came, watched.caller());
            let worker = threads.spawn(move || {
                let how = How { caller, ..USUAL };
                if number == 2 {
                    tried.insert(&how, number).expect("it is new");
                    came.lock().push(number);
                    return;
                }
                let open =
                    tried.database.begin(&tried.asks(&how), None, false, None).expect("its turn comes");
                came.lock().push(number);
                tried.insert(&How::within(&open), number).expect("it is new");
                tried.commit(&open).expect("nothing is in its way");
            });
            watched.was_asked_for();
            waiting.push((watched, worker));
        }
        assert!(came.lock().is_empty());
        assert_eq!(tried.keys(&USUAL), NONE, "who reads waits for nobody");
        tried.insert(&How::within(&first), 0).expect("it is new");
        tried.commit(&first).expect("nothing is in its way");
        for (watched, worker) in waiting {
            worker.join().expect("it does not panic");
            drop(watched);
        }
    });
    assert_eq!(*came.lock(), [1, 2]);
    assert_eq!(tried.keys(&USUAL), [0, 1, 2]);
}

pub(crate) fn who_waits_for_a_writer_too_long_is_told_busy<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    let insert = |how: &How<'_>| tried.insert(how, 1).map_err(|fault| fault.kind());
    assert_eq!(tried.waits_in_vain(USUAL, LIMITS.statement, insert), Err(ErrorKind::Busy));
    let short = How { timeout: Some(Duration::from_millis(300)), ..USUAL };
    let begin = |how: &How<'_>| tried.database.begin(&tried.asks(how), None, false, None).map(|_| ());
    let done = tried.waits_in_vain(short, Duration::from_millis(300), begin);
    assert_eq!(done.map_err(|error| error.kind()), Err(ErrorKind::Busy));
    // Whose caller has gone waits no longer, and nobody behind him has to.
    let watched = Watched::new();
    watched.goes(Gone::GivenUp);
    let how = How { caller: watched.caller(), ..USUAL };
    assert_eq!(tried.insert(&how, 1).expect_err("nobody waits").kind(), ErrorKind::Cancelled);
    tried.insert(&How::within(&open), 2).expect("it is open");
    tried.commit(&open).expect("nothing is in its way");
    tried.insert(&USUAL, 3).expect("nobody writes");
    assert_eq!(tried.keys(&USUAL), [2, 3]);
}

pub(crate) fn who_would_wait_for_itself_is_told_busy_at_once<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    // The clock stands still: whoever waited would do so for ever.
    assert_eq!(tried.insert(&USUAL, 1).expect_err("it writes already").kind(), ErrorKind::Busy);
    assert_eq!(tried.script(&USUAL, "DELETE FROM t").expect_err("it writes already").kind(), ErrorKind::Busy);
    let begun = tried.database.begin(&tried.asks(&USUAL), None, false, None);
    assert_eq!(begun.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::Busy));
    assert_eq!(tried.keys(&USUAL), NONE, "who reads waits for nobody");
    tried.insert(&How::within(&open), 2).expect("it is open");
    tried.commit(&open).expect("nothing is in its way");

    // While rows are handed over the statement that gives them writes.
    struct Writing<'a, B: Bed>(&'a Tried<B>, Option<ErrorKind>);
    impl<B: Bed> Rows for Writing<'_, B> {
        fn columns(&mut self, _: &[&str]) -> Result<()> {
            Ok(())
        }

        fn row(&mut self, _: &[Value<'_>]) -> Result<()> {
            self.1 = self.0.insert(&USUAL, 9).err().map(|fault| fault.kind());
            Ok(())
        }
    }
    let mut rows = Writing(&tried, None);
    tried.run_for(&USUAL, "UPDATE t SET n = 1 RETURNING k", &[], &mut rows).expect("nobody else writes");
    assert_eq!(rows.1, Some(ErrorKind::Busy));
    // Another one waits, as it always did.
    let open = tried.begin();
    let watched = Watched::new();
    let how = How { caller: watched.caller(), ..USUAL };
    thread::scope(|threads| {
        let other = threads.spawn(|| tried.insert(&how, 3));
        watched.was_asked_for();
        open.rollback();
        other.join().expect("it does not panic").expect("its turn comes");
    });
    assert_eq!(tried.keys(&USUAL), [2, 3]);
}

pub(crate) fn of_many_that_add_at_once_nothing_is_lost<B: Bed>() {
    const THREADS: i64 = 8;
    const EACH: i64 = 25;
    let tried = Tried::<B>::table();
    for key in 1..=3 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    let start = Barrier::new(THREADS as usize);
    thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                start.wait();
                for _ in 0..EACH {
                    // Read, and written on what was read.
                    let open = tried.begin();
                    let within = How::within(&open);
                    let n = tried.integers_in(&within, "SELECT n FROM t WHERE k = 1")[0];
                    let values = [Value::Integer(n + 1)];
                    tried.run(&within, "UPDATE t SET n = $1 WHERE k = 1", &values).expect("it is there");
                    tried.commit(&open).expect("nothing is in its way");
                    // By itself, with rows and without.
                    tried.ok("UPDATE t SET n = n + 1 WHERE k = 2", &[]);
                    tried.ok("UPDATE t SET n = n + 1 WHERE k = 3 RETURNING n", &[]);
                }
            });
        }
    });
    assert_eq!(tried.integers("SELECT n FROM t ORDER BY k"), [THREADS * EACH; 3]);
}

pub(crate) fn readers_see_every_transaction_whole<B: Bed>() {
    let tried = Tried::<B>::table();
    for key in 1..=2 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    let start = Barrier::new(3);
    thread::scope(|threads| {
        threads.spawn(|| {
            start.wait();
            for n in 1..=50 {
                let open = tried.begin();
                for key in 1..=2 {
                    let values = [Value::Integer(n), Value::Integer(key)];
                    let sql = "UPDATE t SET n = $1 WHERE k = $2";
                    tried.run(&How::within(&open), sql, &values).expect("it is there");
                }
                tried.commit(&open).expect("nothing is in its way");
            }
        });
        for _ in 0..2 {
            threads.spawn(|| {
                start.wait();
                let mut last = 0;
                while last < 50 {
                    let look = tried.look();
                    let read = || tried.integers_in(&How::within(&look), "SELECT n FROM t ORDER BY k");
                    let (first, again) = (read(), read());
                    look.rollback();
                    assert_eq!(first, again, "one that only reads sees one state");
                    assert!(first[0] == first[1] && first[0] >= last, "{first:?} after {last}");
                    last = first[0];
                }
            });
        }
    });
}

pub(crate) fn databases_do_not_wait_for_each_other<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "other"), ("meter", "")]);
    let open = tried.begin();
    let within = How::within(&open);
    tried.run(&within, "CREATE TABLE t (k INTEGER PRIMARY KEY, n TEXT)", &[]).expect("there is none");
    for scope in [1, 2] {
        let how = How { scope, ..USUAL };
        tried.run(&how, "CREATE TABLE t (k INTEGER PRIMARY KEY, n TEXT)", &[]).expect("there is none");
        tried.run(&how, "INSERT INTO t (k, n) VALUES (1, 'mine')", &[]).expect("it is empty");
    }
    tried.commit(&open).expect("nothing is in its way");
    assert_eq!(tried.integers("SELECT count(*) FROM t"), [0]);
    assert_eq!(
        tried.rows_in(&How { scope: 2, ..USUAL }, "SELECT n FROM t", &[]),
        [[Owned::Text("mine".into())]]
    );
}
