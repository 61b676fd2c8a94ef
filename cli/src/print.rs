//! What commands that answer at once write to stdout: texts, tables and JSON lines. A reader that has seen enough and
//! closes the pipe is no error.

use std::{
    fmt::Write as _,
    io::{self, BufWriter, Write},
    path::Path,
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    exit::{Exit, Failure},
    screen::{Look, is_terminal},
    voice::{push_printable, steers},
};

/// Writes an answer, and ends as `write` says, or where its reader is gone, quietly.
pub(crate) fn answer(write: impl FnOnce(&mut dyn Write) -> io::Result<Exit>) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|exit| out.flush().map(|()| exit)) {
        Ok(exit) => Ok(exit),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Fine),
        Err(error) => Err(cannot_write(&error)),
    }
}

/// What has become of work that is done whether anybody reads of it or not: when stdout takes no more, the rest is not
/// told, and done all the same.
pub(crate) struct Report {
    out: BufWriter<io::StdoutLock<'static>>,
    over: Option<io::Error>,
}

impl Report {
    /// Nothing is told yet.
    pub(crate) fn new() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), over: None }
    }

    /// Tells more.
    pub(crate) fn tell(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if self.over.is_none() {
            self.over = write(&mut self.out).err();
        }
    }

    /// The end: as the work went, or that not all could be told.
    pub(crate) fn end(mut self, exit: Exit) -> Result<Exit, Failure> {
        self.tell(|out| out.flush());
        match self.over {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_write(&error)),
            _ => Ok(exit),
        }
    }
}

/// That stdout takes no more.
pub(crate) fn cannot_write(error: &io::Error) -> Failure {
    Failure::failed(format!("stdout cannot be written: {error}: make room there, or send it elsewhere"))
}

/// `value` as one line of JSON that no terminal takes for anything but text.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<String> {
    let mut line = clean_json(&serde_json::to_string(value)?);
    line.push('\n');
    Ok(line)
}

/// JSON in which no terminal finds anything but text.
pub(crate) fn clean_json(plain: &str) -> String {
    let mut line = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        if steers(character) {
            // Only in strings are there such characters, and all of them are of 16 bits. Writing to a String cannot
            // fail.
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line
}

/// `text` without anything that steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    push_printable(&mut clean, text);
    clean
}

/// How an answer looks: for people on a terminal, else for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Stdout is a terminal.
    pub(crate) terminal: bool,
    /// Colours are wanted on it.
    pub(crate) colours: bool,
}

impl Style {
    /// For what stdout is.
    pub(crate) fn of_stdout() -> Self {
        let terminal = is_terminal();
        Self { terminal, colours: terminal && Look::wanted() }
    }
}

/// Rows under `heads`. On a terminal columns are aligned, with their heads above; else they are parted by tabs, without
/// heads, so that `cut` and `awk` get them. An empty cell is `-`. No cell is cut off.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>], style: Style) -> String {
    let cell = |text: &String| if text.is_empty() { "-".to_owned() } else { printable(text) };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let mut out = String::new();
    if !style.terminal {
        for row in rows {
            out.push_str(&row.join("\t"));
            out.push('\n');
        }
        return out;
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    out.push_str(&Look::Bold.paint(&line(&mut heads.iter().copied()), style.colours));
    out.push('\n');
    for row in &rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// The path for the host, whose working folder is its own.
pub(crate) fn absolute(file: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(file)
        .map_err(|error| Failure::failed(format!("{} is no path: {error}", file.display())))?;
    path.into_os_string().into_string().map_err(|path| {
        Failure::failed(format!(
            "{} is not UTF-8, which a host is told paths in: name another file",
            path.display()
        ))
    })
}

/// A member that counts something; 0 if it is not there.
pub(crate) fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

/// A member that is a text; empty if it is none.
pub(crate) fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}

/// What a plugin is up to, in one word: what an operator must know of comes first.
pub(crate) fn state(plugin: &Value) -> &str {
    if plugin["stuck"] == true || plugin["lane"]["stuck"] == true {
        "stuck"
    } else if plugin["suspended"].is_object() {
        "suspended"
    } else {
        text(plugin, "state")
    }
}

/// Why a plugin is suspended, and until when; None: it is not.
pub(crate) fn suspension(plugin: &Value) -> Option<String> {
    let suspended = plugin["suspended"].as_object()?;
    let why = suspended.get("text").and_then(Value::as_str).unwrap_or("it is suspended");
    Some(match suspended.get("until_ms").and_then(Value::as_i64) {
        Some(until) => format!("{why}: until {}, or `pintle plugins release`", clock(until)),
        None => format!("{why}: until `pintle plugins release`"),
    })
}

/// A number of bytes: as a size for people, as it is for programs.
pub(crate) fn sized(bytes: u64, style: Style) -> String {
    if style.terminal { size(bytes as f64) } else { bytes.to_string() }
}

/// The time of day, UTC.
pub(crate) fn clock(time_ms: i64) -> String {
    let day = time_ms.rem_euclid(86_400_000);
    let (hour, minute, second) = (day / 3_600_000, day / 60_000 % 60, day / 1_000 % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}Z", day % 1_000)
}

/// The day and the time of day, UTC, as RFC 3339 has them.
pub(crate) fn moment(time_ms: i64) -> String {
    // The calendar comes round again after 400 years, wherever one begins.
    const ROUND: i64 = 146_097;
    let days = time_ms.div_euclid(86_400_000);
    let (mut year, mut day) = (1970 + 400 * days.div_euclid(ROUND), days.rem_euclid(ROUND));
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}T{}", day + 1, clock(time_ms))
}

/// A size for people: `1.5 MiB`.
pub(crate) fn size(bytes: f64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let fits = |power: usize| bytes.abs() < 1024_f64.powi(power as i32 + 2);
    match (bytes.abs() < 1024.0, (0..units.len()).find(|power| fits(*power))) {
        (true, _) => format!("{bytes} B"),
        (false, power) => {
            let power = power.unwrap_or(units.len() - 1);
            format!("{:.1} {}", bytes / 1024_f64.powi(power as i32 + 1), units[power])
        }
    }
}

/// A time for people: `1 h 2 min`.
pub(crate) fn duration(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..172_800_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [[&str; 3]; 2] = [["a", "", "x\ty\u{1b}[2J"], ["longer", "2", "ü"]];

    fn shown(terminal: bool, colours: bool) -> String {
        let rows: Vec<Vec<String>> = ROWS.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        table(&["ID", "NUMBER", "TEXT"], &rows, Style { terminal, colours })
    }

    #[test]
    fn a_table_is_aligned_for_people_and_parted_by_tabs_for_programs() {
        assert_eq!(shown(false, false), "a\t-\tx\\ty\\u{1b}[2J\nlonger\t2\tü\n");
        let plain = "ID      NUMBER  TEXT\na       -       x\\ty\\u{1b}[2J\nlonger  2       ü\n";
        assert_eq!(shown(true, false), plain);
        assert_eq!(
            shown(true, true),
            plain.replacen("ID      NUMBER  TEXT", "\x1b[1mID      NUMBER  TEXT\x1b[0m", 1)
        );
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\u{1b}\n\"ü";
        let line = json_line(&[text]).expect("it is a text");
        assert_eq!(line, "[\"a\\u009b31m\\u007f\\u202e\\u001b\\n\\\"ü\"]\n");
        let back: Vec<String> = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(back, [text]);
    }

    #[test]
    fn moments_are_told_by_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_244_400_120, "2026-11-21T07:00:00.120Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(moment(ms), expected);
        }
    }

    #[test]
    fn sizes_are_told_in_units_of_1024() {
        for (bytes, expected) in [
            (0.0, "0 B"),
            (1_023.0, "1023 B"),
            (1_024.0, "1.0 KiB"),
            (1_572_864.0, "1.5 MiB"),
            (1024_f64.powi(5), "1024.0 TiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_661_000, "1 h 1 min"),
            (172_800_000, "2 d 0 h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }
}
