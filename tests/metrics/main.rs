//! Metrics as an operator meets them: the text, the numbers in it for a known workload, the listener, and the page about
//! it. `checker` reads the text, strictly.

mod checker;
mod listener;
mod output;
mod page;
mod scene;
mod workload;
