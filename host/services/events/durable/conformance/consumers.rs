//! Where consumers begin, stand, and end.

use super::{super::log::ConsumerReport, *};

pub(in super::super) fn events_30_new_begins_with_what_comes<B: Bed>() {
    let tried = Tried::<B>::new();
    assert_eq!(tried.join(&consumer("a", "", "early"), Start::New).floor, 0);
    tried.fill(3);
    let position = tried.join(&audit(), Start::New);
    assert_eq!(position, Position { consumer: position.consumer, floor: 3, ..Position::default() });
    tried.clear();
    assert_eq!(tried.join(&consumer("a", "", "late"), Start::New).floor, 3);
    assert_eq!(tried.stands(&consumer("a", "", "early")).floor, 0, "it stays where it began");
}

pub(in super::super) fn events_30_all_begins_with_the_oldest_that_is_there<B: Bed>() {
    let tried = Tried::<B>::new();
    assert_eq!(tried.join(&consumer("a", "", "1"), Start::All).floor, 0);
    tried.fill(3);
    assert_eq!(tried.join(&consumer("a", "", "2"), Start::All).floor, 0);
    tried.pass(10);
    tried.fill(2);
    tried.retain(Retention { age_ms: 10, ..ENDLESS });
    assert_eq!(tried.join(&consumer("a", "", "3"), Start::All).floor, 3);
    tried.clear();
    assert_eq!(tried.join(&consumer("a", "", "4"), Start::All).floor, 5);
}

pub(in super::super) fn events_30_a_sequence_begins_there_or_with_the_oldest_behind<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(3);
    tried.pass(10);
    tried.fill(4);
    tried.retain(Retention { age_ms: 10, ..ENDLESS });
    // The last is one that is still to come.
    for (sequence, floor) in [(0, 3), (1, 3), (3, 3), (4, 3), (5, 4), (7, 6), (8, 7), (20, 19)] {
        let name = consumer("a", "", &sequence.to_string());
        assert_eq!(tried.join(&name, Start::Sequence(sequence)).floor, floor, "from {sequence} on");
    }
}

pub(in super::super) fn events_30_a_time_begins_with_the_first_event_of_then_or_later<B: Bed>() {
    let tried = Tried::<B>::new();
    let floor = |ms: i64| {
        let name = consumer("a", "", &format!("{ms} of {}", tried.log.extent().expect("it answers").first));
        tried.join(&name, Start::Time(START + ms)).floor
    };
    assert_eq!(floor(0), 0, "there is no event");
    for _ in 0..5 {
        tried.fill(2);
        tried.pass(10);
    }
    let cases = [(-START, 0), (-1, 0), (0, 0), (1, 2), (10, 2), (11, 4), (40, 8), (41, 10), (999, 10)];
    for (ms, expected) in cases {
        assert_eq!(floor(ms), expected, "from {ms} on");
    }
    tried.retain(Retention { age_ms: 40, ..ENDLESS });
    for (ms, expected) in [(-1, 4), (0, 4), (20, 4), (21, 6), (40, 8), (41, 10)] {
        assert_eq!(floor(ms), expected, "from {ms} on, without the oldest");
    }
    tried.clear();
    assert_eq!(floor(0), 10);
}

pub(in super::super) fn events_30_a_time_is_found_where_the_clock_was_set<B: Bed>() {
    let tried = Tried::<B>::new();
    for at in [0, 50, 20, 10, 60, 30, 90, 5] {
        tried.clock.set_wall(START + at);
        tried.fill(1);
    }
    let floors = |word: &str| {
        [0, 1, 50, 51, 60, 61, 90, 91]
            .map(|ms| tried.join(&consumer("a", word, &ms.to_string()), Start::Time(START + ms)).floor)
    };
    assert_eq!(floors("all"), [0, 1, 1, 4, 4, 6, 6, 8]);
    // The two that are oldest go, and with them the latest time of the next ones.
    let kept = tried.all()[2..].iter().map(|one| super::super::log::bytes_of(&one.event)).sum();
    assert_eq!(tried.retain(Retention { bytes: kept, ..ENDLESS }).0, 2);
    assert_eq!(floors("some"), [2, 2, 4, 4, 4, 6, 6, 8]);
}

pub(in super::super) fn events_42_a_position_is_there_after_a_restart_and_no_start_changes_it<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(9);
    let made = tried.join(&audit(), Start::Sequence(3));
    assert_eq!(made.floor, 2);
    let settlement = Settlement {
        floor: 4,
        settled: vec![7, 6],
        retries: vec![retry(9, 2), retry(5, 1)],
        dead: vec![dead(8)],
    };
    tried.settle(made.consumer, &settlement);
    let expected = Position {
        consumer: made.consumer,
        floor: 4,
        settled: vec![6, 7, 8],
        retries: vec![retry(5, 1), retry(9, 2)],
    };
    assert_eq!(tried.stands(&audit()), expected);
    let tried = tried.restart();
    for start in [Start::New, Start::All, Start::Sequence(1), Start::Time(0)] {
        assert_eq!(tried.join(&audit(), start), expected, "{start:?}");
    }
    // Nor does it go with the events.
    tried.clear();
    assert_eq!(tried.stands(&audit()), expected);
}

pub(in super::super) fn a_higher_floor_forgets_what_was_known_below_and_none_is_ever_lower<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(9);
    let consumer = tried.join(&audit(), Start::All).consumer;
    let settlement = |floor: u64, settled: &[u64], retries: &[u64]| Settlement {
        floor,
        settled: settled.into(),
        retries: retries.iter().map(|sequence| retry(*sequence, 1)).collect(),
        dead: Vec::new(),
    };
    let stands = |floor: u64, settled: &[u64], retries: &[u64]| {
        let Settlement { settled, retries, .. } = settlement(floor, settled, retries);
        assert_eq!(tried.stands(&audit()), Position { consumer, floor, settled, retries });
    };
    tried.settle(consumer, &settlement(0, &[2, 4, 6], &[3, 5, 7]));
    stands(0, &[2, 4, 6], &[3, 5, 7]);
    tried.settle(consumer, &settlement(4, &[1], &[]));
    stands(4, &[6], &[5, 7]);
    // What is known only of what lies below changes nothing.
    tried.settle(consumer, &settlement(2, &[3], &[4]));
    stands(4, &[6], &[5, 7]);
    tried.settle(consumer, &settlement(5, &[5, 8], &[5, 9]));
    stands(5, &[6, 8], &[7, 9]);
    tried.settle(consumer, &settlement(9, &[], &[]));
    stands(9, &[], &[]);
}

pub(in super::super) fn an_event_is_settled_or_comes_again_as_was_said_last<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(3);
    let consumer = tried.join(&audit(), Start::All).consumer;
    let failed = |attempts: u32| Settlement { retries: vec![retry(2, attempts)], ..Settlement::default() };
    let stands = |settled: &[u64], retries: &[Retry]| {
        let position = tried.stands(&audit());
        assert_eq!((&*position.settled, &*position.retries), (settled, retries));
    };
    tried.settle(consumer, &failed(1));
    stands(&[], &[retry(2, 1)]);
    let again = Retry { sequence: 2, attempts: 7, due_ms: i64::MAX, reason: "é".repeat(512).into() };
    tried.settle(consumer, &Settlement { retries: vec![again.clone()], ..Settlement::default() });
    stands(&[], &[again]);
    for _ in 0..2 {
        tried.settle(consumer, &Settlement { settled: vec![2, 2], ..Settlement::default() });
        stands(&[2], &[]);
    }
    tried.settle(consumer, &failed(3));
    stands(&[], &[retry(2, 3)]);
    tried.bury(consumer, &[2]);
    stands(&[2], &[]);
    tried.settle(consumer, &Settlement::default());
    stands(&[2], &[]);
}

pub(in super::super) fn a_consumer_that_is_not_there_is_not_found_and_nothing_happens<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(3);
    let gone = tried.join(&audit(), Start::All).consumer;
    tried.log.forget(&Of::default()).expect("the log answers");
    let settlement =
        Settlement { floor: 1, settled: vec![2], retries: vec![retry(2, 1)], dead: vec![dead(3)] };
    for number in [gone, gone + 1, 0, u64::MAX] {
        assert_eq!(kind(tried.log.settle(number, &settlement)), Some(ErrorKind::NotFound), "{number}");
    }
    let next = tried.join(&audit(), Start::All);
    assert_eq!(next, Position { consumer: next.consumer, ..Position::default() });
    assert_eq!(tried.letters(), []);
}

pub(in super::super) fn a_consumer_is_known_by_its_whole_name<B: Bed>() {
    let tried = Tried::<B>::new();
    let names = [
        consumer("a", "", "b"),
        consumer("a", "b", ""),
        consumer("ab", "", ""),
        consumer("a", "b", "b"),
        consumer("A", "", "b"),
        consumer("a", "", "B"),
        consumer("a", "", "%"),
    ];
    let numbers: Vec<u64> = names.iter().map(|name| tried.join(name, Start::All).consumer).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    tried.settle(numbers[3], &Settlement { floor: 7, ..Settlement::default() });
    for (name, number) in names.iter().zip(&numbers) {
        let position = tried.stands(name);
        assert_eq!((position.consumer, position.floor), (*number, if *number == numbers[3] { 7 } else { 0 }));
    }
}

/// The names, and each way to ask for some of them with the ones that it finds.
const NAMES: [[&str; 3]; 5] = [
    ["shop", "", "all"],
    ["shop", "acme", "all"],
    ["shop", "acme", "new"],
    ["till", "acme", "all"],
    ["till", "", "x"],
];
type Asked = ([Option<&'static str>; 3], &'static [usize]);
pub(super) const ASKED: [Asked; 10] = [
    ([None, None, None], &[0, 1, 2, 3, 4]),
    ([Some("shop"), None, None], &[0, 1, 2]),
    ([None, Some("acme"), None], &[1, 2, 3]),
    ([None, Some(""), None], &[0, 4]),
    ([None, None, Some("all")], &[0, 1, 3]),
    ([Some("shop"), Some("acme"), None], &[1, 2]),
    ([Some("shop"), Some(""), Some("all")], &[0]),
    ([Some("shop"), None, Some("all")], &[0, 1]),
    ([Some("shop"), Some("zeta"), None], &[]),
    ([Some(""), None, None], &[]),
];

pub(super) fn names() -> Vec<ConsumerName> {
    NAMES.map(|[plugin, tenant, name]| consumer(plugin, tenant, name)).to_vec()
}

pub(super) fn of<'a>([plugin, tenant, name]: [Option<&'a str>; 3]) -> Of<'a> {
    Of { plugin, tenant, name }
}

pub(in super::super) fn consumers_are_listed_by_all_that_is_given<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(9);
    let mut reports = Vec::new();
    for (at, name) in names().into_iter().enumerate() {
        let at = at as u64;
        let consumer = tried.join(&name, Start::All).consumer;
        let settlement = Settlement {
            floor: at,
            settled: (6..6 + at % 3).collect(),
            retries: (8..10 - at % 2).map(|sequence| retry(sequence, 1)).collect(),
            dead: (1..=at).map(dead).collect(),
        };
        tried.settle(consumer, &settlement);
        let (settled, retries, dead) = (at % 3, 2 - at % 2, at);
        reports.push(ConsumerReport { consumer, name, floor: at, settled, retries, dead });
    }
    let tried = tried.restart();
    for (asked, found) in ASKED {
        let expected: Vec<_> = found.iter().map(|at| reports[*at].clone()).collect();
        let told = tried.log.consumers(&of(asked)).expect("the log answers");
        assert_eq!(told, expected, "{asked:?}");
    }
}

pub(in super::super) fn events_42_what_is_forgotten_is_gone_and_the_rest_is_not<B: Bed>() {
    for (asked, found) in ASKED {
        let tried = Tried::<B>::new();
        tried.fill(5);
        for name in names() {
            let consumer = tried.join(&name, Start::All).consumer;
            let settlement =
                Settlement { floor: 1, settled: vec![3], retries: vec![retry(4, 1)], dead: vec![dead(5)] };
            tried.settle(consumer, &settlement);
        }
        let numbers: Vec<u64> = tried.letters().iter().map(|(number, _)| *number).collect();
        assert_eq!(tried.log.forget(&of(asked)).expect("the log answers"), found.len() as u64, "{asked:?}");
        assert_eq!(tried.log.forget(&of(asked)).expect("the log answers"), 0, "{asked:?}");
        let tried = tried.restart();
        let left = tried.letters();
        assert_eq!(left.len(), 5 - found.len(), "{asked:?}");
        for (at, name) in names().iter().enumerate() {
            let position = tried.join(name, Start::Sequence(3));
            if found.contains(&at) {
                let made = Position { consumer: position.consumer, floor: 2, ..Position::default() };
                assert_eq!(position, made, "{name:?} begins anew");
            } else {
                assert_eq!((position.floor, position.settled), (1, vec![3, 5]), "{name:?} {asked:?}");
                assert_eq!(position.retries, [retry(4, 1)]);
            }
        }
        assert_eq!(tried.sequences().len(), 5, "no event is forgotten");
        // Nor do those that are gone come again by their numbers.
        let gone: Vec<u64> =
            numbers.into_iter().filter(|number| !left.iter().any(|one| one.0 == *number)).collect();
        same(&tried.log.replay(&gone).expect("the log answers"), &[]);
        assert_eq!(tried.log.drop_dead(&gone).expect("the log answers"), 0);
    }
}

pub(in super::super) fn no_number_of_a_consumer_is_used_again<B: Bed>() {
    let mut tried = Tried::<B>::new();
    let mut last = 0;
    for round in 0..4 {
        let number = tried.join(&audit(), Start::All).consumer;
        assert!(number > last, "{number} comes after {last}");
        last = number;
        assert_eq!(tried.log.forget(&Of::default()).expect("the log answers"), 1);
        if round % 2 == 0 {
            tried = tried.restart();
        }
    }
}
