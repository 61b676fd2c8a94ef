//! A file as a line of JSON. Members are only ever added; `docs/cli.md` has all of them.

use std::{collections::BTreeMap, io, path::Path};

use pintle::{Error, inspect::Inspection};
use serde::Serialize;
use serde_json::Value;

use super::{Library, NoPlugin, Plugin};
use crate::print::json_line;

#[derive(Serialize)]
struct Line<'p> {
    file: String,
    plugin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abi: Option<String>,
    #[serde(flatten)]
    library: Option<Properties<'p>>,
    /// As the author wrote it: what it does not say is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Value>,
    loadable: bool,
    error: Option<Failed>,
    distrusted: Option<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Properties<'p> {
    target: Target<'p>,
    size: u64,
    sha256: &'p str,
    shared_object: bool,
    entry: bool,
    needs: &'p [String],
    run_paths: &'p [String],
    unload: BTreeMap<&'static str, bool>,
    /// Where the manifest is, if not in the library.
    manifest_file: Option<String>,
}

#[derive(Serialize)]
struct Target<'p> {
    format: String,
    arch: &'p str,
    os: Option<&'static str>,
    bits: u8,
    endian: String,
}

/// Why something is not as it should be.
#[derive(Serialize)]
pub(crate) struct Failed {
    kind: &'static str,
    text: String,
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind().name(), text: error.to_string() }
    }
}

/// The line of a file.
pub(super) fn line(file: &Path, looked: &Result<Plugin, Box<NoPlugin>>) -> io::Result<String> {
    let file = file.display().to_string();
    let line = match looked {
        Ok(plugin) => {
            let Plugin { library, manifest, refused, distrusted, warnings } = plugin;
            let text = library.inspection.manifest.as_ref();
            Line {
                file,
                plugin: true,
                id: Some(&manifest.id),
                version: Some(manifest.version.to_string()),
                abi: Some(manifest.abi.to_string()),
                library: Some(library.properties()),
                manifest: text.map(|text| serde_json::from_slice(&text.bytes)).transpose()?,
                loadable: refused.is_none(),
                error: refused.as_ref().map(Failed::from),
                distrusted: distrusted.as_ref().map(Error::to_string),
                warnings: warnings.iter().map(Error::to_string).collect(),
            }
        }
        Err(no_plugin) => Line {
            file,
            plugin: false,
            id: None,
            version: None,
            abi: None,
            library: no_plugin.library.as_ref().map(Library::properties),
            manifest: None,
            loadable: false,
            error: Some(Failed::from(&no_plugin.error)),
            distrusted: None,
            warnings: Vec::new(),
        },
    };
    json_line(&line)
}

impl Library {
    fn properties(&self) -> Properties<'_> {
        let Inspection { format, arch, os, bits, endian, needed, run_paths, .. } = &self.inspection;
        let inspection = &self.inspection;
        let beside = inspection.manifest.as_ref().and_then(|text| text.beside.as_ref());
        Properties {
            target: Target {
                format: format.to_string(),
                arch,
                os: *os,
                bits: *bits,
                endian: endian.to_string(),
            },
            size: inspection.size,
            sha256: &self.sha256,
            shared_object: inspection.shared_object,
            entry: inspection.entry,
            needs: needed,
            run_paths,
            unload: [
                ("thread_exit", inspection.thread_exit),
                ("thread_keys", inspection.thread_keys),
                ("unique_symbols", inspection.unique_symbols),
                ("no_delete", inspection.no_delete),
            ]
            .into(),
            manifest_file: beside.map(|path| path.display().to_string()),
        }
    }
}
