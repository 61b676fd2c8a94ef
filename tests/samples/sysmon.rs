//! `sysmon`: samples of disks, and samples for tenants, from files that a test writes in place of the kernel.

use pintle_test_support::samples;
use serde_json::Value;

use crate::stage::{One, Stage, said};

fn stage() -> Stage {
    let stage = Stage::new(&[&samples().rust("sysmon")], "")
        .and("[plugin.sysmon.config]\ninterval_ms = 10\nproc = \"@\"");
    stage.write("stat", "cpu  100 20 30 800 40 5 5 0 0 0\n");
    stage.write("meminfo", "MemTotal: 8000 kB\nMemAvailable: 2000 kB\n");
    stage.write("loadavg", "0.50 1.25 2.00 1/234 5678\n");
    stage
}

fn disk(name: &str, reads: u64) -> String {
    format!(" 8 0 {name} {reads} 0 {} 0 0 0 0 0 0 0 0\n", reads * 8)
}

fn device(event: &One) -> String {
    event.data["device"].as_str().expect("a disk has a name").to_owned()
}

#[test]
fn each_disk_has_an_event_of_its_own_and_disks_may_come_and_go() {
    let stage = stage();
    stage.write("diskstats", disk("sda", 1) + &disk("sda1", 1) + &disk("loop0", 9));
    let host = stage.start();
    let topic = "plugin.sysmon.disk";
    assert_eq!(host.await_events(topic, 1, device)[0], "sda");
    stage.write("diskstats", disk("sda", 1_001) + &disk("sdb", 5));
    let busy = |events: &[One]| {
        let read = |event: &One| event.topic == topic && event.data["reads"].as_f64() > Some(0.0);
        events.iter().any(read)
            && events.iter().any(|event| event.topic == topic && event.data["device"] == "sdb")
    };
    host.hear("sda has read, and sdb is there", busy);
    let rates: Vec<Value> = host.events(topic, |event| event.data.clone());
    for rate in rates.iter().filter(|rate| rate["reads"].as_f64() > Some(0.0)) {
        let (reads, bytes) = (rate["reads"].as_f64(), rate["read_bytes"].as_f64());
        let bytes_a_read = bytes.zip(reads).map(|(bytes, reads)| (bytes / reads).round());
        assert_eq!(bytes_a_read, Some(4_096.0), "eight sectors a read: {rate}");
    }
    stage.write("diskstats", disk("sdb", 5));
    host.let_run("sysmon");
    let told = host.events(topic, device).len();
    let after = host.await_events(topic, told + 2, device);
    assert!(after[told..].iter().all(|device| device == "sdb"), "{after:?}");
    assert!(!after.iter().any(|device| ["sda1", "loop0"].contains(&device.as_str())), "{after:?}");
    assert_eq!(host.info("sysmon").counters.failed_handled, 0);
    host.end();
}

#[test]
fn a_machine_that_shows_no_disks_is_no_failure_and_said_once() {
    let stage = stage();
    let host = stage.start();
    host.tell("acme", "sysmon.watch", "{}");
    host.hear("samples of memory, the tenant's too", |events| {
        let of = |tenant: &str| events.iter().filter(|event| event.tenant == tenant).count();
        of("") > 4 && of("acme") > 4
    });
    assert_eq!(host.events("plugin.sysmon.disk", device), Vec::<String>::new());
    assert_eq!(host.info("sysmon").counters.failed_handled, 0);
    let records = host.end();
    assert_eq!(said(&records, "there are no samples of disks, for this machine does not show them"), 1);
}

#[test]
fn a_tenant_has_samples_of_its_own_from_watch_to_unwatch() {
    let stage = stage();
    let host = stage.start();
    let memory = "plugin.sysmon.memory";
    let tenant = |event: &One| event.tenant.clone();
    let of = |name: &'static str, count| {
        move |events: &[One]| {
            events.iter().filter(|event| event.topic == memory && event.tenant == name).count() >= count
        }
    };
    host.hear("the system's samples", of("", 2));
    for name in ["acme", "globex", "acme"] {
        host.tell(name, "sysmon.watch", "{}");
    }
    host.hear("those of acme", of("acme", 3));
    host.hear("those of globex", of("globex", 3));
    let jobs = || host.jobs().len();
    assert_eq!(jobs(), 3, "asked for twice they come once");
    host.tell("acme", "sysmon.unwatch", "{}");
    host.tell("initech", "sysmon.unwatch", "{}");
    host.let_run("sysmon");
    assert_eq!(jobs(), 2);
    let before = host.events(memory, tenant).len();
    let after = host.await_events(memory, before + 6, tenant);
    assert!(!after[before..].contains(&"acme".to_owned()), "{after:?}");
    // A new config counts for all of them.
    stage.write("meminfo", "MemTotal: 1000 kB\nMemAvailable: 1000 kB\n");
    host.configure("sysmon", &serde_json::json!({ "interval_ms": 11, "proc": stage.path("") }))
        .unwrap_or_else(|error| panic!("{error}"));
    let before = host.events(memory, tenant).len();
    let after = host.await_events(memory, before + 6, tenant);
    for name in ["", "globex"] {
        assert!(after[before..].contains(&name.to_owned()), "{name}: {after:?}");
    }
    assert_eq!(host.info("sysmon").counters.failed_handled, 0);
    host.end();
}
