//! The methods about jobs: which there are, what became of their runs, and what an operator may do with them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::methods::{Answer, Failure, done};
use crate::{
    Host,
    error::Result,
    host::jobs::{JobsOf, PastRun},
    services::scheduler::{JobInfo, store::RunKind},
};

/// Which jobs; those that are of all that is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    plugin: Option<String>,
    tenant: Option<String>,
    name: Option<String>,
}

/// One job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobOf {
    plugin: String,
    #[serde(default)]
    tenant: String,
    name: String,
}

/// `jobs`.
pub(super) fn list(host: &Host, Listing { plugin, tenant, name }: Listing) -> Answer {
    let of = JobsOf { plugin, tenant, name };
    // Jobs in memory can be told where the disk fails.
    let (jobs, problem) = match host.jobs_of(&of) {
        Ok(jobs) => (jobs, None),
        Err(error) => (host.known_jobs(&of), Some(error.to_string())),
    };
    let owners = host.owners();
    let shown = jobs.iter().map(|job| {
        let mut shown = job_shown(job);
        // As in `subscriptions`: of those that are loaded.
        shown["of"] = owners.get(&job.owner).map(|owner| &**owner).into();
        shown
    });
    Ok(json!({ "jobs": shown.collect::<Vec<_>>(), "problem": problem }))
}

fn job_shown(job: &JobInfo) -> Value {
    json!({
        "plugin": &*job.plugin,
        "tenant": job.tenant.as_deref(),
        "name": &*job.name,
        "when": job.when,
        "durable": job.durable,
        "live": job.live,
        "paused": job.paused,
        "waiting": job.waiting,
        "running": job.running,
        "next_ms": job.next_ms,
        "last_ms": job.last_ms,
        "runs": job.runs,
        "failed": job.failed,
        "skipped": job.skipped,
        "error": job.last_error.as_ref().map(Failure::from),
    })
}

/// `jobs.history`.
pub(super) fn history(host: &Host, JobOf { plugin, tenant, name }: JobOf) -> Answer {
    let runs = host.job_history(&plugin, &tenant, &name)?;
    Ok(json!({ "runs": runs.iter().map(run_shown).collect::<Vec<_>>() }))
}

fn run_shown(run: &PastRun) -> Value {
    let mut shown = json!({
        "id": run.id,
        "due_ms": run.due_ms,
        "kind": match run.kind {
            RunKind::Scheduled => "scheduled",
            RunKind::Missed => "missed",
            RunKind::Requested => "requested",
        },
        "again": run.again,
        "started_ms": run.started_ms,
        "ended_ms": run.ended_ms,
        "attempts": run.attempts,
        "error": run.error.map(|kind| kind.name()),
    });
    // Bytes that are no text travel as in CloudEvents. Of a text that was cut in the middle of a character that is left out.
    match str::from_utf8(&run.result) {
        Ok(text) => shown["result"] = text.into(),
        Err(error) if error.error_len().is_none() => {
            shown["result"] = String::from_utf8_lossy(&run.result[..error.valid_up_to()]).into();
        }
        Err(_) => shown["result_base64"] = data_encoding::BASE64.encode(&run.result).into(),
    }
    shown
}

/// `jobs.run`, `jobs.pause`, `jobs.resume`, `jobs.forget`.
pub(super) fn step(job: JobOf, carry_out: impl FnOnce(&str, &str, &str) -> Result<()>) -> Answer {
    let JobOf { plugin, tenant, name } = job;
    Ok(carry_out(&plugin, &tenant, &name).map(done)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::scheduler::store::{EndedRun, RunEnd};

    #[test]
    fn the_result_of_a_run_is_text_where_it_is_one() {
        for (result, member, expected) in [
            (&b"done"[..], "result", "done"),
            (b"", "result", ""),
            ("12\u{fc}".as_bytes().split_last().expect("it has some").1, "result", "12"),
            (b"\xff\x00", "result_base64", "/wA="),
        ] {
            let end = RunEnd { ended_ms: 9, error: None, result: result.to_vec() };
            let run = EndedRun {
                run: 7,
                due_ms: 1,
                kind: RunKind::Missed,
                again: false,
                started_ms: 2,
                attempts: 1,
                end,
            };
            let shown = run_shown(&run.into());
            assert_eq!((&shown[member], &shown["kind"]), (&json!(expected), &json!("missed")), "{shown}");
        }
    }
}
