//! Dead letters in pages and in steps, of a log that has nothing else, and what is told of consumers.

use parking_lot::Mutex;

use super::*;
use crate::services::events::{
    Topic,
    durable::log::{Appended, Cleared, Logged, NewEvent, Page, Position, Retention, Settlement, Start},
};

/// A log that has dead letters alone, and notes how many were asked for at once.
#[derive(Default)]
struct Graveyard {
    dead: Mutex<Vec<log::DeadLetter>>,
    asked: Mutex<Vec<usize>>,
}

impl Graveyard {
    /// With letters of these numbers, with events of so many bytes.
    fn with(numbers: impl IntoIterator<Item = u64>, bytes: usize) -> Self {
        let draft = Draft::new(Topic::parse("a.b").expect("it is one"), "/s", vec![0; bytes]);
        let event = Arc::new(Event {
            id: "7".into(),
            source: draft.source,
            topic: draft.topic,
            subject: draft.subject,
            content_type: draft.content_type,
            key: draft.key,
            tenant: "acme".into(),
            time_ms: 1,
            depth: 0,
            data: draft.data,
            extensions: Vec::new(),
        });
        let letter = |number| log::DeadLetter {
            number,
            consumer: name(if number % 2 == 0 { "even" } else { "odd" }),
            event: Arc::clone(&event),
            sequence: number + 100,
            attempts: 10,
            reason: "no room".into(),
            died_ms: 5,
        };
        Self { dead: Mutex::new(numbers.into_iter().map(letter).collect()), ..Self::default() }
    }

    fn numbers(&self) -> Vec<u64> {
        self.dead.lock().iter().map(|letter| letter.number).collect()
    }
}

fn name(plugin: &str) -> ConsumerName {
    ConsumerName { plugin: plugin.into(), tenant: "".into(), name: "n".into() }
}

impl EventLog for Graveyard {
    fn dead_letters(&self, of: &Of<'_>, after: u64, most: usize) -> Result<Vec<log::DeadLetter>> {
        self.asked.lock().push(most);
        let dead = self.dead.lock();
        let wanted = dead.iter().filter(|letter| {
            letter.number > after && of.plugin.is_none_or(|plugin| *letter.consumer.plugin == *plugin)
        });
        Ok(wanted.take(most).cloned().collect())
    }

    fn drop_dead(&self, numbers: &[u64]) -> Result<u64> {
        self.asked.lock().push(numbers.len());
        let mut dead = self.dead.lock();
        let before = dead.len();
        dead.retain(|letter| !numbers.contains(&letter.number));
        Ok((before - dead.len()) as u64)
    }

    fn append(&self, _: &[NewEvent]) -> Result<Vec<Appended>> {
        unreachable!()
    }

    fn read(&self, _: u64, _: Option<&str>, _: usize) -> Result<Page> {
        unreachable!()
    }

    fn get(&self, _: &[u64]) -> Result<Vec<Logged>> {
        unreachable!()
    }

    fn extent(&self) -> Result<Extent> {
        unreachable!()
    }

    fn join(&self, _: &ConsumerName, _: Start) -> Result<Position> {
        unreachable!()
    }

    fn settle(&self, _: u64, _: &Settlement) -> Result<()> {
        unreachable!()
    }

    fn consumers(&self, _: &Of<'_>) -> Result<Vec<ConsumerReport>> {
        unreachable!()
    }

    fn replay(&self, _: &[u64]) -> Result<Vec<Logged>> {
        unreachable!()
    }

    fn retain(&self, _: &Retention) -> Result<Cleared> {
        unreachable!()
    }

    fn forget(&self, _: &Of<'_>) -> Result<u64> {
        unreachable!()
    }

    fn close(&self) {}
}

/// The numbers of all pages, and how many there were.
fn pages(log: &Graveyard, most: usize) -> (Vec<u64>, usize) {
    let (mut all, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = page(log, &Of::default(), after, most).expect("it answers");
        assert!(page.letters.len() <= most);
        all.extend(page.letters.iter().map(|letter| letter.number));
        pages += 1;
        match page.next {
            Some(next) => after = next,
            None => return (all, pages),
        }
    }
}

#[test]
fn pages_have_each_dead_letter_once_and_the_last_one_says_so() {
    for (there, most, expected) in
        [(0, 5, 1), (4, 5, 1), (5, 5, 1), (6, 5, 2), (10, 5, 2), (11, 5, 3), (100, 33, 4), (100, 100, 1)]
    {
        let log = Graveyard::with((1..=there).map(|number| number * 3), 0);
        assert_eq!(pages(&log, most), (log.numbers(), expected), "{there} in pages of {most}");
        assert!(log.asked.lock().iter().all(|most| *most <= READ), "{:?}", log.asked.lock());
    }
}

#[test]
fn a_page_ends_where_its_events_are_large_but_not_without_one() {
    let log = Graveyard::with(1..=10, 1 << 20);
    assert_eq!(pages(&log, 100), (log.numbers(), 3), "four in each");
    let log = Graveyard::with(1..=2, PAGE_BYTES + 1);
    assert_eq!(pages(&log, 100), (log.numbers(), 2));
}

#[test]
fn all_of_a_plugin_are_found_before_anything_comes_of_them() {
    let log = Graveyard::with(1..=3 * READ as u64, 0);
    let of = DeadLettersOf { plugin: Some("even".into()), ..DeadLettersOf::default() };
    let found = numbers(&log, &of.borrowed()).expect("it answers");
    assert!(found.len() == 3 * READ / 2 && found.iter().all(|number| number % 2 == 0), "{found:?}");
    assert_eq!(numbers(&log, &Of::default()).expect("it answers"), log.numbers());
}

#[test]
fn many_are_taken_in_steps_and_counted_together() {
    let log = Graveyard::with(1..=200, 0);
    let wanted: Vec<u64> = (101..=300).collect();
    assert_eq!(in_steps(&wanted, |numbers| log.drop_dead(numbers)).expect("it answers"), 100);
    assert_eq!(*log.asked.lock(), [STEP, STEP, STEP, 200 - 3 * STEP]);
    assert_eq!(log.numbers(), (1..=100).collect::<Vec<u64>>());
    assert_eq!(in_steps(&[], |_| unreachable!()).expect("nothing is asked"), 0);
}

#[test]
fn a_dead_letter_is_shown_with_the_subscription_and_the_event() {
    let log = Graveyard::with([4], 3);
    let page = page(&log, &Of::default(), 0, 10).expect("it answers");
    let [letter] = &page.letters[..] else { panic!("{page:?}") };
    assert_eq!((letter.number, &*letter.plugin, &*letter.tenant, &*letter.name), (4, "even", "", "n"));
    assert_eq!((letter.sequence, letter.attempts, &*letter.reason, letter.died_ms), (104, 10, "no room", 5));
    assert_eq!((&*letter.event.tenant, letter.event.data.len()), ("acme", 3));
}

#[test]
fn how_far_a_consumer_is_behind_is_what_the_log_still_has_and_it_has_not_settled() {
    for (floor, settled, first, last, behind) in [
        (0, 0, 1, 0, 0),
        (0, 0, 1, 7, 7),
        (7, 0, 1, 7, 0),
        (4, 2, 1, 7, 1),
        // The log has forgotten what it had not settled.
        (4, 0, 7, 7, 1),
        (4, 0, 8, 7, 0),
        (0, 9, 1, 7, 0),
    ] {
        let report = ConsumerReport { consumer: 1, name: name("p"), floor, settled, retries: 3, dead: 4 };
        let stats = ConsumerStats::of(report, first, last, None);
        assert_eq!(stats.behind, behind, "{floor} {settled} {first} {last}");
        assert_eq!((&*stats.plugin, stats.floor, stats.retries, stats.dead), ("p", floor, 3, 4));
    }
}
