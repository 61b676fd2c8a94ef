//! The host that `kill.rs` kills: several threads publish durable events, four subscriptions get them, and all of it is noted.

use std::{
    collections::HashMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use pintle::{
    Error, ErrorKind, Host,
    events::{Draft, DurableOptions, Start, Topic},
};

use super::rig::{ask_of, host};

/// What to do: `load 0`, until it is killed; `stop TURNS`; `drain 0`. Then the round, the seed and the folder.
pub(crate) const TASK: &str = "PINTLE_KILLED_EVENTS";

/// The file in the folder that has what was published and delivered, a line each; a dot ends each that is whole.
///
/// `O DATA .`: it was published. `B NAME DATA SEQUENCE ATTEMPT KEY .`: its handler begins; `E NAME DATA SEQUENCE ATTEMPT ANSWER .`: and
/// ends, `ok`, `fail`, or `wait`: it is acknowledged later. `A NAME DATA SEQUENCE ATTEMPT ANSWER .`: it is about to be acknowledged,
/// `ok`, or that has failed, `fail`. `F NAME FLOOR .`: everything up to there was settled.
pub(crate) const NOTES: &str = "notes";

/// A subscription: its name, what its topics begin with, and how often it tries.
pub(crate) struct Follows {
    pub(crate) name: &'static str,
    pub(crate) topics: &'static str,
    pub(crate) most: u32,
}

/// Those of the application, and then those of the plugin (`kill.rs` has its settings).
pub(crate) static ALL: [Follows; 4] = [
    Follows { name: "all", topics: "", most: 5 },
    Follows { name: "few", topics: "orders.", most: 3 },
    Follows { name: "acks", topics: "plugin.", most: 4 },
    Follows { name: "auto", topics: "orders.", most: 3 },
];

/// Numbers that are random enough, and the same each time: xorshift64*.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 and up, below `below`.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }
}

/// Takes notes, each in one piece.
struct Notes(File);

impl Notes {
    fn say(&self, line: &str) {
        (&self.0).write_all(format!("{line} .\n").as_bytes()).expect("the notes can be written");
    }
}

/// What runs in a process of its own.
#[test]
#[ignore = "part of the other"]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let words: Vec<&str> = task.splitn(5, ' ').collect();
    let [what, turns, round, seed, folder] = words[..] else { panic!("the task is {task:?}") };
    let [turns, round, seed] = [turns, round, seed].map(|word| word.parse().expect("it is a number"));
    let folder = Path::new(folder);
    let file =
        OpenOptions::new().append(true).create(true).open(folder.join(NOTES)).expect("it can be opened");
    let notes = Arc::new(Notes(file));
    // The last one may have been killed in the middle of a line.
    (&notes.0).write_all(b"\n").expect("the notes can be written");

    let toml = fs::read_to_string(folder.join("toml")).expect("the other test wrote it");
    let host = host(folder, &toml);
    let started = host.start();
    assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
    for command in ask_of(&host, "postman", "", "loaded") {
        assert!(command == "0" || command.is_empty(), "{command}");
    }
    let (tell, told) = mpsc::channel();
    for follows in &ALL[..2] {
        follow(&host, follows, &notes, tell.clone());
    }

    let (over, published) = (AtomicBool::new(false), AtomicU64::new(0));
    let (host, notes) = (&host, &*notes);
    thread::scope(|scope| {
        let (over, published) = (&over, &published);
        scope.spawn(move || beside(host, notes, over));
        if what == "drain" {
            drain(host, notes, round, &told);
            over.store(true, Relaxed);
            return;
        }
        let turns = if what == "stop" { turns } else { u64::MAX };
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|thread| {
                scope.spawn(move || {
                    let dice = Dice::new(seed ^ (round * PUBLISHERS + thread) << 8);
                    let mut publisher = Publisher { host, thread, round, dice, turn: 0 };
                    while published.fetch_add(1, Relaxed) < turns {
                        publisher.publish(notes);
                    }
                })
            })
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().expect("it publishes"));
        over.store(true, Relaxed);
    });
    assert!(host.stop().left.is_empty());
}

/// The application's subscription: its handler does what the plugin's does.
fn follow(host: &Host, follows: &'static Follows, notes: &Arc<Notes>, tell: mpsc::Sender<(String, u64)>) {
    let Follows { name, topics, most } = follows;
    let pattern = if topics.is_empty() { "*.>".to_owned() } else { format!("{topics}>") };
    let options = DurableOptions {
        start: Start::All,
        ack: Duration::from_secs(300),
        backoff: Duration::from_millis(1),
        max_deliveries: *most,
        ..DurableOptions::default()
    };
    let (notes, tell) = (Arc::clone(notes), Mutex::new(tell));
    let handler = move |delivery: pintle::events::Delivery<'_>| {
        let data = String::from_utf8_lossy(&delivery.event.data).into_owned();
        let (sequence, attempt) = (delivery.sequence, delivery.attempt);
        notes.say(&format!("B {name} {data} {sequence} {attempt} {}", delivery.event.key));
        if data.starts_with("slow") {
            thread::sleep(Duration::from_millis(2));
        }
        let fails = data.starts_with("fail") || (data.starts_with("once") && attempt == 1);
        notes.say(&format!("E {name} {data} {sequence} {attempt} {}", if fails { "fail" } else { "ok" }));
        if *name == "all" && data.starts_with("end") {
            // Nobody listens but at the end.
            let _ = tell.lock().expect("no panic").send((data, sequence));
        }
        if fails { Err(Error::new(ErrorKind::Unavailable, "as it was told")) } else { Ok(()) }
    };
    host.subscribe_durable(name, &pattern, options, handler).expect("nobody else has the name");
}

/// Acknowledges what the plugin was given, and notes what is settled, as an operator sees it.
fn beside(host: &Host, notes: &Notes, over: &AtomicBool) {
    let mut floors = HashMap::new();
    while !over.load(Relaxed) {
        // What is acknowledged too late comes again.
        ask_of(host, "postman", "", "answer");
        for consumer in host.event_log().expect("the disk is there").consumers {
            // Where nothing happens there is no note, and the other process sees that.
            if floors.insert(consumer.name.clone(), consumer.floor) != Some(consumer.floor) {
                notes.say(&format!("F {} {}", consumer.name, consumer.floor));
            }
        }
        thread::sleep(Duration::from_millis(3));
    }
}

/// Three publish as the application, one through a plugin, two through batches of its storage.
const PUBLISHERS: u64 = 6;

struct Publisher<'a> {
    host: &'a Host,
    thread: u64,
    round: u64,
    dice: Dice,
    turn: u64,
}

impl Publisher<'_> {
    fn publish(&mut self, notes: &Notes) {
        self.turn += 1;
        let (thread, tenant) = (self.thread, if self.thread.is_multiple_of(2) { "" } else { "acme" });
        match thread {
            0..3 => {
                let (data, key) = (self.data(), self.key(tenant));
                emit(self.host, tenant, &data, &key);
                notes.say(&format!("O {data}"));
            }
            3 => {
                let (data, key) = (self.data(), self.key(tenant));
                assert_eq!(ask_of(self.host, "postman", tenant, &format!("emit a {data} {key}")), ["0"]);
                notes.say(&format!("O {data}"));
            }
            _ => {
                let data: Vec<_> =
                    (0..1 + self.dice.roll(3)).map(|at| format!("{}-{at}", self.data())).collect();
                batches(self.host, tenant, &data);
                data.iter().for_each(|data| notes.say(&format!("O {data}")));
            }
        }
    }

    /// Begins with what becomes of it.
    fn data(&mut self) -> String {
        let kind = match self.dice.roll(100) {
            0..2 => "fail",
            2..10 => "once",
            10..16 => "slow",
            16..21 => "nack",
            21..35 => "late",
            _ => "work",
        };
        let batch = if self.thread > 3 { "-batch" } else { "" };
        format!("{kind}{batch}-{:05}-{}-{:06}", self.round, self.thread, self.turn)
    }

    /// None, its own, or one that others of its tenant have, too.
    fn key(&mut self, tenant: &str) -> String {
        match self.dice.roll(4) {
            0 => "%-".to_owned(),
            1 => format!("of-all-{tenant}"),
            _ => format!("of-{}", self.thread),
        }
    }
}

fn emit(host: &Host, tenant: &str, data: &str, key: &str) {
    let topic = Topic::parse("orders.new").expect("it is a topic");
    let key = if key == "%-" { "" } else { key };
    let event = Draft { key: key.into(), ..Draft::new(topic, "/shop", data.as_bytes()) };
    host.emit_durable(tenant, event, Duration::ZERO).expect("the disk is there");
}

/// Each an item that was not there, and an event.
fn batches(host: &Host, tenant: &str, data: &[String]) {
    let commands: Vec<_> = data.iter().map(|data| format!("batch {data} 0 v a {data}")).collect();
    for answer in ask_of(host, "second", tenant, &commands.join("\n")) {
        assert_eq!(answer, "0");
    }
}

/// Waits until everything that was ever published is settled.
fn drain(host: &Host, notes: &Notes, round: u64, told: &mpsc::Receiver<(String, u64)>) {
    // The outbox is emptied in its order; what is published directly goes past it.
    let wait_for = |wanted: &str| loop {
        // Without a limit: the other process has one.
        let (data, sequence) = told.recv().expect("the subscription lasts");
        if data == wanted {
            return sequence;
        }
    };
    let last = format!("end-batch-{round}");
    batches(host, "", std::slice::from_ref(&last));
    notes.say(&format!("O {last}"));
    wait_for(&last);
    let order = format!("end-order-{round}");
    emit(host, "", &order, "");
    notes.say(&format!("O {order}"));
    let orders = wait_for(&order);
    let plugin = format!("end-plugin-{round}");
    assert_eq!(ask_of(host, "postman", "", &format!("emit a {plugin}")), ["0"]);
    notes.say(&format!("O {plugin}"));
    let plugins = wait_for(&plugin);
    let settled = || {
        let log = host.event_log().expect("the disk is there");
        ALL.iter().all(|follows| {
            let wanted = if follows.topics == "orders." { orders } else { plugins };
            log.consumers.iter().any(|consumer| consumer.name == follows.name && consumer.floor >= wanted)
        })
    };
    while !settled() {
        thread::sleep(Duration::from_millis(5));
    }
}
