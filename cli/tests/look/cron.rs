//! `pintle cron`: when rules are due, one rule or a stream of questions.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use serde_json::{Value, json};

use super::place::{Answer, Place};

const BERLIN: &[&str] = &["--zone", "Europe/Berlin", "--from", "2026-10-24T12:00:00+02:00", "--count", "3"];

fn ask(rule: &str, more: &[&str]) -> Answer {
    Place::new().ask(&[&["cron", rule], more].concat())
}

fn batch(questions: &[u8]) -> Answer {
    let place = Place::new();
    let mut child = place
        .command(&["cron", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let questions = questions.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&questions).expect("it reads all of it"));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it is written");
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn the_next_times_are_written_with_the_offset_of_the_zone() {
    let answer = ask("30 2 * * *", BERLIN);
    let expected = "2026-10-25T02:30:00+02:00\n2026-10-26T02:30:00+01:00\n2026-10-27T02:30:00+01:00\n";
    assert_eq!((answer.code, &*answer.stdout, &*answer.stderr), (Some(0), expected, ""));

    let answer = ask("30 2 * * *", &[BERLIN, &["--json"]].concat());
    let times: Vec<&str> = expected.lines().collect();
    assert_eq!((answer.code, answer.json()), (Some(0), vec![json!(times)]));

    // From now on, five of them, in UTC.
    let answer = ask("@hourly", &[]);
    let times: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(times.len(), 5);
    assert!(times.iter().all(|time| time.ends_with(":00:00+00:00")), "{times:?}");
    assert!(times.is_sorted());
}

#[test]
fn what_has_no_times_of_the_calendar_is_answered_too() {
    let answer = ask("@every 90s", BERLIN);
    let expected = "2026-10-24T12:01:30+02:00\n2026-10-24T12:03:00+02:00\n2026-10-24T12:04:30+02:00\n";
    assert_eq!((answer.code, &*answer.stdout), (Some(0), expected));
    let answer = ask("@reboot", &["--json"]);
    let said = "pintle: @reboot has no times: it is due once, when the host has started\n";
    assert_eq!((answer.code, &*answer.stdout, &*answer.stderr), (Some(0), "[]\n", said));
    // The calendar ends with the year 4999.
    let answer = ask("@yearly", &["--from", "4997-06-01T00:00:00Z"]);
    assert_eq!(answer.stdout, "4998-01-01T00:00:00+00:00\n4999-01-01T00:00:00+00:00\n");
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("0 24 * * *", &[], "argument `rule`: field 2 (hour), character 3: `24` is outside of 0 to 23"),
        ("@daily", &["--zone", "Mars/Olympus"], "argument `zone`: time zone `Mars/Olympus` is not known: "),
        ("@daily", &["--from", "noon"], "argument `from`: `noon` is not a time of RFC 3339: "),
        ("@every 0s", &[], "argument `rule`: 0 ms is outside of 1 to 31622400000 ms (366 days)"),
        ("0 0 30 2 *", &[], "argument `rule`: `0 0 30 2 *` never happens: "),
    ];
    for (rule, more, expected) in cases {
        let answer = ask(rule, more);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{rule}");
        assert!(answer.stderr.starts_with(&format!("pintle: {expected}")), "{}", answer.stderr);
    }
    for more in [&["--count", "0"][..], &["--count", "10001"], &["--batch"]] {
        let answer = ask("@daily", more);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{more:?}");
    }
    assert_eq!(Place::new().ask(&["cron"]).code, Some(2));
}

#[test]
fn a_batch_answers_each_line_and_goes_on_after_a_bad_one() {
    let long = format!(r#"{{"rule":"{}"}}"#, "x".repeat(70_000));
    let lines = [
        r#"{"rule":"0 9 * * *","zone":"Asia/Tokyo","from":"2026-01-01T00:00:00Z","count":2}"#,
        r#"{"rule":"61 * * * *"}"#,
        "not JSON",
        "",
        r#"{"rule":"@daily","unknown":1}"#,
        r#"{"zone":"UTC"}"#,
        r#"{"rule":"@daily","count":0}"#,
        r#"{"rule":"@daily","count":-1}"#,
        r#"{"rule":"@daily","from":"x"}"#,
        &long,
        r#"["@daily"]"#,
        r#"{"rule":"@reboot","zone":null}"#,
        r#"{"rule":"@every 500ms","from":"2026-01-01T00:00:00Z","count":1}"#,
    ];
    let mut questions = lines.join("\n").into_bytes();
    questions.extend_from_slice(b"\n\xff\xfe\n{\"rule\":\"TZ=Europe/Berlin 0 9 1 1 *\",\"from\":\"2026-01-01T09:00:00+01:00\",\"count\":1}");
    let answer = batch(&questions);
    let expected = [
        json!({ "next": ["2026-01-02T09:00:00+09:00", "2026-01-03T09:00:00+09:00"] }),
        json!("argument `rule`: field 1 (minute), character 1: `61` is outside of 0 to 59"),
        json!("the line is no question: it is not an object: write {\"rule\":"),
        json!(
            "the line is no question: unknown field `unknown`, expected one of `rule`, `zone`, `from`, `count` at column "
        ),
        json!("the line is no question: missing field `rule` at column "),
        json!("argument `count`: 0 is outside of 1 to 10000"),
        json!("the line is no question: invalid value: integer `-1`, expected u64 at column "),
        json!("argument `from`: `x` is not a time of RFC 3339: "),
        json!("a line has more than 65536 bytes, which no question needs"),
        json!("the line is no question: it is not an object: "),
        json!({ "next": [] }),
        json!({ "next": ["2026-01-01T00:00:00.500+00:00"] }),
        json!("the line is no question: it is not an object: "),
        json!({ "next": ["2027-01-01T09:00:00+01:00"] }),
    ];
    let answers = answer.json();
    for (answer, expected) in answers.iter().zip(&expected) {
        match expected {
            Value::String(begins) => {
                let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer} for {begins}"));
                assert!(error.starts_with(begins), "{error} does not begin with {begins}");
                assert_eq!(answer.as_object().map(serde_json::Map::len), Some(1));
            }
            expected => assert_eq!(answer, expected),
        }
    }
    assert_eq!((answers.len(), answer.code, &*answer.stderr), (expected.len(), Some(4), ""));
    let answer = batch(b"{\"rule\":\"@daily\",\"count\":1}\n");
    assert_eq!((answer.code, answer.json().len()), (Some(0), 1));
    assert_eq!(batch(b"").code, Some(0));
}

#[test]
fn a_batch_answers_before_it_is_asked_for_more() {
    let place = Place::new();
    let mut child = place
        .command(&["cron", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
    for rule in ["@daily", "nonsense", "@hourly"] {
        writeln!(stdin, "{}", json!({ "rule": rule, "count": 1 })).expect("it reads");
        let answer = answers.next().expect("it answers").expect("it is text");
        let answer: Value = serde_json::from_str(&answer).expect("it is JSON");
        assert_eq!(answer.get("error").is_some(), rule == "nonsense", "{answer}");
    }
    drop(stdin);
    assert!(answers.next().is_none());
    assert_eq!(child.wait().expect("it ends").code(), Some(4));
}
