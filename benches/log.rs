//! A record with five fields to a file: the log engine beside `tracing`'s JSON with the non-blocking appender,
//! in the same run, and what a disabled level costs.
//!
//! `cargo bench -p pintle --bench log`. The bar of issue 2 is a ratio of at most 0.4.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use pintle::bench_parts::log::{Field, Format, Level, Log, Options, Record, Target, Value};

const RECORDS: u32 = 100_000;
const BAR: f64 = 0.4;

fn main() {
    // Built and run as a test it only shows that it works: an unoptimised build meets no bar.
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let rounds = if measuring { 9 } else { 1 };
    let folder = tempfile::tempdir().expect("a folder for the log files");
    let ours = folder.path().join("pintle.log");
    let log = Log::new(Options {
        target: Target::File(ours.clone()),
        format: Format::Json,
        buffer: 64 << 20,
        ..Options::default()
    })
    .expect("the log opens");
    let gate = log.gate("access-stats", "1.4.0");

    let theirs = tracing_appender::rolling::never(folder.path(), "tracing.log");
    // As many lines as ours may wait, so that neither loses any: a dropped line is a cheap one.
    let (appender, _guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(RECORDS as usize * 4)
        .finish(theirs);
    tracing_subscriber::fmt().json().with_writer(appender).init();

    let mut own = Vec::new();
    let mut other = Vec::new();
    for _ in 0..rounds {
        own.push(per_record(|at| {
            let fields = [
                Field { name: "path", value: Value::Text(b"/index.html") },
                Field { name: "status", value: Value::Integer(200) },
                Field { name: "bytes", value: Value::Unsigned(u64::from(at)) },
                Field { name: "seconds", value: Value::Number(0.0123) },
                Field { name: "cached", value: Value::Boolean(true) },
            ];
            log.write(&gate, &Record::new(Level::Info, b"request answered"), black_box(fields));
        }));
        assert!(log.flush(Duration::from_secs(10)), "the disk keeps up");
        other.push(per_record(|at| {
            tracing::info!(
                plugin = "access-stats",
                version = "1.4.0",
                path = "/index.html",
                status = 200_i64,
                bytes = u64::from(at),
                seconds = 0.0123,
                cached = true,
                "request answered"
            );
        }));
        wait_for_lines(&folder.path().join("tracing.log"), other.len());
    }
    let disabled = per_record(|_| {
        log.write(black_box(&gate), &Record::new(Level::Debug, b"request answered"), []);
    });

    assert_eq!(log.counts().lost, 0, "every record was written");
    let (own, other) = (median(own), median(other));
    println!("a record with five fields to a file, median of {rounds} rounds of {RECORDS}");
    println!("  pintle log           {own:7.0} ns");
    println!("  tracing + appender   {other:7.0} ns");
    println!("  ratio                {:7.2}    (bar: {BAR})", own / other);
    println!("  a disabled level     {disabled:7.1} ns");
    if measuring && own / other > BAR {
        println!("  OVER THE BAR");
        std::process::exit(1);
    }
}

fn per_record(mut record: impl FnMut(u32)) -> f64 {
    let start = Instant::now();
    for at in 0..RECORDS {
        record(at);
    }
    start.elapsed().as_nanos() as f64 / f64::from(RECORDS)
}

/// The appender tells nobody when it is done: its file does.
fn wait_for_lines(path: &std::path::Path, rounds: usize) {
    let expected = RECORDS as usize * rounds;
    let start = Instant::now();
    loop {
        let lines = std::fs::read(path).expect("the file is there").iter().filter(|&&b| b == b'\n').count();
        assert!(lines <= expected);
        if lines == expected {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "tracing lost lines: {lines} of {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
