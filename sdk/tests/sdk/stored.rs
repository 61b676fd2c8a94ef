//! The newer half of the storage through the SDK's safe methods, on the test host: lifetimes, counters, batches, watches.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use pintle_plugin::{
    BatchJob, ChangeKind, CheckedSum, CheckedWrite, Context, EmitOptions, Error, Fetched, Level, Lifetime,
    Overlap, Plugin, Result, Status, Storage, StorageOptions, plugin,
    test::{Host, Timing},
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn status<T: std::fmt::Debug>(outcome: Result<T>) -> Status {
    outcome.expect_err("it must fail").status()
}

#[test]
fn an_item_lives_as_long_as_it_was_told_by_the_hosts_clock() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let lifetime = |key: &str| storage.get_item(key).map(|item| item.map(|item| item.lifetime));
    storage.set("ever", b"x")?;
    storage.set_for("k", b"x", SECOND)?;
    storage.set_json_for("json", &1, Duration::from_nanos(1))?;
    assert_eq!(lifetime("ever")?, Some(Lifetime::Endless));
    assert_eq!(lifetime("json")?, Some(Lifetime::For(Duration::from_millis(1))), "never early");
    host.advance(Duration::from_millis(999))?;
    assert_eq!(lifetime("k")?, Some(Lifetime::For(Duration::from_millis(1))));
    assert_eq!(storage.stats()?.items, 2, "one has expired");
    host.advance(Duration::from_millis(1))?;
    assert_eq!((storage.get("k")?, storage.exists("k")?, storage.remove("k")?), (None, false, false));
    assert_eq!(storage.keys("").collect::<Result<Vec<_>>>()?, ["ever"]);
    assert!(matches!(storage.create("k", b"y")?, CheckedWrite::Written(_)), "nobody is there");
    Ok(())
}

#[test]
fn a_write_replaces_the_lifetime_unless_it_is_to_keep_it() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let lifetime = || Ok::<_, Error>(storage.get_item("k")?.expect("it is there").lifetime);
    let keep = StorageOptions::new().lifetime(SECOND).keep_lifetime();
    let _ = storage.set_with("k", b"1", keep)?;
    assert_eq!(lifetime()?, Lifetime::Endless, "there was none to keep");
    let _ = storage.set_with("k", b"2", SECOND * 9)?;
    host.advance(SECOND)?;
    let _ = storage.set_json_with("k", &3, keep)?;
    assert_eq!(lifetime()?, Lifetime::For(SECOND * 8));
    storage.set("k", b"4")?;
    assert_eq!(lifetime()?, Lifetime::Endless);
    let before = storage.get_item("k")?.expect("it is there").version;
    assert!(storage.expire("k", SECOND)? && !storage.expire("none", SECOND)?);
    let after = storage.get_item("k")?.expect("it is there");
    assert_eq!((after.lifetime, after.version), (Lifetime::For(SECOND), before + 1), "it is a write");
    assert!(storage.expire("k", Lifetime::Endless)?);
    assert_eq!(lifetime()?, Lifetime::Endless);
    assert!(storage.expire("k", Duration::ZERO)?);
    assert!(!storage.exists("k")?);
    Ok(())
}

#[test]
fn a_lifetime_of_nothing_is_refused_and_not_endless() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    storage.set("k", b"old")?;
    let error = storage.set_for("k", b"new", Duration::ZERO).expect_err("no time");
    assert_eq!(
        (error.status(), error.message()),
        (Status::OutOfRange, "stored item \"k\": the lifetime must be longer than nothing")
    );
    for span in [Duration::ZERO, Duration::MAX] {
        assert_eq!(status(storage.set_for("k", b"new", span)), Status::OutOfRange);
        assert_eq!(status(storage.incr_for("n", 1, span)), Status::OutOfRange);
        let error = storage.batch().remove("k").set_with("n", b"", span).commit().expect_err("no time");
        assert_eq!((error.status(), error.step()), (Status::OutOfRange, Some(1)));
    }
    assert_eq!(status(storage.expire("k", Duration::MAX)), Status::OutOfRange);
    assert_eq!((storage.get("k")?, storage.exists("n")?), (Some(b"old".to_vec()), false));
    Ok(())
}

#[test]
fn a_number_is_the_digits_that_it_reads_as() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    assert_eq!((storage.incr("n", 5)?, storage.incr("n", -7)?), (5, -2));
    assert_eq!((storage.get("n")?, storage.get_integer("n")?), (Some(b"-2".to_vec()), Some(-2)));
    assert_eq!(storage.get_integer("none")?, None);
    for text in ["", "007", "+7", "-0", " 1", "1.0", "9223372036854775808"] {
        storage.set("k", text.as_bytes())?;
        assert_eq!(status(storage.incr("k", 1)), Status::WrongType, "{text:?}");
        assert_eq!(status(storage.get_integer("k")), Status::WrongType, "{text:?}");
        assert_eq!(storage.get("k")?.as_deref(), Some(text.as_bytes()), "nothing was changed");
    }
    storage.set("k", i64::MAX.to_string().as_bytes())?;
    assert_eq!(status(storage.incr("k", 1)), Status::OutOfRange);
    assert_eq!(storage.get_integer("k")?, Some(i64::MAX));
    Ok(())
}

#[test]
fn counting_does_not_keep_a_counter_alive_and_holds_to_its_condition() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    assert_eq!(storage.incr_for("n", 1, SECOND * 2)?, 1);
    host.advance(SECOND)?;
    assert_eq!(storage.incr_for("n", 1, SECOND * 2)?, 2);
    let version = storage.get_item("n")?.expect("it is there").version;
    let only = |version| StorageOptions::new().only_if_version(version);
    assert_eq!(storage.incr_with("n", 5, only(version - 1))?, CheckedSum::Conflict(Some(version)));
    assert_eq!(storage.incr_with("m", 5, only(version))?, CheckedSum::Conflict(None));
    let counted = CheckedSum::Counted { sum: 7, version: version + 1 };
    assert_eq!(storage.incr_with("n", 5, only(version))?, counted);
    host.advance(SECOND)?;
    assert_eq!(storage.incr("n", 1)?, 1);
    Ok(())
}

#[test]
fn reading_into_a_buffer_tells_how_much_is_needed() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let mut buffer = [7_u8; 4];
    assert_eq!(storage.get_into("k", &mut buffer)?, Fetched::Missing);
    storage.set("k", b"12345")?;
    assert_eq!(storage.get_into("k", &mut buffer)?, Fetched::TooSmall(5));
    assert_eq!(buffer, [7; 4], "and nothing was written");
    assert_eq!(storage.get_into("k", &mut [0; 9])?, Fetched::Found(b"12345"));
    assert_eq!(storage.get_into("k", &mut [])?, Fetched::TooSmall(5));
    storage.set("k", b"")?;
    assert_eq!(storage.get_into("k", &mut [])?, Fetched::Found(b""));
    Ok(())
}

#[test]
fn what_is_no_json_is_refused_before_it_is_written() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    storage.set_json_text("k", r#" { "a": [1, 2.5e3, "\u00fc", null] } "#)?;
    let as_it_stood = storage.get("k")?;
    for text in ["", "{", "{} {}", "[1,]", "'a'", "NaN", "{\"a\": 1, }"] {
        assert_eq!(status(storage.set_json_text("k", text)), Status::InvalidArgument, "{text}");
    }
    assert_eq!(storage.get("k")?, as_it_stood);
    Ok(())
}

#[test]
fn stats_count_what_one_tenant_has() -> Result<()> {
    let host = Host::new();
    let (storage, acme) = (host.context().storage(), host.tenant("acme"));
    storage.set("ab", b"cde")?;
    let last = acme.storage().set("k", b"")?;
    let stats = storage.stats()?;
    assert_eq!((stats.items, stats.bytes, stats.version), (1, 5, last));
    assert_eq!((stats.most_items, stats.most_bytes), (None, None));
    assert_eq!(acme.storage().stats()?.bytes, 1);
    Ok(())
}

#[test]
fn a_batch_does_all_of_its_steps_and_tells_of_each() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let version = storage.set("old", b"x")?;
    let done = storage
        .batch()
        .check("old", version)
        .set("a", b"1")
        .set_json_with("b", &[1], StorageOptions::new().only_if_absent().lifetime(SECOND))
        .incr("a", 41) // sees what is before it
        .incr_with("n", 1, SECOND)
        .remove("old")
        .remove("none")
        .remove_if_version("a", version + 3)
        .commit()?;
    let told: Vec<_> = done.iter().map(|step| (step.version.is_some(), step.value)).collect();
    assert_eq!(
        told,
        [(false, 0), (true, 0), (true, 0), (true, 42), (true, 1), (true, 1), (false, 0), (true, 1)]
    );
    let left: Vec<_> = storage.keys("").collect::<Result<_>>()?;
    assert_eq!(left, ["b", "n"]);
    host.advance(SECOND)?;
    assert_eq!(storage.stats()?.items, 0, "both had a lifetime");
    assert!(storage.batch().commit()?.is_empty());
    Ok(())
}

#[test]
fn a_batch_that_fails_does_nothing_and_says_which_step_it_was() -> Result<()> {
    let host = Host::new();
    let storage = host.context().storage();
    let version = storage.set("k", b"text")?;
    let begin = || storage.batch().set("new", b"").remove("k").set("k", b"text");
    let cases: [(pintle_plugin::Batch<'_>, Status, usize); 7] = [
        (begin().check("none", 1), Status::Conflict, 3),
        (begin().incr("k", 1), Status::WrongType, 3),
        (begin().set("", b""), Status::InvalidArgument, 3),
        (begin().set("large", &vec![0; (4 << 20) + 1]), Status::TooLarge, 3),
        (begin().emit("no..topic", b""), Status::InvalidArgument, 3),
        (begin().emit_with("said", b"", &EmitOptions::new().wait(SECOND)), Status::InvalidArgument, 3),
        (begin().schedule("j", BatchJob::every(Duration::ZERO), b""), Status::OutOfRange, 3),
    ];
    for (batch, expected, step) in cases {
        let about = format!("{batch:?} {expected:?}");
        let error = batch.emit("said", b"").commit().expect_err(&about);
        assert_eq!((error.status(), error.step(), error.current()), (expected, Some(step), None), "{about}");
    }
    let error = storage.batch().incr("n", 1).check("k", 0).commit().expect_err("it is there");
    assert_eq!((error.status(), error.step(), error.current()), (Status::Conflict, Some(1), Some(version)));
    let error: Error = error.into();
    assert!(error.message().contains("\"k\""), "{error}");

    let mut many = storage.batch();
    for at in 0..129 {
        many = many.set(&at.to_string(), b"");
    }
    let error = many.commit().expect_err("more than 128");
    assert_eq!((error.status(), error.step()), (Status::TooLarge, None));
    let large = vec![0; 4 << 20];
    let mut heavy = storage.batch();
    for at in 0..5 {
        heavy = heavy.set(&at.to_string(), &large);
    }
    assert_eq!(status(heavy.commit().map_err(Error::from)), Status::TooLarge);

    assert_eq!(storage.keys("").collect::<Result<Vec<_>>>()?, ["k"]);
    assert_eq!(storage.get_item("k")?.expect("as it was").version, version);
    assert_eq!((host.emitted().len(), host.scheduled().len()), (0, 0));
    Ok(())
}

#[test]
fn events_and_jobs_of_a_batch_are_seen_by_the_test() -> Result<()> {
    let host = Host::new();
    let acme = host.tenant("acme");
    acme.storage()
        .batch()
        .set("k", b"")
        .emit_json("moved", &json!({ "to": "B2" }))
        .emit_with("moved", b"x", &EmitOptions::new().id("my-1").subject("s").content_type("text/plain"))
        .schedule("weigh", BatchJob::once(SECOND), b"crate")
        .schedule("beat", BatchJob::every(SECOND * 5).overlap(Overlap::Queue), b"")
        .schedule("nightly", BatchJob::cron("0 4 * * *").zone("Europe/Vienna"), b"")
        .commit()?;
    let emitted = host.emitted();
    assert_eq!(emitted[0].json::<serde_json::Value>()?, json!({ "to": "B2" }));
    assert_eq!(
        (emitted[1].topic.as_str(), emitted[1].id.as_str(), emitted[1].subject.as_deref()),
        ("plugin.test.moved", "my-1", Some("s"))
    );
    assert!(emitted.iter().all(|event| event.tenant.as_deref() == Some("acme")));
    let jobs = host.scheduled();
    let cron = Timing::Cron { rule: "0 4 * * *".into(), zone: "Europe/Vienna".into() };
    let timings: Vec<_> = jobs.iter().map(|job| job.timing.clone()).collect();
    assert_eq!(timings, [Timing::Once(SECOND), Timing::Every(SECOND * 5), cron]);
    assert_eq!((jobs[0].name.as_str(), jobs[0].data.as_slice()), ("weigh", b"crate".as_slice()));
    assert_eq!((jobs[1].overlap, jobs[0].tenant.as_deref()), (Overlap::Queue, Some("acme")));
    for job in [BatchJob::cron("not a rule"), BatchJob::once(SECOND * 86_400 * 367)] {
        let refused = acme.storage().batch().schedule("bad", job, b"").commit().expect_err("no job");
        assert_eq!(refused.step(), Some(0), "{refused}");
    }
    assert_eq!(host.scheduled().len(), 3);
    Ok(())
}

/// Writes down what its watches are told.
struct Watcher {
    told: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    fn noting(
        &self,
        by: &'static str,
    ) -> impl Fn(&Context, &pintle_plugin::Change<'_>) -> Result<()> + Send + Sync + use<> {
        let told = Arc::clone(&self.told);
        move |cx, change| {
            let value = if change.kind() == ChangeKind::Set { cx.storage().get(change.key())? } else { None };
            let value = value.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default();
            let line = format!("{by} {:?} {} {} {value}", change.kind(), change.key(), change.version());
            told.lock().expect("nobody panics with it").push(line.trim_end().to_owned());
            if value == "bad" { Err(Error::new(Status::Conflict, "told to")) } else { Ok(()) }
        }
    }
}

impl Plugin for Watcher {
    fn load(cx: &Context) -> Result<Self> {
        let watcher = Self { told: Arc::default() };
        cx.storage().watch("early/", watcher.noting("load"))?;
        Ok(watcher)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        cx.storage().watch("a/", self.noting("now"))?;
        let over = cx.storage().watch("", self.noting("over"))?;
        over.unwatch(cx)?;
        assert_eq!(status(over.unwatch(cx)), Status::StaleHandle);
        cx.events().subscribe("do.follow", {
            let told = self.noting("after");
            let told = Arc::new(told);
            move |cx, event| {
                let told = Arc::clone(&told);
                cx.storage().watch_after("", event.json()?, move |cx, change| told(cx, change)).map(drop)
            }
        })?;
        cx.events().subscribe("do.write", |cx, event| {
            let pairs: Vec<(String, Option<String>)> = event.json()?;
            for (key, value) in pairs {
                match value {
                    Some(value) => drop(cx.storage().set(&key, value.as_bytes())?),
                    None => drop(cx.storage().remove(&key)?),
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn call(&self, _: &Context, _: &pintle_plugin::Request<'_>) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&std::mem::take(&mut *self.told.lock().expect("nobody panics with it")))?)
    }
}

plugin!(
    Watcher,
    inline r#"{
        "id": "watcher", "version": "1.0.0", "abi": "1.0",
        "services": { "storage": {}, "events": { "subscribe": ["do.>"] } },
        "provides": { "watcher.told": { "major": 1, "methods": ["told"] } }
    }"#,
    entry = watcher
);

fn told(host: &Host) -> Result<Vec<String>> {
    host.call_json("watcher.told", "told", &())
}

#[test]
fn a_watch_is_told_what_changes_below_its_prefix_once_the_function_has_returned() -> Result<()> {
    let host = Host::new().start::<Watcher>()?;
    host.tenant("acme").emit_json("do.write", &[("a/1", Some("another tenant's"))])?;
    assert_eq!(told(&host)?, Vec::<String>::new());
    host.emit_json(
        "do.write",
        &[("a/1", Some("x")), ("b/1", Some("x")), ("a/2", Some("bad")), ("a/1", Some("y")), ("a/3", None)],
    )?;
    assert_eq!(told(&host)?, ["now Set a/2 4 bad", "now Set a/1 5 y"], "the last change of each key");
    let failed = host.take_logs();
    let failed = failed.iter().find(|record| record.level == Level::Error).expect("one handler failed");
    assert_eq!(failed.field("name"), Some(&json!("a/")));

    host.emit_json("do.write", &[("a/1", None::<&str>), ("early/x", Some("x"))])?;
    assert_eq!(told(&host)?, ["now Removed a/1 6", "load Set early/x 7 x"]);
    host.storage().set_for("a/4", b"", SECOND)?;
    host.advance(SECOND)?;
    assert_eq!(told(&host)?, ["now Set a/4 8", "now Expired a/4 9"]);
    host.storage().clear()?;
    host.advance(Duration::ZERO)?;
    assert_eq!(told(&host)?, ["load Cleared  10", "now Cleared  10"]);
    Ok(())
}

#[test]
fn a_watch_resumes_where_it_was_and_begins_anew_where_that_is_forgotten() -> Result<()> {
    let host = Host::new().start::<Watcher>()?;
    let storage: Storage<'_> = host.storage();
    for key in ["x", "y", "z"] {
        storage.set(key, b"")?;
    }
    storage.remove("y")?;
    storage.set("x", b"again")?;
    let follow = |after: u64| host.emit_json("do.follow", &after).map(drop);
    follow(0)?;
    assert_eq!(told(&host)?, ["after Set z 3", "after Set x 5 again"], "no removal from before");
    follow(3)?;
    assert_eq!(told(&host)?, ["after Removed y 4", "after Set x 5 again"]);
    follow(5)?;
    assert_eq!(told(&host)?, Vec::<String>::new());
    assert_eq!(status(follow(6)), Status::OutOfRange, "there was no such version");
    host.advance(SECOND * (24 * 60 * 60 + 1))?;
    assert_eq!(status(follow(3)), Status::OutOfRange, "the removal is forgotten");
    follow(4)?;
    assert_eq!(told(&host)?, ["after Set x 5 again"]);
    Ok(())
}

#[test]
fn watches_end_with_the_phase_that_they_were_made_in() -> Result<()> {
    let host = Host::new().start::<Watcher>()?;
    host.disable()?;
    host.storage().set("a/1", b"")?;
    host.storage().set("early/1", b"")?;
    host.enable()?;
    assert_eq!(told(&host)?, ["load Set early/1 2"], "that of `load` waited");
    host.storage().set("a/1", b"")?;
    host.advance(Duration::ZERO)?;
    assert_eq!(told(&host)?, ["now Set a/1 3"]);
    Ok(())
}
