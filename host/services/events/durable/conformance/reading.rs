//! How the log is read, also while others write.

use std::{collections::BTreeMap, thread};

use super::{super::log::Extent, *};

pub(in super::super) fn a_page_has_as_many_events_as_were_asked_for_and_says_how_far_it_went<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(30);
    let page = |after: u64, most: usize| {
        let page = tried.log.read(after, None, most).expect("the log answers");
        let sequences: Vec<u64> = page.events.iter().map(|one| one.sequence).collect();
        let expected: Vec<u64> = (0..sequences.len() as u64).map(|at| after + at + 1).collect();
        assert_eq!(sequences, expected, "after {after}");
        (page.events.len(), page.up_to)
    };
    let cases = [
        ((0, 1), (1, 1)),
        ((0, 12), (12, 12)),
        ((12, 17), (17, 29)),
        ((29, 17), (1, 30)),
        ((0, usize::MAX), (30, 30)),
        ((30, 5), (0, 30)),
        ((1_000, 5), (0, 1_000)),
        ((u64::MAX, 5), (0, u64::MAX)),
        ((7, 0), (0, 7)),
    ];
    for ((after, most), expected) in cases {
        assert_eq!(page(after, most), expected, "{most} after {after}");
    }
}

pub(in super::super) fn a_page_has_about_a_mebibyte_but_one_event_at_least<B: Bed>() {
    const MIB: usize = 1 << 20;
    let tried = Tried::<B>::new();
    let sized = |bytes: usize| Event { data: vec![7; bytes].into(), ..event("acme", "1") };
    tried.append(&[sized(MIB), sized(MIB), sized(MIB / 4), sized(MIB / 4), sized(MIB / 4), sized(MIB)]);
    for tenant in [None, Some("acme")] {
        let (mut after, mut pages) = (0, Vec::new());
        while after < 6 {
            let page = tried.log.read(after, tenant, usize::MAX).expect("the log answers");
            pages.push(page.events.len());
            assert!(page.up_to > after, "it goes on");
            after = page.up_to;
        }
        assert_eq!(pages, [1, 1, 3, 1]);
    }
}

pub(in super::super) fn the_events_of_one_tenant_are_read_without_those_of_others<B: Bed>() {
    let tried = Tried::<B>::new();
    // More of others in between than are looked through at once.
    tried.fill(3);
    tried.append(&[event("zeta", "4"), event("", "5")]);
    tried.fill(100);
    tried.append(&[event("zeta", "106"), event("zet", "107"), event("zeta2", "108")]);
    let read = |after: u64, tenant: &str, most: usize| {
        let (mut found, mut up_to) = (Vec::new(), after);
        while found.len() < most {
            let page = tried.log.read(up_to, Some(tenant), most - found.len()).expect("the log answers");
            if page.events.is_empty() {
                assert!(page.up_to >= 108, "one at least if there is one: {page:?} after {up_to}");
                return found;
            }
            assert!(page.up_to >= page.events[page.events.len() - 1].sequence, "{page:?}");
            assert!(page.events.iter().all(|one| one.sequence > up_to && *one.event.tenant == *tenant));
            found.extend(page.events.iter().map(|one| one.sequence));
            up_to = page.up_to;
        }
        found
    };
    assert_eq!(read(0, "zeta", 10), [4, 106]);
    assert_eq!(read(0, "zeta", 1), [4]);
    assert_eq!(read(4, "zeta", 10), [106]);
    assert_eq!(read(106, "zeta", 10), [0_u64; 0]);
    assert_eq!(read(0, "", 10), [5], "the system scope's own");
    assert_eq!(read(0, "zet", 10), [107]);
    assert_eq!(read(0, "Zeta", 10), [0_u64; 0]);
    assert_eq!(read(0, "acme", 1_000).len(), 103);
}

pub(in super::super) fn an_event_is_found_by_its_sequence<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(20);
    tried.pass(50);
    tried.fill(1);
    let all = tried.all();
    let found = tried.log.get(&[21, 3, 22, 0, 3, u64::MAX, 1]).expect("the log answers");
    same(&found, &[all[0].clone(), all[2].clone(), all[20].clone()]);
    same(&tried.log.get(&[]).expect("the log answers"), &[]);
    tried.clear();
    same(&tried.log.get(&[1, 21]).expect("the log answers"), &[]);
}

pub(in super::super) fn the_extent_tells_the_ends_and_what_lies_between<B: Bed>() {
    let tried = Tried::<B>::new();
    let extent = |tried: &Tried<B>| tried.log.extent().expect("the log answers");
    assert_eq!(extent(&tried), Extent { first: 1, last: 0, events: 0, bytes: 0 });
    let extensions = vec![
        ("one".to_owned(), Extension::Integer(1)),
        ("to".to_owned(), Extension::Boolean(true)),
        ("t".to_owned(), Extension::Text("four".into())),
    ];
    tried.append(&[event("acme", "1"), Event { extensions, ..event("", "22") }]);
    // id, source, topic, subject, content type, key, tenant, data
    let plain = 1 + 13 + 16 + 4 + 10 + 10 + 4 + 6;
    let other = plain - 4 + 1 + (3 + 4) + (2 + 1) + (1 + 4);
    assert_eq!(extent(&tried), Extent { first: 1, last: 2, events: 2, bytes: plain + other });
    assert_eq!(tried.retain(Retention { bytes: other, ..ENDLESS }), (1, plain, vec![]));
    assert_eq!(extent(&tried), Extent { first: 2, last: 2, events: 1, bytes: other });
    tried.clear();
    assert_eq!(extent(&tried), Extent { first: 3, last: 2, events: 0, bytes: 0 });
    let tried = tried.restart();
    assert_eq!(extent(&tried), Extent { first: 3, last: 2, events: 0, bytes: 0 });
    tried.append(&[event("acme", "1")]);
    assert_eq!(extent(&tried), Extent { first: 3, last: 3, events: 1, bytes: plain });
}

/// The writers' batches are refused in between, and their sequences undone with them.
pub(in super::super) fn events_25_a_reader_misses_nothing_of_eight_that_write_at_once<B: Bed>() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 40;
    const BATCH: usize = 3;
    let tried = Tried::<B>::new();
    let log = &*tried.log;
    let (written, seen) = thread::scope(|threads| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                threads.spawn(move || {
                    let mut written = Vec::new();
                    for batch in 0..BATCHES {
                        let events: Vec<NewEvent> = (0..BATCH)
                            .map(|at| new(&event("acme", &format!("{writer}/{batch}/{at}")), Dedupe::Never))
                            .collect();
                        let appended = log.append(&events).expect("the log answers");
                        let first = appended[0].sequence;
                        for (at, (one, event)) in appended.iter().zip(events).enumerate() {
                            assert_eq!(one.sequence, first + at as u64, "nobody writes in between");
                            written.push((one.sequence, event.event.id.clone()));
                        }
                        // What fails takes no sequence that anybody sees.
                        assert_eq!(
                            kind(log.settle(1 << 40, &Settlement::default())),
                            Some(ErrorKind::NotFound)
                        );
                        // Whoever was told of a sequence finds it, and all before it.
                        let last = first + BATCH as u64 - 1;
                        let page = log.read(first - 1, None, BATCH).expect("the log answers");
                        assert_eq!(page.up_to, last);
                        assert!(log.extent().expect("the log answers").last >= last);
                    }
                    written
                })
            })
            .collect();
        let reader = threads.spawn(move || {
            let (mut seen, mut after) = (Vec::new(), 0);
            while seen.len() < WRITERS * BATCHES * BATCH {
                let page = log.read(after, None, 7).expect("the log answers");
                for logged in &page.events {
                    assert_eq!(logged.sequence, after + 1, "it would have been skipped");
                    after = logged.sequence;
                    seen.push((logged.sequence, logged.event.id.clone()));
                }
                assert_eq!(page.up_to, after, "it says that it has looked at what was not there");
                thread::yield_now();
            }
            seen
        });
        let written: BTreeMap<u64, Arc<str>> =
            writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
        (written, reader.join().expect("no panic"))
    });
    assert_eq!(seen, written.into_iter().collect::<Vec<_>>());
}
