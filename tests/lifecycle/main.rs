//! The life of plugins, as an application sees it: start, steps, stop, what is delivered when, and what one plugin's
//! trouble means for the others. Through the public surface of the host alone, with plugins that are files.
//!
//! `scene` sets a host up; `tests/plugins/witness.c` keeps the journal that most of these tests read.

mod budgets;
mod config;
mod crowds;
mod delivery;
mod filters;
mod grants;
mod hangs;
mod hosts;
mod jobs;
mod locks;
mod log;
mod options;
mod registrations;
mod scene;
mod start;
mod steps;
mod sync;
mod tenants;
