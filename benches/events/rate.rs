//! From `emit` in one plugin to the handlers of ten others: at 1,000 events a second, and at full rate.

use std::time::Duration;

use pintle::Settings;

use crate::{
    LISTENERS,
    bare::{Function, Served, dispatched, threaded},
    bars::{Pairs, Report, pairs_of},
    measure::{measuring, median, rounds, time},
    publisher::{Plugins, Work},
};

/// As many workers as processors, as hosts have by default.
pub(crate) fn rate(report: &mut Report) {
    let plugins = Plugins::start(LISTENERS, Settings::default());
    let functions = Function::all_of(&plugins);
    paced(&plugins, &functions, report);
    full(&plugins, &functions, report);
}

/// What one round tells: latencies at the 50th, 90th and 99th percentile in microseconds, and per cent of a processor.
type Round = [f64; 4];

fn paced(plugins: &Plugins, functions: &[Function], report: &mut Report) {
    println!(
        "1,000 events/s to {LISTENERS} handlers, beside one channel with one thread that calls all of them:"
    );
    let turns = if measuring() { 400 } else { 20 };
    let every = Duration::from_millis(1);
    let work = Work { turns, every, topic: "tick", ..Work::default() };
    let bare = |served: Served| {
        let Served { published, cpu } = served;
        told(plugins, turns, published.thread_cpu + cpu, published.to - published.from)
    };
    // Of the baselines the threads of their own count; of the host everything that this process does meanwhile.
    let subject = || {
        plugins.begin(true);
        let done = plugins.run(&work);
        told(plugins, turns, done.process_cpu, done.to - done.from)
    };
    let by_one = || {
        plugins.begin(true);
        bare(dispatched(plugins, functions, &work))
    };
    let by_each = || {
        plugins.begin(true);
        bare(threaded(plugins, functions, &work))
    };
    let [p50, p90, p99, cpu] = pairs_of(rounds(9), by_one, subject);
    report.bar("emit to handler, p50", "us", &p50, 1.5);
    report.bar("CPU", "% of a core", &cpu, 1.5);
    report.bar("p90", "us", &p90, f64::NAN);
    report.bar("p99", "us", &p99, f64::NAN);
    println!("  for the record, beside a channel and a thread for each:");
    let [p50, p90, p99, cpu] = pairs_of(rounds(5), by_each, subject);
    for (what, unit, pairs) in
        [("p50", "us", p50), ("CPU", "% of a core", cpu), ("p90", "us", p90), ("p99", "us", p99)]
    {
        report.bar(what, unit, &pairs, f64::NAN);
    }
}

fn told(plugins: &Plugins, turns: u64, cpu: u64, span: u64) -> Round {
    let mut latencies = Vec::new();
    for taken in plugins.taken() {
        assert_eq!(taken.count, turns, "no event is lost");
        latencies.extend(taken.latencies);
    }
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1e3;
    [at(0.5), at(0.9), at(0.99), cpu as f64 / span as f64 * 100.0]
}

/// The publisher waits for room. Nanoseconds for each event, from the first `emit` until the last handler has returned.
fn full(plugins: &Plugins, functions: &[Function], report: &mut Report) {
    println!("at full rate, beside the same channel and thread:");
    let turns = if measuring() { 50_000 } else { 2_000 };
    let work = Work { turns, topic: "tick", ..Work::default() };
    let before = dropped(plugins);
    for (what, timed, bar) in
        [("handlers that read the clock", true, 1.0 / 0.6), ("handlers that only count", false, f64::NAN)]
    {
        let baseline = || {
            plugins.begin(timed);
            let took = time(|| {
                dispatched(plugins, functions, &work);
            });
            plugins.have_taken(turns);
            [took / turns as f64]
        };
        let subject = || {
            plugins.begin(timed);
            let took = time(|| {
                plugins.run(&work);
                assert!(plugins.host.wait_idle(Duration::from_secs(60)), "all events are handled");
            });
            plugins.have_taken(turns);
            [took / turns as f64]
        };
        let [pairs] = pairs_of(rounds(11), baseline, subject);
        report.bar(what, "ns", &pairs, bar);
        rates(&pairs);
    }
    assert_eq!(dropped(plugins), before, "nothing is dropped");
}

fn rates(pairs: &Pairs) {
    let (baseline, subject) = (median(pairs.baseline.clone()), median(pairs.subject.clone()));
    let [subject_rate, baseline_rate] = [subject, baseline].map(|took| 1e3 / took);
    println!(
        "    {subject_rate:.2} M events/s to {baseline_rate:.2}, {:.2} times as many",
        baseline / subject
    );
}

/// Events that reached no handler, for whatever reason.
fn dropped(plugins: &Plugins) -> u64 {
    let dropped = plugins.host.stats().events.dropped;
    dropped.displaced
        + dropped.no_room
        + dropped.not_live
        + dropped.not_taken
        + dropped.ended
        + dropped.too_late
}
