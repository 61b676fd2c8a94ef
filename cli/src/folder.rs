//! Which host a command is about: the data folder and the settings that it is told, or else the usual ones.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use pintle::Settings;

use crate::exit::Failure;

/// The settings file that is read if none is named.
pub(crate) const DEFAULT_SETTINGS: &str = "pintle.toml";

/// The name of the data folder among those of other programs.
const FOLDER: &str = "pintle";

/// What the command line says of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// The data folder of the host; by default that of the settings, or else $XDG_DATA_HOME/pintle
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// The settings; by default pintle.toml, if it is there
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) settings: Option<PathBuf>,
}

impl Place {
    /// The settings file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_SETTINGS);
        match &self.settings {
            Some(file) => Some(file),
            None => default.try_exists().unwrap_or(true).then_some(default),
        }
    }

    /// The settings, with the data folder that was named in place of theirs.
    pub(crate) fn read(&self) -> Result<Settings, Failure> {
        let mut settings = match self.file() {
            Some(file) => Settings::from_file(file).map_err(Failure::misused)?,
            None => Settings::default(),
        };
        if let Some(data) = &self.data {
            settings.data = Some(data.clone());
        }
        Ok(settings)
    }
}

/// The data folder where none is named: <https://specifications.freedesktop.org/basedir-spec/latest/>.
pub(crate) fn usual() -> Result<PathBuf, Failure> {
    below(|name| env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
        Failure::misused(
            "there is no usual data folder, because neither XDG_DATA_HOME nor HOME is set to an absolute path: name one \
             with --data DIR, or with `data` in the settings",
        )
    })
}

fn below(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // Relative paths are to be taken for none.
    let named = |name| variable(name).filter(|path| path.is_absolute());
    let folder = named("XDG_DATA_HOME").or_else(|| Some(named("HOME")?.join(".local/share")))?;
    Some(folder.join(FOLDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_is_where_the_specification_says() {
        for (xdg, home, expected) in [
            (Some("/x"), Some("/h"), Some("/x/pintle")),
            (None, Some("/h"), Some("/h/.local/share/pintle")),
            (Some(""), Some("/h"), Some("/h/.local/share/pintle")),
            (Some("x"), Some("/h"), Some("/h/.local/share/pintle")),
            (Some("/x"), None, Some("/x/pintle")),
            (Some("x"), Some("h"), None),
            (None, Some(""), None),
            (None, None, None),
        ] {
            let variable = |name: &str| if name == "HOME" { home } else { xdg }.map(PathBuf::from);
            assert_eq!(below(variable), expected.map(PathBuf::from), "{xdg:?} {home:?}");
        }
    }
}
