//! Lines on stdout, written by a thread of their own: a reader that is slow or gone holds up no plugin.
//!
//! What waits is bounded. The input waits long before the bound (`backlog`); only what plugins emit of themselves
//! can reach it, and is then dropped and counted.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use super::News;

/// How many bytes may wait for the reader.
const MOST_BYTES: usize = 64 << 20;

/// The lines that are to be written.
pub(super) struct Output {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<u8>,
    /// How many bytes the thread is writing.
    writing: usize,
    dropped: u64,
    closing: bool,
    done: bool,
    broken: bool,
}

impl Output {
    /// Begins to write to stdout.
    pub(super) fn start(news: Sender<News>) -> io::Result<Arc<Self>> {
        Self::to(io::stdout(), news)
    }

    fn to(target: impl Write + Send + 'static, news: Sender<News>) -> io::Result<Arc<Self>> {
        let output = Arc::new(Self { queue: Mutex::default(), changed: Condvar::new() });
        let me = Arc::clone(&output);
        thread::Builder::new().name("pintle-stdout".into()).spawn(move || me.write(target, &news))?;
        Ok(output)
    }

    /// Takes a line, without its end. Never waits.
    pub(super) fn line(&self, line: &str) {
        let mut queue = self.lock();
        if queue.broken {
            return;
        }
        if queue.waiting.len() + queue.writing + line.len() + 1 > MOST_BYTES {
            queue.dropped += 1;
            return;
        }
        queue.waiting.extend_from_slice(line.as_bytes());
        queue.waiting.push(b'\n');
        drop(queue);
        self.changed.notify_all();
    }

    /// How many bytes the reader has not taken yet.
    pub(super) fn backlog(&self) -> usize {
        let queue = self.lock();
        queue.waiting.len() + queue.writing
    }

    /// How many lines found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// No more lines will come. Waits until all are written, at most `patience`; tells whether they are.
    pub(super) fn finish(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut queue = self.lock();
        queue.closing = true;
        self.changed.notify_all();
        while !queue.done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The thread: writes all that waits in one go, so that single lines come at once and many come fast.
    fn write(&self, mut target: impl Write, news: &Sender<News>) {
        let mut lines = Vec::new();
        loop {
            let mut queue = self.lock();
            queue.writing = 0;
            while queue.waiting.is_empty() && !queue.closing {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            lines.clear();
            mem::swap(&mut lines, &mut queue.waiting);
            queue.writing = lines.len();
            if lines.is_empty() {
                break;
            }
            drop(queue);
            if let Err(error) = target.write_all(&lines).and_then(|()| target.flush()) {
                let mut queue = self.lock();
                queue.broken = true;
                (queue.waiting, queue.writing) = (Vec::new(), 0);
                drop(queue);
                // Nobody listens any more when the command is about to end anyway.
                let _ = news.send(News::OutputGone(error));
                break;
            }
        }
        let mut queue = self.lock();
        queue.done = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes something only when it is let.
    struct Slow {
        let_go: mpsc::Receiver<()>,
        taken: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.let_go.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _ = self.taken.send(bytes.to_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Arc<Output>, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>, mpsc::Receiver<News>) {
        let (let_one_go, let_go) = mpsc::channel();
        let (taken, takes) = mpsc::channel();
        let (news, told) = mpsc::channel();
        (Output::to(Slow { let_go, taken }, news).unwrap(), let_one_go, takes, told)
    }

    #[test]
    fn a_slow_reader_holds_nobody_up_and_gets_all_lines_in_order() {
        let (output, let_one_go, takes, _) = slow();
        for number in 0..1_000 {
            output.line(&number.to_string());
        }
        assert_eq!(output.backlog(), 3_890);
        assert!(!output.finish(Duration::ZERO), "nothing has been taken");
        // More often than it writes; it may have ended before the last.
        let _ = (0..1_000).try_for_each(|_| let_one_go.send(()));
        assert!(output.finish(Duration::from_secs(60)));
        let expected: String = (0..1_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(takes.try_iter().flatten().collect()).unwrap(), expected);
        assert_eq!((output.backlog(), output.dropped()), (0, 0));
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (output, _nobody_goes, _takes, _told) = slow();
        let line = "x".repeat((1 << 20) - 1);
        for _ in 0..66 {
            output.line(&line);
        }
        assert_eq!((output.backlog(), output.dropped()), (MOST_BYTES, 2));
    }

    #[test]
    fn a_reader_that_is_gone_is_told_and_the_rest_forgotten() {
        let (output, let_one_go, _, told) = slow();
        drop(let_one_go);
        output.line("lost");
        let Ok(News::OutputGone(error)) = told.recv() else { panic!("something else was told") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        output.line("lost too");
        assert_eq!(output.backlog(), 0);
        assert!(output.finish(Duration::from_secs(60)));
    }
}
