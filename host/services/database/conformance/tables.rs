//! Tables that are made without SQL, and how much there may be in a database.

use super::{
    super::{Column, ColumnKind, Value},
    Bed, How, Owned, Tried, USUAL,
};
use crate::error::{ErrorKind, Result};

const PLAIN: Column<'static> = Column {
    name: "k",
    kind: ColumnKind::Integer,
    not_null: false,
    unique: false,
    primary_key: false,
    auto_number: false,
    default: None,
};

/// A key whose numbers the database gives.
const NUMBERED: Column<'static> = Column { name: "id", primary_key: true, auto_number: true, ..PLAIN };

fn create<B: Bed>(tried: &Tried<B>, how: &How<'_>, table: &str, columns: &[Column<'_>]) -> Result<bool> {
    Ok(tried.database.create_table(&tried.asks(how), how.within, table, columns)?)
}

pub(crate) fn a_table_is_created_unless_there_is_one<B: Bed>() {
    let tried = Tried::<B>::one();
    let columns = [NUMBERED, Column { name: "Name", kind: ColumnKind::Text, not_null: true, ..PLAIN }];
    assert!(create(&tried, &USUAL, "Orders", &columns).expect("it can be made"));
    tried.ok("INSERT INTO orders (name) VALUES ('a')", &[]);
    for again in ["Orders", "orders", "ORDERS"] {
        assert!(!create(&tried, &USUAL, again, &[PLAIN]).expect("it is looked for"), "{again}");
    }
    // Plain names find it in any letter case, as they find what SQL has made.
    for sql in ["SELECT Name FROM Orders", "SELECT NAME FROM ORDERS", "SELECT orders.name FROM Orders"] {
        assert_eq!(tried.rows(sql), [[Owned::Text("a".into())]], "{sql}");
    }
    tried.ok("CREATE TABLE by_sql (k INTEGER)", &[]);
    assert!(!create(&tried, &USUAL, "By_Sql", &[PLAIN]).expect("it is looked for"));
    // Words that SQL knows are names like others.
    assert!(create(&tried, &USUAL, "select", &[Column { name: "from", ..PLAIN }]).expect("it can be made"));
    tried.ok("INSERT INTO \"select\" (\"from\") VALUES (1)", &[]);
    tried.ok("DROP TABLE orders", &[]);
    assert!(create(&tried, &USUAL, "orders", &columns).expect("it can be made"));
}

pub(crate) fn a_column_keeps_what_it_was_made_with<B: Bed>() {
    let tried = Tried::<B>::one();
    let text = "it's \"so\" \\ $1 ü";
    let defaults = [
        Column { name: "i", default: Some(Value::Integer(i64::MIN)), ..PLAIN },
        Column { name: "r", kind: ColumnKind::Real, default: Some(Value::Real(-0.1)), ..PLAIN },
        Column { name: "big", kind: ColumnKind::Real, default: Some(Value::Real(f64::INFINITY)), ..PLAIN },
        Column { name: "t", kind: ColumnKind::Text, default: Some(Value::Text(text.as_bytes())), ..PLAIN },
        Column { name: "b", kind: ColumnKind::Blob, default: Some(Value::Blob(b"\0'\xff")), ..PLAIN },
        Column { name: "n", kind: ColumnKind::Text, default: Some(Value::Null), ..PLAIN },
        Column { name: "u", unique: true, ..PLAIN },
    ];
    create(&tried, &USUAL, "d", &defaults).expect("it can be made");
    tried.ok("INSERT INTO d (u) VALUES (1)", &[]);
    let wanted = [
        Owned::Integer(i64::MIN),
        Owned::Real(-0.1),
        Owned::Real(f64::INFINITY),
        Owned::Text(text.into()),
        Owned::Blob(b"\0'\xff".to_vec()),
        Owned::Null,
        Owned::Integer(1),
    ];
    assert_eq!(tried.rows("SELECT i, r, big, t, b, n, u FROM d"), [wanted]);
    assert_eq!(tried.fails(&USUAL, "INSERT INTO d (u) VALUES (1)", &[]), ErrorKind::Conflict);
    // A key of two columns, neither of which may be NULL.
    let key = Column { primary_key: true, ..PLAIN };
    let both = [Column { name: "a", ..key }, Column { name: "b", kind: ColumnKind::Text, ..key }];
    create(&tried, &USUAL, "pairs", &both).expect("it can be made");
    tried.ok("INSERT INTO pairs (a, b) VALUES (1, 'x'), (1, 'y'), (2, 'x')", &[]);
    for values in ["(1, 'x')", "(NULL, 'z')", "(3, NULL)"] {
        let sql = format!("INSERT INTO pairs (a, b) VALUES {values}");
        assert_eq!(tried.fails(&USUAL, &sql, &[]), ErrorKind::Conflict, "{values}");
    }
    let one = [Column { name: "k", kind: ColumnKind::Text, primary_key: true, ..PLAIN }];
    create(&tried, &USUAL, "texts", &one).expect("it can be made");
    assert_eq!(tried.fails(&USUAL, "INSERT INTO texts (k) VALUES (NULL)", &[]), ErrorKind::Conflict);
}

pub(crate) fn numbers_that_the_database_gives_grow_and_are_never_given_again<B: Bed>() {
    let tried = Tried::<B>::one();
    let columns = [NUMBERED, Column { name: "n", ..PLAIN }];
    create(&tried, &USUAL, "t", &columns).expect("it can be made");
    let add = || tried.integers("INSERT INTO t (n) VALUES (0) RETURNING id")[0];
    let (first, second) = (add(), add());
    assert!(0 < first && first < second);
    tried.ok("DELETE FROM t", &[]);
    let third = add();
    assert!(third > second, "{third} was given before");
    let tried = tried.restart();
    let fourth = tried.integers("INSERT INTO t (n) VALUES (0) RETURNING id")[0];
    assert!(fourth > third);
}

pub(crate) fn a_table_is_part_of_the_transaction_that_creates_it<B: Bed>() {
    let tried = Tried::<B>::one();
    let open = tried.begin();
    let how = How::within(&open);
    assert!(create(&tried, &how, "t", &[PLAIN]).expect("it can be made"));
    assert!(!create(&tried, &how, "t", &[PLAIN]).expect("it is looked for"));
    tried.run(&how, "INSERT INTO t (k) VALUES (1)", &[]).expect("it is there");
    assert_eq!(tried.fails(&USUAL, "SELECT k FROM t", &[]), ErrorKind::InvalidArgument);
    open.rollback();
    assert_eq!(tried.fails(&USUAL, "SELECT k FROM t", &[]), ErrorKind::InvalidArgument);
    let look = tried.look();
    let refused = create(&tried, &How::within(&look), "t", &[PLAIN]).expect_err("it only reads");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}

pub(crate) fn a_database_tells_how_large_it_is<B: Bed>() {
    let tried = Tried::<B>::table();
    let how = How { limit_bytes: Some(8 << 20), ..USUAL };
    let size = || tried.database.size(&tried.asks(&how)).expect("it can be read");
    let before = size();
    assert!(before.bytes > 0 && before.free_bytes <= before.bytes);
    assert_eq!(before.limit_bytes, 8 << 20);
    tried.run(&how, "CREATE TABLE large (b TEXT)", &[]).expect("there is none");
    tried
        .run(&how, "INSERT INTO large (b) VALUES ($1)", &[Value::Text(&noise(1 << 20))])
        .expect("there is room");
    assert!(size().bytes >= before.bytes + (1 << 20), "{:?} after {before:?}", size());
}

/// Text that no back end makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b' ' + (state >> 32) as u8 % 95
    };
    (0..bytes).map(|_| next()).collect()
}

pub(crate) fn database_8_a_database_does_not_grow_past_its_quota<B: Bed>() {
    let tried = Tried::<B>::table();
    let how = How { limit_bytes: Some(1 << 20), ..USUAL };
    tried.run(&how, "CREATE TABLE large (k INTEGER PRIMARY KEY, b TEXT)", &[]).expect("there is none");
    let noise = noise(32 << 10);
    let add = |how: &How<'_>, key| {
        tried.run(
            how,
            "INSERT INTO large (k, b) VALUES ($1, $2)",
            &[Value::Integer(key), Value::Text(&noise)],
        )
    };
    let full = (0..64).find_map(|key| add(&how, key).err().map(|fault| (key, fault)));
    let (taken, fault) = full.expect("2 MiB are more than 1 MiB");
    assert_eq!(fault.kind(), ErrorKind::Quota);
    assert!(taken > 8, "only {taken} rows had room");
    let count = |how: &How<'_>| tried.integers_in(how, "SELECT count(*) FROM large");
    assert_eq!(count(&how), [taken], "what was refused left nothing");
    // A transaction that was refused something is as it was, or gone, and never half of it.
    let open = tried.database.begin(&tried.asks(&how), None, false, None).expect("nobody writes");
    let within = How { within: Some(&open), ..how };
    tried.run(&within, "DELETE FROM large WHERE k = 0", &[]).expect("that needs no room");
    let refused = (100..110).find_map(|key| add(&within, key).err()).expect("there is room for one at most");
    assert_eq!(refused.kind(), ErrorKind::Quota);
    open.rollback();
    assert_eq!(count(&how), [taken]);
    // Room is made by removing rows, and by a larger quota.
    tried.run(&how, "DELETE FROM large WHERE k < 4", &[]).expect("that needs no room");
    add(&how, 200).expect("there is room again");
    let more = How { limit_bytes: Some(4 << 20), ..USUAL };
    for key in 300..340 {
        add(&more, key).expect("there is more room");
    }
    // Above the quota what is there can be read and removed.
    assert_eq!(add(&how, 400).expect_err("it has more than it may").kind(), ErrorKind::Quota);
    assert_eq!(count(&how), [taken - 4 + 1 + 40]);
    tried.run(&how, "DELETE FROM large", &[]).expect("that needs no room");
}
