//! The listener, as clients of all sorts meet it.
