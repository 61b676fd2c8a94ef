//! `pintle`: the command. Each of its commands has a file or a folder of its own, called as the command is; this one
//! reads the command line and ends with a status (`exit`).

#![forbid(unsafe_code)]

mod bar;
mod cache;
mod completions;
mod config;
mod cron;
mod emit;
mod event;
mod events;
mod exit;
mod folder;
mod inspect;
mod jobs;
mod keys;
mod lines;
mod link;
mod list;
mod log;
mod man;
mod pen;
mod plugins;
mod print;
mod run;
mod screen;
mod signals;
mod sql;
mod stats;
mod storage;
mod tail;
mod voice;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use voice::Voice;

/// Hosts native plugins
#[derive(Debug, Parser)]
#[command(name = "pintle", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs plugins: CloudEvents in, and what the plugins emit out, both as JSON lines
    #[command(long_about = run::ABOUT, after_help = exit::HELP)]
    Run(run::Options),
    /// Shows what plugins are, and whether this host could load them, without running anything of them
    #[command(long_about = inspect::ABOUT, after_help = exit::HELP)]
    Inspect(inspect::Options),
    /// Lists the plugins in folders, without running anything of them
    #[command(long_about = list::ABOUT, after_help = exit::HELP)]
    List(list::Options),
    /// Shows the plugins of a host, and loads, enables, disables and unloads single ones
    #[command(long_about = plugins::ABOUT, after_help = exit::HELP)]
    Plugins(plugins::Options),
    /// Shows what a host counts: calls, errors, times, events, queues
    #[command(long_about = stats::ABOUT, after_help = exit::HELP)]
    Stats(stats::Options),
    /// Shows and sets the log levels of a running host
    #[command(long_about = log::ABOUT, after_help = exit::HELP)]
    Log(log::Options),
    /// Publishes events to a running host
    #[command(long_about = emit::ABOUT, after_help = exit::HELP)]
    Emit(emit::Options),
    /// Shows the events of a running host as they come
    #[command(long_about = tail::ABOUT, after_help = exit::HELP)]
    Tail(tail::Options),
    /// Shows what became of events, publishes them, and looks after dead letters
    #[command(long_about = events::ABOUT, after_help = exit::HELP)]
    Events(events::Options),
    /// Shows the configs of plugins, and changes them in a running host
    #[command(long_about = config::ABOUT, after_help = exit::HELP)]
    Config(config::Options),
    /// Shows what plugins have in the cache, and takes it away
    #[command(long_about = cache::ABOUT, after_help = exit::HELP)]
    Cache(cache::Options),
    /// Shows what plugins have in the storage, changes it, and exports and imports it
    #[command(long_about = storage::ABOUT, after_help = exit::HELP)]
    Storage(storage::Options),
    /// Asks the SQL databases of plugins, and copies them
    #[command(long_about = sql::ABOUT, after_help = exit::HELP)]
    Sql(sql::Options),
    /// Shows jobs and what became of their runs, and runs, pauses and resumes single ones
    #[command(long_about = jobs::ABOUT, after_help = exit::HELP)]
    Jobs(jobs::Options),
    /// Shows when a cron rule is due
    #[command(long_about = cron::ABOUT, after_help = exit::HELP)]
    Cron(cron::Options),
    /// Writes completions of the command line for a shell to stdout
    #[command(long_about = completions::ABOUT, after_help = exit::HELP)]
    Completions(completions::Options),
    /// Writes a page of the manual to stdout
    #[command(long_about = man::ABOUT, after_help = exit::HELP)]
    Man(man::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Inspect(options) => inspect::inspect(&options),
        Command::List(options) => list::list(&options),
        Command::Plugins(options) => plugins::plugins(&options),
        Command::Stats(options) => stats::stats(&options),
        Command::Log(options) => log::log(&options),
        Command::Emit(options) => emit::emit(&options),
        Command::Tail(options) => tail::tail(&options),
        Command::Events(options) => events::events(&options),
        Command::Config(options) => config::config(&options),
        Command::Cache(options) => cache::cache(&options),
        Command::Storage(options) => storage::storage(&options),
        Command::Sql(options) => sql::sql(&options),
        Command::Jobs(options) => jobs::jobs(&options),
        Command::Cron(options) => cron::cron(&options),
        Command::Completions(options) => completions::completions(&options),
        Command::Man(options) => man::man(&options),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            Voice::plain().say(&failure.text);
            failure.exit.into()
        }
    }
}
