//! From files to running plugins, beside the least that any loader must do with the same files: time and memory of 100
//! small plugins in C, and looking through 1,000.
//!
//! `cargo bench -p pintle --bench loading`. The bars of issue 2 are 2.5, 1.3 with 64 KiB, and 0.5.

#[path = "measure/bars.rs"]
mod bars;
mod measure;
#[path = "measure/source.rs"]
mod source;
#[path = "measure/swarm.rs"]
mod swarm;

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use bars::{Report, pairs};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};
use measure::{median, rounds, time};
use pintle::{Host, HostBuilder, bench_parts::stage};
use sha2::{Digest, Sha256};
use swarm::swarm;

const LOADED: usize = 100;
const FOUND: usize = 1_000;
const LOAD_BAR: f64 = 2.5;
const MEMORY_BAR: f64 = 1.3;
const MEMORY_MORE: f64 = 64.0 * 1024.0;
const DISCOVER_BAR: f64 = 0.5;

fn main() -> ExitCode {
    if let Some(child) = Child::asked_for() {
        println!("{}", child.grown());
        return ExitCode::SUCCESS;
    }
    let small = source::compiled("small");
    let folder = tempfile::tempdir().expect("a folder for the plugins");
    swarm(&small, folder.path(), LOADED);
    let size = fs::metadata(&small).expect("it was just built").len();
    let mut report = Report::default();
    println!("{LOADED} plugins of {size} bytes:");
    loading(&mut report, folder.path());
    memory(&mut report, folder.path());
    swarm(&small, folder.path(), FOUND);
    println!("{FOUND} plugins:");
    discovering(&mut report, folder.path());
    report.end()
}

/// Discover, stage, load and enable, beside: copy the file, SHA-256, dlopen, look up the symbol.
fn loading(report: &mut Report, plugins: &Path) {
    let files = files(plugins);
    let each = |nanoseconds: f64| nanoseconds / 1000.0 / LOADED as f64;
    let bare = || {
        let private = tempfile::tempdir().expect("a private folder");
        let mut open = Vec::with_capacity(files.len());
        let took = time(|| open.extend(files.iter().map(|file| load_bare(file, private.path()))));
        each(took)
    };
    let (mut discover, mut staging, mut enable) = (Vec::new(), Vec::new(), Vec::new());
    let hosted = || {
        let host = silent().plugins(plugins).build().expect("a host can be made");
        let private = tempfile::tempdir().expect("a private folder");
        // What the steps take one by one.
        let mut found = None;
        discover.push(each(time(|| found = Some(host.available()))));
        let found = found.expect("it was looked").found;
        let mut copies = Vec::with_capacity(found.len());
        staging.push(each(time(|| {
            copies.extend(found.iter().zip(1..).map(|(candidate, number)| {
                stage(candidate, private.path(), number).expect("it can be staged")
            }));
        })));
        drop(copies);
        // And all of them.
        let mut enabled = 0;
        let took = each(time(|| enabled = host.start().enabled.len()));
        assert_eq!(enabled, LOADED, "all plugins are enabled");
        let ids: Vec<_> = host.plugins().into_iter().map(|plugin| plugin.id).collect();
        ids.iter().for_each(|id| host.disable(id).expect("it can be disabled"));
        enable.push(each(time(|| ids.iter().for_each(|id| host.enable(id).expect("it can be enabled")))));
        host.stop();
        assert!(host.wait_closed(Duration::from_secs(30)), "all libraries are closed");
        took
    };
    let pairs = pairs(rounds(25), bare, hosted);
    report.bar("discover, stage, load, enable", "us each", &pairs, LOAD_BAR);
    let all = median(pairs.subject.clone());
    let (discover, staging, enable) = (median(discover), median(staging), median(enable));
    println!(
        "    discover {discover:.1}, stage {staging:.1}, load {:.1}, enable {enable:.1} us",
        all - discover - staging - enable
    );
}

/// What a loaded plugin takes of resident memory, each way in a process of its own.
fn memory(report: &mut Report, plugins: &Path) {
    let grown = |child: Child| child.run(plugins) / LOADED as f64;
    let pairs = pairs(rounds(5), || grown(Child::Bare), || grown(Child::Hosted));
    let (bare, hosted) = (median(pairs.baseline), median(pairs.subject));
    let most = MEMORY_BAR * bare + MEMORY_MORE;
    let about =
        format!("{:.1} KiB to {:.1} KiB, {:.1} allowed", hosted / 1024.0, bare / 1024.0, most / 1024.0);
    report.verdict("memory, part of what is allowed", hosted / most, 1.0, &about);
}

/// Looking into all files, beside opening each by dlopen. What is opened is closed outside of what is measured, so that
/// no dlopen pays for those before it.
fn discovering(report: &mut Report, plugins: &Path) {
    let files = files(plugins);
    let each = |nanoseconds: f64| nanoseconds / 1000.0 / FOUND as f64;
    let bare = || {
        each(
            files
                .iter()
                .map(|file| {
                    let mut open = None;
                    let took = time(|| open = Some(dlopen(file)));
                    drop(open);
                    took
                })
                .sum(),
        )
    };
    let host = silent().plugins(plugins).build().expect("a host can be made");
    let hosted = || {
        let mut found = 0;
        let took = time(|| found = host.available().found.len());
        assert_eq!(found, FOUND, "all plugins are found");
        each(took)
    };
    report.bar("discover, to dlopen", "us each", &pairs(rounds(15), bare, hosted), DISCOVER_BAR);
}

fn load_bare(file: &Path, private: &Path) -> Library {
    let copy = private.join(file.file_name().expect("it is a file"));
    fs::copy(file, &copy).expect("it can be copied");
    black_box(Sha256::digest(fs::read(&copy).expect("it can be read")));
    dlopen(&copy)
}

/// Opens a library and looks its entry up.
fn dlopen(file: &Path) -> Library {
    // SAFETY: a plugin of this bench has no constructors.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.expect("it can be opened");
    // SAFETY: the type of the entry; it is not called.
    let entry: Symbol<unsafe extern "C" fn() -> usize> =
        unsafe { library.get(b"pintle_plugin_entry_v1\0") }.expect("it is a plugin");
    black_box(entry);
    library
}

/// A host that says nothing.
fn silent() -> HostBuilder {
    Host::builder().log(pintle::log::Options { level: pintle::log::Level::Fatal, ..Default::default() })
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    files
}

/// This program, started again to load everything once and to tell how much its memory has grown.
#[derive(Clone, Copy)]
enum Child {
    Bare,
    Hosted,
}

impl Child {
    const HOW: &str = "PINTLE_BENCH_CHILD";
    const PLUGINS: &str = "PINTLE_BENCH_PLUGINS";

    fn asked_for() -> Option<Self> {
        match env::var(Self::HOW).ok()?.as_str() {
            "bare" => Some(Self::Bare),
            _ => Some(Self::Hosted),
        }
    }

    /// How many bytes it grew.
    fn run(self, plugins: &Path) -> f64 {
        let how = match self {
            Self::Bare => "bare",
            Self::Hosted => "hosted",
        };
        let mut child = Command::new(env::current_exe().expect("it runs"));
        let output =
            child.env(Self::HOW, how).env(Self::PLUGINS, plugins).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().unwrap_or_else(|_| panic!("{}{text}", String::from_utf8_lossy(&output.stderr)))
    }

    fn grown(self) -> usize {
        let plugins = env::var_os(Self::PLUGINS).map(PathBuf::from).expect("its parent says where they are");
        match self {
            Self::Bare => {
                let private = tempfile::tempdir().expect("a private folder");
                let files = files(&plugins);
                let before = resident();
                let open: Vec<_> = files.iter().map(|file| load_bare(file, private.path())).collect();
                let grown = resident() - before;
                assert_eq!(open.len(), LOADED);
                grown
            }
            Self::Hosted => {
                let host = silent().plugins(plugins).build().expect("a host can be made");
                let before = resident();
                assert_eq!(host.start().enabled.len(), LOADED);
                let grown = resident() - before;
                host.stop();
                grown
            }
        }
    }
}

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux has it");
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("it says so");
    kib.trim().trim_end_matches("kB").trim().parse::<usize>().expect("it is a number") * 1024
}
