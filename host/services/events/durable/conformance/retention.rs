//! What goes from the log, and when.

use super::{
    super::log::{Cleared, bytes_of},
    *,
};

pub(in super::super) fn events_32_events_go_when_they_are_old_enough_and_not_before<B: Bed>() {
    let tried = Tried::<B>::new();
    let retention = Retention { age_ms: 100, ..ENDLESS };
    for _ in 0..3 {
        tried.fill(2);
        tried.pass(10);
    }
    let bytes: u64 = tried.all().iter().map(|one| bytes_of(&one.event)).sum();
    tried.pass(69);
    assert_eq!(tried.log.retain(&retention).expect("the log answers"), Cleared::default(), "at 99");
    tried.pass(1);
    assert_eq!(tried.retain(retention), (2, bytes / 3, vec![]), "at 100");
    assert_eq!(tried.sequences(), [3, 4, 5, 6]);
    tried.pass(19);
    assert_eq!(tried.retain(retention).0, 2, "at 119");
    let tried = tried.restart();
    assert_eq!(tried.sequences(), [5, 6]);
    tried.pass(1);
    assert_eq!(tried.retain(retention).0, 2, "at 120");
    assert_eq!(tried.log.retain(&retention).expect("the log answers"), Cleared::default(), "nothing is left");
}

pub(in super::super) fn events_32_the_newest_stay_that_have_so_many_bytes<B: Bed>() {
    let tried = Tried::<B>::new();
    let sized = |bytes: usize| Event { data: vec![0; bytes].into(), ..event("acme", "1") };
    tried.append(&[sized(5_000), sized(0), sized(300), sized(70), sized(2_000)]);
    let sizes: Vec<u64> = tried.all().iter().map(|one| bytes_of(&one.event)).collect();
    let newest = |many: usize| sizes[5 - many..].iter().sum::<u64>();
    let retain = |bytes: u64| {
        let gone = tried.retain(Retention { bytes, ..ENDLESS });
        assert!(tried.log.extent().expect("the log answers").bytes <= bytes);
        (gone.0, tried.sequences().len())
    };
    assert_eq!(retain(newest(5)), (0, 5));
    assert_eq!(retain(newest(5) - 1), (1, 4));
    assert_eq!(retain(newest(4)), (0, 4));
    assert_eq!(retain(newest(2)), (2, 2));
    assert_eq!(retain(newest(2) - 1), (1, 1));
    assert_eq!(retain(newest(1) - 1), (1, 0), "one that is larger than all may be goes too");
}

pub(in super::super) fn events_32_what_is_to_come_again_or_for_one_alone_goes_with_the_rest<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(2);
    let consumer = tried.join(&audit(), Start::All).consumer;
    let settlement = Settlement { retries: vec![retry(1, 1)], dead: vec![dead(2)], ..Settlement::default() };
    tried.settle(consumer, &settlement);
    tried.log.replay(&[tried.letters()[0].0]).expect("the log answers");
    tried.pass(99);
    assert_eq!(tried.retain(Retention { age_ms: 100, ..ENDLESS }).0, 0);
    tried.pass(1);
    assert_eq!(tried.retain(Retention { age_ms: 100, ..ENDLESS }), (3, tried_bytes(), vec![audit()]));
    assert_eq!(tried.sequences(), [0_u64; 0]);
}

/// Those of three events of [`Tried::fill`].
fn tried_bytes() -> u64 {
    3 * bytes_of(&event("acme", "0"))
}

pub(in super::super) fn events_32_nothing_goes_before_what_is_older<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(1);
    // The clock was wrong for a while: an event that seems to be from then stays, and all that came later.
    tried.clock.set_wall(START + 1_000);
    tried.fill(1);
    tried.clock.set_wall(START + 10);
    tried.fill(1);
    tried.clock.set_wall(START + 500);
    let retention = Retention { age_ms: 100, ..ENDLESS };
    assert_eq!(tried.retain(retention).0, 1);
    assert_eq!(tried.sequences(), [2, 3]);
    tried.clock.set_wall(START + 1_100);
    assert_eq!(tried.retain(retention).0, 2);
}

pub(in super::super) fn events_32_who_had_not_settled_all_that_is_gone_is_told<B: Bed>() {
    let tried = Tried::<B>::new();
    // 1 to 4, then 5 of another tenant, 6 of the system scope.
    tried.fill(4);
    tried.append(&[event("zeta", "5"), event("", "6")]);
    let join = |tenant: &str, name: &str, floor: u64, settled: &[u64]| {
        let name = consumer("a", tenant, name);
        let consumer = tried.join(&name, Start::All).consumer;
        tried.settle(consumer, &Settlement { floor, settled: settled.into(), ..Settlement::default() });
        (name, consumer)
    };
    let cases = [
        (join("", "nothing", 0, &[]), true),
        (join("", "all but one", 2, &[4, 5, 6]), true),
        (join("", "above", 3, &[4, 5, 6]), false),
        (join("", "floor", 6, &[]), false),
        (join("", "not the last", 5, &[]), true),
        (join("acme", "its own", 2, &[3, 4]), false),
        (join("acme", "not its own", 3, &[]), true),
        (join("zeta", "its own", 1, &[5]), false),
        (join("zeta", "not its own", 4, &[]), true),
        (join("other", "has none", 0, &[]), false),
    ];
    let ((_, settles), _) = &cases[1];
    let retries = vec![retry(3, 1)];
    tried.settle(*settles, &Settlement { retries, ..Settlement::default() });
    let mut expected: Vec<ConsumerName> =
        cases.iter().filter(|(_, late)| *late).map(|((name, _), _)| name.clone()).collect();
    expected.sort();
    tried.pass(100);
    tried.fill(1);
    assert_eq!(tried.retain(Retention { age_ms: 100, ..ENDLESS }), (6, tried_bytes() * 2 - 4, expected));
    assert_eq!(tried.retain(Retention { age_ms: 100, ..ENDLESS }), (0, 0, vec![]), "each is told once");
    // What was for one alone, only that one is late for.
    let (_, alone) = join("acme", "alone", 0, &[]);
    join("acme", "another", 6, &[7]);
    tried.bury(alone, &[7]);
    tried.log.replay(&[tried.letters()[0].0]).expect("the log answers");
    let late = tried.retain(Retention { bytes: 0, ..ENDLESS }).2;
    assert!(late.contains(&consumer("a", "acme", "alone")), "{late:?}");
    assert!(!late.contains(&consumer("a", "acme", "another")), "{late:?}");
}

pub(in super::super) fn events_32_what_is_much_goes_in_steps<B: Bed>() {
    let tried = Tried::<B>::new();
    let late = tried.join(&audit(), Start::All).consumer;
    let events: Vec<NewEvent> =
        (0..100).map(|number| new(&event("acme", &number.to_string()), Dedupe::Known)).collect();
    tried.log.append(&events).expect("the log answers");
    let (mut gone, mut left) = (0, tried.sequences());
    loop {
        let cleared =
            tried.log.retain(&Retention { age_ms: 0, dedupe_ms: 0, ..ENDLESS }).expect("it answers");
        let now = tried.sequences();
        assert_eq!(now, left[cleared.events as usize..], "the oldest go first");
        assert_eq!(cleared.late.len(), usize::from(cleared.events > 0));
        (gone, left) = (gone + cleared.events, now);
        if !cleared.more {
            break;
        }
        assert!(cleared.events > 0, "each step does something");
    }
    assert_eq!((gone, left.len()), (100, 0));
    assert_eq!(tried.offer(&event("acme", "99"), Dedupe::Known), (101, false), "the last id is gone too");
    assert_eq!(tried.stands(&audit()).consumer, late);
}

pub(in super::super) fn no_sequence_is_used_again_when_all_events_are_gone<B: Bed>() {
    let mut tried = Tried::<B>::new();
    for round in 0..3 {
        let last = 3 * round;
        assert_eq!(tried.fill(2), last + 2);
        tried.clear();
        tried = tried.restart();
        assert_eq!(tried.fill(1), last + 3);
        tried.clear();
        assert_eq!(tried.log.read(0, None, 5).expect("the log answers").up_to, last + 3);
    }
}

pub(in super::super) fn events_31_ids_go_when_they_are_old_enough_and_not_before<B: Bed>() {
    let tried = Tried::<B>::new();
    let retention = Retention { dedupe_ms: 100, ..ENDLESS };
    assert_eq!(tried.offer(&event("acme", "1"), Dedupe::Known), (1, false));
    tried.pass(50);
    assert_eq!(tried.offer(&event("acme", "2"), Dedupe::Within(60)), (2, false));
    tried.pass(49);
    tried.retain(retention);
    assert_eq!(tried.offer(&event("acme", "1"), Dedupe::Known), (1, true));
    tried.pass(1);
    tried.retain(retention);
    assert_eq!(tried.offer(&event("acme", "2"), Dedupe::Within(60)), (2, true));
    assert_eq!(tried.offer(&event("acme", "1"), Dedupe::Known), (3, false));
    // The second is written once more before it goes: its id is as old as that.
    tried.pass(20);
    assert_eq!(tried.offer(&event("acme", "2"), Dedupe::Within(60)), (4, false));
    tried.pass(99);
    tried.retain(retention);
    assert_eq!(tried.offer(&event("acme", "2"), Dedupe::Known), (4, true));
    assert_eq!(tried.offer(&event("acme", "1"), Dedupe::Known), (5, false));
    assert_eq!(tried.sequences(), [1, 2, 3, 4, 5], "no event has gone");
}
