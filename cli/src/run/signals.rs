//! SIGINT and SIGTERM: the first asks for a clean stop, the second ends the process at once. SIGXFSZ: nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::Sender,
    },
    thread,
};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};

use super::News;
use crate::pen;

/// From now on the first signal sets `stopping` and is told.
pub(super) fn take(stopping: Arc<AtomicBool>, news: Sender<News>) -> io::Result<()> {
    // A file that reaches the limit of this process (`ulimit -f`) is an error of the write, like a disk that is full, and
    // no death.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("pintle-signals".into()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            if asked {
                // Without destructors: whoever signals twice does not want to wait for one that hangs.
                signal_hook::low_level::exit(128 + signal);
            }
            asked = true;
            stopping.store(true, SeqCst);
            pen::hurry();
            // Nobody listens any more when the command is about to end anyway.
            let _ = news.send(News::Signal);
        }
    })?;
    Ok(())
}
