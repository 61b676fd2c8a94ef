//! How jobs come, stand and go.

use super::*;

pub(in super::super) fn scheduler_27_a_job_is_there_after_a_restart_as_it_was_asked_for<B: Bed>() {
    let tried = Tried::<B>::new();
    let keeping = Keeping {
        overlap: Overlap::Queue,
        missed: Missed::All,
        start_deadline_ms: 1,
        jitter_ms: 2,
        timeout_ms: 3,
        backoff_ms: 4,
        retries: 100,
    };
    let missed = |missed| Keeping { missed, ..Keeping::default() };
    let cron = Timing::Cron { rule: "0 4 * * *".into(), zone: "Europe/Paris".into() };
    let specs = [
        JobSpec { timing: cron, keeping, data: Vec::new().into() },
        JobSpec { timing: Timing::Every(1), keeping: missed(Missed::Skip), data: (*b"\0\xff").into() },
        JobSpec { timing: Timing::Once(0), keeping: missed(Missed::Once), data: vec![7; 64 << 10].into() },
        JobSpec { timing: Timing::After("0".into()), ..hourly() },
    ];
    let nexts = [Some(START), Some(i64::MAX), Some(0), None];
    let mut expected = Vec::new();
    for (at, (spec, next_ms)) in specs.iter().zip(nexts).enumerate() {
        let name = own(&at.to_string());
        let record = tried.put(&name, spec, next_ms);
        let asked = JobRecord {
            job: record.job,
            name,
            spec: spec.clone(),
            paused: false,
            next_ms,
            last_ms: None,
            runs: 0,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(record, asked);
        expected.push(record);
    }
    assert_eq!(tried.jobs(), expected);
    assert_eq!(tried.restart().jobs(), expected);
}

pub(in super::super) fn scheduler_2_a_job_that_is_scheduled_again_stays_where_it_stands<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let lease = tried.granted(&first(job));
    assert!(tried.store.finish(&lease, &failed(START), &[], false).expect("it answers"));
    let open = tried.granted(&by_schedule(job, START + HOUR, Some(START + 2 * HOUR)));
    assert!(tried.store.set_paused(job, true, Some(START + 2 * HOUR)).expect("it answers"));
    let before = tried.job(job);
    let keeping = Keeping { retries: 3, ..Keeping::default() };
    let other = JobSpec { keeping, data: (*b"other").into(), ..hourly() };
    for spec in [hourly(), other] {
        let after = tried.put(&own("a"), &spec, Some(5));
        assert_eq!(after, JobRecord { spec, ..before.clone() });
        assert_eq!((tried.jobs(), tried.history(job).len()), (vec![after], 1));
        assert_eq!(tried.open()[0].lease, open);
    }
}

pub(in super::super) fn scheduler_2_a_job_with_another_timing_begins_anew_with_its_counts_and_history<
    B: Bed,
>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let cron = |rule: &str, zone: &str| Timing::Cron { rule: rule.into(), zone: zone.into() };
    let timings = [
        Timing::Every(HOUR + 1),
        Timing::Once(HOUR + 1),
        Timing::Once(HOUR),
        cron("@daily", ""),
        cron("@daily", "Asia/Tokyo"),
        cron("@hourly", "Asia/Tokyo"),
        Timing::After("@hourly".into()),
        Timing::After("b".into()),
    ];
    let mut before = tried.job(job);
    for (at, timing) in (1..).zip(timings) {
        let due_ms = before.next_ms.expect("it is due");
        let wanted = Wanted { passed_over: 2, ..by_schedule(job, due_ms, None) };
        let lease = tried.granted(&wanted);
        assert!(tried.store.finish(&lease, &failed(START), &[], false).expect("it answers"));
        assert!(tried.store.set_paused(job, true, None).expect("it answers"));
        let next_ms = Some(START - at);
        let after = tried.put(&own("a"), &spec(timing.clone()), next_ms);
        let (runs, failed, skipped) = (at as u64, at as u64, 2 * at as u64);
        let spec = spec(timing);
        let expected =
            JobRecord { spec, paused: false, next_ms, last_ms: None, runs, failed, skipped, ..before };
        assert_eq!(after, expected);
        assert_eq!(tried.history(job).len() as u64, runs);
        before = after;
    }
}

/// Each differs from the others in one part.
fn names() -> [JobName; 5] {
    [
        name("shop", "", "a"),
        name("shop", "acme", "a"),
        name("shop", "acme", "b"),
        name("shop", "zeta", "a"),
        name("till", "acme", "a"),
    ]
}

pub(in super::super) fn a_job_is_known_by_its_whole_name<B: Bed>() {
    let tried = Tried::<B>::new();
    let mut numbers: Vec<_> = names().iter().map(|name| tried.put(name, &hourly(), None).job).collect();
    let again: Vec<_> =
        names().iter().map(|name| tried.put(name, &spec(Timing::Every(1)), None).job).collect();
    assert_eq!(numbers, again);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), names().len());
}

pub(in super::super) fn a_name_is_any_text<B: Bed>() {
    let tried = Tried::<B>::new();
    let long = "ä".repeat(64);
    let texts = [
        "'; DROP TABLE scheduler_jobs; --",
        "\"",
        "%",
        "*",
        "A",
        "a",
        " a",
        "a ",
        "\u{1}",
        "日本",
        "🦀",
        &long,
    ];
    let mut expected: Vec<_> = texts.map(|text| name(text, text, text)).into();
    let numbers: Vec<_> = expected.iter().map(|name| tried.put(name, &hourly(), None).job).collect();
    let tried = tried.restart();
    for (name, job) in expected.iter().zip(numbers) {
        let JobName { plugin, tenant, name } = name;
        let of = Of { plugin: Some(plugin), tenant: Some(tenant), name: Some(name) };
        let found = tried.store.jobs(&of).expect("it answers");
        assert_eq!(found.iter().map(|record| record.job).collect::<Vec<_>>(), [job], "{name:?}");
    }
    expected.sort();
    assert_eq!(tried.jobs().into_iter().map(|record| record.name).collect::<Vec<_>>(), expected);
}

/// Who is asked for, and which of [`names`] that are.
type Question = ([Option<&'static str>; 3], &'static [usize]);

const QUESTIONS: [Question; 11] = [
    ([None, None, None], &[0, 1, 2, 3, 4]),
    ([Some("shop"), None, None], &[0, 1, 2, 3]),
    ([None, Some("acme"), None], &[1, 2, 4]),
    ([None, Some(""), None], &[0]),
    ([None, None, Some("a")], &[0, 1, 3, 4]),
    ([Some("shop"), Some("acme"), None], &[1, 2]),
    ([Some("shop"), None, Some("a")], &[0, 1, 3]),
    ([None, Some("acme"), Some("a")], &[1, 4]),
    ([Some("shop"), Some("acme"), Some("a")], &[1]),
    ([Some("sho"), None, None], &[]),
    ([Some(""), None, None], &[]),
];

fn of([plugin, tenant, name]: [Option<&'static str>; 3]) -> Of<'static> {
    Of { plugin, tenant, name }
}

pub(in super::super) fn jobs_are_listed_by_all_that_is_given_in_the_order_of_their_names<B: Bed>() {
    let tried = Tried::<B>::new();
    for at in [3, 0, 4, 2, 1] {
        tried.put(&names()[at], &hourly(), None);
    }
    for (asked, found) in QUESTIONS {
        let told = tried.store.jobs(&of(asked)).expect("it answers");
        let told: Vec<_> = told.into_iter().map(|record| record.name).collect();
        let expected: Vec<_> = found.iter().map(|at| names()[*at].clone()).collect();
        assert_eq!(told, expected, "{asked:?}");
    }
}

pub(in super::super) fn a_plugin_has_as_many_jobs_as_it_may_and_no_more<B: Bed>() {
    let tried = Tried::<B>::new();
    let put = |name: &JobName, most| kind(tried.store.put(name, &hourly(), None, "origin", most));
    for at in 0..2 {
        tried.put(&name("shop", &at.to_string(), "a"), &hourly(), None);
    }
    assert_eq!(put(&name("shop", "2", "a"), 2), Some(ErrorKind::Quota));
    assert_eq!(put(&name("shop", "2", "a"), 0), Some(ErrorKind::Quota));
    assert_eq!(tried.jobs().len(), 2);
    assert_eq!(kind(tried.store.put(&name("shop", "0", "a"), &spec(Timing::Every(1)), None, "", 2)), None);
    assert_eq!(kind(tried.store.put(&name("shop", "0", "a"), &hourly(), None, "", 0)), None, "it is there");
    assert_eq!(kind(tried.store.put(&name("till", "2", "a"), &hourly(), None, "", 1)), None);
    tried.store.forget(&Of { tenant: Some("1"), ..Of::default() }).expect("it answers");
    let put = tried.store.put(&name("shop", "2", "a"), &hourly(), None, "origin", 2).expect("there is room");
    assert!(put.is_some(), "what was refused has not asked");
}

pub(in super::super) fn who_asks_a_second_time_asks_in_vain<B: Bed>() {
    let tried = Tried::<B>::new();
    let asks = |tried: &Tried<B>, name: &str, origin: &str| {
        let put = tried.store.put(&own(name), &spec(Timing::Once(5)), Some(START), origin, 10);
        put.expect("it answers").is_some()
    };
    assert!(asks(&tried, "a", "1"));
    assert!(!asks(&tried, "a", "1"));
    assert!(!asks(&tried, "b", "1"), "it is not the job that is known");
    assert!(asks(&tried, "b", "2"));
    assert!(asks(&tried, "b", "3"), "another one may schedule the same");
    let before = tried.jobs();
    let put = tried.store.put(&own("a"), &hourly(), None, "1", 0).expect("known, whatever is asked for");
    assert_eq!((put, tried.jobs()), (None, before));
    // The job has run and is gone, and whoever did not hear that it was scheduled comes again.
    assert_eq!(tried.store.forget(&Of::default()).expect("it answers"), 2);
    let tried = tried.restart();
    tried.pass(24 * 3_600_000 - 1);
    for origin in ["1", "2", "3"] {
        assert!(!asks(&tried, "a", origin), "{origin}");
    }
    assert_eq!(tried.jobs(), []);
    for _ in 0..3 {
        assert!(asks(&tried, "a", ""), "nobody has no name");
    }
}

pub(in super::super) fn a_day_later_it_is_not_known_any_more_who_has_asked<B: Bed>() {
    let tried = Tried::<B>::new();
    let asks = |number: usize| {
        let origin = format!("origin {number}");
        let put = tried.store.put(&own("a"), &hourly(), None, &origin, 1);
        put.expect("it answers").is_some()
    };
    for number in 0..100 {
        assert!(asks(number));
        tried.pass(1);
    }
    tried.pass(24 * 3_600_000 - 51);
    for number in 0..50 {
        assert!(asks(number), "{number} is forgotten");
    }
    for number in (0..100).rev() {
        assert!(!asks(number), "{number} is known");
    }
}

pub(in super::super) fn what_is_forgotten_is_gone_with_its_runs_and_the_rest_is_not<B: Bed>() {
    for (asked, found) in QUESTIONS {
        let tried = Tried::<B>::new();
        let mut numbers = Vec::new();
        for name in names() {
            let job = tried.put(&name, &hourly(), Some(START)).job;
            let lease = tried.granted(&first(job));
            tried.finish(&lease);
            numbers.push((job, tried.requested(job)));
        }
        assert_eq!(tried.store.forget(&of(asked)).expect("it answers"), found.len() as u64, "{asked:?}");
        assert_eq!(tried.store.forget(&of(asked)).expect("it answers"), 0, "{asked:?}");
        let tried = tried.restart();
        let left: Vec<_> = tried.jobs().iter().map(|record| record.job).collect();
        let open: Vec<_> = tried.open().iter().map(|run| run.job).collect();
        for (at, (job, lease)) in numbers.into_iter().enumerate() {
            let there = !found.contains(&at);
            let seen = [left.contains(&job), open.contains(&job), tried.history(job).len() == 1];
            assert_eq!(seen, [there; 3], "{asked:?}, {at}");
            let finished = tried.store.finish(&lease, &ok(START), &[], false).expect("it answers");
            assert_eq!(finished, there, "{asked:?}, {at}");
            if !there {
                assert_eq!(tried.claim(&requested(job, START)), Claim::Gone);
                assert_eq!(tried.store.take_over(lease.run, i64::MAX, START).expect("it answers"), None);
                assert!(!tried.store.set_paused(job, false, None).expect("it answers"));
                tried.store.pass_over(job, 1, None).expect("nothing happens");
                let again = tried.put(&names()[at], &hourly(), None);
                assert_eq!((again.runs, tried.history(again.job).len()), (0, 0));
            }
        }
    }
}

pub(in super::super) fn no_number_of_a_job_or_a_run_is_used_again<B: Bed>() {
    let mut tried = Tried::<B>::new();
    let mut last = (0, 0);
    for round in 0..4 {
        let job = tried.hourly("a");
        let run = tried.requested(job).run;
        assert!(job > last.0 && run > last.1, "{job} and {run} come after {last:?}");
        last = (job, run);
        assert_eq!(tried.store.forget(&Of::default()).expect("it answers"), 1);
        if round % 2 == 0 {
            tried = tried.restart();
        }
    }
}

pub(in super::super) fn scheduler_25_a_job_is_paused_until_it_goes_on<B: Bed>() {
    let tried = Tried::<B>::new();
    let (job, other) = (tried.hourly("a"), tried.hourly("b"));
    for (paused, next_ms) in [(true, None), (true, Some(5)), (false, Some(7)), (false, None)] {
        assert!(tried.store.set_paused(job, paused, next_ms).expect("it answers"));
        let record = tried.job(job);
        assert_eq!((record.paused, record.next_ms), (paused, next_ms));
    }
    assert!(tried.store.set_paused(job, true, None).expect("it answers"));
    let record = tried.job(other);
    assert_eq!((record.paused, record.next_ms), (false, Some(START)));
    assert!(!tried.store.set_paused(other + 1, true, None).expect("it answers"));
    let tried = tried.restart();
    assert!(tried.job(job).paused);
}

pub(in super::super) fn due_times_are_passed_over_once<B: Bed>() {
    let tried = Tried::<B>::new();
    let job = tried.hourly("a");
    let pass_over = |skipped, next_ms| {
        tried.store.pass_over(job, skipped, next_ms).expect("it answers");
        let record = tried.job(job);
        (record.next_ms, record.skipped)
    };
    let next = |hours: i64| Some(START + hours * HOUR);
    assert_eq!(pass_over(2, next(2)), (next(2), 2));
    assert_eq!(pass_over(2, next(2)), (next(2), 2), "another engine was faster");
    assert_eq!(pass_over(1, next(1)), (next(2), 2));
    assert_eq!(pass_over(0, next(3)), (next(3), 2));
    assert_eq!(pass_over(1, None), (None, 3));
    assert_eq!(pass_over(1, None), (None, 3));
    assert_eq!(pass_over(1, next(9)), (None, 3), "it is due no more");
    assert_eq!((tried.job(job).last_ms, tried.job(job).runs), (None, 0));
    tried.store.pass_over(job + 1, 1, None).expect("nothing happens");
}
