//! `pintle storage`: what plugins have in the storage, in a running host or in its data folder; whole plugins out of it
//! and into it. `show` writes what comes of it.

mod show;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::Place,
    keys,
    link::Link,
    print::{absolute, count},
};

/// What the long help says first.
pub(crate) const ABOUT: &str = "\
Shows what plugins have in the storage, changes it, and carries it from one host to another

Asks the host that runs on the data folder. Without one it opens the folder itself; no host can start there meanwhile.

Items belong to a plugin and a tenant. Without --tenant it is what the plugin has on nobody's behalf, and of `export` what \
it has for all tenants.

Examples:
  pintle storage
  pintle storage list orders --tenant acme --prefix order/
  pintle storage get orders limit > limit
  pintle storage set orders limit 250 --if-version 7
  pintle storage export orders orders.export
  pintle storage import orders.export --replace
  pintle storage check";

/// The longest value that travels in a request; of a longer one the host is told the file.
const LONGEST_SENT: usize = 1 << 20;

/// No host takes more.
const LARGEST: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Writes JSON objects, one on a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows how much plugins have, for each tenant; what is done if nothing is named
    Stats {
        /// Shows this plugin alone
        #[arg(value_name = "PLUGIN")]
        plugin: Option<String>,
    },
    /// Lists keys, in the order of their bytes
    List {
        #[command(flatten)]
        of: Of,
        /// What the keys begin with; by default all
        #[arg(long, value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// Lists at most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Lists all, however many
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Writes the value of an item to stdout, as it is; with --json what is known of it too
    Get {
        #[command(flatten)]
        of: Of,
        /// The key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Writes an item, and tells its new version
    Set {
        #[command(flatten)]
        of: Of,
        /// The key
        #[arg(value_name = "KEY")]
        key: String,
        /// The value; `-` is stdin
        #[arg(
            value_name = "VALUE|-",
            required_unless_present = "file",
            conflicts_with = "file",
            allow_hyphen_values = true
        )]
        value: Option<String>,
        /// A file with the value
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Only if the item has this version; 0: only if it is not there
        #[arg(long, value_name = "N")]
        if_version: Option<u64>,
        /// How long it is to be there, in milliseconds; by default for ever
        #[arg(long, value_name = "MS")]
        ttl: Option<u64>,
    },
    /// Removes an item, and writes how many there were: 1 or 0
    Remove {
        #[command(flatten)]
        of: Of,
        /// The key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Writes what a plugin has, for all tenants or one, into a file that `import` reads
    Export {
        /// The plugin
        #[arg(value_name = "PLUGIN")]
        plugin: String,
        /// The file; it must not be there
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Of this tenant alone; an empty one is what the plugin has on nobody's behalf
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Replaces a file that is there
        #[arg(long)]
        overwrite: bool,
    },
    /// Takes the items of a file that `export` has written, all of them or none
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Removes what the plugin has there; by default it must have nothing
        #[arg(long, conflicts_with = "merge")]
        replace: bool,
        /// Keeps what the plugin has there, and writes over items of the same key
        #[arg(long)]
        merge: bool,
        /// Gives the items to this plugin; by default to the one that they were exported of
        #[arg(long = "as", value_name = "ID")]
        plugin: Option<String>,
    },
    /// Looks through all that is kept, whether it is whole; the status is 4 if it is not
    Check {
        /// Compares indexes with tables too, which takes longer
        #[arg(long)]
        thorough: bool,
    },
}

/// Whose items.
#[derive(Debug, Args)]
struct Of {
    /// The plugin
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// The tenant; by default none: what the plugin has on nobody's behalf
    #[arg(long, value_name = "TENANT", default_value = "")]
    tenant: String,
}

impl Of {
    fn params(&self, more: Value) -> Value {
        let mut params = json!({ "plugin": self.plugin, "tenant": self.tenant });
        if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
            params.extend(more);
        }
        params
    }
}

/// Shows what is in the storage, or changes it.
pub(crate) fn storage(options: &Options) -> Result<Exit, Failure> {
    // What cannot be read is said before anybody is asked.
    let value = match &options.action {
        Some(Action::Set { value, file, .. }) => Some(value_of(value.as_deref(), file.as_deref())?),
        _ => None,
    };
    let link = &mut Link::open(&options.place)?;
    let json = options.json;
    match &options.action {
        None => show::stats(&link.ask("storage.stats", json!({}))?, json),
        Some(Action::Stats { plugin }) => {
            let params = plugin.as_ref().map_or(json!({}), |plugin| json!({ "plugin": plugin }));
            show::stats(&link.ask("storage.stats", params)?, json)
        }
        Some(Action::List { of, prefix, limit, all }) => {
            let limit = if *all { u64::MAX } else { *limit };
            keys::list(link, "storage.list", &of.params(json!({ "prefix": prefix })), limit, json)
        }
        Some(Action::Get { of, key }) => {
            let params = of.params(json!({ "key": key }));
            let item = link.ask("storage.get", params.clone())?["item"].take();
            if item.is_null() {
                return Err(Failure::failed(nothing_there(of, key)));
            }
            show::item(params, &item, json)
        }
        Some(Action::Set { of, key, if_version, ttl, .. }) => {
            let mut params = of.params(json!({ "key": key, "if_version": if_version, "ttl_ms": ttl }));
            let (member, value) = value.expect("it was read above");
            params[member] = value;
            let answer = link.ask("storage.set", params)?;
            show::line(&answer, &count(&answer, "version").to_string(), json)
        }
        Some(Action::Remove { of, key }) => {
            let answer = link.ask("storage.remove", of.params(json!({ "key": key })))?;
            show::line(&answer, if answer["existed"] == true { "1" } else { "0" }, json)
        }
        Some(Action::Export { plugin, file, tenant, overwrite }) => {
            let params = json!({
                "plugin": plugin, "tenant": tenant, "path": absolute(file)?, "overwrite": overwrite,
            });
            show::exported(&link.ask("storage.export", params)?, json)
        }
        Some(Action::Import { file, replace, merge, plugin }) => {
            let mode = match (replace, merge) {
                (true, _) => "replace",
                (_, true) => "merge",
                _ => "empty",
            };
            let params = json!({ "path": absolute(file)?, "mode": mode, "plugin": plugin });
            show::imported(&link.ask("storage.import", params)?, json)
        }
        Some(Action::Check { thorough }) => {
            show::checked(&link.ask("storage.check", json!({ "thorough": thorough }))?, json)
        }
    }
}

fn nothing_there(of: &Of, key: &str) -> String {
    let Of { plugin, tenant } = of;
    let whose = if tenant.is_empty() { String::new() } else { format!(" for the tenant {tenant:?}") };
    format!("{plugin} has no item {key:?}{whose}: `pintle storage list` shows the keys")
}

/// The member of the request that has the value, and it.
fn value_of(value: Option<&str>, file: Option<&Path>) -> Result<(&'static str, Value), Failure> {
    let bytes = match (value, file) {
        (Some("-"), _) => {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes);
            read.map_err(|error| Failure::failed(format!("stdin cannot be read: {error}")))?;
            if bytes.len() > LONGEST_SENT {
                let text = "stdin has more than 1 MiB, which is more than a host is sent: put it into a file, and name that with --file";
                return Err(Failure::failed(text));
            }
            bytes
        }
        (Some(value), _) => value.as_bytes().to_vec(),
        (None, Some(file)) => {
            let unreadable =
                |error: io::Error| Failure::failed(format!("{} cannot be read: {error}", file.display()));
            let is = fs::metadata(file).map_err(unreadable)?;
            if is.is_file() && is.len() > LONGEST_SENT as u64 {
                return Ok(("file", absolute(file)?.into()));
            }
            let mut bytes = Vec::new();
            let read = fs::File::open(file)
                .and_then(|file| file.take(LONGEST_SENT as u64 + 1).read_to_end(&mut bytes));
            read.map_err(unreadable)?;
            if bytes.len() > LONGEST_SENT {
                let text = format!(
                    "{} has more than 1 MiB, and is no file that a host could read: put it into one",
                    file.display()
                );
                return Err(Failure::failed(text));
            }
            bytes
        }
        (None, None) => unreachable!("the command line has one of them"),
    };
    Ok(match String::from_utf8(bytes) {
        Ok(text) => ("value", text.into()),
        Err(error) => ("value_base64", data_encoding::BASE64.encode(error.as_bytes()).into()),
    })
}
