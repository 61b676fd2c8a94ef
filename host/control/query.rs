//! A query whose rows are asked for page by page: it runs on a thread of its own, and waits there until its page is taken.
//!
//! Never more than two pages of it are in memory, and what it reads is one state of the database to the end. It ends with its
//! connection, at its deadline, or when the host stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    host::{
        database::{PluginDatabase, SqlDone},
        sql::{SqlRow, SqlValue},
    },
};

/// A page is full with so many bytes of values.
const PAGE_BYTES: usize = 512 << 10;

/// The most bytes of values that a row may have: escaped as JSON does it at worst, it and a page fit into an answer.
const ROW_BYTES: usize = 2 << 20;

/// Rows on their way.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Value>,
    bytes: usize,
    limit: usize,
}

/// A query that runs. Dropped, it ends.
pub(super) struct Query {
    pub(super) number: u64,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    deadline: Instant,
}

#[derive(Default)]
struct State {
    /// Full, and there are more rows.
    page: Option<Page>,
    /// The last one, and what became of the query.
    ended: Option<Result<(Page, SqlDone)>>,
    /// Nobody wants more.
    left: bool,
}

impl Page {
    pub(super) fn of(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES
    }

    pub(super) fn add(&mut self, row: &SqlRow<'_>) -> Result<()> {
        let bytes = row.bytes();
        if bytes > ROW_BYTES {
            let text = format!("a row has {bytes} bytes, at most {ROW_BYTES} can be told");
            return Err(Error::new(ErrorKind::TooLarge, text)
                .mend("ask for fewer columns, or for parts with substr()"));
        }
        self.bytes += bytes;
        let values = (0..row.len()).filter_map(|at| row.value(at));
        self.rows.push(values.map(|value| value.to_json()).collect());
        Ok(())
    }
}

impl Query {
    /// Begins a query, with pages of `limit` rows.
    pub(super) fn begin(
        database: PluginDatabase,
        sql: String,
        values: Vec<SqlValue>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let deadline = Instant::now() + timeout;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), deadline });
        let gives = Arc::clone(&shared);
        let run = move || {
            // Whoever waits is told also where this thread panics.
            let guard = Ends(&gives);
            let ended = gives.run(&database, &sql, &values, timeout, limit);
            gives.end(ended);
            drop(guard);
        };
        thread::Builder::new().name("pintle-query".into()).spawn(run).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("a query's thread cannot be started: {error}"))
        })?;
        Ok(Self { number: LAST.fetch_add(1, Relaxed) + 1, shared })
    }

    /// The next page; with what the query did, if it is the last.
    pub(super) fn next(&self) -> Result<(Page, Option<SqlDone>)> {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(page) = state.page.take() {
                self.shared.changed.notify_all();
                return Ok((page, None));
            }
            if let Some(ended) = state.ended.take() {
                return ended.map(|(page, done)| (page, Some(done)));
            }
            self.shared.changed.wait(&mut state);
        }
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.shared.state.lock().left = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn run(
        &self,
        database: &PluginDatabase,
        sql: &str,
        values: &[SqlValue],
        timeout: Duration,
        limit: usize,
    ) -> Result<(Page, SqlDone)> {
        let page = std::cell::RefCell::new(Page::of(limit));
        let columns = |names: &[String]| {
            page.borrow_mut().columns = names.to_vec();
            Ok(())
        };
        let done = database.query_named(sql, values, Some(timeout), columns, |row| {
            let mut page = page.borrow_mut();
            if page.is_full() {
                let next = Page { columns: page.columns.clone(), ..Page::of(limit) };
                self.put(std::mem::replace(&mut page, next))?;
            }
            page.add(row)
        })?;
        Ok((page.into_inner(), done))
    }

    /// Waits until the page before is taken, and puts the next one in its place.
    fn put(&self, page: Page) -> Result<()> {
        let mut state = self.state.lock();
        while state.page.is_some() && !state.left {
            if self.changed.wait_until(&mut state, self.deadline).timed_out() && state.page.is_some() {
                let text = "the rows of the query were not asked for in its time, and it was ended";
                return Err(Error::new(ErrorKind::Timeout, text).mend("give it more time"));
            }
        }
        if state.left {
            return Err(Error::new(ErrorKind::Cancelled, "nobody wants the rows of the query any more"));
        }
        state.page = Some(page);
        self.changed.notify_all();
        Ok(())
    }

    fn end(&self, ended: Result<(Page, SqlDone)>) {
        self.state.lock().ended.get_or_insert(ended);
        self.changed.notify_all();
    }
}

/// Tells at the end at least that there was one.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(Err(
                Error::new(ErrorKind::Panic, "the host panicked in a query").mend("please report it")
            ));
        }
    }
}
