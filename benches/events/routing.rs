//! What an `emit` costs among 10,000 subscriptions of 100 plugins, and what it costs to come and go there.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use pintle::Settings;

use crate::{
    bars::{Report, pairs},
    measure::{measuring, median, rounds},
    publisher::{Plugins, What, Work},
};

const PLUGINS: usize = 100;
const SUBSCRIPTIONS: usize = 10_000;

/// Topics, and how many subscriptions each is for.
const MATCHES: [(&str, usize); 3] = [("one", 1), ("ten", 10), ("hundred", 100)];

/// What follows the first token of each topic that is emitted.
const REST: &str = "site.7.door.3.opened";

pub(crate) fn routing(report: &mut Report) {
    let (few, many) = (start_few(), start_many());
    println!(
        "an emit that 10 of {SUBSCRIPTIONS} subscriptions of {PLUGINS} plugins match, beside one that 10 of 10 do:"
    );
    let ten = format!("ten.{REST}");
    report.bar(
        "10 matches",
        "ns",
        &pairs(rounds(21), || emits(&few, &ten, 10), || emits(&many, &ten, 10)),
        1.5,
    );
    println!("for the record, by matches among {SUBSCRIPTIONS} subscriptions:");
    for (name, matches) in MATCHES {
        let topic = format!("{name}.{REST}");
        let cost = median((0..rounds(11)).map(|_| emits(&many, &topic, matches as u64)).collect());
        println!(
            "  {matches:>3} matches: {cost:.0} ns an emit, {:.0} ns for each of them",
            cost / matches as f64
        );
    }
    println!("for the record, a subscription that is made and ended again:");
    for (among, plugins) in [(10, &few), (SUBSCRIPTIONS, &many)] {
        comes_and_goes(plugins, among, &ten);
    }
}

/// Nanoseconds of the publisher's thread for each `emit`: the bound of the queues is never met, and whoever else has a processor
/// meanwhile, such as those who run the handlers, does not count.
fn emits(plugins: &Plugins, topic: &str, matches: u64) -> f64 {
    // Fewer than wait in a queue.
    let turns = if measuring() { 1_000 } else { 20 };
    plugins.begin(false);
    let done = plugins.run(&Work { turns, topic, ..Work::default() });
    // Each is asked behind its events, and not when the host has nothing more to do: there may be others.
    let taken: u64 = (0..plugins.listeners).map(|listener| plugins.taken_by(listener).count).sum();
    assert_eq!(taken, turns * matches, "each of those that match has had each event, and nobody else");
    done.thread_cpu as f64 / turns as f64
}

/// Pairs of `subscribe` and `unsubscribe`, alone and while another thread emits to ten, and what that thread notices.
fn comes_and_goes(plugins: &Plugins, among: usize, ten: &str) {
    // An exact pattern beside those that are there, at their depth.
    let pattern = "plugin.publisher.ten.site.7.door.3.closed";
    let turns = if measuring() { 2_000 } else { 20 };
    let subscribe = |turns, enough: Option<&AtomicU32>| {
        plugins.run(&Work { what: What::Subscribe, turns, topic: pattern, enough, ..Work::default() })
    };
    let alone = || {
        let done = subscribe(turns, None);
        turns as f64 / (done.to - done.from) as f64 * 1e6
    };
    let alone = median((0..rounds(5)).map(|_| alone()).collect());
    let (mut meanwhile, mut disturbed, mut undisturbed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds(9) {
        undisturbed.push(emits(plugins, ten, 10));
        let enough = &AtomicU32::new(0);
        thread::scope(|scope| {
            // Whatever becomes of the emitter, the other one ends.
            let ends = Ends(enough);
            let other = scope.spawn(move || subscribe(u64::MAX, Some(enough)));
            disturbed.push(emits(plugins, ten, 10));
            drop(ends);
            let done = other.join().expect("it runs");
            meanwhile.push(done.turns as f64 / (done.to - done.from).max(1) as f64 * 1e6);
        });
    }
    println!(
        "  among {among:>6}: {alone:.0} k/s; {:.0} k/s while another thread emits, whose emits take {:.0} ns, undisturbed {:.0}",
        median(meanwhile),
        median(disturbed),
        median(undisturbed)
    );
}

struct Ends<'a>(&'a AtomicU32);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(1, Relaxed);
    }
}

/// Ten plugins, of which each has one subscription for the topic `ten`.
fn start_few() -> Plugins {
    let plugins = Plugins::start(10, Settings::default());
    for listener in 0..plugins.listeners {
        plugins.subscribe(listener, &[matching("ten", listener)]);
    }
    plugins
}

/// The same subscriptions, those of the other two topics, and around them as many others as make it 10,000.
fn start_many() -> Plugins {
    let (each, plugins) = if measuring() { (SUBSCRIPTIONS / PLUGINS, PLUGINS) } else { (10, PLUGINS) };
    let plugins = Plugins::start(plugins, Settings::default());
    for listener in 0..plugins.listeners {
        let mut patterns: Vec<String> = MATCHES
            .iter()
            .filter(|(_, matches)| listener < *matches)
            .map(|(name, _)| matching(name, listener))
            .collect();
        let own = patterns.len();
        patterns.extend((own..each).map(|number| other(listener * each + number)));
        plugins.subscribe(listener, &patterns);
    }
    plugins
}

/// A pattern that the topic matches: exact, with `*` here and there, with `>` at several depths.
fn matching(name: &str, number: usize) -> String {
    let rest = match number % 5 {
        0 => REST,
        1 => "site.7.>",
        2 => "*.7.door.*.opened",
        3 => ">",
        _ => "site.*.door.3.*",
    };
    format!("plugin.publisher.{name}.{rest}")
}

/// One that none of the topics matches, though it begins as they do: of its own number, so that no two are the same.
fn other(number: usize) -> String {
    let name = ["one", "ten", "hundred", "*"][number / 5 % 4];
    let rest = match number % 5 {
        0 => format!("site.{}.door.3.opened", number + 8),
        1 => format!("site.{}.>", number + 8),
        2 => format!("*.7.door.*.closed-{number}"),
        3 => format!("site.7.door.3.opened.{number}.>"),
        _ => format!("site.*.window.{number}"),
    };
    format!("plugin.publisher.{name}.{rest}")
}
