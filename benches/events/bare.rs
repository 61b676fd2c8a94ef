//! What the bus is measured beside: bounded crossbeam channels, with threads that call the listeners' own functions.
//!
//! The publisher's loop is that of the plugin `publisher`, which calls [`Bare::function`] in place of `emit`; the functions are
//! those that the listeners' handlers consist of, in the same ten libraries. So what differs is what lies in between: a channel
//! and a loop over ten pointers, without topics, subscriptions, queues for each, deadlines, counts, or anybody who may fail.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use libc::{CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec};

use crate::publisher::{Bare, Done, PAYLOAD, Plugins, What, Work};

type Payload = [u8; PAYLOAD];

/// As many as wait in the queue of a subscription by default.
const CAPACITY: usize = 1_024;

/// What a listener counts with: takes an event, at once.
#[derive(Clone, Copy)]
pub(crate) struct Function(unsafe extern "C" fn(*const Payload));

impl Function {
    /// Of all listeners; they must outlive it.
    pub(crate) fn all_of(plugins: &Plugins) -> Vec<Self> {
        let function = |number| {
            let address = std::ptr::with_exposed_provenance::<()>(plugins.function(number));
            // SAFETY: the listener says where a function of this type lies, and its library stays open as long as the host runs.
            Self(unsafe { std::mem::transmute::<*const (), unsafe extern "C" fn(*const Payload)>(address) })
        };
        (0..plugins.listeners).map(function).collect()
    }

    fn call(self, payload: &Payload) {
        // SAFETY: it reads the payload, and only this thread calls it as long as no event is under way.
        unsafe { (self.0)(payload) }
    }
}

/// What a baseline's round took beside the publisher's loop.
#[derive(Clone, Copy, Default)]
pub(crate) struct Served {
    pub(crate) published: Done,
    /// Nanoseconds of processors, of the threads that took the events.
    pub(crate) cpu: u64,
}

/// One channel, and one thread that takes from it and calls all functions one after the other. Returns when it has called them for
/// all events.
pub(crate) fn dispatched(plugins: &Plugins, functions: &[Function], work: &Work<'_>) -> Served {
    thread::scope(|scope| {
        let (sender, receiver) = bounded(CAPACITY);
        let turns = work.turns;
        let dispatcher = scope.spawn(move || takes(turns, &receiver, functions));
        let published = plugins.run(&bare(work, send, &sender));
        Served { published, cpu: dispatcher.join().expect("it takes them all") }
    })
}

/// A channel and a thread for each function.
pub(crate) fn threaded(plugins: &Plugins, functions: &[Function], work: &Work<'_>) -> Served {
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = functions.iter().map(|_| bounded(CAPACITY)).unzip();
        let turns = work.turns;
        let threads: Vec<_> = functions
            .iter()
            .zip(receivers)
            .map(|(function, receiver)| {
                scope.spawn(move || takes(turns, &receiver, std::slice::from_ref(function)))
            })
            .collect();
        let published = plugins.run(&bare(work, send_all, &senders));
        let cpu = threads.into_iter().map(|thread| thread.join().expect("it takes them all")).sum();
        Served { published, cpu }
    })
}

/// Threads that each answer what they are sent, after they have called their function.
pub(crate) fn round_trips(plugins: &Plugins, functions: &[Function], work: &Work<'_>) -> Done {
    thread::scope(|scope| {
        let mut ends = Ends::default();
        for function in functions {
            let (sender, requests) = bounded::<Payload>(CAPACITY);
            let (answers, receiver) = bounded::<()>(CAPACITY);
            ends.senders.push(sender);
            ends.receivers.push(receiver);
            scope.spawn(move || {
                for payload in &requests {
                    function.call(&payload);
                    answers.send(()).expect("the publisher waits for it");
                }
            });
        }
        // The threads end when the other ends of their channels are dropped.
        plugins.run(&bare(work, round_trip, &ends))
    })
}

#[derive(Default)]
struct Ends {
    senders: Vec<Sender<Payload>>,
    receivers: Vec<Receiver<()>>,
}

/// The same loop with another function in it.
fn bare<'a, T>(
    work: &Work<'a>,
    function: unsafe extern "C" fn(*mut (), *const Payload) -> i32,
    user: &T,
) -> Work<'a> {
    let bare = Bare { function, user: (&raw const *user).expose_provenance() };
    Work { what: What::Bare, bare: Some(bare), ..*work }
}

fn takes(turns: u64, receiver: &Receiver<Payload>, functions: &[Function]) -> u64 {
    for _ in 0..turns {
        let payload = receiver.recv().expect("the publisher has as many");
        functions.iter().for_each(|function| function.call(&payload));
    }
    cpu_of_this_thread()
}

unsafe extern "C" fn send(user: *mut (), payload: *const Payload) -> i32 {
    // SAFETY: `dispatched` passes its sender and waits for the publisher, whose payload it is.
    let (sender, payload) = unsafe { (&*user.cast::<Sender<Payload>>(), *payload) };
    sender.send(payload).expect("somebody takes it");
    0
}

unsafe extern "C" fn send_all(user: *mut (), payload: *const Payload) -> i32 {
    // SAFETY: `threaded` passes its senders and waits for the publisher, whose payload it is.
    let (senders, payload) = unsafe { (&*user.cast::<Vec<Sender<Payload>>>(), *payload) };
    senders.iter().for_each(|sender| sender.send(payload).expect("somebody takes it"));
    0
}

unsafe extern "C" fn round_trip(user: *mut (), payload: *const Payload) -> i32 {
    // SAFETY: `round_trips` passes its ends and waits for the publisher, whose payload it is.
    let (ends, payload) = unsafe { (&*user.cast::<Ends>(), *payload) };
    ends.senders.iter().for_each(|sender| sender.send(payload).expect("somebody takes it"));
    ends.receivers.iter().for_each(|receiver| receiver.recv().expect("it answers"));
    0
}

/// As precise as the run time in `/proc/self/task/*/schedstat`, which is where the kernel has it from.
fn cpu_of_this_thread() -> u64 {
    let mut at = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is ours.
    assert_eq!(unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut at) }, 0, "Linux has that clock");
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}
