//! `pintle`: the command. Each of its commands has a file or a folder of its own, called as the command is; this one
//! reads the command line and ends with a status (`exit`).

#![forbid(unsafe_code)]

mod completions;
mod exit;
mod inspect;
mod list;
mod man;
mod pen;
mod print;
mod run;
mod screen;
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
