//! Jobs of the application: when their closures run, what becomes of their answers, and what an operator may do with them.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pintle::{
    Error, ErrorKind, Host,
    scheduler::{JobOptions, JobsOf, Overlap, PastRun, RunKind},
};
use serde_json::{Value, json};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// So long that nothing falls due by itself.
const AN_HOUR: Duration = Duration::from_secs(3_600);

fn host() -> Host {
    Host::builder().build().expect("it needs nothing")
}

/// A channel whose end closures can share.
fn channel<T>() -> (impl Fn(T) + Send + Sync, mpsc::Receiver<T>)
where
    T: Send,
{
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    (move |it| tell.lock().expect("no panic").send(it).expect("the test waits for it"), told)
}

/// The runs that have ended, when the one that has begun is among them.
fn history(host: &Host, tenant: &str, name: &str) -> Vec<PastRun> {
    assert!(host.wait_idle(PATIENCE));
    host.job_history("application", tenant, name).expect("there is the job")
}

#[test]
fn a_run_is_told_what_it_is_and_its_answer_is_history() {
    let host = host();
    let (tell, told) = channel();
    let options = JobOptions { tenant: "acme".into(), data: b"mail".to_vec(), ..JobOptions::default() };
    host.schedule_interval("report", AN_HOUR, options, move |run| {
        tell((
            run.job.to_owned(),
            run.tenant.to_owned(),
            run.attempt,
            run.kind,
            run.again,
            run.data.to_vec(),
        ));
        Ok(b"sent".to_vec())
    })
    .expect("it can be scheduled");
    host.run_job("application", "acme", "report").expect("it can run");
    assert_eq!(
        told.recv_timeout(PATIENCE).expect("it runs"),
        ("report".into(), "acme".into(), 1, RunKind::Requested, false, b"mail".to_vec())
    );
    let past = history(&host, "acme", "report");
    let [run] = &past[..] else { panic!("{past:?}") };
    assert_eq!(
        (run.kind, run.attempts, run.error, &*run.result),
        (RunKind::Requested, 1, None, &b"sent"[..])
    );
    assert!(run.due_ms <= run.started_ms && run.started_ms <= run.ended_ms, "{run:?}");
    let of = |tenant: &str| JobsOf { tenant: Some(tenant.into()), ..JobsOf::default() };
    let jobs = host.jobs_of(&of("acme")).expect("it has no disk");
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    assert_eq!((&*job.plugin, &*job.name, &*job.when, job.runs), ("application", "report", "every 3600s", 1));
    assert!(host.jobs_of(&of("")).expect("it has no disk").is_empty(), "it is another scope");
}

#[test]
fn a_run_that_panics_or_fails_is_tried_again_and_what_follows_it_follows_success() {
    let host = host();
    let (tell, told) = channel();
    let options = JobOptions { retries: 2, backoff: Duration::from_millis(1), ..JobOptions::default() };
    host.schedule_cron("first", "0 0 1 1 *", options, |run| match run.attempt {
        1 => panic!("out of ideas"),
        2 => Err(Error::new(ErrorKind::Unavailable, "not yet")),
        attempt => Ok(attempt.to_string().into_bytes()),
    })
    .expect("it can be scheduled");
    host.schedule_after("second", "first", JobOptions::default(), move |run| {
        tell(run.job.to_owned());
        Err(Error::new(ErrorKind::NotFound, "nothing to do"))
    })
    .expect("it can be scheduled");
    host.run_job("application", "", "first").expect("it can run");
    assert_eq!(told.recv_timeout(PATIENCE).expect("it follows"), "second");
    let first = &history(&host, "", "first")[0];
    assert_eq!((first.attempts, first.error, &*first.result), (3, None, &b"3"[..]));
    let second = &history(&host, "", "second")[0];
    assert_eq!((second.error, &*second.result), (Some(ErrorKind::NotFound), &b"nothing to do"[..]));
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty), "once for each success");
    let refused = host.schedule_after("third", "nobody", JobOptions::default(), |_| Ok(Vec::new()));
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
}

#[test]
fn a_job_that_runs_once_is_over_then_and_replaced_jobs_are_too() {
    let host = host();
    let (tell, told) = channel();
    let (number_of, runs) = channel();
    let number_of = Arc::new(number_of);
    for number in [1, 2] {
        let number_of = number_of.clone();
        host.schedule_interval("same", AN_HOUR, JobOptions::default(), move |_| {
            number_of(number);
            Ok(vec![number])
        })
        .expect("it can be scheduled");
    }
    assert_eq!(host.jobs().len(), 1);
    host.run_job("application", "", "same").expect("it can run");
    assert_eq!(runs.recv_timeout(PATIENCE), Ok(2));
    assert_eq!(history(&host, "", "same")[0].result, [2]);
    host.schedule_once("once", Duration::ZERO, JobOptions::default(), move |run| {
        tell(run.kind);
        Ok(Vec::new())
    })
    .expect("it can be scheduled");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(RunKind::Scheduled));
    assert!(host.wait_idle(PATIENCE));
    assert_eq!(host.jobs().len(), 1);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let host = host();
    let nothing = |_: &pintle::scheduler::JobRun<'_>| Ok(Vec::new());
    let kind = |done: pintle::Result<()>| done.map_err(|error| error.kind());
    let long = Duration::from_secs(400 * 86_400);
    let usual = JobOptions::default;
    for (options, expected) in [
        (JobOptions { retries: 101, ..usual() }, ErrorKind::OutOfRange),
        (JobOptions { start_deadline: long, ..usual() }, ErrorKind::OutOfRange),
        (JobOptions { jitter: long, ..usual() }, ErrorKind::OutOfRange),
        (JobOptions { timeout: long, ..usual() }, ErrorKind::OutOfRange),
        (JobOptions { backoff: long, ..usual() }, ErrorKind::OutOfRange),
        (JobOptions { data: vec![0; 65_537], ..usual() }, ErrorKind::TooLarge),
        (JobOptions { zone: Some("Berlin".into()), ..usual() }, ErrorKind::InvalidArgument),
        (JobOptions { tenant: "a\nb".into(), ..usual() }, ErrorKind::InvalidArgument),
    ] {
        assert_eq!(
            kind(host.schedule_cron("j", "@daily", options.clone(), nothing)),
            Err(expected),
            "{options:?}"
        );
    }
    let error = host.schedule_cron("j", "61 * * * *", usual(), nothing).expect_err("there is no such minute");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        kind(host.schedule_interval("j", Duration::ZERO, usual(), nothing)),
        Err(ErrorKind::OutOfRange)
    );
    assert_eq!(kind(host.schedule_once("j", long, usual(), nothing)), Err(ErrorKind::OutOfRange));
    assert_eq!(kind(host.handle_jobs("a*b", nothing)), Err(ErrorKind::InvalidArgument));
    assert!(host.jobs().is_empty());
    let error = host.run_job("application", "acme", "j").expect_err("it is not there");
    assert_eq!(error.to_string(), "application has no job \"j\" for the tenant \"acme\"");
    host.stop();
    assert_eq!(kind(host.schedule_cron("j", "@daily", usual(), nothing)), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.pause_job("application", "", "j")), Err(ErrorKind::Stopping));
    assert_eq!(kind(host.handle_jobs("j", nothing)), Err(ErrorKind::Stopping));
}

#[test]
fn an_operator_pauses_runs_resumes_and_forgets() {
    let host = host();
    let (tell, told) = channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let options = JobOptions { overlap: Overlap::Skip, ..JobOptions::default() };
    host.schedule_interval("job", AN_HOUR, options, move |_| {
        tell(());
        wait.lock().expect("no panic").recv_timeout(PATIENCE).expect("the test lets it go");
        Ok(vec![0xff])
    })
    .expect("it can be scheduled");
    let ask = |method: &str, params: Value| host.ask(method, params);
    let job = || json!({ "plugin": "application", "name": "job" });
    let shown = || ask("jobs", json!({ "plugin": "application" })).expect("it is known")["jobs"][0].take();
    let before = shown();
    assert!(before["next_ms"].is_number(), "{before}");
    assert_eq!((&before["of"], &before["plugin"]), (&json!("application"), &json!("application")));

    ask("jobs.pause", job()).expect("it can be paused");
    let paused = shown();
    assert_eq!((&paused["paused"], &paused["next_ms"]), (&json!(true), &json!(null)));
    ask("jobs.run", job()).expect("paused or not");
    told.recv_timeout(PATIENCE).expect("it runs");
    assert_eq!(shown()["running"], json!(true));
    let busy = ask("jobs.run", job()).expect_err("it skips");
    assert_eq!(busy.kind(), ErrorKind::Busy);
    go.send(()).expect("it waits");
    assert!(host.wait_idle(PATIENCE));
    ask("jobs.resume", job()).expect("it can be resumed");
    assert!(shown()["next_ms"].is_number());
    let runs = ask("jobs.history", job()).expect("it has one")["runs"].take();
    assert_eq!(
        (&runs[0]["kind"], &runs[0]["result_base64"]),
        (&json!("requested"), &json!("/w==")),
        "{runs}"
    );
    assert_eq!((&runs[0]["error"], &runs[1]), (&json!(null), &json!(null)), "{runs}");

    ask("jobs.forget", job()).expect("it can be forgotten");
    for method in ["jobs.history", "jobs.run", "jobs.pause", "jobs.resume", "jobs.forget"] {
        assert_eq!(ask(method, job()).map_err(|error| error.kind()), Err(ErrorKind::NotFound), "{method}");
    }
    assert_eq!(ask("jobs", json!({})).expect("none is no error"), json!({ "jobs": [], "problem": null }));
    for params in [json!({ "name": "job" }), json!({ "plugin": "application", "name": "job", "id": 7 })] {
        let refused = ask("jobs.run", params).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::InvalidArgument));
    }
}

#[test]
fn a_durable_job_of_the_application_outlives_the_host_and_waits_for_a_handler() {
    let folder = tempfile::tempdir().expect("there is room");
    let made = || Host::builder().data(folder.path()).build().expect("the folder is free");
    let durable = || JobOptions { durable: true, data: b"mail".to_vec(), ..JobOptions::default() };
    let run = |host: &Host| host.run_job("application", "", "mail-daily");
    let job = |host: &Host| {
        let of = JobsOf { plugin: Some("application".into()), ..JobsOf::default() };
        let jobs = host.jobs_of(&of).expect("the disk is there");
        let [job] = &jobs[..] else { panic!("{jobs:?}") };
        job.clone()
    };

    let host = made();
    let (tell, told) = channel();
    host.schedule_cron("mail-daily", "0 0 1 1 *", durable(), move |run| {
        tell(run.id);
        Ok(b"one".to_vec())
    })
    .expect("it can be kept");
    run(&host).expect("it can run");
    let first = told.recv_timeout(PATIENCE).expect("it runs");
    assert_eq!(history(&host, "", "mail-daily")[0].id, first);
    host.pause_job("application", "", "mail-daily").expect("it is there");
    host.stop();

    let host = made();
    let kept = job(&host);
    assert!(kept.durable && kept.paused && kept.waiting, "{kept:?}");
    assert_eq!((kept.runs, kept.next_ms), (1, None));
    assert_eq!(run(&host).map_err(|error| error.kind()), Err(ErrorKind::Unavailable), "nobody runs it");
    let (tell, told) = channel();
    host.handle_jobs("mail-*", move |run| {
        tell((run.job.to_owned(), run.data.to_vec()));
        Ok(b"two".to_vec())
    })
    .expect("it is a pattern");
    host.resume_job("application", "", "mail-daily").expect("it is there");
    run(&host).expect("there is a handler now");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(("mail-daily".into(), b"mail".to_vec())));
    let past = history(&host, "", "mail-daily");
    let results: Vec<&[u8]> = past.iter().map(|run| &*run.result).collect();
    assert_eq!((results, past[1].id), (vec![&b"two"[..], b"one"], first));
    let now = job(&host);
    assert!(!now.waiting && !now.paused && now.next_ms.is_some(), "{now:?}");
    host.forget_job("application", "", "mail-daily").expect("it is there");
    host.stop();
    assert_eq!(made().jobs_of(&JobsOf::default()).expect("the disk is there").len(), 0);
}
