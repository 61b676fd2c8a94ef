//! `pintle`: the command. Each of its commands has a file or a folder of its own, called as the command is; this one
//! reads the command line and ends with a status (`exit`).

#![forbid(unsafe_code)]

mod exit;
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
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            Voice::plain().say(&failure.text);
            failure.exit.into()
        }
    }
}
