//! What the mirror can be told to do with SQL. Values are JSON; a blob is `{ "blob": "text" }`. What is done in a transaction is a
//! list of its own: `["sql.tx", { "end": "commit" }, ["execute", "…"], ["outside", "query", "…"]]`.

use std::time::Duration;

use pintle_plugin::{
    Context, Error, MigrateOptions, Migration, Result, Row, Sql, SqlColumn, SqlDone, SqlOptions, SqlValue,
    Status, ToSql, Transaction, TransactionOptions, serde_json::Value,
};

use super::operations::{Words, bytes, shown};

pub(crate) fn sql(cx: &Context, name: &str, words: &Words<'_>) -> String {
    let db = cx.database();
    match name {
        "stats" => match db.stats() {
            Ok(stats) => format!("ok {} of {}", stats.transactions, stats.limit_bytes),
            Err(error) => failed(&error),
        },
        "migrate" | "dry_run" => {
            let steps = words.0.iter().map(|step| {
                let part = |at: usize| step[at].as_str().unwrap_or_default();
                Migration::new(step[0].as_u64().unwrap_or(0) as u32, part(1), part(2))
            });
            let options = MigrateOptions::new();
            let options = if name == "dry_run" { options.dry_run() } else { options };
            let done = db.migrate_with(&steps.collect::<Vec<_>>(), &options);
            let (came, done) = match done {
                Ok(done) => ("ok".to_owned(), done),
                Err(error) => (format!("{:?}", error.status()), error.migrated()),
            };
            format!("{came} {} {} {}", done.applied, done.pending, done.current)
        }
        "tx" => match db.begin_with(&begun(words)) {
            Ok(mut tx) => {
                let told = within(cx, &mut tx, words);
                end(tx, words, told)
            }
            Err(error) => failed(&error),
        },
        _ => on(&db, name, words),
    }
}

fn begun(words: &Words<'_>) -> TransactionOptions {
    let (mut options, said) = (TransactionOptions::new(), &words.0[0]);
    if said["read_only"] == true {
        options = options.read_only();
    }
    if let Some(wait) = said["wait"].as_u64() {
        options = options.wait(Duration::from_millis(wait));
    }
    if let Some(timeout) = said["timeout"].as_u64() {
        options = options.timeout(Duration::from_millis(timeout));
    }
    options
}

/// Does a list in a transaction.
fn within(cx: &Context, tx: &mut Transaction<'_>, words: &Words<'_>) -> Vec<String> {
    let mut told = Vec::new();
    for operation in &words.0[1..] {
        let Some([Value::String(name), rest @ ..]) = operation.as_array().map(Vec::as_slice) else {
            return vec!["no operation".into()];
        };
        let words = Words(rest);
        told.push(match (name.as_str(), rest) {
            ("outside", [Value::String(name), rest @ ..]) => sql(cx, name, &Words(rest)),
            ("nested", _) => match tx.nested() {
                Ok(mut nested) => {
                    let told = within(cx, &mut nested, &words);
                    end(nested, &words, told)
                }
                Err(error) => failed(&error),
            },
            ("nested_all", _) => deeper(tx, 0),
            _ => on(tx, name, &words),
        });
    }
    told
}

fn deeper(tx: &mut Transaction<'_>, depth: usize) -> String {
    match tx.nested() {
        Ok(mut nested) => deeper(&mut nested, depth + 1),
        Err(error) => format!("{} after {depth}", failed(&error)),
    }
}

/// Ends a transaction as it was said; `leave`: the end of the handler has to.
fn end(tx: Transaction<'_>, words: &Words<'_>, told: Vec<String>) -> String {
    let ended = match words.0[0]["end"].as_str().unwrap_or("drop") {
        "commit" => shown(tx.commit()),
        "rollback" => shown(tx.rollback()),
        "leave" => {
            std::mem::forget(tx);
            "left".into()
        }
        _ => {
            drop(tx);
            "dropped".into()
        }
    };
    format!("[{}] {ended}", told.join(" | "))
}

/// What can be done by itself and in a transaction.
fn on(sql: &Sql<'_>, name: &str, words: &Words<'_>) -> String {
    let text = words.text(0);
    let behind = |from: usize| words.0.iter().skip(from).map(value).collect::<Vec<_>>();
    match name {
        "execute" => told(&text, sql.execute(&text, &lent(&behind(1)))),
        "script" => told("", sql.script(&text)),
        "query" => {
            let mut rows = Vec::new();
            let done = sql.query(&text, &lent(&behind(1)), |row| {
                rows.push(shown_row(row)?);
                Ok(())
            });
            // Those that came before a failure count too.
            format!("{} {}", told(&text, done), rows.join(" "))
        }
        "count" => told(&text, sql.query(&text, &lent(&behind(1)), |_| Ok(()))),
        "one" => match sql.query_one(&text, &lent(&behind(1)), shown_row) {
            Ok(row) => format!("ok {row}"),
            Err(error) => failed(&error),
        },
        "optional" => match sql.query_optional(&text, &lent(&behind(1)), shown_row) {
            Ok(row) => format!("ok {row:?}"),
            Err(error) => failed(&error),
        },
        // Takes so many rows and refuses the next.
        "refuse" => {
            let (most, mut seen) = (words.unsigned(1), 0);
            let done = sql.query(&text, &lent(&behind(2)), |_| {
                if seen == most {
                    return Err(Error::new(Status::Stopping, "enough"));
                }
                seen += 1;
                Ok(())
            });
            format!("{} after {seen}", told(&text, done))
        }
        "table" => {
            let names: Vec<String> =
                words.0[1..].iter().map(|column| Words(std::slice::from_ref(&column[0])).text(0)).collect();
            let columns = words.0[1..].iter().zip(&names);
            let columns: Vec<_> = columns.map(|(column, name)| described(column, name)).collect();
            match sql.create_table(&text, &columns) {
                Ok(made) => format!("ok {made}"),
                Err(error) => failed(&error),
            }
        }
        "with" => {
            let (mut options, said) = (SqlOptions::new(), &words.0[0]);
            if let Some(timeout) = said["timeout"].as_u64() {
                options = options.timeout(Duration::from_millis(timeout));
            }
            if let Some(rows) = said["max_rows"].as_u64() {
                options = options.max_rows(rows);
            }
            on(&sql.with(options), &words.text(1), &Words(&words.0[2..]))
        }
        _ => "no operation".into(),
    }
}

/// `[name, kind, what it is…, default]`.
fn described<'a>(column: &'a Value, name: &'a str) -> SqlColumn<'a> {
    let mut described = match column[1].as_str() {
        Some("integer") => SqlColumn::integer(name),
        Some("real") => SqlColumn::real(name),
        Some("text") => SqlColumn::text(name),
        _ => SqlColumn::blob(name),
    };
    for word in column.as_array().into_iter().flatten().skip(2) {
        described = match word.as_str() {
            Some("not null") => described.not_null(),
            Some("unique") => described.unique(),
            Some("key") => described.primary_key(),
            Some("number") => described.auto_number(),
            _ => described.default(value(&word["default"])),
        };
    }
    described
}

fn value(word: &Value) -> SqlValue<'static> {
    match word {
        Value::Null => SqlValue::Null,
        Value::Bool(yes) => SqlValue::from(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => SqlValue::Integer(integer),
            None => SqlValue::Real(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Object(object) => SqlValue::Blob(Words(&[object["blob"].clone()]).text(0).into_bytes().into()),
        word => SqlValue::Text(Words(std::slice::from_ref(word)).text(0).into()),
    }
}

fn lent<'a>(values: &'a [SqlValue<'static>]) -> Vec<&'a dyn ToSql> {
    values.iter().map(|value| value as &dyn ToSql).collect()
}

fn shown_row(row: &Row<'_>) -> Result<String> {
    let mut shown = Vec::new();
    for (at, name) in row.columns().enumerate() {
        let value = match row.get(at)? {
            SqlValue::Text(text) => format!("'{}'", bytes(text.as_bytes())),
            SqlValue::Blob(blob) => format!("x'{}'", bytes(&blob)),
            other => format!("{other:?}"),
        };
        shown.push(format!("{name}={value}"));
    }
    Ok(format!("({})", shown.join(", ")))
}

fn told(text: &str, done: Result<SqlDone>) -> String {
    match done {
        Ok(done) => {
            let id = match done.last_insert_id {
                _ if !text.starts_with("INSERT") => String::new(),
                // SQLite makes one up where the largest is taken.
                1_000_000.. => "large".into(),
                id => id.to_string(),
            };
            // SQLite counts for other statements too.
            let counts = ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|word| text.starts_with(word));
            let changed = if counts { done.changed.to_string() } else { String::new() };
            format!("ok changed {changed} id {id} rows {}", done.rows)
        }
        Err(error) => failed(&error),
    }
}

/// With what the database says of it, which is the same in both hosts, unless a host has said no before it.
fn failed(error: &Error) -> String {
    if matches!(error.status(), Status::Denied | Status::TooLarge) {
        return format!("{:?}", error.status());
    }
    format!("{:?} {:?} at {:?}", error.status(), error.sql_code(), error.sql_offset())
}
