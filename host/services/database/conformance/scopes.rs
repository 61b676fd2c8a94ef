//! Whose database is whose: one for each (plugin, tenant), made on demand, found again, backed up and removed.

use std::fs;

use super::{
    super::{Held, Value},
    Bed, How, IDLE, LIMITS, NONE, Owned, Tried, USUAL,
};
use crate::{error::ErrorKind, services::clock::Clock};

/// Names that meet where somebody writes them into a name of a file, a schema or a role without care.
const ODD: [(&str, &str); 34] = [
    ("meter", ""),
    ("meter", "system"),
    ("meter", "System"),
    ("meter", "SYSTEM"),
    ("meter", "t-system"),
    ("meter", "acme"),
    ("meter", "Acme"),
    ("meter", "ACME"),
    ("meter", "acme "),
    ("meter", " acme"),
    ("meter", "acme."),
    ("meter", "acme.db"),
    ("meter", "acme-wal"),
    ("meter", "acme/../acme"),
    ("meter", "../acme"),
    ("meter", ".."),
    ("meter", "."),
    ("meter", "/"),
    ("meter", "\\"),
    ("meter", "a_b"),
    ("meter", "a-b"),
    ("meter", "a b"),
    ("meter", "a%b"),
    ("meter", "a'b"),
    ("meter", "a\"b"),
    ("meter", "public"),
    ("meter", "con"),
    ("meter", "é"),
    ("meter", "e\u{301}"),
    ("meter", "ﬁ"),
    ("meter", "fi"),
    ("meter-a", "b"),
    ("meter-a-b", ""),
    ("meters", "acme"),
];

pub(crate) fn database_7_no_database_sees_anything_of_another<B: Bed>() {
    let long: Vec<String> = ["x", "y"].iter().map(|end| format!("{}{end}", "ä".repeat(63))).collect();
    let names: Vec<_> = ODD.iter().copied().chain(long.iter().map(|long| ("meter", &**long))).collect();
    let tried = Tried::<B>::with(&names);
    for (scope, name) in names.iter().enumerate() {
        let how = How { scope, ..USUAL };
        let create = "CREATE TABLE t (k INTEGER PRIMARY KEY, n TEXT)";
        tried.run(&how, create, &[]).unwrap_or_else(|fault| panic!("{name:?}: {fault:?}"));
        let number = format!("{scope}");
        tried
            .run(&how, "INSERT INTO t VALUES (1, $1)", &[Value::Text(number.as_bytes())])
            .expect("it is empty");
        tried.run(&how, &format!("CREATE TABLE only_{scope} (k INTEGER)"), &[]).expect("there is none");
    }
    let tried = tried.restart();
    for (scope, name) in names.iter().enumerate() {
        let how = How { scope, ..USUAL };
        assert_eq!(
            tried.rows_in(&how, "SELECT n FROM t", &[]),
            [[Owned::Text(format!("{scope}"))]],
            "{name:?} has the rows of another"
        );
        let others = (0..names.len()).filter(|other| *other != scope);
        for other in others {
            let kind = tried.fails(&how, &format!("SELECT k FROM only_{other}"), &[]);
            assert_eq!(kind, ErrorKind::InvalidArgument, "{name:?} sees the table of {:?}", names[other]);
        }
    }
}

pub(crate) fn database_1_a_database_is_made_when_it_is_used<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "other")]);
    assert_eq!(tried.database.databases().expect("they can be listed"), []);
    assert_eq!(tried.integers("SELECT 1"), [1]);
    let held = tried.database.databases().expect("they can be listed");
    assert_eq!(held.len(), 1, "the other one was not used");
    assert_eq!((&*held[0].plugin, &*held[0].tenant), ("meter", "acme"));
    assert!(held[0].bytes > 0);
}

pub(crate) fn database_1_one_that_nobody_uses_is_closed_and_found_again<B: Bed>() {
    let tried = Tried::<B>::with(&[("meter", "acme"), ("meter", "other")]);
    for scope in [0, 1] {
        let how = How { scope, ..USUAL };
        tried.run(&how, "CREATE TABLE t (k INTEGER PRIMARY KEY)", &[]).expect("there is none");
        tried.run(&how, "INSERT INTO t VALUES ($1)", &[Value::Integer(scope as i64)]).expect("it is empty");
    }
    let tidy = || tried.database.backend.tidy(tried.clock.monotonic());
    assert!(tidy().is_some(), "they stay open for a while");
    tried.pass(IDLE * 2);
    assert_eq!(tidy(), None, "something is still open");
    for scope in [0, 1] {
        assert_eq!(tried.keys(&How { scope, ..USUAL }), [scope as i64]);
    }
    // What somebody has is not closed under his hands.
    let look = tried.look();
    assert_eq!(tried.keys(&How::within(&look)), [0]);
    tried.database.backend.tidy(tried.clock.monotonic() + IDLE * 2);
    assert_eq!(tried.keys(&How::within(&look)), [0]);
}

pub(crate) fn database_1_more_databases_than_connections_take_turns<B: Bed>() {
    let names: Vec<String> = (0..super::CONNECTIONS * 3).map(|number| format!("tenant-{number}")).collect();
    let names: Vec<_> = names.iter().map(|name| ("meter", &**name)).collect();
    let tried = Tried::<B>::with(&names);
    for round in 0..3 {
        for scope in 0..names.len() {
            let how = How { scope, ..USUAL };
            if round == 0 {
                tried.run(&how, "CREATE TABLE t (k INTEGER PRIMARY KEY)", &[]).expect("there is none");
            }
            tried.run(&how, "INSERT INTO t VALUES ($1)", &[Value::Integer(round)]).expect("it is not there");
        }
    }
    for scope in 0..names.len() {
        assert_eq!(tried.keys(&How { scope, ..USUAL }), [0, 1, 2]);
    }
}

pub(crate) fn database_1_when_all_connections_are_in_use_the_next_waits_and_is_told_busy<B: Bed>() {
    let names: Vec<String> = (0..=super::CONNECTIONS).map(|number| format!("tenant-{number}")).collect();
    let names: Vec<_> = names.iter().map(|name| ("meter", &**name)).collect();
    let tried = Tried::<B>::with(&names);
    let begin = |scope| tried.database.begin(&tried.asks(&How { scope, ..USUAL }), None, true, None);
    let held: Vec<_> =
        (0..super::CONNECTIONS).map(|scope| begin(scope).expect("there is a connection")).collect();
    let last = super::CONNECTIONS;
    let wait = |how: &How<'_>| tried.database.begin(&tried.asks(how), None, true, None).map(|_| ());
    let refused = tried.waits_in_vain(How { scope: last, ..USUAL }, LIMITS.statement, wait);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Busy));
    held[0].rollback();
    begin(last).expect("one has come back").rollback();
}

pub(crate) fn what_was_written_is_there_after_a_restart<B: Bed>() {
    let tried = Tried::<B>::table();
    tried.insert(&USUAL, 1).expect("it is new");
    let committed = tried.begin();
    tried.insert(&How::within(&committed), 2).expect("it is new");
    tried.commit(&committed).expect("nothing is in its way");
    let open = tried.begin();
    tried.insert(&How::within(&open), 3).expect("it is new");
    let tried = tried.restart();
    assert_eq!(tried.keys(&USUAL), [1, 2]);
    let over = tried.insert(&How::within(&open), 4).expect_err("its host has ended");
    assert_eq!(over.kind(), ErrorKind::Unavailable);
    assert_eq!(tried.keys(&USUAL), [1, 2]);
}

pub(crate) fn databases_are_listed_with_whose_they_are<B: Bed>() {
    let names = [("meter", ""), ("meter", "acme"), ("meter", "Acme"), ("other", "../acme")];
    let tried = Tried::<B>::with(&names);
    for scope in 0..names.len() {
        let how = How { scope, ..USUAL };
        tried.run(&how, "CREATE TABLE t (k INTEGER)", &[]).expect("there is none");
    }
    let list = |tried: &Tried<B>| {
        let held = tried.database.databases().expect("they can be listed");
        assert!(held.iter().all(|held| held.bytes > 0), "{held:?}");
        let mut listed: Vec<_> = held.into_iter().map(|held| (held.plugin, held.tenant)).collect();
        listed.sort_unstable();
        listed
    };
    let mut wanted = names.map(|(plugin, tenant)| (plugin.to_owned(), tenant.to_owned()));
    wanted.sort_unstable();
    assert_eq!(list(&tried), wanted);
    assert_eq!(list(&tried.restart()), wanted, "used by nobody yet");
}

pub(crate) fn a_backup_is_of_one_state_and_can_be_put_back<B: Bed>() {
    let tried = Tried::<B>::table();
    tried.insert(&USUAL, 1).expect("it is new");
    // It waits for no writer, and has nothing of what is not committed.
    let open = tried.begin();
    tried.insert(&How::within(&open), 2).expect("it is new");
    let to = tried.bed.folder().join("backup");
    let bytes = tried.database.backup("meter", "acme", &to).expect("there is room");
    assert_eq!(fs::metadata(&to).expect("it is there").len(), bytes);
    tried.commit(&open).expect("nothing is in its way");
    tried.insert(&USUAL, 3).expect("it is new");
    assert_eq!(tried.keys(&USUAL), [1, 2, 3]);
    tried.database.close();
    tried.bed.put_back(&to);
    let tried = tried.restart();
    assert_eq!(tried.keys(&USUAL), [1]);
    tried.insert(&USUAL, 2).expect("it is not there");
}

pub(crate) fn a_backup_overwrites_nothing_and_makes_no_database<B: Bed>() {
    let tried = Tried::<B>::table();
    let to = tried.bed.folder().join("backup");
    fs::write(&to, b"precious").expect("there is room");
    tried.database.backup("meter", "acme", &to).expect_err("the file is there");
    assert_eq!(fs::read(&to).expect("it is there"), b"precious");
    let to = tried.bed.folder().join("another");
    for (plugin, tenant) in [("meter", ""), ("meter", "Acme"), ("other", "acme"), ("..", "acme")] {
        let refused = tried.database.backup(plugin, tenant, &to).expect_err("there is none");
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{plugin:?} {tenant:?}");
        assert!(!to.exists());
    }
    assert_eq!(tried.database.databases().expect("they can be listed").len(), 1);
}

pub(crate) fn what_is_removed_is_gone_and_nothing_else<B: Bed>() {
    let names = [("meter", ""), ("meter", "acme"), ("meter", "Acme"), ("meters", "acme")];
    let tried = Tried::<B>::with(&names);
    let fill = || {
        for scope in 0..names.len() {
            let how = How { scope, ..USUAL };
            tried.run(&how, "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY)", &[]).expect("it is made");
        }
    };
    let listed = |held: Vec<Held>| {
        let mut names: Vec<_> = held.into_iter().map(|held| (held.plugin, held.tenant)).collect();
        names.sort_unstable();
        names
    };
    let there = || listed(tried.database.databases().expect("they can be listed"));
    let owned = |wanted: &[usize]| {
        let mut names: Vec<_> =
            wanted.iter().map(|at| (names[*at].0.to_owned(), names[*at].1.to_owned())).collect();
        names.sort_unstable();
        names
    };
    let remove = |plugin, tenant| tried.database.backend.remove(plugin, tenant).map(listed);
    fill();
    assert_eq!(remove("meter", Some("acme")).expect("nobody uses it"), owned(&[1]));
    assert_eq!(there(), owned(&[0, 2, 3]));
    assert_eq!(remove("meter", Some("acme")).expect("nobody uses it"), owned(&[]));
    assert_eq!(remove("meter", None).expect("nobody uses them"), owned(&[0, 2]));
    assert_eq!(there(), owned(&[3]));
    fill();
    // The tables went with it: this one is new.
    assert_eq!(tried.keys(&How { scope: 1, ..USUAL }), NONE);
    assert_eq!(remove("meter", Some("")).expect("nobody uses it"), owned(&[0]), "the system scope alone");
    assert_eq!(there(), owned(&[1, 2, 3]));
}

pub(crate) fn one_that_is_in_use_is_not_removed<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    tried.insert(&How::within(&open), 1).expect("it is new");
    for tenant in [Some("acme"), None] {
        let refused = tried.database.backend.remove("meter", tenant).expect_err("it is in use");
        assert_eq!(refused.kind(), ErrorKind::Busy);
    }
    tried.commit(&open).expect("it goes on");
    assert_eq!(tried.keys(&USUAL), [1]);
}

pub(crate) fn a_host_that_has_stopped_takes_no_statement<B: Bed>() {
    let tried = Tried::<B>::table();
    let open = tried.begin();
    tried.insert(&How::within(&open), 1).expect("it is new");
    tried.database.close();
    tried.database.close();
    assert_eq!(tried.fails(&USUAL, "SELECT 1", &[]), ErrorKind::Unavailable);
    assert_eq!(tried.fails(&How::within(&open), "SELECT 1", &[]), ErrorKind::Unavailable);
    assert_eq!(tried.commit(&open).map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    let begun = tried.database.begin(&tried.asks(&USUAL), None, true, None).map(|_| ());
    assert_eq!(begun.map_err(|error| error.kind()), Err(ErrorKind::Unavailable));
    let tried = tried.restart();
    assert_eq!(tried.keys(&USUAL), NONE);
}
