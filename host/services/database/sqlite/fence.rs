//! The fence: what the SQL of a plugin may not do, whatever it is written like. SQLite asks for each thing that a statement would
//! do, while it is prepared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::statements::{Marks, Statements};
use crate::services::clock::Clock;

/// Tables that are the host's own.
pub(super) const OWN: &str = "pintle_";

/// Why nothing temporary is made outside of a transaction.
pub(super) const NO_TEMPORARY: &str =
    "temporary tables live in a transaction and end with it: begin one first";

/// PRAGMAs that tell something of the plugin's own database and change nothing.
const TELL: [&str; 20] = [
    "application_id",
    "collation_list",
    "data_version",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "max_page_count",
    "page_count",
    "page_size",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// Those that name a table or an index, so that something stands behind the `=`.
const TAKE: [&str; 10] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// The one that a plugin may set: what it sets lies in its database.
const SET: [&str; 1] = ["user_version"];

/// The one that it may set in a transaction, with which it ends.
const DEFER: &str = "defer_foreign_keys";

/// Modules that a plugin may make virtual tables of.
const MODULES: [&str; 2] = ["fts5", "rtree"];

/// Tables of SQLite's own that tell of more than the plugin's rows, or that write past its checks.
const TABLES: [&str; 8] = [
    "dbstat",
    "sqlite_dbpage",
    "sqlite_dbdata",
    "sqlite_dbptr",
    "sqlite_stmt",
    "bytecode",
    "tables_used",
    "fts3tokenize",
];

/// Functions that reach out of the database.
const FUNCTIONS: [&str; 6] =
    ["load_extension", "fts3_tokenizer", "sqlite_log", "readfile", "writefile", "edit"];

/// What the fence of one connection has let through and what not.
pub(super) struct Fence {
    clock: Arc<dyn Clock>,
    /// Until when the statement may be prepared, in nanoseconds of the monotonic clock. SQLite's progress handler is not called while
    /// it takes views apart, which may be long; this is asked all the time.
    until: AtomicU64,
    late: AtomicBool,
    /// What is prepared now is the host's.
    open: AtomicBool,
    /// Something temporary was made.
    temporary: AtomicBool,
    /// Whether there is a transaction that something temporary may live in.
    pub(super) in_transaction: AtomicBool,
    refused: Mutex<Option<String>>,
    /// The bits of [`Marks`].
    marks: AtomicU8,
}

const INSERTS: u8 = 1;
const ALTERS: u8 = 2;
const ASKS_LAST_ID: u8 = 4;

/// Open until it is dropped, also by a panic.
struct Opened<'a>(&'a AtomicBool);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

impl Fence {
    /// Puts a fence around a connection.
    pub(super) fn around(
        statements: &mut dyn Statements,
        clock: Arc<dyn Clock>,
    ) -> rusqlite::Result<Arc<Self>> {
        let fence = Arc::new(Self {
            clock,
            until: AtomicU64::new(u64::MAX),
            late: AtomicBool::new(false),
            open: AtomicBool::new(false),
            temporary: AtomicBool::new(false),
            in_transaction: AtomicBool::new(false),
            refused: Mutex::default(),
            marks: AtomicU8::new(0),
        });
        let asked = Arc::clone(&fence);
        statements.authorize(Box::new(move |asks| asked.look(asks)))?;
        Ok(fence)
    }

    /// Lets everything through that is prepared meanwhile: it is the host's.
    pub(super) fn pass<R>(&self, work: impl FnOnce() -> R) -> R {
        self.open.store(true, Relaxed);
        let _opened = Opened(&self.open);
        work()
    }

    /// Until when what comes next may be prepared, also where it is prepared anew while it runs.
    pub(super) fn set_deadline(&self, until: Duration) {
        self.until.store(until.as_nanos() as u64, Relaxed);
    }

    /// Whether something was refused because it was too late, since it was asked last.
    pub(super) fn was_late(&self) -> bool {
        self.late.swap(false, Relaxed)
    }

    /// What was refused last, and why.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.lock().take()
    }

    /// What was seen since it was asked last. SQLite prepares statements of its own too while one runs.
    pub(super) fn marks(&self) -> Marks {
        let marks = self.marks.swap(0, Relaxed);
        let has = |bit| marks & bit != 0;
        Marks {
            inserts: has(INSERTS),
            alters: has(ALTERS),
            asks_last_id: has(ASKS_LAST_ID),
            ..Marks::default()
        }
    }

    /// Whether something temporary may be made now; then it was.
    pub(super) fn takes_temporary(&self) -> bool {
        let takes = self.in_transaction.load(Relaxed);
        self.temporary.fetch_or(takes, Relaxed);
        takes
    }

    /// Whether something temporary was made since it was asked last.
    pub(super) fn made_temporary(&self) -> bool {
        self.temporary.swap(false, Relaxed)
    }

    fn look(&self, asks: &AuthContext<'_>) -> Authorization {
        if self.open.load(Relaxed) {
            return Authorization::Allow;
        }
        if self.clock.coarse().as_nanos() as u64 >= self.until.load(Relaxed) {
            self.late.store(true, Relaxed);
            return Authorization::Deny;
        }
        self.note(asks);
        match self.wrong(asks) {
            None => Authorization::Allow,
            // All tables are to be looked at, and some are not the plugin's.
            Some(_) if matches!(asks.action, AuthAction::Analyze { .. }) => Authorization::Ignore,
            Some(why) => {
                *self.refused.lock() = Some(why);
                Authorization::Deny
            }
        }
    }

    fn note(&self, asks: &AuthContext<'_>) {
        let seen = match asks.action {
            AuthAction::Insert { .. } if asks.accessor.is_none() => INSERTS,
            AuthAction::Function { function_name }
                if function_name.eq_ignore_ascii_case("last_insert_rowid") =>
            {
                ASKS_LAST_ID
            }
            AuthAction::Insert { .. }
            | AuthAction::Function { .. }
            | AuthAction::Select
            | AuthAction::Recursive
            | AuthAction::Read { .. }
            | AuthAction::Update { .. }
            | AuthAction::Delete { .. }
            | AuthAction::Pragma { .. } => return,
            _ => ALTERS,
        };
        self.marks.fetch_or(seen, Relaxed);
    }

    /// Why what is asked for is not allowed.
    fn wrong(&self, asks: &AuthContext<'_>) -> Option<String> {
        let own = |table: &str| {
            starts(table, OWN)
                .then(|| format!("the table {table:?} is the host's own: names that begin with {OWN:?} are"))
        };
        let table = |table: &str| {
            if TABLES.iter().any(|name| table.eq_ignore_ascii_case(name)) {
                return Some(format!("the table {table:?} tells of more than rows"));
            }
            own(table)
        };
        // `CREATE TABLE temp.x` is told as any other, but for the database.
        let creates = matches!(
            asks.action,
            AuthAction::CreateTable { .. }
                | AuthAction::CreateIndex { .. }
                | AuthAction::CreateTrigger { .. }
                | AuthAction::CreateView { .. }
                | AuthAction::CreateVtable { .. }
                | AuthAction::CreateTempTable { .. }
                | AuthAction::CreateTempIndex { .. }
                | AuthAction::CreateTempTrigger { .. }
                | AuthAction::CreateTempView { .. }
                // `CREATE TRIGGER temp.x ON t` is told as one of the table's database: what it writes down is not.
                | AuthAction::Insert { .. }
        );
        let in_temporary = asks.database_name.is_some_and(|name| name.eq_ignore_ascii_case("temp"));
        if creates && in_temporary && !self.takes_temporary() {
            return Some(NO_TEMPORARY.to_owned());
        }
        match asks.action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Read { table_name, .. } => table(table_name),
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Analyze { table_name }
            | AuthAction::AlterTable { table_name, .. }
            | AuthAction::CreateTable { table_name }
            | AuthAction::CreateTempTable { table_name }
            | AuthAction::DropTable { table_name }
            | AuthAction::DropTempTable { table_name } => table(table_name),
            AuthAction::CreateIndex { index_name, table_name }
            | AuthAction::CreateTempIndex { index_name, table_name }
            | AuthAction::DropIndex { index_name, table_name }
            | AuthAction::DropTempIndex { index_name, table_name } => own(index_name).or_else(|| table(table_name)),
            // A temporary one may be of a table that is not.
            AuthAction::CreateTrigger { trigger_name, table_name }
            | AuthAction::CreateTempTrigger { trigger_name, table_name }
            | AuthAction::DropTrigger { trigger_name, table_name }
            | AuthAction::DropTempTrigger { trigger_name, table_name } => {
                own(trigger_name).or_else(|| table(table_name))
            }
            AuthAction::CreateView { view_name }
            | AuthAction::CreateTempView { view_name }
            | AuthAction::DropView { view_name }
            | AuthAction::DropTempView { view_name } => own(view_name),
            AuthAction::Reindex { .. } => None,
            AuthAction::Pragma { pragma_name, .. } if pragma_name.eq_ignore_ascii_case(DEFER) => {
                let ends = self.in_transaction.load(Relaxed);
                (!ends).then(|| format!("PRAGMA {DEFER} is for a transaction and ends with it: begin one first"))
            }
            AuthAction::Pragma { pragma_name, pragma_value } => pragma(pragma_name, pragma_value),
            AuthAction::Function { function_name } => FUNCTIONS
                .iter()
                .any(|name| function_name.eq_ignore_ascii_case(name))
                .then(|| format!("the function {function_name}() reaches out of the database")),
            AuthAction::CreateVtable { table_name, module_name }
            | AuthAction::DropVtable { table_name, module_name } => {
                let known = MODULES.iter().any(|name| module_name.eq_ignore_ascii_case(name));
                if known {
                    return own(table_name);
                }
                Some(format!("virtual tables are made of fts5 and rtree only, not of {module_name:?}"))
            }
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => Some(
                "transactions are begun and ended by `begin`, `commit` and `rollback` of the table, not by SQL"
                    .to_owned(),
            ),
            AuthAction::Attach { .. } | AuthAction::Detach { .. } => Some(
                "a plugin has one database: ATTACH, DETACH and VACUUM, which attaches one, are not for it".to_owned(),
            ),
            _ => Some("it is nothing that a plugin needs".to_owned()),
        }
    }
}

fn pragma(name: &str, value: Option<&str>) -> Option<String> {
    let listed = |list: &[&str]| list.iter().any(|known| name.eq_ignore_ascii_case(known));
    let allowed = match value {
        None => listed(&TELL) || listed(&SET),
        Some(_) => listed(&TAKE) || listed(&SET),
    };
    match (allowed, value) {
        (true, _) => None,
        (false, Some(_)) if listed(&TELL) => Some(format!("PRAGMA {name} may be read, not set")),
        (false, _) => Some(format!("PRAGMA {name} is not on the list of harmless ones")),
    }
}

fn starts(name: &str, front: &str) -> bool {
    name.get(..front.len()).is_some_and(|start| start.eq_ignore_ascii_case(front))
}
