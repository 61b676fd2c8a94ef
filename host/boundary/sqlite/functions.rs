//! Functions of SQL whose time is not in proportion to what they are given, with a bound: nothing stops a statement inside of one
//! function. These mean exactly the same as SQLite's own, so that they may stand in an index that another tool reads.
//!
//! `instr` and `replace` take linear time. SQLite's own compare the needle at each place of the text: on one mebibyte that is more
//! than ten seconds. `json_patch` and `jsonb_patch` are SQLite's own, and refuse what would take long: for each member of the patch
//! SQLite looks through the whole target and moves what lies behind it. Two objects of one mebibyte took more than 100 s.

use std::{
    ffi::{CStr, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
};

use rusqlite::{Connection, ffi};

/// Needles up to this length are compared at each place, which needs no table.
const SHORT: usize = 32;

/// The most that a patch may be asked to do: its members, times the bytes that each may have to be looked for in. Takes about a second.
const MOST_PATCHING: usize = 500_000_000;

/// What SQLite marks a text with that is JSON, so that it is not quoted where it becomes part of another.
const JSON: u32 = b'J' as u32;

/// What SQLite calls a function of SQL by.
type Function = unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);

/// Puts them in the place of SQLite's own.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let usual = ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS;
    let functions: [(_, c_int, c_int, Function); 4] = [
        (c"instr", 2, usual, instr),
        (c"replace", 3, usual, replace),
        (c"json_patch", 2, usual | ffi::SQLITE_RESULT_SUBTYPE, json_patch),
        (c"jsonb_patch", 2, usual, jsonb_patch),
    ];
    for (name, arguments, flags, function) in functions {
        // SAFETY: the connection is open, the name ends with NUL, and the functions take what SQLite gives them.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                connection.handle(),
                name.as_ptr(),
                arguments,
                flags,
                ptr::null_mut(),
                Some(function),
                None,
                None,
                None,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        }
    }
    Ok(())
}

unsafe extern "C" fn instr(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite gives two arguments, which live until this returns.
    let (haystack, needle) = unsafe { (*arguments, *arguments.add(1)) };
    // SAFETY: as above.
    let (one, other) = unsafe { (ffi::sqlite3_value_type(haystack), ffi::sqlite3_value_type(needle)) };
    if one == ffi::SQLITE_NULL || other == ffi::SQLITE_NULL {
        return;
    }
    let is_text = one != ffi::SQLITE_BLOB || other != ffi::SQLITE_BLOB;
    // SAFETY: as above; neither is asked for in another form before its bytes are forgotten.
    let found = unsafe {
        let bytes =
            |value, kind| if kind == ffi::SQLITE_BLOB { Some(blob_of(value)) } else { text_of(value) };
        match (bytes(haystack, one), bytes(needle, other)) {
            (Some(haystack), Some(needle)) => {
                catch_unwind(AssertUnwindSafe(|| place(haystack, needle, is_text))).ok()
            }
            _ => None,
        }
    };
    match found {
        // SAFETY: the context is good until this returns.
        Some(found) => unsafe { ffi::sqlite3_result_int64(context, found as i64) },
        // SAFETY: as above.
        None => unsafe { ffi::sqlite3_result_error_nomem(context) },
    }
}

unsafe extern "C" fn replace(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite gives three arguments, which live until this returns. None is asked for in another form.
    let (text, needle, by) =
        unsafe { (text_of(*arguments), text_of(*arguments.add(1)), text_of(*arguments.add(2))) };
    let (Some(text), Some(needle)) = (text, needle) else { return };
    let most = {
        // SAFETY: the connection of a context is open; a negative limit only asks.
        let most = unsafe {
            ffi::sqlite3_limit(ffi::sqlite3_context_db_handle(context), ffi::SQLITE_LIMIT_LENGTH, -1)
        };
        most.max(0) as usize
    };
    let replaced = match (needle.first(), by) {
        (None | Some(0), _) => Ok(Some(text.to_vec())),
        (_, None) => return,
        (_, Some(by)) => catch_unwind(AssertUnwindSafe(|| replaced(text, needle, by, most))),
    };
    // SAFETY: the context is good until this returns, and SQLite copies the text.
    unsafe {
        match replaced {
            Ok(Some(text)) => ffi::sqlite3_result_text64(
                context,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                ffi::SQLITE_UTF8 as u8,
            ),
            Ok(None) => ffi::sqlite3_result_error_toobig(context),
            Err(_) => ffi::sqlite3_result_error_nomem(context),
        }
    }
}

unsafe extern "C" fn json_patch(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite gives two arguments, which live until this returns.
    unsafe { patch(context, arguments, c"SELECT json_patch(?1, ?2)") };
}

unsafe extern "C" fn jsonb_patch(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: as in `json_patch`.
    unsafe { patch(context, arguments, c"SELECT jsonb_patch(?1, ?2)") };
}

/// # Safety
/// As for a function of two arguments.
unsafe fn patch(
    context: *mut ffi::sqlite3_context,
    arguments: *mut *mut ffi::sqlite3_value,
    by: &'static CStr,
) {
    // SAFETY: the caller vouches for it. Neither is asked for in another form before its bytes are forgotten.
    let (target, change) = unsafe { (*arguments, *arguments.add(1)) };
    // SAFETY: as above.
    let work = unsafe {
        let bytes = |value| {
            let is_blob = ffi::sqlite3_value_type(value) == ffi::SQLITE_BLOB;
            let bytes = if is_blob { Some(blob_of(value)) } else { text_of(value) };
            bytes.map(|bytes| (bytes, is_blob))
        };
        match (bytes(target), bytes(change)) {
            (Some((target, _)), Some((change, is_blob))) => {
                (target.len() + change.len()).saturating_mul(most_members(change, is_blob))
            }
            _ => 0,
        }
    };
    // SAFETY: the context is good until this returns, SQLite copies the text, and the arguments live as long.
    unsafe {
        if work > MOST_PATCHING {
            let text =
                c"json_patch: so large a patch of so large a value would take too long: patch less at once";
            ffi::sqlite3_result_error(context, text.as_ptr(), -1);
            ffi::sqlite3_result_error_code(context, ffi::SQLITE_TOOBIG);
            return;
        }
        let code = by_sqlite(context, target, change, by);
        if code != ffi::SQLITE_OK {
            ffi::sqlite3_result_error_code(context, code);
        }
    }
}

/// Gives the context what SQLite's own function answers, on a connection of its own: this one no longer has it.
///
/// # Safety
/// The context and the values are good until this returns.
unsafe fn by_sqlite(
    context: *mut ffi::sqlite3_context,
    target: *mut ffi::sqlite3_value,
    change: *mut ffi::sqlite3_value,
    sql: &'static CStr,
) -> c_int {
    let Ok(plain) = Connection::open_in_memory() else { return ffi::SQLITE_NOMEM };
    let mut statement = ptr::null_mut();
    // SAFETY: the connection is open and is closed after the statement is; what SQLite gives is used before that.
    unsafe {
        let most = ffi::sqlite3_limit(ffi::sqlite3_context_db_handle(context), ffi::SQLITE_LIMIT_LENGTH, -1);
        ffi::sqlite3_limit(plain.handle(), ffi::SQLITE_LIMIT_LENGTH, most);
        let mut code =
            ffi::sqlite3_prepare_v2(plain.handle(), sql.as_ptr(), -1, &raw mut statement, ptr::null_mut());
        for (at, value) in [(1, target), (2, change)] {
            if code == ffi::SQLITE_OK {
                code = ffi::sqlite3_bind_value(statement, at, value);
            }
        }
        if code == ffi::SQLITE_OK {
            code = match ffi::sqlite3_step(statement) {
                ffi::SQLITE_ROW => {
                    let answer = ffi::sqlite3_column_value(statement, 0);
                    ffi::sqlite3_result_value(context, answer);
                    if ffi::sqlite3_column_type(statement, 0) == ffi::SQLITE_TEXT {
                        ffi::sqlite3_result_subtype(context, JSON);
                    }
                    ffi::SQLITE_OK
                }
                failed => {
                    ffi::sqlite3_result_error(context, ffi::sqlite3_errmsg(plain.handle()), -1);
                    failed
                }
            };
        }
        ffi::sqlite3_finalize(statement);
        code
    }
}

/// No fewer than it has members, at all depths: in text each has a colon, in JSONB a byte for its name and one for its value.
fn most_members(json: &[u8], is_blob: bool) -> usize {
    if is_blob { json.len() / 2 } else { json.iter().filter(|byte| **byte == b':').count() }
}

/// None: it is NULL, or there was no memory.
///
/// # Safety
/// A value of SQLite's that lives and is not asked for in another form for as long as the bytes are used.
unsafe fn text_of<'a>(value: *mut ffi::sqlite3_value) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for it; the length is asked for after the pointer, as SQLite says.
    unsafe {
        let text = ffi::sqlite3_value_text(value);
        let len = ffi::sqlite3_value_bytes(value);
        (!text.is_null()).then(|| slice::from_raw_parts(text, len.max(0) as usize))
    }
}

/// # Safety
/// As [`text_of`].
unsafe fn blob_of<'a>(value: *mut ffi::sqlite3_value) -> &'a [u8] {
    // SAFETY: as in `text_of`.
    unsafe {
        let blob = ffi::sqlite3_value_blob(value);
        super::bytes(blob, ffi::sqlite3_value_bytes(value))
    }
}

/// Where the needle is first, from 1; 0: nowhere. Of text, characters are counted, and one does not begin within a character.
fn place(haystack: &[u8], needle: &[u8], is_text: bool) -> usize {
    let goes_on = |byte: &u8| is_text && byte & 0xc0 == 0x80;
    let found = match needle.first() {
        None => Some(0),
        // No character begins so: only the text itself may.
        Some(first) if goes_on(first) => haystack.starts_with(needle).then_some(0),
        Some(_) => Needle::new(needle).find(haystack),
    };
    found.map_or(0, |at| {
        1 + haystack.get(1..=at).map_or(0, |before| before.iter().filter(|byte| !goes_on(byte)).count())
    })
}

/// With each needle replaced; none: it would have more than `most` bytes.
fn replaced(text: &[u8], needle: &[u8], by: &[u8], most: usize) -> Option<Vec<u8>> {
    let needle = Needle::new(needle);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = needle.find(rest) {
        let (before, behind) = (&rest[..at], &rest[at + needle.bytes.len()..]);
        if out.len() + before.len() + by.len() + behind.len() > most {
            return None;
        }
        out.extend_from_slice(before);
        out.extend_from_slice(by);
        rest = behind;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// What is looked for, one byte at least (the algorithm of Knuth, Morris and Pratt, where it is long).
struct Needle<'a> {
    bytes: &'a [u8],
    /// For each beginning of it, how long the longest beginning is that it also ends with.
    table: Vec<u32>,
}

impl<'a> Needle<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut table = Vec::new();
        if bytes.len() > SHORT {
            table.reserve_exact(bytes.len());
            table.push(0);
            let mut matched = 0;
            for byte in &bytes[1..] {
                while matched > 0 && *byte != bytes[matched] {
                    matched = table[matched - 1] as usize;
                }
                matched += usize::from(*byte == bytes[matched]);
                table.push(matched as u32);
            }
        }
        Self { bytes, table }
    }

    fn find(&self, haystack: &[u8]) -> Option<usize> {
        let Self { bytes, table } = self;
        if bytes.len() <= SHORT {
            return haystack.windows(bytes.len()).position(|window| window == *bytes);
        }
        let mut matched = 0;
        for (at, byte) in haystack.iter().enumerate() {
            while matched > 0 && *byte != bytes[matched] {
                matched = table[matched - 1] as usize;
            }
            matched += usize::from(*byte == bytes[matched]);
            if matched == bytes.len() {
                return Some(at + 1 - matched);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    /// Numbers that look random, the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }

        /// A value of few bytes, so that needles are found; sometimes a long one.
        fn value(&mut self, longest: u64) -> Value {
            let len = if self.below(20) == 0 { longest * 12 } else { self.below(longest + 1) };
            let letters: [&[u8]; 7] = [b"a", b"b", b"\0", "ä".as_bytes(), "€".as_bytes(), b"\x80", b"\xc3"];
            let few = if self.below(2) == 0 { 2 } else { letters.len() as u64 };
            let bytes: Vec<u8> =
                (0..len).flat_map(|_| letters[self.below(few) as usize].iter().copied()).collect();
            match self.below(12) {
                0 => Value::Null,
                1 => Value::Integer(self.below(2_000) as i64 - 1_000),
                2 => Value::Real(self.below(100) as f64 / 8.0),
                3..=5 => Value::Blob(bytes),
                // Also text that is not UTF-8: it is bound as a blob and cast.
                _ => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
            }
        }
    }

    #[test]
    fn they_answer_what_sqlites_own_answer() {
        let (own, plain) = (Connection::open_in_memory(), Connection::open_in_memory());
        let (own, plain) = (own.expect("it opens"), plain.expect("it opens"));
        register(&own).expect("they are taken");
        let sql = "SELECT instr(?1, ?2), typeof(instr(?1, ?2)), instr(CAST(?1 AS TEXT), CAST(?2 AS TEXT)),
            replace(?1, ?2, ?3), typeof(replace(?1, ?2, ?3)),
            hex(replace(CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT)))";
        let (mut own, mut plain) =
            (own.prepare(sql).expect("it is SQL"), plain.prepare(sql).expect("it is SQL"));
        let mut dice = Dice(7);
        for round in 0..100_000 {
            let values = [dice.value(12), dice.value(3), dice.value(4)];
            let row = |statement: &mut rusqlite::Statement<'_>| {
                statement.query_row(rusqlite::params_from_iter(&values), |row| {
                    let told = |at| Ok(format!("{:?}", row.get_ref(at)?));
                    (0..6).map(told).collect::<rusqlite::Result<Vec<_>>>()
                })
            };
            let (ours, theirs) = (row(&mut own), row(&mut plain));
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "round {round}: {values:?}");
        }
    }

    #[test]
    fn a_result_that_is_too_large_is_refused_and_an_index_may_have_them() {
        let own = Connection::open_in_memory().expect("it opens");
        register(&own).expect("they are taken");
        own.execute_batch(
            "CREATE TABLE t (a, b AS (replace(a, 'x', 'y')) STORED);
             CREATE INDEX i ON t (instr(a, 'x'), replace(a, 'x', 'yy')); INSERT INTO t (a) VALUES ('axb')",
        )
        .expect("they are deterministic");
        own.set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, 1_000).expect("it can be set");
        let of = |len: usize| {
            let sql = "SELECT length(replace(?1, 'x', 'yyy'))";
            own.query_row(sql, ["x".repeat(len)], |row| row.get::<_, usize>(0))
        };
        assert_eq!(of(333).expect("it is not too large"), 999);
        let code = of(334).expect_err("too large").sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::TooBig));
    }

    #[test]
    fn json_patch_answers_what_sqlites_own_answers() {
        let (own, plain) = (Connection::open_in_memory(), Connection::open_in_memory());
        let (own, plain) = (own.expect("it opens"), plain.expect("it opens"));
        register(&own).expect("they are taken");
        for of in [
            r#"'{"a":1,"b":{"c":2}}', '{"b":{"c":null,"d":[1,2]}}'"#,
            "'{a:1}', '{b:0x10}'",
            r#"jsonb('{"a":1}'), jsonb('{"a":null,"b":"x"}')"#,
            r#"'{"a":1}', NULL"#,
            r#"NULL, '{"a":1}'"#,
            r#"NULL, 'nonsense'"#,
            r#"'{"a":1}', 'nonsense'"#,
            "'nonsense', '{}'",
            "1, 2.5",
            r#"'{"a":1}', x'ff00'"#,
            r#"'[1,2]', '{"a":{"b":null}}'"#,
        ] {
            for sql in [
                format!("SELECT json_patch({of})"),
                format!("SELECT typeof(json_patch({of})), json_array(json_patch({of}))"),
                format!("SELECT hex(jsonb_patch({of})), json_array(jsonb_patch({of}))"),
            ] {
                let row = |connection: &Connection| {
                    let mut statement = connection.prepare(&sql).expect("it is SQL");
                    let columns = statement.column_count();
                    let row = statement.query_row([], |row| {
                        (0..columns)
                            .map(|at| Ok(format!("{:?}", row.get_ref(at)?)))
                            .collect::<Result<Vec<_>, _>>()
                    });
                    row.map_err(|error| error.to_string())
                };
                assert_eq!(row(&own), row(&plain), "{sql}");
            }
        }
    }

    #[test]
    fn a_patch_that_would_take_long_is_refused() {
        let own = Connection::open_in_memory().expect("it opens");
        register(&own).expect("they are taken");
        let object = |members: usize| {
            let members: Vec<_> = (0..members).map(|at| format!("\"k{at}\":{at}")).collect();
            format!("{{{}}}", members.join(","))
        };
        for call in ["json_patch(?1, ?2)", "jsonb_patch(?1, ?2)", "json_patch(jsonb(?1), jsonb(?2))"] {
            let sql = format!("SELECT length({call})");
            let of = |target: &str, change: &str| {
                own.query_row(&sql, [target, change], |row| row.get::<_, usize>(0))
            };
            of(&object(40_000), &object(100)).expect("it is soon done");
            of(&object(1_000), &object(1_000)).expect("it is soon done");
            for (target, change) in [(60_000, 60_000), (1, 60_000)] {
                let refused = of(&object(target), &object(change)).expect_err("it would take long");
                assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::TooBig));
                assert!(refused.to_string().contains("patch less at once"), "{refused}");
            }
        }
    }

    /// Were the needle compared at each place, this would take hours.
    #[test]
    fn a_needle_of_half_the_text_costs_no_more_than_the_text() {
        let own = Connection::open_in_memory().expect("it opens");
        register(&own).expect("they are taken");
        let (text, needle) = ("a".repeat(32 << 20), "a".repeat(16 << 20) + "b");
        let found: (i64, i64) = own
            .query_row("SELECT instr(?1, ?2), length(replace(?1, ?2, 'x'))", [&text, &needle], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("it ends");
        assert_eq!(found, (0, 32 << 20));
    }
}
