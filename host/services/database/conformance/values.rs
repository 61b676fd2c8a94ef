//! Values: what is bound comes back as it was, in its kind, and never becomes SQL.

use super::{
    super::{Column, ColumnKind, Value},
    Bed, Kept, LARGEST, Owned, Tried, USUAL,
};
use crate::error::ErrorKind;

/// A table with a column of each kind.
fn all_kinds<B: Bed>() -> Tried<B> {
    let tried = Tried::<B>::one();
    let column = |name, kind| Column {
        name,
        kind,
        not_null: false,
        unique: false,
        primary_key: false,
        auto_number: false,
        default: None,
    };
    let columns = [
        column("i", ColumnKind::Integer),
        column("r", ColumnKind::Real),
        column("t", ColumnKind::Text),
        column("b", ColumnKind::Blob),
    ];
    let created = tried.database.create_table(&tried.asks(&USUAL), None, "v", &columns);
    assert!(created.expect("it can be made"), "there was none");
    tried
}

/// What comes back of a value that was stored, and of one that is compared where it lies.
#[track_caller]
fn there_and_back<B: Bed>(tried: &Tried<B>, column: &str, value: Value<'_>) -> Owned {
    tried.ok("DELETE FROM v", &[]);
    tried.ok(&format!("INSERT INTO v ({column}) VALUES ($1)"), &[value]);
    let found = tried.rows_in(&USUAL, &format!("SELECT {column} FROM v WHERE {column} = $1"), &[value]);
    let all = tried.rows(&format!("SELECT {column} FROM v"));
    assert_eq!(all.len(), 1);
    assert!(value == Value::Null || found == all, "{value:?} is not what it was stored as");
    all[0][0].clone()
}

pub(crate) fn database_2_integers_come_back_as_they_were<B: Bed>() {
    let tried = all_kinds::<B>();
    let half = i64::from(i32::MAX);
    for integer in [0, 1, -1, half, half + 1, -half - 2, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN] {
        assert_eq!(there_and_back(&tried, "i", Value::Integer(integer)), Owned::Integer(integer));
    }
}

pub(crate) fn database_2_reals_come_back_bit_for_bit<B: Bed>() {
    let tried = all_kinds::<B>();
    let smallest = f64::from_bits(1);
    let inexact = 0.1 + 0.2;
    for real in [
        0.0,
        1.0,
        -1.5,
        inexact,
        1e300,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        smallest,
        -smallest,
        f64::EPSILON,
        9_007_199_254_740_993.0,
        1e18,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let Owned::Real(back) = there_and_back(&tried, "r", Value::Real(real)) else {
            panic!("{real:?} is no REAL any more")
        };
        assert_eq!(back.to_bits(), real.to_bits(), "{real:?} came back as {back:?}");
    }
    // Whether a zero keeps its sign is the database's business.
    assert_eq!(there_and_back(&tried, "r", Value::Real(-0.0)), Owned::Real(0.0));
    // SQL has none.
    assert_eq!(there_and_back(&tried, "r", Value::Null), Owned::Null);
    tried.ok("DELETE FROM v", &[]);
    tried.ok("INSERT INTO v (r) VALUES ($1)", &[Value::Real(f64::NAN)]);
    assert_eq!(tried.rows("SELECT r FROM v"), [[Owned::Null]]);
}

pub(crate) fn database_2_texts_come_back_in_any_script<B: Bed>() {
    let tried = all_kinds::<B>();
    let long = "ß".repeat(1 << 19);
    for text in [
        "",
        " ",
        "'",
        "\"; DROP TABLE v; --",
        "$1 ?1 :a @b",
        "grün",
        "gru\u{308}n",
        "Ελληνικά",
        "русский",
        "עברית العربية",
        "हिन्दी ไทย",
        "中文 日本語 한국어",
        "👩‍👩‍👧‍👦 \u{10ffff}",
        "\u{1}\t\r\n\u{7f}\u{85}",
        "\u{feff}bom",
        "123",
        "1e5",
        "NULL",
        "true",
        "2026-01-01 00:00:00+00",
        "\\x00 \\n \\'",
        &long,
    ] {
        let back = there_and_back(&tried, "t", Value::Text(text.as_bytes()));
        assert!(back == Owned::Text(text.into()), "{:?}", text.chars().take(40).collect::<String>());
    }
    assert_eq!(there_and_back(&tried, "t", Value::Null), Owned::Null, "it is not the empty text");
}

pub(crate) fn database_2_blobs_come_back_byte_for_byte<B: Bed>() {
    let tried = all_kinds::<B>();
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for blob in [&b""[..], b"\0", b"\0\0a\0", b"text", b"\xff\xfe", b"\\x41", &all, &large] {
        let back = there_and_back(&tried, "b", Value::Blob(blob));
        assert!(back == Owned::Blob(blob.to_vec()), "{} bytes", blob.len());
    }
    assert_eq!(there_and_back(&tried, "b", Value::Null), Owned::Null, "it is not the empty blob");
}

pub(crate) fn database_2_null_is_null_in_every_kind<B: Bed>() {
    let tried = all_kinds::<B>();
    let null = Value::Null;
    tried.ok("INSERT INTO v (i, r, t, b) VALUES ($1, $2, $3, $4)", &[null; 4]);
    assert_eq!(tried.rows("SELECT i, r, t, b FROM v"), [vec![Owned::Null; 4]]);
    assert_eq!(tried.integers("SELECT count(*) FROM v WHERE i IS NULL AND b IS NULL"), [1]);
    assert_eq!(tried.integers("SELECT count(i) FROM v"), [0]);
}

pub(crate) fn database_2_a_query_names_its_columns_once_also_without_a_row<B: Bed>() {
    let tried = all_kinds::<B>();
    for rows in 0..3 {
        let mut kept = Kept::default();
        let done = tried.run_for(&USUAL, "SELECT i, t AS name, b AS i FROM v", &[], &mut kept);
        assert_eq!(done.expect("it reads").rows, rows);
        assert_eq!(kept.names, ["i", "name", "i"]);
        tried.ok("INSERT INTO v (i) VALUES (1)", &[]);
    }
}

pub(crate) fn database_4_a_value_is_never_part_of_the_text<B: Bed>() {
    let tried = all_kinds::<B>();
    tried.ok("INSERT INTO v (i, t) VALUES (1, 'one')", &[]);
    let attack = Value::Text(b"one' OR '1' = '1");
    assert!(tried.rows_in(&USUAL, "SELECT i FROM v WHERE t = $1", &[attack]).is_empty());
    // A placeholder may stand there twice, and need not stand in their order.
    let values = [Value::Integer(1), Value::Text(b"one")];
    let sql = "SELECT t FROM v WHERE t = $2 AND i = $1 AND (i = $1 OR t = $2)";
    assert_eq!(tried.rows_in(&USUAL, sql, &values), [[Owned::Text("one".into())]]);
    // In a text and in a comment it is none.
    let sql = "SELECT t FROM v WHERE t <> '$3' AND i = $1 /* $2 */";
    assert_eq!(tried.rows_in(&USUAL, sql, &values[..1]).len(), 1);
}

pub(crate) fn database_4_there_are_as_many_values_as_placeholders<B: Bed>() {
    let tried = all_kinds::<B>();
    let values = [Value::Integer(1); 4];
    let cases = [
        ("INSERT INTO v (i) VALUES (1)", 0),
        ("INSERT INTO v (i) VALUES ($1)", 1),
        ("INSERT INTO v (i, r) VALUES ($1, 2.5)", 1),
        ("SELECT i FROM v WHERE i IN ($1, $2, $3)", 3),
    ];
    for (sql, wanted) in cases {
        for given in 0..=4 {
            let done = tried.run(&USUAL, sql, &values[..given]);
            match done {
                Ok(_) => assert_eq!(given, wanted, "{sql}"),
                Err(fault) => {
                    assert!(given != wanted, "{sql}: {fault:?}");
                    assert_eq!(fault.kind(), ErrorKind::InvalidArgument, "{sql} with {given}");
                }
            }
        }
    }
    assert_eq!(tried.integers("SELECT count(*) FROM v"), [3], "those that were refused did nothing");
}

pub(crate) fn what_a_column_does_not_store_is_the_wrong_type<B: Bed>() {
    let tried = all_kinds::<B>();
    for (column, value) in [
        ("i", Value::Text(b"abc")),
        ("i", Value::Real(1.5)),
        ("i", Value::Blob(b"1")),
        ("r", Value::Text(b"abc")),
        ("r", Value::Blob(b"1")),
        ("t", Value::Blob(b"abc")),
        ("b", Value::Text(b"abc")),
        ("b", Value::Integer(1)),
    ] {
        let kind = tried.fails(&USUAL, &format!("INSERT INTO v ({column}) VALUES ($1)"), &[value]);
        assert_eq!(kind, ErrorKind::WrongType, "{value:?} in {column}");
    }
    assert_eq!(tried.integers("SELECT count(*) FROM v"), [0]);
}

pub(crate) fn what_is_too_large_is_refused_and_nothing_is_changed<B: Bed>() {
    let tried = all_kinds::<B>();
    let large = vec![b'x'; LARGEST + 1];
    for (column, value) in [("b", Value::Blob(&large)), ("t", Value::Text(&large))] {
        let kind = tried.fails(&USUAL, &format!("INSERT INTO v ({column}) VALUES ($1)"), &[value]);
        assert_eq!(kind, ErrorKind::TooLarge, "{column}");
    }
    let long = format!("INSERT INTO v (i) VALUES (1) /* {} */", "x".repeat(LARGEST));
    assert_eq!(tried.fails(&USUAL, &long, &[]), ErrorKind::TooLarge);
    assert_eq!(tried.script(&USUAL, &long).map_err(|fault| fault.kind()), Err(ErrorKind::TooLarge));
    assert_eq!(tried.integers("SELECT count(*) FROM v"), [0]);
    there_and_back(&tried, "b", Value::Blob(&large[..LARGEST - 1_000]));
}
