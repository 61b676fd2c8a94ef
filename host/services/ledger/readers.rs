//! The connections that are read with: a few, made on demand, each with its statements prepared.

use std::{ops::Deref, path::Path, sync::Arc, thread};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::{closed, fault::failed, open};
use crate::error::Result;

/// More than this read one after the other. A read takes microseconds, and each connection has a cache of its own.
const MOST: usize = 8;

pub(in crate::services) struct Readers {
    path: Arc<Path>,
    pool: Mutex<Pool>,
    given_back: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// How many are lent out.
    lent: usize,
    closed: bool,
}

impl Readers {
    pub(in crate::services) fn new(path: &Arc<Path>) -> Self {
        Self { path: Arc::clone(path), pool: Mutex::default(), given_back: Condvar::new() }
    }

    /// Lends a connection; waits for one if all are lent.
    pub(in crate::services) fn take(&self) -> Result<Reader<'_>> {
        let mut pool = self.pool.lock();
        while !pool.closed && pool.lent == MOST {
            self.given_back.wait(&mut pool);
        }
        if pool.closed {
            return Err(closed());
        }
        pool.lent += 1;
        // From here on its place is given back, whatever happens.
        let mut reader = Reader { connection: pool.idle.pop(), readers: self };
        drop(pool);
        if reader.connection.is_none() {
            let made = open::reader(&self.path).map_err(|error| failed(&self.path, &error))?;
            reader.connection = Some(made);
        }
        Ok(reader)
    }

    /// Lends no more.
    pub(in crate::services) fn refuse(&self) {
        self.pool.lock().closed = true;
        self.given_back.notify_all();
    }

    /// After `refuse`: returns when every connection is back and closed.
    pub(in crate::services) fn finish(&self) {
        let mut pool = self.pool.lock();
        while pool.lent > 0 {
            self.given_back.wait(&mut pool);
        }
        pool.idle.clear();
    }
}

/// A connection that is lent.
pub(in crate::services) struct Reader<'a> {
    /// None until it is made, and after it went back.
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("`take` fills it, and only `drop` empties it")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool.lock();
        let connection = self.connection.take();
        // What a panic has left of a connection is not worth a guess.
        if pool.closed || thread::panicking() {
            drop(connection);
        } else {
            pool.idle.extend(connection);
        }
        pool.lent -= 1;
        if pool.closed {
            self.readers.given_back.notify_all();
        } else {
            self.readers.given_back.notify_one();
        }
    }
}
