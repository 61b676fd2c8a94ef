//! A host with busy plugins (`busy.c`), and what its metrics say.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host, Result, Settings,
    events::{Draft, Topic},
    log::{Options, Target},
};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

use crate::checker::check;

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

/// A host, and the folder with its plugins and data.
pub(crate) struct Scene {
    pub(crate) host: Host,
    folder: TempDir,
}

impl Scene {
    /// With busy plugins of these names, compiled with these flags.
    pub(crate) fn new(toml: &str, plugins: &[(&str, &[&str])]) -> Self {
        let folder = folder();
        for (name, flags) in plugins {
            let define = format!("-DNAME={name}");
            let flags: Vec<&str> = [define.as_str()].into_iter().chain(flags.iter().copied()).collect();
            let library =
                compile_c(&format!("busy-{name}"), repository().join("tests/metrics/busy.c"), &flags);
            install(&library, &folder.path().join("plugins"));
        }
        let settings = Settings::from_text(toml, folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let host = build(settings, &folder).unwrap_or_else(|error| panic!("{error}"));
        let started = host.start();
        assert_eq!(started.enabled.len(), plugins.len(), "{started:?}");
        Self { host, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has a plugin do so much; tells how many calls were OK.
    pub(crate) fn ask(&self, tenant: &str, plugin: &str, script: &str) -> Result<String> {
        let answer = self.host.call(tenant, &format!("{plugin}.run"), 1, "do", script.as_bytes(), None)?;
        Ok(String::from_utf8(answer).expect("it answers with a number"))
    }

    pub(crate) fn emit(&self, topic: &str, data: &str) {
        let topic = Topic::parse(topic).expect("it is a topic");
        self.host.emit("", Draft::new(topic, "/tests", data.as_bytes())).expect("the host runs");
    }

    /// Has the plugins of that name hang in an event, until the file that is told is there.
    pub(crate) fn hang(&self, how_many: u64) -> PathBuf {
        let gate = self.path("gate");
        self.emit("in.hang", &gate.to_string_lossy());
        until("it hangs", || self.told("pintle_events_running", &[]) == [how_many as f64]);
        gate
    }

    /// The samples of a family that have these labels, histograms aside.
    pub(crate) fn told(&self, family: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        told(&self.host.open_metrics(), family, labels)
    }
}

/// The samples of a family that have these labels, histograms aside.
pub(crate) fn told(text: &str, family: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let families = check(text).unwrap_or_else(|problem| panic!("{problem}:\n{text}"));
    let samples = families.get(family).unwrap_or_else(|| panic!("{family} is not there")).samples.iter();
    let fits = samples.filter(|sample| {
        labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|label| label == value))
    });
    fits.map(|sample| sample.value).collect()
}

/// A folder with an empty one for plugins in it, which nobody else may write: the host refuses others.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let plugins = folder.path().join("plugins");
    fs::create_dir(&plugins).expect("the folder can be written");
    fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

/// A host with that folder's plugins and data, that logs to nowhere.
pub(crate) fn build(settings: Settings, folder: &TempDir) -> Result<Host> {
    Host::builder()
        .settings(settings)
        .plugins(folder.path().join("plugins"))
        .data(folder.path().join("data"))
        .log(Options { target: Target::Writer(Box::new(std::io::sink())), ..Options::default() })
        .build()
}
