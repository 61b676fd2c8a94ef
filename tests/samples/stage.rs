//! A host with some of the sample plugins, in a folder of its own, and everything that they emit and log.

use std::{
    fs,
    io::{self, Write},
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host, PluginInfo, Settings,
    events::{Draft, Policy, SubscribeOptions, Topic},
    log::{Format, Level, Options, Target},
};
use pintle_test_support::{compile_c, install};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stands in for `sysmon`, which alone may publish below `plugin.sysmon.`: emits what an event `measure.<topic>` carries as
/// `plugin.sysmon.<topic>`, for the event's tenant and under its id.
const MEASURED: &str = r#"
#include <pintle/plugin.h>
PINTLE_MANIFEST({
  "id": "sysmon", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["measure.*"], "publish": ["*"] } }
});
static const pintle_host *host;
static pintle_status on_measure(void *user, pintle_ctx ctx, const pintle_event *event, pintle_sink reply) {
  pintle_emit_options options = {0};
  (void)user, (void)reply;
  options.size = sizeof options;
  options.id = event->id;
  return host->events->emit(ctx, pintle_strn(event->topic.ptr + 8, event->topic.len - 8), event->data, &options);
}
static pintle_status load(pintle_ctx ctx, const pintle_host *given, void **state) {
  *state = NULL;
  host = given;
  return host->events->subscribe(ctx, PINTLE_STR("measure.*"), on_measure, NULL, NULL, NULL, NULL);
}
static const pintle_plugin plugin = {
  .size = sizeof plugin, .abi_minor = PINTLE_ABI_MINOR, .manifest = PINTLE_MANIFEST_BYTES,
  .id = PINTLE_STR_INIT("sysmon"), .version = PINTLE_STR_INIT("0.1.0"), .load = load,
};
PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) { return &plugin; }
"#;

pub(crate) fn measured() -> PathBuf {
    compile_c("sysmon", MEASURED, &[])
}

/// Looks again and again until `happened`; fails with `what` if it does not.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A folder with plugins, settings and data, which outlives hosts.
pub(crate) struct Stage {
    folder: TempDir,
    toml: String,
}

impl Stage {
    pub(crate) fn new(plugins: &[&Path], toml: &str) -> Self {
        let stage = Self {
            folder: tempfile::tempdir().expect("there is a place for temporary files"),
            toml: format!("data = \"data\"\nplugins = [\"plugins\"]\n{toml}"),
        };
        let folder = stage.path("plugins");
        fs::create_dir(&folder).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        for plugin in plugins {
            install(plugin, &folder);
        }
        stage
    }

    /// With lines of `pintle.toml` that may name the stage's folder as `@`.
    pub(crate) fn and(mut self, toml: &str) -> Self {
        self.toml.push_str(&toml.replace('@', self.folder.path().to_str().expect("it is UTF-8")));
        self.toml.push('\n');
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("the folder can be written");
    }

    /// Adds to a file, as a program that logs.
    pub(crate) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = fs::OpenOptions::new().append(true).create(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(text.as_ref())).expect("the file can be written");
    }

    /// A host that has started, all of its plugins enabled.
    pub(crate) fn start(&self) -> Started {
        let (lines, heard) = (Lines::default(), Arc::<Heard>::default());
        let log = Options {
            target: Target::Writer(Box::new(lines.clone())),
            format: Format::Json,
            level: Level::Debug,
            ..Options::default()
        };
        let settings =
            Settings::from_text(&self.toml, self.folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let host = Host::builder().settings(settings).log(log).build().expect("nothing is in its way");
        let ear = Arc::clone(&heard);
        let keep = SubscribeOptions { capacity: 65_536, policy: Policy::Wait, ..SubscribeOptions::default() };
        host.subscribe_with("plugin.>", keep, move |event| {
            let data = serde_json::from_slice(&event.data).expect("the samples emit JSON");
            let heard =
                One { topic: event.topic.as_str().to_owned(), tenant: event.tenant.to_string(), data };
            ear.events.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
            ear.more.notify_all();
        })
        .expect("nobody has subscribed yet");
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        Started { host, heard, lines }
    }
}

/// An event that a plugin has emitted.
#[derive(Clone, Debug)]
pub(crate) struct One {
    pub(crate) topic: String,
    pub(crate) tenant: String,
    pub(crate) data: Value,
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<One>>,
    more: Condvar,
}

/// A host at work.
pub(crate) struct Started {
    host: Host,
    heard: Arc<Heard>,
    lines: Lines,
}

impl Deref for Started {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Started {
    /// Publishes an event of the application.
    pub(crate) fn tell(&self, tenant: &str, topic: &str, data: &str) {
        self.tell_as(None, tenant, topic, data);
    }

    /// [`tell`](Started::tell) under an id of the application's own.
    pub(crate) fn tell_as(&self, id: Option<&str>, tenant: &str, topic: &str, data: &str) {
        let mut draft = Draft::new(Topic::parse(topic).expect("it is a topic"), "/test", data.as_bytes());
        draft.id = id.map(str::to_owned);
        self.emit(tenant, draft).unwrap_or_else(|error| panic!("{topic}: {error}"));
    }

    /// What is in a file of a plugin.
    pub(crate) fn file(&self, plugin: &str, tenant: &str, path: &str) -> Option<String> {
        let files = self.files(plugin, tenant).unwrap_or_else(|error| panic!("{plugin}: {error}"));
        files.stat(path).unwrap_or_else(|error| panic!("{path}: {error}"))?;
        let mut bytes = Vec::new();
        files.read(path, &mut bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        Some(String::from_utf8(bytes).expect("the samples write text"))
    }

    /// The events of a topic so far, as `pick` sees them.
    pub(crate) fn events<T>(&self, topic: &str, pick: impl Fn(&One) -> T) -> Vec<T> {
        let events = self.heard.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.topic == topic).map(pick).collect()
    }

    /// Waits until there are as many events of a topic; all of them, as `pick` sees them.
    pub(crate) fn await_events<T>(&self, topic: &str, count: usize, pick: impl Fn(&One) -> T) -> Vec<T> {
        self.hear(&format!("{count} events {topic}"), |events| {
            events.iter().filter(|event| event.topic == topic).count() >= count
        });
        self.events(topic, pick)
    }

    /// Waits for events.
    pub(crate) fn hear(&self, what: &str, enough: impl Fn(&[One]) -> bool) {
        let events = self.heard.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (events, waited) = self
            .heard
            .more
            .wait_timeout_while(events, PATIENCE, |events| !enough(events))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "it did not happen: {what}; there are {events:#?}");
    }

    pub(crate) fn info(&self, id: &str) -> PluginInfo {
        let plugins = self.plugins();
        plugins.into_iter().find(|plugin| plugin.id == id).unwrap_or_else(|| panic!("{id} is not known"))
    }

    /// Waits until a plugin has had its job run from start to end at least once.
    pub(crate) fn let_run(&self, id: &str) {
        let before = self.info(id).counters.handled;
        // The first of them may have begun already.
        until("the job runs", || self.info(id).counters.handled >= before + 2);
    }

    /// Calls a service as the application, with JSON.
    pub(crate) fn ask(&self, tenant: &str, service: &str, method: &str, request: &str) -> Value {
        let reply = self.call(tenant, service, 1, method, request.as_bytes(), None);
        let reply = reply.unwrap_or_else(|error| panic!("{method} {request}: {error}"));
        serde_json::from_slice(&reply).expect("it answers with JSON")
    }

    /// Stops a plugin and starts it again, as an update does: its storage stays.
    pub(crate) fn restart(&self, id: &str) {
        self.unload(id).unwrap_or_else(|error| panic!("{error}"));
        self.load(id).and_then(|()| self.enable(id)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops the host; the records of its log.
    pub(crate) fn end(self) -> Vec<Value> {
        let stopped = self.host.stop();
        assert!(stopped.failed.is_empty() && stopped.left.is_empty(), "{stopped:?}");
        drop(self.host);
        let text = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("a log is UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a record is JSON")).collect()
    }
}

/// How many records have this message.
pub(crate) fn said(records: &[Value], message: &str) -> usize {
    records.iter().filter(|record| record["message"] == message).count()
}

/// What a log writes, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
