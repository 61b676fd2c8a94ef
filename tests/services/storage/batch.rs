//! Batches: all steps or none, what they are granted, and what they lead to.

use rusqlite::Connection;

use super::version;
use crate::keeper::{Place, ask, expect, keeper};

#[test]
fn storage_4_a_batch_happens_in_its_order_and_tells_what_each_step_did() {
    let (_place, host) = keeper();
    let first = version(&ask(&host, "", "sput a old")[0]);
    let steps =
        format!("check:a:version={first};set:a:new;incr:n:5;incr:n:2;remove:a;remove:a;check:a:version=0");
    let answer = &ask(&host, "", &format!("sbatch {steps}"))[0];
    let (status, values) = answer.rsplit_once(" values=").expect("it tells values");
    let (status, versions) = status.rsplit_once(" versions=").expect("it tells versions");
    assert_eq!((status, values), ("0 failed=7", "0,0,5,7,1,0,0"), "{answer}");
    let versions: Vec<u64> = versions.split(',').map(|digits| digits.parse().expect("a number")).collect();
    assert_eq!([versions[0], versions[5], versions[6]], [0; 3], "nothing was written there");
    assert!(first < versions[1] && versions[1..5].is_sorted_by(|one, next| one < next), "{versions:?}");
    expect(&host, "", &[("sexists a", "0 0"), ("sget n", "0 7 version=…")]);
}

#[test]
fn storage_4_a_step_that_fails_leaves_nothing_of_the_batch_and_is_named() {
    let (_place, host) = keeper();
    let there = version(&ask(&host, "", "sput a v")[0]);
    ask(&host, "", "sput text x");
    let conflict = format!(
        "6 the item \"a\" is there already, with version {there}: nothing was written (step 1) failed=1 versions=0,{there},0 values=7777,7777,7777"
    );
    let long = "incr:n:1;".repeat(129);
    let table: [(&str, &str); 9] = [
        ("set:b:1;set:a:2:version=0;set:c:3", &conflict),
        ("set:b:1;check:a:version=1000000", "6 the item \"a\" has version …"),
        (
            "set:b:1;incr:text:1",
            "7 the item \"text\" is no decimal 64-bit integer, nothing can be added to it: write it anew with `set` (step 1) failed=1 …",
        ),
        ("incr:b:9223372036854775807;incr:b:1", "8 …"),
        ("set:b:1;set::2", "2 argument `key`: it is empty, 1 to 512 bytes are taken (step 1) failed=1 …"),
        ("set:b:1;set:c:{:json", "2 argument `value`: is no JSON text, …"),
        (
            "set:b:1;set:c:d:ttl=-5",
            "8 argument `ttl_ms`: -5 ms from now is no time that an item can end at (step 1) failed=1 …",
        ),
        (
            "set:b:1;nonsense:c",
            "15 argument `steps.kind`: this host does not know the value 77: update the host or use one that the header lists (step 1) failed=1 …",
        ),
        (&long, "9 argument `steps`: 129 elements, at most 128 are taken failed=129 …"),
    ];
    for (steps, told) in table {
        expect(&host, "", &[(&format!("sbatch {steps}"), told), ("skeys %- %- 0", "0 a text next=")]);
    }
    expect(
        &host,
        "",
        &[(&format!("sbatch {}", "incr:n:1;".repeat(128)), "0 failed=128 …"), ("sget n", "0 128 version=…")],
    );
}

#[test]
fn storage_4_the_bytes_of_a_batch_have_a_limit_of_their_own() {
    let (_place, host) = keeper();
    let steps = "set:k:*140000;".repeat(128);
    expect(
        &host,
        "",
        &[
            (
                &format!("sbatch {steps}"),
                "9 a batch of 17920000 bytes, at most 16777216 are taken: split it failed=128 …",
            ),
            ("sexists k", "0 0"),
        ],
    );
}

#[test]
fn what_is_wrong_with_a_step_is_told_by_its_member_and_its_place() {
    let (_place, host) = keeper();
    let table = [
        ("no-steps", "2 argument `steps`: there are none, 1 to 128 are taken failed=0"),
        ("null-steps", "2 argument `steps`: the pointer is null, the count is not 0 failed=2"),
        ("stale", "4 failed=2"),
        (
            "step-size",
            "2 argument `steps`: element 1 has size 64, the first one 72: they must be equal (step 1) failed=1",
        ),
        (
            "step-null",
            "2 argument `value`: the pointer is null, the length is 3: null goes with length 0 only (step 1) failed=1",
        ),
        (
            "set-delta",
            "2 argument `steps`: PINTLE_STEP_SET does not use `delta`: leave it 0 (step 1) failed=1",
        ),
        (
            "set-event",
            "2 argument `steps`: PINTLE_STEP_SET does not use `event`: leave it 0 (step 1) failed=1",
        ),
        ("set-job", "2 argument `steps`: PINTLE_STEP_SET does not use `job`: leave it 0 (step 1) failed=1"),
        (
            "remove-value",
            "2 argument `steps`: PINTLE_STEP_REMOVE does not use `value`: leave it 0 (step 1) failed=1",
        ),
        (
            "remove-ttl",
            "2 argument `options`: a remove takes PINTLE_STORAGE_IF_VERSION, not the flags 0x2: leave them out (step 1) failed=1",
        ),
        (
            "check-alone",
            "2 argument `options`: a check must have PINTLE_STORAGE_IF_VERSION: say which version the item must have (step 1) failed=1",
        ),
        (
            "check-delta",
            "2 argument `steps`: PINTLE_STEP_CHECK does not use `delta`: leave it 0 (step 1) failed=1",
        ),
        (
            "emit-options",
            "2 argument `steps`: PINTLE_STEP_EMIT does not use `options`: leave it 0 (step 1) failed=1",
        ),
        (
            "emit-wait",
            "2 argument `event.wait_ms`: is 5: a batch waits for no room, leave it 0 (step 1) failed=1",
        ),
        ("no-job", "2 argument `job`: the pointer is null: say when the job is to run (step 1) failed=1"),
        (
            "job-size",
            "2 argument `job`: its `size` is 4, set it to the sizeof of the struct (step 1) failed=1",
        ),
        ("job-overlap", "15 argument `job.overlap`: this host does not know the value 9: …"),
        (
            "job-both",
            "2 argument `job`: it has `rule` and `every_ms`: only one of them is taken (step 1) failed=1",
        ),
        (
            "job-delay",
            "2 argument `job`: `delay_ms` is for a job that runs once: leave it 0 with `rule` and `every_ms` (step 1) failed=1",
        ),
        (
            "job-zone",
            "2 argument `job`: `zone` is for a `rule`: leave it empty without one (step 1) failed=1",
        ),
    ];
    for (fault, told) in table {
        expect(&host, "", &[(&format!("wrong {fault}"), told)]);
    }
}

#[test]
fn storage_5_events_and_jobs_are_committed_with_the_items_and_only_with_them() {
    let (place, host) = keeper();
    let table = [
        ("set:a:1;cron:night:0_3_*_*:UTC:x", "2 argument `rule`: …"),
        ("set:a:1;cron:night:0_3_*_*_*:Nowhere:x", "2 argument `zone`: …"),
        (
            "set:a:1;every:beat:-5",
            "8 argument `every_ms`: -5 ms is outside of 1 to 31622400000 ms (366 days) (step 1) failed=1 …",
        ),
        ("set:a:1;once:later:-5", "8 argument `delay_ms`: …"),
        ("set:a:1;once::5", "2 argument `name`: …"),
        ("set:a:1;emit:a..b:data", "2 …"),
        ("set:a:1;emit:c.d:lost;once:lost:5;check:a:version=77", "6 …"),
        (
            "set:a:1;emit:a.b:data;cron:night:0_3_*_*_*:Europe/Vienna:given;every:beat:60000;once:later:5000",
            "0 failed=5 …",
        ),
    ];
    for (steps, told) in table {
        expect(&host, "acme", &[(&format!("sbatch {steps}"), told)]);
    }
    host.stop();
    let ledger = Connection::open(place.data().join("pintle.db")).expect("it is a database");
    let rows = |sql: &str| -> Vec<String> {
        let mut rows = ledger.prepare(sql).expect("the table is there");
        let rows = rows.query_map([], |row| row.get(0)).expect("it can be read");
        rows.collect::<Result<_, _>>().expect("they are text")
    };
    assert_eq!(
        rows(
            // The host may have taken it from the outbox to the log by now.
            "SELECT tenant || ' ' || source || ' ' || type || ' ' || CAST(data AS TEXT)
                FROM (SELECT tenant, source, type, data FROM outbox_events UNION ALL SELECT tenant, source, type, data FROM events_log)"
        ),
        ["acme /plugins/keeper plugin.keeper.a.b data"]
    );
    assert_eq!(
        rows(
            "SELECT plugin || ' ' || tenant || ' ' || name || ' ' || coalesce(rule, '-') || ' ' || coalesce(zone, '-')
                || ' ' || coalesce(every_ms, '-') || ' ' || CAST(data AS TEXT) FROM outbox_jobs ORDER BY seq"
        ),
        ["keeper acme night 0 3 * * * Europe/Vienna - given", "keeper acme beat - - 60000 ", "keeper acme later - - - "]
    );
}

#[test]
fn everywhere_8_a_step_needs_the_grant_that_it_would_need_on_its_own() {
    let flags = [
        "-DSTORAGE={ \"methods\": [\"batch\", \"set\"] }",
        "-DSCHEDULER={ \"methods\": [\"once\"] }",
        "-DPUBLISH=[\"mine.>\"]",
    ];
    let host = Place::new().keeper("keeper", &flags).started();
    let not_granted = |method: &str, service: &str, name: &str| {
        format!(
            "3 plugin \"keeper\": it may not call {service}.{method}: add \"{service}\": {{}} to \"services\" in its manifest, or, if it is there, \"{name}\" to the methods that the manifest and the host's settings list (step 1) failed=1 …"
        )
    };
    let storage = |method| not_granted(method, "storage", method);
    let scheduler = |method| not_granted(method, "scheduler", method);
    let table = [
        ("set:a:1;remove:b", storage("remove")),
        ("set:a:1;incr:b:1", storage("incr")),
        ("set:a:1;check:b:version=0", storage("exists")),
        ("set:a:1;every:b:5", scheduler("interval")),
        ("set:a:1;cron:b:@daily:UTC:x", scheduler("cron")),
        ("set:a:1;emit:theirs.x:d", "3 plugin \"keeper\": it may not publish \"theirs.x\": …".to_owned()),
        ("set:a:1;once:b:5;emit:mine.x:d", "0 failed=3 …".to_owned()),
    ];
    for (steps, told) in &table {
        expect(&host, "", &[(&format!("sbatch {steps}"), told)]);
    }
    let host = Place::new().keeper("keeper", &["-DSTORAGE={ \"methods\": [\"set\"] }"]).started();
    expect(&host, "", &[("sbatch set:a:1", "3 plugin \"keeper\": it may not call storage.batch: …")]);
}
