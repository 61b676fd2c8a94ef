//! `create_table`: columns become SQL.

use std::collections::HashSet;

use pintle_abi::*;

use super::{
    input,
    session::{Session, Statement},
    statement::{Fault, Given},
};
use crate::{Error, Result, SqlValue, Status};

/// What the contract knows.
const FLAGS: u32 =
    PINTLE_COLUMN_NOT_NULL | PINTLE_COLUMN_UNIQUE | PINTLE_COLUMN_PRIMARY_KEY | PINTLE_COLUMN_AUTO_NUMBER;

/// A column as it was asked for.
pub(super) struct Column<'a> {
    name: &'a str,
    kind: &'static str,
    flags: u32,
    default: Option<SqlValue<'a>>,
}

/// # Safety
/// What the column leads to is readable for `'a`.
pub(super) unsafe fn column<'a>(given: &PintleSqlColumn) -> Result<Column<'a>> {
    let PintleSqlColumn { flags, .. } = *given;
    if flags & !FLAGS != 0 {
        return Err(Error::new(Status::Unsupported, format!("argument `columns`: flags {flags:#x}")));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { input::text("columns", given.name, input::MEBIBYTE) }?;
    name("columns", text)?;
    let kind = match given.kind {
        PINTLE_SQL_INTEGER => "INTEGER",
        PINTLE_SQL_REAL => "REAL",
        PINTLE_SQL_TEXT => "TEXT",
        PINTLE_SQL_BLOB => "BLOB",
        kind => return Err(input::wrong("columns", format_args!("{text:?} has the kind {kind}"))),
    };
    // SAFETY: null, or a value: the caller's promise, as for what that leads to.
    let default = unsafe { given.default_value.as_ref().map(|value| super::value(value)).transpose() }?;
    Ok(Column { name: text, kind, flags, default })
}

/// That a table or a column can be called so.
pub(super) fn name(argument: &str, name: &str) -> Result<()> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.len() > 63 || !name.chars().all(word) || !name.starts_with(|c: char| !c.is_ascii_digit()) {
        let text = format!("{name:?} is no name: 1 to 63 letters, digits and `_` of ASCII, no digit first");
        return Err(input::wrong(argument, text));
    }
    Ok(())
}

/// That the columns make a table.
pub(super) fn check(columns: &[Column<'_>]) -> Result<()> {
    let mut names = HashSet::new();
    let keys = columns.iter().filter(|column| column.flags & PINTLE_COLUMN_PRIMARY_KEY != 0).count();
    for Column { name, kind, flags, .. } in columns {
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(input::wrong("columns", format_args!("two are called {name:?}")));
        }
        let is_key = flags & PINTLE_COLUMN_PRIMARY_KEY != 0 && keys == 1 && *kind == "INTEGER";
        if flags & PINTLE_COLUMN_AUTO_NUMBER != 0 && !is_key {
            let text = format!("{name:?} numbers rows, and is no INTEGER that is the whole primary key");
            return Err(input::wrong("columns", text));
        }
    }
    Ok(())
}

/// Creates a table unless there is one; tells whether it did.
pub(super) fn create(session: &Session, table: &str, columns: &[Column<'_>]) -> Result<bool, Fault> {
    const LOOK: &str =
        "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)";
    let there: bool = session.ask(|connection| connection.query_row(LOOK, [table], |row| row.get(0)))?;
    if there {
        return Ok(false);
    }
    let sql = definition(table, columns);
    let asked = Statement { sql: &sql, values: &[], timeout_ms: i64::MAX, max_rows: 0, refusal: None };
    session.run(&asked, &mut Given::default())?;
    session.keep()?;
    Ok(true)
}

fn definition(table: &str, columns: &[Column<'_>]) -> String {
    let is = |column: &Column<'_>, flag| column.flags & flag != 0;
    let keys: Vec<_> = columns
        .iter()
        .filter(|column| is(column, PINTLE_COLUMN_PRIMARY_KEY))
        .map(|column| column.name)
        .collect();
    let mut parts: Vec<_> = columns
        .iter()
        .map(|column| {
            let Column { name, kind, .. } = column;
            let key = is(column, PINTLE_COLUMN_PRIMARY_KEY);
            let mut part = format!("\"{name}\" {kind}");
            if key && keys.len() == 1 {
                part += " PRIMARY KEY";
            }
            if is(column, PINTLE_COLUMN_AUTO_NUMBER) {
                part += " AUTOINCREMENT";
            }
            if key || is(column, PINTLE_COLUMN_NOT_NULL) {
                part += " NOT NULL";
            }
            if is(column, PINTLE_COLUMN_UNIQUE) {
                part += " UNIQUE";
            }
            if let Some(value) = &column.default {
                part += &format!(" DEFAULT ({})", literal(value));
            }
            part
        })
        .collect();
    if keys.len() > 1 {
        parts.push(format!("PRIMARY KEY (\"{}\")", keys.join("\", \"")));
    }
    format!("CREATE TABLE \"{table}\" ({}) STRICT", parts.join(", "))
}

/// A value as SQL writes it.
fn literal(value: &SqlValue<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        SqlValue::Null => "NULL".into(),
        // The digits alone would be read as a number that is one too large, and then negated.
        SqlValue::Integer(i64::MIN) => format!("{} - 1", i64::MIN + 1),
        SqlValue::Integer(integer) => integer.to_string(),
        SqlValue::Real(real) if real.is_nan() => "NULL".into(),
        SqlValue::Real(real) if real.is_infinite() => format!("{}9e999", if *real < 0.0 { "-" } else { "" }),
        SqlValue::Real(real) => format!("{real:e}"),
        SqlValue::Text(text) => format!("CAST(x'{}' AS TEXT)", hex(text.as_bytes())),
        SqlValue::Blob(blob) => format!("x'{}'", hex(blob)),
    }
}
