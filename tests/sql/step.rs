//! One thing that both sides are asked to do.

pub(crate) use rusqlite::types::Value;

/// Through which function of the table. The numbers are those of `courier.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum How {
    Query,
    QueryOne,
    Execute,
    Script,
    Begin,
    Commit,
    Rollback,
}

/// What a statement does to the data: what its `changed` and `last_insert_id` must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Read,
    Insert,
    /// UPDATE or DELETE.
    Change,
    /// It changes the schema.
    Define,
}

/// What the plugin's side must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    /// What SQLite answers.
    Same,
    /// This status, whatever SQLite would do: our lists say so.
    Status(i32),
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) how: How,
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
    pub(crate) does: Does,
    pub(crate) expects: Expects,
}

impl Step {
    pub(crate) fn new(does: Does, sql: String) -> Self {
        Self { how: How::Query, sql, values: Vec::new(), does, expects: Expects::Same }
    }

    pub(crate) fn transaction(how: How) -> Self {
        Self { how, ..Self::new(Does::Read, String::new()) }
    }
}

/// A name as SQL takes every name.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A value as SQL writes it; none: it can only be bound.
pub(crate) fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "NULL".into(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".into(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) if real.is_nan() => return None,
        Value::Real(real) if real.is_infinite() => if *real > 0.0 { "9e999" } else { "-9e999" }.into(),
        Value::Real(real) => format!("{real:e}"),
        Value::Text(text) if text.contains('\0') => return None,
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(blob) => {
            format!("x'{}'", blob.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    })
}
