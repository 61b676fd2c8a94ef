//! Transactions: what is seen of them and when, those that are nested in them, and how they end without being asked.

use std::time::Duration;

use super::{
    super::{Gone, Value},
    Bed, ENDLESS_COUNT, Each, How, LIMITS, NONE, Tried, USUAL, refused,
};
use crate::error::ErrorKind;

pub(crate) fn database_3_nobody_else_sees_a_transaction_before_it_is_committed<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    let within = How::within(&open);
    for key in 1..=3 {
        tried.insert(&within, key).expect("it is new");
    }
    assert_eq!(tried.keys(&within), [1, 2, 3]);
    assert_eq!(tried.keys(&USUAL), NONE);
    tried.commit(&open).expect("nothing is in its way");
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
    let open = tried.begin();
    let within = How::within(&open);
    tried.run(&within, "DELETE FROM t", &[]).expect("it is there");
    tried.run(&within, "DROP TABLE t", &[]).expect("it is there");
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
    open.rollback();
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
    let open = tried.begin();
    tried.insert(&How::within(&open), 4).expect("it is new");
    drop(open);
    assert_eq!(tried.keys(&USUAL), [1, 2, 3], "what is dropped is rolled back");
    tried.insert(&USUAL, 4).expect("nobody else writes");
}

pub(crate) fn what_has_ended_is_a_stale_handle<B: Bed>() {
    let tried = Tried::<B>::table();
    for commits in [true, false] {
        let open = tried.begin();
        let nested = tried.nest(&open);
        nested.rollback();
        if commits {
            tried.commit(&open).expect("nothing is in its way");
        } else {
            open.rollback();
        }
        for handle in [&open, &nested] {
            let over = tried.insert(&How::within(handle), 1).expect_err("it has ended");
            assert_eq!(over.kind(), ErrorKind::StaleHandle);
            assert_eq!(tried.commit(handle).map_err(|error| error.kind()), Err(ErrorKind::StaleHandle));
            handle.rollback();
        }
        let begun = tried.database.begin(&tried.asks(&USUAL), Some(&open), false, None).map(|_| ());
        assert_eq!(begun.map_err(|error| error.kind()), Err(ErrorKind::StaleHandle));
    }
    assert_eq!(tried.keys(&USUAL), NONE);
}

pub(crate) fn a_statement_that_fails_leaves_the_transaction_as_it_was<B: Bed>() {
    let tried = Tried::<B>::table();
    tried.insert(&USUAL, 1).expect("it is new");
    let open = tried.begin();
    let within = How::within(&open);
    tried.insert(&within, 2).expect("it is new");
    for (sql, kind) in [
        ("INSERT INTO t (k) VALUES (3), (4), (1)", ErrorKind::Conflict),
        ("SELEC 1", ErrorKind::InvalidArgument),
        ("SELECT k FROM nowhere", ErrorKind::InvalidArgument),
        ("INSERT INTO t (k) VALUES ($1)", ErrorKind::InvalidArgument),
        ("COMMIT", ErrorKind::Denied),
    ] {
        assert_eq!(tried.fails(&within, sql, &[]), kind, "{sql}");
        assert_eq!(tried.keys(&within), [1, 2], "{sql}");
    }
    let mut rows = Each::new(|_| Err(refused()));
    tried.run_for(&within, "SELECT k FROM t", &[], &mut rows).expect_err("nobody wants it");
    tried.insert(&within, 3).expect("it goes on");
    tried.commit(&open).expect("it goes on");
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
}

pub(crate) fn database_3_nested_ones_are_kept_and_undone_by_themselves<B: Bed>() {
    let tried = Tried::<B>::table();
    let outer = tried.begin();
    tried.insert(&How::within(&outer), 1).expect("it is new");
    let kept = tried.nest(&outer);
    tried.insert(&How::within(&kept), 2).expect("it is new");
    let inside = tried.nest(&kept);
    tried.insert(&How::within(&inside), 3).expect("it is new");
    tried.run(&How::within(&inside), "UPDATE t SET n = 9", &[]).expect("they are there");
    inside.rollback();
    assert_eq!(tried.keys(&How::within(&kept)), [1, 2]);
    assert_eq!(tried.integers_in(&How::within(&kept), "SELECT count(*) FROM t WHERE n = 9"), [0]);
    tried.commit(&kept).expect("it is the innermost");
    assert_eq!(tried.keys(&USUAL), NONE, "it is part of the one around it");
    let undone = tried.nest(&outer);
    tried.insert(&How::within(&undone), 4).expect("it is new");
    let inside = tried.nest(&undone);
    tried.insert(&How::within(&inside), 5).expect("it is new");
    tried.commit(&inside).expect("it is the innermost");
    // What it kept goes with the one around it, and so does one that is open.
    let inside = tried.nest(&undone);
    tried.insert(&How::within(&inside), 6).expect("it is new");
    undone.rollback();
    assert_eq!(tried.keys(&How::within(&outer)), [1, 2]);
    let over = tried.insert(&How::within(&inside), 7).expect_err("it went with the other");
    assert_eq!(over.kind(), ErrorKind::StaleHandle);
    tried.commit(&outer).expect("nothing is nested in it");
    assert_eq!(tried.keys(&USUAL), [1, 2]);
    let outer = tried.begin();
    let nested = tried.nest(&outer);
    tried.insert(&How::within(&nested), 8).expect("it is new");
    tried.commit(&nested).expect("it is the innermost");
    outer.rollback();
    assert_eq!(tried.keys(&USUAL), [1, 2]);
}

pub(crate) fn database_3_while_a_nested_one_is_open_only_that_may_be_used<B: Bed>() {
    let tried = Tried::<B>::table();
    let outer = tried.begin();
    let middle = tried.nest(&outer);
    let inner = tried.nest(&middle);
    for handle in [&outer, &middle] {
        let busy = tried.insert(&How::within(handle), 1).expect_err("another one is open in it");
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert_eq!(tried.commit(handle).map_err(|error| error.kind()), Err(ErrorKind::Busy));
        let nested = tried.database.begin(&tried.asks(&USUAL), Some(handle), false, None).map(|_| ());
        assert_eq!(nested.map_err(|error| error.kind()), Err(ErrorKind::Busy));
    }
    tried.insert(&How::within(&inner), 1).expect("it is the innermost");
    for handle in [&inner, &middle, &outer] {
        tried.commit(handle).expect("it is the innermost");
    }
    assert_eq!(tried.keys(&USUAL), [1]);
}

pub(crate) fn thirty_two_are_nested_and_not_one_more<B: Bed>() {
    let tried = Tried::<B>::table();
    let mut open = vec![tried.begin()];
    for key in 1..=32 {
        let nested = tried.nest(&open[open.len() - 1]);
        tried.insert(&How::within(&nested), key).expect("it is new");
        open.push(nested);
    }
    let begun = tried.database.begin(&tried.asks(&USUAL), open.last(), false, None).map(|_| ());
    assert_eq!(begun.map_err(|error| error.kind()), Err(ErrorKind::Quota));
    open.pop().expect("it is there").rollback();
    // The 32nd again: places are free when they have ended.
    let nested = tried.nest(&open[open.len() - 1]);
    tried.insert(&How::within(&nested), 33).expect("it is new");
    open.push(nested);
    while let Some(handle) = open.pop() {
        tried.commit(&handle).expect("it is the innermost");
    }
    assert_eq!(tried.keys(&USUAL), (1..=31).chain([33]).collect::<Vec<_>>());
}

pub(crate) fn database_3_what_is_open_for_too_long_is_rolled_back<B: Bed>() {
    let tried = Tried::<B>::table();
    let ask = Duration::from_secs(10);
    for (timeout, lasts) in
        [(None, LIMITS.transaction), (Some(ask), ask), (Some(LIMITS.transaction * 9), LIMITS.transaction)]
    {
        for nested in [false, true] {
            let begun = tried.database.begin(&tried.asks(&USUAL), None, false, timeout);
            let outer = begun.expect("nobody writes");
            let open = if nested { tried.nest(&outer) } else { outer.clone() };
            tried.pass(lasts - Duration::from_millis(1));
            tried.insert(&How::within(&open), 1).expect("it has a millisecond left");
            tried.pass(Duration::from_millis(1));
            // Others need not wait for whoever has it to notice.
            tried.insert(&USUAL, 1).expect("nobody writes");
            tried.ok("DELETE FROM t", &[]);
            for _ in 0..2 {
                let over = tried.insert(&How::within(&open), 2).expect_err("it is over");
                assert_eq!(over.kind(), ErrorKind::Timeout, "lasts {lasts:?}, nested: {nested}");
            }
            let commit = tried.commit(&outer).map_err(|error| error.kind());
            assert_eq!(commit, Err(ErrorKind::Timeout));
            outer.rollback();
            assert_eq!(tried.keys(&USUAL), NONE);
        }
    }
}

pub(crate) fn a_statement_in_a_transaction_ends_with_it<B: Bed>() {
    let tried = Tried::<B>::table();
    let begun = tried.database.begin(&tried.asks(&USUAL), None, false, Some(Duration::from_secs(1)));
    let open = begun.expect("nobody writes");
    tried.insert(&How::within(&open), 1).expect("it is new");
    // It may take five seconds by itself.
    let done = tried.while_time_passes(|| tried.run(&How::within(&open), ENDLESS_COUNT, &[]));
    assert_eq!(done.map_err(|fault| fault.kind()), Err(ErrorKind::Timeout));
    tried.pass(Duration::from_secs(1));
    assert_eq!(tried.fails(&How::within(&open), "SELECT 1", &[]), ErrorKind::Timeout);
    open.rollback();
    assert_eq!(tried.keys(&USUAL), NONE);
    tried.insert(&USUAL, 1).expect("nobody writes");
}

pub(crate) fn a_statement_that_is_too_slow_leaves_a_transaction_whole_or_gone<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    let how = How { timeout: Some(Duration::from_secs(1)), ..How::within(&open) };
    tried.insert(&how, 1).expect("it is new");
    let endless = super::ENDLESS;
    let sql = format!("INSERT INTO t (k, n) SELECT 2, count(*) FROM ({endless}) AS endless");
    let done = tried.while_time_passes(|| tried.run(&how, &sql, &[]));
    assert_eq!(done.map_err(|fault| fault.kind()), Err(ErrorKind::Timeout));
    // A back end may have had to roll it back: then it says so until it is ended.
    match tried.insert(&how, 3) {
        Ok(_) => {
            tried.commit(&open).expect("it goes on");
            assert_eq!(tried.keys(&USUAL), [1, 3]);
        }
        Err(fault) => {
            assert_eq!(fault.kind(), ErrorKind::Timeout);
            let commit = tried.commit(&open).map_err(|error| error.kind());
            assert_eq!(commit, Err(ErrorKind::Timeout));
            assert_eq!(tried.keys(&USUAL), NONE);
        }
    }
}

pub(crate) fn one_that_only_reads_sees_one_state_and_writes_nothing<B: Bed>() {
    let tried = Tried::<B>::table();
    tried.insert(&USUAL, 1).expect("it is new");
    let look = tried.look();
    let within = How::within(&look);
    assert_eq!(tried.keys(&within), [1]);
    // It waits for no writer, and none waits for it.
    tried.insert(&USUAL, 2).expect("nobody writes");
    let open = tried.begin();
    tried.insert(&How::within(&open), 3).expect("it is new");
    assert_eq!(tried.keys(&within), [1], "it is the state of its first statement");
    for sql in [
        "INSERT INTO t (k) VALUES (9)",
        "UPDATE t SET n = 1 WHERE k = 100",
        "DELETE FROM t RETURNING k",
        "CREATE TABLE u (k INTEGER)",
        "DROP TABLE t",
    ] {
        assert_eq!(tried.fails(&within, sql, &[]), ErrorKind::InvalidArgument, "{sql}");
        assert_eq!(tried.keys(&within), [1], "{sql}");
    }
    let nested = tried.nest(&look);
    let kind = tried.insert(&How::within(&nested), 9).expect_err("it is as the one around it").kind();
    assert_eq!(kind, ErrorKind::InvalidArgument);
    tried.commit(&nested).expect("it is the innermost");
    tried.commit(&open).expect("nobody reads what it wrote");
    assert_eq!(tried.keys(&within), [1]);
    tried.commit(&look).expect("there is nothing to keep");
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
}

pub(crate) fn a_query_is_of_one_state_whoever_writes_meanwhile<B: Bed>() {
    let tried = Tried::<B>::table();
    for key in 1..=100 {
        tried.insert(&USUAL, key).expect("it is new");
    }
    let open = tried.begin();
    tried.run(&How::within(&open), "UPDATE t SET n = 1", &[]).expect("they are there");
    let mut rows = Each::new(|number| {
        if number == 1 {
            tried.commit(&open)?;
            tried.insert(&USUAL, 101)?;
        }
        Ok(())
    });
    let done = tried.run_for(&USUAL, "SELECT k, n FROM t WHERE n = 0 ORDER BY k", &[], &mut rows);
    assert_eq!(done.expect("it reads").rows, 100);
    assert_eq!(tried.integers("SELECT count(*) FROM t WHERE n = 0"), [1]);
}

pub(crate) fn a_reference_that_is_checked_at_the_end_may_be_broken_meanwhile<B: Bed>() {
    let tried = Tried::<B>::one();
    for sql in [
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        tried.ok(sql, &[]);
    }
    for mends in [true, false] {
        let open = tried.begin();
        let within = How::within(&open);
        tried.run(&within, "INSERT INTO child (id, parent) VALUES (1, 1)", &[]).expect("nobody looks yet");
        if mends {
            tried.run(&within, "INSERT INTO parent (id) VALUES (1)", &[]).expect("it is new");
            tried.commit(&open).expect("all is well now");
            tried.ok("DELETE FROM child", &[]);
            tried.ok("DELETE FROM parent", &[]);
        } else {
            let commit = tried.commit(&open).map_err(|error| error.kind());
            assert_eq!(commit, Err(ErrorKind::Conflict));
            let again = tried.commit(&open).map_err(|error| error.kind());
            assert_eq!(again, Err(ErrorKind::StaleHandle), "it was rolled back");
        }
        assert_eq!(tried.integers("SELECT id FROM child"), NONE);
    }
    let values = [Value::Integer(1), Value::Integer(7)];
    let kind = tried.fails(&USUAL, "INSERT INTO child (id, parent) VALUES ($1, $2)", &values);
    assert_eq!(kind, ErrorKind::Conflict, "a statement by itself ends with its transaction");
    let kind =
        tried.script(&USUAL, "INSERT INTO child (id, parent) VALUES (1, 7)").map_err(|fault| fault.kind());
    assert_eq!(kind, Err(ErrorKind::Conflict));
    let returning = "INSERT INTO child (id, parent) VALUES ($1, $2) RETURNING id";
    assert_eq!(tried.fails(&USUAL, returning, &values), ErrorKind::Conflict);
    assert_eq!(tried.integers("SELECT id FROM child"), NONE);
}

pub(crate) fn a_transaction_takes_no_statement_when_its_caller_has_gone<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    let watched = super::Watched::new();
    watched.goes(Gone::GivenUp);
    let how = How { caller: watched.caller(), ..How::within(&open) };
    assert_eq!(tried.fails(&how, ENDLESS_COUNT, &[]), ErrorKind::Cancelled);
    tried.insert(&How::within(&open), 1).expect("others may go on");
    tried.commit(&open).expect("others may go on");
    assert_eq!(tried.keys(&USUAL), [1]);
}
