//! README.md against what is there: its programs are compiled and run, by its own command lines, so that it cannot
//! rot. It reads the page as a newcomer does, from top to bottom, and does what it says in folders of its own.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use pintle::{
    Host, Settings,
    events::{from_json, to_json},
};
use pintle_test_support::{install, repository, samples, target_dir};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a plugin on the page may be: longer ones are not read.
const LONGEST_PLUGIN: usize = 40;

/// How long an answer may take before the test says that none came.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn each_plugin_is_shown_in_full_in_under_forty_lines() {
    for (language, path) in [("c", "tests/plugins/hello.c"), ("rust", "sample-plugins/rust/hello/src/lib.rs")]
    {
        let shown = first(language);
        let lines = shown.lines().count();
        assert!(lines < LONGEST_PLUGIN, "the plugin in {language} has {lines} lines");
        // Each file has an opening of its own; from the first line of code on they are the same.
        let file = read(&repository().join(path));
        let begin = shown.lines().next().expect("it has lines");
        let from = file.find(begin).unwrap_or_else(|| panic!("{path} has no line `{begin}`"));
        assert_eq!(shown, &file[from..], "README.md and {path} differ");
    }
}

#[test]
fn the_c_plugin_is_compiled_by_its_line_and_answers() {
    let newcomer = Newcomer::new();
    newcomer.write("hello.c", first("c"));
    for line in commands_from("mkdir -p plugins", "echo") {
        newcomer.run(line);
    }
    newcomer.run(command("echo", 0));
    assert!(newcomer.path("plugins/hello.so").is_file());
    let emitted = newcomer.emitted(Settings::default(), 1);
    assert_like(&emitted[0], &serde_json::from_str(first("json")).expect("the page shows JSON"));
}

#[test]
fn both_plugins_answer_with_the_setting_of_the_page() {
    let newcomer = Newcomer::new();
    newcomer.run("mkdir -p plugins");
    install(&samples().c("hello"), &newcomer.path("plugins"));
    install(&samples().rust("hello"), &newcomer.path("plugins"));
    newcomer.run(command("echo", 0));
    newcomer.run(command("echo", 1));
    let settings = Settings::from_file(newcomer.path("pintle.toml")).expect("the page's settings are right");
    let emitted = newcomer.emitted(settings, 2);
    let of_rust = emitted.iter().find(|event| event["source"] == "/plugins/hello-rust").expect("it answers");
    let shown = format!("\"data\":{}", of_rust["data"]);
    assert!(README.contains(&format!("`{shown}`")), "the page does not show {shown}");
}

#[test]
fn the_rust_plugin_needs_what_its_sample_needs() {
    let shown: toml::Table = first("toml").parse().expect("the page shows a Cargo.toml");
    let sample: toml::Table =
        read(&repository().join("sample-plugins/rust/hello/Cargo.toml")).parse().expect("cargo reads it too");
    assert_eq!(shown["package"]["name"], sample["package"]["name"]);
    assert_eq!(shown["lib"], sample["lib"]);
    let names = |manifest: &toml::Table| {
        let needs = manifest["dependencies"].as_table().expect("dependencies are a table");
        needs.keys().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&shown), names(&sample));
    let workspace: toml::Table = read(&repository().join("Cargo.toml")).parse().expect("cargo reads it too");
    assert_eq!(shown["package"]["edition"], workspace["workspace"]["package"]["edition"]);
    let least = workspace["workspace"]["package"]["rust-version"].as_str().expect("it is a text");
    assert!(README.contains(&format!("Rust {least} or newer")), "the page does not ask for Rust {least}");
}

#[test]
fn the_application_is_compiled_and_prints_what_the_plugin_emits() {
    let file = read(&repository().join("examples/rust/embedding.rs"));
    let (_, program) = file.split_once("\n\n").expect("an opening, and the program");
    assert_eq!(blocks("rust")[1], program, "README.md and examples/rust/embedding.rs differ");

    let newcomer = Newcomer::new();
    newcomer.run("mkdir -p plugins");
    install(&samples().c("hello"), &newcomer.path("plugins"));
    let output = run(Command::new(built().join("examples/embedding")).current_dir(newcomer.home()));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("it prints one event");
    assert_eq!(printed["type"], "plugin.hello.greeted");
    assert_eq!(printed["data"]["name"], "you");
}

/// The whole page, command by command, with the command that users have.
#[test]
fn a_newcomer_gets_what_the_page_says() {
    let newcomer = Newcomer::new();
    newcomer.write("hello.c", first("c"));
    newcomer.write("Cargo.toml", first("toml"));
    newcomer.write("src/lib.rs", blocks("rust")[0]);
    let mut outputs = Vec::new();
    for line in commands_from("mkdir -p plugins", "") {
        let output = newcomer.run(line);
        if line.starts_with("pintle run") {
            let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
            outputs.push(
                text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>(),
            );
        }
    }
    let [of_c, of_both] = &outputs[..] else {
        panic!("the page runs pintle twice, not {} times", outputs.len())
    };
    assert_eq!(of_c.len(), 1, "{of_c:?}");
    assert_like(&of_c[0], &serde_json::from_str(first("json")).expect("the page shows JSON"));
    assert_eq!(of_both.len(), 2, "{of_both:?}");
    let of_rust = of_both.iter().find(|event| event["source"] == "/plugins/hello-rust").expect("it answers");
    assert_eq!(of_rust["data"]["text"], "Welcome, you!");
}

/// What it says to try in another terminal.
#[test]
#[cfg(unix)]
fn an_operator_can_ask_and_steer_what_runs() {
    let newcomer = Newcomer::new();
    newcomer.run("mkdir -p plugins");
    install(&samples().c("hello"), &newcomer.path("plugins"));
    let mut host = newcomer.shell("exec pintle run --plugins plugins --events -");
    let mut host = Killed(host.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts"));
    // What comes out shows that it runs.
    let (mut events, out) =
        (host.0.stdin.take().expect("asked for"), host.0.stdout.take().expect("asked for"));
    let event = br#"{"specversion":"1.0","id":"1","source":"/me","type":"greet.world"}"#;
    events.write_all(&[event, &b"\n"[..]].concat()).expect("it is read");
    // And it runs as long as somebody takes what comes out.
    let mut out = BufReader::new(out);
    out.read_line(&mut String::new()).expect("it writes text");
    for line in blocks("sh operator").iter().flat_map(|block| block.lines()) {
        let endless = line.starts_with("pintle tail") || line.ends_with(" --watch");
        let line = if endless { format!("timeout --preserve-status -s INT 5 {line}") } else { line.into() };
        run(&mut newcomer.shell(&line));
    }
    assert_eq!(host.0.try_wait().expect("it can be looked at"), None, "it runs still");
}

/// A program that ends with the test, also where that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_page_is_tried_somewhere() {
    // By the tests above, by `.ci/run`, or, for the path, by what `Newcomer` does.
    const KNOWN: [&str; 11] = [
        "cargo demo",
        "cargo test",
        "cargo build --package pintle-cli",
        "export PATH=",
        "mkdir -p plugins",
        "cc -shared -fPIC ",
        "echo ",
        "pintle run ",
        "cargo build --release",
        "cp target/release/",
        "echo 'plugin.",
    ];
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        assert!(KNOWN.iter().any(|known| line.starts_with(known)), "nobody tries `{line}`");
    }
}

#[test]
fn the_pages_that_it_leads_to_are_there() {
    for (at, _) in README.match_indices("](") {
        let target = &README[at + 2..];
        let target = &target[..target.find(')').expect("a link ends")];
        if !target.starts_with("http") {
            assert!(repository().join(target).is_file(), "{target} is not there");
        }
    }
}

const README: &str = include_str!("../README.md");

/// The blocks of code in this language, in their order.
fn blocks(language: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rest = README;
    while let Some(at) = rest.find("```") {
        let (of, code) = rest[at + 3..].split_once('\n').expect("a block begins with its language");
        let end = code.find("```").expect("a block ends");
        if of == language {
            found.push(&code[..end]);
        }
        rest = &code[end + 3..];
    }
    found
}

fn first(language: &str) -> &'static str {
    blocks(language).first().copied().unwrap_or_else(|| panic!("README.md has no block of {language}"))
}

/// The command lines from the one that is `begin` up to, and without, the one that begins with `end` (empty: all).
fn commands_from(begin: &str, end: &str) -> impl Iterator<Item = &'static str> {
    let lines = blocks("sh").into_iter().flat_map(str::lines).skip_while(move |line| *line != begin);
    let end = end.to_owned();
    lines.take_while(move |line| end.is_empty() || !line.starts_with(&end))
}

/// The command line that begins with this word; which of them.
fn command(word: &str, which: usize) -> &'static str {
    let mut lines = blocks("sh").into_iter().flat_map(str::lines).filter(|line| line.starts_with(word));
    lines.nth(which).unwrap_or_else(|| panic!("README.md has no command {which} `{word}`"))
}

/// Somebody with an empty folder beside a clone.
struct Newcomer {
    place: TempDir,
}

impl Newcomer {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("there is a place for temporary files");
        std::os::unix::fs::symlink(repository(), place.path().join("pintle")).expect("it can be linked");
        fs::create_dir(place.path().join("hello")).expect("it can be made");
        Self { place }
    }

    fn home(&self) -> PathBuf {
        self.place.path().join("hello")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home().join(below)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("it can be made");
        fs::write(path, text).expect("the folder can be written");
    }

    /// Runs a command line of the page in a shell, as it stands there.
    fn run(&self, line: &str) -> Output {
        run(&mut self.shell(line))
    }

    /// The shell that runs it.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-euc", line]).current_dir(self.home());
        if line.contains("pintle ") {
            let path = env::var("PATH").unwrap_or_default();
            shell.env("PATH", format!("{}:{path}", built().display()));
        }
        // A reader's own data is not the business of a test.
        shell.env("XDG_DATA_HOME", self.place.path().join("data"));
        // What it builds is its own; the outer cargo's target folder is not its business.
        shell.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
        shell
    }

    /// What the plugins in its folder emit when the events of its file come in: `count` of them.
    fn emitted(&self, settings: Settings, count: usize) -> Vec<Value> {
        let host = Host::builder().settings(settings).plugins(self.path("plugins")).build();
        let host = host.expect("it can be made");
        let (tell, told) = mpsc::channel();
        host.subscribe("plugin.>", move |event| tell.send(to_json(event)).expect("somebody listens"))
            .expect("the pattern is right");
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        for line in read(&self.path("events.jsonl")).lines() {
            host.emit("", from_json(line.as_bytes()).expect("a CloudEvent")).expect("it is taken");
        }
        let next =
            |_| serde_json::from_str(&told.recv_timeout(PATIENCE).expect("an event comes")).expect("JSON");
        let emitted = (0..count).map(next).collect();
        assert!(host.stop().left.is_empty());
        emitted
    }
}

/// Builds the command and the application, and says where programs are.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // As the cargo that runs this test chose: packages, profile and target folder, so that nothing is built twice.
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(repository()).args([
            "build",
            "--quiet",
            "--bin",
            "pintle",
            "--example",
            "embedding",
        ]);
        cargo.arg("--target-dir").arg(target_dir());
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        if profile == "release" {
            cargo.arg("--release");
        }
        run(&mut cargo);
        target_dir().join(profile)
    })
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|cause| panic!("{command:?} does not start: {cause}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("cannot read {}: {cause}", path.display()))
}

/// Is it what the page shows, where `…` stands for anything?
fn assert_like(found: &Value, shown: &Value) {
    let (found, shown) = (found.as_object().expect("an object"), shown.as_object().expect("an object"));
    assert!(found.keys().eq(shown.keys()), "{found:?} has other attributes than the page shows");
    for (key, value) in shown {
        assert!(value == "…" || value == &found[key], "`{key}` is {}, the page says {value}", found[key]);
    }
}
