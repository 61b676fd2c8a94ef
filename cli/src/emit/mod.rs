//! `pintle emit`: events for the plugins of a running host, one from the command line, or many from a file (`many`).

mod many;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use data_encoding::BASE64;
use pintle::events::Draft;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    event,
    exit::{Exit, Failure},
    folder::Place,
    lines,
    link::Link,
    print::{self, Report, Style, count, json_line, table, text},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Publishes events to a running host

One event is put together from TYPE, DATA and options; its id is written to stdout, with the number of subscriptions \
that it was for. With --wait it waits until they have handled it, and writes what each answered. With --events it \
publishes the CloudEvents of a file, one on each line; a line that is none is told, and the others are published.

Examples:
  pintle emit greet.world '{\"name\":\"you\"}'
  pintle emit greet.world --text hello --tenant acme --wait
  pintle emit upload.done --file picture.png --content-type image/png
  pintle emit order.paid '{\"order\":7}' --id order-7 --durable
  pintle emit --events events.jsonl --wait";

/// The `source` of events that are put together here.
const SOURCE: &str = "/pintle/emit";

/// The most bytes that an event carries.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The type, which is the topic: greet.world
    #[arg(value_name = "TYPE", required_unless_present = "events")]
    topic: Option<String>,
    /// What it carries, in JSON
    #[arg(value_name = "DATA", conflicts_with_all = ["text", "file"])]
    json_data: Option<String>,
    /// What it carries, as text
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    text: Option<String>,
    /// A file with what it carries; `-` is stdin
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// The media type of what it carries; by default what it looks like
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// On whose behalf; by default nobody's
    #[arg(long)]
    tenant: Option<String>,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// Where it comes from; by default /pintle/emit
    #[arg(long, value_name = "URI")]
    source: Option<String>,
    /// Its id, unique for its source; by default a random one
    #[arg(long)]
    id: Option<String>,
    /// Publishes the CloudEvents of a file, one in JSON on each line; `-` is stdin
    #[arg(
        long, value_name = "FILE|-",
        conflicts_with_all = ["topic", "json_data", "text", "file", "content_type", "tenant", "subject", "source", "id"],
    )]
    events: Option<PathBuf>,
    /// Waits until the event is handled, and shows what each handler answered
    #[arg(long)]
    wait: bool,
    /// Writes the event to the log of the host before it is taken, and delivers it to durable subscriptions until they have
    /// acknowledged it
    #[arg(long, conflicts_with = "wait")]
    durable: bool,
    #[command(flatten)]
    place: Place,
    /// Writes a JSON object for each event
    #[arg(long)]
    json: bool,
}

/// An event in the form in which hosts read it.
#[derive(Default, Serialize)]
struct Made<'m> {
    specversion: &'static str,
    id: &'m str,
    source: &'m str,
    #[serde(rename = "type")]
    topic: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// Publishes events.
pub(crate) fn emit(options: &Options) -> Result<Exit, Failure> {
    if let Some(file) = &options.events {
        return many::publish(options, file);
    }
    let (draft, event) = one(options)?;
    let mut link = Link::running(&options.place)?;
    let answer = ask(&mut link, event, options).map_err(|(method, error)| link.failure(method, &error))?;
    let mut report = Report::new();
    report.tell(|out| write(out, &draft, &answer, options));
    let exit = report.end(verdict(&answer))?;
    // A durable one is kept for whoever subscribes later.
    let kept = options.durable;
    if !kept && count(&answer, "matched") == 0 && answer["results"].as_array().is_none_or(Vec::is_empty) {
        Voice::plain().say(&format!(
            "nobody has subscribed to {}: `pintle plugins` shows whether its plugin is enabled",
            draft.topic.as_str()
        ));
    }
    for (name, why) in [
        ("dropped", "a queue was full, or a plugin is not enabled"),
        ("displaced", "this event has taken the last place"),
    ] {
        let lost = count(&answer, name);
        if lost > 0 {
            Voice::plain().say(&format!(
                "{lost} {name}: {why}: --wait waits for the handlers, and tells what became of each"
            ));
        }
    }
    Ok(exit)
}

/// Publishes one, and answers with what the host does, or with the method and its error.
fn ask(link: &mut Link, event: Value, options: &Options) -> Result<Value, (&'static str, pintle::Error)> {
    // Room is waited for a moment where subscriptions ask for that. Older hosts know no `durable`.
    let (method, params) = match (options.wait, options.durable) {
        (true, _) => ("emit_sync", json!({ "event": event })),
        (false, false) => ("emit", json!({ "event": event, "wait_ms": 1_000 })),
        (false, true) => ("emit", json!({ "event": event, "wait_ms": 1_000, "durable": true })),
    };
    link.try_ask(method, params).map_err(|error| (method, error))
}

/// The event of the command line.
fn one(options: &Options) -> Result<(Draft, Value), Failure> {
    let id = options.id.clone().unwrap_or_else(event::new_id);
    let mut made = Made {
        specversion: "1.0",
        id: &id,
        source: options.source.as_deref().unwrap_or(SOURCE),
        topic: options.topic.as_deref().unwrap_or_default(),
        subject: options.subject.as_deref(),
        tenant: options.tenant.as_deref(),
        datacontenttype: options.content_type.as_deref(),
        ..Made::default()
    };
    let bytes = match (&options.json_data, &options.text, &options.file) {
        (Some(data), _, _) => {
            made.data = Some(serde_json::from_str(data).map_err(|error| {
                Failure::misused(format!(
                    "DATA is no JSON: {error}: quote it for the shell, or give it with --text"
                ))
            })?);
            None
        }
        (None, Some(text), _) => Some(text.clone().into_bytes()),
        (None, None, Some(file)) => Some(lines::whole(
            file,
            "data",
            MOST_BYTES,
            "put it where plugins can read it, and say in the event where that is",
        )?),
        (None, None, None) => None,
    };
    if let Some(bytes) = &bytes {
        made.data_base64 = Some(BASE64.encode(bytes));
        made.datacontenttype.get_or_insert(match str::from_utf8(bytes) {
            Ok(text) if options.file.is_some() && serde_json::from_str::<&RawValue>(text).is_ok() => {
                "application/json"
            }
            Ok(_) => "text/plain",
            Err(_) => "application/octet-stream",
        });
    }
    let line = serde_json::to_vec(&made).map_err(Failure::misused)?;
    event::request(&line).map_err(Failure::misused)
}

/// Whether all of it went well.
fn verdict(answer: &Value) -> Exit {
    let failed = |result: &Value| !["handled", "skipped"].contains(&text(result, "outcome"));
    let handlers = answer["results"].as_array().is_some_and(|results| results.iter().any(failed));
    let lost = count(answer, "dropped") + count(answer, "displaced") > 0;
    if handlers || lost { Exit::Partly } else { Exit::Fine }
}

fn write(out: &mut dyn Write, draft: &Draft, answer: &Value, options: &Options) -> io::Result<()> {
    if options.json {
        return out.write_all(json_line(&object(draft, answer))?.as_bytes());
    }
    let style = Style::of_stdout();
    let id = draft.id.clone().unwrap_or_default();
    if !options.wait {
        let numbers =
            ["matched", "queued", "dropped", "displaced"].map(|name| count(answer, name).to_string());
        let row = [id].into_iter().chain(numbers).collect();
        let heads = ["ID", "MATCHED", "QUEUED", "DROPPED", "DISPLACED"];
        return out.write_all(table(&heads, &[row], style).as_bytes());
    }
    let results = answer["results"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = results.iter().map(|result| row(&id, result)).collect();
    if rows.is_empty() {
        return writeln!(out, "{}", print::printable(&id));
    }
    let heads = ["ID", "SUBSCRIBER", "SUBSCRIPTION", "OUTCOME", "ANSWER"];
    out.write_all(table(&heads, &rows, style).as_bytes())
}

/// What became of an event, with what it is known by.
fn object(draft: &Draft, answer: &Value) -> Value {
    let mut object = answer.clone();
    object["id"] = draft.id.as_deref().into();
    object["source"] = (&*draft.source).into();
    object["type"] = draft.topic.as_str().into();
    object
}

fn row(id: &str, result: &Value) -> Vec<String> {
    let answers = [text(&result["error"], "text"), text(result, "reply"), text(result, "reply_base64")];
    vec![
        id.to_owned(),
        text(result, "subscriber").to_owned(),
        text(result, "subscription").to_owned(),
        text(result, "outcome").to_owned(),
        answers.into_iter().find(|answer| !answer.is_empty()).unwrap_or_default().to_owned(),
    ]
}
