//! Keys as `pintle cache list` and `pintle storage list` write them: page by page, one on a line.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    link::Link,
    print::{self, json_line, printable},
    voice::Voice,
};

/// How many keys are asked for at once.
const PAGE: u64 = 1_000;

/// Writes at most `limit` of the keys that `method` lists of `of`, and says so if there are more.
pub(crate) fn list(
    link: &mut Link,
    method: &str,
    of: &Value,
    limit: u64,
    json: bool,
) -> Result<Exit, Failure> {
    let (mut left, mut cursor, mut failed) = (limit, Value::Null, None);
    let exit = print::answer(|out| {
        loop {
            let mut params = of.clone();
            (params["limit"], params["cursor"]) = (left.min(PAGE).into(), cursor.take());
            let page = match link.ask(method, params) {
                Ok(page) => page,
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            };
            for key in page["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                left = left.saturating_sub(1);
                write_key(out, key, json)?;
            }
            // Each page when it is there: who has seen enough ends it.
            out.flush()?;
            cursor = page["next"].clone();
            if left == 0 || cursor.is_null() {
                break;
            }
        }
        Ok(Exit::Fine)
    })?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if !cursor.is_null() {
        Voice::plain().say(&format!("there are more than {limit}: --all lists all of them"));
    }
    Ok(exit)
}

fn write_key(out: &mut dyn Write, key: &str, json: bool) -> io::Result<()> {
    match json {
        true => out.write_all(json_line(&json!({ "key": key }))?.as_bytes()),
        false => writeln!(out, "{}", printable(key)),
    }
}
