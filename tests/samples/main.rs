//! The sample plugins at work in a real host, on real files: what each of them promises to whoever runs it.
//!
//! `stage` sets a host up and hears what plugins emit. A stand-in for `sysmon` emits what a test measures.

#[cfg(unix)]
mod chronicle;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod sysmon;
#[cfg(unix)]
mod tail;
#[cfg(unix)]
mod threshold;
