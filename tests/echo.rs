//! The sample `echo` in C, in C++ and in Rust: one table of what it promises, run on each. From outside the three
//! differ in nothing but the id. Where no C++ compiler is, that one is left out, and stderr says so.

#![cfg(unix)]

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Error, ErrorKind, Host, Settings,
    events::{Draft, Outcome, Topic},
    log::{Format, Level, Options, Target},
};
use pintle_test_support::{install, samples};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The three by their ids, as far as they can be built.
fn echoes() -> Vec<(&'static str, PathBuf)> {
    let samples = samples();
    let in_cxx = samples.cpp("echo").map(|library| ("echo-cpp", library));
    let all = [Some(("echo-c", samples.c("echo"))), in_cxx, Some(("echo-rust", samples.rust("echo")))];
    all.into_iter().flatten().collect()
}

/// A host with one or more of them, and what can be seen of it.
struct Stage {
    host: Host,
    /// Topic, tenant and data of what plugins emit.
    told: mpsc::Receiver<(String, String, Value)>,
    lines: Lines,
    folder: PathBuf,
}

impl Stage {
    /// The plugins lie in `folder` as well as what they store: a second stage there is the next start of the same host.
    fn in_folder(folder: &TempDir, plugins: &[(&str, PathBuf)], config: &str) -> Self {
        let toml: String =
            plugins.iter().map(|(id, _)| format!("[plugin.{id}]\nconfig = {{ {config} }}\n")).collect();
        let settings = Settings::from_text(&toml, folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let shelf = folder.path().join("plugins");
        private(&shelf);
        for (id, library) in plugins {
            // Each in a folder of its own: their files have the same name.
            private(&shelf.join(id));
            install(library, &shelf.join(id));
        }
        let lines = Lines::default();
        let log = Options {
            target: Target::Writer(Box::new(lines.clone())),
            format: Format::Json,
            level: Level::Info,
            ..Options::default()
        };
        let data = folder.path().join("data");
        private(&data);
        let host = Host::builder().settings(settings).plugins(&shelf).data(data).log(log).build();
        let host = host.unwrap_or_else(|error| panic!("{error}"));
        let (tell, told) = mpsc::channel();
        host.subscribe("plugin.>", move |event| {
            let data = serde_json::from_slice(&event.data).expect("it emits JSON");
            let _ = tell.send((event.topic.to_string(), event.tenant.to_string(), data));
        })
        .expect("nobody has subscribed yet");
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        Self { host, told, lines, folder: folder.path().to_owned() }
    }

    /// Which libraries of its folder are in memory.
    fn mapped(&self) -> Vec<String> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let own = maps.lines().filter(|line| line.contains(&*self.folder.to_string_lossy()));
        own.filter(|line| line.contains(std::env::consts::DLL_SUFFIX)).map(str::to_owned).collect()
    }

    /// Publishes an event and waits for the one handler's reply.
    fn say(&self, tenant: &str, topic: &str, data: &[u8]) -> Vec<u8> {
        let event = Draft::new(Topic::parse(topic).expect("it is one"), "/test", data);
        let results =
            self.host.emit_sync(tenant, event, Some(PATIENCE)).unwrap_or_else(|error| panic!("{error}"));
        match &results[..] {
            [one] => match &one.outcome {
                Outcome::Handled(reply) => reply.clone(),
                other => panic!("{topic} was not handled: {other:?}"),
            },
            _ => panic!("one handler was expected: {results:?}"),
        }
    }

    /// What is emitted next.
    fn told(&self) -> (String, String, Value) {
        self.told.recv_timeout(PATIENCE).expect("it tells what it hears")
    }

    fn ask(&self, tenant: &str, id: &str, method: &str, request: &[u8]) -> Result<Vec<u8>, Error> {
        self.host.call(tenant, &format!("{id}.run"), 1, method, request, Some(PATIENCE))
    }

    fn answer(&self, tenant: &str, id: &str, method: &str, request: &str) -> String {
        let answer = self.ask(tenant, id, method, request.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{method} {request}: {error}"));
        String::from_utf8(answer).expect("it answers with text")
    }
}

/// Sets a stage up for each of the three.
fn each(config: &str, test: impl Fn(&Stage, &str)) {
    for (id, library) in echoes() {
        let folder = folder();
        let stage = Stage::in_folder(&folder, &[(id, library)], config);
        test(&stage, id);
        let stopped = stage.host.stop();
        assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{id}: {stopped:?}");
    }
}

#[test]
fn an_event_is_counted_kept_told_and_answered() {
    each("", |stage, id| {
        for (seen, data) in (1..).zip(["one", "two", "three"]) {
            assert_eq!(stage.say("acme", "echo.a.b", data.as_bytes()), data.as_bytes(), "{id}");
            let heard = json!({ "topic": "echo.a.b", "seen": seen, "tenant": "acme" });
            assert_eq!(stage.told(), (format!("plugin.{id}.heard"), "acme".into(), heard));
            assert_eq!(stage.answer("acme", id, "seen", "echo.a.b"), seen.to_string());
            assert_eq!(stage.answer("acme", id, "latest", "echo.a.b"), data);
        }
        assert_eq!(stage.answer("acme", id, "seen", "echo.other"), "0");
        assert_eq!(stage.answer("acme", id, "topics", ""), "echo.a.b\n");
    });
}

#[test]
fn what_it_logs_has_fields() {
    each("", |stage, id| {
        stage.say("acme", "echo.a", b"x");
        stage.say("", "echo.a", b"x");
        stage.host.stop();
        let records = stage.lines.records();
        let heard: Vec<_> = records.iter().filter(|record| record["message"] == "heard").collect();
        assert_eq!(heard.len(), 2, "{id}: {records:?}");
        for (record, tenant) in heard.iter().zip([json!("acme"), Value::Null]) {
            assert_eq!(record["plugin"], id);
            assert_eq!(record["level"], "info");
            assert_eq!((&record["topic"], &record["seen"]), (&json!("echo.a"), &json!(1)), "{record}");
            assert_eq!(record.get("tenant").cloned().unwrap_or(Value::Null), tenant, "{record}");
        }
    });
}

#[test]
fn any_bytes_come_back_as_they_were() {
    let every: Vec<u8> = (0..=255).collect();
    let large = vec![b'x'; 1024 * 1024];
    each("", |stage, id| {
        for data in [&b""[..], b"\0", &every, b"\xff\xfe", &large] {
            assert_eq!(stage.say("acme", "echo.bytes", data), data, "{id}");
            assert_eq!(stage.ask("acme", id, "latest", b"echo.bytes").expect("it was heard"), data, "{id}");
        }
    });
}

#[test]
fn a_tenant_may_be_called_anything() {
    each("", |stage, id| {
        for tenant in ["", "acme", "a \"quoted\" one", "back\\slash", "Müller & Söhne", "日本"] {
            stage.say(tenant, "echo.a", b"x");
            let heard = json!({ "topic": "echo.a", "seen": 1, "tenant": tenant });
            assert_eq!(stage.told(), (format!("plugin.{id}.heard"), tenant.to_owned(), heard));
        }
    });
}

#[test]
fn a_count_ends_with_its_window() {
    each("window_ms = 1", |stage, id| {
        stage.say("acme", "echo.a", b"first");
        assert_eq!(stage.told().2["seen"], 1);
        until("its window ends", || stage.answer("acme", id, "seen", "echo.a") == "0");
        stage.say("acme", "echo.a", b"second");
        assert_eq!(stage.told().2["seen"], 1, "{id}: it begins anew");
        assert_eq!(stage.answer("acme", id, "latest", "echo.a"), "second", "what is stored has no window");
    });
}

#[test]
fn a_window_that_makes_no_sense_keeps_it_from_being_loaded_and_a_new_one_counts_at_once() {
    each("", |stage, id| {
        stage.say("acme", "echo.a", b"x");
        let error = stage.host.configure(id, &json!({ "window_ms": 0 })).expect_err("it is too short");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{id}: {error}");
        assert_eq!(stage.answer("acme", id, "seen", "echo.a"), "1");
        stage.host.configure(id, &json!({ "window_ms": 1 })).expect("it takes it");
        stage.say("acme", "echo.b", b"x");
        until("its window ends", || stage.answer("acme", id, "seen", "echo.b") == "0");
        assert_eq!(
            stage.answer("acme", id, "seen", "echo.a"),
            "1",
            "{id}: this one began with the old window"
        );
    });
}

#[test]
fn nothing_of_one_tenant_is_seen_in_another() {
    const SCOPES: [&str; 3] = ["", "acme", "globex"];
    each("", |stage, id| {
        for (times, scope) in (1..).zip(SCOPES) {
            for _ in 0..times {
                stage.say(scope, "echo.shared", format!("of {scope}").as_bytes());
            }
            stage.say(scope, &format!("echo.own{times}"), b"x");
        }
        for (times, scope) in (1..).zip(SCOPES) {
            assert_eq!(stage.answer(scope, id, "latest", "echo.shared"), format!("of {scope}"), "{id}");
            assert_eq!(stage.answer(scope, id, "seen", "echo.shared"), times.to_string(), "{id} {scope}");
            assert_eq!(
                stage.answer(scope, id, "topics", ""),
                format!("echo.own{times}\necho.shared\n"),
                "{id}"
            );
        }
        assert_eq!(stage.answer("acme", id, "forget", ""), "2");
        assert_eq!(stage.answer("acme", id, "topics", ""), "");
        assert_eq!(stage.answer("acme", id, "seen", "echo.shared"), "0");
        for (times, scope) in [(1, ""), (3, "globex")] {
            assert_eq!(stage.answer(scope, id, "seen", "echo.shared"), times.to_string(), "{id} {scope}");
            assert_eq!(
                stage.answer(scope, id, "topics", ""),
                format!("echo.own{times}\necho.shared\n"),
                "{id}"
            );
        }
    });
}

#[test]
fn topics_are_listed_by_their_beginning_however_many_there_are() {
    each("", |stage, id| {
        for number in 0..1_005 {
            stage.say("acme", &format!("echo.many.{number:04}"), b"");
        }
        stage.say("acme", "echo.few", b"");
        let many: String = (0..1_005).map(|number| format!("echo.many.{number:04}\n")).collect();
        for (prefix, expected) in [
            ("echo.many.", many.as_str()),
            (
                "echo.many.100",
                "echo.many.1000\necho.many.1001\necho.many.1002\necho.many.1003\necho.many.1004\n",
            ),
            ("echo.f", "echo.few\n"),
            ("echo.*", ""),
            ("x", ""),
        ] {
            assert_eq!(stage.answer("acme", id, "topics", prefix), expected, "{id} {prefix}");
        }
        assert_eq!(stage.answer("acme", id, "forget", ""), "1006");
        assert_eq!(stage.answer("acme", id, "topics", ""), "");
    });
}

#[test]
fn what_goes_wrong_is_said_in_the_same_words() {
    each("", |stage, id| {
        let cases: [(&str, &[u8], ErrorKind, &str); 5] = [
            ("fail", b"", ErrorKind::Conflict, "echo was told to fail"),
            ("latest", b"echo.never", ErrorKind::NotFound, "nothing was heard on that topic"),
            ("latest", b"", ErrorKind::InvalidArgument, "key"),
            ("seen", b"\xff", ErrorKind::InvalidArgument, ""),
            ("other", b"", ErrorKind::Unsupported, "other"),
        ];
        for (method, request, kind, text) in cases {
            let error = stage.ask("acme", id, method, request).expect_err("it cannot be answered");
            assert_eq!(error.kind(), kind, "{id} {method}: {error}");
            assert!(error.to_string().contains(text), "{id} {method}: {error}");
        }
        stage.say("acme", "echo.a", b"it goes on");
        assert_eq!(stage.answer("acme", id, "latest", "echo.a"), "it goes on");
    });
}

#[test]
fn what_is_stored_outlives_the_host_and_what_is_cached_does_not() {
    for (id, library) in echoes() {
        let folder = folder();
        let plugins = [(id, library)];
        let first = Stage::in_folder(&folder, &plugins, "");
        first.say("acme", "echo.a", b"before");
        first.host.stop();
        drop(first);
        let second = Stage::in_folder(&folder, &plugins, "");
        assert_eq!(second.answer("acme", id, "latest", "echo.a"), "before", "{id}");
        assert_eq!(second.answer("acme", id, "seen", "echo.a"), "0", "{id}");
        second.host.stop();
    }
}

#[test]
fn while_disabled_it_hears_nothing_and_afterwards_it_goes_on() {
    each("", |stage, id| {
        stage.say("acme", "echo.a", b"before");
        stage.host.disable(id).expect("it can be");
        let event = Draft::new(Topic::parse("echo.a").expect("it is one"), "/test", *b"meanwhile");
        stage.host.emit("acme", event).expect("it can be published");
        stage.host.enable(id).expect("it can be");
        assert_eq!(stage.answer("acme", id, "latest", "echo.a"), "before", "{id}");
        stage.say("acme", "echo.a", b"after");
        assert_eq!(stage.answer("acme", id, "seen", "echo.a"), "2", "{id}");
        #[cfg(target_os = "linux")]
        assert!(!stage.mapped().is_empty(), "{id}: this would find it");
        stage.host.unload(id).expect("it can be");
        assert!(stage.host.wait_closed(PATIENCE), "{id}: its library is closed");
        assert_eq!(stage.mapped(), Vec::<String>::new(), "{id}: its library has left memory");
    });
}

/// All at once: what one stores, another does not see, for items belong to a plugin and a tenant.
#[test]
fn side_by_side_none_sees_what_another_has() {
    let folder = folder();
    let plugins = echoes();
    let stage = Stage::in_folder(&folder, &plugins, "");
    let event = Draft::new(Topic::parse("echo.a").expect("it is one"), "/test", *b"x");
    let results =
        stage.host.emit_sync("acme", event, Some(PATIENCE)).unwrap_or_else(|error| panic!("{error}"));
    let mut heard: Vec<_> = results.iter().map(|one| one.subscriber.to_string()).collect();
    heard.sort();
    assert_eq!(heard, plugins.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    assert!(results.iter().all(|one| one.outcome.reply() == b"x"), "{results:?}");
    let (first, _) = &plugins[0];
    assert_eq!(stage.answer("acme", first, "forget", ""), "1");
    for (id, _) in &plugins[1..] {
        assert_eq!(stage.answer("acme", id, "seen", "echo.a"), "1", "{id}");
        assert_eq!(stage.answer("acme", id, "latest", "echo.a"), "x", "{id}");
    }
    stage.host.stop();
}

/// Looks again and again until `happened`; fails with `what` if it does not.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// Makes a folder that only its owner may write: the host refuses others.
fn private(folder: &Path) {
    fs::create_dir_all(folder).expect("its parent can be written");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

/// What a log writes, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// The records so far; all of them only after the host's stop.
    fn records(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("a log is UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
