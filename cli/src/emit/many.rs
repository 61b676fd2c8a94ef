//! `pintle emit --events`: many events from a file, in its order, each answered before the next is sent.

use std::path::Path;

use pintle::ErrorKind;
use serde_json::Value;

use super::{Options, ask, object, verdict};
use crate::{
    bar::Bar,
    event,
    exit::{Exit, Failure},
    lines::{Lines, Next},
    link::Link,
    print::{Report, count, json_line, text},
    voice::Voice,
};

/// What has become of them.
#[derive(Default)]
struct Sum {
    published: u64,
    refused: u64,
    matched: u64,
    dropped: u64,
    displaced: u64,
    handled: u64,
    failed: u64,
    partly: bool,
}

/// Publishes the events of a file.
pub(super) fn publish(options: &Options, file: &Path) -> Result<Exit, Failure> {
    let mut lines = Lines::open(file)?;
    let mut link = Link::running(&options.place)?;
    let mut bar = Bar::of("publishing", lines.total);
    let mut sum = Sum::default();
    let mut report = Report::new();
    // What ends it early.
    let over = loop {
        let outcome = match lines.next() {
            Ok(Next::End) => break None,
            Ok(Next::None(why)) => Err(why),
            Ok(Next::Line(line)) => match one(&mut link, line, options) {
                Ok(published) => Ok(published),
                Err(Refused::Event(why)) => Err(why),
                Err(Refused::All(failure)) => break Some(failure),
            },
            Err(error) => {
                break Some(Failure::failed(format!("{} cannot be read any further: {error}", lines.name)));
            }
        };
        match outcome {
            Ok(published) => {
                sum.add(&published);
                if options.json {
                    report.tell(|out| out.write_all(json_line(&published)?.as_bytes()));
                }
            }
            Err(why) => {
                sum.refused += 1;
                bar.clear();
                Voice::plain().say(&lines.fault(&why));
            }
        }
        bar.at(lines.taken, || format!("{} published", sum.published));
    };
    bar.clear();
    if !options.json {
        report.tell(|out| writeln!(out, "{}", sum.told(options.wait)));
    }
    let exit = if sum.refused > 0 || sum.partly { Exit::Partly } else { Exit::Fine };
    let told = report.end(exit);
    sum.warn();
    match over {
        Some(failure) => Err(failure),
        None => told,
    }
}

/// Why a line was not published.
enum Refused {
    /// It is no event, or none that this host takes.
    Event(String),
    /// No other will be either.
    All(Failure),
}

fn one(link: &mut Link, line: &[u8], options: &Options) -> Result<Value, Refused> {
    let (draft, event) = event::request(line).map_err(|error| Refused::Event(error.to_string()))?;
    let answer = ask(link, event, options).map_err(|(method, error)| match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::Denied => {
            Refused::Event(error.to_string())
        }
        _ => Refused::All(link.failure(method, &error)),
    })?;
    Ok(object(&draft, &answer))
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        self.published += 1;
        self.matched += count(answer, "matched");
        self.dropped += count(answer, "dropped");
        self.displaced += count(answer, "displaced");
        for result in answer["results"].as_array().into_iter().flatten() {
            self.matched += 1;
            match text(result, "outcome") {
                "handled" => self.handled += 1,
                "skipped" => {}
                _ => self.failed += 1,
            }
        }
        self.partly |= verdict(answer) != Exit::Fine;
    }

    fn told(&self, wait: bool) -> String {
        let Self { published, refused, matched, dropped, displaced, handled, failed, .. } = self;
        let begin = format!("{published} published, {refused} refused, for {matched} subscriptions");
        match wait {
            true => format!("{begin}: {handled} handled, {failed} failed"),
            false => format!("{begin}: {dropped} dropped, {displaced} displaced"),
        }
    }

    fn warn(&self) {
        let lost = self.dropped + self.displaced;
        if lost > 0 {
            Voice::plain().say(&format!(
                "{lost} events were dropped, by full queues or because a plugin is not enabled (`pintle plugins`): --wait publishes \
                 no faster than they are handled"
            ));
        }
    }
}
