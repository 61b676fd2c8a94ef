//! SIGINT and SIGTERM: the first asks for a clean end, the second ends the process at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
};

use crate::{exit::Failure, pen};

/// From now on the first signal sets `stopping` and is told.
pub(crate) fn take(stopping: &Arc<AtomicBool>, tell: impl Fn() + Send + 'static) -> Result<(), Failure> {
    begin(Arc::clone(stopping), tell).map_err(|error| {
        Failure::failed(format!(
            "signals cannot be taken: {error}: allow this process more files (ulimit -n)"
        ))
    })
}

fn begin(stopping: Arc<AtomicBool>, tell: impl Fn() + Send + 'static) -> io::Result<()> {
    // A file that reaches the limit of this process (`ulimit -f`) is an error of the write, like a disk that is full, and
    // no death.
    flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
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
            tell();
        }
    })?;
    Ok(())
}
