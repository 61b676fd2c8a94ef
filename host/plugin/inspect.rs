//! What a library is, read from its file without executing or mapping a byte of it: format, machine, entry,
//! manifest, and what decides how it can be unloaded later. Everything that must be known before dlopen, because
//! dlopen runs constructors, and dies of SIGBUS where a file is truncated. [`manifest`](super::manifest) makes
//! sense of the text that is found here.

mod elf;
mod macho;
mod pe;
mod record;
pub(super) mod source;

use std::{
    borrow::Cow,
    fmt,
    fs::{File, OpenOptions},
    io::ErrorKind as Io,
    path::{Path, PathBuf},
};

use self::source::{Flaw, Source};
use super::manifest::{MAX_TEXT, Manifest, refusal};
use crate::error::{Error, ErrorKind, Result, mend_of};

/// The one function that a plugin exports.
pub const ENTRY: &str = "pintle_plugin_entry_v1";

/// A library larger than this is refused.
pub(crate) const MAX_FILE: u64 = 512 << 20;

/// What a library's file says.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its format.
    pub format: Format,
    /// The machine, under the name that Rust has for it (`x86_64`, `aarch64`), or `machine 0x…`.
    pub arch: Cow<'static, str>,
    /// 32 or 64.
    pub bits: u8,
    /// The byte order.
    pub endian: Endian,
    /// The operating system, where the format tells it; ELF mostly does not.
    pub os: Option<&'static str>,
    /// It can be opened by dlopen: not a program, not an object file.
    pub shared_object: bool,
    /// It exports the entry function.
    pub entry: bool,
    /// The libraries that it needs, as it names them.
    pub needed: Vec<String>,
    /// Where it wants them looked for (DT_RPATH, DT_RUNPATH, LC_RPATH), one entry for each folder.
    pub run_paths: Vec<String>,
    /// It may leave destructors behind on threads that ran it: it cannot be closed before they ended.
    pub thread_exit: bool,
    /// It takes one of the process's 1,024 thread keys, for good.
    pub thread_keys: bool,
    /// It has GNU-unique symbols: glibc never unmaps it (`-fno-gnu-unique` mends it).
    pub unique_symbols: bool,
    /// It is marked never to be unmapped.
    pub no_delete: bool,
    /// Its manifest's text, and where that was; `None` if there is none.
    pub manifest: Option<ManifestText>,
    embedded: Option<Vec<u8>>,
}

/// The text of a manifest, not parsed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestText {
    /// The text.
    pub bytes: Vec<u8>,
    /// The file that it is the whole of; `None` if it is embedded in the library.
    pub beside: Option<PathBuf>,
}

/// The format of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Linux and most other Unixes.
    Elf,
    /// Windows.
    Pe,
    /// macOS.
    MachO,
}

/// The order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// The least first.
    Little,
    /// The greatest first.
    Big,
}

/// Reads what the library at `path` is, also if it is for another machine.
///
/// # Errors
///
/// What keeps the file from being read as a library: not a regular file, no known format, truncated, too large,
/// the manifest's record damaged or there twice, a manifest in the library and another beside it.
pub fn inspect(path: &Path) -> Result<Inspection> {
    inspect_open(&open_regular(path)?, path)
}

/// The same, with the SHA-256 of the file, in one opening of it: what loading the file would log.
///
/// # Errors
///
/// As [`inspect`], and that the file cannot be read to its end.
pub fn inspect_and_hash(path: &Path) -> Result<(Inspection, [u8; 32])> {
    let file = open_regular(path)?;
    let inspection = inspect_open(&file, path)?;
    let source = Source::new(&file, 0, inspection.size).map_err(|flaw| flaw.of(path))?;
    let sha256 = source.sha256().map_err(|error| io(path, &error))?;
    Ok((inspection, sha256))
}

/// [`inspect`] for a file that is open already, so that what was checked can also be what is copied. `path` is for
/// the messages and for finding a manifest beside it.
///
/// # Errors
///
/// As [`inspect`].
pub(crate) fn inspect_open(file: &File, path: &Path) -> Result<Inspection> {
    let size = regular(file, path)?;
    let source = Source::new(file, 0, size).map_err(|flaw| flaw.of(path))?;
    let mut inspection = inspect_source(&source, path)?;
    inspection.add_beside(beside(path)?)?;
    Ok(inspection)
}

/// Only what is in the file itself.
pub(super) fn inspect_source(source: &Source<'_>, path: &Path) -> Result<Inspection> {
    let mut inspection = Inspection::empty(path, source.len());
    let head = source.head();
    let read = if head.starts_with(b"\x7fELF") {
        elf::read(source, &mut inspection)
    } else if head.starts_with(b"MZ") {
        pe::read(source, &mut inspection)
    } else if macho::is_universal(head) {
        macho::read_universal(source, &mut inspection)
    } else if matches!(head.get(..4), Some([0xce | 0xcf, 0xfa, 0xed, 0xfe] | [0xfe, 0xed, 0xfa, 0xce | 0xcf]))
    {
        macho::read(source, &mut inspection)
    } else if head.is_empty() {
        Err(Flaw::invalid("is empty").mend("build or copy it again"))
    } else {
        Err(Flaw::invalid("is not a library: not an ELF, PE or Mach-O file")
            .mend("name the file that the linker made"))
    };
    read.map_err(|flaw| flaw.of(path))?;
    if let Some(bytes) = inspection.embedded.take() {
        inspection.manifest = Some(ManifestText { bytes, beside: None });
    }
    Ok(inspection)
}

impl Inspection {
    fn empty(path: &Path, size: u64) -> Self {
        Self {
            path: path.to_owned(),
            size,
            format: Format::Elf,
            arch: Cow::Borrowed(""),
            bits: 64,
            endian: Endian::Little,
            os: None,
            shared_object: false,
            entry: false,
            needed: Vec::new(),
            run_paths: Vec::new(),
            thread_exit: false,
            thread_keys: false,
            unique_symbols: false,
            no_delete: false,
            manifest: None,
            embedded: None,
        }
    }

    /// Can this host open it as a plugin? Asked before the manifest is looked into.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for another machine, INVALID_ARGUMENT for what is not a plugin.
    pub fn check_loadable(&self) -> Result<()> {
        let here = host_format();
        let system = self.os.unwrap_or(match self.format {
            Format::Elf => here.1,
            Format::Pe => "windows",
            Format::MachO => "macos",
        });
        let fits = self.format == here.0
            && system == here.1
            && self.arch == std::env::consts::ARCH
            && self.bits == 64
            && (self.endian == Endian::Little) == cfg!(target_endian = "little");
        let flaw = if !fits {
            let (arch, os) = (std::env::consts::ARCH, here.1);
            let what =
                format!("is for {} {system} ({}), this host is {arch} {os}", self.machine(), self.format);
            Flaw::new(ErrorKind::Unsupported, what).mend(format!("rebuild it for {arch} {os}"))
        } else if !self.shared_object {
            Flaw::invalid("is a program or an object file, not a shared library")
                .mend("link it with -shared -fPIC, or as a cdylib")
        } else if !self.entry {
            if self.manifest.is_none() {
                Flaw::invalid("is a library but no Pintle plugin: no manifest and no entry function")
            } else {
                Flaw::invalid(format!("does not export {ENTRY}"))
                    .mend("declare it with PINTLE_EXPORT, and do not strip or hide it")
            }
        } else {
            return Ok(());
        };
        Err(flaw.of(&self.path))
    }

    /// The manifest, parsed and checked.
    ///
    /// # Errors
    ///
    /// That there is none, or all its problems.
    pub fn parse_manifest(&self) -> Result<Manifest> {
        let Some(text) = &self.manifest else {
            return Err(Flaw::invalid("has no manifest: not a Pintle plugin")
                .mend("embed one with PINTLE_MANIFEST, or put NAME.pintle.json beside it")
                .of(&self.path));
        };
        let from = text.beside.as_deref().unwrap_or(&self.path);
        Manifest::parse(&text.bytes).map_err(|problems| refusal(from, &problems))
    }

    fn machine(&self) -> String {
        let order = if self.endian == Endian::Big { " big-endian" } else { "" };
        format!("{}{order}", self.arch)
    }

    /// Takes note of an imported function; `name` ends at its NUL.
    fn imports(&mut self, name: &[u8]) {
        let end = name.iter().take(32).position(|byte| *byte == 0).unwrap_or(0);
        match &name[..end] {
            b"__cxa_thread_atexit_impl" | b"__cxa_thread_atexit" | b"tss_create" | b"_tlv_atexit" => {
                self.thread_exit = true;
            }
            b"pthread_key_create" => (self.thread_exit, self.thread_keys) = (true, true),
            _ => {}
        }
    }

    pub(super) fn add_beside(&mut self, beside: Option<ManifestText>) -> Result<()> {
        let Some(text) = beside else { return Ok(()) };
        if self.manifest.is_some() {
            let other = text.beside.as_deref().unwrap_or(Path::new(""));
            let what = format!("has a manifest inside, and {} is another", other.display());
            return Err(Flaw::invalid(what).mend("remove one of the two").of(&self.path));
        }
        self.manifest = Some(text);
        Ok(())
    }
}

/// The manifest's text beside the library, if there is one.
fn beside(library: &Path) -> Result<Option<ManifestText>> {
    let Some((path, file)) = open_beside(library)? else { return Ok(None) };
    let bytes = read_beside(&file, &path)?;
    Ok(Some(ManifestText { bytes, beside: Some(path) }))
}

/// The manifest's file beside the library, if there is one, open.
pub(super) fn open_beside(library: &Path) -> Result<Option<(PathBuf, File)>> {
    let mut found: Option<(PathBuf, File)> = None;
    for path in beside_paths(library) {
        match open_regular(&path) {
            Ok(file) => {
                if let Some((other, _)) = &found {
                    let what = format!("and {} are both there for one library", other.display());
                    return Err(Flaw::invalid(what).mend("remove one of the two").of(&path));
                }
                found = Some((path, file));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The text of a manifest's file.
pub(super) fn read_beside(file: &File, path: &Path) -> Result<Vec<u8>> {
    let size = file.metadata().map_err(|error| io(path, &error))?.len();
    let most = MAX_TEXT as u64;
    if size > most {
        let what = format!("has {size} bytes, at most {most} are allowed");
        return Err(Flaw::new(ErrorKind::TooLarge, what).of(path));
    }
    let source = Source::new(file, 0, size).map_err(|flaw| flaw.of(path))?;
    Ok(source.at("the manifest", 0, size, most).map_err(|flaw| flaw.of(path))?.into_owned())
}

/// Where a manifest beside `library` may lie: under its name, with and without the `lib` in front.
fn beside_paths(library: &Path) -> impl Iterator<Item = PathBuf> {
    let stem = library.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push(".pintle.json");
    let whole = library.with_file_name(&name);
    let bytes = name.as_encoded_bytes();
    let bare = bytes.strip_prefix(b"lib").filter(|rest| *rest != b".pintle.json").and_then(|_| {
        let text = name.to_str()?;
        Some(library.with_file_name(&text[3..]))
    });
    std::iter::once(whole).chain(bare)
}

/// Opens a regular file for reading, and nothing else: a FIFO does not block, a device is not touched.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(|error| io(path, &error))?;
    regular(&file, path)?;
    Ok(file)
}

/// The size of an open file that is regular and not too large.
fn regular(file: &File, path: &Path) -> Result<u64> {
    let metadata = file.metadata().map_err(|error| io(path, &error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "is a folder, not a file" } else { "is not a regular file" };
        return Err(Flaw::invalid(what).of(path));
    }
    if metadata.len() > MAX_FILE {
        let what = format!("has {} bytes, at most {MAX_FILE} are allowed", metadata.len());
        return Err(Flaw::new(ErrorKind::TooLarge, what).of(path));
    }
    Ok(metadata.len())
}

/// A failure of the operating system, as one of ours.
pub(super) fn io(path: &Path, error: &std::io::Error) -> Error {
    let (kind, what) = match error.kind() {
        Io::NotFound => (ErrorKind::NotFound, "is not there".into()),
        Io::InvalidFilename => (ErrorKind::NotFound, "is not there: its name is too long".into()),
        Io::PermissionDenied => (ErrorKind::Denied, "may not be read by this user".into()),
        // A socket, or a device without a driver.
        _ if cfg!(unix) && error.raw_os_error() == Some(libc::ENXIO) => {
            (ErrorKind::InvalidArgument, "is not a regular file".into())
        }
        _ => (ErrorKind::Unavailable, format!("cannot be read: {error}")),
    };
    let told = Flaw::new(kind, what).of(path);
    match mend_of(error).filter(|_| kind == ErrorKind::Unavailable) {
        Some(mend) => told.mend(mend),
        None => told,
    }
}

fn host_format() -> (Format, &'static str) {
    let format = if cfg!(windows) {
        Format::Pe
    } else if cfg!(target_vendor = "apple") {
        Format::MachO
    } else {
        Format::Elf
    };
    (format, std::env::consts::OS)
}

impl fmt::Display for Endian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Little => "little",
            Self::Big => "big",
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "ELF",
            Self::Pe => "PE",
            Self::MachO => "Mach-O",
        })
    }
}

#[cfg(all(test, unix))]
#[path = "inspect/tests.rs"]
mod tests;
