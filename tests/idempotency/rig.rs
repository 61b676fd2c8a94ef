//! A host with `tests/plugins/once.c`, and what that answers.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Host, Settings,
    log::{Options, Target},
};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

/// How long a test waits for what must happen. Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with plugins, data and settings.
pub(crate) struct Place {
    folder: TempDir,
    toml: String,
}

impl Place {
    /// With the plugin `once`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { folder, toml: String::new() }.with("once", &[])
    }

    /// With the plugin under another name, compiled with more flags.
    pub(crate) fn with(self, name: &str, flags: &[&str]) -> Self {
        let define = format!("-DNAME={name}");
        let flags: Vec<&str> =
            [define.as_str(), "-pthread"].into_iter().chain(flags.iter().copied()).collect();
        let library = compile_c(name, repository().join("tests/plugins/once.c"), &flags);
        install(&library, &self.folder.path().join("plugins"));
        self
    }

    /// With lines of `pintle.toml`.
    pub(crate) fn toml(mut self, lines: &str) -> Self {
        self.toml.push_str(lines);
        self
    }

    /// A host that has started, all of its plugins enabled.
    pub(crate) fn started(&self) -> Host {
        let host = self.build();
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        host
    }

    /// A host that runs nothing yet.
    pub(crate) fn build(&self) -> Host {
        let settings = Settings::from_text(&self.toml, self.folder.path());
        Host::builder()
            .settings(settings.unwrap_or_else(|error| panic!("{error}")))
            .plugins(self.folder.path().join("plugins"))
            .data(self.folder.path().join("data"))
            .log(Options { target: Target::Writer(Box::new(std::io::sink())), ..Options::default() })
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A host with the plugin, and its place.
pub(crate) fn once() -> (Place, Host) {
    let place = Place::new();
    let host = place.started();
    (place, host)
}

/// Has a plugin do commands on behalf of a tenant; what each came to.
pub(crate) fn ask_of(host: &Host, name: &str, tenant: &str, commands: &str) -> Vec<String> {
    let answer = host.call(tenant, &format!("{name}.run"), 1, "do", commands.as_bytes(), None);
    let answer = answer.unwrap_or_else(|error| panic!("{commands}: {error}"));
    String::from_utf8(answer).expect("answers are text").lines().map(str::to_owned).collect()
}

/// The same of one command of `once`.
pub(crate) fn ask(host: &Host, tenant: &str, command: &str) -> String {
    ask_of(host, "once", tenant, command).swap_remove(0)
}

/// That the answer to a command begins so.
#[track_caller]
pub(crate) fn expect(host: &Host, tenant: &str, command: &str, beginning: &str) -> String {
    let answer = ask(host, tenant, command);
    assert!(answer.starts_with(beginning), "{command}\n  answered {answer}\n  expected {beginning}…");
    answer
}

/// The token of a start.
#[track_caller]
pub(crate) fn token(answer: &str) -> String {
    let token = answer.split(" token=").nth(1).and_then(|rest| rest.split(' ').next());
    token.unwrap_or_else(|| panic!("it did not start: {answer}")).to_owned()
}

/// A number that an answer tells under this name.
#[track_caller]
pub(crate) fn number(answer: &str, name: &str) -> i64 {
    let digits = answer.split(&format!(" {name}=")).nth(1).and_then(|rest| rest.split(' ').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no {name}: {answer}"))
}

/// Begins again and again until it starts; its answer.
#[track_caller]
pub(crate) fn begin_until_it_starts(host: &Host, tenant: &str, command: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(host, tenant, command);
        if answer.starts_with("0 started") {
            return answer;
        }
        assert!(answer.starts_with("0 progress") && Instant::now() < deadline, "{answer}");
        thread::yield_now();
    }
}
