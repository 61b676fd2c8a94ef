//! How the command ends: its statuses, for scripts, and what it says when it cannot go on.

use std::process::ExitCode;

/// What `--help` says about the statuses; `docs/cli.md` says the same at more length.
pub(crate) const HELP: &str = "\
Exit status:
  0  all went well
  1  it could not run, or not to its end: the data folder is in use, a file fails, a plugin hangs,
     a host refuses what it is asked for, or ends meanwhile
  2  the command line or the settings are wrong; nothing was run
  3  no plugin: run could start none, a file for inspect is none, a folder for list cannot be read,
     the host has none of this id
  4  not whole: a plugin did not start, a line was no event, events were dropped, or a handler
     failed that was waited for; for inspect: a plugin is one that this host cannot load; for
     storage check: what is kept is damaged; for sql: what was listed is no database; for events:
     what was named is no dead letter; for cron --batch: a line was answered with an error
  5  no host runs on the data folder, or none that can be asked
  130, 143  ended at once by the second SIGINT or SIGTERM";

/// How the command ends when nobody ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Fine = 0,
    /// It could not run, or not to its end.
    Failed = 1,
    /// The command line or the settings are wrong.
    Misused = 2,
    /// No plugin could be started, or what was named is none.
    NoPlugin = 3,
    /// It ran, but not whole, or a plugin could not.
    Partly = 4,
    /// There is no host to ask.
    NoHost = 5,
}

/// Why a command cannot go on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What happened, to what, and what to do.
    pub(crate) text: String,
}

impl Failure {
    /// It cannot run.
    pub(crate) fn failed(text: impl ToString) -> Self {
        Self { exit: Exit::Failed, text: text.to_string() }
    }

    /// The command line or the settings are wrong.
    pub(crate) fn misused(text: impl ToString) -> Self {
        Self { exit: Exit::Misused, text: text.to_string() }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
