//! What ten that are well notice of three that are not: one hangs, one throws each time, one sleeps 100 ms for each event.

use std::{path::PathBuf, sync::atomic::Ordering::*, time::Duration};

use pintle::Settings;
use pintle_test_support::{compile_cxx, has_cxx, repository};

use crate::{
    LISTENERS,
    bars::{Report, pairs_of},
    measure::{measuring, rounds},
    publisher::{Behaviour, Gate, Plugins, Work},
};

/// Two hosts by turns, one with the three and one without. Queues have the default policy, so that who does not keep up loses its own
/// events, and each of the ten is still to have all of them. The one that hangs does so from the first event to the end, also while the
/// other host has its turn; so does the one that sleeps, of which a queue is always full.
pub(crate) fn scene(report: &mut Report) {
    let gate = Gate::default();
    let without = Plugins::start(LISTENERS, Settings::default());
    let with = Plugins::start_with(&thrower(), LISTENERS + 2, Settings::default());
    // Dropped before the host, and whatever happens here: the one that hangs is let go.
    let _opens = Opens(&gate);
    with.behave(LISTENERS, Behaviour::Slow, &gate);
    with.behave(LISTENERS + 1, Behaviour::Hanging, &gate);
    println!(
        "{LISTENERS} at 1,000 events/s, one that hangs, one that throws and one that sleeps beside them, and without these:"
    );
    let [p50, emit, p99] = pairs_of(rounds(9), || round(&without), || round(&with));
    assert_eq!(gate.held.load(Acquire), 1, "the one that hangs does");
    report.bar("emit to handler, p50", "us", &p50, 1.5);
    report.bar("emit itself, p99", "us", &emit, 2.0);
    report.bar("emit to handler, p99", "us", &p99, f64::NAN);
}

/// Microseconds: the median of the ten, the 99th percentile of `emit`, and that of the ten.
fn round(plugins: &Plugins) -> [f64; 3] {
    let turns = if measuring() { 700 } else { 20 };
    let every = Duration::from_millis(1);
    plugins.begin_first(LISTENERS, true);
    let (_, mut emits) = plugins.run_each(&Work { turns, every, topic: "scene", ..Work::default() });
    let mut latencies = Vec::new();
    for listener in 0..LISTENERS {
        // The question stands in the lane behind the events.
        let taken = plugins.taken_by(listener);
        assert_eq!(taken.count, turns, "listener {listener}, which is well, has had each event");
        latencies.extend(taken.latencies);
    }
    [percentile(&mut latencies, 50), percentile(&mut emits, 99), percentile(&mut latencies, 99)]
}

fn percentile(values: &mut [u64], of: usize) -> f64 {
    values.sort_unstable();
    values[(values.len() - 1) * of / 100] as f64 / 1e3
}

/// Nothing where there is no C++ compiler, which is said.
fn thrower() -> Vec<PathBuf> {
    let source = repository().join("benches/plugins/thrower.cpp");
    has_cxx().then(|| compile_cxx("thrower", source, &["-g0"])).into_iter().collect()
}

struct Opens<'a>(&'a Gate);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.open.store(1, Release);
    }
}
