//! In place of `socket.rs` where there are no Unix sockets: nothing can be connected.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Methods;
use crate::error::{Error, ErrorKind, Result};

/// A connection, of which there are none.
#[derive(Debug)]
pub(super) enum Stream {}

pub(super) fn connect(_: &Path) -> Result<Option<Stream>> {
    Err(no_sockets())
}

fn no_sockets() -> Error {
    Error::new(ErrorKind::Unsupported, "there are no Unix sockets here, so a host cannot be asked")
}

/// The control socket of a running host, of which there are none.
pub(crate) enum Control {}

impl Control {
    /// # Errors
    ///
    /// UNSUPPORTED.
    pub(crate) fn start(
        _: &Path,
        _: &Path,
        _: Arc<dyn Methods>,
        _: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Result<Self> {
        Err(no_sockets())
    }

    pub(crate) fn shut(&self, _: Instant) {
        match *self {}
    }

    pub(crate) fn close(&self, _: Instant) -> Vec<String> {
        match *self {}
    }
}

impl Stream {
    pub(super) fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        match *self {}
    }
}

impl Read for Stream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Read for &Stream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match **self {}
    }
}

impl Write for &Stream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match **self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match **self {}
    }
}
