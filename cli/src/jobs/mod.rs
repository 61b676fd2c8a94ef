//! `pintle jobs`: the jobs of a host, in memory or in its data folder, and what became of their runs. `show` writes what comes of it.

mod show;

use clap::{Args, Subcommand};
use pintle::{Error, ErrorKind};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    link::Link,
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows jobs and what became of their runs, and runs, pauses, resumes and forgets single ones

Asks the host that runs on the data folder. Without one all but `run` open the folder itself, which has the durable jobs; no \
host can start there meanwhile.

A job is named by its plugin (`application`: of the embedding application) and its name; without --tenant it is that of the \
system scope.

Examples:
  pintle jobs
  pintle jobs list orders --json | jq -c 'select(.failed > 0)'
  pintle jobs history orders report
  pintle jobs run orders report
  pintle jobs pause orders report --tenant acme";

/// Whose jobs those of the embedding application are.
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
    /// Lists jobs with their next and last runs; what is done if nothing is named
    List {
        /// Those of this plugin alone
        #[arg(value_name = "PLUGIN")]
        plugin: Option<String>,
        /// Those on behalf of this tenant; an empty one: on nobody's behalf
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Those of this name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Lists the last 50 runs of a job that have ended, the newest first
    History(Named),
    /// Makes a run of a job due now, beside its schedule, also of one that is paused; does not wait for it
    Run(Named),
    /// Lets a job run no more until it is resumed; what is due meanwhile is not made up for
    Pause(Named),
    /// Lets a job that was paused run again, from its next due time on
    Resume(Named),
    /// Ends a job, with its history; a plugin can schedule it again
    Forget(Named),
}

/// One job.
#[derive(Debug, Args)]
struct Named {
    /// The plugin; `application`: the embedding application
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// The job
    #[arg(value_name = "NAME")]
    name: String,
    /// On whose behalf it runs; by default nobody's
    #[arg(long, value_name = "TENANT", default_value = "")]
    tenant: String,
}

impl Named {
    fn params(&self) -> Value {
        json!({ "plugin": self.plugin, "tenant": self.tenant, "name": self.name })
    }
}

/// Shows jobs, or does something with one.
pub(crate) fn jobs(options: &Options) -> Result<Exit, Failure> {
    let json = options.json;
    match &options.action {
        None => list(&options.place, &json!({}), None, json),
        Some(Action::List { plugin, tenant, name }) => {
            let of = json!({ "plugin": plugin, "tenant": tenant, "name": name });
            list(&options.place, &of, plugin.as_deref(), json)
        }
        Some(Action::History(named)) => {
            let mut link = Link::open(&options.place)?;
            show::history(&ask(&mut link, "jobs.history", named)?, json)
        }
        Some(Action::Run(named)) => {
            // A made host has no plugin that could run it.
            let mut link = Link::running(&options.place)?;
            ask(&mut link, "jobs.run", named)?;
            show::done(named.params(), "requested", json)
        }
        Some(Action::Pause(named)) => step(&options.place, "jobs.pause", named, "paused", json),
        Some(Action::Resume(named)) => step(&options.place, "jobs.resume", named, "resumed", json),
        Some(Action::Forget(named)) => step(&options.place, "jobs.forget", named, "forgotten", json),
    }
}

fn list(place: &Place, of: &Value, plugin: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let mut link = Link::open(place)?;
    let answer = link.ask("jobs", of.clone())?;
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let exit = show::list(jobs, json)?;
    if let Some(problem) = answer["problem"].as_str() {
        return Err(Failure::failed(format!("durable jobs cannot be looked at: {problem}")));
    }
    if let (true, Some(plugin)) = (jobs.is_empty(), plugin)
        && !is_there(&mut link, plugin).map_err(Failure::failed)?
    {
        return Err(no_plugin(plugin));
    }
    if link.is_made() {
        Voice::plain().say(&format!(
            "no host runs on {}: these are the durable jobs in its folder",
            link.folder.display()
        ));
    }
    Ok(exit)
}

fn step(place: &Place, method: &str, named: &Named, done: &str, json: bool) -> Result<Exit, Failure> {
    ask(&mut Link::open(place)?, method, named)?;
    show::done(named.params(), done, json)
}

fn ask(link: &mut Link, method: &str, named: &Named) -> Result<Value, Failure> {
    link.try_ask(method, named.params()).map_err(|error| match error.kind() {
        ErrorKind::NotFound => match is_there(link, &named.plugin) {
            Ok(false) => no_plugin(&named.plugin),
            Ok(true) | Err(_) => Failure::failed(format!("{error}: `pintle jobs` shows all")),
        },
        _ => link.failure(method, &error),
    })
}

fn is_there(link: &mut Link, plugin: &str) -> Result<bool, Error> {
    if plugin == APPLICATION { Ok(true) } else { link.knows(plugin) }
}

fn no_plugin(plugin: &str) -> Failure {
    let text = format!("there is no plugin {plugin:?}, nor a job of one: `pintle plugins` shows all");
    Failure { exit: Exit::NoPlugin, text }
}
