//! Cache, storage, files and databases as a plugin meets them: through the C tables, in a real host, with
//! `tests/plugins/keeper.c`, `filer.c` and `sql.c` as plugins; and what keeps plugins and tenants apart.

mod application;
mod cache;
mod carry;
mod database;
mod files;
mod grants;
mod isolation;
mod keeper;
mod quota;
mod storage;
