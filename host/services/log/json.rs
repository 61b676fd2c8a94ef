//! A record as one line of JSON, always one that a strict parser takes.

use std::ops::Range;

use super::{Gate, Record, escape, record::Field, record::Value};

/// A message, or one text value, longer than this is cut.
pub(super) const TEXT_LIMIT: usize = 64 << 10;
/// All texts of a record together; what goes beyond is cut, so that no record is larger than the buffer.
const RECORD_LIMIT: usize = 256 << 10;
const CUT_MARK: &str = "…";

/// A line in the making, in memory that is used again for the next one.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) out: Vec<u8>,
    /// Where in `out` the names of fields stand.
    names: Vec<Range<u32>>,
    /// One bit for each name so far: a clear one proves that a name is new.
    seen: u64,
    room: usize,
    /// How many bytes of text were cut off.
    pub(super) cut: u64,
}

impl Default for Line {
    fn default() -> Self {
        Self { out: Vec::new(), names: Vec::new(), seen: 0, room: RECORD_LIMIT, cut: 0 }
    }
}

impl Line {
    /// Empties it, and gives back memory that only a giant needed.
    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.out.shrink_to(RECORD_LIMIT);
        self.names.clear();
        self.seen = 0;
        self.room = RECORD_LIMIT;
        self.cut = 0;
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// As much of `text` as may be written, and whether that is less than all; never half a character.
    pub(super) fn take<'t>(&mut self, text: &'t [u8]) -> (&'t [u8], &'static str) {
        let limit = TEXT_LIMIT.min(self.room);
        if text.len() <= limit {
            self.room -= text.len();
            return (text, "");
        }
        let is_start = |&end: &usize| text[end] & 0b1100_0000 != 0b1000_0000;
        // A character has at most four bytes; without a start among them it is not UTF-8 anyway.
        let end = (limit.saturating_sub(3)..=limit).rev().find(is_start).unwrap_or(limit);
        self.room -= end;
        self.cut += (text.len() - end) as u64;
        (&text[..end], CUT_MARK)
    }

    /// Appends `,"name":value`.
    pub(super) fn field(&mut self, field: &Field<'_>) {
        self.name(field.name);
        match field.value {
            Value::Text(text) => self.string(text),
            Value::Integer(number) => self.raw(itoa::Buffer::new().format(number).as_bytes()),
            Value::Unsigned(number) => self.raw(itoa::Buffer::new().format(number).as_bytes()),
            Value::Number(number) => match spelled(number) {
                Some(text) => self.string(text.as_bytes()),
                None => self.raw(zmij::Buffer::new().format_finite(number).as_bytes()),
            },
            Value::Boolean(value) => self.raw(if value { b"true" } else { b"false" }),
        }
    }

    /// Appends fields that were encoded before this line's own.
    pub(super) fn preset(&mut self, preset: &Self) {
        let offset = self.out.len() as u32;
        self.raw(&preset.out);
        self.names.extend(preset.names.iter().map(|name| name.start + offset..name.end + offset));
        self.seen |= preset.seen;
        self.cut += preset.cut;
    }

    fn string(&mut self, text: &[u8]) {
        let (text, mark) = self.take(text);
        self.out.push(b'"');
        escape::json(&mut self.out, text);
        self.raw(mark.as_bytes());
        self.out.push(b'"');
    }

    fn name(&mut self, name: &str) {
        self.raw(b",\"");
        let start = self.out.len();
        escape::json(&mut self.out, name.as_bytes());
        if is_host_key(name) {
            self.out.push(b'_');
        }
        self.make_unique(start);
        self.seen |= bit(&self.out[start..]);
        self.names.push(start as u32..self.out.len() as u32);
        self.raw(b"\":");
    }

    /// Gives the name that begins at `start` a number if it is there already.
    fn make_unique(&mut self, start: usize) {
        let end = self.out.len();
        let mut number = 2_u32;
        while self.seen & bit(&self.out[start..]) != 0 && self.has(start) {
            self.out.truncate(end);
            self.out.push(b'_');
            self.raw(itoa::Buffer::new().format(number).as_bytes());
            number += 1;
        }
    }

    fn has(&self, start: usize) -> bool {
        let name = &self.out[start..];
        self.names.iter().any(|known| &self.out[known.start as usize..known.end as usize] == name)
    }
}

/// Encodes a record into `line`; the first field that is an error ends it.
pub(super) fn encode<'f, E>(
    line: &mut Line,
    time: &[u8],
    gate: &Gate,
    record: &Record<'_>,
    fields: impl Iterator<Item = Result<Field<'f>, E>>,
) -> Result<(), E> {
    line.raw(b"{\"time\":\"");
    line.raw(time);
    line.raw(b"\",\"level\":\"");
    line.raw(record.level.name().as_bytes());
    line.raw(b"\",");
    line.raw(&gate.json);
    if !record.tenant.is_empty() {
        line.raw(b",\"tenant\":");
        line.string(record.tenant.as_bytes());
    }
    if let Some(running) = record.running {
        let (key, name) = running.key_and_name();
        line.raw(b",\"");
        line.raw(key.as_bytes());
        line.raw(b"\":");
        line.string(name.as_bytes());
    }
    line.raw(b",\"message\":");
    line.string(record.message);
    if let Some(preset) = record.preset {
        line.preset(&preset.json);
    }
    for field in fields {
        line.field(&field?);
    }
    if line.cut > 0 {
        line.raw(b",\"cut\":");
        line.raw(itoa::Buffer::new().format(line.cut).as_bytes());
    }
    line.raw(b"}\n");
    Ok(())
}

/// What every record of a gate carries: `"plugin":"…","version":"…"`, or `"host":"…"`.
pub(super) fn origin(keys_and_values: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in keys_and_values {
        if !out.is_empty() {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape::json(&mut out, value.as_bytes());
        out.push(b'"');
    }
    out
}

/// The text for a number that JSON cannot write.
pub(super) fn spelled(number: f64) -> Option<&'static str> {
    match number {
        n if n.is_finite() => None,
        n if n.is_nan() => Some("NaN"),
        n if n > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

/// Keys that the host writes, in this record or in another: the same field has the same name in all of them.
pub(super) fn is_host_key(name: &str) -> bool {
    matches!(
        name,
        "time"
            | "level"
            | "plugin"
            | "version"
            | "host"
            | "tenant"
            | "event"
            | "job"
            | "call"
            | "message"
            | "cut"
    )
}

fn bit(name: &[u8]) -> u64 {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    1 << ((name.len() as u64 * 7 + u64::from(first) * 3 + u64::from(last)) % 64)
}
