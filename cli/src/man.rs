//! `pintle man`: pages of the manual, made from the description of the command line.

use std::io;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::{
    Arguments,
    exit::{self, Exit, Failure},
    print,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Writes a page of the manual to stdout

In troff, as man reads it: `pintle man | man -l -` shows the page of the whole command, `pintle man run > pintle-run.1` \
makes a file of that of one, `pintle man plugins enable` is about a command of a command.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The command that the page is of; by default the page is of all of them
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// Writes the page.
pub(crate) fn man(options: &Options) -> Result<Exit, Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    // From here on commands know how they are called as a whole.
    command.build();
    for name in &options.command {
        command = match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
                let names = names.join(", ");
                return Err(Failure::misused(format!("there is no command {name}: there are {names}")));
            }
        };
    }
    let page = page(command).map_err(Failure::failed)?;
    print::answer(|out| out.write_all(&page).map(|()| Exit::Fine))
}

/// The page of a command: as clap_mangen puts one together, but with a section for the exit status, which would be among
/// what it calls "extra", with its lines run together.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let (has_commands, has_version) = (command.has_subcommands(), command.get_version().is_some());
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(b".SH \"EXIT STATUS\"\n.nf\n");
    for line in exit::HELP.lines().skip(1) {
        page.extend_from_slice(line.trim_start_matches("  ").as_bytes());
        page.push(b'\n');
    }
    page.extend_from_slice(b".fi\n");
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}
