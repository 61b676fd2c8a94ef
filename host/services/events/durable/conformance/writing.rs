//! What is appended, and what is known of it when it comes again.

use super::*;

pub(in super::super) fn events_25_an_event_that_was_appended_is_there_after_a_restart<B: Bed>() {
    let mut tried = Tried::<B>::new();
    for round in 0..3 {
        let before = tried.all();
        assert_eq!(before.len(), round);
        tried.append(&[event("acme", &round.to_string())]);
        let there = tried.all();
        tried.pass(10);
        tried = tried.restart();
        same(&tried.all(), &there);
        same(&there[..round], &before);
    }
}

pub(in super::super) fn events_25_an_event_is_read_as_it_was_written_in_every_field<B: Bed>() {
    let usual = event("acme", "1");
    let least = Event {
        id: "i".into(),
        source: "s".into(),
        topic: Topic::parse("t").expect("it is a topic"),
        subject: String::new(),
        content_type: Cow::Borrowed(""),
        key: String::new(),
        tenant: "".into(),
        time_ms: 0,
        depth: 0,
        data: [].into(),
        extensions: Vec::new(),
    };
    let most = Event {
        id: "é".repeat(128).into(),
        source: "\u{10ffff}".repeat(128).into(),
        topic: Topic::parse(&["a"; 16].join(".")).expect("it is a topic"),
        subject: "'\"\\%_--;".repeat(64),
        content_type: "c".repeat(128).into(),
        key: "e\u{301}".repeat(170),
        tenant: "t".repeat(128).into(),
        time_ms: -62_167_219_200_000,
        depth: 64,
        data: (0..=255).cycle().take(1 << 20).collect(),
        extensions: (0..64).map(|n| (format!("x{n}"), Extension::Text("é\"\\".repeat(800)))).collect(),
    };
    // Neither in the order of their names, nor each once; one looks like another kind.
    let extensions = [
        ("zone", Extension::Text("7".into())),
        ("a", Extension::Integer(i32::MIN)),
        ("b", Extension::Integer(i32::MAX)),
        ("yes", Extension::Boolean(true)),
        ("no", Extension::Boolean(false)),
        ("like", Extension::Text("true".into())),
        ("empty", Extension::Text(String::new())),
        ("zone", Extension::Integer(7)),
    ];
    let extensions = extensions.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let odd = Event {
        extensions,
        content_type: "application/json".into(),
        time_ms: 253_402_300_799_999,
        ..usual.clone()
    };
    let all = [usual, least, most, odd];
    let tried = Tried::<B>::new();
    tried.append(&all);
    let position = tried.join(&audit(), Start::All);
    tried.bury(position.consumer, &[1, 2, 3, 4]);
    let tried = tried.restart();
    let letters = tried.log.dead_letters(&Of::default(), 0, 10).expect("the log answers");
    let replayed = tried.log.replay(&[1, 2, 3, 4]).expect("the log answers");
    let again = tried.log.get(&[5, 6, 7, 8]).expect("the log answers");
    for (at, written) in all.iter().enumerate() {
        let one = tried.log.get(&[at as u64 + 1]).expect("the log answers");
        let ways = [&one[0].event, &letters[at].event, &replayed[at].event, &again[at].event];
        for (way, found) in ways.into_iter().enumerate() {
            assert!(**found == *written, "{written:?} is {found:?} by way {way}: {:?}", found.extensions);
        }
    }
}

pub(in super::super) fn events_that_are_appended_together_lie_together<B: Bed>() {
    let tried = Tried::<B>::new();
    let events = [event("acme", "a"), event("zeta", "b"), event("", "c")];
    assert_eq!(tried.append(&events[..1]), [1], "sequences grow from 1");
    tried.pass(7);
    assert_eq!(tried.append(&events), [2, 3, 4]);
    let all = tried.all();
    let ids: Vec<(u64, &str, i64)> =
        all.iter().map(|one| (one.sequence, &*one.event.id, one.logged_ms - START)).collect();
    assert_eq!(ids, [(1, "a", 0), (2, "a", 7), (3, "b", 7), (4, "c", 7)]);
    assert!(all.iter().all(|one| one.only.is_none()), "they are for all");
}

pub(in super::super) fn to_append_nothing_writes_nothing<B: Bed>() {
    let tried = Tried::<B>::new();
    assert_eq!(tried.log.append(&[]).expect("the log answers"), []);
    assert_eq!(tried.log.extent().expect("the log answers").last, 0);
    assert_eq!(tried.fill(1), 1);
}

pub(in super::super) fn events_31_an_id_that_comes_again_within_its_window_is_a_duplicate<B: Bed>() {
    let tried = Tried::<B>::new();
    let first = event("acme", "order 1");
    assert_eq!(tried.offer(&first, Dedupe::Within(1_000)), (1, false));
    tried.pass(999);
    // It is known by its id, whatever else it has.
    let other = Event { data: (*b"other").into(), subject: "other".into(), ..first.clone() };
    assert_eq!(tried.offer(&other, Dedupe::Within(1_000)), (1, true));
    assert_eq!(
        tried.offer(&first, Dedupe::Within(999)),
        (2, false),
        "the window is that of the one that comes"
    );
    assert_eq!(tried.sequences(), [1, 2]);
    assert_eq!(*tried.all()[0].event, first, "nothing was written");
}

pub(in super::super) fn events_31_the_window_begins_with_what_was_written_last<B: Bed>() {
    let tried = Tried::<B>::new();
    let (event, dedupe) = (event("acme", "order 1"), Dedupe::Within(1_000));
    assert_eq!(tried.offer(&event, dedupe), (1, false));
    tried.pass(600);
    assert_eq!(tried.offer(&event, dedupe), (1, true));
    tried.pass(400);
    assert_eq!(tried.offer(&event, dedupe), (2, false), "a duplicate prolongs nothing");
    tried.pass(999);
    assert_eq!(tried.offer(&event, dedupe), (2, true));
}

pub(in super::super) fn events_31_what_an_outbox_sends_is_known_as_long_as_its_id_is<B: Bed>() {
    let tried = Tried::<B>::new();
    let event = event("acme", "order 1");
    assert_eq!(tried.offer(&event, Dedupe::Known), (1, false));
    tried.pass(86_400_000);
    assert_eq!(tried.offer(&event, Dedupe::Known), (1, true));
    tried.retain(Retention { dedupe_ms: 86_400_001, ..ENDLESS });
    assert_eq!(tried.offer(&event, Dedupe::Known), (1, true));
    tried.retain(Retention { dedupe_ms: 86_400_000, ..ENDLESS });
    assert_eq!(tried.offer(&event, Dedupe::Known), (2, false));
    assert_eq!(tried.offer(&event, Dedupe::Within(1)), (2, true), "each knows what the other has written");
}

pub(in super::super) fn events_31_an_id_is_one_tenants_and_one_sources<B: Bed>() {
    let tried = Tried::<B>::new();
    let first = event("acme", "1");
    let sourced = |source: &str| Event { source: source.into(), ..first.clone() };
    let others =
        [event("", "1"), event("zeta", "1"), event("acme", "2"), sourced("/plugins/sho"), sourced("/")];
    let mut sequence = 0;
    for other in [&first].into_iter().chain(&others) {
        sequence += 1;
        assert_eq!(tried.offer(other, Dedupe::Within(1_000)), (sequence, false), "{other:?}");
    }
    for (sequence, other) in (1..).zip([&first].into_iter().chain(&others)) {
        assert_eq!(tried.offer(other, Dedupe::Known), (sequence, true), "{other:?}");
    }
}

pub(in super::super) fn events_31_an_id_that_comes_twice_at_once_is_written_once<B: Bed>() {
    let tried = Tried::<B>::new();
    let [one, two] = ["1", "2"].map(|id| event("acme", id));
    for dedupe in [Dedupe::Known, Dedupe::Within(1_000)] {
        let last = tried.log.extent().expect("the log answers").last;
        let tenant = format!("{dedupe:?}");
        let all = [&one, &two, &one, &two]
            .map(|event| new(&Event { tenant: tenant.as_str().into(), ..event.clone() }, dedupe));
        let appended = tried.log.append(&all).expect("the log answers");
        let appended: Vec<_> = appended.iter().map(|one| (one.sequence - last, one.duplicate)).collect();
        assert_eq!(appended, [(1, false), (2, false), (1, true), (2, true)]);
    }
    assert_eq!(tried.sequences(), [1, 2, 3, 4]);
}

pub(in super::super) fn events_31_an_id_that_the_host_made_is_neither_looked_for_nor_kept<B: Bed>() {
    let tried = Tried::<B>::new();
    let event = event("acme", "1");
    assert_eq!(tried.offer(&event, Dedupe::Never), (1, false));
    assert_eq!(tried.offer(&event, Dedupe::Known), (2, false));
    assert_eq!(tried.offer(&event, Dedupe::Never), (3, false));
    assert_eq!(tried.offer(&event, Dedupe::Known), (2, true));
}

pub(in super::super) fn events_31_an_id_is_known_after_a_restart_and_when_its_event_is_gone<B: Bed>() {
    let tried = Tried::<B>::new();
    let event = event("acme", "1");
    assert_eq!(tried.offer(&event, Dedupe::Within(1_000)), (1, false));
    tried.clear();
    assert_eq!(tried.offer(&event, Dedupe::Within(1_000)), (1, true));
    let tried = tried.restart();
    assert_eq!(tried.offer(&event, Dedupe::Within(1_000)), (1, true));
    assert_eq!(tried.offer(&event, Dedupe::Known), (1, true));
    assert_eq!(tried.sequences(), [0_u64; 0]);
}
