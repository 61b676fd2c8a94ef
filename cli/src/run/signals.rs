//! SIGINT and SIGTERM: the first asks for a clean stop, the second ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::Sender,
    },
    thread,
};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::News;

/// From now on the first signal sets `stopping` and is told.
pub(super) fn take(stopping: Arc<AtomicBool>, news: Sender<News>) -> io::Result<()> {
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
            // Nobody listens any more when the command is about to end anyway.
            let _ = news.send(News::Signal);
        }
    })?;
    Ok(())
}
