//! What stands for placeholders: `--param` and `--param-json`, in the order in which they stand on the command line, whichever
//! they are.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};
use pintle::database::SqlValue;

const PLAIN: &str = "param";
const JSON: &str = "param-json";

/// The values.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<SqlValue>);

impl Values {
    pub(super) fn given(&self) -> &[SqlValue] {
        &self.0
    }
}

/// As it looks: an integer, a real, or else a text. What another program would write otherwise, such as `007` and `+1`, is a text.
fn plain(text: &str) -> SqlValue {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical =
        digits == "0" || (!digits.starts_with('0') && digits.starts_with(|it: char| it.is_ascii_digit()));
    let real = digits.contains(['.', 'e', 'E']) && digits.starts_with(|it: char| it.is_ascii_digit());
    let numeric = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(integer), _) if canonical && text != "-0" => SqlValue::Integer(integer),
        (_, Ok(number)) if real && numeric && number.is_finite() => SqlValue::Real(number),
        _ => SqlValue::Text(text.to_owned()),
    }
}

fn json(text: &str) -> Result<SqlValue, String> {
    let json = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    SqlValue::from_json(&json).map_err(|error| error.to_string())
}

impl FromArgMatches for Values {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut values = Self::default();
        values.update_from_arg_matches(matches)?;
        Ok(values)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let of = |id: &str| {
            let texts = matches.get_many::<String>(id).into_iter().flatten();
            let places = matches.indices_of(id).into_iter().flatten();
            places.zip(texts).map(|(at, text)| (at, text.clone())).collect::<Vec<_>>()
        };
        let mut all: Vec<(usize, SqlValue)> = of(PLAIN).iter().map(|(at, text)| (*at, plain(text))).collect();
        for (at, text) in of(JSON) {
            let value = json(&text).map_err(|why| {
                Error::raw(ErrorKind::ValueValidation, format!("--param-json {text:?}: {why}\n"))
            })?;
            all.push((at, value));
        }
        all.sort_by_key(|(at, _)| *at);
        self.0 = all.into_iter().map(|(_, value)| value).collect();
        Ok(())
    }
}

impl Args for Values {
    fn augment_args(command: Command) -> Command {
        let one =
            |id: &'static str| Arg::new(id).long(id).action(ArgAction::Append).allow_hyphen_values(true);
        command
            .arg(one(PLAIN).value_name("VALUE").help(
                "The value of the next placeholder: 7 is an integer, 7.5 and 1e3 are reals, all else is a text",
            ))
            .arg(one(JSON).value_name("JSON").help(
                "The same in JSON: null, \"7\" for the text, {\"$blob\": \"base64\"} for bytes",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_it_looks_like_and_what_looks_like_nothing_is_text() {
        for integer in ["0", "7", "-7", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(plain(integer), SqlValue::Integer(integer.parse().unwrap()), "{integer}");
        }
        for real in ["7.5", "-0.0", "1e3", "1E-3", "0.1", "-2.5e+10"] {
            assert_eq!(plain(real), SqlValue::Real(real.parse().unwrap()), "{real}");
        }
        for text in [
            "",
            "x",
            "007",
            "+1",
            "-0",
            "00",
            "1_000",
            "9223372036854775808",
            "inf",
            "nan",
            "-inf",
            "1e999",
            ".5",
            "0x10",
            " 7",
            "7 ",
            "NULL",
            "-",
            "--",
            "e1",
            "1e",
            "٣",
        ] {
            assert_eq!(plain(text), SqlValue::Text(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn values_stand_in_the_order_of_the_command_line() {
        let command = Values::augment_args(Command::new("test"));
        let words =
            ["test", "--param", "-1", "--param-json", "null", "--param", "x", "--param-json", "\"7\""];
        let values =
            Values::from_arg_matches(&command.clone().get_matches_from(words)).expect("all are values");
        let expected = [SqlValue::Integer(-1), SqlValue::Null, "x".into(), "7".into()];
        assert_eq!(values.given(), expected);
        for wrong in ["[1]", "{", "9223372036854775808"] {
            let matches = command.clone().get_matches_from(["test", "--param-json", wrong]);
            assert!(Values::from_arg_matches(&matches).is_err(), "{wrong}");
        }
    }
}
