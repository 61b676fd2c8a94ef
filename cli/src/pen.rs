//! Writes what the command says to stderr, and what it draws on a terminal, on a thread for each: a reader that takes
//! nothing holds the writer up as long as the command has time, and never keeps it from ending.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a reader may take for a text once the command is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// For stderr.
pub(crate) static STDERR: Pen = Pen::new(|| Box::new(io::stderr()));

/// For a terminal on stdout.
pub(crate) static STDOUT: Pen = Pen::new(|| Box::new(io::stdout()));

/// The command is to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// From now on nobody waits long for a reader.
pub(crate) fn hurry() {
    ENDING.store(true, SeqCst);
    for pen in [&STDERR, &STDOUT] {
        // Under the lock, so that nobody is between a look at the flag and the wait.
        drop(pen.lock());
        pen.changed.notify_all();
    }
}

/// Writes one text after the other, whoever they come from.
pub(crate) struct Pen {
    open: fn() -> Box<dyn Write + Send>,
    ending: &'static AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// There is a thread that writes.
    begun: bool,
    waiting: Vec<u8>,
    /// How many texts were taken, and how many of them are out or have failed.
    taken: u64,
    settled: u64,
    failed: Option<io::ErrorKind>,
    /// The reader had its time.
    given_up: bool,
}

impl Pen {
    const fn new(open: fn() -> Box<dyn Write + Send>) -> Self {
        Self::ended_by(open, &ENDING)
    }

    const fn ended_by(open: fn() -> Box<dyn Write + Send>, ending: &'static AtomicBool) -> Self {
        let state = Mutex::new(State {
            begun: false,
            waiting: Vec::new(),
            taken: 0,
            settled: 0,
            failed: None,
            given_up: false,
        });
        Self { open, ending, state, changed: Condvar::new() }
    }

    /// Writes `text`, and returns when it is out, or when nobody has the time any more to wait for that.
    pub(crate) fn write(&'static self, text: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.given_up {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !state.begun {
            let made = thread::Builder::new().name("pintle-pen".into()).spawn(|| self.write_all());
            if made.is_err() {
                // A system without threads: what is to be said now is likely to be just that.
                return (self.open)().write_all(text);
            }
            state.begun = true;
        }
        state.waiting.extend_from_slice(text);
        state.taken += 1;
        let mine = state.taken;
        self.changed.notify_all();
        let mut deadline = None;
        while state.settled < mine {
            if !self.ending.load(SeqCst) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + LAST_WORDS);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.given_up = true;
                return Err(io::ErrorKind::TimedOut.into());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    /// The thread.
    fn write_all(&self) {
        let mut target = (self.open)();
        let mut text = Vec::new();
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut text, &mut state.waiting);
            let taken = state.taken;
            drop(state);
            let written = target.write_all(&text).and_then(|()| target.flush());
            text.clear();
            state = self.lock();
            state.settled = taken;
            state.failed = written.err().map(|error| error.kind());
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TAKEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    /// A reader that keeps all it gets.
    struct Reader;

    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            TAKEN.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader that takes nothing.
    struct Asleep;

    impl Write for Asleep {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_written_is_out_when_the_writer_goes_on() {
        static NEVER: AtomicBool = AtomicBool::new(false);
        static PEN: Pen = Pen::ended_by(|| Box::new(Reader), &NEVER);
        let mut expected = String::new();
        for number in 0..100 {
            let text = format!("{number}\n");
            PEN.write(text.as_bytes()).unwrap();
            expected.push_str(&text);
            assert_eq!(TAKEN.lock().unwrap().as_slice(), expected.as_bytes());
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_is_not_waited_for_at_the_end() {
        static ENDS: AtomicBool = AtomicBool::new(true);
        static PEN: Pen = Pen::ended_by(|| Box::new(Asleep), &ENDS);
        for _ in 0..1_000 {
            let error = PEN.write(b"unheard").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }
}
