//! The C API for embedding applications. So far only what `benches/calls.rs` needs to run a host inside `libpintle.so`;
//! behind the feature `bench-entry`, and no part of what is released.

mod bench_entry;
