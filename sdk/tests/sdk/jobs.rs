//! Jobs that are kept, tried again and looked at: what the SDK asks a host for, and what the host for tests makes of it.

use std::time::{Duration, SystemTime};

use pintle_plugin::{
    BatchJob, Context, Error, JobOptions, Missed, Overlap, Plugin, Result, Status, plugin, test::Host,
};

use crate::{fake::Fake, services::play};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn all_that_is_said_of_a_job_arrives() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let options = JobOptions::new()
            .durable()
            .overlap(Overlap::Allow)
            .missed(Missed::All)
            .start_deadline(SECOND)
            .jitter(SECOND * 2)
            .timeout(SECOND * 3)
            .backoff(Duration::from_nanos(1))
            .retries(5)
            .data("[1]");
        cx.scheduler().after_with("next", "first", &options, |_, run| {
            assert_eq!((run.id(), run.text()?, run.json::<Vec<u8>>()?), (9, "[1]", vec![1]));
            assert!(run.requested() && !run.missed() && !run.again());
            Ok(())
        })?;
        cx.scheduler().after("plain", "first", |_, _| Ok(()))?;
        cx.scheduler().handle("next*", |_, _| Ok(()))?.remove(cx)?;
        cx.scheduler().pause("a")?;
        cx.scheduler().resume("b")?;
        cx.scheduler().run_now("c")?;
        cx.scheduler().forget("d")
    });
    assert_eq!(fake.run(1, "next"), (pintle_abi::PINTLE_OK, None));
    assert_eq!(
        fake.take()[..8],
        [
            "after next first (1, 2, 2, 5) (1000, 2000, 3000, 1) [1]",
            "after plain first (0, 0, 0, 0) (0, 0, 0, 0) ",
            "handle next*",
            "remove 3",
            "pause a",
            "resume b",
            "run_now c",
            "forget d"
        ]
    );
    for handle in 1..=3 {
        fake.release(handle);
    }
}

#[test]
fn what_a_host_shows_of_jobs_and_runs_is_read() {
    let fake = Fake::new();
    play(&fake, |cx| {
        let jobs = cx.scheduler().list()?;
        assert_eq!((jobs.len(), jobs[0].name.as_str(), jobs[0].when.as_str()), (1, "kept", "@daily"));
        assert_eq!((jobs[0].next, jobs[0].last), (Some(SystemTime::UNIX_EPOCH + SECOND), None));
        assert_eq!((jobs[0].runs, jobs[0].failed, jobs[0].skipped), (3, 2, 1));
        assert!(jobs[0].durable && jobs[0].waiting && !jobs[0].paused && !jobs[0].running);
        let runs = cx.scheduler().history("kept")?;
        assert_eq!((runs[0].id, runs[0].attempts, runs[0].json::<u64>()?), (7, 2, 5));
        assert_eq!(runs[0].started, runs[0].due + SECOND);
        assert_eq!(runs[0].duration, Duration::from_millis(30));
        assert!(runs[0].missed && !runs[0].requested && !runs[0].again);
        let error = runs[1].reply.as_ref().expect_err("it has failed");
        assert_eq!((error.status(), error.message()), (Status::Timeout, "too slow"));
        assert_eq!(runs[1].json::<u64>().expect_err("so has its JSON").status(), Status::Timeout);
        Ok(())
    });
}

struct Worker;

impl Plugin for Worker {
    fn load(_: &Context) -> Result<Self> {
        Ok(Worker)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        let jobs = cx.scheduler();
        let kept = JobOptions::new().durable().retries(2).backoff(SECOND * 10).data("kept");
        // Fails as often as the test has said.
        jobs.cron_with("nightly", "0 3 * * *", &kept, |cx, run| {
            assert_eq!((run.text()?, run.attempt() > 3), ("kept", false));
            cx.cache("seen").set("id", run.id().to_string().as_bytes())?;
            if cx.cache("seen").incr("failures", -1)? >= 0 {
                return Err(Error::new(Status::Unavailable, "not yet"));
            }
            run.reply_json(&run.attempt())
        })?;
        jobs.after_with("report", "nightly", &JobOptions::new().durable(), |cx, _| {
            cx.cache("seen").incr("reports", 1).map(drop)
        })?;
        jobs.interval("beat", SECOND * 60, |cx, run| {
            assert!(!run.missed());
            cx.cache("seen").incr(if run.requested() { "asked" } else { "beats" }, 1).map(drop)
        })?;
        jobs.interval_with(
            "all",
            SECOND * 60,
            &JobOptions::new().durable().missed(Missed::All),
            |cx, run| cx.cache("seen").incr(if run.missed() { "missed" } else { "seen" }, 1).map(drop),
        )?;
        jobs.interval_with("queue", SECOND * 900, &JobOptions::new().overlap(Overlap::Queue), |cx, run| {
            assert!(run.requested());
            cx.cache("seen").incr("queued", 1).map(drop)
        })?;
        jobs.handle("later-*", |cx, run| cx.cache("seen").set(run.job(), run.data()))?;
        Ok(())
    }

    fn call(&self, cx: &Context, request: &pintle_plugin::Request<'_>) -> Result<Vec<u8>> {
        let jobs = cx.scheduler();
        match request.method() {
            "ask" => {
                jobs.run_now("beat")?;
                Err(jobs.run_now("beat").expect_err("it has not ended"))
            }
            "queue" => {
                jobs.run_now("queue")?;
                jobs.run_now("queue")?;
                Err(jobs.run_now("queue").expect_err("one waits"))
            }
            "circle" => Err(jobs.after("nightly", "report", |_, _| Ok(())).expect_err("a circle")),
            _ => Err(jobs
                .after_with("x", "beat", &JobOptions::new().durable(), |_, _| Ok(()))
                .expect_err("not durable")),
        }
    }
}

plugin!(
    Worker,
    inline r#"{
        "id": "worker", "version": "1.0.0", "abi": "1.0",
        "provides": { "work": { "version": "1.0", "methods": ["ask", "circle", "mixed", "queue"] } },
        "services": { "scheduler": {}, "cache": {}, "storage": {} }
    }"#
);

fn seen(host: &Host, key: &str) -> i64 {
    host.cache("seen").get_integer(key).expect("a counter").unwrap_or(0)
}

#[test]
fn a_run_that_fails_is_tried_again_and_has_one_id() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    host.cache("seen").incr("failures", 2)?;
    assert_eq!(host.run_job("nightly").expect_err("the first").status(), Status::Unavailable);
    let first = host.cache("seen").get("id")?;
    assert!(host.scheduler().list()?.iter().any(|job| job.name == "nightly" && job.running));
    host.advance(SECOND * 10)?;
    assert_eq!(host.scheduler().history("nightly")?.len(), 0, "the second has failed");
    host.advance(SECOND * 19)?;
    assert_eq!(host.scheduler().history("nightly")?.len(), 0, "each time it waits twice as long");
    host.advance(SECOND)?;
    let runs = host.scheduler().history("nightly")?;
    assert_eq!((runs.len(), runs[0].attempts, runs[0].json::<u32>()?), (1, 3, 3));
    assert_eq!((runs[0].duration, host.cache("seen").get("id")?), (SECOND * 30, first));
    assert_eq!(seen(&host, "reports"), 1, "what follows it has run once");
    host.cache("seen").incr("failures", 10)?;
    assert!(host.run_job("nightly").is_err());
    host.advance(SECOND * 100)?;
    let runs = host.scheduler().history("nightly")?;
    assert_eq!(runs[0].reply.as_ref().expect_err("the last").message(), "not yet");
    assert_eq!((runs.len(), runs[0].attempts, seen(&host, "reports")), (2, 3, 1));
    let job = host.scheduler().list()?.into_iter().find(|job| job.name == "nightly").expect("it is there");
    assert_eq!((job.runs, job.failed, job.running), (2, 1, false));
    Ok(())
}

#[test]
fn a_job_that_is_paused_runs_only_if_it_is_asked_for() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    host.scheduler().pause("beat")?;
    host.advance(SECOND * 300)?;
    assert_eq!(seen(&host, "beats"), 0);
    assert_eq!(host.call("work", "ask", b"").expect_err("skipped").status(), Status::Busy);
    assert_eq!((seen(&host, "asked"), seen(&host, "beats")), (1, 0));
    host.scheduler().resume("beat")?;
    host.advance(SECOND * 59)?;
    assert_eq!(seen(&host, "beats"), 0, "an interval begins anew");
    host.advance(SECOND)?;
    assert_eq!(seen(&host, "beats"), 1);
    assert_eq!(host.scheduler().pause("none").expect_err("no job").status(), Status::NotFound);
    Ok(())
}

#[test]
fn one_run_waits_behind_another_where_the_overlap_says_so() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    assert_eq!(host.call("work", "queue", b"").expect_err("a third").status(), Status::Busy);
    assert_eq!(seen(&host, "queued"), 2);
    let runs = host.scheduler().history("queue")?;
    assert!(runs.len() == 2 && runs[0].id > runs[1].id && runs.iter().all(|run| run.requested));
    Ok(())
}

#[test]
fn a_durable_job_outlives_the_plugin_until_it_is_forgotten() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    host.cache("seen").incr("failures", 1)?;
    assert!(host.run_job("nightly").is_err());
    host.unload()?;
    let jobs = host.scheduler().list()?;
    let names: Vec<_> = jobs.iter().map(|job| (job.name.as_str(), job.waiting)).collect();
    assert_eq!(names, [("all", true), ("nightly", true), ("report", true)]);
    assert_eq!(
        host.scheduler().run_now("nightly").expect_err("nobody runs it").status(),
        Status::Unavailable
    );
    host.advance(SECOND * 190)?;
    let host = host.start::<Worker>()?;
    host.advance(Duration::ZERO)?;
    assert_eq!((seen(&host, "missed"), seen(&host, "seen")), (3, 0));
    assert_eq!(host.scheduler().history("nightly")?[0].attempts, 2);
    host.scheduler().forget("nightly")?;
    assert_eq!(host.scheduler().history("nightly").expect_err("it is gone").status(), Status::NotFound);
    assert_eq!(host.run_job("nightly").expect_err("it is gone").status(), Status::NotFound);
    Ok(())
}

#[test]
fn a_job_of_a_batch_runs_where_the_plugin_handles_it() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    let acme = host.tenant("acme");
    acme.storage()
        .batch()
        .schedule("later-1", BatchJob::once(SECOND), b"crate")
        .schedule("other", BatchJob::once(SECOND), b"")
        .commit()?;
    host.advance(SECOND)?;
    assert_eq!(acme.cache("seen").get("later-1")?.as_deref(), Some(&b"crate"[..]));
    let jobs = acme.scheduler().list()?;
    assert_eq!((jobs.len(), jobs[0].name.as_str(), jobs[0].waiting), (1, "other", true));
    Ok(())
}

#[test]
fn no_job_follows_itself_and_a_durable_one_follows_durable_ones() -> Result<()> {
    let host = Host::new().start::<Worker>()?;
    let circle = host.call("work", "circle", b"").expect_err("a circle");
    assert_eq!(circle.status(), Status::Conflict);
    assert!(circle.message().contains("nightly -> report -> nightly"), "{circle}");
    assert_eq!(host.call("work", "mixed", b"").expect_err("not durable").status(), Status::Conflict);
    Ok(())
}
