//! `emit_sync`, beside a round trip to as many threads as there are handlers: a channel to each, and one back from it.

use pintle::Settings;

use crate::{
    LISTENERS,
    bare::{Function, round_trips},
    bars::{Report, pairs},
    measure::{measuring, rounds},
    publisher::{Plugins, What, Work},
};

/// The thread of a round trip calls the function that the handler consists of. Nobody is asked but these, one event after the other.
pub(crate) fn asked(report: &mut Report) {
    let plugins = Plugins::start(LISTENERS, Settings::default());
    let functions = Function::all_of(&plugins);
    println!("emit_sync, beside a round trip over channels to as many threads:");
    let turns = if measuring() { 2_000 } else { 50 };
    plugins.begin(true);
    for (handlers, topic, what) in [(1, "listener-0000", "1 handler"), (LISTENERS, "tick", "10 handlers")] {
        let work = Work { what: What::EmitSync, turns, topic, ..Work::default() };
        let baseline = || {
            let done = round_trips(&plugins, &functions[..handlers], &work);
            counted(&plugins, handlers, turns);
            (done.to - done.from) as f64 / turns as f64 / 1e3
        };
        let subject = || {
            let done = plugins.run(&work);
            assert_eq!(done.handled, turns * handlers as u64, "every handler has answered");
            counted(&plugins, handlers, turns);
            (done.to - done.from) as f64 / turns as f64 / 1e3
        };
        report.bar(what, "us", &pairs(rounds(15), baseline, subject), 2.5);
    }
}

fn counted(plugins: &Plugins, handlers: usize, turns: u64) {
    for (number, taken) in plugins.taken().iter().enumerate() {
        let expected = if number < handlers { turns } else { 0 };
        assert_eq!(taken.count, expected, "listener {number} was asked each time, or never");
    }
}
