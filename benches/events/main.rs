//! Events, from the `emit` of one plugin to the handlers of ten others, each in a library of its own that was opened by itself; 64
//! bytes each. Beside what does the same without a host (`bare`), in the same run: at 1,000 events a second and at full rate,
//! `emit_sync`, durable events. Then what memory queued events take, what an `emit` costs among 10,000 subscriptions, and
//! what the well notice of those who hang, throw and sleep.
//!
//! `cargo bench -p pintle --bench events`. `TMPDIR` says on which disk. The bars are those of issue 8.

mod asked;
mod bare;
#[path = "../measure/bars.rs"]
mod bars;
mod durable;
#[path = "../measure/mod.rs"]
mod measure;
#[path = "../measure/publisher.rs"]
mod publisher;
mod queued;
mod rate;
mod routing;
mod scene;
#[path = "../measure/source.rs"]
mod source;
#[path = "../measure/swarm.rs"]
mod swarm;

use std::process::ExitCode;

use bars::Report;

const LISTENERS: usize = 10;

fn main() -> ExitCode {
    let mut report = Report::default();
    rate::rate(&mut report);
    asked::asked(&mut report);
    durable::durable(&mut report);
    queued::queued(&mut report);
    routing::routing(&mut report);
    scene::scene(&mut report);
    report.end()
}
