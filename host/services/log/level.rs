//! Levels, and the gates that tell in one load whether a record of a level is wanted.
//!
//! A gate belongs to one plugin's generation and is kept with it; the levels can be changed while everything
//! runs, for all plugins or for one.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
};

use parking_lot::Mutex;

/// How much a record matters. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finest detail.
    Trace = 0,
    /// For whoever debugs.
    Debug = 1,
    /// What an operator wants to know of a normal day.
    #[default]
    Info = 2,
    /// Something is not as it should be, the work goes on.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The plugin cannot go on. It is logged, nothing exits.
    Fatal = 5,
}

impl Level {
    /// All of them, from the finest to the gravest.
    pub const ALL: [Level; 6] =
        [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal];

    /// The level with this number in the contract.
    #[inline]
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        // Not by `ALL`: this compiles to one comparison.
        Some(match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Fatal,
            _ => return None,
        })
    }

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown log level: use trace, debug, info, warn, error or fatal")
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let found = Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(text));
        match found {
            Some(level) => Ok(level),
            None if text.eq_ignore_ascii_case("warning") => Ok(Self::Warn),
            None => Err(UnknownLevel),
        }
    }
}

/// What one plugin's records have in common: who writes them, and from which level on they are wanted.
#[derive(Debug)]
pub struct Gate {
    level: AtomicU8,
    plugin: Box<str>,
    version: Box<str>,
    /// `"plugin":"…","version":"…"`, or `"host":"…"`, made once.
    pub(super) json: Box<[u8]>,
    /// The same for the terminal form.
    pub(super) text: Box<[u8]>,
}

impl Gate {
    /// Whether a record of `level` is wanted: one relaxed load.
    #[inline]
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 >= self.level.load(Ordering::Relaxed)
    }

    /// The plugin's id; the host's own name for the host's gate.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The plugin's version; empty for the host's gate.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The levels as they are set now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelList {
    /// What counts for the host and for every plugin without a level of its own.
    pub default: Level,
    /// Plugins with a level of their own, loaded or not.
    pub plugins: BTreeMap<String, Level>,
}

/// All gates and what is set for them.
pub(super) struct Levels(Mutex<Set>);

struct Set {
    list: LevelList,
    gates: Vec<Weak<Gate>>,
}

impl Levels {
    pub(super) fn new(default: Level) -> Self {
        Self(Mutex::new(Set { list: LevelList { default, plugins: BTreeMap::new() }, gates: Vec::new() }))
    }

    pub(super) fn gate(&self, plugin: &str, version: &str, json: Vec<u8>, text: Vec<u8>) -> Arc<Gate> {
        let mut set = self.0.lock();
        let gate = Arc::new(Gate {
            level: AtomicU8::new(set.list.of(plugin) as u8),
            plugin: plugin.into(),
            version: version.into(),
            json: json.into(),
            text: text.into(),
        });
        set.gates.retain(|gate| gate.strong_count() > 0);
        set.gates.push(Arc::downgrade(&gate));
        gate
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut LevelList)) {
        let mut set = self.0.lock();
        change(&mut set.list);
        for gate in set.gates.iter().filter_map(Weak::upgrade) {
            gate.level.store(set.list.of(&gate.plugin) as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn list(&self) -> LevelList {
        self.0.lock().list.clone()
    }
}

impl LevelList {
    /// The level that counts for `plugin`.
    #[must_use]
    pub fn of(&self, plugin: &str) -> Level {
        self.plugins.get(plugin).copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_1_a_level_is_read_from_its_name_and_its_number() {
        for (number, level) in (0..).zip(Level::ALL) {
            assert_eq!(Level::from_number(number), Some(level));
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(level.name().to_uppercase().parse(), Ok(level));
        }
        assert_eq!("warning".parse(), Ok(Level::Warn));
        assert_eq!("loud".parse::<Level>(), Err(UnknownLevel));
        assert_eq!(Level::from_number(6), None);
        assert_eq!(Level::from_number(u32::MAX), None);
    }

    #[test]
    fn a_plugins_level_changes_for_all_its_generations_and_for_no_other_plugin() {
        let levels = Levels::new(Level::Info);
        let gate = |plugin| levels.gate(plugin, "1.0.0", Vec::new(), Vec::new());
        let (older, newer, other) = (gate("a"), gate("a"), gate("b"));
        levels.change(|list| _ = list.plugins.insert("a".into(), Level::Debug));
        assert!(older.enabled(Level::Debug) && newer.enabled(Level::Debug) && !other.enabled(Level::Debug));

        levels.change(|list| list.default = Level::Error);
        assert!(newer.enabled(Level::Debug), "a level of its own stands over the default");
        assert!(!other.enabled(Level::Warn) && other.enabled(Level::Error));

        levels.change(|list| _ = list.plugins.remove("a"));
        assert!(!newer.enabled(Level::Warn));
        assert!(!gate("c").enabled(Level::Warn), "a plugin loaded later starts with what is set");
    }

    #[test]
    fn gates_of_gone_generations_are_forgotten() {
        let levels = Levels::new(Level::Info);
        for _ in 0..100 {
            drop(levels.gate("a", "1.0.0", Vec::new(), Vec::new()));
        }
        assert!(levels.0.lock().gates.len() <= 1);
    }
}
