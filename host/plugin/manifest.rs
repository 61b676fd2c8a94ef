//! What a plugin says of itself: who it is, what it asks for, what it offers. Made from the text of the manifest
//! in one step that finds every problem at once; what exists as a [`Manifest`] is valid. Where the text comes
//! from is `inspect`'s business. The schema that authors see, `docs/manifest.schema.json`, is the one used here.

mod problem;
mod rules;
mod text;

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr, sync::OnceLock};

use jsonschema::Validator;
use semver::{Version, VersionReq};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{
    error::{Error, ErrorKind, Result},
    services::config::Schema,
};
pub use problem::Problem;

/// The most bytes that the text of a manifest may have.
pub(crate) const MAX_TEXT: usize = 64 * 1024;

/// How deep objects and lists may be nested in it.
pub(crate) const MAX_DEPTH: usize = 32;

/// More problems than this are not listed: nobody reads them.
const MAX_PROBLEMS: usize = 100;

/// A valid manifest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Manifest {
    /// The plugin's name for the host.
    pub id: String,
    /// The plugin's own version.
    pub version: Version,
    /// The least version of the contract that it needs.
    pub abi: Abi,
    /// A name for people.
    pub name: Option<String>,
    /// What it does, for people.
    pub description: Option<String>,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// An SPDX expression.
    pub license: Option<String>,
    /// Where to read more.
    pub homepage: Option<String>,
    /// What it asks of the host.
    #[serde(default)]
    pub services: Services,
    /// The services that it answers, by service id.
    #[serde(default)]
    pub provides: BTreeMap<String, Provided>,
    /// Other plugins that must be there, by plugin id.
    #[serde(default)]
    pub requires: BTreeMap<String, VersionReq>,
    /// The JSON Schema of its settings.
    pub config: Option<Value>,
    /// The most that it expects to use, by the limit's name.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// How many of its calls may run at once.
    #[serde(default = "one")]
    pub concurrency: u32,
    /// The number of the form in which it saves its state.
    #[serde(default)]
    pub state: u32,
    /// Resources beside the library: relative, with `/` between folders, never leading out of the folder.
    #[serde(default)]
    pub files: Vec<String>,
    /// The application may call a provided table directly, from any thread.
    #[serde(default)]
    pub direct: bool,
    /// Never unmap the library.
    #[serde(default)]
    pub keep_mapped: bool,
}

fn one() -> u32 {
    1
}

/// What a plugin asks of the host. `None` is not asked for, and answers DENIED (but `log` and `config`, which
/// need no grant).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Services {
    /// Structured log records.
    pub log: Option<Asked>,
    /// The plugin's settings.
    pub config: Option<Asked>,
    /// Volatile items.
    pub cache: Option<AskedCache>,
    /// Durable items.
    pub storage: Option<Asked>,
    /// SQL.
    pub database: Option<Asked>,
    /// Publish and subscribe.
    pub events: Option<AskedEvents>,
    /// Jobs.
    pub scheduler: Option<Asked>,
    /// Exactly-once starts.
    pub idempotency: Option<Asked>,
    /// Blobs.
    pub files: Option<Asked>,
    /// The services of other plugins that it calls, by service id.
    #[serde(default)]
    pub call: Vec<String>,
}

/// A service that is asked for as a whole or by methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Asked {
    /// The methods; all of them if `None`.
    pub methods: Option<Vec<String>>,
}

/// What is asked of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AskedCache {
    /// The methods; all of them if `None`.
    pub methods: Option<Vec<String>>,
    /// The namespaces; all of its own if `None`.
    pub namespaces: Option<Vec<String>>,
}

/// What is asked of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AskedEvents {
    /// The methods; all of them if `None`.
    pub methods: Option<Vec<String>>,
    /// The patterns that it may subscribe to.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// The topics or patterns that it may publish, without the front `plugin.<id>.`.
    #[serde(default)]
    pub publish: Vec<String>,
}

/// A service that a plugin answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Provided {
    /// The version of the service; a caller must ask for the same.
    pub major: u32,
    /// The methods that it answers.
    #[serde(default)]
    pub methods: Vec<String>,
}

impl Manifest {
    /// Reads the text of a manifest. On failure every problem is told, not only the first.
    ///
    /// # Errors
    ///
    /// The problems, at least one, those of the text's form before those of its content.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<Problem>> {
        let (value, mut problems) = text::read(bytes).map_err(|problem| vec![problem])?;
        let validator = validator();
        if !validator.is_valid(&value) {
            for error in validator.iter_errors(&value).take(MAX_PROBLEMS) {
                problem::from_validator(schema(), &error, &mut problems);
            }
        }
        rules::check(&value, &mut problems);
        if problems.is_empty() {
            match Self::deserialize(value) {
                Ok(manifest) => return Ok(manifest),
                Err(error) => problems.push(Problem::new("", error.to_string())),
            }
        }
        problems.truncate(MAX_PROBLEMS);
        Err(problems)
    }

    /// A config as it may be shown to people: with the defaults that its schema has, and `"***"` in place of secrets. None:
    /// what is secret cannot be told, because the manifest has no schema that this host understands, or the config does
    /// not fit it.
    #[must_use]
    pub fn without_secrets(&self, config: &Value) -> Option<Value> {
        let schema = Schema::compile(self.config.as_ref()?).ok()?;
        schema.check(config).ok().map(|filled| schema.redacted(&filled))
    }

    /// Can this host serve the plugin?
    ///
    /// # Errors
    ///
    /// UNSUPPORTED, naming both numbers and the mend.
    pub fn check_abi(&self) -> Result<()> {
        self.abi.check().map_err(|error| error.of(self.id.as_str()))
    }
}

/// The problems of one manifest as one error; `from` is the file that it was read from.
#[must_use]
pub(crate) fn refusal(from: &Path, problems: &[Problem]) -> Error {
    let list = problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ");
    let what = match problems.len() {
        1 => format!("the manifest of {} has a problem: {list}", from.display()),
        count => format!("the manifest of {} has {count} problems: {list}", from.display()),
    };
    Error::new(ErrorKind::InvalidArgument, what)
}

/// A version of the contract, `MAJOR.MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Abi {
    /// Another major is another contract.
    pub major: u32,
    /// A greater minor only adds.
    pub minor: u32,
}

impl Abi {
    /// What this host offers.
    pub const HOST: Self = Self { major: pintle_abi::PINTLE_ABI_MAJOR, minor: pintle_abi::PINTLE_ABI_MINOR };

    /// Can this host serve a plugin that needs this?
    ///
    /// # Errors
    ///
    /// UNSUPPORTED, naming both numbers and the mend.
    pub fn check(self) -> Result<()> {
        let host = Self::HOST;
        if self.major == host.major && self.minor <= host.minor {
            return Ok(());
        }
        let mend = if self > host {
            format!("rebuild it against {host} or update the host")
        } else {
            format!("rebuild it against {host}")
        };
        let what = format!("asks for pintle ABI {self}, this host has {host}");
        Err(Error::new(ErrorKind::Unsupported, what).mend(mend))
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Abi {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be MAJOR.MINOR, such as \"1.0\"";
        let (major, minor) = text.split_once('.').ok_or(WRONG)?;
        Ok(Self { major: major.parse().map_err(|_| WRONG)?, minor: minor.parse().map_err(|_| WRONG)? })
    }
}

impl<'de> Deserialize<'de> for Abi {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        String::deserialize(json)?.parse().map_err(de::Error::custom)
    }
}

/// The text of the JSON Schema, for whoever wants to show it.
pub(crate) const SCHEMA: &str = include_str!("../../docs/manifest.schema.json");

fn schema() -> &'static Value {
    static SCHEMA_VALUE: OnceLock<Value> = OnceLock::new();
    SCHEMA_VALUE.get_or_init(|| serde_json::from_str(SCHEMA).expect("the checked-in schema is JSON"))
}

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        jsonschema::options().offline().build(schema()).expect("the checked-in schema is a JSON Schema")
    })
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
