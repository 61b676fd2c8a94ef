//! One state of a plugin's config, and how values are read from it.

use std::{fmt, sync::Arc};

use serde_json::Value;

use super::{pointer, schema::Schema};
use crate::{Error, ErrorKind, Result};

/// One state of a plugin's config: it never changes, so whoever reads several values from it reads values that
/// belong together. Its `Debug` and `Display` hide secrets; the functions that read do not.
pub(crate) struct Snapshot {
    pub(super) plugin: Arc<str>,
    pub(super) value: Value,
    pub(super) revision: u64,
    pub(super) schema: Arc<Schema>,
}

impl Snapshot {
    /// Counts the changes: 1 for what was installed.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The value as JSON text.
    pub(crate) fn json(&self, pointer: &str) -> Result<String> {
        self.find(pointer).map(Value::to_string)
    }

    /// A string, without quotes and escapes.
    pub(crate) fn text(&self, pointer: &str) -> Result<&str> {
        let value = self.find(pointer)?;
        value.as_str().ok_or_else(|| self.wrong_type(pointer, value, "a string"))
    }

    /// An integer; a number with a zero fraction is one.
    pub(crate) fn integer(&self, pointer: &str) -> Result<i64> {
        /// 2^63 can be written as an f64, 2^63 - 1 cannot.
        const END: f64 = 9_223_372_036_854_775_808.0;
        let value = self.find(pointer)?;
        if let Some(integer) = value.as_i64() {
            return Ok(integer);
        }
        match value.as_f64() {
            Some(number) if number.fract() != 0.0 => Err(self.wrong_type(pointer, value, "an integer")),
            Some(number) if !value.is_u64() && (-END..END).contains(&number) => Ok(number as i64),
            Some(_) => {
                Err(self.error(ErrorKind::OutOfRange, pointer, "does not fit into 64 bits with a sign"))
            }
            None => Err(self.wrong_type(pointer, value, "an integer")),
        }
    }

    /// A number; integers are converted.
    pub(crate) fn number(&self, pointer: &str) -> Result<f64> {
        let value = self.find(pointer)?;
        value.as_f64().ok_or_else(|| self.wrong_type(pointer, value, "a number"))
    }

    /// A boolean.
    pub(crate) fn boolean(&self, pointer: &str) -> Result<bool> {
        let value = self.find(pointer)?;
        value.as_bool().ok_or_else(|| self.wrong_type(pointer, value, "a boolean"))
    }

    /// The whole with `"***"` in place of secrets: for logs, listings and whoever else is not the plugin.
    #[must_use]
    pub(crate) fn redacted(&self) -> Value {
        self.schema.redacted(&self.value)
    }

    fn find(&self, pointer: &str) -> Result<&Value> {
        let found =
            pointer::find(&self.value, pointer).map_err(|error| error.of(Arc::clone(&self.plugin)))?;
        found.ok_or_else(|| self.error(ErrorKind::NotFound, pointer, "is not there"))
    }

    fn wrong_type(&self, pointer: &str, found: &Value, wanted: &'static str) -> Error {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let pointer: Box<str> = pointer.into();
        Error::lazy(ErrorKind::WrongType, move || {
            format!("config value `{pointer}` is {found}, not {wanted}")
        })
        .of(Arc::clone(&self.plugin))
    }

    fn error(&self, kind: ErrorKind, pointer: &str, problem: &'static str) -> Error {
        let pointer: Box<str> = pointer.into();
        Error::lazy(kind, move || format!("config value `{pointer}` {problem}")).of(Arc::clone(&self.plugin))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.redacted())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({:?}, revision {}, {self})", self.plugin, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(value: Value) -> Snapshot {
        Snapshot { plugin: "p".into(), value, revision: 1, schema: Arc::new(Schema::none()) }
    }

    #[test]
    fn config_5_an_integer_is_read_where_it_is_one_and_fits() {
        let config = snapshot(json!({
            "small": -7, "zero_fraction": 2.0, "fraction": 2.5, "max": i64::MAX, "min": i64::MIN, "above": i64::MAX as u64 + 1,
            "huge": 1e300, "min_as_number": -9_223_372_036_854_775_808.0, "end": 9_223_372_036_854_775_808.0, "minus_zero": -0.0,
            "text": "2", "null": null
        }));
        for (pointer, expected) in [
            ("/small", Ok(-7)),
            ("/zero_fraction", Ok(2)),
            ("/minus_zero", Ok(0)),
            ("/max", Ok(i64::MAX)),
            ("/min", Ok(i64::MIN)),
            ("/min_as_number", Ok(i64::MIN)),
            ("/fraction", Err(ErrorKind::WrongType)),
            ("/above", Err(ErrorKind::OutOfRange)),
            ("/end", Err(ErrorKind::OutOfRange)),
            ("/huge", Err(ErrorKind::OutOfRange)),
            ("/text", Err(ErrorKind::WrongType)),
            ("/null", Err(ErrorKind::WrongType)),
            ("/absent", Err(ErrorKind::NotFound)),
            ("absent", Err(ErrorKind::InvalidArgument)),
        ] {
            assert_eq!(config.integer(pointer).map_err(|error| error.kind()), expected, "{pointer}");
        }
    }

    #[test]
    fn config_5_each_type_is_read_as_what_it_is() {
        let config =
            snapshot(json!({ "t": "a \"b\"\n", "i": 3, "u": u64::MAX, "n": 0.5, "b": true, "l": [1, "x"] }));
        assert_eq!(config.text("/t").expect("text"), "a \"b\"\n");
        assert_eq!(config.json("/t").expect("JSON"), r#""a \"b\"\n""#);
        assert_eq!(config.json("/l").expect("JSON"), r#"[1,"x"]"#);
        assert_eq!(config.json("").expect("JSON"), config.value.to_string());
        assert_eq!(config.number("/n").expect("a number"), 0.5);
        assert_eq!(config.number("/i").expect("a number"), 3.0);
        assert_eq!(config.number("/u").expect("a number"), u64::MAX as f64);
        assert!(config.boolean("/b").expect("a boolean"));
        for pointer in ["/i", "/l", "", "/b"] {
            assert_eq!(
                config.text(pointer).map_err(|error| error.kind()),
                Err(ErrorKind::WrongType),
                "{pointer}"
            );
        }
        for pointer in ["/t", "/l", "/b"] {
            assert_eq!(
                config.number(pointer).map_err(|error| error.kind()),
                Err(ErrorKind::WrongType),
                "{pointer}"
            );
        }
        assert_eq!(config.boolean("/i").map_err(|error| error.kind()), Err(ErrorKind::WrongType));
    }

    #[test]
    fn an_error_names_plugin_and_pointer_and_never_the_value() {
        let config = snapshot(json!({ "password": "hunter2" }));
        let error = config.integer("/password").expect_err("a string");
        assert_eq!(error.to_string(), "plugin \"p\": config value `/password` is a string, not an integer");
        let error = config.text("/nothing").expect_err("nothing");
        assert_eq!(error.to_string(), "plugin \"p\": config value `/nothing` is not there");
    }
}
