//! A host and Rust plugins that were built with `layout-check`, some of them against another contract.
//!
//! Needs the feature: `cargo test --features layout-check --test layout`. Without it this file is not compiled.

mod variant;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use pintle::{
    Host, PluginState,
    events::{Draft, Topic},
    log::{Format, Level, Options, Target},
};
use pintle_test_support::{install, samples};
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn contract_90_a_plugin_whose_contract_has_a_changed_field_is_refused_with_its_name() {
    let refusals = [
        (
            "renamed",
            "plugin \"renamed\": its contract differs from this host's: field `capacity` of \
             `PintleSubscribeOptions` is called `limit` in the plugin: rebuild it against this host's pintle-plugin",
        ),
        (
            "retyped",
            "plugin \"retyped\": its contract differs from this host's: field `capacity` of \
             `PintleSubscribeOptions` is `u32` here and `f32` in the plugin: rebuild it against this host's \
             pintle-plugin",
        ),
    ];
    for (name, expected) in refusals {
        let scene = Scene::with([variant::library(name), samples().rust("hello")]);
        let started = scene.host.start();
        let failed: Vec<String> = started.failed.iter().map(ToString::to_string).collect();
        assert_eq!(failed, [expected]);
        assert_eq!(started.enabled, ["hello-rust"], "the others are not affected");
        let refused =
            scene.host.plugins().into_iter().find(|plugin| plugin.id == name).expect("it was found");
        assert_eq!(refused.state, PluginState::Failed);
        scene.end();
    }
}

#[test]
fn contract_90_a_contract_that_is_alike_or_grew_at_the_end_or_is_shorter_is_taken() {
    for name in ["alike", "renumbered", "grown", "shorter"] {
        let scene = Scene::with([variant::library(name)]);
        scene.answers(name);
        assert_eq!(scene.log_of("compared by sizes only"), "", "{name} was compared");
        scene.end();
    }
}

#[test]
fn contract_90_a_plugin_without_the_feature_exports_no_layout_and_is_taken() {
    let exports = |library: &Path| {
        let bytes = fs::read(library).expect("it was built");
        let holds = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
        [holds("pintle_layout_marker_v1"), holds("pintle_layout_v1")]
    };
    assert_eq!(exports(&variant::library("alike")), [true, true]);
    let hello = samples().rust("hello");
    assert_eq!(exports(&hello), [false, false]);
    let scene = Scene::with([hello]);
    assert_eq!(scene.host.start().enabled, ["hello-rust"]);
    assert_eq!(scene.log_of("compared by sizes only"), "");
    scene.end();
}

#[test]
fn contract_90_what_another_check_describes_is_not_read_and_warned_of() {
    let scene = Scene::with([variant::library("stranger")]);
    scene.answers("stranger");
    let warning = scene.log_of("compared by sizes only");
    for part in
        ["\"level\":\"warn\"", "plugin \\\"stranger\\\"", "abi_stable 0.11.3", "build it against this host's"]
    {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
    scene.end();
}

/// What a check remembers leads into the library: remembered for longer, the next check would crash. One at a time and
/// of different sizes, so that none comes to lie exactly where another, or it itself, was before.
#[test]
fn contract_90_checked_plugins_come_and_go_and_leave_nothing_mapped() {
    let names = ["grown", "alike", "shorter", "renamed"];
    let scene = Scene::with(names.map(variant::library));
    for (round, name) in names.into_iter().cycle().take(100).enumerate() {
        match (name, scene.host.enable(name)) {
            ("renamed", Err(error)) => {
                assert!(error.to_string().contains("`limit`"), "round {round}: {error}")
            }
            ("renamed", Ok(())) => panic!("round {round}: {name} was taken"),
            (_, Err(error)) => panic!("round {round}: {error}"),
            (_, Ok(())) => scene.host.unload(name).unwrap_or_else(|error| panic!("round {round}: {error}")),
        }
        assert!(scene.host.wait_closed(PATIENCE), "round {round}: a library was not closed");
    }
    let maps = fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let staged = scene.folder.path().join("data/staging").canonicalize().expect("the host made it");
    let mapped: Vec<&str> = maps.lines().filter(|line| line.contains(&*staged.to_string_lossy())).collect();
    assert!(mapped.is_empty(), "{mapped:?}");
    scene.end();
}

/// A host of some plugins, its log kept here.
struct Scene {
    folder: TempDir,
    host: Host,
    log: Lines,
}

impl Scene {
    fn with(libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        own(&plugins);
        for library in libraries {
            install(&library, &plugins);
        }
        let log = Lines::default();
        let options = Options {
            target: Target::Writer(Box::new(log.clone())),
            format: Format::Json,
            level: Level::Info,
            ..Options::default()
        };
        let host = Host::builder().plugins(&plugins).data(folder.path().join("data")).log(options).build();
        Self { host: host.expect("nothing is in its way"), folder, log }
    }

    /// Starts it, and has the plugin handle an event and emit another.
    fn answers(&self, plugin: &str) {
        let (tell, told) = mpsc::channel();
        let topic = format!("plugin.{plugin}.answered");
        self.host.subscribe(&topic, move |_| tell.send(()).expect("somebody waits")).expect("it is free");
        let started = self.host.start();
        assert_eq!(started.enabled, [plugin], "{:?}", started.failed);
        let question = Draft::new(Topic::parse("ask.anything").expect("it is one"), "/test", *b"{}");
        self.host.emit("acme", question).expect("the host runs");
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{plugin} did not answer"));
    }

    /// Stops it, so that the log is whole, and gives the first line with `text`, or nothing.
    fn log_of(&self, text: &str) -> String {
        self.host.stop();
        let log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let log = String::from_utf8(log).expect("a log is UTF-8");
        log.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
    }

    fn end(self) {
        let stopped = self.host.stop();
        assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
    }
}

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

/// The host refuses folders that others may write.
fn own(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
