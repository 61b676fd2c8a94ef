//! Writes an export: into a file of its own beside the target, which takes its name when all of it is on disk.

use std::{
    fs::File,
    io::{BufWriter, Write},
};

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use super::{
    Carried, Counts, ExportPlan, ExportReport, FORM, HeaderLine, ItemLine, TrailerLine, ValueMember,
};
use crate::{
    error::{Error, ErrorKind, Result},
    services::part::{PartFile, unusable},
};

/// An export that is being written. Leaves nothing behind if it is dropped before its end.
pub(super) struct Export {
    part: PartFile,
    file: BufWriter<File>,
    hash: Sha256,
    written: u64,
    counts: Counts,
    /// The tenant of the item before.
    tenant: Option<String>,
    /// A line that is put together.
    line: Vec<u8>,
}

impl Export {
    /// Makes the file, with its first line.
    pub(super) fn begin(plan: &ExportPlan<'_>, now_ms: i64) -> Result<Self> {
        let (part, file) = PartFile::begin(plan.path, plan.overwrite)?;
        let mut export = Self {
            part,
            file: BufWriter::with_capacity(1 << 16, file),
            hash: Sha256::new(),
            written: 0,
            counts: Counts::default(),
            tenant: None,
            line: Vec::new(),
        };
        export.write(&HeaderLine {
            pintle_export: FORM,
            plugin: plan.plugin.into(),
            tenants: plan.tenant.map(|tenant| vec![tenant.into()]),
            exported_ms: now_ms,
            host: plan.host.into(),
        })?;
        Ok(export)
    }

    /// Writes one more item: the next in the order of tenants and keys.
    pub(super) fn add(&mut self, item: &Carried<'_>) -> Result<()> {
        let same = self.tenant.as_deref() == Some(item.tenant);
        if !same {
            self.tenant = Some(item.tenant.to_owned());
        }
        self.counts.add(item, same);
        let value = match str::from_utf8(item.value) {
            Ok(text) if !text.contains('\0') => ValueMember::Text(text.into()),
            _ => ValueMember::Base64(BASE64.encode(item.value).into()),
        };
        self.write(&ItemLine {
            tenant: item.tenant.into(),
            key: item.key.as_str().into(),
            value,
            version: item.info.version,
            created_ms: Some(item.info.created_ms),
            updated_ms: Some(item.info.updated_ms),
            expires_ms: item.info.expires_ms,
        })
    }

    /// Writes the last line, and gives the file its name when all of it is on disk.
    pub(super) fn finish(mut self) -> Result<ExportReport> {
        let sha256 = HEXLOWER.encode(&self.hash.clone().finalize());
        let Counts { tenants, items, bytes } = self.counts;
        self.write(&TrailerLine { items, bytes, sha256: sha256.into() })?;
        let Self { part, mut file, written, .. } = self;
        file.flush().map_err(|error| unusable(part.target(), "written", &error))?;
        let path = part.finish(file.get_ref())?;
        Ok(ExportReport { path, tenants, items, bytes, file_bytes: written })
    }

    fn write(&mut self, line: &impl serde::Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(|error| {
            Error::new(ErrorKind::Internal, format!("an item cannot be written as JSON: {error}"))
        })?;
        self.line.push(b'\n');
        self.hash.update(&self.line);
        self.written += self.line.len() as u64;
        self.file.write_all(&self.line).map_err(|error| unusable(self.part.target(), "written", &error))
    }
}
