//! `pintle sql`: the SQL databases of plugins, of a host that runs or in its data folder: queries, statements that write, which
//! databases there are, and copies of them.
//!
//! `values` reads what stands for placeholders, `rows` gets rows from a host, `show` writes them.

mod rows;
mod show;
mod values;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use pintle::database::SqlValue;
use serde_json::{Value, json};

use self::{show::Form, values::Values};
use crate::{
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    print::{self, Style, count, json_line, printable, size, sized, table, text},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Asks the SQL databases of plugins, and copies them

Asks the host that runs on the data folder. Without one it opens the folder itself; no host can start there meanwhile.

A plugin has a database for each tenant that it serves. Without --tenant it is the one that it has on nobody's behalf. The SQL is \
held to what that of the plugin is: it cannot leave the database, and has the same limits. It reads, unless --write is there.

Examples:
  pintle sql orders 'SELECT id, total FROM orders ORDER BY total DESC LIMIT 10'
  pintle sql orders --tenant acme 'SELECT * FROM orders WHERE id = ?1 AND note = ?2' --param 7 --param urgent
  pintle sql orders --write 'DELETE FROM orders WHERE id = ?1' --param 7
  pintle sql orders --write --file repair.sql
  pintle sql orders --backup orders.db
  pintle sql --list";

/// The longest script.
const LONGEST_SCRIPT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// The plugin
    #[arg(value_name = "PLUGIN", required_unless_present = "list")]
    plugin: Option<String>,
    /// One statement, with `?1`, `?2` and so on where values belong
    #[arg(
        value_name = "SQL",
        required_unless_present_any = ["list", "backup", "file"],
        conflicts_with_all = ["list", "backup", "file"]
    )]
    sql: Option<String>,
    /// The tenant; by default none: the database that the plugin has on nobody's behalf
    #[arg(long, value_name = "TENANT", default_value = "")]
    tenant: String,
    #[command(flatten)]
    values: Values,
    /// Lets the statement write
    #[arg(long, conflicts_with_all = ["list", "backup"])]
    write: bool,
    /// Runs all statements of a file as a whole; `-` is stdin
    #[arg(long, value_name = "FILE|-", requires = "write", conflicts_with_all = ["list", "backup", "param", "param-json"])]
    file: Option<PathBuf>,
    /// Copies the database into a file, which must not be there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "param", "param-json"])]
    backup: Option<PathBuf>,
    /// Lets the copy replace a file that is there
    #[arg(long, requires = "backup")]
    overwrite: bool,
    /// Shows which databases there are, and how large they are
    #[arg(long, conflicts_with_all = ["param", "param-json"])]
    list: bool,
    /// How long it may take, in milliseconds: by default a minute, and a copy as long as it takes
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout: Option<u64>,
    /// Writes JSON objects, one on a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Writes rows as comma-separated values, with the names of the columns first
    #[arg(long, conflicts_with_all = ["list", "backup", "file"])]
    csv: bool,
}

/// How long a statement may take where nothing is said: whoever reads its rows may take their time.
const USUAL_MS: u64 = 60_000;

/// A statement and where it runs.
struct Statement<'a> {
    plugin: &'a str,
    tenant: &'a str,
    sql: &'a str,
    values: &'a [SqlValue],
    write: bool,
    timeout_ms: u64,
}

/// Asks a database, or does what else is asked for.
pub(crate) fn sql(options: &Options) -> Result<Exit, Failure> {
    // What cannot be read is said before anybody is asked.
    let script = options.file.as_deref().map(script).transpose()?;
    let link = &mut Link::open(&options.place)?;
    let plugin = options.plugin.as_deref();
    let timeout_ms = options.timeout.unwrap_or(USUAL_MS);
    match (plugin, &options.sql, script, &options.backup) {
        (Some(plugin), Some(sql), ..) => {
            let statement = Statement {
                plugin,
                tenant: &options.tenant,
                sql,
                values: options.values.given(),
                write: options.write,
                timeout_ms,
            };
            let form = match (options.json, options.csv) {
                (true, _) => Form::Json,
                (_, true) => Form::Csv,
                _ => Form::Table,
            };
            show::answer(link, &statement, form)
        }
        (Some(plugin), None, Some(script), _) => {
            let params = json!({
                "plugin": plugin, "tenant": options.tenant, "sql": script, "timeout_ms": timeout_ms,
            });
            let done = match link.try_ask("sql.script", params) {
                Ok(done) => done,
                Err(error) => return Err(wrong(link, "sql.script", &error, &script)),
            };
            said(&done, &count(&done, "changed").to_string(), options.json)
        }
        (Some(plugin), None, None, Some(file)) => {
            let params = json!({
                "plugin": plugin, "tenant": options.tenant, "path": print::absolute(file)?,
                "overwrite": options.overwrite, "timeout_ms": options.timeout,
            });
            let copied = link.ask("sql.backup", params)?;
            said(&copied, &size(count(&copied, "bytes") as f64), options.json)
        }
        _ => list(link, plugin, options.json),
    }
}

fn script(file: &Path) -> Result<String, Failure> {
    let name = if file == Path::new("-") { "stdin".into() } else { file.display().to_string() };
    let unreadable = |error: io::Error| Failure::failed(format!("{name} cannot be read: {error}"));
    let mut bytes = Vec::new();
    let read = match name.as_str() {
        "stdin" => io::stdin().lock().take(LONGEST_SCRIPT + 1).read_to_end(&mut bytes),
        _ => File::open(file).and_then(|file| file.take(LONGEST_SCRIPT + 1).read_to_end(&mut bytes)),
    };
    read.map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_SCRIPT {
        return Err(Failure::failed(format!("{name} has more than {LONGEST_SCRIPT} bytes: run it in parts")));
    }
    String::from_utf8(bytes).map_err(|error| {
        Failure::failed(format!(
            "{name} is no SQL: not UTF-8 from byte {} on",
            error.utf8_error().valid_up_to()
        ))
    })
}

/// One object, or what is `shown` for people.
fn said(of: &Value, shown: &str, json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        match json {
            true => out.write_all(json_line(of)?.as_bytes())?,
            false => writeln!(out, "{shown}")?,
        }
        Ok(Exit::Fine)
    })
}

/// What is no database is status 4.
fn list(link: &mut Link, plugin: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let params = plugin.map_or(json!({}), |plugin| json!({ "plugin": plugin }));
    let found = link.ask("sql.list", params)?;
    let problems: Vec<&str> =
        found["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let exit = if problems.is_empty() { Exit::Fine } else { Exit::Partly };
    print::answer(|out| {
        if json {
            out.write_all(json_line(&found)?.as_bytes())?;
            return Ok(exit);
        }
        let style = Style::of_stdout();
        let databases = found["databases"].as_array().into_iter().flatten();
        let rows: Vec<_> = databases
            .map(|it| {
                vec![
                    text(it, "plugin").to_owned(),
                    text(it, "tenant").to_owned(),
                    sized(count(it, "bytes"), style),
                ]
            })
            .collect();
        out.write_all(table(&["PLUGIN", "TENANT", "BYTES"], &rows, style).as_bytes())?;
        Ok(exit)
    })?;
    if !json {
        for problem in &problems {
            Voice::plain().say(problem);
        }
    }
    Ok(exit)
}

/// What an error of the host is to the command; where the database says which byte of the SQL it is about, that is shown.
fn wrong(link: &mut Link, method: &str, error: &pintle::Error, sql: &str) -> Failure {
    let mut failure = link.failure(method, error);
    if let Some(place) = error.sql_offset().and_then(|offset| pointed(sql, offset)) {
        failure.text.push_str(&format!("\n{place}"));
    }
    failure
}

/// How many characters stand before and behind the place, at most.
const AROUND: usize = 35;

/// The line of the SQL that has the byte, or the middle of it, and a mark under the place.
fn pointed(sql: &str, offset: usize) -> Option<String> {
    let (before, behind) = (sql.get(..offset)?, sql.get(offset..)?);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let end = behind.find('\n').map_or(sql.len(), |end| offset + end);
    let front: Vec<char> = sql[start..offset].chars().collect();
    let cut = front.len().saturating_sub(AROUND);
    let front = printable(&front[cut..].iter().collect::<String>());
    let back: String = sql[offset..end].trim_end().chars().take(AROUND).collect();
    Some(format!("  {front}{}\n  {}^", printable(&back), " ".repeat(front.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked_in_its_line_whatever_stands_around_it() {
        let long = format!("SELECT {} FROM", "x".repeat(100));
        for (sql, offset, expected) in [
            ("SELEC 1", 0, Some("  SELEC 1\n  ^")),
            ("SELECT 'ü', oops", 13, Some("  SELECT 'ü', oops\n              ^")),
            ("SELECT 1,\n\toops\nFROM t", 11, Some("  \\toops\n    ^")),
            ("a", 1, Some("  a\n   ^")),
            ("a", 2, None),
            ("ü", 1, None),
        ] {
            assert_eq!(pointed(sql, offset).as_deref(), expected, "{sql:?}");
        }
        let shown = pointed(&long, 107).expect("it is in it");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!((lines[0].len(), lines[1].len()), (2 + 35 + 5, 2 + 35 + 1), "{shown}");
    }
}
