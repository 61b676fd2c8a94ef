//! What memory events take that wait for handlers.

use std::{sync::atomic::Ordering::*, thread, time::Duration};

use pintle::Settings;

use crate::{
    LISTENERS,
    bars::Report,
    measure::measuring,
    publisher::{Gate, Plugins, Work},
};

/// The most bytes that they may take.
const MOST: f64 = 8e6;

/// Each listener is held by an event of another topic, so that all its events wait. The queues take events for the first time and
/// are not as large as they were: what they grow by counts. What counts is what is allocated and not freed: the pages of the
/// process would also show what the allocator keeps for later, or hide what it had kept.
pub(crate) fn queued(report: &mut Report) {
    let mut settings = Settings { workers: Some(LISTENERS + 2), ..Settings::default() };
    // An event that waits for a plugin has a place in the plugin's lane too.
    settings.queues.lane = 65_536;
    let plugins = Plugins::start(LISTENERS, settings);
    let events = if measuring() { 10_000 } else { 100 };
    let once = Work { turns: 1, topic: "many", ..Work::default() };
    plugins.begin(false);
    plugins.run(&once);
    plugins.have_taken(1);

    let gate = Gate::default();
    let address = (&raw const gate).expose_provenance() as u64;
    plugins.run(&Work { topic: "hold", word: address, ..once });
    while gate.held.load(Acquire) < LISTENERS as u32 {
        thread::yield_now();
    }
    let before = allocated();
    plugins.run(&Work { turns: events, ..once });
    let took = allocated().saturating_sub(before) as f64;
    assert_eq!(plugins.host.stats().events.waiting, events * LISTENERS as u64, "all of them wait");
    gate.open.store(1, Release);
    assert!(plugins.host.wait_idle(Duration::from_secs(60)), "all events are handled");
    plugins.have_taken(events);
    println!("{events} events that wait for {LISTENERS} handlers:");
    let each = took / events as f64;
    report.verdict(
        "memory, of 8 MB",
        took / MOST,
        1.0,
        &format!("{:.2} MB, {each:.0} bytes an event", took / 1e6),
    );
}

/// Bytes that are allocated in this process and not freed.
fn allocated() -> usize {
    // SAFETY: it only looks.
    let heap = unsafe { libc::mallinfo2() };
    heap.uordblks + heap.hblkhd
}
