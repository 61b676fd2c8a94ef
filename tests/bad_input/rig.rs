//! A host with plugins, for one test: folders, settings with short deadlines, the log's lines, and one way to wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use pintle::{Error, Host, PluginInfo, PluginState, Settings, Started, log};
use pintle_abi::PintleStatus;
use pintle_test_support::{compile_c, install, repository};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that should happen soon, also on a machine that does other things beside.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a host is made of.
pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) settings: Settings,
}

impl Rig {
    /// Without plugins yet. Deadlines are long enough for a busy machine; tests of deadlines set their own.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        folder_at(&plugins);
        let settings = Settings { plugins: vec![plugins], ..Settings::default() };
        Self { folder, settings }
    }

    /// A rig with one plugin.
    pub(crate) fn of(library: &Path) -> Self {
        Self::new().with(library)
    }

    /// Installs a plugin.
    pub(crate) fn with(self, library: &Path) -> Self {
        install(library, self.plugins());
        self
    }

    /// Puts a file into the plugin folder.
    pub(crate) fn with_file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        file_at(&self.plugins().join(name), bytes);
        self
    }

    /// The settings of one plugin.
    pub(crate) fn config(mut self, id: &str, config: Value) -> Self {
        let Value::Object(config) = config else { panic!("a config is an object") };
        self.settings.plugin.entry(id.into()).or_default().config = config;
        self
    }

    /// How long `load` and `enable` may take.
    pub(crate) fn load_within(mut self, ms: u64) -> Self {
        self.settings.deadlines.load = Duration::from_millis(ms);
        self
    }

    /// How long a handler may take.
    pub(crate) fn handle_within(mut self, ms: u64) -> Self {
        self.settings.deadlines.handler = Duration::from_millis(ms);
        self
    }

    /// How long `disable` and `unload` may take, and the stop of the host.
    pub(crate) fn stop_within(mut self, ms: u64) -> Self {
        self.settings.deadlines.stop = Duration::from_millis(ms);
        self
    }

    /// Where plugins are looked for.
    pub(crate) fn plugins(&self) -> &Path {
        &self.settings.plugins[0]
    }

    /// A path of this test's own, outside of the plugin folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the host, and loads nothing.
    pub(crate) fn build(self) -> Running {
        let lines = Lines::default();
        let target = log::Target::Writer(Box::new(lines.clone()));
        let options = log::Options { target, level: log::Level::Debug, ..log::Options::default() };
        let host = Host::builder().settings(self.settings).log(options).build();
        let host = host.unwrap_or_else(|error| panic!("the host cannot be made: {error}"));
        Running { host, started: Started::default(), lines, folder: self.folder }
    }

    /// Makes the host and starts it.
    pub(crate) fn start(self) -> Running {
        let mut running = self.build();
        running.started = running.host.start();
        running
    }

    /// Starts it, and expects that every plugin is enabled.
    pub(crate) fn start_well(self) -> Running {
        let running = self.start();
        let Started { failed, skipped, warnings, .. } = &running.started;
        assert!(failed.is_empty() && skipped.is_empty() && warnings.is_empty(), "{:?}", running.started);
        running
    }
}

/// A host at work.
pub(crate) struct Running {
    pub(crate) host: Host,
    pub(crate) started: Started,
    lines: Lines,
    folder: TempDir,
}

impl Deref for Running {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Running {
    /// A path of this test's own, outside of the plugin folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Calls a method of a service as a tenant, without a deadline of its own.
    pub(crate) fn ask(&self, service: &str, method: &str, request: &str) -> pintle::Result<String> {
        let answer = self.host.call("acme", service, 1, method, request.as_bytes(), Some(SOON))?;
        Ok(String::from_utf8(answer).expect("the test plugins answer with text"))
    }

    /// Asks the plugin `probe` for its cases.
    pub(crate) fn probe(&self, method: &str, request: &str) -> Cases {
        Cases::read(
            &self.ask("probe.run", method, request).unwrap_or_else(|error| panic!("{method}: {error}")),
        )
    }

    /// What the host knows of a plugin.
    pub(crate) fn info(&self, id: &str) -> PluginInfo {
        let infos = self.host.plugins();
        infos.into_iter().find(|info| info.id == id).unwrap_or_else(|| panic!("{id} is not known"))
    }

    pub(crate) fn state(&self, id: &str) -> PluginState {
        self.info(id).state
    }

    /// The one plugin that failed to start, and why.
    pub(crate) fn only_failure(&self) -> &Error {
        match &self.started.failed[..] {
            [error] => error,
            _ => panic!("one failure was expected: {:?}", self.started),
        }
    }

    /// The one file that was skipped, and why.
    pub(crate) fn only_skipped(&self) -> &Error {
        match &self.started.skipped[..] {
            [(_, error)] => error,
            _ => panic!("one skipped file was expected: {:?}", self.started),
        }
    }

    /// Waits until a line of the log has all of these.
    pub(crate) fn wait_for_line(&self, parts: &[&str]) {
        let there = || self.lines.any(|line| parts.iter().all(|part| line.contains(part)));
        if !becomes(there) {
            panic!("no line has {parts:?}:\n{}", self.lines.text());
        }
    }

    /// Waits for a line that has all of these, and reads it.
    pub(crate) fn record(&self, parts: &[&str]) -> Value {
        self.wait_for_line(parts);
        let text = self.lines.text();
        let line = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        serde_json::from_str(line.expect("it was there")).expect("a line is JSON")
    }

    /// Whether a line of the log has all of these by now.
    pub(crate) fn has_line(&self, parts: &[&str]) -> bool {
        self.lines.any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

/// What was logged so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panics with it")).into_owned()
    }

    fn any(&self, which: impl Fn(&str) -> bool) -> bool {
        self.text().lines().any(which)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `probe` answered: cases with a status and a text, and plain numbers.
pub(crate) struct Cases(BTreeMap<String, Value>);

/// A case that is expected: its name, its status, and a part of its text.
pub(crate) type Expected<'e> = (&'e str, PintleStatus, &'e str);

impl Cases {
    pub(crate) fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON: {error}: {text}")))
    }

    /// Every case is as expected, none is missing, and none is left out of `expected`.
    #[track_caller]
    pub(crate) fn are(&self, expected: &[Expected<'_>]) {
        let cases = || self.0.iter().filter(|(_, case)| case.is_object());
        let known: BTreeSet<_> = expected.iter().map(|(name, ..)| *name).collect();
        let mut wrong: Vec<_> = cases()
            .filter(|(name, _)| !known.contains(name.as_str()))
            .map(|(name, case)| format!("{name} is not expected: {case}"))
            .collect();
        for (name, status, text) in expected {
            match self.0.get(*name) {
                None => wrong.push(format!("{name} is missing")),
                Some(case) => {
                    let said = case["text"].as_str().unwrap_or_default();
                    if case["status"] != *status || !said.contains(text) || (*status != 0 && said.is_empty())
                    {
                        wrong.push(format!("{name}: expected {status} with {text:?}, found {case}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.0[name].as_i64().unwrap_or_else(|| panic!("{name} is no number: {}", self.0[name]))
    }
}

/// An error is of this kind and says this.
#[track_caller]
pub(crate) fn assert_says(error: &Error, kind: pintle::ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

/// Waits until something is so; panics if it does not become so soon.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(becomes(condition), "not within {SOON:?}: {what}");
}

/// The one place where tests wait for what gives no event: looks again and again until a deadline.
fn becomes(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + SOON;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// One of the C plugins in `tests/plugins`.
pub(crate) fn plugin(source: &str, flags: &[&str]) -> PathBuf {
    compile_c(source, repository().join("tests/plugins").join(format!("{source}.c")), flags)
}

/// A relay of this name, in a file of this name.
pub(crate) fn relay(name: &str) -> PathBuf {
    compile_c(name, repository().join("tests/plugins/relay.c"), &[&format!("-DNAME={name}")])
}

/// Makes a folder that only its owner may write, whatever the umask.
pub(crate) fn folder_at(path: &Path) {
    fs::create_dir(path).expect("its parent is there");
    mode(path, 0o755);
}

/// Makes a file that only its owner may write, whatever the umask.
pub(crate) fn file_at(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).expect("its folder is there");
    mode(path, 0o644);
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// One of the C plugins in this folder.
pub(crate) fn own_plugin(source: &str) -> PathBuf {
    compile_c(source, repository().join("tests/bad_input").join(format!("{source}.c")), &[])
}

/// Makes an empty file, which a plugin waits for.
pub(crate) fn touch(path: &Path) {
    fs::write(path, "").expect("its folder is there");
}
