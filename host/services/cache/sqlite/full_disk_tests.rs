//! A disk that really is full.

use std::fs;

use super::{
    super::{conformance::Scene, model::Model},
    tests::{read, set},
    *,
};
use crate::services::{cache::Value, clock::ManualClock, small_disk};

#[test]
fn on_a_full_disk_a_write_changes_nothing_and_with_room_it_works_again() {
    small_disk::run("8m", "services::cache::sqlite::full_disk_tests::child");
}

/// What runs where the small disk is.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Some(disk) = small_disk::place() else { return };
    let scene = Scene::new(|clock: Arc<ManualClock>| Box::new(Model::new(clock)));
    let filler = disk.join("filler");
    fs::write(&filler, vec![1; 7 << 20]).expect("most of the disk");
    let options = SqliteOptions {
        capacity: 64 << 20,
        clock: Arc::clone(&scene.clock) as _,
        report: Box::new(|error| eprintln!("{error}")),
    };
    let cache = SqliteCache::open(disk.join("cache.db"), options).expect("there is room for this");
    let value = |number: usize| vec![number as u8; 2_000];
    let names: Vec<String> = (0..800).map(|number| format!("k{number}")).collect();
    // In threes, so that a transaction that is undone has several answers to take back.
    let write = |first: usize| {
        let values: Vec<_> = (first..first + 3).map(value).collect();
        let draft = |value| Draft::of(Value::Bytes(value), Lifetime::Endless);
        let writes: Vec<_> =
            values.iter().zip(first..).map(|(value, at)| (scene.key(&names[at]), draft(value))).collect();
        cache.set_many(&writes)
    };
    let mut refused = Vec::new();
    for first in (0..798).step_by(3) {
        for (answer, number) in write(first).into_iter().zip(first..) {
            match answer {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                    assert!(error.to_string().contains("the disk of the data folder is full"), "{error}");
                    refused.push(number);
                }
            }
        }
    }
    // How much room the filler leaves depends on how the disk lays out its pages.
    assert!(!refused.is_empty() && refused.len() < 798, "{} were refused", refused.len());
    for (number, name) in names.iter().enumerate().take(798) {
        let found = read(&cache, &scene.key(name)).map(|found| found.0);
        let expected = (!refused.contains(&number)).then(|| value(number));
        assert!(found == expected, "k{number} is not as it was answered");
    }
    let error = cache.health().expect_err("nothing can be written");
    assert!(error.to_string().contains("is full"), "{error}");
    cache.check();
    println!("the disk was full: {} writes were refused", refused.len());
    fs::remove_file(&filler).expect("it is there");
    // Nobody writes: it finds that by itself.
    scene.clock.advance(Duration::from_secs(3));
    cache.health().expect("there is room again");
    for number in refused {
        set(&cache, &scene.key(&names[number]), &value(number), Lifetime::Endless);
    }
    cache.check();
    let used: u64 = cache.usage().expect("it answers").iter().map(|used| used.items).sum();
    assert_eq!(used, 798);
}
