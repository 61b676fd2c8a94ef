//! Reports: all that is kept of a tenant as a CSV file, `reports/<key>.csv` among the plugin's files, for whoever carries it
//! elsewhere.
//!
//! Whoever asks for a report and gets no answer, because the wait was over or the machine went down, asks again and must
//! not get another one. So he names it by a key of his own, and writing it is an operation under this key
//! ([`Context::idempotency`]): the first request writes, and the same one again gets the same answer without a look at what
//! was measured since. That the host remembers for a day; after it the key is free.
//!
//! Whoever is interrupted between the file and the end of the operation leaves a key that others can take over a minute
//! later. They write the file once more, in its place: a second time does no harm, and so nothing has to be looked up.

use std::{fmt::Write, ops::Range};

use pintle_plugin::{Context, Error, Outcome, Request, Result, Status, serde_json};
use serde::{Deserialize, Serialize};

use crate::{
    minute::Minute,
    query::{Kept, always},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key: String,
    #[serde(default)]
    from: i64,
    #[serde(default = "always")]
    to: i64,
}

/// What was written.
#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    rows: usize,
}

/// Lines, without the one that names the columns.
#[derive(Debug, PartialEq)]
pub(crate) struct Csv {
    text: String,
    rows: usize,
}

/// Answers a request for a report; `csv` tells what is in it. The file is written when `csv` has returned, so that nobody
/// who measures waits for the disk.
pub(crate) fn answer(
    cx: &Context,
    request: &Request<'_>,
    csv: impl FnOnce(Range<i64>) -> Result<Csv>,
) -> Result<Vec<u8>> {
    let Asked { key, from, to } = request.json()?;
    // What makes two requests the same one, however their JSON is written. At most 256 bytes: more would be hashed.
    let fingerprint = format!("{from}..{to}");
    let outcome = cx.idempotency().run("report", &key, fingerprint.as_bytes(), || {
        let path = format!("reports/{key}.csv");
        let Csv { text, rows } = csv(from..to)?;
        cx.files().put(&path, text.as_bytes())?;
        Ok(serde_json::to_vec(&Written { path: &path, rows })?)
    })?;
    match outcome {
        // Now, or by an earlier request: it makes no difference to who asks.
        Outcome::Done(written) => Ok(written),
        Outcome::InProgress { retry_after } => {
            let text = format!(
                "the report {key:?} is being written: ask again, at the latest in {} ms",
                retry_after.as_millis()
            );
            Err(Error::new(Status::Busy, text))
        }
        Outcome::Mismatch => {
            let text = format!("the report {key:?} is one of other times: give this one another key");
            Err(Error::new(Status::Conflict, text))
        }
        // Nothing here fails for good: what went wrong may go well the next time, so that `run` keeps nothing of it.
        Outcome::Failed(why) => Err(Error::new(Status::Internal, String::from_utf8_lossy(&why).into_owned())),
    }
}

/// All minutes of all metrics, one in a line, by metric and time.
pub(crate) fn csv(kept: &Kept<'_>, times: Range<i64>) -> Result<Csv> {
    let mut csv = Csv { text: "metric,minute,count,min,max,mean,last\n".to_owned(), rows: 0 };
    for metric in kept.metrics()? {
        let name = quoted(&metric);
        for minute in kept.minutes(&metric, times.start.max(kept.oldest)..times.end)? {
            let Minute { minute, count, min, max, mean, last } = minute;
            writeln!(csv.text, "{name},{minute},{count},{min},{max},{mean},{last}")?;
            csv.rows += 1;
        }
    }
    Ok(csv)
}

/// A text as a field of CSV: whoever emits samples names metrics as he likes.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_field_whatever_is_in_it() {
        for (name, field) in [
            ("cpu.busy", "cpu.busy"),
            ("", ""),
            ("disk.a,b.busy", r#""disk.a,b.busy""#),
            (r#"disk."a".busy"#, r#""disk.""a"".busy""#),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(quoted(name), field);
        }
    }
}
