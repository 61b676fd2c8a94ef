//! The log: structured records of plugins and of the host, as lines that nobody can forge.
//!
//! A record goes through its plugin's gate (`level`), is encoded on the thread that wrote it (`json`, `text`),
//! and is handed to the buffer (`buffer`), whose thread writes to the target. No plugin ever waits for a disk.

#[cfg(feature = "tracing")]
mod bridge;
mod buffer;
mod escape;
mod json;
mod level;
mod record;
mod target;
mod text;
mod time;

use std::{
    cell::Cell,
    convert::Infallible,
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

pub use buffer::Counts;
use buffer::{Buffer, Trouble};
use json::Line;
use level::Levels;
pub use level::{Gate, Level, LevelList, UnknownLevel};
pub use record::{Field, Preset, Record, Running, Value};
pub use target::{Format, Options, Target, UnknownFormat};
use time::Stamp;
pub use time::{SystemWall, Wall};

use crate::{Error, ErrorKind, Result};

/// The log of one host.
pub struct Log {
    form: Form,
    levels: Arc<Levels>,
    host: Arc<Gate>,
    buffer: Buffer,
    file: Option<PathBuf>,
}

impl Log {
    /// Opens the target and starts the thread that writes to it.
    pub fn new(options: Options) -> Result<Self> {
        let (text, colours) = options.target.form(options.format);
        let form = Form { text, colours, wall: options.wall };
        let levels = Arc::new(Levels::new(options.level));
        let host = levels.gate("", "", json::origin(&[("host", &options.host)]), text::origin(&options.host));
        let (target, name, file): (buffer::Target, _, _) = match options.target {
            Target::Stderr => (Box::new(io::stderr()), None, None),
            Target::File(path) => {
                (Box::new(target::open(&path)?), Some(format!("the log file {}", path.display())), Some(path))
            }
            Target::Writer(writer) => (writer, Some("the log's target".to_owned()), None),
        };
        let notice = {
            let (form, host) = (form.clone(), Arc::clone(&host));
            Box::new(move |lost, out: &mut Vec<u8>| form.losses(&host, lost, out))
        };
        let alarm = Box::new(move |trouble: Trouble<'_>| {
            // Where stderr itself fails there is nobody left to tell.
            let Some(name) = &name else { return };
            let told = match trouble {
                Trouble::Fails(error) => {
                    format!("cannot be written: {error}: records are kept as long as the buffer has room")
                }
                Trouble::Lost(1) => "could not be written to the end: 1 record is lost".to_owned(),
                Trouble::Lost(lost) => format!("could not be written to the end: {lost} records are lost"),
            };
            use io::Write as _;
            // In one piece: others write there too.
            drop(io::stderr().write_all(format!("pintle: {name} {told}\n").as_bytes()));
        });
        let buffer = Buffer::start(target, options.buffer, notice, alarm).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the log's buffer and thread cannot be made: {error}"))
        })?;
        Ok(Self { form, levels, host, buffer, file })
    }

    /// A gate for one generation of a plugin, to be kept with it.
    #[must_use]
    pub fn gate(&self, plugin: &str, version: &str) -> Arc<Gate> {
        let json = json::origin(&[("plugin", plugin), ("version", version)]);
        self.levels.gate(plugin, version, json, text::origin(plugin))
    }

    /// Writes a record, if its level is wanted. Never waits.
    pub fn write<'f>(&self, gate: &Gate, record: &Record<'_>, fields: impl IntoIterator<Item = Field<'f>>) {
        let Ok(()) = self.try_write(gate, record, fields.into_iter().map(Ok::<_, Infallible>));
    }

    /// Writes a record, if its level is wanted, with fields that are checked one by one on the way: the first
    /// error among them is returned and nothing is written. Never waits.
    #[inline]
    pub fn try_write<'f, E>(
        &self,
        gate: &Gate,
        record: &Record<'_>,
        fields: impl IntoIterator<Item = Result<Field<'f>, E>>,
    ) -> Result<(), E> {
        if !gate.enabled(record.level) {
            return Ok(());
        }
        let fields = fields.into_iter();
        #[cfg(feature = "tracing")]
        let mut told = bridge::Told::begin(record);
        #[cfg(feature = "tracing")]
        let fields = fields.inspect(|field| told.field(field));
        let mut scratch = Scratch::take();
        self.form.encode(&mut scratch, gate, record, fields)?;
        self.buffer.push(&scratch.line.out, record.level >= Level::Error);
        scratch.put_back();
        #[cfg(feature = "tracing")]
        told.end(gate, record);
        Ok(())
    }

    /// Writes a record of the host itself.
    pub fn host<'f>(&self, level: Level, message: &str, fields: impl IntoIterator<Item = Field<'f>>) {
        self.write(&self.host, &Record::new(level, message.as_bytes()), fields);
    }

    /// Changes the level of one plugin, or of the host and all plugins without a level of their own.
    pub fn set_level(&self, plugin: Option<&str>, level: Level) {
        self.levels.change(|list| match plugin {
            Some(plugin) => _ = list.plugins.insert(plugin.to_owned(), level),
            None => list.default = level,
        });
    }

    /// Takes a plugin's own level away, so that it follows the default again.
    pub fn clear_level(&self, plugin: &str) {
        self.levels.change(|list| _ = list.plugins.remove(plugin));
    }

    /// The levels as they are now.
    #[must_use]
    pub fn levels(&self) -> LevelList {
        self.levels.list()
    }

    /// Opens the log file again by its path, as logrotate wants it. On failure the old one stays in use.
    /// Does nothing for other targets.
    pub fn reopen(&self) -> Result<()> {
        if let Some(path) = &self.file {
            self.buffer.switch(Box::new(target::open(path)?));
        }
        Ok(())
    }

    /// Waits until everything written before is out; false if that took longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.buffer.flush(Instant::now() + timeout)
    }

    /// Takes no more records, writes those that wait and ends the thread; false if that took longer than
    /// `timeout`, because the target hangs.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.buffer.shutdown(Instant::now() + timeout)
    }

    /// How many records were taken and lost, and how often the target failed.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.buffer.counts()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shutdown(Duration::from_secs(1));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("file", &self.file)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// How records become lines.
#[derive(Clone)]
struct Form {
    text: bool,
    colours: bool,
    wall: Arc<dyn Wall>,
}

impl Form {
    fn encode<'f, E>(
        &self,
        scratch: &mut Scratch,
        gate: &Gate,
        record: &Record<'_>,
        fields: impl Iterator<Item = Result<Field<'f>, E>>,
    ) -> Result<(), E> {
        let Scratch { line, stamp } = scratch;
        let time = stamp.of(self.wall.now());
        if self.text {
            text::encode(line, self.colours, time, gate, record, fields)
        } else {
            json::encode(line, time, gate, record, fields)
        }
    }

    fn losses(&self, host: &Gate, lost: u64, out: &mut Vec<u8>) {
        let mut scratch = Scratch::default();
        let record = Record::new(Level::Warn, b"log records were lost because the buffer was full");
        let fields = [Field::unsigned("lost", lost)].into_iter().map(Ok::<_, Infallible>);
        let Ok(()) = self.encode(&mut scratch, host, &record, fields);
        out.extend_from_slice(&scratch.line.out);
    }
}

/// What a thread keeps from one record to the next.
#[derive(Default)]
struct Scratch {
    line: Line,
    stamp: Stamp,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Taken out for the time of one record, so that a record written in the middle of another (by a tracing
    /// subscriber, by a panic hook) finds none and makes its own.
    fn take() -> Box<Self> {
        let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
        scratch.line.clear();
        scratch
    }

    fn put_back(self: Box<Self>) {
        // A thread that is ending has no place for it any more.
        _ = SCRATCH.try_with(|place| place.set(Some(self)));
    }
}

#[cfg(test)]
mod tests;
