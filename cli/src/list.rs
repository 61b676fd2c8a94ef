//! `pintle list`: the plugins in folders, found as a host finds them at its start. Nothing of them is executed.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use pintle::{
    Error, ErrorKind,
    inspect::{Candidate, Discovery, Inspection, Manifest, Skipped, TrustPolicy, discover, inspect},
};
use serde::Serialize;

use crate::{
    bar::Bar,
    exit::{Exit, Failure},
    inspect::{Failed, target},
    print::{self, Style, json_line, size, table},
    voice::Voice,
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Lists the plugins in folders, without running anything of them

Looks where a host looks that is given these folders: into them and their sub-folders, in this order; of two plugins \
with one id the first counts. On a terminal the columns are aligned and have heads, elsewhere they are parted by tabs: \
id, version, state, target, size, file, reason. States are ready, denied, unsupported, duplicate and broken.";

const HEADS: [&str; 7] = ["ID", "VERSION", "STATE", "TARGET", "SIZE", "FILE", "REASON"];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folders with plugins
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Shows what is no plugin too, with the reason, and tells what a host would warn of
    #[arg(long)]
    all: bool,
    /// Writes a JSON object for each plugin, one on a line
    #[arg(long)]
    json: bool,
}

/// A line of the list.
#[derive(Serialize)]
struct Entry {
    file: String,
    id: Option<String>,
    version: Option<String>,
    state: &'static str,
    target: Option<String>,
    size: Option<u64>,
    error: Option<Failed>,
    warnings: Vec<String>,
    #[serde(skip)]
    reason: String,
}

/// Lists plugins.
pub(crate) fn list(options: &Options) -> Result<Exit, Failure> {
    let (folders, unreadable) = readable(&options.folders);
    let Discovery { found, skipped, warnings } = discover(&folders, &TrustPolicy::default());
    let (refused, skipped): (Vec<_>, Vec<_>) =
        skipped.into_iter().partition(|skipped| folders.contains(&skipped.path));

    let mut bar = Bar::of("looking at plugins", Some((found.len() + skipped.len()) as u64));
    let mut looked = 0;
    let mut look = |path: &Path| {
        bar.at(looked, || print::printable(&path.display().to_string()));
        looked += 1;
    };
    let entry = |found: &Candidate| {
        look(&found.path);
        Entry::found(found, &warnings)
    };
    let mut entries: Vec<Entry> = found.iter().map(entry).collect();
    let mut passed_over = 0;
    for skipped in &skipped {
        look(&skipped.path);
        let entry = Entry::skipped(skipped);
        if entry.state != PASSED_OVER || options.all {
            entries.push(entry);
        } else {
            passed_over += 1;
        }
    }
    drop(bar);
    let exit = if unreadable.is_empty() && refused.is_empty() { Exit::Fine } else { Exit::NoPlugin };
    let done = print::answer(|out| write(out, &entries, options.json).map(|()| exit))?;

    let voice = Voice::plain();
    unreadable.iter().for_each(|text| voice.say(text));
    refused.iter().for_each(|refused| voice.say(&refused.error.to_string()));
    if options.all {
        warnings.iter().for_each(|warning| voice.say(&warning.to_string()));
    }
    if entries.is_empty() && exit == Exit::Fine {
        let names: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        voice.say(&format!("no plugin is in {}", names.join(", ")));
    }
    if passed_over > 0 {
        let (are, them) = if passed_over == 1 { ("entry is", "it") } else { ("entries are", "them") };
        voice.say(&format!("{passed_over} more {are} no plugin: --all shows {them} with the reason"));
    }
    Ok(done)
}

/// The folders that can be read, and what is to be said of the others.
fn readable(folders: &[PathBuf]) -> (Vec<PathBuf>, Vec<String>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for folder in folders {
        match fs::read_dir(folder) {
            Ok(_) => good.push(folder.clone()),
            Err(_) if folder.is_file() => {
                let folder = folder.display();
                bad.push(format!(
                    "{folder} is a file, not a folder: `pintle inspect {folder}` shows what it is"
                ));
            }
            Err(error) => {
                let folder = folder.display();
                bad.push(format!(
                    "the folder {folder} cannot be read: {error}: name one that is there and may be read"
                ));
            }
        }
    }
    (good, bad)
}

fn write(out: &mut dyn Write, entries: &[Entry], json: bool) -> std::io::Result<()> {
    if json {
        return entries.iter().try_for_each(|entry| out.write_all(json_line(entry)?.as_bytes()));
    }
    let style = Style::of_stdout();
    if entries.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| entry.row(style)).collect();
    out.write_all(table(&HEADS, &rows, style).as_bytes())
}

/// The state of what is no plugin.
const PASSED_OVER: &str = "skipped";

impl Entry {
    fn found(candidate: &Candidate, warnings: &[Error]) -> Self {
        let of_this = |warning: &&Error| warning.plugin() == Some(&candidate.manifest.id);
        let mut told: Vec<String> = warnings.iter().filter(of_this).map(Error::to_string).collect();
        let refused = match candidate.check_beside(&TrustPolicy::default()) {
            Ok(more) => {
                told.extend(more.iter().map(Error::to_string));
                None
            }
            Err(error) => Some(error),
        };
        Self {
            warnings: told,
            ..Self::plugin(&candidate.inspection, Some(&candidate.manifest), refused.as_ref())
        }
    }

    fn skipped(skipped: &Skipped) -> Self {
        match inspect(&skipped.path) {
            Ok(inspection) if inspection.manifest.is_some() => {
                Self::plugin(&inspection, inspection.parse_manifest().ok().as_ref(), Some(&skipped.error))
            }
            _ => Self::of(&skipped.path, PASSED_OVER, Some(&skipped.error)),
        }
    }

    fn plugin(inspection: &Inspection, manifest: Option<&Manifest>, refused: Option<&Error>) -> Self {
        let state = match refused.map(Error::kind) {
            None => "ready",
            Some(ErrorKind::Denied) => "denied",
            Some(ErrorKind::Unsupported) => "unsupported",
            Some(ErrorKind::Conflict) => "duplicate",
            Some(_) => "broken",
        };
        Self {
            id: manifest.map(|manifest| manifest.id.clone()),
            version: manifest.map(|manifest| manifest.version.to_string()),
            target: Some(target(inspection)),
            size: Some(inspection.size),
            ..Self::of(&inspection.path, state, refused)
        }
    }

    fn of(file: &Path, state: &'static str, refused: Option<&Error>) -> Self {
        Self {
            file: file.display().to_string(),
            id: None,
            version: None,
            state,
            target: None,
            size: None,
            error: refused.map(Failed::from),
            warnings: Vec::new(),
            reason: refused.map(Error::to_string).unwrap_or_default(),
        }
    }

    fn row(&self, style: Style) -> Vec<String> {
        let bytes = match self.size {
            None => String::new(),
            Some(bytes) if style.terminal => size(bytes as f64),
            Some(bytes) => bytes.to_string(),
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            text(&self.id),
            text(&self.version),
            self.state.to_owned(),
            text(&self.target),
            bytes,
            self.file.clone(),
            self.reason.clone(),
        ]
    }
}
