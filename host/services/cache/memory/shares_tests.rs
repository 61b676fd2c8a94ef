//! What a plugin can rely on, whatever its neighbours do.

use std::sync::Arc;

use super::{super::random::Dice, MemoryCache, tests::scene};
use crate::{
    error::ErrorKind,
    services::cache::{CacheBackend, Draft, Lifetime, Value, conformance::Scene},
};

const MIB: usize = 1 << 20;

fn bytes(engine: &MemoryCache, id: &str) -> u64 {
    let usage = engine.usage().expect("counted");
    usage.iter().find(|usage| *usage.plugin == *id).map_or(0, |usage| usage.bytes)
}

fn write(scene: &Scene, engine: &MemoryCache, plugin: usize, key: u64, len: usize) -> Option<ErrorKind> {
    let (tenant, key) = (scene.tenants.named(""), key.to_string());
    let at = scene.at(plugin, &tenant, "n", &key);
    let value = vec![plugin as u8; len];
    engine.set(&at, &Draft::of(Value::Bytes(&value), Lifetime::Endless)).err().map(|error| error.kind())
}

/// Fills with what `plugin` can rely on, and tells how many items that were.
fn fill_share(scene: &Scene, engine: &MemoryCache, plugin: usize, len: usize) -> u64 {
    let id = &scene.ids[plugin];
    for key in 0.. {
        assert_eq!(write(scene, engine, plugin, key, len), None);
        if bytes(engine, id) + 2 * len as u64 + 2_000 > engine.guaranteed() {
            return key + 1;
        }
    }
    unreachable!("a share has an end")
}

fn count(engine: &MemoryCache, id: &str) -> u64 {
    let usage = engine.usage().expect("counted");
    usage.iter().find(|usage| *usage.plugin == *id).map_or(0, |usage| usage.items)
}

#[test]
fn cache_36_no_neighbour_pushes_a_plugin_below_its_share() {
    for (shards, len) in [(1, 100), (4, 100), (8, 3_000)] {
        let (scene, engine) = scene(8 * MIB, shards);
        engine.set_plugins(3);
        assert_eq!(engine.guaranteed(), engine.capacity() / 6);
        let items = fill_share(&scene, &engine, 0, len);
        let mut dice = Dice::new(7);
        for turn in 0..60_000 {
            let large = if turn % 100 == 0 { 300_000 } else { dice.roll(400) as usize };
            assert_eq!(write(&scene, &engine, 1 + turn % 2, dice.roll(1 << 40), large), None);
        }
        assert_eq!(count(&engine, "a"), items, "{shards} shards");
        let evicted = engine.usage().expect("counted").iter().map(|usage| usage.evicted).sum::<u64>();
        assert!(evicted > 1_000, "{evicted} made room");
        assert!(engine.check() <= 8 * MIB);
    }
}

#[test]
fn a_plugin_gets_its_share_from_one_that_has_taken_everything() {
    for shards in [1, 8] {
        let (scene, engine) = scene(8 * MIB, shards);
        engine.set_plugins(2);
        for key in 0..100_000 {
            assert_eq!(write(&scene, &engine, 0, key, 100), None);
        }
        let items = fill_share(&scene, &engine, 1, 100);
        assert_eq!(count(&engine, "ab"), items, "what it has just written is there");
        assert!(bytes(&engine, "a") >= engine.guaranteed(), "and the other one keeps its own share");
    }
}

#[test]
fn what_several_threads_push_at_once_stays_above_its_share() {
    let (scene, engine) = scene(8 * MIB, 8);
    engine.set_plugins(3);
    let items = fill_share(&scene, &engine, 0, 100);
    std::thread::scope(|threads| {
        for thread in 0..4_u64 {
            let (scene, engine) = (&scene, &engine);
            threads.spawn(move || {
                let mut dice = Dice::new(thread + 1);
                for _ in 0..20_000 {
                    let plugin = 1 + (thread % 2) as usize;
                    let len = dice.roll(500) as usize;
                    assert_eq!(write(scene, engine, plugin, dice.roll(1 << 40), len), None);
                }
            });
        }
    });
    assert_eq!(count(&engine, "a"), items);
    engine.check();
}

/// More plugins have something than are loaded: a new one finds room all the same.
#[test]
fn plugins_that_are_no_longer_loaded_do_not_keep_out_the_others() {
    let (scene, engine) = scene(4 * MIB, 2);
    engine.set_plugins(1);
    for plugin in 0..3 {
        for key in 0..20_000 {
            assert_eq!(write(&scene, &engine, plugin, key, 200), None, "plugin {plugin}");
        }
        assert!(count(&engine, &Arc::clone(&scene.ids[plugin])) > 1_000, "plugin {plugin}");
    }
}

/// The one that has most has a single item, which is more than it has above its share: it stays, and the next one
/// makes room.
#[test]
fn a_plugin_gets_its_share_though_the_one_that_has_most_can_give_nothing() {
    for shards in [1, 2] {
        let (scene, engine) = scene(2 * MIB, shards);
        engine.set_plugins(3);
        assert_eq!(write(&scene, &engine, 1, 0, 1_000_000), None);
        for key in 0..3_000 {
            assert_eq!(write(&scene, &engine, 0, key, 100), None);
        }
        let items = fill_share(&scene, &engine, 2, 100);
        assert_eq!(count(&engine, "b"), items, "what it has just written is there, with {shards} shards");
        assert_eq!(count(&engine, "ab"), 1, "and so is the large one");
        engine.check();
    }
}
