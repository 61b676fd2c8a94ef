//! What a plugin leaves open is done by default, however it leaves it open.

use std::sync::{Arc, Mutex};

use pintle::{
    Host,
    events::{Event, Policy},
};

use crate::scene::{Scene, ask, until};

/// How a plugin asks for defaults: each under a tenant of this name, so that the names do not meet.
const HOW: [&str; 3] = ["null", "zero", "spelled"];

/// Does commands with each kind of options.
fn each_way(host: &Host, commands: &str) {
    for how in HOW {
        for answer in ask(host, how, "witness", &format!("options {how}; {commands}")) {
            assert!(answer.ends_with("= 0"), "{how}: {answer}");
        }
    }
}

#[test]
fn contract_37_subscriptions_without_options_have_the_defaults() {
    let host = Scene::new().witness("witness", &[]).started();
    each_way(&host, "subscribe w.>");
    let reports = host.subscriptions();
    let kept = HOW.map(|how| {
        let one = reports.iter().find(|one| one.tenant.as_deref() == Some(how)).expect("it was made");
        (one.name.to_string(), one.pattern.as_str().to_owned(), one.capacity, one.policy)
    });
    let defaults = ("w.>".to_owned(), "w.>".to_owned(), 1_024, Policy::DropOldest);
    assert_eq!(kept, [defaults.clone(), defaults.clone(), defaults]);
}

#[test]
fn contract_37_events_without_options_have_the_defaults() {
    let host = Scene::new().witness("witness", &[]).started();
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let hearing = heard.clone();
    host.subscribe("plugin.>", move |event| hearing.lock().expect("no panic").push(event.clone()))
        .expect("the pattern is valid");
    each_way(&host, "emit out.x data");
    until("all are heard", || heard.lock().expect("no panic").len() == HOW.len());
    let heard = heard.lock().expect("no panic");
    for how in HOW {
        let event = heard.iter().find(|event| &*event.tenant == how).expect("it was emitted");
        assert_eq!((event.topic.as_str(), &*event.data), ("plugin.witness.out.x", b"data".as_slice()));
        assert_eq!(
            (&*event.subject, &*event.content_type, &*event.key),
            ("", "application/json", ""),
            "{how}"
        );
        let same = heard.iter().filter(|other| other.id == event.id).count();
        assert!(!event.id.is_empty() && same == 1, "{how}: the host makes the id {:?}", event.id);
    }
}

#[test]
fn contract_37_jobs_without_options_have_the_defaults() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("job", &hang)]);
    let host = scene.started();
    // Rules are in UTC by default, and 3 o'clock there is 3 o'clock nowhere else.
    each_way(&host, "cron daily 0 3 * * *; once once 3600000");
    let jobs = host.jobs();
    let of = |how: &str, name: &str| {
        let found = jobs.iter().find(|job| job.tenant.as_deref() == Some(how) && &*job.name == name);
        found.unwrap_or_else(|| panic!("{name} of {how} is not there: {jobs:?}")).clone()
    };
    for how in HOW {
        let daily = of(how, "daily");
        assert_eq!(daily.when, of("spelled", "daily").when, "{how}");
        let next = daily.next_ms.expect("it has a next run");
        assert_eq!(next.rem_euclid(86_400_000), 3 * 3_600_000, "{how}: {daily:?}");
        assert_eq!(of(how, "once").when, of("spelled", "once").when, "{how}");
    }
    // A run that is due while the last one has not ended is skipped by default. What would queue one comes first,
    // and is therefore never behind in its beats: it has skipped one less.
    ask(&host, "queue", "witness", "queue beat 100");
    each_way(&host, "interval beat 100");
    until("each has skipped one more than what queues one", || {
        let jobs = host.jobs();
        let skipped = |tenant: &str| {
            let found = jobs.iter().find(|job| job.tenant.as_deref() == Some(tenant) && &*job.name == "beat");
            found.expect("it was made").skipped
        };
        skipped("queue") > 0 && HOW.iter().all(|how| skipped(how) == skipped("queue") + 1)
    });
    scene.free("gate");
}
