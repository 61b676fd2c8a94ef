//! What the log promises, seen through its target.

use std::{
    fs,
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use super::*;

const LONG: Duration = Duration::from_secs(30);

/// A clock that stands.
struct Noon;

impl Wall for Noon {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(1_795_262_400_000_042)
    }
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic").clone();
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "a torn last line");
        String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

fn options(target: impl Write + Send + 'static) -> Options {
    Options { target: Target::Writer(Box::new(target)), wall: Arc::new(Noon), ..Options::default() }
}

fn log_to_page() -> (Log, Page) {
    let page = Page::default();
    (Log::new(options(page.clone())).expect("a thread"), page)
}

#[cfg(feature = "tracing")]
pub(super) fn quiet_log() -> Log {
    Log::new(options(io::sink())).expect("a thread")
}

#[test]
fn log_2_log_6_a_record_is_one_json_object_with_its_keys_in_order() {
    let (log, page) = log_to_page();
    let gate = log.gate("access-stats", "1.4.0");
    let record = Record {
        tenant: "acme",
        running: Some(Running::Event("e-17")),
        ..Record::new(Level::Warn, b"disk nearly full")
    };
    let fields = [
        Field::text("mount", "/var"),
        Field { name: "delta", value: Value::Integer(-3) },
        Field::unsigned("free", u64::MAX),
        Field { name: "share", value: Value::Number(0.97) },
        Field { name: "whole", value: Value::Number(2.0) },
        Field { name: "none", value: Value::Number(f64::NAN) },
        Field { name: "far", value: Value::Number(f64::NEG_INFINITY) },
        Field { name: "read_only", value: Value::Boolean(false) },
    ];
    log.write(&gate, &record, fields);
    log.write(&gate, &Record { running: Some(Running::Job("sweep")), ..Record::new(Level::Info, b"") }, []);
    log.write(&gate, &Record { running: Some(Running::Call("top")), ..Record::new(Level::Info, b"") }, []);
    log.host(Level::Info, "started", [Field::unsigned("plugins", 3)]);
    assert!(log.flush(LONG));
    let start = r#"{"time":"2026-11-21T12:00:00.000042Z","level":"#;
    let plugin = r#""plugin":"access-stats","version":"1.4.0""#;
    assert_eq!(
        page.lines(),
        [
            format!(
                r#"{start}"warn",{plugin},"tenant":"acme","event":"e-17","message":"disk nearly full","mount":"/var","delta":-3,"free":18446744073709551615,"share":0.97,"whole":2.0,"none":"NaN","far":"-Infinity","read_only":false}}"#
            ),
            format!(r#"{start}"info",{plugin},"job":"sweep","message":""}}"#),
            format!(r#"{start}"info",{plugin},"call":"top","message":""}}"#),
            format!(r#"{start}"info","host":"pintle","message":"started","plugins":3}}"#),
        ]
    );
}

#[test]
fn whatever_the_clock_shows_a_line_is_json_with_a_time_of_rfc_3339() {
    /// A clock that somebody sets.
    struct Set(Mutex<SystemTime>);
    impl Wall for Set {
        fn now(&self) -> SystemTime {
            *self.0.lock().expect("no panic")
        }
    }
    let (clock, page) = (Arc::new(Set(Mutex::new(UNIX_EPOCH))), Page::default());
    let log = Log::new(Options { wall: clock.clone(), ..options(page.clone()) }).expect("a thread");
    let years = Duration::from_secs(31_556_952);
    let times = [
        (UNIX_EPOCH, "1970"),
        (UNIX_EPOCH - Duration::from_nanos(1), "19"),
        (UNIX_EPOCH - 69 * years, "1901"),
        (UNIX_EPOCH + Duration::from_secs(4_133_980_800), "2101"),
        (UNIX_EPOCH - 1_000_000 * years, "0000"),
        (UNIX_EPOCH + 1_000_000 * years, "9999"),
        (UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs()), "9999"),
        (UNIX_EPOCH - Duration::from_secs(i64::MAX.unsigned_abs()), "0000"),
    ];
    for (time, _) in times {
        *clock.0.lock().expect("no panic") = time;
        log.host(Level::Info, "tick", []);
    }
    assert!(log.flush(LONG));
    let lines = page.json();
    assert_eq!(lines.len(), times.len());
    for (line, (_, year)) in lines.iter().zip(times) {
        let time = line["time"].as_str().expect("it has one");
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.starts_with(year), "{time}");
    }
}

#[test]
fn log_3_log_5_preset_fields_come_first_and_names_are_never_there_twice() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let preset =
        Preset::new([Field::text("unit", "C"), Field::text("level", "sea"), Field::text("unit", "F")]);
    let record = Record { preset: Some(&preset), ..Record::new(Level::Info, b"m") };
    let fields = ["unit", "a", "level", "level_", "a", "a_2", "unit_2", "time", "ünit", "ünit", "\n", "\n"];
    log.write(&gate, &record, fields.map(|name| Field::unsigned(name, 1)));
    assert!(log.flush(LONG));
    let line = &page.lines()[0];
    let fields = line.split_once(r#""message":"m","#).expect("the message").1;
    assert_eq!(
        fields,
        r#""unit":"C","level_":"sea","unit_2":"F","unit_3":1,"a":1,"level__2":1,"level__3":1,"a_2":1,"a_2_2":1,"unit_2_2":1,"time_":1,"ünit":1,"ünit_2":1,"\n":1,"\n_2":1}"#
    );
}

#[test]
fn sixty_four_fields_of_any_names_stay_apart() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let names: Vec<_> = (0..64).map(|at| format!("f{}", at % 40)).collect();
    log.write(&gate, &Record::new(Level::Info, b"m"), names.iter().map(|name| Field::unsigned(name, 7)));
    assert!(log.flush(LONG));
    let object = &page.json()[0];
    let fields = object.as_object().expect("an object").values().filter(|value| **value == 7).count();
    assert_eq!(fields, 64, "a reader that keeps one of two equal names would see fewer: {object}");
}

#[test]
fn log_11_nothing_that_a_plugin_writes_makes_a_second_line_or_bad_json() {
    for format in [Format::Json, Format::Text] {
        let page = Page::default();
        let log = Log::new(Options { format, ..options(page.clone()) }).expect("a thread");
        let evil = b"ok\n{\"level\":\"fatal\"}\r\x1b[2K\xff\xc2\x85\xe2\x80\xa8\",\"level\":\"fatal";
        let name = str::from_utf8(&evil[..10]).expect("ASCII");
        let gate = log.gate("p\n\x1b", "1\n");
        let preset = Preset::new([Field { name, value: Value::Text(evil) }]);
        let record = Record {
            tenant: "t\n",
            running: Some(Running::Job("j\n")),
            preset: Some(&preset),
            ..Record::new(Level::Info, evil)
        };
        log.write(&gate, &record, [Field { name, value: Value::Text(evil) }]);
        assert!(log.flush(LONG));
        let lines = page.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].chars().any(|c| c.is_control() || c == '\u{2028}'), "{lines:?}");
        if format == Format::Json {
            assert_eq!(page.json()[0]["level"], "info");
            assert_eq!(page.json()[0]["message"], String::from_utf8_lossy(evil).as_ref());
        }
    }
}

#[test]
fn log_7_the_terminal_form_is_one_aligned_line() {
    let page = Page::default();
    let log = Log::new(Options { format: Format::Text, ..options(page.clone()) }).expect("a thread");
    let preset = Preset::new([Field::text("unit", "C"), Field::text("empty", "")]);
    let record = Record { tenant: "acme", preset: Some(&preset), ..Record::new(Level::Error, b"too hot\n") };
    log.write(
        &log.gate("threshold", "1.0.0"),
        &record,
        [Field::text("where", "room 4"), Field::text("host", "x")],
    );
    log.host(Level::Info, "started", []);
    assert!(log.flush(LONG));
    assert_eq!(
        page.lines(),
        [
            r#"2026-11-21T12:00:00.000042Z ERROR threshold      too hot\n unit=C empty="" where="room 4" host_=x tenant=acme"#,
            "2026-11-21T12:00:00.000042Z INFO  pintle         started",
        ]
    );
}

#[test]
fn colours_wrap_the_same_text() {
    let (log, _page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let record = Record::new(Level::Error, b"broken");
    let [plain, coloured] = [false, true].map(|colours| {
        let mut scratch = Scratch::default();
        let fields = [Ok::<_, Infallible>(Field::text("a", "b"))].into_iter();
        let Ok(()) =
            Form { text: true, colours, wall: Arc::new(Noon) }.encode(&mut scratch, &gate, &record, fields);
        String::from_utf8(scratch.line.out).expect("UTF-8")
    });
    assert!(coloured.contains("\u{1b}[31mERROR\u{1b}[0m"), "{coloured:?}");
    let mut stripped = coloured;
    while let Some(start) = stripped.find('\u{1b}') {
        let end = stripped[start..].find('m').expect("the sequence ends") + start;
        stripped.replace_range(start..=end, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn log_12_a_long_message_is_cut_between_characters_and_marked() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let limit = json::TEXT_LIMIT;
    let fits = "x".repeat(limit);
    let crab_across_the_limit = format!("{}🦀 and more", "x".repeat(limit - 2));
    let not_utf8 = vec![0x80; limit + 10];
    for message in [fits.as_bytes(), crab_across_the_limit.as_bytes(), &not_utf8] {
        log.write(&gate, &Record::new(Level::Info, message), []);
    }
    assert!(log.flush(LONG));
    let lines = page.json();
    assert_eq!((lines[0]["message"].as_str(), lines[0].get("cut")), (Some(fits.as_str()), None));
    assert_eq!(lines[1]["message"], format!("{}…", "x".repeat(limit - 2)));
    assert_eq!(lines[1]["cut"], 4 + " and more".len());
    assert_eq!(lines[2]["cut"], 10);
}

#[test]
fn no_record_is_larger_than_the_buffer() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let worst = vec![1_u8; 1 << 20];
    let fields = (0..64).map(|_| Field { name: "text", value: Value::Text(&worst) });
    log.write(&gate, &Record::new(Level::Info, &worst), fields);
    assert!(log.flush(LONG));
    assert_eq!(log.counts(), Counts { taken: 1, lost: 0, write_errors: 0 });
    assert!(page.lines()[0].len() < Options::default().buffer);
    assert_eq!(page.json()[0]["cut"], (65 << 20) - (256 << 10));
}

#[test]
fn a_field_that_is_an_error_means_that_nothing_is_written() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let fields = [Ok(Field::text("a", "b")), Err("bad name")];
    assert_eq!(log.try_write(&gate, &Record::new(Level::Info, b"m"), fields), Err("bad name"));
    assert_eq!(log.try_write(&gate, &Record::new(Level::Debug, b"disabled"), fields), Ok(()));
    log.write(&gate, &Record::new(Level::Info, b"next"), []);
    assert!(log.flush(LONG));
    assert_eq!(page.json().len(), 1);
    assert_eq!(page.json()[0]["message"], "next");
}

#[test]
fn log_8_levels_change_while_running() {
    let (log, page) = log_to_page();
    let (a, b) = (log.gate("a", "1"), log.gate("b", "1"));
    let say = |message: &str| {
        for gate in [&a, &b] {
            log.write(gate, &Record::new(Level::Debug, message.as_bytes()), []);
        }
        log.host(Level::Debug, message, []);
    };
    say("1");
    log.set_level(Some("b"), Level::Debug);
    say("2");
    log.set_level(None, Level::Trace);
    log.set_level(Some("a"), Level::Error);
    say("3");
    log.clear_level("a");
    log.clear_level("b");
    log.set_level(None, Level::Debug);
    say("4");
    assert!(log.flush(LONG));
    let seen: Vec<_> = page
        .json()
        .iter()
        .map(|line| {
            format!(
                "{}{}",
                line.get("plugin").and_then(|p| p.as_str()).unwrap_or("-"),
                line["message"].as_str().expect("text")
            )
        })
        .collect();
    assert_eq!(seen, ["b2", "b3", "-3", "a4", "b4", "-4"]);
    assert_eq!(log.levels(), LevelList { default: Level::Debug, plugins: [].into() });
}

/// Lets nothing through before it is opened.
struct Dam {
    entered: mpsc::Sender<()>,
    opened: mpsc::Receiver<()>,
    page: Page,
}

impl Write for Dam {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        _ = self.entered.send(());
        _ = self.opened.recv();
        self.page.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn log_9_log_10_a_target_that_hangs_makes_nobody_wait_and_what_was_lost_is_told_in_its_place() {
    let ((entered, enters), (open, opened), page) = (mpsc::channel(), mpsc::channel(), Page::default());
    let dam = Dam { entered, opened, page: page.clone() };
    let log = Log::new(Options { buffer: 4_096, ..options(dam) }).expect("a thread");
    let gate = log.gate("p", "1.0.0");
    let say = |message: &str| log.write(&gate, &Record::new(Level::Error, message.as_bytes()), []);
    say("first");
    enters.recv().expect("the writer hangs in the target");
    let threads = 4;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..1_000).for_each(|_| say("flood")));
        }
    });
    let lost = log.counts().lost;
    assert!(lost > 3_900, "{lost}");
    assert_eq!(log.counts().taken + lost, threads * 1_000 + 1);
    assert!(!log.flush(Duration::ZERO), "it is not out");
    assert!(!log.shutdown(Duration::ZERO) || log.counts().lost > 0);

    drop(open);
    assert!(log.shutdown(LONG));
    let lines = page.json();
    assert_eq!(lines.len() as u64, log.counts().taken + 1, "every record that was taken, and one notice");
    let notice = lines.last().expect("lines");
    assert_eq!((&notice["host"], &notice["level"]), (&"pintle".into(), &"warn".into()));
    assert_eq!(notice["lost"], lost, "{notice}");
    say("after the end");
    assert_eq!(log.counts().lost, lost + 1);
}

#[test]
fn the_notice_of_a_loss_precedes_the_next_record_that_finds_room() {
    let ((entered, enters), (open, opened), page) = (mpsc::channel(), mpsc::channel(), Page::default());
    let dam = Dam { entered, opened, page: page.clone() };
    let log = Log::new(Options { buffer: 300, ..options(dam) }).expect("a thread");
    let gate = log.gate("p", "1.0.0");
    let say = |message: &str| log.write(&gate, &Record::new(Level::Error, message.as_bytes()), []);
    say("first");
    enters.recv().expect("the writer hangs in the target");
    say("fits");
    say(&"does not fit".repeat(20));
    say("fits again");
    drop(open);
    assert!(log.flush(LONG));
    let messages: Vec<_> =
        page.json().iter().map(|line| line["message"].as_str().expect("text").to_owned()).collect();
    assert_eq!(
        messages,
        ["first", "fits", "log records were lost because the buffer was full", "fits again"]
    );
}

/// Takes a few bytes at a time and fails as long as it is told to.
struct Flaky {
    failing: Arc<AtomicBool>,
    failed: mpsc::Sender<()>,
    page: Page,
}

impl Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failing.load(Ordering::Relaxed) && !self.page.0.lock().expect("no panic").is_empty() {
            _ = self.failed.send(());
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.page.write(&bytes[..bytes.len().min(7)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_nothing_that_the_buffer_could_keep() {
    let (failing, page) = (Arc::new(AtomicBool::new(true)), Page::default());
    let (failed, fails) = mpsc::channel();
    let log = Log::new(options(Flaky { failing: Arc::clone(&failing), failed, page: page.clone() }))
        .expect("a thread");
    for number in 0..100 {
        log.host(Level::Info, "kept", [Field::unsigned("number", number)]);
    }
    fails.recv().expect("it fails in the middle of a line");
    fails.recv().expect("it is tried again");
    failing.store(false, Ordering::Relaxed);
    assert!(log.flush(LONG));
    let numbers: Vec<_> = page.json().iter().map(|line| line["number"].as_u64()).collect();
    assert_eq!(numbers, (0..100).map(Some).collect::<Vec<_>>());
    assert_eq!(log.counts().lost, 0);
    assert!(log.counts().write_errors >= 2);
}

#[test]
fn a_target_that_fails_to_the_end_does_not_hold_up_the_shutdown_and_is_counted() {
    let (failing, page) = (Arc::new(AtomicBool::new(true)), Page::default());
    let (failed, fails) = mpsc::channel();
    let log = Log::new(options(Flaky { failing, failed, page })).expect("a thread");
    for _ in 0..10 {
        log.host(Level::Info, "lost in the end", []);
    }
    fails.recv().expect("it fails");
    assert!(log.shutdown(LONG));
    assert_eq!(log.counts().lost, 10);
}

#[test]
fn a_panicking_target_holds_up_nobody() {
    struct Bomb;
    impl Write for Bomb {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a target's own panic, expected in this test")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::new(options(Bomb)).expect("a thread");
    log.host(Level::Error, "boom", []);
    assert!(log.shutdown(LONG));
    log.host(Level::Error, "after", []);
    assert!(!log.flush(LONG), "it never went out");
    assert_eq!(log.counts().lost, 2);
}

#[test]
fn a_rotated_file_is_left_to_the_rotation_and_a_new_one_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, rotated) = (folder.path().join("p.log"), folder.path().join("p.log.1"));
    fs::write(&path, "kept\n").expect("written");
    let target = Target::File(path.clone());
    let log = Log::new(Options { target, format: Format::Auto, ..Options::default() }).expect("opens");
    log.host(Level::Info, "before", []);
    assert!(log.flush(LONG));
    fs::rename(&path, &rotated).expect("renamed");
    log.reopen().expect("opens again");
    log.host(Level::Info, "after", []);
    assert!(log.shutdown(LONG));
    let (old, new) = (fs::read_to_string(rotated).expect("there"), fs::read_to_string(path).expect("there"));
    assert!(old.starts_with("kept\n{") && old.contains("before") && !old.contains("after"), "{old}");
    assert!(new.contains("after") && new.lines().count() == 1, "{new}");
    drop(folder);
    assert!(log.reopen().is_err(), "the folder is gone, and that is said");
}

#[test]
fn records_of_many_threads_are_whole_and_each_threads_in_order() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (log, gate) = (&log, &gate);
            scope.spawn(move || {
                for number in 0..2_000 {
                    let fields = [Field::unsigned("thread", thread), Field::unsigned("number", number)];
                    log.write(gate, &Record::new(Level::Info, b"m"), fields);
                }
            });
        }
    });
    assert!(log.flush(LONG));
    let mut next = [0_u64; 4];
    for line in page.json() {
        let thread = line["thread"].as_u64().expect("a number") as usize;
        assert_eq!(line["number"], next[thread]);
        next[thread] += 1;
    }
    assert_eq!(next, [2_000; 4]);
}

#[test]
fn a_record_written_while_another_is_being_encoded_is_not_lost() {
    let (log, page) = log_to_page();
    let gate = log.gate("p", "1.0.0");
    let fields = (0..2).map(|number| {
        log.host(Level::Info, "inner", []);
        Field::unsigned("number", number)
    });
    log.write(&gate, &Record::new(Level::Info, b"outer"), fields);
    assert!(log.flush(LONG));
    let messages: Vec<_> = page.json().iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, ["inner", "inner", "outer"]);
}

#[test]
fn log_14_dropping_the_log_writes_what_waits() {
    let (log, page) = log_to_page();
    log.host(Level::Info, "last words", []);
    drop(log);
    assert_eq!(page.json()[0]["message"], "last words");
}
