//! Drives the plugins `publisher` and `listener-0000` and so on: a host in which one publishes and the others take.

use std::{path::PathBuf, sync::atomic::AtomicU32, thread, time::Duration};

use pintle::{Host, Settings};
use pintle_test_support::install;

use crate::{source::compiled, swarm::swarm};

/// What the publisher does. The numbers are those of `publisher.c`.
#[derive(Clone, Copy, Default)]
#[repr(u64)]
pub(crate) enum What {
    #[default]
    Emit,
    EmitSync,
    EmitDurable,
    /// Calls the function of the bench.
    Bare,
    /// Subscribes and ends that again; nobody emits such a topic.
    Subscribe,
}

/// A function of the bench that takes a payload of 64 bytes, and what it is to be called with.
#[derive(Clone, Copy)]
pub(crate) struct Bare {
    pub(crate) function: unsafe extern "C" fn(user: *mut (), payload: *const [u8; PAYLOAD]) -> i32,
    /// An address, so that this can be given to threads.
    pub(crate) user: usize,
}

/// Bytes of each payload, as in `publisher.c`.
pub(crate) const PAYLOAD: usize = 64;

/// What it does how often.
#[derive(Clone, Copy, Default)]
pub(crate) struct Work<'a> {
    pub(crate) what: What,
    pub(crate) turns: u64,
    /// From the beginning of one turn to that of the next; zero: one after the other.
    pub(crate) every: Duration,
    /// Behind `plugin.publisher.`; of [`What::Subscribe`] the whole pattern.
    pub(crate) topic: &'a str,
    /// The first bytes of the payload; 0: the time.
    pub(crate) word: u64,
    pub(crate) bare: Option<Bare>,
    /// Becomes 1 when it is to end before its turns are done.
    pub(crate) enough: Option<&'a AtomicU32>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// By the monotonic clock, in nanoseconds.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) turns: u64,
    /// Handlers of `emit_sync` that answered OK.
    pub(crate) handled: u64,
    /// Nanoseconds of processors: of the publisher's thread, and of the whole process meanwhile.
    pub(crate) thread_cpu: u64,
    pub(crate) process_cpu: u64,
}

/// What a listener has counted.
pub(crate) struct Taken {
    pub(crate) count: u64,
    /// Nanoseconds from when each was published until its handler ran: of the first 65,536.
    pub(crate) latencies: Vec<u64>,
}

/// How a listener takes events of the topic `scene`. The numbers are those of `listener.c`.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Behaviour {
    /// Sleeps 100 ms with each.
    Slow = 1,
    /// Waits until a gate opens.
    Hanging,
}

/// Where handlers are held. The layout is that of `listener.c`.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Gate {
    /// How many wait.
    pub(crate) held: AtomicU32,
    pub(crate) open: AtomicU32,
}

/// A host with a publisher and listeners.
pub(crate) struct Plugins {
    pub(crate) host: Host,
    pub(crate) listeners: usize,
    _folder: tempfile::TempDir,
}

impl Plugins {
    pub(crate) fn start(listeners: usize, settings: Settings) -> Self {
        Self::start_with(&[], listeners, settings)
    }

    /// With these libraries beside them.
    pub(crate) fn start_with(others: &[PathBuf], listeners: usize, mut settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the plugins");
        install(&compiled("publisher"), folder.path());
        if listeners > 0 {
            swarm(&compiled("listener"), folder.path(), listeners);
        }
        others.iter().for_each(|library| drop(install(library, folder.path())));
        settings.control.enabled = false;
        settings.log.file = Some(folder.path().join("log"));
        let host = Host::builder().settings(settings).plugins(folder.path()).build();
        let host = host.expect("a host can be made");
        let started = host.start();
        assert!(started.failed.is_empty(), "{:?}", started.failed);
        assert_eq!(started.enabled.len(), 1 + listeners + others.len(), "all of them run");
        Self { host, listeners, _folder: folder }
    }

    /// Has the publisher do it on one thread.
    pub(crate) fn run(&self, work: &Work<'_>) -> Done {
        self.once(work, 1, &AtomicU32::new(0), None)
    }

    /// The same, with how many nanoseconds each turn took.
    pub(crate) fn run_each(&self, work: &Work<'_>) -> (Done, Vec<u64>) {
        let mut each = vec![0; work.turns as usize];
        (self.once(work, 1, &AtomicU32::new(0), Some(&mut each)), each)
    }

    /// On so many threads at once, each for the whole of it: the nanoseconds from when they began until all had ended.
    pub(crate) fn run_on(&self, threads: u64, work: &Work<'_>) -> f64 {
        let gate = AtomicU32::new(0);
        let all: Vec<Done> = thread::scope(|scope| {
            let all: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| self.once(work, threads, &gate, None))).collect();
            all.into_iter().map(|thread| thread.join().expect("it runs")).collect()
        });
        let from = all.iter().map(|done| done.from).min().unwrap_or_default();
        let to = all.iter().map(|done| done.to).max().unwrap_or_default();
        (to - from) as f64
    }

    fn once(&self, work: &Work<'_>, threads: u64, gate: &AtomicU32, each: Option<&mut [u64]>) -> Done {
        let bare = work.bare.map_or([0; 2], |bare| [bare.function as usize, bare.user]);
        let request = words(&[
            work.what as u64,
            work.turns,
            work.every.as_nanos() as u64,
            work.topic.as_ptr().expose_provenance() as u64,
            work.topic.len() as u64,
            work.word,
            bare[0] as u64,
            bare[1] as u64,
            (&raw const *gate).expose_provenance() as u64,
            threads,
            each.map_or(0, |each| each.as_mut_ptr().expose_provenance()) as u64,
            work.enough.map_or(0, |enough| (&raw const *enough).expose_provenance()) as u64,
        ]);
        let minute = Some(Duration::from_secs(60));
        let reply = self.host.call("", "bench.publish", 1, "run", &request, minute);
        let reply = reply.unwrap_or_else(|error| panic!("the publisher runs: {error}"));
        let [from, to, turns, handled, thread_cpu, process_cpu] =
            numbers(&reply).try_into().expect("six numbers");
        assert!(work.enough.is_some() || turns == work.turns, "all turns are done");
        Done { from, to, turns, handled, thread_cpu, process_cpu }
    }

    /// Has the listeners begin anew, with the time of each event or only with their number.
    pub(crate) fn begin(&self, timed: bool) {
        self.begin_first(self.listeners, timed);
    }

    /// The first of them alone.
    pub(crate) fn begin_first(&self, listeners: usize, timed: bool) {
        for number in 0..listeners {
            self.ask(number, if timed { "timed" } else { "untimed" }, &[]);
        }
    }

    /// What each has counted since it began, in which nothing waits any more.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        assert!(self.host.wait_idle(Duration::from_secs(60)), "all events are handled");
        (0..self.listeners).map(|listener| self.taken_by(listener)).collect()
    }

    /// What one has counted, once it is through with what it has.
    pub(crate) fn taken_by(&self, listener: usize) -> Taken {
        let mut numbers = numbers(&self.ask(listener, "taken", &[]));
        let count = numbers.remove(0);
        Taken { count, latencies: numbers }
    }

    /// Asserts that each listener has had as many events, and nobody anything else.
    pub(crate) fn have_taken(&self, each: u64) {
        for (number, taken) in self.taken().iter().enumerate() {
            assert_eq!(taken.count, each, "listener {number} has had each event once");
        }
    }

    /// Has a listener subscribe to these patterns.
    pub(crate) fn subscribe(&self, listener: usize, patterns: &[String]) {
        let lines: String = patterns.iter().flat_map(|pattern| [pattern, "\n"]).collect();
        self.ask(listener, "subscribe", lines.as_bytes());
    }

    /// Has a listener take events of the topic `scene` that way from now on; `gate` outlives the host's calls.
    pub(crate) fn behave(&self, listener: usize, behaviour: Behaviour, gate: &Gate) {
        let request = words(&[behaviour as u64, (&raw const *gate).expose_provenance() as u64]);
        self.ask(listener, "behave", &request);
    }

    /// Where the function lies that a listener counts with: it takes the address of a payload.
    pub(crate) fn function(&self, listener: usize) -> usize {
        numbers(&self.ask(listener, "function", &[]))[0] as usize
    }

    fn ask(&self, listener: usize, method: &str, request: &[u8]) -> Vec<u8> {
        let service = format!("bench.listener-{listener:04}");
        let reply = self.host.call("", &service, 1, method, request, None);
        reply.unwrap_or_else(|error| panic!("{service} answers {method}: {error}"))
    }
}

fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().copied().flat_map(u64::to_ne_bytes).collect()
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|number| u64::from_ne_bytes(*number)).collect()
}
