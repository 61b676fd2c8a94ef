//! A host with keepers, and what they answer.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host, HostBuilder, Settings,
    log::{Options, Target},
};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until `happened`; fails with `what` if it does not.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "it did not happen in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A folder with keepers, data and settings.
pub(crate) struct Place {
    folder: TempDir,
    toml: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { folder, toml: String::new() }
    }

    /// With a keeper called `name`, compiled with more flags.
    pub(crate) fn keeper(self, name: &str, flags: &[&str]) -> Self {
        let define = format!("-DNAME={name}");
        let flags: Vec<&str> = [define.as_str()].into_iter().chain(flags.iter().copied()).collect();
        let library = compile_c(name, repository().join("tests/plugins/keeper.c"), &flags);
        install(&library, &self.folder.path().join("plugins"));
        self
    }

    /// With lines of `pintle.toml`.
    pub(crate) fn toml(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self.toml.push('\n');
        self
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// What hosts here have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a host has logged")
    }

    /// A host that has started, all of its plugins enabled.
    pub(crate) fn started(&self) -> Host {
        start(self.build())
    }

    /// The same, without a folder for what lasts.
    pub(crate) fn started_without_data(&self) -> Host {
        start(self.made(self.builder()))
    }

    /// A host that runs nothing yet.
    pub(crate) fn build(&self) -> Host {
        self.made(self.builder().data(self.data()))
    }

    fn builder(&self) -> HostBuilder {
        let settings = Settings::from_text(&self.toml, self.folder.path());
        let log = Options { target: Target::File(self.folder.path().join("log")), ..Options::default() };
        Host::builder().settings(settings.unwrap_or_else(|error| panic!("{error}"))).log(log)
    }

    fn made(&self, builder: HostBuilder) -> Host {
        builder.plugins(self.plugins()).build().unwrap_or_else(|error| panic!("{error}"))
    }
}

fn start(host: Host) -> Host {
    let started = host.start();
    assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
    host
}

/// A host with one keeper called `keeper`, and its place.
pub(crate) fn keeper() -> (Place, Host) {
    let place = Place::new().keeper("keeper", &[]);
    let host = place.started();
    (place, host)
}

/// Has a keeper do commands on behalf of a tenant; what each came to.
pub(crate) fn ask_of(host: &Host, name: &str, tenant: &str, commands: &str) -> Vec<String> {
    let answer = host.call(tenant, &format!("{name}.run"), 1, "do", commands.as_bytes(), None);
    let answer = answer.unwrap_or_else(|error| panic!("{commands}: {error}"));
    String::from_utf8(answer).expect("answers are text").lines().map(str::to_owned).collect()
}

/// The same of `keeper`.
pub(crate) fn ask(host: &Host, tenant: &str, commands: &str) -> Vec<String> {
    ask_of(host, "keeper", tenant, commands)
}

/// Does the commands on the left in one call, in order, and compares what each came to with the right: whole, or its
/// beginning if that ends with `…`.
#[track_caller]
pub(crate) fn expect(host: &Host, tenant: &str, table: &[(&str, &str)]) {
    let commands: Vec<&str> = table.iter().map(|(command, _)| *command).collect();
    let answers = ask(host, tenant, &commands.join("\n"));
    assert_eq!(answers.len(), table.len(), "{answers:#?}");
    for ((command, expected), answer) in table.iter().zip(&answers) {
        let same = match expected.strip_suffix('…') {
            Some(beginning) => answer.starts_with(beginning),
            None => answer == expected,
        };
        assert!(same, "tenant {tenant:?}: {command}\n  answered {answer}\n  expected {expected}");
    }
}
