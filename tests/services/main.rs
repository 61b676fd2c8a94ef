//! Cache and storage as a plugin meets them: through the C tables, in a real host, with `tests/plugins/keeper.c` as the
//! plugin; and what keeps plugins and tenants apart.

mod application;
mod cache;
mod grants;
mod isolation;
mod keeper;
mod quota;
mod storage;
