//! Load, enable, use, unload, again and again in one process: nothing crashes, nothing stays mapped, memory stays where
//! it is. The short form is part of every test run; `cargo xtask cycles` runs the full one and prints its table.
//!
//! Each measurement has a process of its own: this program again, told by a variable of the environment what to do.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use pintle::{
    Host,
    events::{Draft, Topic},
};
use pintle_test_support::{install, samples};

/// Names the measurement for a child, with its rounds and the one after which memory may not grow: `c 5000 50`.
const TASK: &str = "PINTLE_CYCLES";
/// How much more there may be at the end.
const MOST_GROWTH_KIB: i64 = 2 * 1024;
/// A process has 1,024 thread-local keys, and each load of a Rust library takes one for good.
const FULL: [(&str, usize, usize); 4] =
    [("rust", 500, 50), ("c", 5_000, 50), ("both", 400, 50), ("hosts", 500, 50)];
const SHORT: [(&str, usize, usize); 3] = [("rust", 30, 10), ("c", 200, 50), ("hosts", 30, 10)];
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child measured.
#[derive(Debug)]
struct Measured {
    plugin: &'static str,
    rounds: usize,
    settled_kib: i64,
    end_kib: i64,
    mapped: usize,
    milliseconds: u128,
}

#[test]
fn plugins_come_and_go_without_a_trace() {
    judge(&SHORT.map(|(plugin, rounds, settled)| measure(plugin, rounds, settled)));
}

#[test]
#[ignore = "the full form takes a minute: cargo xtask cycles"]
fn full() {
    let measured = FULL.map(|(plugin, rounds, settled)| measure(plugin, rounds, settled));
    println!("plugin  rounds  RSS at 50  RSS at end   growth  still mapped  per round");
    for Measured { plugin, rounds, settled_kib, end_kib, mapped, milliseconds } in &measured {
        println!(
            "{plugin:<6} {rounds:>7} {settled_kib:>6} KiB {end_kib:>7} KiB {:>4} KiB {mapped:>13} {:>7} us",
            end_kib - settled_kib,
            1_000 * milliseconds / *rounds as u128,
        );
    }
    judge(&measured);
}

fn judge(measured: &[Measured]) {
    for one in measured {
        assert_eq!(one.mapped, 0, "copies of the library are still mapped: {one:?}");
        let growth = one.end_kib - one.settled_kib;
        assert!(growth <= MOST_GROWTH_KIB, "{growth} KiB more than when it had settled: {one:?}");
    }
}

/// Has a child do `rounds` rounds with a plugin.
fn measure(plugin: &'static str, rounds: usize, settled: usize) -> Measured {
    samples();
    let begun = Instant::now();
    let mut child = Command::new(env::current_exe().expect("this program lies somewhere"));
    child
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env(TASK, format!("{plugin} {rounds} {settled}"));
    let output = child.output().expect("this program can be started");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{plugin}: {}\n{told}\n{errors}", output.status);
    let numbers = told.lines().find_map(|line| line.split_once("measured: ")).expect("the child tells").1;
    let numbers: Vec<i64> = numbers.split(' ').map(|number| number.parse().expect("it is one")).collect();
    let [settled_kib, end_kib, mapped] = numbers[..] else { panic!("{numbers:?}") };
    let milliseconds = begun.elapsed().as_millis();
    Measured { plugin, rounds, settled_kib, end_kib, mapped: mapped as usize, milliseconds }
}

/// What runs in a process of its own.
#[test]
#[ignore = "part of the others"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let words: Vec<&str> = task.split(' ').collect();
    let [plugin, rounds, settle] = words[..] else { panic!("{task}") };
    let [rounds, settle] = [rounds, settle].map(|word| word.parse::<usize>().expect("it is a number"));
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let data = folder.path().join("data");
    let plugins = folder.path().join("plugins");
    fs::create_dir(&plugins).expect("the folder can be written");
    private(&plugins);
    let ids: &[&str] = match plugin {
        "rust" => &["hello-rust"],
        "c" | "hosts" => &["hello"],
        _ => &["hello-rust", "hello"],
    };
    for id in ids {
        let library = if *id == "hello" { samples().c("hello") } else { samples().rust("hello") };
        install(&library, &plugins);
    }
    let mut settled = 0;
    let mut host = None;
    for round in 1..=rounds {
        if plugin == "hosts" {
            host = None;
        }
        let (host, told) = host.get_or_insert_with(|| new_host(&plugins, &data));
        for id in ids {
            host.enable(id).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        let greet =
            Draft::new(Topic::parse("greet.world").expect("it is one"), "/cycles", *br#"{"name":"you"}"#);
        host.emit("acme", greet).expect("the host runs");
        for _ in ids {
            told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("round {round}: no greeting"));
        }
        for id in ids {
            host.unload(id).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        assert!(host.wait_closed(PATIENCE), "round {round}: a library was not closed");
        if round == settle {
            settled = resident_kib();
        }
    }
    let end = resident_kib();
    let maps = fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let staged = data.join("staging").canonicalize().expect("the host made it");
    let mapped = maps.lines().filter(|line| line.contains(&*staged.to_string_lossy())).count();
    println!("\nmeasured: {settled} {end} {mapped}");
    let stopped = host.expect("there was a round").0.stop();
    assert!(stopped.left.is_empty() && stopped.failed.is_empty(), "{stopped:?}");
}

/// A host, and who hears from it when a plugin has emitted something.
fn new_host(plugins: &Path, data: &Path) -> (Host, Receiver<usize>) {
    let host = Host::builder().plugins(plugins).data(data).build().expect("nothing is in its way");
    host.set_log_level(None, pintle::log::Level::Warn);
    let (tell, told) = mpsc::channel();
    host.subscribe("plugin.>", move |event| {
        let _ = tell.send(event.tenant.len());
    })
    .expect("nobody has subscribed to it");
    (host, told)
}

/// Resident memory of this process, all of it.
fn resident_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
