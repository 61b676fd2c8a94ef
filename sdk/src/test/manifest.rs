//! What the test host knows of a manifest: what it grants, what it provides, and the defaults of its settings.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::topic;
use crate::{Error, Result, Status};

/// The part of a manifest that counts here. That it is right as a whole is looked at by the real host, and by
/// `pintle check`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub(super) id: String,
    pub(super) services: Services,
    pub(super) provides: BTreeMap<String, Provided>,
    pub(super) config: Value,
    pub(super) state: u32,
    pub(super) files: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Services {
    cache: Option<Asked>,
    storage: Option<Asked>,
    database: Option<Asked>,
    files: Option<Asked>,
    events: Option<Asked>,
    scheduler: Option<Asked>,
    idempotency: Option<Asked>,
    call: Vec<String>,
}

/// What is asked of a service: all of its methods and namespaces where they are not listed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    methods: Option<Vec<String>>,
    namespaces: Option<Vec<String>>,
    subscribe: Vec<String>,
    publish: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Provided {
    #[serde(default = "one")]
    pub(super) major: u32,
    #[serde(default)]
    pub(super) methods: Vec<String>,
}

fn one() -> u32 {
    1
}

impl Manifest {
    /// Reads the record that `plugin!` embeds (`PINTLE_MANIFEST` in C).
    pub(super) fn read(record: &[u8]) -> Result<Self> {
        let text = record.strip_prefix(b"PINTLE1\0").and_then(|rest| {
            let (length, text) = rest.split_first_chunk::<8>()?;
            text.get(..usize::try_from(u64::from_ne_bytes(*length)).ok()?)
        });
        let text = text.ok_or_else(|| {
            Error::new(Status::InvalidArgument, "the plugin has no manifest embedded in it")
        })?;
        serde_json::from_slice(text).map_err(|error| Error::from(error).context("the plugin's manifest"))
    }

    /// May the plugin call this function (`cache.get`) at all?
    pub(super) fn must_grant(&self, function: &str) -> Result<()> {
        let Some((service, method)) = function.split_once('.') else { return Ok(()) };
        let asked = match service {
            "cache" => &self.services.cache,
            "storage" => &self.services.storage,
            "database" => &self.services.database,
            "files" => &self.services.files,
            "events" => &self.services.events,
            "scheduler" => &self.services.scheduler,
            "idempotency" => &self.services.idempotency,
            // The log and the settings are for all.
            _ => return Ok(()),
        };
        // Some functions go together: who may do the one may do the other.
        let method = match (service, method) {
            ("database", "query_one") => "query",
            ("database", "script") => "execute",
            ("database", "commit" | "rollback") => "begin",
            _ => method,
        };
        let listed =
            |asked: &Asked| asked.methods.as_ref().is_none_or(|all| all.iter().any(|one| one == method));
        if asked.as_ref().is_some_and(listed) {
            return Ok(());
        }
        Err(self.denied(format_args!(
            "call {function}: add \"{service}\": {{}} to \"services\" in its manifest, or, if it is there, \"{method}\" to the methods that the manifest lists"
        )))
    }

    pub(super) fn must_grant_namespace(&self, namespace: &str) -> Result<()> {
        let granted = self.services.cache.as_ref().and_then(|asked| asked.namespaces.as_ref());
        if granted.is_none_or(|all| all.iter().any(|one| one == namespace)) {
            return Ok(());
        }
        Err(self.denied(format_args!(
            "use the cache namespace \"{namespace}\": add it to \"services\": {{ \"cache\": {{ \"namespaces\": [\"{namespace}\"] }} }} in its manifest"
        )))
    }

    pub(super) fn must_grant_publish(&self, topic: &str) -> Result<()> {
        let events = self.services.events.as_ref();
        if events.is_some_and(|asked| asked.publish.iter().any(|granted| topic::matches(granted, topic))) {
            return Ok(());
        }
        Err(self.denied(format_args!(
            "publish \"{topic}\": add it to \"services\": {{ \"events\": {{ \"publish\": [\"{topic}\"] }} }} in its manifest"
        )))
    }

    pub(super) fn must_grant_subscribe(&self, pattern: &str) -> Result<()> {
        let events = self.services.events.as_ref();
        if events.is_some_and(|asked| asked.subscribe.iter().any(|granted| topic::within(pattern, granted))) {
            return Ok(());
        }
        Err(self.denied(format_args!(
            "subscribe to \"{pattern}\": add it to \"services\": {{ \"events\": {{ \"subscribe\": [\"{pattern}\"] }} }} in its manifest"
        )))
    }

    pub(super) fn must_grant_call(&self, service: &str) -> Result<()> {
        if self.services.call.iter().any(|granted| granted == service) {
            return Ok(());
        }
        Err(self.denied(format_args!(
            "call the service \"{service}\": add it to \"services\": {{ \"call\": [\"{service}\"] }} in its manifest"
        )))
    }

    fn denied(&self, what: std::fmt::Arguments<'_>) -> Error {
        Error::new(Status::Denied, format!("plugin \"{}\": it may not {what}", self.id))
    }

    /// The settings that a plugin sees: with the defaults of its schema where nothing is said.
    pub(super) fn with_defaults(&self, mut config: Value) -> Value {
        fill(&mut config, &self.config);
        config
    }
}

/// Fills in what is missing in objects that are there, or came in by a default, and in elements of lists.
fn fill(value: &mut Value, schema: &Value) {
    for always in schema["allOf"].as_array().into_iter().flatten() {
        fill(value, always);
    }
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|element| fill(element, &schema["items"])),
        Value::Object(members) => {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = schema.get("default") {
                    members.entry(name).or_insert_with(|| default.clone());
                }
                if let Some(member) = members.get_mut(name) {
                    fill(member, schema);
                }
            }
        }
        _ => {}
    }
}
