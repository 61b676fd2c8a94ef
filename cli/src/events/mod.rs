//! `pintle events`: what became of events, in a running host or in its data folder, and dead letters. `tail` and `publish` are the commands
//! of the same options that have files of their own; `show` writes what comes of the others.

mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    emit,
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    print::count,
    tail,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows what became of events, publishes them, and looks after dead letters

Asks the host that runs on the data folder. Without one `stats`, `dead-letters`, `replay` and `drop` open the folder \
itself; no host can start there meanwhile.

A dead letter is an event that a durable subscription has failed to handle for the last time. It is kept until it is \
replayed or dropped.

Examples:
  pintle events
  pintle events tail 'plugin.orders.>'
  pintle events publish order.paid '{\"order\":7}' --id order-7 --durable
  pintle events dead-letters orders
  pintle events dead-letters orders --json | jq -c .event
  pintle events replay 17 18
  pintle events drop --all orders";

/// How many dead letters are named in one request.
const MOST_NUMBERS: usize = 1_000;

/// Whose subscriptions those of the embedding application are.
const APPLICATION: &str = "application";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Writes JSON objects, one on a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows what became of events, for each subscription, and where durable ones stand in the log; what is done if nothing
    /// is named
    Stats,
    /// Shows the events of a running host as they come, as `pintle tail` does
    Tail(tail::Options),
    /// Publishes events to a running host, as `pintle emit` does
    Publish(Box<emit::Options>),
    /// Lists dead letters, the oldest first; with --json with their events
    DeadLetters {
        /// Those of this plugin's subscriptions alone
        #[arg(value_name = "PLUGIN")]
        plugin: Option<String>,
        #[command(flatten)]
        of: Of,
        /// Lists at most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Lists all, however many
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Lets subscriptions have dead letters once more, each its own, and writes how many there were
    Replay(Which),
    /// Forgets dead letters, and writes how many there were
    Drop(Which),
}

/// Whose dead letters, beside the plugin.
#[derive(Debug, Args)]
struct Of {
    /// Those of subscriptions that were made under this tenant; an empty one: on nobody's behalf
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Those of subscriptions of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Which {
    /// Their numbers, as `pintle events dead-letters` shows them
    #[arg(
        value_name = "NUMBER",
        required_unless_present = "all",
        conflicts_with_all = ["all", "tenant", "name"],
    )]
    numbers: Vec<u64>,
    /// All that there are, or all of the subscriptions of these plugins
    #[arg(long, value_name = "PLUGIN", num_args = 0..)]
    all: Option<Vec<String>>,
    #[command(flatten)]
    of: Of,
}

impl Of {
    fn params(&self, plugin: Option<&str>) -> Value {
        json!({ "plugin": plugin, "tenant": self.tenant, "name": self.name })
    }
}

/// Shows what became of events, or does something with them.
pub(crate) fn events(options: &Options) -> Result<Exit, Failure> {
    let json = options.json;
    match &options.action {
        None | Some(Action::Stats) => {
            let mut link = Link::open(&options.place)?;
            let made = link.is_made();
            show::stats(&link.ask("events.stats", json!({}))?, made, json)
        }
        Some(Action::Tail(options)) => tail::tail(options),
        Some(Action::Publish(options)) => emit::emit(options),
        Some(Action::DeadLetters { plugin, of, limit, all }) => {
            let mut link = Link::open(&options.place)?;
            let limit = if *all { u64::MAX } else { *limit };
            let (exit, listed) = show::dead_letters(&mut link, &of.params(plugin.as_deref()), limit, json)?;
            if let (0, Some(plugin)) = (listed, plugin) {
                known(&mut link, plugin)?;
            }
            Ok(exit)
        }
        Some(Action::Replay(which)) => apply(&options.place, "events.replay", which, json),
        Some(Action::Drop(which)) => apply(&options.place, "events.drop", which, json),
    }
}

/// Carries out `method` with dead letters.
fn apply(place: &Place, method: &str, which: &Which, json: bool) -> Result<Exit, Failure> {
    let mut link = Link::open(place)?;
    let (mut done, mut failed) = (0, None);
    for (plugin, params) in which.requests() {
        match step(&mut link, method, plugin, params) {
            Ok(count) => done += count,
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    if let Some(failure) = failed {
        // What was done stays done.
        if done > 0 {
            show::counted(done, json)?;
        }
        return Err(failure);
    }
    let exit = show::counted(done, json)?;
    let asked = which.numbers.len() as u64;
    if done < asked {
        Voice::plain().say(&format!(
            "{} of {asked} are no dead letters, or were named twice: `pintle events dead-letters` shows all",
            asked - done
        ));
        return Ok(Exit::Partly);
    }
    Ok(exit)
}

fn step(link: &mut Link, method: &str, plugin: Option<&str>, params: Value) -> Result<u64, Failure> {
    let done = count(&link.ask(method, params)?, "count");
    if let (0, Some(plugin)) = (done, plugin) {
        known(link, plugin)?;
    }
    Ok(done)
}

impl Which {
    /// What a host is asked for, one after the other, each with the plugin that it is about.
    fn requests(&self) -> Vec<(Option<&str>, Value)> {
        let all = |plugin: Option<&str>| {
            let mut params = self.of.params(plugin);
            params["all"] = true.into();
            params
        };
        match self.all.as_deref() {
            None => self
                .numbers
                .chunks(MOST_NUMBERS)
                .map(|numbers| (None, json!({ "numbers": numbers })))
                .collect(),
            Some([]) => vec![(None, all(None))],
            Some(plugins) => {
                plugins.iter().map(|plugin| (Some(plugin.as_str()), all(Some(plugin.as_str())))).collect()
            }
        }
    }
}

/// That a plugin of which there is nothing is one.
fn known(link: &mut Link, plugin: &str) -> Result<(), Failure> {
    if plugin == APPLICATION || link.knows(plugin).map_err(Failure::failed)? {
        return Ok(());
    }
    let text = format!("there is no plugin {plugin:?}, nor a dead letter of one: `pintle plugins` shows all");
    Err(Failure { exit: Exit::NoPlugin, text })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        which: Which,
    }

    #[test]
    fn what_is_asked_for_is_what_the_command_line_names_and_no_more() {
        let none = Value::Null;
        let all = |plugin: Value| json!({ "plugin": plugin, "tenant": none, "name": none, "all": true });
        for (line, expected) in [
            (&["17", "18"][..], vec![(None, json!({ "numbers": [17, 18] }))]),
            (&["--all"], vec![(None, all(none.clone()))]),
            (&["--all", "p", "q"], vec![(Some("p"), all(json!("p"))), (Some("q"), all(json!("q")))]),
            (
                &["--all", "p", "--tenant", "", "--name", "n"],
                vec![(Some("p"), json!({ "plugin": "p", "tenant": "", "name": "n", "all": true }))],
            ),
        ] {
            let Line { which } = Line::parse_from([&["x"], line].concat());
            assert_eq!(which.requests(), expected, "{line:?}");
        }
        let many: Vec<String> = (1..=2_001).map(|number| number.to_string()).collect();
        let Line { which } = Line::parse_from(["x".to_owned()].into_iter().chain(many));
        let lengths: Vec<_> = which
            .requests()
            .iter()
            .map(|(_, params)| params["numbers"].as_array().expect("it has some").len())
            .collect();
        assert_eq!(lengths, [1_000, 1_000, 1]);
    }
}
