//! Writes rows: as an aligned table on a terminal, parted by tabs elsewhere, as JSON or as CSV. In each of them NULL is another
//! thing than an empty text.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use pintle::database::SqlValue;
use serde_json::json;

use super::{
    Statement,
    rows::{self, Done, Sink, Stopped},
    wrong,
};
use crate::{
    exit::{Exit, Failure},
    link::Link,
    print::{self, Style, clean_json, json_line, printable},
    screen::Look,
};

/// After so many rows a table has its widths; a wider cell that comes later moves what is right of it.
const LOOKED_AT: usize = 500;

/// How rows look.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Json,
    Csv,
    Table,
}

/// Runs a statement and writes what comes of it: its rows, or how many it has changed.
pub(super) fn answer(link: &mut Link, statement: &Statement<'_>, form: Form) -> Result<Exit, Failure> {
    let mut failed = None;
    let exit = print::answer(|out| {
        let style = Style::of_stdout();
        let mut sheet = Sheet { out, form, style, names: Vec::new(), waiting: Vec::new(), widths: None };
        let ran = rows::run(link, statement, &mut sheet);
        sheet.settle()?;
        match ran {
            Ok(done) if statement.write && sheet.names.is_empty() => changed(sheet.out, &done, form)?,
            Ok(_) => {}
            Err(Stopped::Full(error)) => return Err(error),
            Err(Stopped::Refused(error)) => failed = Some(error),
        }
        Ok(Exit::Fine)
    })?;
    match failed {
        Some(error) => Err(wrong(link, rows::method(statement), &error, statement.sql)),
        None => Ok(exit),
    }
}

fn changed(out: &mut dyn Write, done: &Done, form: Form) -> io::Result<()> {
    let Done { changed, last_insert_id } = done;
    match form {
        Form::Json => {
            let line = json_line(&json!({ "changed": changed, "last_insert_id": last_insert_id }))?;
            out.write_all(line.as_bytes())
        }
        Form::Csv | Form::Table => writeln!(out, "{changed}"),
    }
}

/// Where rows go.
struct Sheet<'a> {
    out: &'a mut dyn Write,
    form: Form,
    style: Style,
    names: Vec<String>,
    /// Of a table that has no widths yet.
    waiting: Vec<Vec<SqlValue>>,
    widths: Option<Vec<usize>>,
}

impl Sink for Sheet<'_> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = match self.form {
            Form::Json => told_apart(names),
            Form::Csv | Form::Table => names.to_vec(),
        };
        match self.form {
            Form::Csv if !names.is_empty() => {
                let names = names.iter().map(|name| csv(&SqlValue::Text(name.clone()), self.style));
                let line = names.collect::<Vec<_>>().join(",");
                writeln!(self.out, "{line}")
            }
            _ => Ok(()),
        }
    }

    fn row(&mut self, row: Vec<SqlValue>) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let members = self
                    .names
                    .iter()
                    .zip(&row)
                    .map(|(name, value)| format!("{}:{}", json!(name), value.to_json()));
                let line = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
                writeln!(self.out, "{}", clean_json(&line))
            }
            Form::Csv => {
                let cells = row.iter().map(|value| csv(value, self.style));
                writeln!(self.out, "{}", cells.collect::<Vec<_>>().join(","))
            }
            Form::Table if !self.style.terminal => {
                let cells = row.iter().map(|value| cell(value, "\\N"));
                writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("\t"))
            }
            Form::Table if self.widths.is_some() => self.line(&row),
            Form::Table => {
                self.waiting.push(row);
                if self.waiting.len() >= LOOKED_AT { self.settle() } else { Ok(()) }
            }
        }
    }

    fn pause(&mut self) -> io::Result<()> {
        self.settle()?;
        self.out.flush()
    }
}

impl Sheet<'_> {
    /// Writes what waits, under the heads, with the widths that it has.
    fn settle(&mut self) -> io::Result<()> {
        let heads = matches!(self.form, Form::Table) && self.style.terminal && !self.names.is_empty();
        if !heads || self.widths.is_some() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let names: Vec<String> = self.names.iter().map(|name| printable(name)).collect();
        let widths = names.iter().enumerate().map(|(at, name)| {
            let cells = waiting.iter().filter_map(|row| row.get(at)).map(|value| width(&cell(value, "NULL")));
            cells.chain([width(name)]).max().unwrap_or_default()
        });
        let widths: Vec<usize> = widths.collect();
        let head = names.iter().zip(&widths).map(|(name, width)| format!("{name:width$}", width = *width));
        let head = head.collect::<Vec<_>>().join("  ");
        writeln!(self.out, "{}", Look::Bold.paint(head.trim_end(), self.style.colours))?;
        self.widths = Some(widths);
        waiting.iter().try_for_each(|row| self.line(row))
    }

    fn line(&mut self, row: &[SqlValue]) -> io::Result<()> {
        let widths = self.widths.as_deref().unwrap_or_default();
        let mut line = String::new();
        for (at, value) in row.iter().enumerate() {
            let cell = cell(value, "NULL");
            let pad = widths.get(at).copied().unwrap_or_default().saturating_sub(width(&cell));
            let is_last = at + 1 == row.len();
            let (before, behind) = match value {
                // Numbers stand under each other by their last digits.
                SqlValue::Integer(_) => (pad, 0),
                _ if is_last => (0, 0),
                _ => (0, pad),
            };
            let shown = match value {
                SqlValue::Null => Look::Dim.paint(&cell, self.style.colours),
                _ => cell,
            };
            line.push_str(&format!("{}{shown}{}", " ".repeat(before), " ".repeat(behind)));
            if !is_last {
                line.push_str("  ");
            }
        }
        writeln!(self.out, "{line}")
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// A name that comes again has a number: members of an object are to be told apart.
fn told_apart(names: &[String]) -> Vec<String> {
    let mut apart: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let mut free = name.clone();
        let mut number = 1;
        while apart.contains(&free) {
            number += 1;
            free = format!("{name}:{number}");
        }
        apart.push(free);
    }
    apart
}

/// A value in a table: bytes as SQL writes them, and of a text nothing that would steer a terminal or look like an end.
fn cell(value: &SqlValue, null: &str) -> String {
    match value {
        SqlValue::Null => null.to_owned(),
        SqlValue::Integer(integer) => integer.to_string(),
        SqlValue::Real(real) => format!("{real:?}"),
        SqlValue::Text(text) => printable(&text.replace('\\', "\\\\")),
        SqlValue::Blob(blob) => format!("x'{}'", HEXLOWER.encode(blob)),
    }
}

/// A value in CSV: NULL is nothing at all, an empty text a pair of quotes.
fn csv(value: &SqlValue, style: Style) -> String {
    match value {
        SqlValue::Null => String::new(),
        SqlValue::Text(text) => {
            let text = if style.terminal { printable(text) } else { text.clone() };
            let plain = !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) && text.trim() == text;
            if plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
        }
        value => cell(value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: Form, terminal: bool, colours: bool, rows: &[Vec<SqlValue>]) -> String {
        let mut out = Vec::new();
        let style = Style { terminal, colours };
        let mut sheet =
            Sheet { out: &mut out, form, style, names: Vec::new(), waiting: Vec::new(), widths: None };
        let names = ["id", "note", "id"].map(str::to_owned);
        sheet.columns(&names).expect("there is room");
        for row in rows {
            sheet.row(row.clone()).expect("there is room");
        }
        sheet.pause().expect("there is room");
        String::from_utf8(out).expect("it is text")
    }

    fn rows() -> Vec<Vec<SqlValue>> {
        let blob = SqlValue::Blob(vec![0, 255]);
        vec![
            vec![1.into(), "".into(), SqlValue::Null],
            vec![SqlValue::Integer(-300), "a\tb\\N\u{1b}[2J".into(), 2.0.into()],
            vec![SqlValue::Null, "say \"x\", y\nz".into(), blob],
        ]
    }

    #[test]
    fn null_and_an_empty_text_are_told_apart_in_every_form() {
        assert_eq!(
            shown(Form::Table, false, false, &rows()),
            "1\t\t\\N\n-300\ta\\tb\\\\N\\u{1b}[2J\t2.0\n\\N\tsay \"x\", y\\nz\tx'00ff'\n"
        );
        assert_eq!(
            shown(Form::Table, true, false, &rows()),
            "id    note              id\n   1                    NULL\n-300  a\\tb\\\\N\\u{1b}[2J  2.0\nNULL  say \"x\", y\\nz     x'00ff'\n"
        );
        assert_eq!(
            shown(Form::Json, false, false, &rows()),
            "{\"id\":1,\"note\":\"\",\"id:2\":null}\n{\"id\":-300,\"note\":\"a\\tb\\\\N\\u001b[2J\",\"id:2\":2.0}\n\
             {\"id\":null,\"note\":\"say \\\"x\\\", y\\nz\",\"id:2\":{\"$blob\":\"AP8=\"}}\n"
        );
        assert_eq!(
            shown(Form::Csv, false, false, &rows()),
            "id,note,id\n1,\"\",\n-300,a\tb\\N\u{1b}[2J,2.0\n,\"say \"\"x\"\", y\nz\",x'00ff'\n"
        );
        assert!(!shown(Form::Csv, true, false, &rows()).contains('\u{1b}'));
        assert!(shown(Form::Table, true, true, &rows()).contains("\u{1b}[2mNULL\u{1b}[0m"));
    }

    #[test]
    fn a_table_without_rows_has_its_heads() {
        assert_eq!(shown(Form::Table, true, false, &[]), "id  note  id\n");
        assert_eq!(shown(Form::Table, false, false, &[]), "");
        assert_eq!(shown(Form::Csv, false, false, &[]), "id,note,id\n");
    }
}
