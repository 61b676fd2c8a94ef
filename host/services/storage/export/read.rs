//! Reads an export: looks through all of it first, and then gives its items as often as they are asked for.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::{BASE64, HEXLOWER};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    Carried, Counts, FORM, GoOn, Header, HeaderLine, ItemLine, LONGEST_TENANT, Source, Tenants, TrailerLine,
    ValueMember,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::{keys::Key, part::unusable, storage::Info},
};

/// What a line has beside its value, at most, with everything escaped.
const MOST_BESIDE: usize = 8 << 10;

/// How many bytes a byte of text takes in JSON, at most: `\u0001`.
const MOST_ESCAPED: usize = 6;

/// A file that was looked through, and found to be whole.
pub(super) struct ExportFile {
    path: PathBuf,
    file: Mutex<File>,
    longest_line: usize,
    largest_value: usize,
    pub(super) header: Header,
    pub(super) counts: Counts,
    /// What it must still have when it is read again.
    sha256: [u8; 32],
    go_on: GoOn,
}

impl ExportFile {
    /// Opens the file and looks through all of it. The first problem is the answer, with its line.
    pub(super) fn check(path: &Path, largest_value: usize, go_on: &GoOn) -> Result<Self> {
        let unreadable = |error: &io::Error| unusable(path, "read", error);
        // A pipe would have to be waited for, and cannot be read twice.
        let is = path.metadata().map_err(|error| unreadable(&error))?;
        if !is.is_file() {
            let text = format!("{} cannot be read: it is no file", path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, text).mend("name a file that was exported"));
        }
        let mut file = File::open(path).map_err(|error| unreadable(&error))?;
        let longest_line = largest_value.saturating_mul(MOST_ESCAPED).saturating_add(MOST_BESIDE);
        let mut lines = Lines::new(&mut file, path, longest_line);
        let mut pass = Pass { header: None, counts: Counts::default(), last: None, largest_value };
        let sha256 = pass.run(&mut lines, go_on, &mut |_| Ok(()))?;
        let (header, counts) = (pass.header.expect("a pass that ends well has read it"), pass.counts);
        let (path, go_on) = (path.to_owned(), Arc::clone(go_on));
        Ok(Self { path, file: Mutex::new(file), longest_line, largest_value, header, counts, sha256, go_on })
    }
}

impl Source for ExportFile {
    fn each(&self, take: &mut dyn FnMut(Carried<'_>) -> Result<()>) -> Result<()> {
        let mut file = self.file.lock();
        file.rewind().map_err(|error| unusable(&self.path, "read", &error))?;
        let mut lines = Lines::new(&mut file, &self.path, self.longest_line);
        let largest_value = self.largest_value;
        let mut pass = Pass { header: None, counts: Counts::default(), last: None, largest_value };
        if pass.run(&mut lines, &self.go_on, take)? != self.sha256 {
            let text = format!("{} was changed while it was imported", self.path.display());
            return Err(
                Error::new(ErrorKind::Conflict, text).mend("import it again, and let nobody write to it")
            );
        }
        Ok(())
    }
}

/// One reading of a file from its first line to its last.
struct Pass {
    header: Option<Header>,
    counts: Counts,
    /// Tenant and key of the item before.
    last: Option<(String, String)>,
    largest_value: usize,
}

impl Pass {
    /// Gives what the lines before the last hash to.
    fn run(
        &mut self,
        lines: &mut Lines<'_>,
        go_on: &GoOn,
        take: &mut dyn FnMut(Carried<'_>) -> Result<()>,
    ) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        while lines.next()? {
            go_on()?;
            if self.header.is_none() {
                self.header = Some(header(lines)?);
            } else if let Some(trailer) = trailer(&lines.line) {
                let found: [u8; 32] = hash.finalize().into();
                self.compare(&trailer, &found, lines)?;
                if lines.next()? {
                    return Err(lines
                        .wrong("something comes after the last line of the export")
                        .mend("remove what does not belong to it, or export again"));
                }
                return Ok(found);
            } else {
                self.item(lines, take)?;
            }
            hash.update(&lines.line);
        }
        Err(match &self.header {
            None => lines.no_export("the file is empty"),
            Some(_) => lines
                .wrong("the file ends before the last line of an export, which has counts and a checksum")
                .mend("it was cut off: copy it again, or export again"),
        })
    }

    fn item(&mut self, lines: &Lines<'_>, take: &mut dyn FnMut(Carried<'_>) -> Result<()>) -> Result<()> {
        let line: ItemLine<'_> = lines.parse("an item")?;
        let header = self.header.as_ref().expect("it is the first line");
        let key = Key::parse("key", line.key.as_bytes()).map_err(|error| lines.wrong(error.to_string()))?;
        tenant(&line.tenant).map_err(|problem| lines.wrong(problem))?;
        if !header.tenants.include(&line.tenant) {
            let text = format!("`tenant`: {:?} is none of those that line 1 names", line.tenant);
            return Err(lines.wrong(text).mend("export again"));
        }
        let same = self.last.as_ref().is_some_and(|(tenant, _)| *tenant == line.tenant);
        if let Some((last_tenant, last_key)) = &mut self.last {
            if (&**last_tenant, &**last_key) >= (&*line.tenant, &*line.key) {
                let what = match same && *last_key == line.key {
                    true => format!("the item {key:?} is there twice"),
                    false => format!(
                        "the item {key:?} is not in its place: items are in the order of tenants, then of keys, by their bytes"
                    ),
                };
                return Err(lines.wrong(what).mend("export again, or sort it"));
            }
            set(last_tenant, &line.tenant);
            set(last_key, &line.key);
        } else {
            self.last = Some((line.tenant.to_string(), line.key.to_string()));
        }
        let decoded;
        let value = match &line.value {
            ValueMember::Text(text) => text.as_bytes(),
            ValueMember::Base64(text) => {
                decoded = BASE64.decode(text.as_bytes()).map_err(|error| {
                    lines
                        .wrong(format!("the value of {key:?} is no base64 with padding: {error}"))
                        .mend("export again")
                })?;
                &decoded
            }
        };
        if value.len() > self.largest_value {
            return Err(lines
                .too_large(&format!("the value of {key:?} has {} bytes", value.len()), self.largest_value));
        }
        let created_ms = line.created_ms.unwrap_or(header.exported_ms);
        let info = Info {
            version: line.version,
            created_ms,
            updated_ms: line.updated_ms.unwrap_or(created_ms),
            expires_ms: line.expires_ms,
        };
        let item = Carried { tenant: &line.tenant, key, value, info };
        self.counts.add(&item, same);
        take(item)
    }

    fn compare(&self, trailer: &TrailerLine<'_>, found: &[u8; 32], lines: &Lines<'_>) -> Result<()> {
        let Counts { items, bytes, .. } = self.counts;
        let found = HEXLOWER.encode(found);
        let what = if trailer.sha256 != found {
            format!("the lines before have the SHA-256 {found}, here it is {:?}", trailer.sha256)
        } else if (trailer.items, trailer.bytes) != (items, bytes) {
            format!(
                "there are {items} items of {bytes} bytes, here it is {} of {}",
                trailer.items, trailer.bytes
            )
        } else {
            return Ok(());
        };
        Err(lines.wrong(what).mend("the file was changed or damaged: copy it again, or export again"))
    }
}

/// Without a new allocation for each line.
fn set(to: &mut String, text: &str) {
    to.clear();
    to.push_str(text);
}

fn header(lines: &Lines<'_>) -> Result<Header> {
    /// What every form begins with.
    #[derive(Deserialize)]
    struct Any {
        pintle_export: u64,
    }
    let Ok(Any { pintle_export: form }) = serde_json::from_slice(&lines.line) else {
        return Err(lines.no_export("it does not begin with `{\"pintle_export\":`"));
    };
    if form > FORM {
        let text = format!(
            "{} is an export of form {form}, this host reads forms up to {FORM}",
            lines.path.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, text).mend("update the host"));
    }
    let line: HeaderLine<'_> = lines.parse("the first line of an export")?;
    if form == 0 {
        return Err(lines.wrong("`pintle_export`: there is no form 0").mend("export again"));
    }
    if !is_plugin_id(&line.plugin) {
        let text = format!(
            "`plugin`: {:?} is no plugin id: 1 to 63 of a-z, 0-9 and `-`, a letter first",
            line.plugin
        );
        return Err(lines.wrong(text).mend("export again"));
    }
    let tenants = match &line.tenants {
        None => Tenants::All,
        Some(names) => {
            names.iter().try_for_each(|name| tenant(name)).map_err(|problem| lines.wrong(problem))?;
            Tenants::These(names.iter().map(|name| Arc::from(&**name)).collect())
        }
    };
    Ok(Header { plugin: line.plugin.into_owned(), tenants, exported_ms: line.exported_ms })
}

fn trailer(line: &[u8]) -> Option<TrailerLine<'_>> {
    // An item is no trailer, and to find that out by its first member is faster than by reading it twice.
    if line.starts_with(b"{\"tenant\"") {
        return None;
    }
    serde_json::from_slice(line).ok()
}

/// `[a-z][a-z0-9-]{0,62}`, as for a manifest.
pub(crate) fn is_plugin_id(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn tenant(name: &str) -> Result<(), String> {
    let what = if name.len() > LONGEST_TENANT {
        format!("it has {} bytes, at most {LONGEST_TENANT} are allowed", name.len())
    } else if name.chars().any(char::is_control) {
        "it has control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{name:?} is no name of a tenant: {what}"))
}

/// The lines of a file, one after the other.
struct Lines<'a> {
    from: BufReader<&'a mut File>,
    path: &'a Path,
    longest: usize,
    number: u64,
    /// With its line feed.
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(file: &'a mut File, path: &'a Path, longest: usize) -> Self {
        Self { from: BufReader::with_capacity(1 << 16, file), path, longest, number: 0, line: Vec::new() }
    }

    /// Reads the next one; false: there is none.
    fn next(&mut self) -> Result<bool> {
        self.line.clear();
        let most = self.longest as u64 + 1;
        let read = (&mut self.from).take(most).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| unusable(self.path, "read", &error))?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.last() != Some(&b'\n') {
            return Err(if read as u64 == most {
                self.too_large("the line has more bytes than an item can have", self.longest)
            } else {
                self.wrong("it has no line feed at its end")
                    .mend("the file was cut off: copy it again, or export again")
            });
        }
        Ok(true)
    }

    fn parse<'l, T: Deserialize<'l>>(&'l self, what: &str) -> Result<T> {
        serde_json::from_slice(&self.line).map_err(|error| {
            let column = error.column();
            let said = error.to_string();
            // The line that serde counts is always the first.
            let said = said.split(" at line ").next().unwrap_or(&said);
            self.wrong(format!("it is not {what}, at byte {column}: {said}"))
                .mend("the file was changed or damaged: copy it again, or export again")
        })
    }

    /// What is wrong with the line that was read last.
    fn wrong(&self, what: impl Into<String>) -> Error {
        let text = format!("{}, line {}: {}", self.path.display(), self.number, what.into());
        Error::new(ErrorKind::InvalidArgument, text)
    }

    fn no_export(&self, what: &str) -> Error {
        let text = format!("{} is no export of Pintle: {what}", self.path.display());
        Error::new(ErrorKind::InvalidArgument, text).mend("name a file that `export` has written")
    }

    fn too_large(&self, what: &str, largest: usize) -> Error {
        let text =
            format!("{}, line {}: {what}, at most {largest} are taken", self.path.display(), self.number);
        Error::new(ErrorKind::TooLarge, text).mend("raise storage.max_value in the settings")
    }
}
