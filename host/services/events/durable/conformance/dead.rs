//! Dead letters.

use super::{
    consumers::{ASKED, names, of},
    *,
};

pub(in super::super) fn events_28_a_dead_letter_tells_what_died_why_and_when<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(2);
    let written = event("zeta", "third");
    tried.append(std::slice::from_ref(&written));
    let consumer = tried.join(&audit(), Start::All).consumer;
    tried.pass(40);
    let dead = Dead { sequence: 3, attempts: 17, reason: "é".repeat(512).into() };
    tried.settle(consumer, &Settlement { dead: vec![dead.clone()], ..Settlement::default() });
    let letters = tried.log.dead_letters(&Of::default(), 0, 10).expect("the log answers");
    let [letter] = &*letters else { panic!("{letters:?}") };
    assert!(letter.number > 0);
    assert_eq!((&letter.consumer, &*letter.event), (&audit(), &written));
    assert_eq!(
        Dead { sequence: letter.sequence, attempts: letter.attempts, reason: letter.reason.clone() },
        dead
    );
    assert_eq!(letter.died_ms, START + 40);
}

pub(in super::super) fn events_28_dead_letters_are_listed_by_all_that_is_given_and_in_pages<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(6);
    let all = names();
    let consumers: Vec<u64> = all.iter().map(|name| tried.join(name, Start::All).consumer).collect();
    // Each event dies at each, one event after the other.
    for sequence in 1..=6 {
        for consumer in &consumers {
            tried.bury(*consumer, &[sequence]);
        }
    }
    for (asked, found) in ASKED {
        let expected: Vec<(u64, &ConsumerName)> = (1..=6)
            .flat_map(|sequence| found.iter().map(move |at| (sequence, at)))
            .map(|(s, at)| (s, &all[*at]))
            .collect();
        for most in [1, 4, 100] {
            let (mut told, mut after) = (Vec::new(), 0);
            loop {
                let page = tried.log.dead_letters(&of(asked), after, most).expect("the log answers");
                assert!(page.len() <= most);
                let Some(last) = page.last() else { break };
                assert!(page[0].number > after && page.is_sorted_by(|one, next| one.number < next.number));
                after = last.number;
                told.extend(page);
            }
            let told: Vec<_> = told.iter().map(|letter| (letter.sequence, &letter.consumer)).collect();
            assert_eq!(told, expected, "{asked:?}, {most} at once");
        }
    }
    let none = tried.log.dead_letters(&Of::default(), u64::MAX, 5).expect("the log answers");
    assert!(none.is_empty() && tried.log.dead_letters(&Of::default(), 0, 0).expect("it answers").is_empty());
}

pub(in super::super) fn events_28_a_dead_letter_outlives_its_event_and_the_host<B: Bed>() {
    let tried = Tried::<B>::new();
    let written = event("acme", "1");
    tried.append(std::slice::from_ref(&written));
    let consumer = tried.join(&audit(), Start::All).consumer;
    tried.bury(consumer, &[1]);
    tried.settle(consumer, &Settlement { floor: 1, ..Settlement::default() });
    tried.clear();
    let tried = tried.restart();
    let letters = tried.log.dead_letters(&Of::default(), 0, 10).expect("the log answers");
    assert_eq!(letters.len(), 1);
    assert_eq!(*letters[0].event, written);
    let replayed = tried.log.replay(&[letters[0].number]).expect("the log answers");
    assert_eq!(*replayed[0].event, written);
}

pub(in super::super) fn events_28_a_dead_letter_counts_as_settled<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(5);
    let consumer = tried.join(&audit(), Start::All).consumer;
    let retries = vec![retry(4, 9)];
    tried.settle(consumer, &Settlement { retries, ..Settlement::default() });
    // One below the floor that it comes with, and two above.
    let dead = vec![dead(1), dead(4), dead(5)];
    tried.settle(consumer, &Settlement { floor: 2, dead, ..Settlement::default() });
    let position = tried.stands(&audit());
    assert_eq!(position, Position { consumer, floor: 2, settled: vec![4, 5], retries: Vec::new() });
    let sequences: Vec<u64> = tried.letters().iter().map(|(_, sequence)| *sequence).collect();
    assert_eq!(sequences, [1, 4, 5]);
    // Said twice it has died once.
    tried.bury(consumer, &[4, 5]);
    assert_eq!(tried.letters().len(), 3);
}

pub(in super::super) fn events_28_of_an_event_that_is_gone_there_is_no_dead_letter<B: Bed>() {
    let tried = Tried::<B>::new();
    let consumer = tried.join(&audit(), Start::All).consumer;
    tried.fill(2);
    tried.clear();
    tried.fill(1);
    tried.bury(consumer, &[1, 2, 3, 4]);
    assert_eq!(tried.stands(&audit()).settled, [1, 2, 3, 4]);
    let sequences: Vec<u64> = tried.letters().iter().map(|(_, sequence)| *sequence).collect();
    assert_eq!(sequences, [3]);
}

pub(in super::super) fn events_28_what_is_replayed_comes_anew_for_its_consumer_alone<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(4);
    let [one, other] = ["one", "other"].map(|name| tried.join(&consumer("a", "", name), Start::All).consumer);
    tried.bury(one, &[2, 3]);
    tried.bury(other, &[3]);
    let letters = tried.letters();
    tried.pass(60);
    let last = tried.fill(1);
    let numbers = [letters[2].0, letters[0].0];
    let replayed = tried.log.replay(&numbers).expect("the log answers");
    let told: Vec<_> = replayed.iter().map(|new| (new.sequence, new.only, new.logged_ms)).collect();
    assert_eq!(told, [(last + 1, Some(other), START + 60), (last + 2, Some(one), START + 60)]);
    assert_eq!(tried.letters(), letters[1..2], "they are forgotten");
    let page = tried.log.read(last, None, 10).expect("the log answers");
    same(&page.events, &replayed);
    same(&tried.log.read(last, Some("acme"), 10).expect("the log answers").events, &replayed);
    same(&tried.log.get(&[last + 1, last + 2]).expect("the log answers"), &replayed);
    let was = tried.log.get(&[3, 2]).expect("the log answers");
    assert_eq!([&was[1].event, &was[0].event], [&replayed[0].event, &replayed[1].event]);
    // It may die again, and be replayed again.
    tried.bury(one, &[last + 2]);
    let number = tried.letters()[1].0;
    assert!(number > letters[2].0);
    let tried = tried.restart();
    let again = tried.log.replay(&[number]).expect("the log answers");
    assert_eq!((again[0].sequence, again[0].only), (last + 3, Some(one)));
    let extent = tried.log.extent().expect("the log answers");
    assert_eq!((extent.first, extent.last, extent.events), (1, last + 3, last + 3));
    let bytes: u64 = tried.all().iter().map(|one| super::super::log::bytes_of(&one.event)).sum();
    assert_eq!(extent.bytes, bytes, "what is written anew counts");
}

pub(in super::super) fn events_28_to_replay_looks_at_no_id_and_passes_over_what_is_not_there<B: Bed>() {
    let tried = Tried::<B>::new();
    let event = event("acme", "1");
    assert_eq!(tried.offer(&event, Dedupe::Within(1_000)), (1, false));
    let consumer = tried.join(&audit(), Start::All).consumer;
    tried.bury(consumer, &[1]);
    let number = tried.letters()[0].0;
    let replayed = tried.log.replay(&[number + 1, number, 0, number, u64::MAX]).expect("the log answers");
    let told: Vec<_> = replayed.iter().map(|new| (new.sequence, new.only)).collect();
    assert_eq!(told, [(2, Some(consumer))]);
    same(&tried.log.replay(&[number]).expect("the log answers"), &[]);
    same(&tried.log.replay(&[]).expect("the log answers"), &[]);
    assert_eq!(tried.offer(&event, Dedupe::Within(1_000)), (1, true), "the id is that of the first");
}

pub(in super::super) fn events_28_what_is_dropped_is_gone_and_its_number_is_not_used_again<B: Bed>() {
    let tried = Tried::<B>::new();
    tried.fill(6);
    let consumer = tried.join(&audit(), Start::All).consumer;
    tried.bury(consumer, &[1, 2, 3]);
    let letters = tried.letters();
    let numbers: Vec<u64> = letters.iter().map(|(number, _)| *number).collect();
    let drop_dead = |numbers: &[u64]| tried.log.drop_dead(numbers).expect("the log answers");
    assert_eq!(drop_dead(&[numbers[2], 0, numbers[0], numbers[2], u64::MAX]), 2);
    assert_eq!(tried.letters(), letters[1..2]);
    assert_eq!(drop_dead(&[]), 0);
    assert_eq!(drop_dead(&numbers), 1);
    assert_eq!(tried.stands(&audit()).settled, [1, 2, 3], "it does not come again");
    let tried = tried.restart();
    tried.bury(consumer, &[4]);
    assert!(tried.letters()[0].0 > numbers[2]);
}
