//! Durable delivery against a plain model of it, with whatever may come in between: failures, late answers, ends of subscriptions, of
//! processes in good order and in the middle of a handler, lanes and disks that fail.

use std::hash::{BuildHasher as _, RandomState};

use super::*;

const STEPS: usize = 250;
const MOST: u32 = 4;

/// What the model knows of an event.
#[derive(Debug)]
struct Known {
    /// None: it is not for the consumer.
    key: Option<&'static str>,
    attempts: u32,
    fate: Fate,
    /// An explicit delivery that is not answered yet, and its deadline.
    in_flight: Option<(u64, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Acknowledged,
    Dead,
}

struct World {
    bench: Bench,
    sub: Sub,
    explicit: bool,
    known: Vec<Known>,
    /// Attempts that the process did not survive.
    crashes: Vec<(u64, u32)>,
    random: u64,
    deliveries: usize,
    ended: Vec<u64>,
}

/// What a handler does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Do {
    Accept,
    Fail,
    Decline,
    Dawdle,
    Die,
    End,
    EndAndFail,
}

impl World {
    fn new(seed: u64, explicit: bool) -> Self {
        let bench = Bench::new();
        let sub = subscribe(&bench, explicit);
        let (known, crashes, ended) = Default::default();
        Self { bench, sub, explicit, known, crashes, random: seed | 1, deliveries: 0, ended }
    }

    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % below
    }

    fn full(&self) -> bool {
        self.bench.disk.full.load(Ordering::SeqCst)
    }

    fn step(&mut self) {
        match self.random(24) {
            0..5 => self.emit(),
            5..12 => self.turn(),
            12..14 => self.answer(true),
            14 => self.answer(false),
            15..18 => {
                let ms = [30, 500, 1_500, 20_000][self.random(4)];
                self.advance(Duration::from_millis(ms));
            }
            18 => {
                let full = self.random(3) == 0;
                self.bench.disk.full.store(full, Ordering::SeqCst);
            }
            19 => {
                self.unsubscribe();
                if !self.full() {
                    self.bench.clock.settle();
                    self.advance(Duration::from_secs(6));
                }
                self.sub = subscribe(&self.bench, self.explicit);
            }
            20 => {
                self.give_back();
                let whole = !self.full();
                self.bench.restart();
                self.compare(whole);
                self.sub = subscribe(&self.bench, self.explicit);
            }
            21 => {
                let refuses = self.random(2) == 0;
                self.sub.lane.refuses.store(refuses, Ordering::SeqCst);
            }
            22 => {
                let live = self.random(2) == 0;
                self.sub.consumer.set_live(live);
                self.bench.clock.settle();
            }
            _ => self.late(),
        }
        self.expire();
    }

    fn emit(&mut self) {
        let key = [Some(""), Some(""), Some("k"), Some("l"), None][self.random(5)];
        let topic = if key.is_some() { "a.b" } else { "b" };
        let mut draft = Draft::new(Topic::parse(topic).expect("a topic"), "/s", *b"");
        draft.key = key.unwrap_or_default().into();
        let emitted = self.bench.durable().emit(&self.bench.events, None, draft, Duration::ZERO);
        assert_eq!(emitted.is_err(), self.full());
        if emitted.is_ok() {
            self.known.push(Known { key, attempts: 0, fate: Fate::Open, in_flight: None });
        }
    }

    fn turn(&mut self) {
        if !self.sub.asked() {
            return;
        }
        let consumer = Arc::clone(&self.sub.consumer);
        let (mut dead, mut over) = (false, false);
        consumer.turn(&mut |claim| {
            if dead {
                return None;
            }
            assert!(!over, "nothing begins after the end");
            self.begins(claim);
            let what = match self.random(20) {
                0..10 => Do::Accept,
                10..15 => Do::Fail,
                15 => Do::Decline,
                16 => Do::Dawdle,
                17 => Do::Die,
                18 => Do::End,
                _ => Do::EndAndFail,
            };
            let at = claim.sequence as usize - 1;
            match what {
                Do::Accept if self.explicit => {
                    self.known[at].in_flight = Some((claim.delivery, claim.deadline))
                }
                Do::Accept => self.known[at].fate = Fate::Acknowledged,
                Do::Fail => self.failed(at),
                Do::Decline => self.known[at].attempts -= 1,
                Do::Dawdle => {
                    self.known[at].in_flight = Some((0, claim.deadline));
                    self.advance(ACK);
                }
                Do::Die => {
                    self.bench.dies();
                    self.crashes.push((claim.sequence, claim.attempt));
                    dead = true;
                }
                Do::End | Do::EndAndFail => {
                    self.unsubscribe();
                    over = true;
                    match what {
                        Do::End if !self.explicit => self.known[at].fate = Fate::Acknowledged,
                        _ => self.known[at].attempts -= 1,
                    }
                }
            }
            match what {
                Do::Accept | Do::Dawdle | Do::End => Some(Ok(())),
                Do::Fail | Do::EndAndFail => Some(Err(Error::new(ErrorKind::Busy, "no"))),
                Do::Decline | Do::Die => None,
            }
        });
        if dead {
            self.give_back();
            self.bench.rise();
            self.compare(false);
        }
        if dead || over {
            self.bench.clock.settle();
            self.sub = subscribe(&self.bench, self.explicit);
        }
    }

    /// Whether this event may be delivered now, as this attempt.
    fn begins(&mut self, claim: &Claim) {
        self.deliveries += 1;
        let at = claim.sequence as usize - 1;
        self.expire();
        let known = &self.known[at];
        assert_eq!(known.fate, Fate::Open, "{claim:?} is done with: {known:?}");
        assert_eq!(known.in_flight, None, "{claim:?} is under way");
        assert_eq!(claim.attempt, known.attempts + 1, "{claim:?}: {known:?}");
        let key = known.key.expect("it is for the consumer");
        let before = self.known[..at].iter().find(|other| other.key == Some(key) && other.fate == Fate::Open);
        assert!(key.is_empty() || before.is_none(), "{claim:?} passes {before:?}");
        self.known[at].attempts += 1;
    }

    fn failed(&mut self, at: usize) {
        let known = &mut self.known[at];
        known.in_flight = None;
        if known.attempts >= MOST {
            known.fate = Fate::Dead;
        }
    }

    fn advance(&mut self, by: Duration) {
        self.bench.clock.advance(by);
        self.expire();
    }

    fn expire(&mut self) {
        let now = self.bench.clock.monotonic();
        for at in 0..self.known.len() {
            if self.known[at].in_flight.is_some_and(|(_, deadline)| deadline <= now) {
                self.failed(at);
            }
        }
    }

    fn answer(&mut self, ack: bool) {
        let under_way: Vec<_> =
            (0..self.known.len()).filter(|at| self.known[*at].in_flight.is_some()).collect();
        if under_way.is_empty() {
            return;
        }
        let at = under_way[self.random(under_way.len())];
        let (delivery, _) = self.known[at].in_flight.expect("it was found so");
        let durable = self.bench.durable();
        if ack {
            durable.ack(OWNER, delivery).expect("it is under way");
            self.known[at].fate = Fate::Acknowledged;
            self.known[at].in_flight = None;
        } else {
            let delay = [None, Some(Duration::from_secs(5))][delivery as usize % 2];
            durable.nack(OWNER, delivery, delay, "not now").expect("it is under way");
            self.failed(at);
        }
        self.ended.push(delivery);
    }

    /// Answers what is over.
    fn late(&mut self) {
        if let Some(delivery) = self.ended.pop() {
            let late = self.bench.durable().ack(OWNER, delivery).expect_err("it is over");
            assert_eq!(late.kind(), ErrorKind::StaleHandle);
        }
    }

    fn unsubscribe(&mut self) {
        self.give_back();
        self.bench.durable().unsubscribe(&self.sub.consumer);
    }

    /// What is under way is as if it had not been delivered.
    fn give_back(&mut self) {
        for known in &mut self.known {
            if let Some((delivery, _)) = known.in_flight.take() {
                known.attempts -= 1;
                self.ended.push(delivery);
            }
        }
        // Of a process that is no more a delivery may be another's.
        self.ended.clear();
    }

    /// The process is another one, and knows what is on the disk. `whole`: all could be noted before.
    fn compare(&mut self, whole: bool) {
        for (at, known) in self.known.iter_mut().enumerate() {
            let sequence = at as u64 + 1;
            if known.key.is_none() {
                continue;
            }
            let settled = self.bench.disk.is_settled(1, sequence);
            assert!(!settled || known.fate != Fate::Open, "{sequence} is lost: {known:?}");
            if settled {
                continue;
            }
            let crashes = self.crashes.iter().filter(|crash| crash.0 == sequence).map(|crash| crash.1);
            let attempts = self.bench.disk.attempts(1, sequence).max(crashes.max().unwrap_or(0));
            if whole {
                let crashed = self.crashes.iter().any(|crash| crash.0 == sequence);
                assert!(known.fate == Fate::Open || crashed, "{sequence} is not noted: {known:?}");
                assert_eq!(known.attempts, attempts, "{sequence}: {known:?}");
            }
            assert!(attempts <= known.attempts, "{sequence} was not tried {attempts} times: {known:?}");
            known.attempts = attempts;
            known.fate = if attempts >= MOST { Fate::Dead } else { Fate::Open };
        }
    }

    /// Everything works again: everything is done with in the end.
    fn finish(&mut self) {
        self.bench.disk.full.store(false, Ordering::SeqCst);
        self.sub.lane.refuses.store(false, Ordering::SeqCst);
        self.sub.consumer.set_live(true);
        for _ in 0..60 {
            self.advance(Duration::from_secs(10));
            let consumer = Arc::clone(&self.sub.consumer);
            while self.sub.asked() {
                consumer.turn(&mut |claim| {
                    self.begins(claim);
                    if self.explicit {
                        self.bench.durable().ack(OWNER, claim.delivery).expect("it is under way");
                    }
                    self.known[claim.sequence as usize - 1].fate = Fate::Acknowledged;
                    Some(Ok(()))
                });
            }
        }
        let open = self.known.iter().position(|known| known.key.is_some() && known.fate == Fate::Open);
        assert_eq!(open, None, "{:?}", open.map(|at| &self.known[at]));
        self.advance(Duration::from_secs(130));
        let position = self.bench.disk.position(1);
        assert_eq!(position, Position { consumer: 1, floor: self.known.len() as u64, ..Position::default() });
        let mut dead: Vec<_> =
            self.bench.disk.dead().iter().map(|dead| (dead.sequence, dead.attempts)).collect();
        dead.sort_unstable();
        let expected: Vec<_> = (1..)
            .zip(&self.known)
            .filter(|(_, known)| known.fate == Fate::Dead)
            .map(|(sequence, known)| (sequence, known.attempts))
            .collect();
        assert_eq!(dead, expected, "each is a dead letter once");
    }
}

fn subscribe(bench: &Bench, explicit: bool) -> Sub {
    // A full disk does not keep a known consumer from coming back.
    bench.subscribe(|request| {
        (request.explicit, request.max_deliveries, request.in_flight) = (explicit, MOST, 3);
    })
}

/// Runs the model with a seed, and says which one if it fails.
fn runs(seed: u64, explicit: bool) -> usize {
    let mut world = World::new(seed, explicit);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step();
        }
        world.finish();
        world.deliveries
    }));
    run.unwrap_or_else(|panic| {
        eprintln!("seed {seed:#x}, explicit: {explicit}");
        std::panic::resume_unwind(panic)
    })
}

#[test]
fn events_26_27_29_33_35_random_lives_agree_with_a_plain_model() {
    let hasher = RandomState::new();
    let mut deliveries = 0;
    for round in 0..20_u64 {
        deliveries += runs(hasher.hash_one(round), round % 2 == 0);
    }
    assert!(deliveries > 200, "the test has lost its bite: {deliveries} deliveries");
}
