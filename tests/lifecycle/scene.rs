//! A host in the making: a folder of plugins, settings as an operator writes them, and what plugins and host wrote.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host, PluginInfo, PluginState, Settings,
    events::{Draft, Emitted, Topic},
    log::{Format, Level, Options, Target},
};
use pintle_test_support::{compile_c, install, repository};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until `happened`; fails with `what` if it does not.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A folder with plugins, and settings.
pub(crate) struct Scene {
    folder: TempDir,
    /// What is added to `pintle.toml`.
    toml: String,
    lines: Lines,
}

/// Deadlines short enough for tests that run into them, and long enough for a loaded machine otherwise.
const DEADLINES: &str = "load_ms = 10000\nhandler_ms = 10000\nstop_ms = 10000\ncall_ms = 10000\n";

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is a place for temporary files"),
            toml: format!("[deadlines]\n{DEADLINES}"),
            lines: Lines::default(),
        }
    }

    /// With so many calls that may run at once.
    pub(crate) fn with_workers(workers: usize) -> Self {
        let mut scene = Self::new();
        scene.toml = format!("workers = {workers}\n{}", scene.toml);
        scene
    }

    /// With other deadlines: `load_ms = 1000`, a line each.
    pub(crate) fn deadlines(mut self, changed: &str) -> Self {
        let mut lines: Vec<&str> = DEADLINES.lines().collect();
        for change in changed.lines() {
            let key = change.split(' ').next().unwrap_or_default();
            let at = lines.iter().position(|line| line.starts_with(key)).expect("there is such a deadline");
            lines[at] = change;
        }
        self.toml = self.toml.replace(DEADLINES, &format!("{}\n", lines.join("\n")));
        self
    }

    /// With lines of `pintle.toml`.
    pub(crate) fn toml(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self.toml.push('\n');
        self
    }

    /// With a plugin.
    pub(crate) fn plugin(self, library: &Path) -> Self {
        install(library, &self.plugins());
        self
    }

    /// With a witness of this name and the scripts of its config, by place.
    pub(crate) fn witness(self, name: &str, scripts: &[(&str, &str)]) -> Self {
        self.witness_with(name, &[], scripts)
    }

    /// With a witness that is compiled with more flags.
    pub(crate) fn witness_with(self, name: &str, flags: &[&str], scripts: &[(&str, &str)]) -> Self {
        let mut config = format!("journal = {:?}", self.journal_of(name));
        for (place, script) in scripts {
            config += &format!(", {place} = {script:?}");
        }
        self.plugin(&witness_library(name, flags)).toml(&format!("[plugin.{name}]\nconfig = {{ {config} }}"))
    }

    /// The folder that plugins are looked for in.
    pub(crate) fn plugins(&self) -> PathBuf {
        let plugins = self.folder.path().join("plugins");
        fs::create_dir_all(&plugins).expect("the folder can be written");
        own(&plugins);
        plugins
    }

    /// A path in the scene's folder where nothing is yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the file that `hang` waits for.
    pub(crate) fn free(&self, name: &str) {
        fs::write(self.path(name), "").expect("the folder can be written");
    }

    /// The settings as they were written.
    pub(crate) fn settings(&self) -> Settings {
        Settings::from_text(&self.toml, self.folder.path()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A host of these plugins and settings, its log kept here.
    pub(crate) fn host(&self) -> Host {
        self.host_of(self.settings())
    }

    pub(crate) fn host_of(&self, settings: Settings) -> Host {
        let log = Options {
            target: Target::Writer(Box::new(self.lines.clone())),
            format: Format::Json,
            level: Level::Debug,
            ..Options::default()
        };
        Host::builder()
            .settings(settings)
            .plugins(self.plugins())
            .log(log)
            .build()
            .expect("nothing is in its way")
    }

    /// A host that has started, all of its plugins enabled.
    pub(crate) fn started(&self) -> Host {
        let host = self.host();
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        host
    }

    pub(crate) fn journal_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.journal"))
    }

    /// What a witness has written so far.
    pub(crate) fn journal(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.journal_of(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How many lines of a journal begin like this.
    pub(crate) fn count(&self, name: &str, beginning: &str) -> usize {
        self.journal(name).iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// The records that plugins and host have written so far. All of them only after the host's stop.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8(text).expect("a log is UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
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

/// A witness called `name`, with more of the compiler's flags.
pub(crate) fn witness_library(name: &str, flags: &[&str]) -> PathBuf {
    let define = format!("-DNAME={name}");
    let mut all = vec![define.as_str()];
    all.extend(flags);
    compile_c(name, repository().join("tests/plugins/witness.c"), &all)
}

/// What the host knows of a plugin.
pub(crate) fn info(host: &Host, id: &str) -> PluginInfo {
    host.plugins().into_iter().find(|plugin| plugin.id == id).unwrap_or_else(|| panic!("{id} is not known"))
}

pub(crate) fn state(host: &Host, id: &str) -> PluginState {
    info(host, id).state
}

/// Publishes an event of the application.
pub(crate) fn emit(host: &Host, tenant: &str, topic: &str, data: &str) -> Emitted {
    host.emit(tenant, draft(topic, data)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn draft(topic: &str, data: &str) -> Draft {
    Draft::new(Topic::parse(topic).expect("it is a topic"), "/test", data.as_bytes())
}

/// How many events of plugins the application would have heard of so far, from `listen` on.
pub(crate) fn heard(host: &Host) -> u64 {
    let subscriptions = host.subscriptions();
    let own = subscriptions.iter().find(|one| one.name.as_ref() == "plugin.>" && one.owner == 0);
    own.expect("`listen` comes first").counters.matched
}

/// The application hears of events of plugins.
pub(crate) fn listen(host: &Host) {
    host.subscribe("plugin.>", |_| {}).expect("it has not subscribed to it yet");
}

/// Has a witness do commands, on behalf of a tenant; what each came to.
pub(crate) fn ask(host: &Host, tenant: &str, name: &str, commands: &str) -> Vec<String> {
    let answer = host.call(tenant, &format!("{name}.run"), 1, "do", commands.as_bytes(), None);
    let answer = answer.unwrap_or_else(|error| panic!("{commands}: {error}"));
    String::from_utf8(answer).expect("a journal is text").lines().map(str::to_owned).collect()
}

/// What stands behind the status of an answer: `own = 0 123` gives `123`.
pub(crate) fn told(answer: &[String]) -> String {
    answer[0].split_once("= 0 ").map(|(_, told)| told.to_owned()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// The host refuses folders that others may write.
fn own(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
