//! On whose behalf a plugin acts.

use std::sync::mpsc;

use crate::scene::{PATIENCE, Scene, ask, emit, until};

#[test]
fn contract_49_a_handlers_context_is_bound_to_the_tenant_of_the_event() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>"), ("event", "emit out.a x")]);
    let host = scene.started();
    let (tell, told) = mpsc::channel();
    host.subscribe("plugin.witness.>", move |event| {
        let _ = tell.send(event.tenant.to_string());
    })
    .expect("nobody has subscribed to it");
    for tenant in ["acme", "", "globex"] {
        emit(&host, tenant, "w.a", tenant);
        assert_eq!(
            told.recv_timeout(PATIENCE).as_deref(),
            Ok(tenant),
            "what the handler emits is its tenant's"
        );
    }
    let events: Vec<_> =
        scene.journal("witness").into_iter().filter(|line| line.starts_with("event w.>")).collect();
    assert_eq!(
        events,
        [
            "event w.> w.a tenant=acme system=0 call=1 data=acme",
            "event w.> w.a tenant= system=1 call=1 data=",
            "event w.> w.a tenant=globex system=0 call=1 data=globex",
        ]
    );
}

#[test]
fn events_18_and_19_a_subscription_of_the_system_scope_sees_all_tenants_and_a_tenants_only_its_own() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>")]);
    let host = scene.started();
    ask(&host, "acme", "witness", "subscribe w.a");
    let subscriptions = host.subscriptions();
    assert_eq!(subscriptions[0].tenant, None);
    assert_eq!(subscriptions[1].tenant.as_deref(), Some("acme"));
    for (tenant, matched) in [("acme", 2), ("globex", 1), ("", 1)] {
        assert_eq!(emit(&host, tenant, "w.a", "").matched, matched, "{tenant}");
    }
    until("the system scope's has seen all", || scene.count("witness", "event w.> ") == 3);
    until("the tenant's has seen its own", || scene.count("witness", "event w.a ") == 1);
    assert_eq!(scene.count("witness", "event w.a w.a tenant=acme"), 1);
}

#[test]
fn events_9_a_name_is_unique_in_its_scope() {
    let scene = Scene::new().witness("witness", &[]).witness("second", &[]);
    let host = scene.started();
    for (tenant, name) in [("", "witness"), ("acme", "witness"), ("globex", "witness"), ("", "second")] {
        assert_eq!(ask(&host, tenant, name, "subscribe w.a")[0], "subscribe w.a = 0");
        assert!(ask(&host, tenant, name, "subscribe w.a")[0].starts_with("subscribe w.a = 6 "));
    }
}

#[test]
fn scheduler_16_a_run_is_under_the_scope_that_scheduled_it() {
    let scene = Scene::new().witness("witness", &[("load", "interval tick 1")]);
    let host = scene.started();
    ask(&host, "acme", "witness", "interval tick 1");
    until("both run", || {
        ["job tick tenant=acme", "job tick tenant="]
            .iter()
            .all(|line| scene.journal("witness").iter().any(|found| found == line))
    });
}

#[test]
fn contract_29_a_held_context_keeps_its_tenant_after_its_handler_returned() {
    let scene = Scene::new().witness("witness", &[("load", "subscribe w.>"), ("event", "hold")]);
    let host = scene.started();
    let (tell, told) = mpsc::channel();
    host.subscribe("plugin.witness.>", move |event| {
        let _ = tell.send(event.tenant.to_string());
    })
    .expect("nobody has subscribed to it");
    emit(&host, "acme", "w.a", "");
    until("it holds", || scene.count("witness", "event: hold = 0") == 1);
    assert_eq!(ask(&host, "globex", "witness", "held emit out.a")[0], "held emit out.a = 0");
    assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok("acme"));
    assert_eq!(ask(&host, "", "witness", "release; release")[0], "release = 0");
    assert!(ask(&host, "", "witness", "held emit out.a")[0].contains(" = 4 "));
}

#[test]
fn calls_2_a_call_runs_under_the_callers_tenant() {
    let scene = Scene::new().witness("witness", &[]);
    let host = scene.started();
    let (tell, told) = mpsc::channel();
    host.subscribe("plugin.witness.>", move |event| {
        let _ = tell.send(event.tenant.to_string());
    })
    .expect("nobody has subscribed to it");
    for tenant in ["acme", "", "globex"] {
        ask(&host, tenant, "witness", "emit out.a");
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok(tenant));
    }
}
