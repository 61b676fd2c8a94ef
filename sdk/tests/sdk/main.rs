//! The SDK as a plugin author meets it, against a host that is a few tables and a notebook (`fake`).

mod fake;
mod life;
mod services;
