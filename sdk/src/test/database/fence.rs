//! What SQL of a plugin may not do: SQLite asks for each thing that a statement would do, while it is prepared.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization},
};

/// PRAGMAs that only tell something of the database.
const TELLING: &[&str] = &[
    "application_id",
    "collation_list",
    "data_version",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "max_page_count",
    "page_count",
    "page_size",
];

/// The same, of a table or an index that may be named.
const TELLING_OF: &[&str] = &[
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

/// PRAGMAs that may be set.
const SETTABLE: &[&str] = &["user_version", "defer_foreign_keys"];

/// Tables of SQLite's own that tell of more than rows.
const INTERNAL: &[&str] = &[
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
const REACHING: &[&str] =
    &["load_extension", "fts3_tokenizer", "sqlite_log", "readfile", "writefile", "edit"];

/// The fence of one connection.
#[derive(Default)]
pub(super) struct Fence {
    /// What is prepared now is the host's own.
    open: AtomicBool,
    /// It is a transaction's, so that something temporary may live in it.
    pub(super) in_transaction: AtomicBool,
    /// What was prepared last asks for `last_insert_rowid()`.
    asks_last_id: AtomicBool,
    refused: Mutex<Option<String>>,
}

impl Fence {
    pub(super) fn around(connection: &mut Connection) -> rusqlite::Result<Arc<Self>> {
        let fence = Arc::<Self>::default();
        let asked = Arc::clone(&fence);
        connection.authorizer(Some(move |asks: AuthContext<'_>| asked.look(&asks)))?;
        Ok(fence)
    }

    /// Does something of the host's own.
    pub(super) fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        self.open.store(true, Relaxed);
        let done = work();
        self.open.store(false, Relaxed);
        done
    }

    /// What is prepared next is another statement.
    pub(super) fn forget(&self) {
        self.asks_last_id.store(false, Relaxed);
        self.refused();
    }

    pub(super) fn asks_last_id(&self) -> bool {
        self.asks_last_id.load(Relaxed)
    }

    /// Why a statement was refused that was prepared last.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn look(&self, asks: &AuthContext<'_>) -> Authorization {
        if self.open.load(Relaxed) {
            return Authorization::Allow;
        }
        if matches!(asks.action, AuthAction::Function { function_name: "last_insert_rowid" }) {
            self.asks_last_id.store(true, Relaxed);
        }
        match self.wrong(&asks.action) {
            None => Authorization::Allow,
            // Of all tables: the host's own are left out.
            Some(_) if matches!(asks.action, AuthAction::Analyze { .. }) => Authorization::Ignore,
            Some(why) => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                Authorization::Deny
            }
        }
    }

    fn wrong(&self, action: &AuthAction<'_>) -> Option<String> {
        use AuthAction::*;
        match *action {
            Select | Recursive | Reindex { .. } => None,
            Read { table_name: table, .. }
            | Insert { table_name: table }
            | Delete { table_name: table }
            | Update { table_name: table, .. }
            | Analyze { table_name: table }
            | AlterTable { table_name: table, .. }
            | CreateTable { table_name: table }
            | DropTable { table_name: table }
            | DropTempTable { table_name: table } => of_table(table),
            CreateIndex { index_name: name, table_name: table }
            | DropIndex { index_name: name, table_name: table }
            | DropTempIndex { index_name: name, table_name: table }
            | CreateTrigger { trigger_name: name, table_name: table }
            | DropTrigger { trigger_name: name, table_name: table }
            | DropTempTrigger { trigger_name: name, table_name: table } => {
                reserved(name).or_else(|| of_table(table))
            }
            CreateView { view_name: name }
            | DropView { view_name: name }
            | DropTempView { view_name: name } => reserved(name),
            CreateTempTable { table_name: name }
            | CreateTempIndex { index_name: name, .. }
            | CreateTempTrigger { trigger_name: name, .. }
            | CreateTempView { view_name: name } => {
                if self.in_transaction.load(Relaxed) {
                    return reserved(name);
                }
                Some("temporary tables live in a transaction: begin one first".into())
            }
            CreateVtable { table_name, module_name } | DropVtable { table_name, module_name } => {
                if is_one(&["fts5", "rtree"], module_name) {
                    return reserved(table_name);
                }
                Some(format!("virtual tables are made of fts5 and rtree, not of {module_name}"))
            }
            Pragma { pragma_name: name, pragma_value: value } => {
                let allowed = is_one(SETTABLE, name)
                    || is_one(TELLING_OF, name)
                    || value.is_none() && is_one(TELLING, name);
                (!allowed).then(|| format!("PRAGMA {name} is none that a plugin may use so"))
            }
            Function { function_name: name } => {
                is_one(REACHING, name).then(|| format!("the function {name}() reaches out of the database"))
            }
            Transaction { .. } | Savepoint { .. } => {
                Some("transactions are begun and ended by calls of the host, not by SQL".into())
            }
            Attach { .. } | Detach { .. } => {
                Some("a plugin has one database: no ATTACH, DETACH or VACUUM".into())
            }
            _ => Some("it is nothing that a plugin needs".into()),
        }
    }
}

fn is_one(list: &[&str], name: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn of_table(table: &str) -> Option<String> {
    if is_one(INTERNAL, table) {
        return Some(format!("the table {table} tells of more than rows"));
    }
    reserved(table)
}

fn reserved(name: &str) -> Option<String> {
    let own = name.get(.."pintle_".len()).is_some_and(|front| front.eq_ignore_ascii_case("pintle_"));
    own.then(|| format!("{name} is the host's own, as all names are that begin with pintle_"))
}
