//! The SDK as a plugin author meets it, against a host that is a few tables and a notebook (`fake`).

mod asked;
mod c_plugins;
mod cached;
mod counting;
mod driver;
mod durable;
mod fake;
mod filed;
mod hosted;
mod jobs;
mod kept;
mod life;
mod loading;
mod once;
mod queried;
mod services;
mod stored;
