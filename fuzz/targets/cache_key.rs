//! Namespaces, keys and tags of any bytes: they are taken exactly if the rules say so, and two addresses that differ never
//! meet in the cache. The bytes are pairs of a namespace and a key, each with two bytes of length before it; what the length
//! leaves over says whose they are.

#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use pintle::fuzz_parts::{Cache, is_name};

const PLUGINS: [&str; 3] = ["a", "ab", "b"];
const TENANTS: [&str; 3] = ["", "a", "b"];

/// The 16 bits of a length: 10 for the length itself, so that it reaches beyond what is taken.
const LENGTHS: usize = 1 << 10;

/// A namespace or a key, and six bits; none at the end.
fn part<'a>(data: &mut &'a [u8]) -> Option<(&'a [u8], usize)> {
    let (length, rest) = data.split_first_chunk()?;
    let number = usize::from(u16::from_le_bytes(*length));
    let (part, rest) = rest.split_at((number % LENGTHS).min(rest.len()));
    *data = rest;
    Some((part, number / LENGTHS))
}

fn is_taken(bytes: &[u8], longest: usize) -> bool {
    (1..=longest).contains(&bytes.len()) && str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

fuzz_target!(|data: &[u8]| {
    let cache = Cache::new(&PLUGINS, &TENANTS);
    let mut items = HashMap::new();
    let mut data = data;
    while let (Some((ns, whose)), Some((key, _))) = (part(&mut data), part(&mut data)) {
        let owner = (whose % 3, whose / 3 % 3);
        let value = items.len().to_string().into_bytes();
        let taken = cache.set(owner, ns, key, &value);
        assert_eq!(taken.is_ok(), is_taken(ns, 128) && is_taken(key, 512), "{ns:?} {key:?}: {taken:?}");
        assert_eq!(is_name(ns).is_ok(), is_taken(ns, 128), "{ns:?}");
        assert_eq!(is_name(key).is_ok(), is_taken(key, 128), "{key:?}");
        let read = cache.get(owner, ns, key);
        assert_eq!(read.is_ok(), taken.is_ok(), "{ns:?} {key:?}: {read:?}");
        if taken.is_ok() {
            items.insert((owner, ns, key), value);
        }
    }
    for ((owner, ns, key), value) in &items {
        let read = cache.get(*owner, ns, key).expect("it was taken before");
        assert_eq!(read.as_ref(), Some(value), "{owner:?} {ns:?} {key:?}");
    }
    for (owner, ns, key) in items.keys() {
        assert!(cache.remove(*owner, ns, key).expect("it was taken before"), "{owner:?} {ns:?} {key:?}");
    }
});
