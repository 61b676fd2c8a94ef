//! A record with five fields from a C plugin to a file, beside `tracing`'s JSON with the non-blocking appender, and
//! what a level that is not wanted costs, beside a bare call to another library.
//!
//! `cargo bench -p pintle --bench log`. The bars of issue 2 are 0.4 and 3.

#[path = "measure/bars.rs"]
mod bars;
#[path = "measure/looper.rs"]
mod looper;
mod measure;
#[path = "measure/source.rs"]
mod source;

use std::{
    fs::File,
    hint::black_box,
    io::{ErrorKind, Read},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use bars::{Report, pairs};
use looper::{What, nanoseconds, works};
use measure::{median, rounds, time};
use pintle::{
    Host,
    bench_parts::log::{Field, Format, Level, Log, Options, Record, Target, Value},
};
use pintle_test_support::install;

const RECORDS: u32 = 100_000;
const RECORD_BAR: f64 = 0.4;
const DISABLED_BAR: f64 = 3.0;

fn main() -> ExitCode {
    let mut report = Report::default();
    let folder = tempfile::tempdir().expect("a folder for the log files");
    let plugins = tempfile::tempdir().expect("a folder for the plugin");
    install(&source::compiled("looper"), plugins.path());
    let options = |name: &str| Options {
        target: Target::File(folder.path().join(name)),
        format: Format::Json,
        // So much may wait that no record is lost: a lost one is a cheap one.
        buffer: 256 << 20,
        ..Options::default()
    };
    let host = Host::builder().plugins(plugins.path()).log(options("pintle.log")).build().expect("a host");
    assert!(host.start().failed.is_empty(), "the looper runs");
    let engine = Log::new(options("engine.log")).expect("the log opens");

    let theirs = tracing_appender::rolling::never(folder.path(), "tracing.log");
    let (appender, _guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(RECORDS as usize * 4)
        .finish(theirs);
    tracing_subscriber::fmt().json().with_writer(appender).init();

    let mut own_lines = Lines::of(&folder.path().join("pintle.log"));
    works(&host);
    // The one record that this writes.
    own_lines.wait_for(1);
    let mut their_lines = Lines::of(&folder.path().join("tracing.log"));
    let mut alone = Vec::new();
    let pairs_of_records = pairs(
        rounds(15),
        || {
            let took = time(|| (0..RECORDS).for_each(with_tracing));
            their_lines.wait_for(RECORDS);
            took / f64::from(RECORDS)
        },
        || {
            let took = nanoseconds(&host, What::Write, u64::from(RECORDS), 1);
            own_lines.wait_for(RECORDS);
            alone.push(engine_alone(&engine));
            took
        },
    );
    println!("{RECORDS} records with five fields to a file, beside tracing with its appender:");
    report.bar("a record from a C plugin", "ns", &pairs_of_records, RECORD_BAR);
    println!("    the engine alone, without plugin and boundary: {:.0} ns", median(alone));

    let run = |what| {
        let host = &host;
        move || nanoseconds(host, what, u64::from(RECORDS) * 2, 1)
    };
    println!("a level that is not wanted, beside a bare call with the same arguments:");
    let disabled = pairs(rounds(201), run(What::BareWrite), run(What::WriteDisabled));
    report.bar("a disabled level", "ns", &disabled, DISABLED_BAR);
    host.stop();
    report.end()
}

fn with_tracing(at: u32) {
    tracing::info!(
        plugin = "looper",
        version = "0.1.0",
        path = "/index.html",
        status = 200_i64,
        bytes = u64::from(at),
        seconds = 0.0123,
        cached = true,
        "request answered"
    );
}

/// Nanoseconds for each record.
fn engine_alone(log: &Log) -> f64 {
    let gate = log.gate("looper", "0.1.0");
    let took = time(|| {
        for at in 0..RECORDS {
            let fields = [
                Field { name: "path", value: Value::Text(b"/index.html") },
                Field { name: "status", value: Value::Integer(200) },
                Field { name: "bytes", value: Value::Unsigned(u64::from(at)) },
                Field { name: "seconds", value: Value::Number(0.0123) },
                Field { name: "cached", value: Value::Boolean(true) },
            ];
            log.write(&gate, &Record::new(Level::Info, b"request answered"), black_box(fields));
        }
    });
    assert!(log.flush(Duration::from_secs(30)), "the disk keeps up");
    assert_eq!(log.counts().lost, 0, "every record was written");
    took / f64::from(RECORDS)
}

/// The records of five fields in a log's file: nobody else tells when all are written.
struct Lines {
    file: File,
    buffer: Vec<u8>,
}

impl Lines {
    fn of(path: &Path) -> Self {
        Self { file: File::open(path).expect("the log has made it"), buffer: vec![0; 1 << 20] }
    }

    /// Waits until so many more are there, and no more than that.
    fn wait_for(&mut self, records: u32) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = 0;
        while seen < records {
            match self.file.read(&mut self.buffer) {
                Ok(0) => {
                    assert!(Instant::now() < deadline, "records were lost: {seen} of {records} are there");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(len) => seen += self.buffer[..len].iter().filter(|&&byte| byte == b'\n').count() as u32,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the log cannot be read: {error}"),
            }
        }
        assert_eq!(seen, records, "a line for each record");
    }
}
