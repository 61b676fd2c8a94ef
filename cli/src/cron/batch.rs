//! `pintle cron --batch`: a question on each line of stdin, an answer on each line of stdout, in the same order. Whoever
//! asks may wait for each answer before the next question.

use std::io::{self, BufReader};

use serde::Deserialize;
use serde_json::json;

use super::Question;
use crate::{
    exit::{Exit, Failure},
    lines::{LineRead, read_line},
    print,
};

/// The longest question in bytes; a rule has 1,024 at most.
const LONGEST: usize = 64 << 10;

/// A line of stdin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    rule: String,
    zone: Option<String>,
    from: Option<String>,
    count: Option<u64>,
}

/// Answers until stdin ends.
pub(super) fn answer() -> Result<Exit, Failure> {
    let mut questions = BufReader::with_capacity(1 << 16, io::stdin().lock());
    let (mut line, mut exit, mut over) = (Vec::new(), Exit::Fine, None);
    let written = print::answer(|out| {
        loop {
            // Before it waits for more, all answers are out.
            if !questions.buffer().contains(&b'\n') {
                out.flush()?;
            }
            let read = match read_line(&mut questions, &mut line, LONGEST, &mut 0) {
                Ok(read) => read,
                Err(error) => {
                    over =
                        Some(Failure::failed(format!("standard input cannot be read any further: {error}")));
                    return Ok(exit);
                }
            };
            let answered = match read {
                LineRead::End => return Ok(exit),
                LineRead::Line if line.trim_ascii().is_empty() => continue,
                LineRead::Line => one(&line),
                LineRead::TooLong => {
                    Err(format!("a line has more than {LONGEST} bytes, which no question needs"))
                }
            };
            let answer = match answered {
                Ok(times) => json!({ "next": times }),
                Err(why) => {
                    exit = Exit::Partly;
                    json!({ "error": why })
                }
            };
            out.write_all(print::json_line(&answer)?.as_bytes())?;
        }
    });
    over.map_or(written, Err)
}

fn one(line: &[u8]) -> Result<Vec<String>, String> {
    let no_question = |why: &str| {
        // Of this text every place is on its line 1.
        let why = why.replace(" at line 1 column ", " at column ");
        format!(
            "the line is no question: {why}: write {{\"rule\":\"…\",\"zone\":\"…\",\"from\":\"…\",\"count\":5}}"
        )
    };
    // serde would take an array of the four too.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(no_question("it is not an object"));
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| no_question(&error.to_string()))?;
    let question = Question {
        rule: &line.rule,
        zone: line.zone.as_deref(),
        from: line.from.as_deref(),
        count: line.count,
    };
    question.answer().map(|(_, times)| times)
}
