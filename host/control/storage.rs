//! The methods about the storage: what is in it, changes of it, and whole plugins out of it and into it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Refusal,
    methods::{Answer, absolute},
};
use crate::{
    Host,
    error::{Error, ErrorKind},
    host::storage::{ExportOptions, ImportOptions, SetOptions, StorageItem, StorageKeys},
    services::storage::{ExportReport, ImportMode, ImportReport, StorageCheck},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    plugin: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    prefix: String,
    cursor: Option<String>,
    #[serde(default)]
    limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemOf {
    plugin: String,
    #[serde(default)]
    tenant: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Writing {
    plugin: String,
    #[serde(default)]
    tenant: String,
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    /// A file on the host's machine whose bytes are the value: it may be longer than a request.
    file: Option<PathBuf>,
    if_version: Option<u64>,
    ttl_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counting {
    /// None: all.
    plugin: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exporting {
    plugin: String,
    /// None: of all tenants.
    tenant: Option<String>,
    path: PathBuf,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Importing {
    path: PathBuf,
    #[serde(default)]
    mode: Mode,
    /// None: the plugin that they were exported of.
    plugin: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Empty,
    Replace,
    Merge,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checking {
    #[serde(default)]
    thorough: bool,
}

/// `storage.list`.
pub(super) fn list(host: &Host, asked: Listing) -> Answer {
    let Listing { plugin, tenant, prefix, cursor, limit } = asked;
    let StorageKeys { keys, next } =
        host.storage(&plugin, &tenant)?.keys(&prefix, cursor.as_deref(), limit)?;
    Ok(json!({ "keys": keys, "next": next }))
}

/// `storage.get`.
pub(super) fn get(host: &Host, ItemOf { plugin, tenant, key }: ItemOf) -> Answer {
    let found = host.storage(&plugin, &tenant)?.get(&key)?;
    Ok(json!({ "item": found.as_ref().map(item) }))
}

fn item(StorageItem { value, version, created_ms, updated_ms, left }: &StorageItem) -> Value {
    let mut shown = json!({
        "version": version,
        "created_ms": created_ms,
        "updated_ms": updated_ms,
        "left_ms": left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    });
    // Bytes that are no text travel as in CloudEvents.
    match str::from_utf8(value) {
        Ok(text) => shown["value"] = text.into(),
        Err(_) => shown["value_base64"] = data_encoding::BASE64.encode(value).into(),
    }
    shown
}

/// `storage.set`.
pub(super) fn set(host: &Host, asked: Writing) -> Answer {
    let Writing { plugin, tenant, key, value, value_base64, file, if_version, ttl_ms } = asked;
    let storage = host.storage(&plugin, &tenant)?;
    let value = match (value, value_base64, file) {
        (Some(text), None, None) => text.into_bytes(),
        (None, Some(text), None) => data_encoding::BASE64.decode(text.as_bytes()).map_err(|error| {
            Refusal::Params(format!("`value_base64`: it is no base64 with padding: {error}"))
        })?,
        (None, None, Some(file)) => bytes_of(&file, storage.largest_value())?,
        _ => return Err(Refusal::Params("give a `value`, or a `value_base64`, or a `file`".into())),
    };
    let options = SetOptions { if_version, ttl: ttl_ms.map(Duration::from_millis) };
    Ok(json!({ "version": storage.set(&key, &value, &options)? }))
}

/// No more of it is read than a value may have: whoever names a file says nothing of its size.
fn bytes_of(file: &Path, largest: usize) -> Result<Vec<u8>, Refusal> {
    absolute("file", file)?;
    let read = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, format!("{} cannot be read: {error}", file.display()))
    };
    // A pipe would have to be waited for.
    if !file.metadata().map_err(read)?.is_file() {
        let text = format!("{} cannot be read: it is no file", file.display());
        return Err(Error::new(ErrorKind::InvalidArgument, text).into());
    }
    let mut bytes = Vec::new();
    let most = (largest as u64).saturating_add(1);
    File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(read)?;
    if bytes.len() > largest {
        let text = format!(
            "{} has more bytes than a value may, at most {largest} are taken (storage.max_value in the settings)",
            file.display()
        );
        return Err(Error::new(ErrorKind::TooLarge, text).into());
    }
    Ok(bytes)
}

/// `storage.remove`.
pub(super) fn remove(host: &Host, ItemOf { plugin, tenant, key }: ItemOf) -> Answer {
    Ok(json!({ "existed": host.storage(&plugin, &tenant)?.remove(&key)? }))
}

/// `storage.stats`.
pub(super) fn stats(host: &Host, Counting { plugin }: Counting) -> Answer {
    let all = match plugin {
        Some(id) => {
            let scopes = host.storage_scopes(&id)?;
            BTreeMap::from([(id, scopes)])
        }
        // Asked once: a plugin may lose its last item between two looks.
        None => host.all_storage_scopes()?,
    };
    let mut plugins = Vec::new();
    let (mut items, mut bytes) = (0, 0);
    for (id, scopes) in &all {
        let of_all =
            (scopes.iter().map(|it| it.items).sum::<u64>(), scopes.iter().map(|it| it.bytes).sum::<u64>());
        (items, bytes) = (items + of_all.0, bytes + of_all.1);
        let tenants: Vec<Value> = scopes
            .iter()
            .map(|it| json!({ "tenant": it.tenant, "items": it.items, "bytes": it.bytes }))
            .collect();
        plugins.push(json!({ "id": id, "items": of_all.0, "bytes": of_all.1, "tenants": tenants }));
    }
    Ok(json!({ "items": items, "bytes": bytes, "plugins": plugins }))
}

/// `storage.export`.
pub(super) fn export(host: &Host, asked: Exporting) -> Answer {
    let Exporting { plugin, tenant, path, overwrite } = asked;
    absolute("path", &path)?;
    let ExportReport { path, tenants, items, bytes, file_bytes } =
        host.export(&plugin, &path, &ExportOptions { tenant, overwrite })?;
    Ok(json!({
        "path": path.display().to_string(), "tenants": tenants, "items": items, "bytes": bytes,
        "file_bytes": file_bytes,
    }))
}

/// `storage.import`.
pub(super) fn import(host: &Host, asked: Importing) -> Answer {
    let Importing { path, mode, plugin } = asked;
    absolute("path", &path)?;
    let mode = match mode {
        Mode::Empty => ImportMode::Empty,
        Mode::Replace => ImportMode::Replace,
        Mode::Merge => ImportMode::Merge,
    };
    let ImportReport { plugin, tenants, items, bytes, expired, removed } =
        host.import(&path, &ImportOptions { mode, plugin })?;
    Ok(json!({
        "plugin": plugin, "tenants": tenants, "items": items, "bytes": bytes, "expired": expired,
        "removed": removed,
    }))
}

/// `storage.check`.
pub(super) fn check(host: &Host, Checking { thorough }: Checking) -> Answer {
    let StorageCheck { scopes, items, bytes, problems } = host.check_storage(thorough)?;
    Ok(json!({ "scopes": scopes, "items": items, "bytes": bytes, "problems": problems }))
}
