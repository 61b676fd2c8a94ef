//! Durable events through the table, as a compiled plugin in C sees them; and as the application does.

mod application;
mod crash;
mod outbox;
mod rig;
mod table;
