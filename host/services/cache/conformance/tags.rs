//! Tags: how many an item has, and whom invalidating one hits.

use super::{Owned, Scene, bytes};
use crate::{
    error::ErrorKind,
    services::cache::{MOST_TAGS, Value, Write},
};

pub(in super::super) fn an_item_has_up_to_16_tags(scene: &Scene) {
    let at = scene.key("k");
    let longest = "t".repeat(128);
    let odd = ["%", "_", "*", "a b", "é", "e\u{301}", "\u{1f980}", ",", "'", "\"", "\u{1}", &longest];
    let names: Vec<String> =
        odd.iter().map(|name| (*name).to_owned()).chain((0..5).map(|n| n.to_string())).collect();
    let tags: Vec<_> = names.iter().map(|name| Scene::tag(name)).collect();
    let write = |tags| scene.cache.set(&at, &Write { tags, ..Write::of(b"v", Some(0)) });
    for name in &names[..MOST_TAGS] {
        write(&tags[..MOST_TAGS]).expect("16 are taken");
        assert_eq!((scene.untag(name), scene.item(&at)), (1, None), "each of them counts: {name:?}");
    }
    scene.set(&at, b"old", 0);
    let error = write(&tags).map(drop).expect_err("17 are too many");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), "argument `tags`: 17 tags, an item has up to 16 different ones");
    assert_eq!(scene.item(&at).expect("it stays").value, bytes(b"old"));
    // The same one twice is one, in any order.
    let twice: Vec<_> = tags[..MOST_TAGS].iter().chain(tags[..MOST_TAGS].iter().rev()).copied().collect();
    write(&twice).expect("they are 16");
    assert_eq!(scene.untag(&names[3]), 1, "and it is counted once");
    // Names that others begin with, or that differ in case only, are other names.
    write(&[Scene::tag("news")]).expect("it can be written");
    for other in ["new", "newss", "News", "news ", "n%", "new_", "*"] {
        assert_eq!(scene.untag(other), 0, "{other:?}");
    }
    assert_eq!(scene.untag("news"), 1);
}

pub(in super::super) fn invalidating_a_tag_hits_all_that_was_written_with_it_before(scene: &Scene) {
    let tenants = ["", "acme"].map(|name| scene.tenants.named(name));
    let (red, blue) = (Scene::tag("red"), Scene::tag("blue"));
    let fill = || {
        for (plugin, tenant) in (0..2).flat_map(|plugin| tenants.iter().map(move |tenant| (plugin, tenant))) {
            for number in 0..30 {
                let (ns, key) = (format!("ns{}", number % 3), format!("k{number}"));
                let at = scene.at(plugin, tenant, &ns, &key);
                let tags: &[_] = match number % 5 {
                    0 => &[],
                    1 => &[blue],
                    2 => &[red],
                    _ => &[blue, red],
                };
                scene.write(&at, &Write { tags, ..Write::of(key.as_bytes(), Some(0)) });
            }
        }
    };
    fill();
    let scope = scene.at(0, &tenants[1], "any", "k").scope;
    // Written anew without it; gone; a note; an integer made of bytes with it.
    for number in [2, 3] {
        let (ns, key) = (format!("ns{}", number % 3), format!("k{number}"));
        scene.set(&scene.at(0, &tenants[1], &ns, &key), b"anew", 0);
    }
    scene.cache.remove(&scene.at(0, &tenants[1], "ns1", "k4")).expect("it is removed");
    let note = Write { value: Value::Absent, tags: &[red], ..Write::of(b"", Some(0)) };
    scene.write(&scene.at(0, &tenants[1], "ns1", "k7"), &note);
    let count = scene.at(0, &tenants[1], "ns2", "k8");
    scene.write(&count, &Write { tags: &[red], ..Write::of(b"8", Some(0)) });
    scene.cache.incr(&count, 1, None).expect("it counts");
    // 18 with it: less two anew, one removed, and one note, which is taken and not counted.
    assert_eq!(scene.cache.invalidate_tag(&scope, red).expect("it is done"), 14);
    assert_eq!(scene.cache.invalidate_tag(&scope, red).expect("it is done"), 0, "once");
    for (plugin, tenant, other) in
        (0..2).flat_map(|plugin| [(plugin, &tenants[0], true), (plugin, &tenants[1], plugin == 1)])
    {
        for number in 0..30 {
            let (ns, key) = (format!("ns{}", number % 3), format!("k{number}"));
            let stays = other || number % 5 < 2 || number == 2 || number == 3;
            let item = scene.item(&scene.at(plugin, tenant, &ns, &key));
            assert_eq!(item.is_some(), stays, "{plugin} {} {ns} {key}", tenant.name());
        }
    }
    // What is written after it is not hit, under the same keys too.
    fill();
    assert_eq!(scene.cache.invalidate_tag(&scope, Scene::tag("green")).expect("it is done"), 0);
    assert_eq!(scene.cache.invalidate_tag(&scope, red).expect("it is done"), 18);
    assert_eq!(
        scene.cache.invalidate_tag(&scope, blue).expect("it is done"),
        6,
        "those that had only this one"
    );
    assert_eq!(scene.untag("red"), 18, "what the first plugin has for others is there still");
}

pub(in super::super) fn an_integer_keeps_the_tags_of_the_bytes_that_it_was(scene: &Scene) {
    let at = scene.key("k");
    scene.write(&at, &Write { tags: &[Scene::tag("t")], ..Write::of(b"41", Some(0)) });
    scene.cache.incr(&at, 1, None).expect("it counts");
    assert_eq!(scene.item(&at).expect("it is there").value, Owned::Integer(42));
    assert_eq!((scene.untag("t"), scene.item(&at)), (1, None));
}
