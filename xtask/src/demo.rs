//! `cargo demo`: the command and the sample plugins at work, from a fresh clone, for some seconds.
//!
//! It builds, puts the plugins into a private folder of the target folder, and starts `pintle run --watch` on it; what
//! is to be seen is up to that. The demo's settings are `xtask/demo.toml`. It adds events by which two tenants ask for
//! samples of their own, and work for the processors, so that there is something to be alarmed about. Towards the end it
//! stops the host and starts another on the same data, and asks what is kept (`kept`) before and after that. At last it has an alarm raised that nobody
//! is there for, and shows who gets it later (`waited`).

mod kept;
mod waited;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use pintle_test_support::{install, samples, target_dir};

use self::{kept::Kept, waited::Waited};

use crate::{Failure, cargo};

/// When the processors are kept busy, after the start, and for how long; and how long a demo must be to have time for
/// that.
const WORK: (Duration, Duration, Duration) =
    (Duration::from_secs(3), Duration::from_secs(2), Duration::from_secs(7));

/// How long the second host runs, of the whole length.
const SECOND: Duration = Duration::from_secs(3);

/// What two tenants ask of `sysmon`.
const EVENTS: &str = r#"{"specversion":"1.0","id":"1","source":"/demo","type":"sysmon.watch","tenant":"acme"}
{"specversion":"1.0","id":"2","source":"/demo","type":"sysmon.watch","tenant":"globex"}
"#;

/// Runs the demo; see the help of `xtask`.
pub(crate) fn run(options: &[String]) -> Result<(), Failure> {
    let length = length(options)?;
    compiler()?;
    // Debug builds: on a fresh clone they are there minutes earlier, and the demo is no benchmark.
    eprintln!("building the pintle command and the sample plugins");
    let target = target_dir().to_string_lossy();
    cargo(&["build", "--quiet", "-p", "pintle-cli", "--target-dir", &target], &[])?;
    let folder = target_dir().join("demo");
    furnish(&folder).map_err(|cause| format!("cannot furnish {}: {cause}", folder.display()))?;
    let settings = folder.join("pintle.toml");
    let earlier = Kept::ask(&settings)?;

    // Ctrl-C goes to everybody in the foreground: pintle stops by it, and this program must live to see that.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))
        .map_err(|cause| format!("cannot take SIGINT: {cause}"))?;
    // A demo that runs until Ctrl-C, or has no time for it, has one host.
    let [first, second] = match length {
        Some(length) if length >= WORK.2 + SECOND => [Some(length - SECOND), Some(SECOND)],
        length => [length, None],
    };
    let work = first.is_none_or(|first| first >= WORK.2);
    if work {
        let (from, long) = (WORK.0.as_secs(), WORK.1.as_secs());
        eprintln!(
            "after {from} s this demo keeps the processors busy for {long} s, so that their alarm is raised"
        );
    }
    if work {
        keep_busy();
    }
    watch(&folder, &settings, first)?;
    let mut before = earlier;
    if second.is_some() {
        before = Kept::ask(&settings)?;
        let (samples, seconds) = (before.samples(), SECOND.as_secs());
        eprintln!(
            "\nthe host has stopped, and chronicle has kept {samples} samples: another host, for {seconds} s"
        );
        watch(&folder, &settings, second)?;
    }
    println!("\n{}", Kept::ask(&settings)?.told(&before));
    println!("{}", kept::report(&settings)?);
    println!("{}", Waited::ask(&settings)?);
    println!("the data is in {}: run the demo again, and it goes on", folder.join("data").display());
    Ok(())
}

/// One host at work in the demo's folder.
fn watch(folder: &Path, settings: &Path, length: Option<Duration>) -> Result<(), Failure> {
    let mut pintle = Command::new(command());
    pintle.arg("run").arg("--watch").arg("--settings").arg(settings);
    pintle.arg("--events").arg(folder.join("events.jsonl")).current_dir(folder);
    let child = pintle.spawn().map_err(|cause| format!("{} does not start: {cause}", command().display()))?;
    let status = ended(child, length).map_err(|cause| format!("cannot wait for pintle: {cause}"))?;
    if status.success() { Ok(()) } else { Err(format!("pintle failed: {status}")) }
}

/// How long to run; `None` is until Ctrl-C.
fn length(options: &[String]) -> Result<Option<Duration>, Failure> {
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok(Some(Duration::from_secs(10))),
        ["--forever"] => Ok(None),
        ["--seconds", number] => match number.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(format!("--seconds takes a number from 1 to 86400, not `{number}`")),
        },
        _ => Err(format!("demo takes --seconds N or --forever, not `{}`", words.join(" "))),
    }
}

/// Two of the plugins are in C: a missing compiler is better told before minutes of building than after.
fn compiler() -> Result<(), Failure> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut words = compiler.split_whitespace();
    let mut cc = Command::new(words.next().unwrap_or("cc"));
    let found =
        cc.args(words).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match found.status() {
        Ok(_) => Ok(()),
        Err(cause) => Err(format!(
            "the demo has plugins in C, and the C compiler `{compiler}` does not start: {cause}: install one, or name \
             yours in CC"
        )),
    }
}

/// Makes the folder anew, but for what earlier runs have kept and logged there: the settings, the events, and the
/// plugins each in a folder of its own. Nobody else may write there, or the host would refuse the plugins.
fn furnish(folder: &Path) -> io::Result<()> {
    let plugins = folder.join("plugins");
    if plugins.exists() {
        fs::remove_dir_all(&plugins)?;
    }
    if !folder.exists() {
        private(folder)?;
    }
    private(&plugins)?;
    fs::write(folder.join("pintle.toml"), include_str!("../demo.toml"))?;
    fs::write(folder.join("events.jsonl"), EVENTS)?;
    for (name, library) in [
        ("sysmon", samples().rust("sysmon")),
        ("threshold", samples().c("threshold")),
        ("tail", samples().c("tail")),
        ("chronicle", samples().rust("chronicle")),
    ] {
        let own = plugins.join(name);
        private(&own)?;
        install(&library, &own);
    }
    Ok(())
}

#[cfg(unix)]
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}

/// The command that `cargo build -p pintle-cli` has just built: it lies beside this program.
fn command() -> PathBuf {
    let own = env::current_exe().unwrap_or_default();
    own.with_file_name(format!("pintle{}", env::consts::EXE_SUFFIX))
}

/// Real work for all processors, later on; nobody waits for it.
fn keep_busy() {
    let (from, until) = (Instant::now() + WORK.0, Instant::now() + WORK.0 + WORK.1);
    for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
        thread::spawn(move || {
            thread::sleep(from.saturating_duration_since(Instant::now()));
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }
}

/// Waits for the end of `pintle`, and asks it to stop when its time is up.
fn ended(mut pintle: Child, length: Option<Duration>) -> io::Result<ExitStatus> {
    let id = pintle.id();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(pintle.wait()));
    let first = match length {
        Some(length) => told.recv_timeout(length),
        None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match first {
        Ok(status) => status,
        Err(RecvTimeoutError::Timeout) => {
            // The standard library can only kill, and pintle is to say good-bye.
            let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status()?;
            if !asked.success() {
                eprintln!("kill -TERM {id}: {asked}");
            }
            told.recv().expect("the waiting thread always tells")
        }
        Err(RecvTimeoutError::Disconnected) => unreachable!("the waiting thread always tells"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_length_is_ten_seconds_or_what_was_asked_for() {
        assert_eq!(length(&[]), Ok(Some(Duration::from_secs(10))));
        assert_eq!(length(&words("--seconds 3")), Ok(Some(Duration::from_secs(3))));
        assert_eq!(length(&words("--forever")), Ok(None));
        for wrong in
            ["--seconds", "--seconds 0", "--seconds x", "--forever 3", "--loud", "--seconds 3 --forever"]
        {
            assert!(length(&words(wrong)).is_err(), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn who_does_not_end_by_himself_is_asked_to_and_not_killed() {
        use std::os::unix::process::ExitStatusExt;
        let child = Command::new("sleep").arg("600").spawn().expect("sleep is everywhere");
        let status = ended(child, Some(Duration::from_millis(1))).expect("it can be waited for");
        assert_eq!(status.signal(), Some(signal_hook::consts::SIGTERM));
    }

    #[cfg(unix)]
    #[test]
    fn who_ends_by_himself_is_not_waited_for() {
        let child = Command::new("false").spawn().expect("false is everywhere");
        let status = ended(child, Some(Duration::from_secs(600))).expect("it can be waited for");
        assert_eq!(status.code(), Some(1));
    }
}
