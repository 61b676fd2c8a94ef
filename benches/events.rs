//! From `emit` in one plugin to the handlers of ten others: how many a second at full rate, and how long one takes at
//! 1,000 a second. No bar: facts.md has figures to compare with.
//!
//! `cargo bench -p pintle --bench events`.

#[path = "measure/looper.rs"]
mod looper;
mod measure;
#[path = "measure/source.rs"]
mod source;
#[path = "measure/swarm.rs"]
mod swarm;

use std::{
    fs,
    time::{Duration, Instant},
};

use looper::{What, nanoseconds, works};
use measure::{measuring, median, rounds, time};
use pintle::Host;
use pintle_test_support::install;
use swarm::swarm;

const LISTENERS: usize = 10;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the plugins");
    install(&source::compiled("looper"), folder.path());
    swarm(&source::compiled("listener"), folder.path(), LISTENERS);
    let host = Host::builder().plugins(folder.path()).build().expect("a host can be made");
    assert_eq!(host.start().enabled.len(), LISTENERS + 1, "all plugins run");
    works(&host);

    let events = if measuring() { 100_000 } else { 100 };
    for (how, clock) in
        [("reading the clock in each handler", "clock"), ("handlers that only count", "no_clock")]
    {
        let (mut rate, mut emitting) = (Vec::new(), Vec::new());
        for _ in 0..rounds(7) {
            listeners(|id| drop(ask(&host, id, clock)));
            let took = time(|| {
                emitting.push(nanoseconds(&host, What::Emit, events, 1));
                assert!(host.wait_idle(Duration::from_secs(60)), "all events are handled");
            });
            rate.push(events as f64 / took * 1e3);
            let mut taken = 0;
            listeners(|id| taken += count(&ask(&host, id, "taken")));
            assert_eq!(taken, events * LISTENERS as u64, "no event is lost");
        }
        let rate = median(rate);
        println!(
            "full rate, {how}: {rate:.3} M events/s, {:.2} M handled/s, {:.0} ns an emit",
            rate * LISTENERS as f64,
            median(emitting)
        );
    }

    let events = if measuring() { 5_000 } else { 20 };
    listeners(|id| drop(ask(&host, id, "clock")));
    let (cpu, start) = (cpu_seconds(), Instant::now());
    nanoseconds(&host, What::EmitPaced, events, 1);
    assert!(host.wait_idle(Duration::from_secs(60)), "all events are handled");
    let share = (cpu_seconds() - cpu) / start.elapsed().as_secs_f64() * 100.0;
    let mut latencies = Vec::new();
    listeners(|id| {
        let taken = ask(&host, id, "taken");
        let words = taken.chunks_exact(8).skip(1);
        latencies.extend(words.map(|word| u64::from_ne_bytes(word.try_into().expect("it has eight bytes"))));
    });
    assert_eq!(latencies.len(), events as usize * LISTENERS, "no event is lost");
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1e3;
    println!(
        "1,000 events/s, emit to handler: first {:.1}, p50 {:.1}, p90 {:.1}, p99 {:.1}, last {:.0} us; {share:.1} % of a core",
        at(0.0),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    host.stop();
}

fn listeners(each: impl FnMut(&str)) {
    let ids: Vec<_> = (0..LISTENERS).map(|number| format!("bench.listener-{number:04}")).collect();
    ids.iter().map(String::as_str).for_each(each);
}

fn ask(host: &Host, service: &str, method: &str) -> Vec<u8> {
    host.call("", service, 1, method, b"", None).expect("the listener answers")
}

fn count(taken: &[u8]) -> u64 {
    u64::from_ne_bytes(taken[..8].try_into().expect("the count comes first"))
}

/// What this process has used of processors, by user and system together.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let after_name = stat.rsplit(')').next().expect("the name is in brackets");
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).expect("it is a number");
    // A tick is a hundredth of a second wherever Linux runs.
    (ticks() + ticks()) / 100.0
}
