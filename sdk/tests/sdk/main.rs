//! The SDK as a plugin author meets it, against a host that is a few tables and a notebook (`fake`).

mod c_plugins;
mod cached;
mod counting;
mod driver;
mod fake;
mod hosted;
mod kept;
mod life;
mod loading;
mod services;
