//! Reads OpenMetrics 1.0 text and refuses what is none: stricter than scrapers are.

use std::collections::{BTreeMap, BTreeSet};

/// One family, whole.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a number.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// All families of a text, by name; or what is wrong with it.
pub(crate) fn check(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let lines = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF and a newline")?;
    if !lines.is_empty() && !lines.ends_with('\n') {
        return Err("# EOF is no line of its own".into());
    }
    let mut families: Vec<Family> = Vec::new();
    for line in lines.split_terminator('\n') {
        take(line, &mut families).map_err(|problem| format!("{problem}, in the line: {line}"))?;
    }
    let mut taken = BTreeSet::new();
    for family in &families {
        check_family(family).map_err(|problem| format!("{}: {problem}", family.name))?;
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["", "_total", "_created"],
            "histogram" => &["", "_bucket", "_count", "_sum", "_created"],
            "info" => &["", "_info"],
            _ => &[""],
        };
        for suffix in suffixes {
            let name = format!("{}{suffix}", family.name);
            if !taken.insert(name.clone()) {
                return Err(format!("{name} could be of two families"));
            }
        }
    }
    Ok(families.into_iter().map(|family| (family.name.clone(), family)).collect())
}

fn take(line: &str, families: &mut Vec<Family>) -> Result<(), String> {
    let Some(told) = line.strip_prefix("# ") else {
        let sample = sample(line)?;
        let family = families.last_mut().ok_or("a sample of no family")?;
        if family.kind.is_empty() {
            return Err("a sample before the TYPE of its family".into());
        }
        let suffix = sample.name.strip_prefix(&family.name).ok_or("a sample of another family")?;
        let fits = match family.kind.as_str() {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            "info" => suffix == "_info",
            "histogram" => ["_bucket", "_count", "_sum"].contains(&suffix),
            other => return Err(format!("the type {other} is not expected here")),
        };
        if !fits {
            return Err(format!("the suffix {suffix:?} is not of a {}", family.kind));
        }
        family.samples.push(sample);
        return Ok(());
    };
    let mut parts = told.splitn(3, ' ');
    let (Some(what), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a line about a family has three parts".into());
    };
    check_name(name, true)?;
    if families.last().is_none_or(|family| family.name != name) {
        if families.iter().any(|family| family.name == name) {
            return Err("the family is there already".into());
        }
        let (kind, help) = (String::new(), String::new());
        families.push(Family { name: name.into(), kind, unit: None, help, samples: Vec::new() });
    }
    let family = families.last_mut().ok_or("no family")?;
    if !family.samples.is_empty() {
        return Err("it comes after samples".into());
    }
    let place = match what {
        "HELP" => &mut family.help,
        "TYPE" => &mut family.kind,
        "UNIT" => family.unit.get_or_insert_default(),
        _ => return Err(format!("# {what} is nothing")),
    };
    if !place.is_empty() || rest.is_empty() {
        return Err(format!("{what} twice, or of nothing"));
    }
    *place = if what == "HELP" { unescaped(rest, false)? } else { rest.into() };
    Ok(())
}

fn check_family(family: &Family) -> Result<(), String> {
    let Family { name, kind, unit, help, samples } = family;
    if kind.is_empty() || !help.ends_with('.') {
        return Err("it needs a TYPE and a HELP that is a sentence".into());
    }
    let ending = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
    if unit.as_deref() != ending {
        return Err(format!("the unit {unit:?} does not fit the name"));
    }
    let mut seen = BTreeSet::new();
    for Sample { name, labels, value } in samples {
        if !seen.insert((name, labels)) {
            return Err(format!("{name} {labels:?} twice"));
        }
        let right = match kind.as_str() {
            "info" => *value == 1.0,
            "counter" | "histogram" => value.is_finite() && *value >= 0.0,
            _ => value.is_finite(),
        };
        if !right || labels.contains_key("le") != name.ends_with("_bucket") {
            return Err(format!("{name} {labels:?} {value}"));
        }
    }
    if kind == "histogram" { check_histogram(family) } else { Ok(()) }
}

/// The samples of one histogram stand together: of all of them the buckets in order, the last one with all.
fn check_histogram(family: &Family) -> Result<(), String> {
    let mut groups: Vec<(BTreeMap<String, String>, Vec<&Sample>)> = Vec::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        match groups.iter().position(|(of, _)| *of == labels) {
            Some(at) if at + 1 == groups.len() => groups[at].1.push(sample),
            Some(_) => return Err(format!("{labels:?} is torn")),
            None => groups.push((labels, vec![sample])),
        }
    }
    for (labels, samples) in groups {
        let all = |suffix: &str| {
            let samples = samples.iter().filter(|sample| sample.name.ends_with(suffix));
            samples.map(|sample| (sample.labels.get("le").cloned(), sample.value)).collect::<Vec<_>>()
        };
        let (buckets, count, sum) = (all("_bucket"), all("_count"), all("_sum"));
        let bounds: Vec<f64> =
            buckets.iter().filter_map(|(le, _)| le.as_ref()?.replace("+Inf", "inf").parse().ok()).collect();
        let in_order = bounds.windows(2).all(|pair| pair[0] < pair[1])
            && buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
        let ends = buckets
            .last()
            .is_some_and(|(le, all)| le.as_deref() == Some("+Inf") && count.len() == 1 && *all == count[0].1);
        if !in_order || !ends || bounds.len() != buckets.len() || sum.len() != 1 {
            return Err(format!("{labels:?} is no histogram: {buckets:?}, count {count:?}, sum {sum:?}"));
        }
    }
    Ok(())
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("neither labels nor a value")?;
    let (name, mut rest) = line.split_at(end);
    check_name(name, true)?;
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or("a label without a value")?;
            check_name(label, false)?;
            let end = end_of_value(value).ok_or("a value without an end")?;
            if labels.insert(label.to_owned(), unescaped(&value[..end], true)?).is_some() {
                return Err(format!("the label {label} twice"));
            }
            rest = &value[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').ok_or("labels without an end")?;
    }
    let value = rest.strip_prefix(' ').ok_or("no value")?;
    let known = value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
    match value.parse() {
        Ok(number) if known => Ok(Sample { name: name.into(), labels, value: number }),
        _ => Err(format!("{value:?} is no number")),
    }
}

/// Where the quote is that no backslash stands before.
fn end_of_value(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn unescaped(text: &str, quotes: bool) -> Result<String, String> {
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('\\') => plain.push('\\'),
                Some('n') => plain.push('\n'),
                Some('"') if quotes => plain.push('"'),
                other => return Err(format!("{other:?} is not to be escaped")),
            },
            '"' if quotes => return Err("a quote inside of a value".into()),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn check_name(name: &str, of_metric: bool) -> Result<(), String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let right = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(inside);
    if !right || name.contains("__") || (of_metric && !name.starts_with("pintle_")) {
        return Err(format!("{name:?} is no name"));
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_refused() {
    let whole = "# HELP pintle_a A.\n# TYPE pintle_a counter\npintle_a_total{x=\"1\"} 1\n# EOF\n";
    check(whole).expect("it is right");
    let histogram = |body: &str| {
        format!(
            "# HELP pintle_h_seconds H.\n# TYPE pintle_h_seconds histogram\n# UNIT pintle_h_seconds seconds\n{body}# EOF\n"
        )
    };
    let full = "pintle_h_seconds_sum 1\npintle_h_seconds_count 2\npintle_h_seconds_bucket{le=\"0.1\"} 1\npintle_h_seconds_bucket{le=\"+Inf\"} 2\n";
    check(&histogram(full)).expect("it is right");
    let changed = |from: &str, to: &str| {
        assert!(whole.contains(from) || full.contains(from), "{from}");
        if whole.contains(from) {
            whole.replacen(from, to, 1)
        } else {
            histogram(&full.replacen(from, to, 1))
        }
    };
    for (from, to) in [
        ("# EOF\n", "# EOF"),
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF\n\n"),
        ("A.\n", "A\n"),
        ("# TYPE pintle_a counter\n", ""),
        ("counter", "gauge"),
        ("counter", "number"),
        ("_total", ""),
        ("_total", "_info"),
        ("pintle_a_total", "pintle_b_total"),
        ("pintle_a_total{x=\"1\"} 1\n", "pintle_a_total{x=\"1\"} 1\npintle_a_total{x=\"1\"} 2\n"),
        ("x=\"1\"", "x=\"1\",x=\"2\""),
        ("x=\"1\"", "x=\"a\\tb\""),
        ("x=\"1\"", "x=\"a\"b\""),
        ("x=\"1\"", "x=\"a\nb\""),
        ("x=\"1\"", "X=\"1\""),
        ("} 1", "} one"),
        ("} 1", "} -1"),
        ("} 1", "} NaN"),
        ("# HELP", "# HELP pintle_a B.\n# HELP"),
        ("# HELP", "# HELP pintle_b B.\n# TYPE pintle_b gauge\npintle_b 1\n# HELP"),
        ("+Inf", "1"),
        ("0.1\"} 1", "0.1\"} 3"),
        ("count 2", "count 3"),
        ("le=\"0.1\"", "le=\"0.1\",a=\"b\""),
        ("pintle_h_seconds_sum 1\n", ""),
    ] {
        let mut text = changed(from, to);
        if to.contains("pintle_b 1") {
            // Of two that are right each, the second comes in between.
            text = text
                .replace("# EOF", "# HELP pintle_b B.\n# TYPE pintle_b gauge\npintle_b{x=\"2\"} 1\n# EOF");
        }
        check(&text).expect_err(&text);
    }
}
