//! Metrics as an operator meets them: the text, the numbers in it for a known workload, the listener, and the page about
//! it. `checker` reads the text, strictly.

mod checker;
mod output;
mod page;
