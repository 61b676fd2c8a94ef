//! Gets the rows of a statement: of a host that runs page by page, of one that was made for the question as they come. Either way
//! no more of them is in memory than that.

use std::{io, time::Duration};

use pintle::{
    Error, ErrorKind, Host,
    database::{SqlDone, SqlValue},
};
use serde_json::{Value, json};

use super::Statement;
use crate::{link::Link, print::count};

/// Who takes rows.
pub(super) trait Sink {
    /// The names of the columns, once, before all rows; none if the statement gives no rows.
    fn columns(&mut self, names: &[String]) -> io::Result<()>;

    fn row(&mut self, row: Vec<SqlValue>) -> io::Result<()>;

    /// It may take a while until the next one comes.
    fn pause(&mut self) -> io::Result<()>;
}

/// What came of a statement.
pub(super) struct Done {
    pub(super) changed: u64,
    pub(super) last_insert_id: i64,
}

/// Why no more came of it.
pub(super) enum Stopped {
    /// The host says so.
    Refused(Error),
    /// Whoever takes the rows wants no more.
    Full(io::Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Full(error)
    }
}

/// The method that a statement is asked for with.
pub(super) fn method(statement: &Statement<'_>) -> &'static str {
    if statement.write { "sql.execute" } else { "sql.query" }
}

/// Runs a statement.
pub(super) fn run(link: &mut Link, statement: &Statement<'_>, sink: &mut dyn Sink) -> Result<Done, Stopped> {
    match link.made() {
        Some(host) => run_here(host, statement, sink),
        None => run_there(link, statement, sink),
    }
}

fn run_there(link: &mut Link, statement: &Statement<'_>, sink: &mut dyn Sink) -> Result<Done, Stopped> {
    let Statement { plugin, tenant, sql, values, timeout_ms, .. } = statement;
    let values: Vec<Value> = values.iter().map(SqlValue::to_json).collect();
    let params = json!({
        "plugin": plugin, "tenant": tenant, "sql": sql, "values": values, "timeout_ms": timeout_ms,
    });
    let mut page = link.try_ask(method(statement), params)?;
    sink.columns(&texts(&page["columns"]))?;
    loop {
        for row in page["rows"].as_array().into_iter().flatten() {
            let row = row.as_array().into_iter().flatten().map(SqlValue::from_json);
            sink.row(row.collect::<Result<_, _>>()?)?;
        }
        sink.pause()?;
        let Some(next) = page["next"].as_u64() else {
            let last_insert_id = page["last_insert_id"].as_i64().unwrap_or_default();
            return Ok(Done { changed: count(&page, "changed"), last_insert_id });
        };
        page = link.try_ask("sql.next", json!({ "next": next }))?;
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn run_here(host: &Host, statement: &Statement<'_>, sink: &mut dyn Sink) -> Result<Done, Stopped> {
    let Statement { plugin, tenant, sql, values, write, timeout_ms } = statement;
    let mut database = host.database(plugin, tenant)?;
    if *write {
        database = database.writing();
    }
    let timeout = Some(Duration::from_millis(*timeout_ms));
    let sink = std::cell::RefCell::new(sink);
    let full = std::cell::Cell::new(None);
    // What the sink says has no error of a host's: it is told apart below.
    let told = |done: io::Result<()>| {
        done.map_err(|error| {
            full.set(Some(error));
            Error::new(ErrorKind::Cancelled, "nobody wants more rows")
        })
    };
    let columns = |names: &[String]| told(sink.borrow_mut().columns(names));
    let ran = database.query_named(sql, values, timeout, columns, |row| {
        let values = (0..row.len()).filter_map(|at| row.value(at)).collect();
        told(sink.borrow_mut().row(values))
    });
    match (ran, full.take()) {
        (_, Some(error)) => Err(error.into()),
        (Ok(SqlDone { changed, last_insert_id, .. }), None) => {
            sink.borrow_mut().pause()?;
            Ok(Done { changed, last_insert_id })
        }
        (Err(error), None) => Err(error.into()),
    }
}
