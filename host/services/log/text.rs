//! A record as one line for a person: time, level, who, what, then the fields.

use super::{
    Gate, Level, Record, escape,
    json::{Line, is_host_key, spelled},
    record::{Field, Value},
};

const PLUGIN_WIDTH: usize = 14;
const DIM: &[u8] = b"\x1b[2m";
const BOLD: &[u8] = b"\x1b[1m";
const PLAIN: &[u8] = b"\x1b[0m";

/// Encodes a record into `line`; the first field that is an error ends it.
pub(super) fn encode<'f, E>(
    line: &mut Line,
    colours: bool,
    time: &[u8],
    gate: &Gate,
    record: &Record<'_>,
    fields: impl Iterator<Item = Result<Field<'f>, E>>,
) -> Result<(), E> {
    let paint = |line: &mut Line, colour: &[u8]| {
        if colours {
            line.raw(colour);
        }
    };
    paint(line, DIM);
    line.raw(time);
    paint(line, PLAIN);
    line.raw(b" ");
    paint(line, colour(record.level));
    line.raw(label(record.level));
    paint(line, PLAIN);
    line.raw(b" ");
    paint(line, BOLD);
    line.raw(&gate.text);
    paint(line, PLAIN);
    line.raw(b" ");
    let (message, mark) = line.take(record.message);
    escape::terminal(&mut line.out, message);
    line.raw(mark.as_bytes());
    if let Some(preset) = record.preset {
        line.raw(&preset.text);
        line.cut += preset.json.cut;
    }
    for each in fields {
        field(line, &each?, colours);
    }
    if !record.tenant.is_empty() {
        host_field(line, "tenant", record.tenant.as_bytes(), colours);
    }
    if let Some(running) = record.running {
        let (key, name) = running.key_and_name();
        host_field(line, key, name.as_bytes(), colours);
    }
    if line.cut > 0 {
        let cut = line.cut;
        host_field(line, "cut", itoa::Buffer::new().format(cut).as_bytes(), colours);
    }
    line.raw(b"\n");
    Ok(())
}

/// Appends ` name=value`.
pub(super) fn field(line: &mut Line, field: &Field<'_>, colours: bool) {
    name(line, field.name, if is_host_key(field.name) { "_" } else { "" }, colours);
    match field.value {
        Value::Text(text) => word(line, text),
        Value::Integer(number) => line.raw(itoa::Buffer::new().format(number).as_bytes()),
        Value::Unsigned(number) => line.raw(itoa::Buffer::new().format(number).as_bytes()),
        Value::Number(number) => match spelled(number) {
            Some(text) => line.raw(text.as_bytes()),
            None => line.raw(zmij::Buffer::new().format_finite(number).as_bytes()),
        },
        Value::Boolean(value) => line.raw(if value { b"true" } else { b"false" }),
    }
}

/// Who writes: padded, so that messages stand below each other.
pub(super) fn origin(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    escape::terminal(&mut out, name.as_bytes());
    out.resize(out.len().max(PLUGIN_WIDTH), b' ');
    out
}

fn host_field(line: &mut Line, key: &str, value: &[u8], colours: bool) {
    name(line, key, "", colours);
    word(line, value);
}

fn name(line: &mut Line, name: &str, suffix: &str, colours: bool) {
    line.raw(b" ");
    if colours {
        line.raw(DIM);
    }
    if is_word(name.as_bytes()) {
        escape::terminal(&mut line.out, name.as_bytes());
    } else {
        escape::quoted(&mut line.out, name.as_bytes());
    }
    line.raw(suffix.as_bytes());
    line.raw(b"=");
    if colours {
        line.raw(PLAIN);
    }
}

fn word(line: &mut Line, text: &[u8]) {
    let (text, mark) = line.take(text);
    if is_word(text) {
        escape::terminal(&mut line.out, text);
    } else {
        escape::quoted(&mut line.out, text);
    }
    line.raw(mark.as_bytes());
}

fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(|byte| matches!(byte, b' ' | b'"' | b'=' | b'\\'))
}

fn label(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b"TRACE",
        Level::Debug => b"DEBUG",
        Level::Info => b"INFO ",
        Level::Warn => b"WARN ",
        Level::Error => b"ERROR",
        Level::Fatal => b"FATAL",
    }
}

fn colour(level: Level) -> &'static [u8] {
    match level {
        Level::Trace => b"\x1b[35m",
        Level::Debug => b"\x1b[34m",
        Level::Info => b"\x1b[32m",
        Level::Warn => b"\x1b[33m",
        Level::Error => b"\x1b[31m",
        Level::Fatal => b"\x1b[1;37;41m",
    }
}
