//! Durable events through the table, as a compiled plugin in C sees them; and as the application does.

mod application;
mod books;
mod crash;
mod kill;
mod load;
mod outbox;
mod rig;
mod table;
