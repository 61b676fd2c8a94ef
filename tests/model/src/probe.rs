//! What the models are made of: lanes that watch what runs in them, libraries that know when they are closed, gates.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use shuttle::{sync as gates, thread};

use crate::{
    Answer,
    error::Result,
    lanes::{Lane, LaneOptions, Pending, Pool, PoolOptions, Report, Retired, Run, Task, Turn},
};

/// A deadline that never comes.
pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A pool, and what went wrong in it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) pool: Arc<Pool>,
    wrong: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<Vec<u64>>>,
}

struct Told(Arc<Mutex<Vec<String>>>);

impl Report for Told {
    fn stuck(&self, _: &Arc<Lane>, _: &str, _: Duration) {}
    fn resumed(&self, _: &Arc<Lane>, _: &str) {}
    fn failed(&self, task: &str, panic: &str) {
        self.0.lock().expect("no panic").push(format!("{task}: {panic}"));
    }
}

impl World {
    pub(crate) fn new(workers: usize) -> Self {
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let pool = Pool::unwatched(
            PoolOptions { workers, most: 16, spare: Duration::ZERO },
            Arc::new(Told(wrong.clone())),
        );
        Self { pool, wrong, closed: Arc::default() }
    }

    pub(crate) fn lane(&self, name: &str, concurrency: u32) -> Watched {
        let deadline = Duration::from_secs(30);
        let options = LaneOptions { name: name.into(), concurrency, capacity: 100, deadline };
        let lane = Lane::new(&self.pool, options);
        Watched {
            lane,
            counts: Arc::default(),
            wrong: self.wrong.clone(),
            most: concurrency,
            notes: Arc::default(),
        }
    }

    /// Waits, in the call that this thread runs, for what `answer` gives on another lane.
    pub(crate) fn ask(&self, lane: &Watched, answer: impl Fn() -> Answer + Send + Sync + 'static) -> Answer {
        let (pending, promise) = Pending::pair();
        let notes = lane.notes.clone();
        let body = move |run: &mut Run<'_>| {
            note(&notes, run);
            let _ = promise.finish(answer());
        };
        let task = Arc::new(Body(body));
        self.pool
            .wait_for(&lane.lane, Turn::Queued, None, &pending, far(), || lane.lane.push(task))
            .and_then(|answer| answer)
    }

    /// Asks two lanes, in the call that this thread runs, and waits for both of their answers: 1 and 2.
    pub(crate) fn ask_both(&self, lanes: [&Watched; 2]) -> Result<Vec<Answer>> {
        let asked = lanes.map(|lane| self.pool.await_answer::<u32>(lane.lane(), 0));
        let mut waits = Vec::new();
        let asked = asked.into_iter().collect::<Result<Vec<_>>>()?;
        for (number, (lane, (wait, promise))) in (1..).zip(lanes.into_iter().zip(asked)) {
            lane.run(move || {
                if promise.start(0) {
                    let _ = promise.finish(number);
                }
            });
            waits.push(wait);
        }
        waits[0].let_another_in();
        Ok(waits.iter().map(|wait| wait.wait(far())).collect())
    }

    /// The generation is over: its library is closed when that is safe.
    pub(crate) fn retire(&self, generation: u64) {
        let closed = self.closed.clone();
        let close = Box::new(move || closed.lock().expect("no panic").push(generation));
        self.pool.retire(Retired { generation, join: true, close });
    }

    pub(crate) fn is_closed(&self, generation: u64) -> bool {
        self.closed.lock().expect("no panic").contains(&generation)
    }

    /// This thread runs code of a library that leaves a destructor on it.
    pub(crate) fn touch(&self, generation: u64) {
        let left = Destructor { generation, closed: self.closed.clone(), wrong: self.wrong.clone() };
        LEFT.with(|all| all.borrow_mut().push(left));
    }

    /// A gate, and who opens it.
    pub(crate) fn gate(&self) -> (Gate, Gate) {
        let gate = Gate(Arc::new((gates::Mutex::new(false), gates::Condvar::new())));
        (gate.clone(), gate)
    }

    /// Ends all workers and looks at what went wrong on the way.
    pub(crate) fn shut_down(&self) {
        assert_eq!(self.pool.shut_down(far()), Vec::<String>::new());
        assert_eq!(self.pool.stats().workers, 0);
        let wrong = self.wrong.lock().expect("no panic");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

shuttle::thread_local! {
    static LEFT: RefCell<Vec<Destructor>> = RefCell::new(Vec::new());
}

/// What a library leaves behind on a thread; it must run while the library is there.
struct Destructor {
    generation: u64,
    closed: Arc<Mutex<Vec<u64>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Drop for Destructor {
    fn drop(&mut self) {
        // It takes its time.
        thread::yield_now();
        if self.closed.lock().expect("no panic").contains(&self.generation) {
            let text = format!("library {} was closed under a thread", self.generation);
            self.wrong.lock().expect("no panic").push(text);
        }
    }
}

/// Something that a call can hang at.
#[derive(Clone)]
pub(crate) struct Gate(Arc<(gates::Mutex<bool>, gates::Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let mut open = self.0.0.lock().expect("no panic");
        while !*open {
            open = self.0.1.wait(open).expect("no panic");
        }
    }
}

/// A lane, and what was seen in it.
#[derive(Clone)]
pub(crate) struct Watched {
    lane: Arc<Lane>,
    counts: Arc<Counts>,
    wrong: Arc<Mutex<Vec<String>>>,
    most: u32,
    /// Generations whose code runs here.
    notes: Arc<Mutex<Vec<u64>>>,
}

#[derive(Default)]
struct Counts {
    running: AtomicU32,
    alone: AtomicU32,
    ran: AtomicU32,
    order: Mutex<Vec<(u32, u32)>>,
}

impl Watched {
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn ran(&self) -> u32 {
        self.counts.ran.load(SeqCst)
    }

    pub(crate) fn push(&self, pusher: u32, number: u32) {
        let me = self.clone();
        self.lane.push_always(Arc::new(Body(move |_: &mut Run<'_>| {
            me.counts.order.lock().expect("no panic").push((pusher, number));
            me.watch(false);
        })));
    }

    pub(crate) fn push_alone(&self) {
        let me = self.clone();
        let body = move |_: &mut Run<'_>| me.watch(true);
        self.lane.push_alone(Arc::new(Body(body))).expect("the lane is open");
    }

    pub(crate) fn run(&self, body: impl Fn() + Send + Sync + 'static) {
        let notes = self.notes.clone();
        self.lane.push_always(Arc::new(Body(move |run: &mut Run<'_>| {
            note(&notes, run);
            body();
        })));
    }

    /// What runs in this lane, and what answers questions to it, is code of a generation.
    pub(crate) fn noting(&self, generation: u64) {
        self.notes.lock().expect("no panic").push(generation);
    }

    /// Runs code of a library, which leaves a destructor on its thread.
    pub(crate) fn load_library(
        &self,
        generation: u64,
        world: &World,
        seen: impl Fn(u32) + Send + Sync + 'static,
    ) {
        let world = world.clone();
        self.lane.push_always(Arc::new(Body(move |run: &mut Run<'_>| {
            run.note(generation, 1);
            world.touch(generation);
            seen(run.worker());
            thread::yield_now();
        })));
    }

    /// What one pusher pushed ran in that order.
    pub(crate) fn assert_order(&self) {
        let order = self.counts.order.lock().expect("no panic");
        for pusher in 0..2 {
            let numbers: Vec<_> = order.iter().filter(|(who, _)| *who == pusher).map(|(_, at)| *at).collect();
            assert!(numbers.is_sorted(), "{order:?}");
        }
    }

    fn watch(&self, alone: bool) {
        let running = self.counts.running.fetch_add(1, SeqCst) + 1;
        let others_alone = self.counts.alone.fetch_add(u32::from(alone), SeqCst);
        thread::yield_now();
        if running > self.most || others_alone > 0 || (alone && running > 1) {
            let text = format!("{running} run, {others_alone} of them alone");
            self.wrong.lock().expect("no panic").push(text);
        }
        self.counts.alone.fetch_sub(u32::from(alone), SeqCst);
        self.counts.running.fetch_sub(1, SeqCst);
        self.counts.ran.fetch_add(1, SeqCst);
    }
}

fn note(notes: &Mutex<Vec<u64>>, run: &mut Run<'_>) {
    for generation in notes.lock().expect("no panic").iter() {
        run.note(*generation, 1);
    }
}

/// A task that is a closure.
struct Body<F>(F);

impl<F: Fn(&mut Run<'_>) + Send + Sync> Task for Body<F> {
    fn run(&self, run: &mut Run<'_>) {
        (self.0)(run);
    }

    fn describe(&self) -> String {
        "a task of the model".into()
    }
}
