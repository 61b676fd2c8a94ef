//! The config: what the operator set for each plugin, checked against the plugin's own schema.
//!
//! A schema is compiled once (`schema`, `document`); a config that passes becomes a snapshot (`snapshot`) from which
//! values are read by JSON pointer (`pointer`). A change is proposed, offered to the plugin by whoever drives its
//! life, and only then committed, so that a refused one was never seen by anybody.

mod document;
mod keywords;
mod nearest;
mod pointer;
mod schema;
mod snapshot;

use std::{collections::BTreeMap, fmt, mem, sync::Arc};

pub(crate) use nearest::nearest;
use parking_lot::RwLock;
pub(crate) use schema::{Problem, Schema};
use serde_json::Value;
pub(crate) use snapshot::Snapshot;

use crate::{Error, ErrorKind, Result};

/// What is shown in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// The configs of one host's plugins.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    installed: RwLock<BTreeMap<Arc<str>, Vec<Arc<PluginConfig>>>>,
}

impl Configs {
    /// None yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Checks what the operator set for a plugin and installs it for one generation. During a reload the older
    /// generation keeps its own, made for its own schema.
    pub(crate) fn install(
        &self,
        plugin: &str,
        generation: u64,
        schema: Arc<Schema>,
        settings: &Value,
    ) -> Result<Arc<PluginConfig>, Vec<Problem>> {
        let value = schema.check(settings)?;
        let plugin: Arc<str> = plugin.into();
        let snapshot =
            Snapshot { plugin: Arc::clone(&plugin), value, revision: 1, schema: Arc::clone(&schema) };
        let config = Arc::new(PluginConfig {
            plugin: Arc::clone(&plugin),
            generation,
            schema,
            current: RwLock::new(Arc::new(snapshot)),
        });
        self.installed.write().entry(plugin).or_default().push(Arc::clone(&config));
        Ok(config)
    }

    /// The config of the plugin's newest generation.
    #[must_use]
    pub(crate) fn of(&self, plugin: &str) -> Option<Arc<PluginConfig>> {
        let installed = self.installed.read();
        installed.get(plugin)?.iter().max_by_key(|config| config.generation).cloned()
    }

    /// Every plugin's newest config with its secrets hidden.
    #[must_use]
    pub(crate) fn list(&self) -> BTreeMap<Arc<str>, Value> {
        let plugins: Vec<_> = self.installed.read().keys().cloned().collect();
        let shown = |plugin: Arc<str>| Some((Arc::clone(&plugin), self.of(&plugin)?.snapshot().redacted()));
        plugins.into_iter().filter_map(shown).collect()
    }

    /// Forgets the config of a generation that is gone. Who still holds it can still read it.
    pub(crate) fn remove(&self, plugin: &str, generation: u64) {
        let mut installed = self.installed.write();
        if let Some(configs) = installed.get_mut(plugin) {
            configs.retain(|config| config.generation != generation);
            if configs.is_empty() {
                installed.remove(plugin);
            }
        }
    }
}

/// The config of one generation of a plugin, kept with it. Its `Debug` hides secrets.
pub(crate) struct PluginConfig {
    plugin: Arc<str>,
    generation: u64,
    schema: Arc<Schema>,
    current: RwLock<Arc<Snapshot>>,
}

impl PluginConfig {
    /// The config as it is now. The lock is held for the copy of one pointer, never while anybody reads.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// Checks a new config. Nobody sees it before it is committed.
    pub(crate) fn propose(&self, settings: &Value) -> Result<Proposal, Vec<Problem>> {
        let value = self.schema.check(settings)?;
        let current = self.snapshot();
        let changes = changes(&current.value, &value);
        let snapshot = Snapshot {
            plugin: Arc::clone(&self.plugin),
            value,
            revision: current.revision + 1,
            schema: Arc::clone(&self.schema),
        };
        Ok(Proposal { snapshot: Arc::new(snapshot), replaces: current, changes })
    }

    /// Makes a proposal the config. CONFLICT if another was committed since it was made.
    pub(crate) fn commit(&self, proposal: Proposal) -> Result<()> {
        let mut current = self.current.write();
        if !Arc::ptr_eq(&current, &proposal.replaces) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the config was changed by somebody else in the meantime",
            )
            .of(Arc::clone(&self.plugin))
            .mend("read it again and repeat the change"));
        }
        let replaced = mem::replace(&mut *current, proposal.snapshot);
        drop(current);
        // Freed without the lock: it may be the last reference to something large.
        drop(replaced);
        Ok(())
    }
}

impl fmt::Debug for PluginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginConfig(generation {}, {:?})", self.generation, self.snapshot())
    }
}

/// A config that was checked and waits for the plugin's answer. Dropped, nothing has happened.
#[derive(Debug)]
pub(crate) struct Proposal {
    snapshot: Arc<Snapshot>,
    replaces: Arc<Snapshot>,
    changes: Vec<String>,
}

impl Proposal {
    /// What the plugin is offered: the whole as JSON text, secrets included.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        self.snapshot.value.to_string()
    }

    /// What it will be read as.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Pointers to what differs from now; empty if nothing does, and then there is nothing to offer.
    #[must_use]
    pub(crate) fn changes(&self) -> &[String] {
        &self.changes
    }
}

/// Pointers to the smallest parts that differ; a list counts as one part.
fn changes(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), Some(old), Some(new))];
    while let Some((path, old, new)) = open.pop() {
        if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                open.push((pointer::join(&path, name), old.get(name), new.get(name)));
            }
        } else if old != new {
            found.push(path);
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Arc<Schema> {
        Arc::new(
            Schema::compile(&json!({
                "type": "object",
                "properties": {
                    "window": { "type": "integer", "minimum": 1, "default": 60 },
                    "token": { "type": "string", "writeOnly": true },
                    "limits": { "type": "object", "default": {}, "properties": { "high": { "default": 90 } } }
                }
            }))
            .expect("a schema"),
        )
    }

    #[test]
    fn config_6_a_change_is_seen_only_when_it_is_committed() {
        let configs = Configs::new();
        let config = configs.install("p", 1, schema(), &json!({})).expect("valid");
        let proposal = config.propose(&json!({ "window": 5, "limits": { "low": 1 } })).expect("valid");
        assert_eq!(proposal.changes(), ["/limits/low", "/window"]);
        assert_eq!(proposal.json(), r#"{"limits":{"high":90,"low":1},"window":5}"#);
        assert_eq!(proposal.snapshot().integer("/window").expect("there"), 5);
        assert_eq!(config.snapshot().integer("/window").expect("there"), 60);

        let before = config.snapshot();
        config.commit(proposal).expect("nobody else changed it");
        assert_eq!(config.snapshot().integer("/window").expect("there"), 5);
        assert_eq!((before.revision(), config.snapshot().revision()), (1, 2));
        assert_eq!(before.integer("/window").expect("there"), 60, "a snapshot never changes");
    }

    #[test]
    fn config_7_a_refused_change_leaves_the_old_config() {
        let config = Configs::new().install("p", 1, schema(), &json!({ "window": 7 })).expect("valid");
        drop(config.propose(&json!({ "window": 8 })).expect("valid"));
        let problems = config.propose(&json!({ "window": 0, "limits": 1 })).expect_err("both are wrong");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(config.snapshot().integer("/window").expect("there"), 7);
        assert_eq!(config.snapshot().revision(), 1);
    }

    #[test]
    fn of_two_changes_at_once_the_second_is_a_conflict() {
        let config = Configs::new().install("p", 1, schema(), &json!({})).expect("valid");
        let (first, second) = (
            config.propose(&json!({ "window": 1 })).expect("valid"),
            config.propose(&json!({ "window": 2 })).expect("valid"),
        );
        config.commit(first).expect("the first");
        let error = config.commit(second).expect_err("the second");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(config.snapshot().integer("/window").expect("there"), 1);
    }

    #[test]
    fn the_same_config_again_changes_nothing() {
        let config = Configs::new().install("p", 1, schema(), &json!({})).expect("valid");
        assert!(config.propose(&json!({ "window": 60 })).expect("valid").changes().is_empty());
    }

    #[test]
    fn in_a_reload_each_generation_reads_its_own_and_a_roll_back_leaves_the_older() {
        let configs = Configs::new();
        let old = configs.install("p", 1, schema(), &json!({ "window": 1 })).expect("valid");
        let new = configs.install("p", 2, schema(), &json!({ "window": 2 })).expect("valid");
        assert_eq!(old.snapshot().integer("/window").expect("there"), 1);
        assert_eq!(configs.of("p").expect("the newest").generation, 2);
        configs.remove("p", 2);
        assert_eq!(configs.of("p").expect("the older again").generation, 1);
        assert_eq!(new.snapshot().integer("/window").expect("who holds it can read it"), 2);
        configs.remove("p", 1);
        assert!(configs.of("p").is_none());
        assert!(configs.list().is_empty());
    }

    #[test]
    fn config_8_a_secret_is_read_by_the_plugin_and_shown_to_nobody_else() {
        let configs = Configs::new();
        let config = configs.install("p", 1, schema(), &json!({ "token": "hunter2" })).expect("valid");
        assert_eq!(config.snapshot().text("/token").expect("the plugin's own"), "hunter2");
        assert_eq!(config.snapshot().json("/token").expect("the plugin's own"), "\"hunter2\"");
        let proposal = config.propose(&json!({ "token": "hunter3" })).expect("valid");
        let shown = format!(
            "{config:?} {:?} {} {:?} {:?} {:?} {:?}",
            config.snapshot(),
            config.snapshot(),
            configs,
            configs.list(),
            proposal,
            proposal.changes(),
        );
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains(r#""token":"***""#) && shown.contains("/token"), "{shown}");
    }
}
