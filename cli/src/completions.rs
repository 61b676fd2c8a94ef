//! `pintle completions`: what a shell needs to complete the command line, made from its description.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{
    Arguments,
    exit::{Exit, Failure},
    print,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Writes completions of the command line for a shell to stdout

Where they belong: for bash in ~/.local/share/bash-completion/completions/pintle, for zsh as _pintle in a folder of \
$fpath, for fish in ~/.config/fish/completions/pintle.fish.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

/// Writes the completions.
pub(crate) fn completions(options: &Options) -> Result<Exit, Failure> {
    // It panics where it cannot write, so not straight to stdout.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "pintle", &mut script);
    print::answer(|out| out.write_all(&script).map(|()| Exit::Fine))
}
