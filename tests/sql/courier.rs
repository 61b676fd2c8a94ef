//! The plugin's side: a host with the plugin `courier`, which has steps done through `host->database` and tells what came of
//! them in bytes that keep every type.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use pintle::{Host, Settings};
use pintle_test_support::{compile_c, install, repository};
use tempfile::TempDir;

use super::{
    outcome::Outcome,
    step::{Step, Value},
};

/// As much as a call may carry.
const REQUEST: usize = 900 << 10;

/// The most bytes of a value, a row and a text of SQL: less than a request has, so that more can be carried.
pub(crate) const LARGEST: usize = 512 << 10;

const MINUTES: Option<Duration> = Some(Duration::from_secs(1_200));

pub(crate) struct Courier {
    host: Host,
    _folder: TempDir,
}

impl Courier {
    /// `most`: how many rows a statement may give.
    pub(crate) fn start(most: u64) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
        install(&compile_c("courier", repository().join("tests/sql/courier.c"), &[]), &plugins);
        let mut settings = Settings::default();
        settings.database.max_rows = most;
        settings.database.max_value = LARGEST;
        // An unoptimised build on a busy machine takes its time.
        settings.database.statement = Duration::from_secs(300);
        settings.database.transaction = Duration::from_secs(600);
        settings.control.enabled = false;
        let host =
            Host::builder().settings(settings).plugins(&plugins).data(folder.path().join("data")).build();
        let host = host.unwrap_or_else(|error| panic!("{error}"));
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        Self { host, _folder: folder }
    }

    /// Has the steps done on the database of a tenant; an outcome for each.
    pub(crate) fn carry(&self, tenant: &str, steps: &[Step]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < steps.len() {
            let request = packed(&steps[outcomes.len()..]);
            let reply = self.host.call(tenant, "sql.carry", 1, "carry", &request, MINUTES);
            let reply = reply.unwrap_or_else(|error| panic!("the courier works: {error}"));
            let before = outcomes.len();
            let mut reader = Reader(&reply);
            while !reader.0.is_empty() {
                outcomes.push(reader.outcome());
            }
            assert!(outcomes.len() > before, "it did nothing");
        }
        assert_eq!(outcomes.len(), steps.len());
        outcomes
    }

    /// Streams a query; how many rows it gave, and the sum of what was in them.
    pub(crate) fn count(&self, tenant: &str, sql: &str) -> (u64, u64) {
        let reply = self.host.call(tenant, "sql.carry", 1, "count", sql.as_bytes(), MINUTES);
        let reply = reply.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut reader = Reader(&reply);
        (reader.long(), reader.long())
    }
}

/// As many steps as go into one request; a transaction is not cut in two.
fn packed(steps: &[Step]) -> Vec<u8> {
    use super::step::How;
    let (mut bytes, mut whole, mut depth) = (Vec::new(), 0, 0_usize);
    for step in steps {
        bytes.push(step.how as u8);
        put_bytes(&mut bytes, step.sql.as_bytes());
        bytes.extend((step.values.len() as u32).to_ne_bytes());
        for value in &step.values {
            put_value(&mut bytes, value);
        }
        match step.how {
            How::Begin => depth += 1,
            How::Commit | How::Rollback => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            if bytes.len() > REQUEST && whole > 0 {
                break;
            }
            whole = bytes.len();
        }
    }
    bytes.truncate(if whole == 0 { bytes.len() } else { whole });
    bytes
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_ne_bytes());
    to.extend(bytes);
}

/// A value in the form in which both sides write their rows.
pub(crate) fn put_value(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => to.push(0),
        Value::Integer(integer) => {
            to.push(1);
            to.extend(integer.to_ne_bytes());
        }
        Value::Real(real) => {
            to.push(2);
            to.extend(real.to_ne_bytes());
        }
        Value::Text(text) => {
            to.push(3);
            put_bytes(to, text.as_bytes());
        }
        Value::Blob(blob) => {
            to.push(4);
            put_bytes(to, blob);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u32 {
        u32::from_ne_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn long(&mut self) -> u64 {
        u64::from_ne_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        self.take(length)
    }

    fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome {
            status: self.number() as i32,
            code: self.number(),
            changed: self.long(),
            last_insert_id: self.long() as i64,
            told_rows: self.long(),
            offset: self.long() as i64,
            text: String::from_utf8_lossy(self.bytes()).into_owned(),
            ..Outcome::default()
        };
        outcome.named = self.number();
        let mut names = Reader(self.bytes());
        if !names.0.is_empty() {
            let count = names.number();
            outcome.names = (0..count).map(|_| String::from_utf8_lossy(names.bytes()).into_owned()).collect();
        }
        outcome.rows = self.long();
        outcome.hash = self.long();
        outcome.carried = self.bytes().to_vec();
        outcome
    }
}
