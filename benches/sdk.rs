//! What the Rust SDK costs: reading 64 bytes from the cache through it, beside the same call through the host's table, by
//! the same plugin, under the same context.
//!
//! `cargo bench -p pintle --bench sdk`. The bar of issue 3 is 1.3. The table's `get` has a sink that copies to one place;
//! the SDK's gives a vector of its own each time.

#[path = "measure/bars.rs"]
mod bars;
mod measure;

use std::{process::ExitCode, time::Duration};

use bars::{Report, pairs};
use measure::{measuring, rounds};
use pintle::Host;
use pintle_test_support::{install, samples};

const BAR: f64 = 1.3;
const CALLS: u64 = 100_000;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder for the plugin");
    install(&samples().rust("cached"), folder.path());
    let host = Host::builder().plugins(folder.path()).build().expect("a host can be made");
    let started = host.start();
    assert!(started.failed.is_empty(), "{:?}", started.failed);

    let calls = if measuring() { CALLS } else { 100 };
    let mut report = Report::default();
    println!("a read of the cache through the SDK, to one through the host's table:");
    for what in ["get", "get_into", "miss"] {
        let run = |side: &str| nanoseconds(&host, &format!("{side}_{what}"), calls);
        let pairs = pairs(rounds(201), || run("table"), || run("sdk"));
        report.bar(&format!("cache {what}, 64 bytes"), "ns", &pairs, BAR);
    }
    report.end()
}

fn nanoseconds(host: &Host, method: &str, calls: u64) -> f64 {
    let minute = Some(Duration::from_secs(60));
    let reply = host.call("", "bench.cached", 1, method, calls.to_string().as_bytes(), minute);
    let reply = reply.unwrap_or_else(|error| panic!("{method}: {error}"));
    String::from_utf8_lossy(&reply).parse().expect("the plugin answers a number")
}
