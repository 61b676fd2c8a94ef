//! What the settings take, and what they say to what they do not take.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn told(text: &str) -> Vec<String> {
    let problems = Settings::from_text(text, "/etc/pintle").expect_err(text);
    problems.to_string().lines().map(|line| line.strip_prefix("settings:").expect(line).to_owned()).collect()
}

#[test]
fn everything_that_can_be_set_arrives() {
    let text = r#"
        data = "var"
        plugins = ["plugins", "/opt/plugins"]
        workers = 3
        [log]
        level = "debug"
        format = "json"
        file = "log/pintle.log"
        buffer = 0x10_0000
        [trust]
        allow_foreign = true
        strict = true
        [deadlines]
        load_ms = 1
        handler_ms = 2
        stop_ms = 3
        call_ms = 4
        [queues]
        lane = 16
        [cache]
        backend = "sqlite"
        capacity = 2_000_000
        disk_capacity = 5_000_000_000
        default_ttl_ms = 0
        absent_ttl_ms = 500
        l1_max_age_ms = 60_000
        [control]
        enabled = false
        [metrics]
        listen = "[::1]:9464"
        tenants = 7
        [budgets]
        window_ms = 30000
        slow_ms = 100
        slow = 5
        stuck = 0
        errors_percent = 25
        errors_least = 40
        cooldown_ms = 0
        [storage]
        max_value = 65536
        read_cache = 0
        synchronous = "normal"
        [events]
        keep_ms = 7
        max_bytes = 2097152
        dedupe_ms = 8
        [idempotency]
        lease_ms = 5
        keep_ms = 6
        max_result = 2048
        [files]
        max_size = 2048
        [database]
        connections = 8
        idle_ms = 5
        statement_ms = 6
        transaction_ms = 7
        max_rows = 9
        max_value = 65536
        max_bytes = 1048576
        temporary_bytes = 2097152
        [plugin.threshold]
        enabled = false
        log = "trace"
        concurrency = 2
        config = { limit = 90, share = 0.5, names = ["a", { b = true }], since = 1979-05-27 07:32:00Z, day = 1979-05-27 }
        [plugin.threshold.grants]
        services = ["cache", "events"]
        methods = ["cache.get"]
        subscribe = ["access.>"]
        publish = []
        call = ["geo.lookup"]
        namespaces = ["hits"]
        [plugin.threshold.quota]
        calls_per_second = 7
        tenant_calls_per_second = 3
        storage_items = 100
        storage_bytes = 1099511627776
        tenant_storage_items = 10
        tenant_storage_bytes = 4096
        files_bytes = 1
        files_count = 10
        tenant_files_bytes = 5_000_000_000
        tenant_files_count = 2
        database_bytes = 5_000_000_000
        [plugin.threshold.budgets]
        stuck = false
        slow = 0
        cooldown_ms = 1500
        [plugin.geo.config.deep]
        er = -1
    "#;
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let config = json!({
        "limit": 90, "share": 0.5, "names": ["a", { "b": true }], "since": "1979-05-27T07:32:00Z", "day": "1979-05-27"
    });
    let budgets = BudgetSettings {
        window: Duration::from_secs(30),
        slow_after: Some(Duration::from_millis(100)),
        slow: Some(5),
        stuck: Some(0),
        errors_percent: Some(25),
        errors_least: 40,
        cooldown: None,
    };
    let expected = Settings {
        data: Some("/etc/pintle/var".into()),
        plugins: vec!["/etc/pintle/plugins".into(), "/opt/plugins".into()],
        workers: Some(3),
        log: LogSettings {
            level: Level::Debug,
            format: Format::Json,
            file: Some("/etc/pintle/log/pintle.log".into()),
            buffer: 1 << 20,
        },
        trust: Trust { allow_foreign: true, strict: true },
        deadlines: Deadlines {
            load: Duration::from_millis(1),
            handler: Duration::from_millis(2),
            stop: Duration::from_millis(3),
            call: Duration::from_millis(4),
        },
        queues: Queues { lane: 16 },
        cache: CacheSettings {
            backend: CacheBackend::Sqlite,
            capacity: 2_000_000,
            disk_capacity: 5_000_000_000,
            default_ttl: Duration::ZERO,
            absent_ttl: Duration::from_millis(500),
            l1_max_age: Some(Duration::from_secs(60)),
        },
        storage: StorageSettings { max_value: 65_536, read_cache: 0, synchronous: Synchronous::Normal },
        events: EventSettings {
            keep: Duration::from_millis(7),
            max_bytes: 2 << 20,
            dedupe: Duration::from_millis(8),
        },
        idempotency: IdempotencySettings {
            lease: Duration::from_millis(5),
            keep: Duration::from_millis(6),
            max_result: 2_048,
        },
        files: FileSettings { max_size: 2_048 },
        database: DatabaseSettings {
            connections: 8,
            idle: Duration::from_millis(5),
            statement: Duration::from_millis(6),
            transaction: Duration::from_millis(7),
            max_rows: 9,
            max_value: 65_536,
            max_bytes: 1 << 20,
            temporary_bytes: 2 << 20,
        },
        control: ControlSettings { enabled: false },
        metrics: MetricsSettings { listen: "[::1]:9464".parse().ok(), tenants: 7 },
        budgets,
        plugin: [
            (
                "threshold".to_owned(),
                PluginSettings {
                    enabled: false,
                    log: Some(Level::Trace),
                    config: config.as_object().expect("an object").clone(),
                    concurrency: Some(2),
                    grants: GrantSettings {
                        services: list(&["cache", "events"]),
                        methods: list(&["cache.get"]),
                        subscribe: list(&["access.>"]),
                        publish: list(&[]),
                        call: list(&["geo.lookup"]),
                        namespaces: list(&["hits"]),
                    },
                    quota: QuotaSettings {
                        calls_per_second: Some(7),
                        tenant_calls_per_second: Some(3),
                        storage_items: Some(100),
                        storage_bytes: Some(1 << 40),
                        tenant_storage_items: Some(10),
                        tenant_storage_bytes: Some(4_096),
                        files_bytes: Some(1),
                        files_count: Some(10),
                        tenant_files_bytes: Some(5_000_000_000),
                        tenant_files_count: Some(2),
                        database_bytes: Some(5_000_000_000),
                    },
                    budgets: Some(BudgetSettings {
                        stuck: None,
                        slow: Some(0),
                        cooldown: Some(Duration::from_millis(1_500)),
                        ..budgets
                    }),
                },
            ),
            (
                "geo".to_owned(),
                PluginSettings {
                    config: json!({ "deep": { "er": -1 } }).as_object().expect("an object").clone(),
                    ..PluginSettings::default()
                },
            ),
        ]
        .into(),
    };
    assert_eq!(Settings::from_text(text, "/etc/pintle").expect("valid"), expected);
    assert!(!expected.of("threshold").enabled);
    assert_eq!(expected.budgets_of("threshold").slow, Some(0));
    assert_eq!([expected.budgets_of("geo"), expected.budgets_of("unheard-of")], [budgets, budgets]);
    assert_eq!(expected.of("unheard-of"), PluginSettings::default());
}

#[test]
fn nothing_set_means_the_defaults() {
    assert_eq!(Settings::from_text("", "").expect("valid"), Settings::default());
    assert_eq!(
        Settings::from_text("# nothing\n[log]\n[plugin]\n", "/x").expect("valid"),
        Settings::default()
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_what_was_meant() {
    let text = r#"plugin_folders = ["a"]
plugns = ["a"]
workers = 0
level = "debug"
data = ""
[log]
level = "loud"
formt = "json"
file = 3
[trust]
strict = "yes"
[deadlines]
load_ms = 10.5
handler_ms = 86400001
[queues]
lane = -1
[plugin.Bad_Id]
[plugin.p]
enabld = true
config = 5
concurrency = 99999999999999999999
[plugin.p.grants]
services = ["cahce", "events"]
methods = ["get"]
publish = "all"
call = ["ok", 1, ""]
[plugin.q.config]
number = inf
"#;
    assert_eq!(
        told(text),
        [
            "1:1: plugin_folders: there is no such key: there are `data`, `plugins`, `workers`, `log`, `trust`, `deadlines`, `queues`, `cache`, `storage`, `events`, `idempotency`, `files`, `database`, `control`, `metrics`, `budgets`, `plugin`",
            "2:1: plugns: there is no such key: did you mean `plugins`",
            "3:11: workers: must be a number from 1 to 1024",
            "4:1: level: there is no such key here: did you mean `log.level`",
            "5:8: data: must be the path of a folder",
            r#"7:9: log.level: must be "trace", "debug", "info", "warn", "error" or "fatal""#,
            "8:1: log.formt: there is no such key: did you mean `log.format`",
            "9:8: log.file: must be the path of a file",
            "11:10: trust.strict: must be true or false",
            "13:11: deadlines.load_ms: must be a number of milliseconds from 1 to 86400000",
            "14:14: deadlines.handler_ms: must be a number of milliseconds from 1 to 86400000",
            "16:8: queues.lane: must be a number from 1 to 1048576",
            "17:9: plugin.Bad_Id: is no plugin id: 1 to 63 of a-z, 0-9 and `-`, a letter first",
            "19:1: plugin.p.enabld: there is no such key: did you mean `plugin.p.enabled`",
            "20:10: plugin.p.config: must be a table",
            "21:15: plugin.p.concurrency: must be a number from 1 to 1024",
            "23:13: plugin.p.grants.services: must be a list of the host's services",
            r#"24:12: plugin.p.grants.methods: must be a list of methods, as in ["cache.get"]"#,
            "25:11: plugin.p.grants.publish: must be a list of topics",
            "26:15: plugin.p.grants.call: must be a list of plugins' services",
            "26:18: plugin.p.grants.call: must be a list of plugins' services",
            "28:10: plugin.q.config.number: cannot be said in JSON, which knows neither nan nor inf",
        ]
    );
}

#[test]
fn what_a_plugin_says_of_its_budgets_counts_key_by_key_and_false_switches_off() {
    let of_all = "[budgets]\nslow_ms = 50\nslow = 2\nstuck = 1\nerrors_percent = 10\n";
    let of_p = |own: &str| {
        let text = format!("{of_all}[plugin.p.budgets]\n{own}");
        Settings::from_text(&text, "").unwrap_or_else(|error| panic!("{error}")).budgets_of("p")
    };
    let all = of_p("");
    assert_eq!(all, Settings::from_text(of_all, "").expect("valid").budgets);
    for (own, expected) in [
        ("slow_ms = 7", BudgetSettings { slow_after: Some(Duration::from_millis(7)), ..all }),
        ("slow_ms = false", BudgetSettings { slow_after: None, slow: None, ..all }),
        ("slow_ms = false\nslow = false", BudgetSettings { slow_after: None, slow: None, ..all }),
        ("slow = false", BudgetSettings { slow: None, ..all }),
        ("stuck = false", BudgetSettings { stuck: None, ..all }),
        ("errors_percent = false", BudgetSettings { errors_percent: None, ..all }),
        (
            "errors_percent = 0\nwindow_ms = 100",
            BudgetSettings { errors_percent: Some(0), window: Duration::from_millis(100), ..all },
        ),
    ] {
        assert_eq!(of_p(own), expected, "{own}");
    }
    for (text, any) in [
        ("", false),
        ("slow_ms = 5", false),
        ("slow_ms = 5\nslow = 0", true),
        ("stuck = 0", true),
        ("stuck = false", false),
        ("errors_percent = 9", true),
        ("errors_least = 9\nwindow_ms = 500", false),
    ] {
        let budgets = Settings::from_text(&format!("[budgets]\n{text}"), "").expect(text).budgets;
        assert_eq!(budgets.any(), any, "{text}");
    }
}

#[test]
fn a_budget_that_can_never_be_used_up_is_told() {
    for (text, expected) in [
        (
            "[budgets]\nslow = 3",
            "2:8: budgets.slow: says nothing without `slow_ms`: set that too, from how long on a handler is slow",
        ),
        (
            "[budgets]\nslow_ms = 9\n[plugin.p.budgets]\nslow_ms = false\nslow = 0",
            "5:8: plugin.p.budgets.slow: says nothing without `slow_ms`: set that too, from how long on a handler is slow",
        ),
        (
            "budgets.errors_percent = 100",
            "1:26: budgets.errors_percent: must be a number from 0 to 99, or false for no limit",
        ),
        (
            "budgets.stuck = true",
            "1:17: budgets.stuck: must be a number from 0 to 1000000, or false for no limit",
        ),
        (
            "budgets.stuck = -1",
            "1:17: budgets.stuck: must be a number from 0 to 1000000, or false for no limit",
        ),
        (
            "budgets.window_ms = 99",
            "1:21: budgets.window_ms: must be a number of milliseconds from 100 to 86400000",
        ),
        (
            "budgets.window_ms = false",
            "1:21: budgets.window_ms: must be a number of milliseconds from 100 to 86400000",
        ),
        (
            "budgets.errors = 1",
            "1:9: budgets.errors: there is no such key: there are `window_ms`, `slow_ms`, `slow`, `stuck`, `errors_percent`, `errors_least`, `cooldown_ms`",
        ),
        ("plugin.p.budgets = 5", "1:20: plugin.p.budgets: must be a table"),
    ] {
        assert_eq!(told(text), [expected], "{text}");
    }
}

#[test]
fn a_text_that_is_no_toml_is_told_with_the_places() {
    for (text, place) in
        [("a = ", "1:5: "), ("[log]\nlevel = 'x", "2:11: "), ("a = 1\na = 2", "2:1: "), ("[log\n", "1:5: ")]
    {
        let told = told(text);
        assert!(told[0].starts_with(place) && told[0].contains("this is not TOML"), "{text:?}: {told:?}");
    }
    for text in ["plugin = 3", "plugin.p = 3", "log = []", "grüße = 1"] {
        assert_eq!(told(text).len(), 1, "{text}");
    }
    assert!(told("'ü' = ü")[0].starts_with("1:7: "), "columns count characters");
}

#[test]
fn a_secret_in_the_settings_is_shown_by_no_debug_and_no_problem() {
    let settings =
        Settings::from_text("[plugin.p.config]\ntoken = 'hunter2'\nkeys = ['hunter2']", "").expect("valid");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && shown.contains("token"), "{shown}");
    for text in [
        "[plugin.p]\nconfig = 'hunter2'",
        "[plugin.p.config]\ntoken = 'hunter2\n",
        "[plugin.p.config]\ntoken = 'hunter2' hunter2\n",
        "[plugin.p.config]\ntoken = hunter2\n",
        "[plugin.p.config]\ntoken = 'hunter2'\ntoken = 'hunter2'",
        "[plugin.p]\nlog = 'hunter2'",
    ] {
        let told = told(text);
        assert!(!told.is_empty() && told.iter().all(|line| !line.contains("hunter2")), "{told:?}");
    }
}

#[test]
fn a_file_is_read_relative_to_its_own_folder_and_named_in_its_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pintle.toml");
    fs::write(&path, "plugins = ['p']").expect("written");
    let settings = Settings::from_file(&path).expect("valid");
    assert_eq!(settings.plugins, [folder.path().join("p")]);
    assert_eq!(settings.data, None);

    fs::write(&path, "\nplugin = 1").expect("written");
    let error = Error::from(Settings::from_file(&path).expect_err("wrong"));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let start = format!("{}:2:10: plugin: must be", path.display());
    assert!(error.to_string().starts_with(&start), "{error}");

    fs::write(&path, b"\xff").expect("written");
    for path in [&path, &folder.path().join("absent.toml"), &folder.path().to_owned()] {
        let problems = Settings::from_file(path).expect_err("unreadable").to_string();
        assert!(
            problems.starts_with(&format!("{}: the settings cannot be read: ", path.display())),
            "{problems}"
        );
    }
}

/// Every key with a value that is not the default.
const EXAMPLES: [(&str, &str); KEYS.len()] = [
    ("data", r#""var""#),
    ("plugins", r#"["plugins"]"#),
    ("workers", "3"),
    ("log.level", r#""debug""#),
    ("log.format", r#""json""#),
    ("log.file", r#""pintle.log""#),
    ("log.buffer", "65536"),
    ("trust.allow_foreign", "true"),
    ("trust.strict", "true"),
    ("deadlines.load_ms", "1"),
    ("deadlines.handler_ms", "2"),
    ("deadlines.stop_ms", "3"),
    ("deadlines.call_ms", "86400000"),
    ("queues.lane", "16"),
    ("cache.backend", r#""sqlite""#),
    ("cache.capacity", "1048576"),
    ("cache.disk_capacity", "4194304"),
    ("cache.default_ttl_ms", "0"),
    ("cache.absent_ttl_ms", "1"),
    ("cache.l1_max_age_ms", "1"),
    ("storage.max_value", "1024"),
    ("storage.read_cache", "0"),
    ("storage.synchronous", r#""normal""#),
    ("events.keep_ms", "1"),
    ("events.max_bytes", "1048576"),
    ("events.dedupe_ms", "86400000"),
    ("idempotency.lease_ms", "1"),
    ("idempotency.keep_ms", "31536000000"),
    ("idempotency.max_result", "1024"),
    ("files.max_size", "1024"),
    ("database.connections", "4"),
    ("database.idle_ms", "1"),
    ("database.statement_ms", "1"),
    ("database.transaction_ms", "1"),
    ("database.max_rows", "1"),
    ("database.max_value", "65536"),
    ("database.max_bytes", "1048576"),
    ("database.temporary_bytes", "1048576"),
    ("control.enabled", "false"),
    ("metrics.listen", r#""[::1]:9464""#),
    ("metrics.tenants", "0"),
    ("budgets.window_ms", "100"),
    ("budgets.slow_ms", "100"),
    ("budgets.slow", "0\nbudgets.slow_ms = 100"),
    ("budgets.stuck", "0"),
    ("budgets.errors_percent", "99"),
    ("budgets.errors_least", "1"),
    ("budgets.cooldown_ms", "0"),
    ("plugin.<id>.enabled", "false"),
    ("plugin.<id>.log", r#""trace""#),
    ("plugin.<id>.concurrency", "1"),
    ("plugin.<id>.config", "{ window = 60 }"),
    ("plugin.<id>.grants.services", r#"["cache"]"#),
    ("plugin.<id>.grants.methods", r#"["cache.get"]"#),
    ("plugin.<id>.grants.subscribe", r#"["access.>"]"#),
    ("plugin.<id>.grants.publish", "[]"),
    ("plugin.<id>.grants.call", r#"["geo.lookup"]"#),
    ("plugin.<id>.grants.namespaces", r#"["hits"]"#),
    ("plugin.<id>.quota.calls_per_second", "1"),
    ("plugin.<id>.quota.tenant_calls_per_second", "1000000000"),
    ("plugin.<id>.quota.storage_items", "1000000000000"),
    ("plugin.<id>.quota.storage_bytes", "1"),
    ("plugin.<id>.quota.tenant_storage_items", "1"),
    ("plugin.<id>.quota.tenant_storage_bytes", "1125899906842624"),
    ("plugin.<id>.quota.files_bytes", "1"),
    ("plugin.<id>.quota.files_count", "1"),
    ("plugin.<id>.quota.tenant_files_bytes", "1"),
    ("plugin.<id>.quota.tenant_files_count", "1000000000000"),
    ("plugin.<id>.quota.database_bytes", "1048576"),
    ("plugin.<id>.budgets.window_ms", "100"),
    ("plugin.<id>.budgets.slow_ms", "100"),
    ("plugin.<id>.budgets.slow", "0\nplugin.some-id.budgets.slow_ms = 100"),
    ("plugin.<id>.budgets.stuck", "0"),
    ("plugin.<id>.budgets.errors_percent", "99"),
    ("plugin.<id>.budgets.errors_least", "1"),
    ("plugin.<id>.budgets.cooldown_ms", "0"),
];

#[test]
fn every_key_of_the_table_is_read() {
    for (key, (name, value)) in KEYS.iter().zip(EXAMPLES) {
        assert_eq!(key.name, name);
        let text = format!("{} = {value}", name.replace("<id>", "some-id"));
        assert_ne!(Settings::from_text(&text, "").expect(&text), Settings::default(), "{text}");
    }
}

#[test]
fn the_docs_explain_every_key_and_no_other() {
    let docs = include_str!("../../docs/settings.md");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<_> = rows.map(|(key, _)| key).collect();
    let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(BTreeSet::from_iter(&documented), BTreeSet::from_iter(&known));
    assert_eq!(documented.len(), known.len(), "a key is explained once");
}

#[test]
fn the_example_in_the_docs_is_valid_and_its_defaults_are_the_defaults() {
    let docs = include_str!("../../docs/settings.md");
    let example =
        docs.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let settings = Settings::from_text(example, "").expect("valid");
    assert_eq!((settings.deadlines, settings.queues), (Deadlines::default(), Queues::default()));
    assert_eq!((settings.cache, settings.storage), (CacheSettings::default(), StorageSettings::default()));
    assert_eq!(settings.events, EventSettings::default());
    assert_eq!(settings.idempotency, IdempotencySettings::default());
    assert_eq!(settings.files, FileSettings::default());
    assert_eq!(settings.database, DatabaseSettings::default());
    assert_eq!((settings.log.level, settings.log.buffer), (Level::Info, LogSettings::default().buffer));
    assert!(settings.plugin.contains_key("threshold"));
}

#[test]
fn contract_24_contract_57_without_settings_the_deadlines_are_those_of_the_contract() {
    let Deadlines { load, handler, stop, call } = Settings::default().deadlines;
    assert_eq!([load, handler, stop, call].map(|one| one.as_secs()), [10, 30, 10, 5]);
    let written = Settings::from_text("[deadlines]\ncall_ms = 7", "").expect("valid").deadlines;
    assert_eq!((written.call.as_millis(), written.load), (7, load), "each can be set");
}
