//! A file with a million events: memory stays where it is, each event is delivered or counted, and whoever has seen
//! enough of the output may go. `cargo test` takes fewer events; `cargo xtask million` takes them all.
//!
//! `counter.c` beside this file is the plugin that counts.

use std::{
    env, fs,
    io::{BufRead, BufWriter, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use pintle_test_support::{compile_c, repository};

use super::place::{Place, event};

/// Asks for the full form.
const FULL: &str = "PINTLE_MILLION";

/// How many events the two forms take.
const EVENTS: (u64, u64) = (50_000, 1_000_000);

/// How much more memory the process may have had at its end than when a tenth of the events was through. Queues are
/// bounded, so there is nothing that could grow with the events; what is left is the allocator's own waste.
const MOST_GROWTH_KIB: i64 = 2 * 1_024;

#[test]
fn a_million_events_take_no_more_memory_than_the_first_tenth_and_each_is_delivered() {
    let events = if env::var_os(FULL).is_some() { EVENTS.1 } else { EVENTS.0 };
    let place = with_counter(1, events);
    let begun = Instant::now();
    let mut running = place.start(&["--plugins", "plugins", "--watch", "--until-idle", "--events", "in"]);
    let (mut line, mut copies, mut tenth, mut peak) = (String::new(), 0_u64, 0, 0);
    let mut rest = String::new();
    let stdout = running.stdout.as_mut().expect("it is open");
    while stdout.read_line(&mut line).expect("it writes text") > 0 {
        if line.contains(" plugin.counter.copy  ") {
            copies += 1;
            // The most that it ever had, and not what it has at this moment: no peak is missed.
            if copies == events / 10 {
                tenth = peak_kib(running.child.id());
            }
            if copies == events {
                peak = peak_kib(running.child.id());
            }
        } else {
            rest.push_str(&line);
        }
        line.clear();
    }
    let took = begun.elapsed();
    let ended = running.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(copies, events);
    let counts = Counts::of(&rest);
    assert_eq!((counts.events, counts.copies, counts.dropped), (events, events, 0), "{rest}");
    counts.add_up(events, 1, &rest);
    println!(
        "{events} events in {:.1} s, {:.0} events/s; peak {tenth} KiB after a tenth, {peak} KiB at the end",
        took.as_secs_f64(),
        events as f64 / took.as_secs_f64()
    );
    assert!(peak - tenth <= MOST_GROWTH_KIB, "from {tenth} KiB after a tenth to {peak} KiB at the end");
}

#[test]
fn what_a_plugin_cannot_take_is_counted_as_dropped() {
    const EVENTS: u64 = 200;
    for (copies, some_dropped) in [(3, false), (64, false), (65, true), (500, true)] {
        let place = with_counter(copies, EVENTS);
        let ended = place.run(&["--plugins", "plugins", "--watch", "--until-idle", "--events", "in"]);
        let counts = Counts::of(&ended.stdout);
        assert_eq!(counts.events, EVENTS, "{copies}");
        assert_eq!(counts.copies + counts.dropped, EVENTS * copies, "{copies}: {counts:?}");
        assert_eq!(counts.dropped > 0, some_dropped, "{copies}: {counts:?}");
        counts.add_up(EVENTS, copies, &ended.stdout);
        let said = match counts.dropped {
            0 => vec![],
            dropped => vec![format!("{dropped} events were dropped in full queues")],
        };
        assert_eq!(ended.said(), said, "{copies}");
        assert_eq!(ended.code, Some(if some_dropped { 4 } else { 0 }), "{copies}");
    }
}

#[test]
fn whoever_has_read_enough_goes_and_the_command_ends_without_a_word() {
    let place = Place::with(&[hello()]);
    for (watch, lines, until_idle) in [
        (false, 0, true),
        (false, 1, true),
        (false, 1, false),
        (false, 1_000, true),
        (true, 0, true),
        (true, 1, true),
        (true, 1, false),
        (true, 1_000, true),
    ] {
        let case = format!("--watch {watch}, {lines} lines, --until-idle {until_idle}");
        let mut arguments = vec!["--plugins", "plugins", "--events", "-"];
        arguments.extend(watch.then_some("--watch"));
        arguments.extend(until_idle.then_some("--until-idle"));
        let mut running = place.start(&arguments);
        let stdin = running.stdin.take().expect("it is open");
        // The input has no end: that of the run does not come from there.
        let feeder = thread::spawn(move || feed_for_ever(stdin));
        for _ in 0..lines {
            assert!(running.line().contains("plugin.hello.greeted"), "{case}");
        }
        drop(running.stdout.take());
        let id = running.child.id();
        let ended = running.ended();
        assert_eq!((ended.code, ended.said()), (Some(0), vec![]), "{case}: {}", ended.stderr);
        assert!(feeder.join().expect("it does not panic") > lines as u64, "{case}");
        assert!(!PathBuf::from(format!("/proc/{id}")).exists(), "{case}: something is left of it");
    }
}

#[test]
fn in_a_pipeline_of_a_shell_head_ends_it_with_status_0() {
    if !Command::new("bash").arg("--version").stdout(Stdio::null()).status().is_ok_and(|ran| ran.success()) {
        return eprintln!("SKIPPED: there is no bash, which tells the status of each part of a pipeline");
    }
    let events = if env::var_os(FULL).is_some() { EVENTS.1 } else { EVENTS.0 };
    let place = Place::with(&[hello()]);
    place.write("pintle.toml", "[log]\nlevel = \"warn\"\n");
    write_events(&place, "greet.you", events);
    for (watch, reader, lines) in
        [("", "head -1", 1), ("--watch", "head -1", 1), ("", "true", 0), ("--watch", "true", 0)]
    {
        let pintle = env!("CARGO_BIN_EXE_pintle");
        let line = format!(
            "{pintle:?} run --plugins plugins --until-idle {watch} --events in | {reader}; echo ${{PIPESTATUS[0]}}"
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &line]).current_dir(place.path("")).env("XDG_DATA_HOME", place.path("usual"));
        let ran = bash.output().expect("it starts");
        let (told, said) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        let told: Vec<&str> = told.lines().collect();
        assert_eq!((told.len(), told.last(), &*said), (lines + 1, Some(&"0"), ""), "{line}: {told:?}");
    }
}

/// What the plugin and the host have counted.
#[derive(Debug)]
struct Counts {
    /// By the plugin.
    events: u64,
    copies: u64,
    /// By the host.
    taken: u64,
    published: u64,
    delivered: u64,
    dropped: u64,
}

impl Counts {
    /// Reads what `--watch` has written.
    fn of(shown: &str) -> Self {
        let number = |label: &str, after: &str| -> u64 {
            let at = shown.find(after).unwrap_or_else(|| panic!("{shown}\nlacks {after}"));
            let (before, _) =
                shown[at..].split_once(label).unwrap_or_else(|| panic!("{shown}\nlacks {label}"));
            before.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number is there")
        };
        let counted = |name: &str| -> u64 {
            let line = shown.lines().find(|line| line.contains("plugin.counter.counted  "));
            let mut words = line.unwrap_or_else(|| panic!("{shown}\nhas no count")).split_whitespace();
            words.find(|word| *word == name).expect("it counts that");
            words.next().and_then(|word| word.parse().ok()).expect("a number is there")
        };
        Self {
            events: counted("events"),
            copies: counted("copies"),
            taken: number(" in, ", "ran for "),
            // The host tells how its plugins fare, which nobody here listens to.
            published: number(" published, ", "ran for ") - number(" without a subscriber", "ran for "),
            delivered: number(" delivered, ", "ran for "),
            dropped: number(" dropped", "ran for "),
        }
    }

    /// Each event went to the plugin, each copy to the plugin and to the command, and the count to the command.
    #[track_caller]
    fn add_up(&self, events: u64, copies: u64, shown: &str) {
        assert_eq!((self.taken, self.published), (events, events + events * copies + 1), "{shown}");
        assert_eq!(self.delivered + self.dropped, events + 2 * events * copies + 1, "{shown}");
        assert_eq!(self.delivered, self.events + self.copies + events * copies + 1, "{shown}");
    }
}

/// A place with a plugin that counts, and events for it.
fn with_counter(copies: u64, events: u64) -> Place {
    let source = repository().join("cli/tests/run/counter.c");
    let place = Place::with(&[compile_c("counter", source, &[&format!("-DCOPIES={copies}")])]);
    place.write("pintle.toml", "[log]\nlevel = \"warn\"\n");
    write_events(&place, "count.one", events);
    place
}

/// By itself, and not with all the samples: the optimised run would have to wait for those in Rust.
fn hello() -> PathBuf {
    compile_c("hello", repository().join("tests/plugins/hello.c"), &[])
}

fn write_events(place: &Place, topic: &str, events: u64) {
    let mut file = BufWriter::new(fs::File::create(place.path("in")).expect("it can be made"));
    for number in 0..events {
        let line = event(&number.to_string(), topic, &format!(r#"{{"number":{number}}}"#));
        file.write_all(line.as_bytes()).expect("there is room");
    }
    file.flush().expect("there is room");
}

/// Writes events as long as somebody reads them; how many.
fn feed_for_ever(mut to: impl Write) -> u64 {
    let mut events = 0;
    while to.write_all(event(&events.to_string(), "greet.you", "{}").as_bytes()).is_ok() {
        events += 1;
    }
    events
}

/// The most memory that a process has ever had.
fn peak_kib(process: u32) -> i64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs, and this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
