//! A scope with very many keys: what a page costs does not depend on how many there are, nor on where it is.

use std::{env, fs, sync::Arc, time::Instant};

use rusqlite::StatementStatus;

use super::{
    Step, Storage,
    conformance::{Bed, Scopes},
    ledger::LIST_KEYS,
    ledger_tests::OnLedger,
};
use crate::services::clock::ManualClock;

const PAGE: u32 = 1_000;

struct Filled {
    bed: OnLedger,
    storage: Storage,
    scopes: Scopes,
}

impl Filled {
    /// So many keys, half of them below `a/` and half below `b/`, and a scope in front and behind that has some too.
    fn with(keys: u64) -> Self {
        let clock = ManualClock::at(1_700_000_000_000);
        let bed = OnLedger::new(&clock);
        let storage = Storage::new(bed.backend(), 1 << 20, Arc::clone(&clock) as _);
        let scopes = Scopes::of(&[("meter", "before"), ("meter", "acme"), ("meter", "later")]);
        let filled = Self { bed, storage, scopes };
        filled.fill(0, 500);
        filled.fill(1, keys);
        filled.fill(2, 500);
        filled
    }

    fn fill(&self, scope: usize, keys: u64) {
        let numbers: Vec<u64> = (0..keys).collect();
        for some in numbers.chunks(super::MOST_STEPS) {
            let names: Vec<_> = some.iter().map(|number| name(*number)).collect();
            let steps: Vec<_> =
                names.iter().map(|name| Step::set(name, b"some forty bytes, as many values have")).collect();
            self.storage.steps(&self.scopes.at(scope), &steps).expect("nothing is in its way");
        }
    }

    /// Goes through all keys; tells how many there were, and `each` of each page when it is read.
    fn walk(&self, prefix: &str, mut each: impl FnMut(u64)) -> u64 {
        let (mut cursor, mut count, mut last) = (String::new(), 0, String::new());
        loop {
            let page = self.storage.keys(&self.scopes.at(1), prefix, &cursor, PAGE).expect("it can be read");
            assert!(page.keys.first().is_none_or(|first| *first > last), "{last} is listed again");
            count += page.keys.len() as u64;
            each(count);
            last = page.keys.last().cloned().unwrap_or_default();
            match page.next {
                Some(next) => cursor = next,
                None => return count,
            }
        }
    }

    /// The steps of SQLite's machine that listing has taken so far, on the one connection that is read with here.
    fn steps(&self) -> i32 {
        let steps = self
            .bed
            .ledger()
            .read(|ledger| Ok(ledger.prepare_cached(LIST_KEYS)?.get_status(StatementStatus::VmStep)));
        steps.expect("it can be read")
    }
}

fn name(number: u64) -> String {
    format!("{}/{:09}", if number.is_multiple_of(2) { "a" } else { "b" }, number / 2)
}

#[test]
fn storage_10_a_page_costs_the_same_wherever_it_is_and_however_many_keys_there_are() {
    let costs = [3_000, 20_000].map(|keys| {
        let filled = Filled::with(keys);
        let mut costs = Vec::new();
        let mut before = filled.steps();
        let count = filled.walk("", |_| {
            let now = filled.steps();
            costs.push(now - before);
            before = now;
        });
        assert_eq!(count, keys);
        costs
    });
    let whole = costs.concat();
    // The last page of each has no key behind it, the others look at one more.
    let (least, most) = (whole.iter().min().copied(), whole.iter().max().copied());
    let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
    assert!(least >= PAGE as i32, "{least} steps cannot list a page");
    assert!(most - least <= 40 && most <= 20 * PAGE as i32, "pages cost {least} to {most} steps");
}

#[test]
fn storage_9_a_prefix_costs_what_it_has_and_not_what_lies_in_front_of_it() {
    let filled = Filled::with(20_000);
    let cost = |prefix: &str, expected: u64| {
        let before = filled.steps();
        assert_eq!(filled.walk(prefix, |_| ()), expected, "below {prefix}");
        filled.steps() - before
    };
    let few = [("a/00000000", 10), ("b/00000999", 10), ("b/00000500", 10), ("nothing", 0)];
    for (prefix, expected) in few {
        let steps = cost(prefix, expected);
        assert!(steps <= 300, "{steps} steps for {expected} keys below {prefix}");
    }
}

/// What `cargo xtask storage-model --listing` runs: the variable says how many keys.
#[test]
#[ignore = "it takes minutes: cargo xtask storage-model --listing 1000000"]
fn full() {
    let keys = env::var("PINTLE_STORAGE_LISTING").expect("cargo xtask storage-model sets it");
    let keys: u64 = keys.parse().expect("it is a number");
    let begin = Instant::now();
    let filled = Filled::with(keys);
    println!("{keys} keys were written in {:.1} s", begin.elapsed().as_secs_f64());
    let resident = || {
        let pages = fs::read_to_string("/proc/self/statm").ok()?;
        pages.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4)
    };
    // Once for the caches of SQLite, which have a bound.
    filled.walk("", |_| ());
    let (before, mut most) = (resident().unwrap_or_default(), 0);
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    let (mut steps, mut begin) = (filled.steps(), Instant::now());
    let count = filled.walk("", |_| {
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        let now = filled.steps();
        costs.push(now - steps);
        most = most.max(resident().unwrap_or_default());
        (steps, begin) = (now, Instant::now());
    });
    assert_eq!(count, keys);
    let tenth = (times.len() / 10).max(1);
    let median = |some: &[f64]| {
        let mut some = some.to_vec();
        some.sort_by(f64::total_cmp);
        some[some.len() / 2]
    };
    let (front, back) = (median(&times[..tenth]), median(&times[times.len() - tenth..]));
    let (least, worst) = (costs.iter().min().copied(), costs.iter().max().copied());
    println!(
        "a page of {PAGE}: {front:.0} us in the first tenth, {back:.0} us in the last; {} to {} steps of SQLite's machine",
        least.unwrap_or_default(),
        worst.unwrap_or_default()
    );
    println!("memory: {before} KiB before the walk, at most {most} KiB in it");
    assert!(most <= before + 1_024, "memory grew from {before} to {most} KiB");
    assert!(back <= 2.0 * front, "the last tenth costs {back} us a page, and the first {front}");
}
