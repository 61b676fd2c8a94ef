//! From the text of `pintle.toml` to settings, or to all its mistakes.
//!
//! The table of keys says what there is; here each is fetched once, with its type. serde would stop at the first
//! mistake, and its texts quote values, which may be passwords.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, path::PathBuf, str::FromStr, time::Duration};

use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    BudgetSettings, CacheSettings, ControlSettings, DatabaseSettings, Deadlines, EventSettings, FileSettings,
    GrantSettings, IdempotencySettings, KEYS, LogSettings, MetricsSettings, PluginSettings, Problem, Queues,
    QuotaSettings, Settings, StorageSettings, Trust,
};
use crate::services::config::nearest;

const DAY_MS: usize = 86_400_000;
const SERVICES: [&str; 8] =
    ["cache", "storage", "database", "events", "scheduler", "idempotency", "files", "call"];

pub(super) fn read(text: &str, folder: &Path) -> Result<Settings, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut report = Report::of(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        report.add(at, "", format!("this is not TOML: {}", error.message()));
    }
    if !report.problems.is_empty() {
        // What could be saved of a broken text is guesswork; its "unknown keys" would be noise.
        return Err(report.problems);
    }
    let settings = settings(&mut Section::new(table.get_ref(), "", &mut report), folder);
    if report.problems.is_empty() {
        return Ok(settings);
    }
    report.problems.sort_by_key(|problem| problem.place);
    Err(report.problems)
}

fn settings(top: &mut Section<'_, '_>, folder: &Path) -> Settings {
    top.refuse_unknown();
    let of_all = top.section("budgets", |section| budgets(section, BudgetSettings::default()));
    Settings {
        data: top.path("data", folder),
        plugins: top.paths("plugins", folder).unwrap_or_default(),
        workers: top.number("workers", 1, 1_024),
        log: top.section("log", |log| {
            let defaults = LogSettings::default();
            LogSettings {
                level: log.parsed("level").unwrap_or(defaults.level),
                format: log.parsed("format").unwrap_or(defaults.format),
                file: log.path("file", folder),
                buffer: log.number("buffer", 64 << 10, 1 << 30).unwrap_or(defaults.buffer),
            }
        }),
        trust: top.section("trust", |trust| Trust {
            allow_foreign: trust.boolean("allow_foreign").unwrap_or_default(),
            strict: trust.boolean("strict").unwrap_or_default(),
        }),
        deadlines: top.section("deadlines", |deadlines| {
            let defaults = Deadlines::default();
            let mut milliseconds = |name, default| {
                deadlines.number(name, 1, DAY_MS).map_or(default, |ms| Duration::from_millis(ms as u64))
            };
            Deadlines {
                load: milliseconds("load_ms", defaults.load),
                handler: milliseconds("handler_ms", defaults.handler),
                stop: milliseconds("stop_ms", defaults.stop),
                call: milliseconds("call_ms", defaults.call),
            }
        }),
        queues: top.section("queues", |queues| Queues {
            lane: queues.number("lane", 1, 1 << 20).unwrap_or(Queues::default().lane),
        }),
        cache: top.section("cache", |cache| {
            let defaults = CacheSettings::default();
            let mut milliseconds = |name, least| {
                let ms = cache.number(name, least, 366 * DAY_MS);
                ms.map(|ms| Duration::from_millis(ms as u64))
            };
            CacheSettings {
                default_ttl: milliseconds("default_ttl_ms", 0).unwrap_or(defaults.default_ttl),
                absent_ttl: milliseconds("absent_ttl_ms", 1).unwrap_or(defaults.absent_ttl),
                l1_max_age: milliseconds("l1_max_age_ms", 0).filter(|age| !age.is_zero()),
                backend: cache.parsed("backend").unwrap_or(defaults.backend),
                capacity: cache.number("capacity", 1 << 20, 1 << 40).unwrap_or(defaults.capacity),
                disk_capacity: cache
                    .number("disk_capacity", 4 << 20, 1 << 40)
                    .map_or(defaults.disk_capacity, |bytes| bytes as u64),
            }
        }),
        storage: top.section("storage", |storage| {
            let defaults = StorageSettings::default();
            StorageSettings {
                max_value: storage.number("max_value", 1 << 10, 64 << 20).unwrap_or(defaults.max_value),
                read_cache: storage.number("read_cache", 0, 16 << 30).unwrap_or(defaults.read_cache),
                synchronous: storage.parsed("synchronous").unwrap_or(defaults.synchronous),
            }
        }),
        events: top.section("events", |events| {
            let defaults = EventSettings::default();
            let mut milliseconds = |name, most| {
                let ms = events.number(name, 1, most);
                ms.map(|ms| Duration::from_millis(ms as u64))
            };
            EventSettings {
                keep: milliseconds("keep_ms", 365 * DAY_MS).unwrap_or(defaults.keep),
                dedupe: milliseconds("dedupe_ms", DAY_MS).unwrap_or(defaults.dedupe),
                max_bytes: events
                    .number("max_bytes", 1 << 20, 1 << 40)
                    .map_or(defaults.max_bytes, |bytes| bytes as u64),
            }
        }),
        idempotency: top.section("idempotency", |idempotency| {
            let defaults = IdempotencySettings::default();
            let mut milliseconds = |name, most| {
                let ms = idempotency.number(name, 1, most);
                ms.map(|ms| Duration::from_millis(ms as u64))
            };
            IdempotencySettings {
                lease: milliseconds("lease_ms", DAY_MS).unwrap_or(defaults.lease),
                keep: milliseconds("keep_ms", 365 * DAY_MS).unwrap_or(defaults.keep),
                max_result: idempotency
                    .number("max_result", 1 << 10, 64 << 20)
                    .unwrap_or(defaults.max_result),
            }
        }),
        files: top.section("files", |files| FileSettings {
            max_size: files.number("max_size", 1 << 10, 1 << 30).unwrap_or(FileSettings::default().max_size),
        }),
        database: top.section("database", |database| {
            let defaults = DatabaseSettings::default();
            let mut milliseconds = |name, default| {
                database.number(name, 1, DAY_MS).map_or(default, |ms| Duration::from_millis(ms as u64))
            };
            let idle = milliseconds("idle_ms", defaults.idle);
            let statement = milliseconds("statement_ms", defaults.statement);
            let transaction = milliseconds("transaction_ms", defaults.transaction);
            let mut number = |name, least, most, default| {
                database.number(name, least, most).map_or(default, |number| number as u64)
            };
            let max_rows = number("max_rows", 1, 1_000_000_000_000, defaults.max_rows);
            let max_bytes = number("max_bytes", 1 << 20, 1 << 50, defaults.max_bytes);
            let temporary_bytes = number("temporary_bytes", 1 << 20, 1 << 50, defaults.temporary_bytes);
            DatabaseSettings {
                connections: database.number("connections", 4, 4_096).unwrap_or(defaults.connections),
                idle,
                statement,
                transaction,
                max_rows,
                max_value: database.number("max_value", 64 << 10, 64 << 20).unwrap_or(defaults.max_value),
                max_bytes,
                temporary_bytes,
            }
        }),
        control: top.section("control", |control| ControlSettings {
            enabled: control.boolean("enabled").unwrap_or(ControlSettings::default().enabled),
        }),
        metrics: top.section("metrics", |metrics| {
            let defaults = MetricsSettings::default();
            let listen: Option<Loopback> = metrics.parsed("listen");
            MetricsSettings {
                listen: listen.map(|Loopback(address)| address),
                tenants: metrics.number("tenants", 0, 1_000).unwrap_or(defaults.tenants),
            }
        }),
        budgets: of_all,
        plugin: plugins(top, &of_all),
    }
}

/// An address that only this machine can reach.
struct Loopback(SocketAddr);

impl FromStr for Loopback {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let address: SocketAddr = text.parse().map_err(drop)?;
        if address.ip().is_loopback() { Ok(Self(address)) } else { Err(()) }
    }
}

/// The budgets of a section; what it does not say is as in `otherwise`.
fn budgets(section: &mut Section<'_, '_>, otherwise: BudgetSettings) -> BudgetSettings {
    let ms = |ms: usize| Duration::from_millis(ms as u64);
    let slow_after = section.limit("slow_ms", 1, DAY_MS).map(|limit| limit.map(ms));
    let mut limit = |key, least, most| {
        let limit = section.limit(key, least, most);
        limit.map(|limit| limit.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    };
    let slow = limit("slow", 0, 1_000_000);
    let budgets = BudgetSettings {
        slow_after: slow_after.unwrap_or(otherwise.slow_after),
        slow: slow.unwrap_or(otherwise.slow),
        stuck: limit("stuck", 0, 1_000_000).unwrap_or(otherwise.stuck),
        errors_percent: limit("errors_percent", 0, 99).unwrap_or(otherwise.errors_percent),
        errors_least: section
            .number("errors_least", 1, 1_000_000)
            .map_or(otherwise.errors_least, |least| u32::try_from(least).unwrap_or(u32::MAX)),
        window: section.number("window_ms", 100, DAY_MS).map_or(otherwise.window, ms),
        cooldown: match section.number("cooldown_ms", 0, DAY_MS) {
            None => otherwise.cooldown,
            Some(0) => None,
            Some(cooldown) => Some(ms(cooldown)),
        },
    };
    if budgets.slow_after.is_some() {
        return budgets;
    }
    if slow.is_some_and(|slow| slow.is_some()) {
        section.refuse_because(
            "slow",
            "says nothing without `slow_ms`: set that too, from how long on a handler is slow",
        );
    }
    // Whoever switches off for a plugin what is slow need not switch off how often that may be.
    BudgetSettings { slow: None, ..budgets }
}

fn plugins(top: &mut Section<'_, '_>, of_all: &BudgetSettings) -> BTreeMap<String, PluginSettings> {
    let Some((_, DeValue::Table(table))) =
        top.value("plugin", "a table for each plugin, as in [plugin.my-id]", |value| {
            matches!(value, DeValue::Table(_))
        })
    else {
        return BTreeMap::new();
    };
    let mut plugins = BTreeMap::new();
    for (id, value) in table {
        let name = format!("plugin.{}", id.get_ref());
        if !is_id(id.get_ref()) {
            top.report.add(
                id.span().start,
                &name,
                "is no plugin id: 1 to 63 of a-z, 0-9 and `-`, a letter first".into(),
            );
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            top.report.add(value.span().start, &name, "must be a table".into());
            continue;
        };
        let mut section = Section::new(table, &name, top.report);
        section.refuse_unknown();
        plugins.insert(id.get_ref().to_string(), plugin(&mut section, of_all));
    }
    plugins
}

fn plugin(section: &mut Section<'_, '_>, of_all: &BudgetSettings) -> PluginSettings {
    PluginSettings {
        enabled: section.boolean("enabled").unwrap_or(true),
        log: section.parsed("log"),
        config: section.json("config").unwrap_or_default(),
        concurrency: section.number("concurrency", 1, 1_024),
        grants: section.section("grants", |grants| GrantSettings {
            services: grants.names("services", |name| SERVICES.contains(&name)),
            methods: grants.names("methods", |name| {
                name.split_once('.')
                    .is_some_and(|(service, method)| SERVICES.contains(&service) && !method.is_empty())
            }),
            subscribe: grants.names("subscribe", |_| true),
            publish: grants.names("publish", |_| true),
            call: grants.names("call", |_| true),
            namespaces: grants.names("namespaces", |_| true),
        }),
        quota: section.section("quota", |quota| {
            const MOST_CALLS: usize = 1_000_000_000;
            const MOST_ITEMS: usize = 1_000_000_000_000;
            const MOST_BYTES: usize = 1 << 50;
            let mut calls = |key| quota.number(key, 1, MOST_CALLS).map(|calls| calls as u32);
            let (calls_per_second, tenant_calls_per_second) =
                (calls("calls_per_second"), calls("tenant_calls_per_second"));
            let mut kept = |key, most| quota.number(key, 1, most).map(|most| most as u64);
            let (files_bytes, files_count) =
                (kept("files_bytes", MOST_BYTES), kept("files_count", MOST_ITEMS));
            let tenant_files_bytes = kept("tenant_files_bytes", MOST_BYTES);
            let tenant_files_count = kept("tenant_files_count", MOST_ITEMS);
            let storage_items = kept("storage_items", MOST_ITEMS);
            let storage_bytes = kept("storage_bytes", MOST_BYTES);
            let tenant_storage_items = kept("tenant_storage_items", MOST_ITEMS);
            let tenant_storage_bytes = kept("tenant_storage_bytes", MOST_BYTES);
            QuotaSettings {
                calls_per_second,
                tenant_calls_per_second,
                storage_items,
                storage_bytes,
                tenant_storage_items,
                tenant_storage_bytes,
                files_bytes,
                files_count,
                tenant_files_bytes,
                tenant_files_count,
                database_bytes: quota.number("database_bytes", 1 << 20, MOST_BYTES).map(|most| most as u64),
            }
        }),
        budgets: section
            .table
            .contains_key("budgets")
            .then(|| section.section("budgets", |section| budgets(section, *of_all))),
    }
}

/// Collects problems, with the places that offsets stand for.
struct Report<'t> {
    text: &'t str,
    /// Where each line begins, so that a text of nothing but mistakes is not counted through for each.
    lines: Vec<usize>,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    fn of(text: &'t str) -> Self {
        let lines = text.match_indices('\n').map(|(end, _)| end + 1);
        Self { text, lines: std::iter::once(0).chain(lines).collect(), problems: Vec::new() }
    }

    fn add(&mut self, at: usize, key: &str, message: String) {
        let at = if self.text.is_char_boundary(at) { at } else { self.text.len() };
        let line = self.lines.partition_point(|&begin| begin <= at);
        let column = self.text[self.lines[line - 1]..at].chars().count() + 1;
        self.problems.push(Problem { place: Some((line, column)), key: key.to_owned(), message });
    }
}

/// One table of the text.
struct Section<'s, 't> {
    table: &'s DeTable<'s>,
    /// Its full name, with the plugin's id.
    name: String,
    report: &'s mut Report<'t>,
}

impl<'s, 't> Section<'s, 't> {
    fn new(table: &'s DeTable<'s>, name: &str, report: &'s mut Report<'t>) -> Self {
        Self { table, name: name.to_owned(), report }
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The name of this section in the table of keys.
    fn pattern(&self) -> String {
        let mut parts: Vec<_> = self.name.split('.').filter(|part| !part.is_empty()).collect();
        if parts.first() == Some(&"plugin") && parts.len() > 1 {
            parts[1] = "<id>";
        }
        parts.iter().map(|part| format!("{part}.")).collect()
    }

    fn known(&self) -> Vec<&'static str> {
        let pattern = self.pattern();
        let below = KEYS.iter().filter_map(|key| key.name.strip_prefix(&pattern));
        let mut known: Vec<_> = below.map(|rest| rest.split('.').next().unwrap_or(rest)).collect();
        known.dedup();
        known
    }

    fn refuse_unknown(&mut self) {
        let known = self.known();
        for (key, _) in self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let name: &str = key.get_ref();
            let elsewhere = KEYS.iter().find(|known| known.name.rsplit('.').next() == Some(name));
            let message = match (nearest(name, known.iter().copied()), elsewhere) {
                (Some(near), _) => format!("there is no such key: did you mean `{}`", self.full(near)),
                (None, Some(other)) => format!("there is no such key here: did you mean `{}`", other.name),
                (None, None) => format!("there is no such key: there are `{}`", known.join("`, `")),
            };
            let full = self.full(name);
            self.report.add(key.span().start, &full, message);
        }
    }

    /// The value of `key`, if it is there and `fits`; else, if it is there, a problem.
    fn value(
        &mut self,
        key: &str,
        takes: &str,
        fits: impl FnOnce(&DeValue<'_>) -> bool,
    ) -> Option<(usize, &'s DeValue<'s>)> {
        let value: &Spanned<DeValue<'_>> = self.table.get(key)?;
        let at = value.span().start;
        if fits(value.get_ref()) {
            return Some((at, value.get_ref()));
        }
        self.refuse(at, key, takes);
        None
    }

    fn refuse(&mut self, at: usize, key: &str, takes: &str) {
        let full = self.full(key);
        self.report.add(at, &full, format!("must be {takes}"));
    }

    /// The value of `key` is one that it takes, and does no good here.
    fn refuse_because(&mut self, key: &str, why: &str) {
        let at = self.table.get(key).map_or(0, |value| value.span().start);
        let full = self.full(key);
        self.report.add(at, &full, why.to_owned());
    }

    /// What the table of keys says that `key` takes.
    fn takes(&self, key: &str) -> &'static str {
        let name = self.pattern() + key;
        KEYS.iter().find(|key| key.name == name).expect("every key that is read stands in the table").takes
    }

    fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        let empty = DeTable::new();
        let table = match self.value(key, "a table", |value| matches!(value, DeValue::Table(_))) {
            Some((_, DeValue::Table(table))) => table,
            _ => &empty,
        };
        let name = self.full(key);
        let mut section = Section::new(table, &name, self.report);
        section.refuse_unknown();
        read(&mut section)
    }

    fn text(&mut self, key: &str) -> Option<(usize, &'s str)> {
        let takes = self.takes(key);
        let fits = |value: &DeValue<'_>| value.as_str().is_some_and(|text| !text.is_empty());
        self.value(key, takes, fits).and_then(|(at, value)| Some((at, value.as_str()?)))
    }

    fn path(&mut self, key: &str, folder: &Path) -> Option<PathBuf> {
        self.text(key).map(|(_, path)| folder.join(path))
    }

    fn parsed<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let (at, text) = self.text(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.refuse(at, key, self.takes(key));
        }
        parsed
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        let takes = self.takes(key);
        self.value(key, takes, |value| value.as_bool().is_some())?.1.as_bool()
    }

    fn number(&mut self, key: &str, least: usize, most: usize) -> Option<usize> {
        let takes = self.takes(key);
        let read = |value: &DeValue<'_>| {
            let number = usize::try_from(integer(value)?).ok()?;
            (least..=most).contains(&number).then_some(number)
        };
        self.value(key, takes, |value| read(value).is_some()).and_then(|(_, value)| read(value))
    }

    /// A limit: a number, or `false` for none (then `Some(None)`).
    fn limit(&mut self, key: &str, least: usize, most: usize) -> Option<Option<usize>> {
        if self.table.get(key).is_some_and(|value| value.get_ref().as_bool() == Some(false)) {
            return Some(None);
        }
        self.number(key, least, most).map(Some)
    }

    fn list(&mut self, key: &str, fits: impl Fn(&str) -> bool) -> Option<Vec<&'s str>> {
        let takes = self.takes(key);
        let (_, value) = self.value(key, takes, |value| matches!(value, DeValue::Array(_)))?;
        let mut list = Vec::new();
        for element in value.as_array().into_iter().flatten() {
            match element.get_ref().as_str() {
                Some(text) if !text.is_empty() && fits(text) => list.push(text),
                _ => self.refuse(element.span().start, key, takes),
            }
        }
        Some(list)
    }

    fn paths(&mut self, key: &str, folder: &Path) -> Option<Vec<PathBuf>> {
        Some(self.list(key, |_| true)?.into_iter().map(|path| folder.join(path)).collect())
    }

    fn names(&mut self, key: &str, fits: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        Some(self.list(key, fits)?.into_iter().map(str::to_owned).collect())
    }

    fn json(&mut self, key: &str) -> Option<Map<String, Value>> {
        let takes = self.takes(key);
        let (_, value) = self.value(key, takes, |value| matches!(value, DeValue::Table(_)))?;
        let full = self.full(key);
        match value {
            DeValue::Table(table) => Some(object(table, &full, self.report)),
            _ => None,
        }
    }
}

fn object(table: &DeTable<'_>, name: &str, report: &mut Report<'_>) -> Map<String, Value> {
    let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &str = AsRef::as_ref(key.get_ref() as &std::borrow::Cow<'_, str>);
        (key.to_owned(), json(value, &format!("{name}.{key}"), report))
    };
    table.iter().map(member).collect()
}

/// A value of TOML in JSON. Dates and times, which JSON does not have, become text as RFC 3339 writes them.
fn json(value: &Spanned<DeValue<'_>>, name: &str, report: &mut Report<'_>) -> Value {
    let mut refuse = |message: &str| {
        report.add(value.span().start, name, message.to_owned());
        Value::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(_) => match integer(value.get_ref()) {
            Some(number) => number.into(),
            None => refuse("does not fit into 64 bits with a sign"),
        },
        DeValue::Float(number) => {
            let finite = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            finite.map_or_else(
                || refuse("cannot be said in JSON, which knows neither nan nor inf"),
                Value::Number,
            )
        }
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => {
            list.iter().enumerate().map(|(at, value)| json(value, &format!("{name}.{at}"), report)).collect()
        }
        DeValue::Table(table) => Value::Object(object(table, name, report)),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

/// `[a-z][a-z0-9-]{0,62}`, as for a manifest.
fn is_id(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
