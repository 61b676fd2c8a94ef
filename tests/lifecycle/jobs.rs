//! Jobs of plugins, as the scheduler runs them on the plugin's lane.

use pintle::scheduler::JobInfo;

use crate::scene::{Scene, ask, emit, info, until};

fn job(host: &pintle::Host, name: &str) -> JobInfo {
    host.jobs().into_iter().find(|job| &*job.name == name).unwrap_or_else(|| panic!("there is no job {name}"))
}

#[test]
fn a_job_runs_on_the_lane_so_never_beside_a_handler() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene = scene.witness("witness", &[("load", "subscribe w.>; interval tick 1"), ("event", &hang)]);
    let host = scene.started();
    emit(&host, "", "w.a", "");
    until("it is being handled", || scene.count("witness", "hangs") == 1);
    let ran = scene.count("witness", "job ");
    until("runs are skipped, because one waits", || job(&host, "tick").skipped > 5);
    assert_eq!(scene.count("witness", "job "), ran);
    scene.free("gate");
    until("it runs again", || scene.count("witness", "job ") > ran + 1);
}

#[test]
fn scheduler_11_a_run_that_is_due_while_the_last_has_not_ended_is_skipped() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene =
        scene.witness_with("witness", &["-DCONCURRENCY=4"], &[("load", "interval tick 1"), ("job", &hang)]);
    let host = scene.started();
    until("it runs", || scene.count("witness", "hangs") == 1);
    until("others are skipped", || job(&host, "tick").skipped > 5);
    let now = job(&host, "tick");
    assert!(now.running && now.runs == 1, "{now:?}");
    assert_eq!(info(&host, "witness").counters.running, 1);
    scene.free("gate");
    until("it goes on", || scene.count("witness", "job ") > 2);
    assert!(job(&host, "tick").next_ms.is_some());
}

#[test]
fn scheduler_12_with_the_policy_queue_one_run_waits_and_no_more() {
    let scene = Scene::new();
    let hang = format!("hang {}", scene.path("gate").display());
    let scene =
        scene.witness_with("witness", &["-DCONCURRENCY=4"], &[("load", "queue tick 1"), ("job", &hang)]);
    let host = scene.started();
    until("it runs", || scene.count("witness", "hangs") == 1);
    until("others are skipped", || job(&host, "tick").skipped > 5);
    assert_eq!((info(&host, "witness").counters.running, scene.count("witness", "hangs")), (1, 1));
    scene.free("gate");
    until("it goes on", || scene.count("witness", "job ") > 2);
}

#[test]
fn scheduler_15_after_remove_a_job_runs_no_more() {
    let scene = Scene::new().witness("witness", &[("load", "interval tick 1; interval tock 1")]);
    let host = scene.started();
    until("it runs", || scene.count("witness", "job tick") > 1);
    assert_eq!(ask(&host, "", "witness", "remove tick")[0], "remove tick = 0");
    until("it is given back", || scene.count("witness", "release tick") == 1);
    let ran = scene.count("witness", "job tick");
    let other = scene.count("witness", "job tock");
    until("the other runs on", || scene.count("witness", "job tock") > other + 5);
    assert_eq!(scene.count("witness", "job tick"), ran);
    assert!(ask(&host, "", "witness", "remove tick")[0].starts_with("remove tick = 4"));
    assert_eq!(host.jobs().len(), 1);
}

#[test]
fn scheduler_2_a_job_that_is_scheduled_again_takes_the_place_of_the_first() {
    let scene = Scene::new().witness("witness", &[("load", "interval tick 3600000")]);
    let host = scene.started();
    ask(&host, "", "witness", "interval tick 1");
    assert_eq!(host.jobs().len(), 1);
    until("the new one runs", || scene.count("witness", "job tick") > 0);
    until("the old one is given back", || scene.count("witness", "release tick") == 1);
}

#[test]
fn scheduler_10_once_runs_once_and_is_gone() {
    let scene = Scene::new().witness("witness", &[("enable", "once shot 1; interval tick 1")]);
    let host = scene.started();
    until("it is given back", || scene.count("witness", "release shot") == 1);
    let ticks = scene.count("witness", "job tick");
    until("time goes by", || scene.count("witness", "job tick") > ticks + 5);
    assert_eq!(scene.count("witness", "job shot"), 1);
    assert_eq!(host.jobs().len(), 1);
}

#[test]
fn scheduler_13_a_failing_job_keeps_its_schedule() {
    let scene = Scene::new().witness("witness", &[("load", "interval tick 1"), ("job", "fail no paper")]);
    let host = scene.started();
    until("it goes on", || job(&host, "tick").failed > 3);
    let job = job(&host, "tick");
    assert_eq!(job.last_error.map(|error| error.to_string()), Some("plugin \"witness\": no paper".into()));
}

#[test]
fn a_job_sleeps_while_its_plugin_is_disabled() {
    let scene = Scene::new()
        .witness("witness", &[("load", "interval tick 1")])
        .witness("second", &[("load", "interval tock 1")]);
    let host = scene.started();
    until("it runs", || scene.count("witness", "job tick") > 1);
    host.disable("witness").expect("it is fine");
    assert_eq!(scene.journal("witness").last().map(String::as_str), Some("disable"));
    let ran = scene.count("witness", "job tick");
    let other = scene.count("second", "job tock");
    until("the other runs on", || scene.count("second", "job tock") > other + 5);
    assert_eq!(scene.count("witness", "job tick"), ran);
    assert!(!job(&host, "tick").live);
    host.enable("witness").expect("it is fine");
    until("it runs again", || scene.count("witness", "job tick") > ran);
}
