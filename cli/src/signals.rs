//! SIGINT and SIGTERM: the first asks for a clean end, the second ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
};

use crate::{exit::Failure, pen};

/// How long to work before looking whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// Signals that come so soon after the first are the same: `timeout` sends its own to the command and to its group.
const SAME: Duration = Duration::from_millis(200);

/// How long a host may take for an answer before whoever waits is told.
const SLOW: Duration = Duration::from_secs(5);

/// From now on the first signal sets `stopping` and is told.
pub(crate) fn take(stopping: &Arc<AtomicBool>, tell: impl Fn() + Send + 'static) -> Result<(), Failure> {
    begin(Arc::clone(stopping), tell).map_err(|error| {
        Failure::failed(format!(
            "signals cannot be taken: {error}: allow this process more files (ulimit -n)"
        ))
    })
}

/// Does what waits for a host, on a thread of its own, for a host that was halted never answers. None: a signal came first.
/// `slow` is told, once, how long it has taken.
pub(crate) fn unless_stopping<T: Send + 'static>(
    stopping: &AtomicBool,
    slow: impl FnOnce(Duration),
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Failure> {
    let (give, taken) = mpsc::channel();
    let made = thread::Builder::new().name("pintle-ask".into()).spawn(move || {
        // Nobody takes it any more where a signal has come.
        let _ = give.send(work());
    });
    made.map_err(|error| Failure::failed(format!("no thread can be made: {error}")))?;
    let (begun, mut slow) = (Instant::now(), Some(slow));
    loop {
        match taken.recv_timeout(LOOK) {
            Ok(done) => return Ok(Some(done)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::failed(
                    "what asks the host has broken down: this is a mistake in pintle",
                ));
            }
            Err(RecvTimeoutError::Timeout) if stopping.load(SeqCst) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if begun.elapsed() >= SLOW => {
                slow.take().into_iter().for_each(|slow| slow(SLOW));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn begin(stopping: Arc<AtomicBool>, tell: impl Fn() + Send + 'static) -> io::Result<()> {
    // A file that reaches the limit of this process (`ulimit -f`) is an error of the write, like a disk that is full, and
    // no death.
    flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("pintle-signals".into()).spawn(move || {
        let mut asked: Option<Instant> = None;
        for signal in signals.forever() {
            match asked {
                // Without destructors: whoever signals twice does not want to wait for one that hangs.
                Some(first) if first.elapsed() >= SAME => signal_hook::low_level::exit(128 + signal),
                Some(_) => continue,
                None => asked = Some(Instant::now()),
            }
            stopping.store(true, SeqCst);
            pen::hurry();
            tell();
        }
    })?;
    Ok(())
}
