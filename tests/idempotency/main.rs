//! Operations that must happen once, through the table, as a compiled plugin in C sees them; and as the application does.

mod application;
mod arguments;
mod rig;
mod table;
