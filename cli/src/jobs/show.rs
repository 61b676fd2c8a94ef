//! What `pintle jobs` writes: for people, or with `--json` for programs.

use serde_json::Value;

use crate::{
    exit::{Exit, Failure},
    print::{self, Style, count, duration, json_line, moment, table, text},
};

const JOBS: [&str; 12] = [
    "PLUGIN", "TENANT", "NAME", "WHEN", "STATE", "DURABLE", "NEXT", "LAST", "RUNS", "FAILED", "SKIPPED",
    "ERROR",
];

const RUNS: [&str; 8] = ["RUN", "DUE", "WHY", "STARTED", "TOOK", "ATTEMPTS", "END", "RESULT"];

pub(super) fn list(jobs: &[Value], json: bool) -> Result<Exit, Failure> {
    objects(jobs, &JOBS, |job, _| job_row(job), json)
}

pub(super) fn history(answer: &Value, json: bool) -> Result<Exit, Failure> {
    let runs = answer["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    objects(runs, &RUNS, run_row, json)
}

/// Something was done with a job.
pub(super) fn done(mut job: Value, done: &str, json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        if json {
            job["done"] = done.into();
            out.write_all(json_line(&job)?.as_bytes())?;
        } else {
            let cells = ["plugin", "tenant", "name"].map(|name| text(&job, name).to_owned());
            let row = cells.into_iter().chain([done.to_owned()]).collect();
            let style = Style { terminal: false, colours: false };
            out.write_all(table(&[], &[row], style).as_bytes())?;
        }
        Ok(Exit::Fine)
    })
}

fn objects(
    of: &[Value],
    heads: &[&str],
    row: impl Fn(&Value, Style) -> Vec<String>,
    json: bool,
) -> Result<Exit, Failure> {
    print::answer(|out| {
        if json {
            of.iter().try_for_each(|it| out.write_all(json_line(it)?.as_bytes()))?;
        } else if !of.is_empty() {
            let style = Style::of_stdout();
            let rows: Vec<Vec<String>> = of.iter().map(|it| row(it, style)).collect();
            out.write_all(table(heads, &rows, style).as_bytes())?;
        }
        Ok(Exit::Fine)
    })
}

fn job_row(job: &Value) -> Vec<String> {
    let words = |name: &str| text(job, name).to_owned();
    let number = |name: &str| count(job, name).to_string();
    vec![
        words("plugin"),
        words("tenant"),
        words("name"),
        words("when"),
        state(job).to_owned(),
        if job["durable"] == true { "yes".into() } else { String::new() },
        time(&job["next_ms"]),
        time(&job["last_ms"]),
        number("runs"),
        number("failed"),
        number("skipped"),
        text(&job["error"], "text").to_owned(),
    ]
}

/// In one word: what keeps it from running comes first.
fn state(job: &Value) -> &'static str {
    let is = |name: &str| job[name] == true;
    match () {
        () if is("waiting") => "unhandled",
        () if is("paused") => "paused",
        () if is("running") => "running",
        () if !is("live") => "off",
        () => "on",
    }
}

fn run_row(run: &Value, style: Style) -> Vec<String> {
    let ms = |name: &str| run[name].as_i64().unwrap_or_default();
    let took = u64::try_from(ms("ended_ms") - ms("started_ms")).unwrap_or_default();
    let again = if run["again"] == true { ", again" } else { "" };
    let result = match run["result_base64"].as_str() {
        Some(coded) => format!("base64:{coded}"),
        None => text(run, "result").to_owned(),
    };
    vec![
        count(run, "id").to_string(),
        time(&run["due_ms"]),
        format!("{}{again}", text(run, "kind")),
        time(&run["started_ms"]),
        if style.terminal { duration(took) } else { took.to_string() },
        count(run, "attempts").to_string(),
        run["error"].as_str().unwrap_or("OK").to_owned(),
        result,
    ]
}

fn time(ms: &Value) -> String {
    ms.as_i64().map(moment).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_job_from_running_is_its_state() {
        for (job, expected) in [
            (json!({ "live": true }), "on"),
            (json!({ "live": false }), "off"),
            (json!({ "live": true, "running": true }), "running"),
            (json!({ "live": true, "running": true, "paused": true }), "paused"),
            (json!({ "live": false, "paused": true, "waiting": true }), "unhandled"),
        ] {
            assert_eq!(state(&job), expected, "{job}");
        }
    }

    #[test]
    fn jobs_and_runs_are_a_line_each_without_anything_that_steers_a_terminal() {
        let plain = Style { terminal: false, colours: false };
        let job = json!({
            "plugin": "p", "tenant": null, "name": "n\u{1b}[2J", "when": "@daily (UTC)", "live": true, "durable": true,
            "next_ms": 1_795_244_400_120_i64, "last_ms": null, "runs": 3, "failed": 1, "skipped": 0,
            "error": { "kind": "BUSY", "text": "no\nroom" },
        });
        assert_eq!(
            table(&JOBS, &[job_row(&job)], plain),
            "p\t-\tn\\u{1b}[2J\t@daily (UTC)\ton\tyes\t2026-11-21T07:00:00.120Z\t-\t3\t1\t0\tno\\nroom\n"
        );
        let mut run = json!({
            "id": 7, "due_ms": 0, "kind": "missed", "again": true, "started_ms": 1_000, "ended_ms": 2_500, "attempts": 2,
            "error": "TIMEOUT", "result": "too\tlate",
        });
        let due = "7\t1970-01-01T00:00:00.000Z\tmissed, again\t1970-01-01T00:00:01.000Z";
        assert_eq!(
            table(&RUNS, &[run_row(&run, plain)], plain),
            format!("{due}\t1500\t2\tTIMEOUT\ttoo\\tlate\n")
        );
        run["result_base64"] = "/wA=".into();
        run["error"] = Value::Null;
        let row = run_row(&run, Style { terminal: true, colours: false });
        assert_eq!(row[4..], ["1.5 s", "2", "OK", "base64:/wA="]);
    }
}
