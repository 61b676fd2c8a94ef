//! What only this log can show.

use std::sync::Arc;

use tempfile::TempDir;

use super::{
    super::{
        conformance::{Bed, suites},
        log::EventLog,
    },
    LedgerLog, SCHEMA,
};
use crate::services::{
    clock::ManualClock,
    ledger::{Durability, Ledger, LedgerOptions},
};

/// A ledger in a folder of its own.
pub(in super::super) struct OnLedger {
    folder: TempDir,
    clock: Arc<ManualClock>,
    ledger: Arc<Ledger>,
}

impl OnLedger {
    fn open(folder: TempDir, clock: &Arc<ManualClock>) -> Self {
        let options = LedgerOptions {
            durability: Durability::Off,
            clock: Arc::clone(clock) as _,
            schemas: vec![SCHEMA],
            report: Box::new(|error| eprintln!("{error}")),
        };
        let ledger = Ledger::open(folder.path().join("ledger.db"), options).expect("nothing is in its way");
        Self { folder, clock: Arc::clone(clock), ledger: Arc::new(ledger) }
    }
}

impl Bed for OnLedger {
    fn new(clock: &Arc<ManualClock>) -> Self {
        Self::open(tempfile::tempdir().expect("there is a place for temporary files"), clock)
    }

    fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(LedgerLog::new(Arc::clone(&self.ledger), Arc::clone(&self.clock) as _))
    }

    fn restart(self) -> Self {
        let Self { folder, clock, ledger } = self;
        drop(Arc::into_inner(ledger).expect("the log has let go of it"));
        Self::open(folder, &clock)
    }
}

mod on_ledger {
    use super::{OnLedger, suites};

    suites!(OnLedger);
}
