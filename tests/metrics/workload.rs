//! What is told of a workload of which every call is known.

use std::fs;

use crate::scene::{PATIENCE, Scene, until};

/// What `busy` does on behalf of "acme", and the calls, failures and bytes that come of it, by service.
const SCRIPT: &str = "log 5\nlog_bad 2\nconfig 3\nconfig_none 4\ncache 6 100\ncache_none 1\nstorage 7 50\nemit 8 10\nemit_denied 2 10\njob 3\ncall 4 20\ncall_none 1 30\nscope 9";
const COUNTED: [(&str, f64, f64, f64); 8] = [
    ("log", 7.0, 2.0, 0.0),
    ("config", 7.0, 0.0, 0.0),
    ("cache", 7.0, 0.0, 600.0),
    ("storage", 7.0, 0.0, 350.0),
    // Those that are refused bring none.
    ("events", 10.0, 2.0, 80.0),
    ("scheduler", 3.0, 0.0, 0.0),
    // Each of the four was answered with one byte; nobody took the fifth, nor what it brought.
    ("call", 5.0, 0.0, 84.0),
    // And one that gives the reply.
    ("host", 10.0, 0.0, 0.0),
];
const OK: &str = "45";

#[test]
fn everywhere_12_each_service_tells_its_counts_of_each_plugin_and_tenant_and_sizes_where_it_keeps_something()
{
    let scene = Scene::new("", &[("busy", &[]), ("other", &[])]);
    // What the host says of itself.
    let unheard = scene.told("pintle_events_unheard", &[])[0];
    assert_eq!(scene.ask("acme", "busy", SCRIPT).ok().as_deref(), Some(OK));
    assert_eq!(scene.ask("", "busy", "cache 2 1000\nstorage 1 1000").ok().as_deref(), Some("3"));
    scene.ask("acme", "busy", "fail").expect_err("it was told to fail");
    until("the jobs have run", || scene.told("pintle_plugin_handlers", &[("kind", "job")]) == [3.0]);
    assert!(scene.host.wait_idle(PATIENCE));

    for (service, calls, failed, bytes) in COUNTED {
        // What it did in the system scope, where it subscribes when it is loaded.
        let (own_calls, own_bytes) = match service {
            "cache" => (2.0, 2_000.0),
            "storage" => (1.0, 1_000.0),
            "events" | "host" => (1.0, 0.0),
            _ => (0.0, 0.0),
        };
        let of_service = [("plugin", "busy"), ("service", service)];
        let of_acme = [("plugin", "busy"), ("service", service), ("scope", "tenant"), ("tenant", "acme")];
        for (end, all, acme) in [
            ("calls", calls + own_calls, calls),
            ("calls_failed", failed, failed),
            ("call_bytes", bytes + own_bytes, bytes),
        ] {
            let told = scene.told(&format!("pintle_plugin_{end}"), &of_service);
            assert_eq!(told, [all], "{service}: {end}");
            let told = scene.told(&format!("pintle_plugin_tenant_{end}"), &of_acme);
            assert_eq!(told, [acme], "{service}: {end} of acme");
        }
    }
    let of_busy = |family: &str| scene.told(&format!("pintle_plugin_{family}"), &[("plugin", "busy")]);
    let of_other = |family: &str| scene.told(&format!("pintle_plugin_{family}"), &[("plugin", "other")]);
    // Keys of two bytes each.
    assert_eq!((of_busy("storage_items"), of_busy("storage_bytes")), (vec![8.0], vec![1_366.0]));
    assert_eq!((of_other("storage_items"), of_other("cache_items")), (vec![0.0], vec![0.0]));
    assert_eq!(of_busy("cache_items"), [8.0]);
    assert!(of_busy("cache_bytes")[0] > 2_600.0, "with what it takes to keep them");
    assert_eq!((of_busy("events_emitted"), of_other("events_emitted")), (vec![8.0], vec![0.0]));
    assert_eq!(scene.told("pintle_events_unheard", &[])[0] - unheard, 8.0);
    // Three calls of the application, three jobs; the other was called by it.
    let handlers = |plugin, kind| {
        let labels = [("plugin", plugin), ("kind", kind)];
        ["handlers", "handlers_failed"].map(|end| scene.told(&format!("pintle_plugin_{end}"), &labels))
    };
    assert_eq!(handlers("busy", "call"), [[3.0], [1.0]]);
    assert_eq!(handlers("busy", "job"), [[3.0], [0.0]]);
    assert_eq!(handlers("other", "call"), [[4.0], [0.0]]);
    // And after the stop as before it.
    let before = scene.host.stats().plugins;
    assert!(scene.host.stop().left.is_empty());
    for (before, after) in before.iter().zip(&scene.host.stats().plugins) {
        assert_eq!((&before.calls, &before.tenants), (&after.calls, &after.tenants));
        // What is guaranteed to each depends on how many are loaded.
        let mut cache = before.cache;
        cache.guaranteed = after.cache.guaranteed;
        assert_eq!((cache, before.storage), (after.cache, after.storage));
    }
}

#[test]
fn tenants_beyond_the_setting_are_told_together() {
    let scene = Scene::new("[metrics]\ntenants = 2", &[("busy", &[])]);
    // Items hold their tenants.
    for tenant in ["a", "b", "others", "system"] {
        assert_eq!(scene.ask(tenant, "busy", "cache 1 1").ok().as_deref(), Some("1"));
    }
    let calls = |scope, tenant| {
        scene
            .told("pintle_plugin_tenant_calls", &[("service", "cache"), ("scope", scope), ("tenant", tenant)])
    };
    assert_eq!([calls("tenant", "a"), calls("tenant", "b"), calls("others", "")], [[1.0], [1.0], [2.0]]);
    assert_eq!((calls("tenant", "others"), calls("system", "")), (vec![], vec![]));
    assert_eq!(scene.told("pintle_plugin_tenant_handlers", &[("scope", "others")]), [2.0]);
}

#[test]
fn events_that_wait_run_fail_or_are_dropped_are_told_exactly() {
    let scene = Scene::new("", &[("busy", &[])]);
    let gate = scene.hang(1);
    for topic in ["in.ok", "in.ok", "in.ok", "in.fail", "in.ok"] {
        scene.emit(topic, "{}");
    }
    for owner in ["pintle_events", "pintle_plugin_events"] {
        let told = |end: &str| scene.told(&format!("{owner}_{end}"), &[]);
        assert_eq!((told("matched"), told("running"), told("waiting")), (vec![6.0], vec![1.0], vec![2.0]));
        assert_eq!(scene.told(&format!("{owner}_dropped"), &[("reason", "displaced")]), [3.0]);
    }
    assert_eq!(scene.told("pintle_plugin_lane_running", &[]), [1.0]);
    fs::write(&gate, "").expect("the folder can be written");
    until("all were handled", || scene.told("pintle_plugin_handlers", &[("kind", "event")]) == [3.0]);
    assert!(scene.host.wait_idle(PATIENCE));
    for owner in ["pintle_events", "pintle_plugin_events"] {
        let told = |end: &str| scene.told(&format!("{owner}_{end}"), &[]);
        assert_eq!((told("delivered"), told("failed"), told("running")), (vec![2.0], vec![1.0], vec![0.0]));
        assert_eq!(told("dropped").iter().sum::<f64>(), 3.0);
    }
}

#[test]
fn generations_libraries_that_wait_and_stuck_lanes_are_told_exactly() {
    let toml = "workers = 1\n[deadlines]\nhandler_ms = 300";
    let scene = Scene::new(toml, &[("busy", &[]), ("keys", &["-DKEYS"])]);
    let of = |plugin, family: &str| scene.told(&format!("pintle_plugin_{family}"), &[("plugin", plugin)]);
    let state = |plugin, state| scene.told("pintle_plugin_state", &[("plugin", plugin), ("state", state)]);
    for _ in 0..2 {
        scene.host.unload("keys").expect("it unloads");
        scene.host.enable("keys").expect("it loads again");
    }
    assert!(scene.host.wait_closed(PATIENCE));
    assert_eq!((of("keys", "generations"), of("busy", "generations")), (vec![3.0], vec![1.0]));
    assert_eq!(
        (state("keys", "enabled"), scene.told("pintle_libraries_retired", &[])),
        (vec![1.0], vec![0.0])
    );

    // The one worker that has run it hangs in the other.
    scene.host.disable("keys").expect("it is disabled");
    let gate = scene.hang(1);
    until("it is found", || scene.told("pintle_workers_stuck", &[]) == [1.0]);
    scene.host.unload("keys").expect("another worker does it");
    assert_eq!((state("keys", "unloaded"), state("keys", "enabled")), (vec![1.0], vec![0.0]));
    assert_eq!((of("keys", "generation"), of("keys", "registrations")), (vec![], vec![0.0]));
    assert_eq!(scene.told("pintle_libraries_retired", &[]), [1.0]);
    assert_eq!((of("busy", "lane_stuck"), of("busy", "lane_overruns")), (vec![1.0], vec![1.0]));
    let while_stuck = of("busy", "lane_stuck_seconds")[0];
    until("its time goes on", || of("busy", "lane_stuck_seconds")[0] > while_stuck);

    fs::write(&gate, "").expect("the folder can be written");
    until("it is over", || of("busy", "lane_stuck") == [0.0]);
    assert!(scene.host.wait_closed(PATIENCE));
    assert_eq!(
        (scene.told("pintle_libraries_retired", &[]), scene.told("pintle_workers_stuck", &[])),
        (vec![0.0], vec![0.0])
    );
    let (once, total) = (of("busy", "lane_overruns"), of("busy", "lane_stuck_seconds"));
    assert_eq!((once, of("busy", "lane_stuck_seconds")), (vec![1.0], total));
}
