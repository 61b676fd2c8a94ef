//! A host with `tests/plugins/postman.c`, and what that answers.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with plugins, data and settings.
pub(crate) struct Place {
    folder: TempDir,
    toml: String,
}

impl Place {
    /// With the plugin `postman`, which does `load` when it is loaded.
    pub(crate) fn new(load: &str) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self { folder, toml: String::new() }.with("postman", load)
    }

    /// With the plugin under another name.
    pub(crate) fn with(mut self, name: &str, load: &str) -> Self {
        let define = format!("-DNAME={name}");
        let library = compile_c(name, repository().join("tests/plugins/postman.c"), &[&define]);
        install(&library, &self.folder.path().join("plugins"));
        self.toml.push_str(&format!("[plugin.{name}.config]\nload = '''{load}'''\n"));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
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
        host(self.folder.path(), &self.toml)
    }

    pub(crate) fn settings(&self) -> &str {
        &self.toml
    }
}

/// A host with the plugins and the data of a folder.
pub(crate) fn host(folder: &Path, toml: &str) -> Host {
    let settings = Settings::from_text(toml, folder);
    let data: PathBuf = folder.join("data");
    Host::builder()
        .settings(settings.unwrap_or_else(|error| panic!("{error}")))
        .plugins(folder.join("plugins"))
        .data(data)
        .log(Options { target: Target::Writer(Box::new(std::io::sink())), ..Options::default() })
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Has a plugin do commands on behalf of a tenant; what each came to.
pub(crate) fn ask_of(host: &Host, name: &str, tenant: &str, commands: &str) -> Vec<String> {
    let answer = host.call(tenant, &format!("{name}.run"), 1, "do", commands.as_bytes(), None);
    let answer = answer.unwrap_or_else(|error| panic!("{commands}: {error}"));
    String::from_utf8(answer).expect("answers are text").lines().map(str::to_owned).collect()
}

/// That each of the commands of `postman` comes to OK.
#[track_caller]
pub(crate) fn all_ok(host: &Host, tenant: &str, commands: &str) {
    for (command, answer) in commands.lines().zip(ask_of(host, "postman", tenant, commands)) {
        assert_eq!(answer, "0", "{command}");
    }
}

/// A delivery that a plugin has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) subscription: String,
    pub(crate) data: String,
    pub(crate) sequence: u64,
    pub(crate) attempt: u32,
    pub(crate) delivery: u64,
    pub(crate) tenant: String,
    pub(crate) key: String,
}

/// Every delivery that `postman` has seen.
pub(crate) fn seen(host: &Host) -> Vec<Seen> {
    ask_of(host, "postman", "", "seen").iter().filter(|line| !line.is_empty()).map(|line| one(line)).collect()
}

fn one(line: &str) -> Seen {
    let words: Vec<&str> = line.split(' ').collect();
    let [subscription, data, rest @ ..] = &words[..] else { panic!("no delivery: {line}") };
    let field = |name: &str| {
        let value = rest.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name}: {line}")).to_owned()
    };
    let number = |name: &str| field(name).parse().unwrap_or_else(|_| panic!("no number {name}: {line}"));
    Seen {
        subscription: (*subscription).to_owned(),
        data: (*data).to_owned(),
        sequence: number("sequence"),
        attempt: number("attempt") as u32,
        delivery: number("delivery"),
        tenant: field("tenant"),
        key: field("key"),
    }
}

/// Waits until what was seen is as wanted.
#[track_caller]
pub(crate) fn seen_until(host: &Host, wanted: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = seen(host);
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "it did not come to that: {seen:#?}");
        thread::yield_now();
    }
}

/// The data of what was seen under a name, in order.
pub(crate) fn data_of<'a>(seen: &'a [Seen], subscription: &str) -> Vec<&'a str> {
    seen.iter().filter(|one| one.subscription == subscription).map(|one| one.data.as_str()).collect()
}
