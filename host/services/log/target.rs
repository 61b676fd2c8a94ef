//! Where the lines go, and in which form.

use std::{
    env, fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::Level;
use super::{Wall, time::SystemWall};
use crate::{Error, Result, error::ErrorKind};

/// How long the reader of a pipe that is to be the log file has to come.
const READER_COMES: Duration = Duration::from_secs(1);

/// How a record looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person on a terminal, JSON everywhere else.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line for a person; in colours on a terminal, unless NO_COLOR is set.
    Text,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(UnknownFormat),
        }
    }
}

/// A text that names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown log format: use auto, json or text")
    }
}

impl std::error::Error for UnknownFormat {}

/// Where the lines go.
pub enum Target {
    /// The standard error stream.
    Stderr,
    /// The end of a file, which is made if it is not there. `Log::reopen` opens it again after a rotation.
    File(PathBuf),
    /// Anything else. It is written to on the log's own thread only.
    Writer(Box<dyn Write + Send>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stderr => f.write_str("Stderr"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// How a log is made.
pub struct Options {
    /// Where the lines go: stderr by default.
    pub target: Target,
    /// How they look.
    pub format: Format,
    /// From which level on records are wanted: info by default.
    pub level: Level,
    /// How many bytes may wait to be written before records are dropped: 4 MiB by default.
    pub buffer: usize,
    /// What the host calls itself in its own records: `pintle` by default.
    pub host: String,
    /// The clock.
    pub wall: Arc<dyn Wall>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: Target::Stderr,
            format: Format::Auto,
            level: Level::Info,
            buffer: 4 << 20,
            host: "pintle".into(),
            wall: Arc::new(SystemWall),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("target", &self.target)
            .field("format", &self.format)
            .field("level", &self.level)
            .field("buffer", &self.buffer)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Target {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::Stderr) && io::stderr().is_terminal()
    }

    /// Whether the lines are for a person, and whether in colours.
    pub(super) fn form(&self, format: Format) -> (bool, bool) {
        let terminal = self.is_terminal();
        let text = match format {
            Format::Auto => terminal,
            Format::Json => false,
            Format::Text => true,
        };
        (text, text && terminal && wants_colours(env::var_os("NO_COLOR"), env::var_os("TERM")))
    }
}

fn wants_colours(no_color: Option<std::ffi::OsString>, term: Option<std::ffi::OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty()) && term.is_none_or(|term| term != "dumb")
}

/// Opens a log file for appending; others than the owner's group do not read it.
pub(super) fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let opened = match fs::metadata(path) {
        Ok(metadata) if is_pipe(&metadata) => open_pipe(options, path),
        _ => options.open(path),
    };
    opened.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => ErrorKind::InvalidArgument,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("the log file {} cannot be opened: {error}", path.display()))
            .mend("make its folder and let this user write there, or change `log.file` in the settings")
    })
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}

/// Opening a pipe waits for its reader, who may never come; nobody waits here for that.
fn open_pipe(options: OpenOptions, path: &Path) -> io::Result<File> {
    let (tell, told) = mpsc::channel();
    let pipe = path.to_owned();
    // Left behind if nobody reads the pipe: it ends with the first who does.
    thread::Builder::new().name("pintle-log-open".into()).spawn(move || tell.send(options.open(pipe)))?;
    let nobody = |_| io::Error::new(io::ErrorKind::TimedOut, "it is a pipe that nobody reads");
    told.recv_timeout(READER_COMES).map_err(nobody)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_a_dumb_terminal_turn_colours_off() {
        for (no_color, term, expected) in [
            (None, None, true),
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
        ] {
            assert_eq!(wants_colours(no_color.map(Into::into), term.map(Into::into)), expected);
        }
    }

    #[test]
    fn what_is_not_a_terminal_gets_json_unless_text_is_asked_for() {
        let file = Target::File("x".into());
        assert_eq!(file.form(Format::Auto), (false, false));
        assert_eq!(file.form(Format::Json), (false, false));
        assert_eq!(file.form(Format::Text), (true, false));
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named_with_what_to_do() {
        let error = open(Path::new("/nonexistent/folder/pintle.log")).expect_err("there is no such folder");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("/nonexistent/folder/pintle.log"), "{error}");
        assert!(error.to_string().contains("log.file"), "{error}");
    }
}
