//! Export and import: what a plugin has, as a text file of JSON lines that another host can read. docs/export.md
//! specifies the file.
//!
//! `write` makes such a file, `read` checks one and gives its items. What is asked of a back end is here: it lends its
//! items as they were at one moment, and takes those of a file in one commit.

mod read;
mod write;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub(crate) use self::read::is_plugin_id;
use super::{Info, Storage};
use crate::{
    error::{Error, ErrorKind, Result},
    services::keys::Key,
};

/// The form that this host writes, and the newest that it reads.
const FORM: u64 = 1;

/// The most bytes that the name of a tenant may have.
const LONGEST_TENANT: usize = 128;

/// Something that takes long asks this now and then whether it may go on.
pub(crate) type GoOn = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// An item on its way from one storage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried<'a> {
    /// Empty: the system scope.
    pub(crate) tenant: &'a str,
    pub(crate) key: Key<'a>,
    pub(crate) value: &'a [u8],
    pub(crate) info: Info,
}

/// Whose items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// Of the plugin for everybody, whoever that is.
    All,
    /// Of the plugin for these alone, which a file may name very many of.
    These(BTreeSet<Arc<str>>),
}

/// What becomes of items that are there where a file is imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportMode {
    /// There must be none: CONFLICT.
    #[default]
    Empty,
    /// They go: afterwards there is what the file has, and nothing else.
    Replace,
    /// They stay, unless the file has an item of the same tenant and key: then that of the file counts.
    Merge,
}

/// Where a back end gets the items from that it is to take.
pub(crate) trait Source: Send + Sync {
    /// Gives all items to `take`, in the order of their tenants and keys, up to its first error, which is the answer. Can be
    /// asked again, and gives the same then.
    fn each(&self, take: &mut dyn FnMut(Carried<'_>) -> Result<()>) -> Result<()>;
}

impl Tenants {
    pub(super) fn include(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(tenant),
        }
    }
}

/// What a back end is to take.
pub(crate) struct Import {
    pub(crate) plugin: Arc<str>,
    /// Whose items the source has: what [`ImportMode`] is about.
    pub(crate) tenants: Tenants,
    pub(crate) mode: ImportMode,
    pub(crate) source: Box<dyn Source>,
    /// About how many bytes keys and values have.
    pub(crate) bytes: u64,
}

/// What has become of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Written.
    pub(crate) items: u64,
    /// Of the keys and values that were written.
    pub(crate) bytes: u64,
    /// Not written, because their lifetime is over.
    pub(crate) expired: u64,
    /// Were there, and are not any more.
    pub(crate) removed: u64,
}

/// What a look at all that is kept has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageCheck {
    /// Scopes that have items.
    pub scopes: u64,
    /// Items, those too whose lifetime is over and that are not removed yet.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// What is wrong, in words; empty: nothing. At most 100.
    pub problems: Vec<String>,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Where it lies.
    pub path: PathBuf,
    /// How many tenants have items in it, the system scope included.
    pub tenants: u64,
    /// How many items it has.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// The bytes of the file.
    pub file_bytes: u64,
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The plugin whose items they are now.
    pub plugin: String,
    /// How many tenants have items in the file, the system scope included.
    pub tenants: u64,
    /// How many items were written.
    pub items: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// How many items of the file were not written, because their lifetime was over.
    pub expired: u64,
    /// How many items were there before and are not any more; those that were written over are not among them.
    pub removed: u64,
}

/// What an export is to be.
pub(crate) struct ExportPlan<'a> {
    pub(crate) plugin: &'a str,
    /// None: of all tenants.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) path: &'a Path,
    /// A file that is there is replaced.
    pub(crate) overwrite: bool,
    /// The version of this host.
    pub(crate) host: &'a str,
}

impl Storage {
    /// Writes what a plugin has, as it is at one moment, into a file. Writers are not held up.
    ///
    /// CONFLICT: the file is there. UNAVAILABLE: it cannot be written, or the items cannot be read. Then there is no file.
    pub(crate) fn export(&self, plan: &ExportPlan<'_>, go_on: &GoOn) -> Result<ExportReport> {
        let mut file = write::Export::begin(plan, self.clock.now_ms())?;
        self.backend.export(plan.plugin, plan.tenant, &mut |item| {
            go_on()?;
            file.add(&item)
        })?;
        file.finish()
    }

    /// Looks through the whole file, and then takes its items, all of them or, where that fails, none. They get versions of
    /// their own and keep their times.
    ///
    /// INVALID_ARGUMENT: the file is none, or was changed, with the line. UNSUPPORTED: it is of a newer form. TOO_LARGE: a
    /// value is. CONFLICT: there are items already. UNAVAILABLE: the file cannot be read, or the items cannot be written.
    pub(crate) fn import(
        &self,
        path: &Path,
        mode: ImportMode,
        plugin: Option<&str>,
        go_on: &GoOn,
    ) -> Result<ImportReport> {
        let checked = read::ExportFile::check(path, self.largest_value, go_on)?;
        let (tenants, bytes) = (checked.counts.tenants, checked.counts.bytes);
        let plugin: Arc<str> = plugin.unwrap_or(&checked.header.plugin).into();
        let import = Import {
            plugin: Arc::clone(&plugin),
            tenants: checked.header.tenants.clone(),
            mode,
            source: Box::new(checked),
            bytes,
        };
        let Imported { items, bytes, expired, removed } =
            self.backend.import(import).map_err(|error| match error.plugin() {
                // What is wrong with the file has no plugin to it.
                None => error,
                Some(_) => error.of(plugin.clone()),
            })?;
        Ok(ImportReport { plugin: plugin.to_string(), tenants, items, bytes, expired, removed })
    }

    /// Looks at all that is kept, whether it is whole. `thorough`: compares indexes with tables too, which takes longer.
    ///
    /// What `go_on` answers, once that is an error.
    pub(crate) fn verify(&self, thorough: bool, go_on: &GoOn) -> Result<StorageCheck> {
        self.backend.verify(thorough, go_on)
    }
}

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    plugin: String,
    tenants: Tenants,
    exported_ms: i64,
}

/// The first line as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine<'a> {
    pintle_export: u64,
    #[serde(borrow)]
    plugin: Cow<'a, str>,
    /// Null: all.
    #[serde(borrow)]
    tenants: Option<Vec<Cow<'a, str>>>,
    exported_ms: i64,
    /// Which host has written it: nobody asks.
    #[serde(borrow)]
    host: Cow<'a, str>,
}

/// An item as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ItemLine<'a> {
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: ValueMember<'a>,
    /// Told for those who look: the import gives versions of its own.
    #[serde(default)]
    version: u64,
    /// None: when the file was written.
    #[serde(default)]
    created_ms: Option<i64>,
    /// None: when it was created.
    #[serde(default)]
    updated_ms: Option<i64>,
    #[serde(default)]
    expires_ms: Option<i64>,
}

/// A value: text where it can be.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum ValueMember<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Base64(#[serde(borrow)] Cow<'a, str>),
}

/// The last line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TrailerLine<'a> {
    items: u64,
    bytes: u64,
    /// Of all bytes of the lines before, in hexadecimal digits.
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

/// What the lines of a file have together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    tenants: u64,
    items: u64,
    bytes: u64,
}

impl Counts {
    /// One item more; `same`: of the tenant of the one before.
    fn add(&mut self, item: &Carried<'_>, same: bool) {
        self.tenants += u64::from(!same);
        self.items += 1;
        self.bytes += (item.key.as_str().len() + item.value.len()) as u64;
    }
}

/// There are items where an import wants none.
pub(super) fn occupied(plugin: &Arc<str>, tenant: &str, items: u64) -> Error {
    let whose = match tenant {
        "" => "in the system scope".to_owned(),
        tenant => format!("for the tenant {tenant:?}"),
    };
    let text = format!("it has {items} items {whose} already, so nothing was imported");
    Error::new(ErrorKind::Conflict, text)
        .mend("say that the import is to replace what is there, or to be merged into it")
        .of(Arc::clone(plugin))
}
