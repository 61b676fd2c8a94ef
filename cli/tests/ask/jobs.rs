//! `pintle jobs`: the job of sysmon, which is due each hour, and what an operator makes of it.

use serde_json::{Value, json};

use super::place::{Answer, PATIENCE, Place};

fn jobs(place: &Place, arguments: &[&str]) -> Answer {
    place.ask(&[&["jobs"], arguments].concat())
}

/// The runs of the job that have ended, as soon as there are so many.
fn runs(place: &Place, many: usize) -> Vec<Value> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let runs = jobs(place, &["history", "sysmon", "sample", "--json"]).fine().json();
        if runs.len() >= many {
            return runs;
        }
        assert!(std::time::Instant::now() < deadline, "it has not run: {runs:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn jobs_are_listed_run_paused_and_forgotten() {
    let place = Place::new();
    let _host = place.host(&[]);
    let sample = || jobs(&place, &["list", "sysmon", "--name", "sample", "--json"]).fine().json().remove(0);
    for asked in [&[][..], &["list"], &["list", "sysmon"], &["list", "--tenant", ""]] {
        let answer = jobs(&place, asked).fine();
        let rows = answer.rows();
        let row = rows.iter().find(|row| row[..3] == ["sysmon", "-", "sample"]).expect("it has a row");
        assert_eq!(row[3..6], ["every 3600s", "on", "-"], "{row:?}");
        assert!(row[6].ends_with('Z') && row[7..] == ["-", "0", "0", "0", "-"], "{row:?}");
    }
    assert_eq!(jobs(&place, &["list", "--tenant", "acme"]).fine().stdout, "");
    assert_eq!(jobs(&place, &["list", "hello"]).fine().stdout, "");
    assert!(runs(&place, 0).is_empty());

    let done = jobs(&place, &["pause", "sysmon", "sample"]).fine();
    assert_eq!(done.stdout, "sysmon\t-\tsample\tpaused\n");
    assert_eq!((&sample()["paused"], &sample()["next_ms"]), (&json!(true), &json!(null)));
    let done = jobs(&place, &["run", "sysmon", "sample", "--json"]).fine();
    let expected = json!({ "plugin": "sysmon", "tenant": "", "name": "sample", "done": "requested" });
    assert_eq!(done.json(), [expected]);
    let run = &runs(&place, 1)[0];
    assert_eq!(
        (&run["kind"], &run["error"], &run["attempts"]),
        (&json!("requested"), &json!(null), &json!(1))
    );
    let answer = jobs(&place, &["history", "sysmon", "sample"]).fine();
    let row = &answer.rows()[0];
    assert_eq!((row[2], row[5], row[6]), ("requested", "1", "OK"), "{row:?}");
    assert_eq!(jobs(&place, &["resume", "sysmon", "sample"]).fine().rows()[0][3], "resumed");
    assert!(sample()["next_ms"].is_number() && sample()["runs"] == 1);
    assert_eq!(jobs(&place, &["forget", "sysmon", "sample"]).fine().rows()[0][3], "forgotten");
    assert_eq!(jobs(&place, &["list", "sysmon"]).fine().stdout, "");
}

#[test]
fn a_job_or_a_plugin_that_is_not_there_is_told_apart() {
    let place = Place::new();
    let host = place.host(&[]);
    for action in ["history", "run", "pause", "resume", "forget"] {
        let answer = jobs(&place, &[action, "sysmon", "other", "--tenant", "acme"]);
        let said = "pintle: sysmon has no job \"other\" for the tenant \"acme\": `pintle jobs` shows all\n";
        assert_eq!((answer.code, &*answer.stderr), (Some(1), said), "{action}");
        let answer = jobs(&place, &[action, "nobody", "sample"]);
        assert_eq!(answer.code, Some(3), "{action}: {}", answer.stderr);
        assert!(answer.stderr.contains("there is no plugin \"nobody\""), "{}", answer.stderr);
        assert_eq!(jobs(&place, &[action, "application", "sample"]).code, Some(1), "{action}");
        assert_eq!(jobs(&place, &[action, "sysmon"]).code, Some(2), "{action}");
    }
    assert_eq!(jobs(&place, &["list", "nobody"]).code, Some(3));
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    // What was in memory is gone with it.
    let answer = jobs(&place, &[]).fine_but("no host runs on data: these are the durable jobs in its folder");
    assert_eq!(answer.stdout, "");
    assert_eq!(jobs(&place, &["pause", "sysmon", "sample"]).code, Some(1));
    let answer = jobs(&place, &["run", "sysmon", "sample"]);
    assert_eq!(
        (answer.code, &*answer.stderr),
        (Some(5), "pintle: no host runs on data: start one with `pintle run --data data`\n")
    );
}
