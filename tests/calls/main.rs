//! Calls by message, between plugins and from the application: what CALLS promises, and what the contract says of
//! waiting, errors and depth. `asker.c` beside this file is the plugin on both ends.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use pintle::{Error, ErrorKind, Host, Settings};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// A host with askers of these names.
struct Askers {
    host: Host,
    folder: TempDir,
}

impl Askers {
    fn new(names: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let source: PathBuf = repository().join("tests/calls/asker.c");
        for name in names {
            let flags = [format!("-DNAME={name}"), "-D_POSIX_C_SOURCE=199309L".into()];
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            install(&compile_c(&format!("asker-{name}"), source.clone(), &flags), folder.path());
        }
        let mut settings = Settings { plugins: vec![folder.path().to_owned()], ..Settings::default() };
        change(&mut settings);
        let host = Host::builder().settings(settings).build().expect("the host can be made");
        let started = host.start();
        assert_eq!(started.enabled, names, "{started:?}");
        Self { host, folder }
    }

    fn ask(&self, service: &str, method: &str, request: &str) -> Result<String, Error> {
        self.ask_as("", service, method, request, LONG)
    }

    fn ask_as(
        &self,
        tenant: &str,
        service: &str,
        method: &str,
        request: &str,
        timeout: Duration,
    ) -> Result<String, Error> {
        let reply = self.host.call(tenant, service, 1, method, request.as_bytes(), Some(timeout))?;
        Ok(String::from_utf8(reply).expect("the asker answers text"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Waits until a plugin has made a file.
fn wait_for(path: &Path) -> String {
    let deadline = Instant::now() + LONG;
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') || path.extension().is_some_and(|end| end == "here") => {
                return text;
            }
            _ if Instant::now() > deadline => panic!("{} was not made", path.display()),
            _ => std::thread::yield_now(),
        }
    }
}

fn kind(outcome: Result<String, Error>) -> ErrorKind {
    outcome.expect_err("it must fail").kind()
}

#[test]
fn calls_1_calls_3_bytes_for_bytes_and_the_provider_knows_who_asks() {
    let askers = Askers::new(&["a", "b"], |_| ());
    assert_eq!(askers.ask("a.ask", "echo", "as it is").expect("answered"), "as it is");
    assert_eq!(askers.ask("a.ask", "echo", "").expect("answered"), "", "nothing is something too");
    assert_eq!(askers.ask("a.ask", "caller", "").expect("answered"), "application");
    assert_eq!(askers.ask("a.ask", "forward", "b.ask caller 0").expect("answered"), "0 a");
    assert_eq!(askers.ask("a.ask", "forward", "b.ask echo 0 hello").expect("answered"), "0 hello");
}

#[test]
fn calls_2_contract_30_everywhere_6_a_call_is_made_on_behalf_of_the_callers_tenant() {
    let askers = Askers::new(&["a", "b"], |_| ());
    let (system, ends_with_the_call) = (1, 2);
    let tenant = |tenant: &str, method: &str, request: &str| {
        askers.ask_as(tenant, "a.ask", method, request, LONG).expect("answered")
    };
    assert_eq!(tenant("acme", "tenant", ""), format!("acme/{ends_with_the_call}/1"));
    assert_eq!(tenant("", "tenant", ""), format!("/{}/1", system | ends_with_the_call));
    assert_eq!(tenant("acme", "forward", "b.ask tenant 0"), format!("0 acme/{ends_with_the_call}/1"));
}

#[test]
fn calls_4_calls_5_what_nobody_provides_is_told_apart() {
    let askers = Askers::new(&["a"], |_| ());
    let error = askers.ask("nobody.ask", "echo", "").expect_err("nobody provides it");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nobody.ask"), "{error}");
    let error = askers.host.call("", "a.ask", 2, "echo", b"", None).expect_err("major 2 is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("major 1, not 2"), "{error}");
    let error = askers.ask("a.ask", "sing", "").expect_err("there is no such method");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("sing") && error.to_string().contains("echo"), "{error}");
    assert_eq!(kind(askers.ask("a.ask", "unknown_inside", "")), ErrorKind::Unsupported);
    let not_found = 1;
    let answer = askers.ask("a.ask", "forward", "nobody.ask echo 0").expect("answered");
    assert!(answer.starts_with(&format!("{not_found} ")), "{answer}");
}

#[test]
fn calls_7_contract_57_a_call_waits_no_longer_than_its_timeout_nor_than_its_caller() {
    let askers = Askers::new(&["a", "b"], |settings| settings.deadlines.call = Duration::from_millis(40));
    let file = askers.file("never");
    let timeout = 11;
    // By its own timeout, by the default, and by the one that its caller has left.
    for request in [format!("b.ask wait 30 {}", file.display()), format!("b.ask wait 0 {}", file.display())] {
        let answer = askers.ask("a.ask", "forward", &request).expect("answered");
        assert!(answer.starts_with(&format!("{timeout} ")), "{answer}");
        fs::write(&file, "").expect("written");
        assert!(askers.host.wait_idle(LONG));
        fs::remove_file(&file).expect("removed");
    }
    let outcome = askers.ask_as("", "b.ask", "wait", &file.display().to_string(), Duration::from_millis(20));
    let error = outcome.expect_err("it takes longer");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.to_string().contains("plugin \"b\"") && error.to_string().contains("b.ask.wait"),
        "{error}"
    );
    fs::write(&file, "").expect("written");
}

#[test]
fn contract_31_contract_64_a_caller_that_gave_up_is_told_to_the_function_that_goes_on() {
    let askers = Askers::new(&["a", "b"], |_| ());
    let file = askers.file("go");
    let outcome = askers.ask_as("", "a.ask", "gone", &file.display().to_string(), Duration::from_millis(30));
    assert_eq!(kind(outcome), ErrorKind::Timeout);
    fs::write(&file, "").expect("written");
    let (ok, cancelled) = (0, 12);
    assert_eq!(wait_for(&askers.file("go.left")), format!("{ok} 0 {cancelled}\n"));
}

#[test]
fn calls_9_a_provider_that_is_disabled_or_unloaded_is_unavailable() {
    let askers = Askers::new(&["a", "b"], |_| ());
    askers.host.disable("b").expect("it can be disabled");
    assert_eq!(kind(askers.ask("b.ask", "echo", "")), ErrorKind::Unavailable);
    askers.host.enable("b").expect("it can be enabled again");
    assert_eq!(askers.ask("b.ask", "echo", "back").expect("answered"), "back");
    askers.host.unload("b").expect("it can be unloaded");
    assert_eq!(kind(askers.ask("b.ask", "echo", "")), ErrorKind::Unavailable);
    let unavailable = 14;
    let answer = askers.ask("a.ask", "forward", "b.ask echo 0 x").expect("answered");
    assert!(answer.starts_with(&format!("{unavailable} ")), "{answer}");
}

#[test]
fn calls_9_contract_24_a_provider_that_is_stuck_is_unavailable_until_its_call_returns() {
    let askers = Askers::new(&["a"], |settings| settings.deadlines.handler = Duration::from_millis(20));
    let file = askers.file("go");
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| askers.ask("a.ask", "wait", &file.display().to_string()));
        wait_for(&askers.file("go.here"));
        let deadline = Instant::now() + LONG;
        while !askers.host.plugins()[0].stuck {
            assert!(Instant::now() < deadline, "the monitor sees it");
            std::thread::yield_now();
        }
        let error = askers.ask("a.ask", "echo", "").expect_err("its lane is stuck");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("stuck"), "{error}");
        fs::write(&file, "").expect("written");
        assert_eq!(waiting.join().expect("no panic").expect("the call itself is answered"), "waited");
    });
    let deadline = Instant::now() + LONG;
    while askers.host.plugins()[0].stuck {
        assert!(Instant::now() < deadline, "the lane resumes");
        std::thread::yield_now();
    }
    assert_eq!(askers.ask("a.ask", "echo", "again").expect("answered"), "again");
}

#[test]
fn calls_10_contract_58_contract_59_contract_60_a_wait_that_only_the_waiter_could_end_is_reentrant_at_once() {
    let askers = Askers::new(&["a", "b", "c"], |_| ());
    let reentrant = 17;
    let started = Instant::now();
    let own = askers.ask("a.ask", "forward", "a.ask echo 0 x").expect("answered");
    assert!(own.starts_with(&format!("{reentrant} ")), "{own}");
    let chain = askers.ask("a.ask", "forward", "b.ask forward 0 a.ask echo 0 x").expect("answered");
    assert!(chain.starts_with(&format!("0 {reentrant} ")), "{chain}");
    let longer =
        askers.ask("a.ask", "forward", "b.ask forward 0 c.ask forward 0 a.ask echo 0 x").expect("answered");
    assert!(longer.starts_with(&format!("0 0 {reentrant} ")), "{longer}");
    assert!(started.elapsed() < Duration::from_secs(4), "not by the deadline of 5 s");
}

#[test]
fn contract_63_a_reply_of_1_mib_arrives_whole() {
    let askers = Askers::new(&["a"], |_| ());
    let request: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    let reply = askers.host.call("", "a.ask", 1, "echo", &request, None).expect("answered");
    assert!(reply == request, "{} bytes came back", reply.len());
}

#[test]
fn calls_12_a_full_queue_is_busy() {
    let askers = Askers::new(&["a"], |settings| settings.queues.lane = 2);
    let file = askers.file("go");
    std::thread::scope(|threads| {
        threads.spawn(|| askers.ask("a.ask", "wait", &file.display().to_string()));
        wait_for(&askers.file("go.here"));
        let queued: Vec<_> =
            (0..2).map(|_| threads.spawn(|| askers.ask("a.ask", "echo", "queued"))).collect();
        let deadline = Instant::now() + LONG;
        while askers.host.plugins()[0].counters.waiting < 2 {
            assert!(Instant::now() < deadline, "both are queued");
            std::thread::yield_now();
        }
        let error = askers.ask("a.ask", "echo", "too many").expect_err("the queue is full");
        assert_eq!(error.kind(), ErrorKind::Busy);
        fs::write(&file, "").expect("written");
        for queued in queued {
            assert_eq!(queued.join().expect("no panic").expect("answered in its turn"), "queued");
        }
    });
}

#[test]
fn calls_8_contract_28_the_text_of_set_error_goes_with_its_call_and_with_no_other() {
    let askers = Askers::new(&["a", "b"], |_| ());
    let error = askers.ask("a.ask", "error", "the disk is on fire").expect_err("it fails");
    assert_eq!((error.kind(), error.plugin()), (ErrorKind::Conflict, Some("a")));
    assert!(error.to_string().contains("the disk is on fire"), "{error}");
    let error = askers.ask("a.ask", "unknown_inside", "").expect_err("it fails without a text");
    assert!(!error.to_string().contains("fire"), "{error}");
    let conflict = 6;
    let answer = askers.ask("a.ask", "forward", "b.ask error 0 through two lanes").expect("answered");
    assert!(answer.starts_with(&format!("{conflict} ")) && answer.contains("through two lanes"), "{answer}");
}

#[test]
fn contract_26_the_last_failure_with_a_context_is_told_and_success_does_not_clear_it() {
    let askers = Askers::new(&["a"], |_| ());
    let texts = askers.ask("a.ask", "twice", "").expect("answered");
    let texts: Vec<&str> = texts.split('|').collect();
    assert!(texts[0].contains("77") && texts[1].contains("88"), "{texts:?}");
    assert_eq!(texts[2], "", "another context had no failure");
}

#[test]
fn contract_61_a_circle_of_events_ends_at_a_depth_of_64() {
    let askers = Askers::new(&["a"], |_| ());
    askers.ask("a.ask", "listen", "").expect("it subscribes and emits the first");
    assert!(askers.host.wait_idle(LONG));
    let reports = askers.host.subscriptions();
    let circle =
        reports.iter().find(|report| report.pattern.as_str() == "plugin.a.again").expect("it is there");
    assert_eq!((circle.counters.delivered, circle.counters.failed), (64, 1), "{circle:?}");
}

#[test]
fn events_6_the_host_tells_what_becomes_of_its_plugins() {
    let askers = Askers::new(&["a"], |_| ());
    let (heard, events) = mpsc::channel();
    let listen = move |event: &pintle::events::Event| {
        let data: serde_json::Value = serde_json::from_slice(&event.data).expect("the host publishes JSON");
        let _ = heard.send((event.topic.as_str().to_owned(), data["id"].as_str().map(str::to_owned)));
    };
    askers.host.subscribe("pintle.>", listen).expect("the pattern is valid");
    askers.host.disable("a").expect("it can be disabled");
    askers.host.enable("a").expect("it can be enabled");
    askers.host.unload("a").expect("it can be unloaded");
    askers.host.load("a").expect("it can be loaded");
    for what in ["disabled", "enabled", "disabled", "unloaded", "loaded"] {
        let (topic, id) = events.recv_timeout(LONG).expect("the host tells it");
        assert_eq!((topic.as_str(), id.as_deref()), (format!("pintle.plugin.{what}").as_str(), Some("a")));
    }
    let topic = pintle::events::Topic::parse("pintle.plugin.loaded").expect("the topic is valid");
    let forged = askers.host.emit("", pintle::events::Draft::new(topic, "/test", *b"{}"));
    assert_eq!(forged.expect_err("only the host publishes there").kind(), ErrorKind::Denied);
}
