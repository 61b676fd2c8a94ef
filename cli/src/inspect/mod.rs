//! `pintle inspect`: what plugins are, from their files alone. Nothing of them is executed or mapped.
//!
//! This file looks at each of them and ends with a status; `text` shows one to people and `json` to programs.

mod json;
mod text;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use pintle::{
    Error, ErrorKind, Result,
    inspect::{Endian, Inspection, Manifest, TrustPolicy, examine, inspect_and_hash},
};

pub(crate) use self::json::Failed;
use crate::{
    bar::Bar,
    exit::{Exit, Failure},
    print::{self, Style},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows what plugins are, and whether this host could load them, without running anything of them

Shows of each file its manifest, the version of the contract that it asks for, its target, size and SHA-256, the \
libraries that it needs, and what it asks of the host. Plugins for other machines are shown too. For a file that is no \
plugin, the reason goes to stderr.";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Libraries: .so, .dll or .dylib
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Writes a JSON object for each file, one on a line, also for those that are no plugins
    #[arg(long)]
    json: bool,
}

/// A plugin, as its file shows it.
struct Plugin {
    library: Library,
    manifest: Manifest,
    /// Why this host would not load it, wherever it lay.
    refused: Option<Error>,
    /// Why this host would not load it from where it lies, unless the settings allow that.
    distrusted: Option<Error>,
    /// What the host would warn of.
    warnings: Vec<Error>,
}

/// A library, plugin or not.
struct Library {
    inspection: Inspection,
    sha256: String,
}

/// What is no plugin.
struct NoPlugin {
    /// If it is a library all the same.
    library: Option<Library>,
    error: Error,
}

/// Shows plugins.
pub(crate) fn inspect(options: &Options) -> Result<Exit, Failure> {
    let style = Style::of_stdout();
    let mut bar = Bar::of("inspecting", Some(options.files.len() as u64));
    print::answer(|out| {
        let (mut strangers, mut refused) = (false, false);
        for (number, file) in options.files.iter().enumerate() {
            if !style.terminal {
                bar.at(number as u64, || print::printable(&file.display().to_string()));
            }
            let looked = Plugin::look(file);
            if looked.is_err() {
                bar.clear();
            }
            match &looked {
                Ok(plugin) => refused |= plugin.refused.is_some(),
                Err(_) => strangers = true,
            }
            show(out, file, &looked, number > 0, options.json, style)?;
        }
        Ok(match (strangers, refused) {
            (true, _) => Exit::NoPlugin,
            (false, true) => Exit::Partly,
            (false, false) => Exit::Fine,
        })
    })
}

fn show(
    out: &mut dyn Write,
    file: &Path,
    looked: &Result<Plugin, Box<NoPlugin>>,
    not_first: bool,
    json: bool,
    style: Style,
) -> io::Result<()> {
    match looked {
        _ if json => out.write_all(json::line(file, looked)?.as_bytes())?,
        Ok(plugin) => {
            let gap = if not_first { "\n" } else { "" };
            write!(out, "{gap}{}", text::of(plugin, style))?;
        }
        Err(_) => {}
    }
    // One at a time: what is said on stderr stands in its place, and a reader need not wait for the last file.
    out.flush()?;
    if let Err(no_plugin) = looked {
        Voice::plain().say(&no_plugin.error.to_string());
    }
    Ok(())
}

impl Plugin {
    fn look(file: &Path) -> Result<Self, Box<NoPlugin>> {
        let library = Library::look(file).map_err(|error| Box::new(NoPlugin { library: None, error }))?;
        let manifest = match library.inspection.parse_manifest() {
            Ok(manifest) => manifest,
            Err(error) => return Err(Box::new(NoPlugin { library: Some(library), error })),
        };
        // What the file is, and where it lies, are two questions: it may be looked at before it is put in its place.
        let usual = TrustPolicy::default();
        let anywhere = TrustPolicy { allow_foreign: true, ..usual };
        let judge = |policy: &TrustPolicy| {
            let (candidate, mut warnings) = examine(file, policy)?;
            warnings.extend(candidate.check_beside(policy)?);
            Ok::<_, Error>(warnings)
        };
        let refused = judge(&anywhere).err();
        let (distrusted, warnings) = match judge(&usual) {
            Ok(warnings) => (None, warnings),
            // What is refused anywhere is no matter of trust.
            Err(error) if refused.as_ref().is_some_and(|other| other.to_string() == error.to_string()) => {
                (None, Vec::new())
            }
            Err(error) => (Some(error), Vec::new()),
        };
        Ok(Self { library, manifest, refused, distrusted, warnings })
    }
}

impl Library {
    fn look(file: &Path) -> Result<Self> {
        let (inspection, sha256) = inspect_and_hash(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.mend("name a file that is there"),
            ErrorKind::Denied => error.mend("let this user read it, or ask as one who may"),
            _ if file.is_dir() => error.mend(format!("`pintle list {}` shows what is in it", file.display())),
            _ => error,
        })?;
        let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { inspection, sha256 })
    }
}

/// What a library is for: `ELF x86_64`, and what of it is unusual.
pub(crate) fn target(inspection: &Inspection) -> String {
    let Inspection { format, arch, bits, endian, os, .. } = inspection;
    let mut text = format!("{format} {arch}");
    if let Some(os) = os {
        text = format!("{text} {os}");
    }
    if *bits != 64 {
        text = format!("{text} {bits}-bit");
    }
    if *endian == Endian::Big {
        text.push_str(" big-endian");
    }
    text
}
