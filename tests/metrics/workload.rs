//! A workload.
