//! Many keys at once: patterns over them, clearing a namespace, and listing it in pages.

use std::collections::BTreeSet;

use super::{Address, Key, Scene, kind};
use crate::{
    error::ErrorKind,
    services::cache::{Space, Write},
};

/// Keys of all kinds that patterns and prefixes tell apart.
const KEYS: [&str; 17] = [
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "ab",
    "b",
    "b/a",
    "%",
    "%a",
    "_",
    "*",
    "\\",
    "é",
    "éa",
    "e\u{301}",
    "\u{1f980}",
    "[a]",
];

fn fill(scene: &Scene, space: &Space<'_>) {
    for key in KEYS {
        let at = Address {
            scope: space.scope,
            namespace: space.namespace,
            key: Key::parse("key", key.as_bytes()).expect("it is a key"),
        };
        scene.set(&at, b"v", 0);
    }
}

/// The places that are filled besides the one that is worked on: another namespace, tenant and plugin.
fn others(scene: &Scene) -> Vec<(usize, &'static str, &'static str)> {
    let others = vec![(0, "", "ns2"), (0, "", "n"), (0, "acme", "ns"), (1, "", "ns"), (2, "acme", "ns")];
    for (plugin, tenant, ns) in &others {
        fill(scene, &scene.at(*plugin, &scene.tenants.named(tenant), ns, "k").space());
    }
    others
}

pub(in super::super) fn a_pattern_takes_the_keys_that_it_matches(scene: &Scene) {
    // Held for as long as the others are there.
    let _acme = scene.tenants.named("acme");
    let others = others(scene);
    let space = scene.space();
    let cases: [(&str, &[&str]); 14] = [
        ("a", &["a"]),
        ("*", &["a", "ab", "b", "%", "%a", "_", "*", "\\", "é", "éa", "e\u{301}", "\u{1f980}", "[a]"]),
        ("?", &["a", "b", "%", "_", "*", "\\", "é", "\u{1f980}"]),
        ("a*", &["a", "ab"]),
        ("a/**", &["a", "a/", "a/b", "a/b/c"]),
        ("a/**/*", &["a/", "a/b", "a/b/c"]),
        ("**/a", &["a", "b/a"]),
        ("%*", &["%", "%a"]),
        ("_", &["_"]),
        ("\\*", &["*"]),
        ("\\\\", &["\\"]),
        ("\\[a]", &["[a]"]),
        ("é*", &["é", "éa"]),
        ("nothing*", &[]),
    ];
    for (pattern, expected) in cases {
        fill(scene, &space);
        let count = scene.cache.invalidate(&space, &Scene::glob(pattern)).expect("it is done");
        assert_eq!(count, expected.len() as u64, "`{pattern}`");
        let left: BTreeSet<String> = scene.list(&space, "", 10).into_iter().collect();
        for key in KEYS {
            assert_eq!(left.contains(key), !expected.contains(&key), "`{pattern}` on `{key}`");
        }
    }
    fill(scene, &space);
    assert_eq!(scene.cache.invalidate(&space, &Scene::glob("**")).expect("it is done"), KEYS.len() as u64);
    assert_eq!(scene.list(&space, "", 10), [""; 0]);
    for (plugin, tenant, ns) in others {
        let space = scene.at(plugin, &scene.tenants.named(tenant), ns, "k").space();
        assert_eq!(scene.list(&space, "", 10).len(), KEYS.len(), "{plugin} {tenant} {ns}");
    }
}

pub(in super::super) fn clearing_a_namespace_takes_all_of_it_and_nothing_else(scene: &Scene) {
    let _acme = scene.tenants.named("acme");
    let others = others(scene);
    let space = scene.space();
    for _ in 0..2 {
        fill(scene, &space);
        scene.cache.incr(&scene.key("an integer"), 1, None).expect("it counts");
        assert_eq!(scene.cache.clear(&space).expect("it is cleared"), KEYS.len() as u64 + 1);
        assert_eq!(scene.cache.clear(&space).expect("it is cleared"), 0);
        assert_eq!(scene.list(&space, "", 10), [""; 0]);
        for key in KEYS {
            assert_eq!(scene.item(&scene.key(key)), None);
        }
    }
    for (plugin, tenant, ns) in others {
        let space = scene.at(plugin, &scene.tenants.named(tenant), ns, "k").space();
        assert_eq!(scene.list(&space, "", 10).len(), KEYS.len(), "{plugin} {tenant} {ns}");
    }
}

pub(in super::super) fn keys_are_listed_by_their_literal_beginning_in_pages(scene: &Scene) {
    let _acme = scene.tenants.named("acme");
    others(scene);
    let space = scene.space();
    assert_eq!(scene.list(&space, "", 3), [""; 0], "an empty namespace has one page, an empty one");
    fill(scene, &space);
    let longest = "k".repeat(512);
    scene.set(&scene.key(&longest), b"v", 0);
    let keys: Vec<&str> = KEYS.iter().copied().chain([longest.as_str()]).collect();
    let longer = longest.clone() + "k";
    let prefixes = [
        "",
        "a",
        "a/",
        "a/b",
        "ab",
        "%",
        "_",
        "*",
        "?",
        "[",
        "\\",
        "é",
        "e",
        "\u{1f980}",
        "z",
        "k",
        &longest,
        &longer,
        "\u{10ffff}",
    ];
    for prefix in prefixes {
        let mut expected: Vec<&str> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        expected.sort_unstable();
        for limit in [1, 2, 3, expected.len().max(1), 1_000] {
            assert_eq!(scene.list(&space, prefix, limit), expected, "`{prefix}` by {limit}");
        }
    }
}

pub(in super::super) fn a_key_that_stays_is_on_one_page_while_others_come_and_go(scene: &Scene) {
    const STAY: usize = 300;
    let space = scene.space();
    for limit in [1, 7, 64] {
        for number in 0..STAY {
            scene.set(&scene.key(&format!("stays/{number}")), b"v", 0);
            scene.set(&scene.key(&format!("goes/{number}")), b"v", 0);
        }
        let (mut told, mut cursor, mut turn) = (Vec::new(), None::<String>, 0);
        loop {
            let page = scene.cache.keys(&space, "", cursor.as_deref(), limit).expect("it is listed");
            assert!(page.keys.len() <= limit, "{} keys on a page of {limit}", page.keys.len());
            // What was told last, which the cursor may be made of, goes first.
            if let Some(last) = page.keys.last().filter(|key| key.starts_with("goes/")) {
                scene.cache.remove(&scene.key(last)).expect("it is removed");
            }
            scene.cache.remove(&scene.key(&format!("goes/{turn}"))).expect("it is removed");
            scene.set(&scene.key(&format!("comes/{turn}")), b"v", 0);
            // Those that stay are written anew, larger and smaller.
            scene.set(&scene.key(&format!("stays/{}", turn * 7 % STAY)), &vec![b'v'; turn % 600], 0);
            told.extend(page.keys.into_iter().filter(|key| key.starts_with("stays/")));
            turn += 1;
            assert!(turn < 20 * STAY, "it comes to an end");
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        told.sort_unstable();
        let mut expected: Vec<String> = (0..STAY).map(|number| format!("stays/{number}")).collect();
        expected.sort_unstable();
        assert_eq!(told, expected, "each exactly once, in pages of {limit}");
        scene.cache.clear(&space).expect("it is cleared");
    }
}

pub(in super::super) fn a_cursor_that_no_page_has_had_is_refused(scene: &Scene) {
    let space = scene.space();
    fill(scene, &space);
    let long = "x".repeat(10_000);
    for cursor in ["nonsense", " ", "?", "-1", "99999999999999999999999", "\u{1f980}", &long] {
        for prefix in ["", "a"] {
            let refused = kind(scene.cache.keys(&space, prefix, Some(cursor), 10));
            assert_eq!(refused, ErrorKind::InvalidArgument, "`{cursor}`");
        }
    }
}

pub(in super::super) fn items_that_are_there_are_listed_whatever_they_are(scene: &Scene) {
    let space = scene.space();
    scene.set(&scene.key("bytes"), b"", 0);
    scene.cache.incr(&scene.key("integer"), 1, None).expect("it counts");
    scene.write(&scene.key("stale"), &Write { stale_ms: 100, ..Write::of(b"v", Some(10)) });
    scene.write(&scene.key("kept"), &Write { error_ms: 100, ..Write::of(b"v", Some(10)) });
    scene.set(&scene.key("gone"), b"v", 10);
    scene.note(&scene.key("note"), Some(0));
    scene.advance_ms(10);
    assert_eq!(scene.list(&space, "", 2), ["bytes", "integer", "stale"]);
}
