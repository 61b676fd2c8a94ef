//! Durable delivery with real threads: many publishers, lanes of their own, handlers that fail and one that hangs.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::mpsc,
    thread,
};

use super::*;
use crate::services::clock::SystemClock;

const EMITTERS: usize = 8;
const EACH: usize = 60;
const KEYS: [&str; 4] = ["", "", "k", "l"];

/// A lane with a thread of its own.
struct Threaded(Mutex<mpsc::Sender<()>>);

impl Turns for Threaded {
    fn ready(&self) -> Result<()> {
        self.0.lock().send(()).map_err(|_| Error::new(ErrorKind::Unavailable, "the lane is gone"))
    }
}

/// What a consumer has seen.
#[derive(Default)]
struct Seen {
    first: Vec<u64>,
    handled: Vec<(u64, String)>,
}

#[test]
fn events_26_eight_publishers_and_random_failures_lose_nothing_and_keep_the_order() {
    let seed = RandomState::new().hash_one(0);
    let (folder, disk) = (tempfile::tempdir().expect("a folder"), Arc::new(Disk::default()));
    let options = DurableOptions {
        log: FakeLog::on(&disk),
        clock: Arc::new(SystemClock::new()),
        running: folder.path().join("running"),
        retention: Retention { age_ms: 1, bytes: 1, dedupe_ms: 1 },
        report: Box::new(|error| panic!("{error}")),
    };
    let events = Arc::new(Events::new(|| NOW));
    let durable = Arc::new(Durable::new(options).expect("it starts"));
    let mut request = request("random");
    (request.backoff, request.max_deliveries) = (Duration::from_millis(1), 1_000);

    let (tell, told) = mpsc::channel();
    let lane = Arc::new(Threaded(Mutex::new(tell)));
    let (release, released) = mpsc::channel::<()>();
    let hangs = DurableRequest { name: consumer_name("", "hangs"), ..request.clone() };
    let (ask, asked) = mpsc::channel();
    let hangs =
        durable.subscribe(&events, hangs, Arc::new(Threaded(Mutex::new(ask)))).expect("it subscribes");
    let hanging = thread::spawn(move || {
        let mut released = Some(released);
        for () in asked {
            hangs.turn(&mut |_| {
                if let Some(released) = released.take() {
                    // Until the test is over.
                    let _ = released.recv();
                }
                None
            });
        }
    });

    let consumer = durable.subscribe(&events, request, lane).expect("it subscribes");
    let (finish, finished) = mpsc::channel();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let running = thread::spawn({
        let seen = Arc::clone(&seen);
        move || {
            let mut random = seed | 1;
            for () in told {
                consumer.turn(&mut |claim| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let mut seen = seen.lock();
                    if claim.attempt == 1 {
                        seen.first.push(claim.sequence);
                    }
                    if random >> 33 & 3 == 0 {
                        return Some(Err(Error::new(ErrorKind::Busy, "no")));
                    }
                    seen.handled.push((claim.sequence, claim.event.key.clone()));
                    if seen.handled.len() == EMITTERS * EACH {
                        finish.send(()).expect("the test waits for it");
                    }
                    Some(Ok(()))
                });
            }
        }
    });
    thread::scope(|scope| {
        for emitter in 0..EMITTERS {
            let (durable, events) = (&durable, &events);
            scope.spawn(move || {
                for at in 0..EACH {
                    let mut draft = Draft::new(Topic::parse("a.b").expect("a topic"), "/s", *b"");
                    draft.key = KEYS[(emitter + at) % KEYS.len()].into();
                    durable.emit(events, None, draft, Duration::ZERO).expect("it is written");
                }
            });
        }
    });
    let all = finished.recv_timeout(Duration::from_secs(120));
    let seen = std::mem::take(&mut *seen.lock());
    assert!(all.is_ok(), "only {} came, seed {seed}", seen.handled.len());
    let distinct: HashSet<u64> = seen.handled.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(distinct.len(), EMITTERS * EACH, "seed {seed}");
    let keyed: HashSet<u64> =
        seen.handled.iter().filter(|(_, key)| !key.is_empty()).map(|(sequence, _)| *sequence).collect();
    let first: Vec<_> = seen.first.iter().filter(|sequence| !keyed.contains(sequence)).collect();
    assert!(first.is_sorted(), "seed {seed}: {first:?}");
    for key in ["k", "l"] {
        let of_key: Vec<_> = seen.handled.iter().filter(|(_, other)| other == key).collect();
        assert!(of_key.is_sorted(), "seed {seed}: {of_key:?}");
    }
    drop(release);
    durable.close();
    drop(durable);
    drop(events);
    // The lanes end when nobody can ask them any more; each thread has the last reference to its own consumer.
    drop((running, hanging));
    assert!(disk.position(2).retries.is_empty() && disk.dead().is_empty());
}
