//! The locks of this folder, in one place so that a model can put its own in theirs.

pub(super) use parking_lot::{Condvar, Mutex, MutexGuard};
