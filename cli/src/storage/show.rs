//! What `pintle storage` writes: for people, or with `--json` for programs.

use serde_json::Value;

use crate::{
    exit::{Exit, Failure},
    print::{self, Style, count, json_line, printable, size, sized, table, text},
    voice::Voice,
};

/// `of` as it is with `--json`, and `said` for people.
pub(super) fn line(of: &Value, said: &str, json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        match json {
            true => out.write_all(json_line(of)?.as_bytes())?,
            false => writeln!(out, "{}", printable(said))?,
        }
        Ok(Exit::Fine)
    })
}

pub(super) fn stats(stats: &Value, json: bool) -> Result<Exit, Failure> {
    print::answer(|out| {
        match json {
            true => out.write_all(json_line(stats)?.as_bytes())?,
            false => out.write_all(rows(stats, Style::of_stdout()).as_bytes())?,
        }
        Ok(Exit::Fine)
    })
}

/// A row for each scope.
fn rows(stats: &Value, style: Style) -> String {
    let mut rows = Vec::new();
    for plugin in stats["plugins"].as_array().into_iter().flatten() {
        for scope in plugin["tenants"].as_array().into_iter().flatten() {
            rows.push(vec![
                text(plugin, "id").to_owned(),
                text(scope, "tenant").to_owned(),
                count(scope, "items").to_string(),
                sized(count(scope, "bytes"), style),
            ]);
        }
    }
    table(&["PLUGIN", "TENANT", "ITEMS", "BYTES"], &rows, style)
}

/// The bytes of the value as they are, or one object with all that is known.
pub(super) fn item(mut of: Value, item: &Value, json: bool) -> Result<Exit, Failure> {
    let bytes = match item["value_base64"].as_str() {
        None => text(item, "value").as_bytes().to_vec(),
        Some(coded) => data_encoding::BASE64
            .decode(coded.as_bytes())
            .map_err(|error| Failure::failed(format!("the host gave a value that is no base64: {error}")))?,
    };
    print::answer(|out| {
        if json {
            if let (Value::Object(of), Value::Object(item)) = (&mut of, item.clone()) {
                of.extend(item);
            }
            out.write_all(json_line(&of)?.as_bytes())?;
        } else {
            out.write_all(&bytes)?;
        }
        Ok(Exit::Fine)
    })
}

pub(super) fn exported(report: &Value, json: bool) -> Result<Exit, Failure> {
    line(report, &format!("{}, {} on disk", carried(report), bytes(report, "file_bytes")), json)
}

pub(super) fn imported(report: &Value, json: bool) -> Result<Exit, Failure> {
    let mut said = format!("{} are now of {}", carried(report), text(report, "plugin"));
    for (name, what) in
        [("removed", "were removed for them"), ("expired", "were left out: their lifetime is over")]
    {
        if count(report, name) > 0 {
            said.push_str(&format!("; {} {what}", count(report, name)));
        }
    }
    line(report, &said, json)
}

fn carried(report: &Value) -> String {
    let tenants = match count(report, "tenants") {
        1 => "1 scope".to_owned(),
        many => format!("{many} scopes"),
    };
    format!("{} items of {tenants}, {}", count(report, "items"), bytes(report, "bytes"))
}

fn bytes(of: &Value, name: &str) -> String {
    size(count(of, name) as f64)
}

/// Not whole is status 4.
pub(super) fn checked(found: &Value, json: bool) -> Result<Exit, Failure> {
    let problems: Vec<&str> =
        found["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let exit = if problems.is_empty() { Exit::Fine } else { Exit::Partly };
    print::answer(|out| {
        if json {
            out.write_all(json_line(found)?.as_bytes())?;
        } else if problems.is_empty() {
            let (items, scopes) = (count(found, "items"), count(found, "scopes"));
            writeln!(out, "whole: {items} items in {scopes} scopes, {}", bytes(found, "bytes"))?;
        }
        Ok(exit)
    })?;
    if !json {
        for problem in &problems {
            Voice::plain().say(problem);
        }
        if !problems.is_empty() {
            let mend = "export what can be read, stop the host, move pintle.db and its -wal away together, and import it again, or put a backup there";
            Voice::plain().say(&format!("the storage is not whole: {mend}"));
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_scope_has_a_row_and_sizes_are_for_people_on_a_terminal_alone() {
        let tenants = json!([{ "tenant": "", "items": 1, "bytes": 2_048 }, { "tenant": "a\u{1b}", "items": 2, "bytes": 3 }]);
        let stats = json!({ "plugins": [{ "id": "p", "tenants": tenants }, { "id": "q", "tenants": [] }] });
        let style = |terminal| Style { terminal, colours: false };
        assert_eq!(rows(&stats, style(false)), "p\t-\t1\t2048\np\ta\\u{1b}\t2\t3\n");
        assert!(rows(&stats, style(true)).contains("p       -        1      2.0 KiB\n"));
    }
}
