//! The methods about SQL databases: queries, page by page, statements that write, which databases there are, and copies of them.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal, Session,
    methods::{Answer, absolute},
    query::{Page, Query},
};
use crate::{
    Host,
    error::{Error, ErrorKind},
    host::{
        database::{BackupOptions, BackupReport, DatabaseInfo, DatabaseList, PluginDatabase, SqlDone},
        sql::SqlValue,
    },
};

/// The longest that a statement may be given.
const LONGEST_MS: u64 = 3_600_000;

/// What a statement is given that does not say.
const USUAL_MS: u64 = 5_000;

/// How many rows a page has, and at most.
const USUAL_ROWS: usize = 1_000;
const MOST_ROWS: usize = 10_000;

/// How often the client is told how far a copy is.
const TELL: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    plugin: String,
    #[serde(default)]
    tenant: String,
    sql: String,
    #[serde(default)]
    values: Vec<Value>,
    timeout_ms: Option<u64>,
    /// Rows of a page.
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Going {
    next: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    plugin: String,
    #[serde(default)]
    tenant: String,
    sql: String,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// None: of all.
    plugin: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copying {
    plugin: String,
    #[serde(default)]
    tenant: String,
    path: PathBuf,
    #[serde(default)]
    overwrite: bool,
    timeout_ms: Option<u64>,
}

/// A statement as it is asked for, checked.
struct Asked {
    database: PluginDatabase,
    sql: String,
    values: Vec<SqlValue>,
    timeout: Duration,
    limit: usize,
}

impl Asked {
    fn of(host: &Host, asking: Asking) -> Result<Self, Refusal> {
        let Asking { plugin, tenant, sql, values, timeout_ms, limit } = asking;
        let limit = limit.unwrap_or(USUAL_ROWS);
        if limit == 0 || limit > MOST_ROWS {
            return Err(Refusal::Params(format!("`limit`: {limit}, 1 to {MOST_ROWS} are taken")));
        }
        let timeout = timeout(timeout_ms)?;
        let values = values.iter().map(SqlValue::from_json).collect::<Result<_, _>>()?;
        Ok(Self { database: host.database(&plugin, &tenant)?, sql, values, timeout, limit })
    }

    /// Runs it to its end, if what it gives fits into a page.
    fn whole(self) -> Answer {
        let page = std::cell::RefCell::new(Page::of(self.limit));
        let columns = |names: &[String]| {
            page.borrow_mut().columns = names.to_vec();
            Ok(())
        };
        let done =
            self.database.query_named(&self.sql, &self.values, Some(self.timeout), columns, |row| {
                let mut page = page.borrow_mut();
                if page.is_full() {
                    let text =
                        format!("the statement gives more than fits into one answer ({} rows)", self.limit);
                    return Err(Error::new(ErrorKind::TooLarge, text).mend("ask for less at once"));
                }
                page.add(row)
            })?;
        Ok(shown(page.into_inner(), Some(done), None))
    }
}

fn shown(page: Page, done: Option<SqlDone>, next: Option<u64>) -> Value {
    let Page { columns, rows, .. } = page;
    let mut shown = json!({ "columns": columns, "rows": rows, "next": next });
    if let Some(SqlDone { changed, last_insert_id, .. }) = done {
        (shown["changed"], shown["last_insert_id"]) = (changed.into(), last_insert_id.into());
    }
    shown
}

fn timeout(ms: Option<u64>) -> Result<Duration, Refusal> {
    let ms = ms.unwrap_or(USUAL_MS);
    if ms == 0 || ms > LONGEST_MS {
        return Err(Refusal::Params(format!("`timeout_ms`: {ms}, 1 to {LONGEST_MS} are taken")));
    }
    Ok(Duration::from_millis(ms))
}

/// `sql.query`. Without a connection nobody could ask for a second page.
pub(super) fn query(host: &Host, asking: Asking, session: Option<&Arc<Session>>) -> Answer {
    let asked = Asked::of(host, asking)?;
    let Some(session) = session else { return asked.whole() };
    // The one before ends first: its connection to the database may be the last one.
    drop(session.take::<Query>());
    let Asked { database, sql, values, timeout, limit } = asked;
    page_of(Query::begin(database, sql, values, timeout, limit)?, session)
}

/// `sql.next`.
pub(super) fn next(Going { next }: Going, session: Option<&Arc<Session>>) -> Answer {
    let open = session.and_then(|session| Some((session, session.take::<Query>()?)));
    match open {
        Some((session, query)) if query.number == next => page_of(*query, session),
        _ => {
            let text = "no query is open on this connection that has this next page: another one was begun, or it has ended";
            Err(Error::new(ErrorKind::StaleHandle, text).into())
        }
    }
}

fn page_of(query: Query, session: &Arc<Session>) -> Answer {
    let (page, done) = query.next()?;
    let next = done.is_none().then_some(query.number);
    if next.is_some() {
        session.lay(Box::new(query));
    }
    Ok(shown(page, done, next))
}

/// `sql.execute`.
pub(super) fn execute(host: &Host, asking: Asking) -> Answer {
    let asked = Asked::of(host, asking)?;
    Asked { database: asked.database.writing(), ..asked }.whole()
}

/// `sql.script`.
pub(super) fn script(host: &Host, Script { plugin, tenant, sql, timeout_ms }: Script) -> Answer {
    let timeout = timeout(timeout_ms)?;
    let done = host.database(&plugin, &tenant)?.writing().script(&sql, Some(timeout))?;
    Ok(json!({ "changed": done.changed, "last_insert_id": done.last_insert_id }))
}

/// `sql.list`.
pub(super) fn list(host: &Host, Listing { plugin }: Listing) -> Answer {
    let DatabaseList { mut databases, problems } = host.databases()?;
    if let Some(id) = plugin {
        // One that is not known is told.
        host.database(&id, "")?;
        databases.retain(|database| database.plugin == id);
    }
    let bytes: u64 = databases.iter().map(|database| database.bytes).sum();
    let shown = databases.into_iter().map(|DatabaseInfo { plugin, tenant, bytes }| {
        json!({ "plugin": plugin, "tenant": tenant, "bytes": bytes })
    });
    Ok(json!({
        "bytes": bytes,
        "databases": shown.collect::<Vec<_>>(),
        "problems": problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

/// `sql.backup`. A client that has gone does not keep it going.
pub(super) fn backup(host: &Host, asked: Copying, session: Option<&Arc<Session>>) -> Answer {
    let Copying { plugin, tenant, path, overwrite, timeout_ms } = asked;
    absolute("path", &path)?;
    let timeout = timeout_ms.map(|ms| timeout(Some(ms))).transpose()?;
    let mut told = Instant::now();
    let progress = |done: u64, of: u64| {
        let Some(session) = session else { return Ok(()) };
        if session.is_over() {
            return Err(Error::new(ErrorKind::Cancelled, "whoever asked for the copy has gone"));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            session.notify("progress", &json!({ "done": done, "of": of }));
        }
        Ok(())
    };
    let BackupReport { path, bytes } =
        host.database(&plugin, &tenant)?.backup(&path, &BackupOptions { overwrite, timeout }, progress)?;
    Ok(json!({ "path": path.display().to_string(), "bytes": bytes }))
}
