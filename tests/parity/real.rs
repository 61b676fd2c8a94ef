//! The mirror in a real host.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use pintle::{
    Host, Settings,
    events::{DeadLettersOf, Draft, SubscribeOptions, Topic},
    log::{Options, Target},
};
use pintle_test_support::{install, samples};
use serde_json::Value;
use tempfile::TempDir;

use crate::Side;

/// How long a list of operations may take, each of which may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(25);

pub(crate) struct Real {
    host: Host,
    _folder: TempDir,
}

impl Real {
    /// With `panicky` beside the mirror.
    pub(crate) fn start(config: &Value) -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder can be written");
        // The host refuses folders that others may write.
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).expect("it is ours");
        for name in ["mirror", "panicky"] {
            install(&samples().rust(name), &plugins);
        }
        let mut settings = Settings::default();
        let Value::Object(config) = config.clone() else { panic!("a config is an object") };
        settings.plugin.entry("mirror".into()).or_default().config = config;
        let host = Host::builder()
            .settings(settings)
            .plugins(&plugins)
            .data(folder.path().join("data"))
            .log(Options { target: Target::Writer(Box::new(std::io::sink())), ..Options::default() })
            .build()
            .unwrap_or_else(|error| panic!("{error}"));
        host.subscribe_replying("plugin.mirror.deep.>", SubscribeOptions::default(), |_| {
            Ok(b"heard".to_vec())
        })
        .expect("it is a pattern");
        let started = host.start();
        assert!(started.failed.is_empty() && started.skipped.is_empty(), "{started:?}");
        Self { host, _folder: folder }
    }
}

impl Real {
    fn wait_for(&self, happened: impl Fn() -> bool, what: impl Fn() -> String) {
        let deadline = Instant::now() + PATIENCE;
        while !happened() {
            assert!(Instant::now() < deadline, "{}", what());
            std::thread::yield_now();
        }
    }
}

fn status<T>(outcome: pintle::Result<T>) -> Result<T, String> {
    outcome.map_err(|error| format!("{:?}", error.kind()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the mirror writes text")
}

impl Side for Real {
    fn call(&self, tenant: &str, service: &str, method: &str, request: &str) -> Result<String, String> {
        status(self.host.call(tenant, service, 1, method, request.as_bytes(), Some(PATIENCE)))
            .map(|reply| text(&reply))
    }

    fn emit(&self, tenant: &str, topic: &str, data: &str) -> Result<String, String> {
        let topic = Topic::parse(topic).expect("it is one");
        let draft = Draft::new(topic, "/application", data.as_bytes());
        let results = status(self.host.emit_sync(tenant, draft, Some(PATIENCE)))?;
        let replies = results.iter().map(|one| match one.outcome.error() {
            Some(error) => Err(format!("{:?}", error.kind())),
            None => Ok(text(one.outcome.reply())),
        });
        Ok(replies.collect::<Result<Vec<_>, _>>()?.join(" "))
    }

    fn settle(&self) {
        assert!(self.host.wait_idle(Duration::from_secs(20)), "it does not come to rest");
    }

    fn until(&self, deliveries: usize, _: u64) {
        let enough = || {
            let count = self.call("", "mirror.run", "do", r#"[["durable.count"]]"#).expect("it answers");
            let lines: Vec<String> = serde_json::from_str(&count).expect("lines");
            lines[0].parse::<usize>().expect("a number") >= deliveries
        };
        self.wait_for(enough, || format!("there are no {deliveries} deliveries"));
        self.settle();
    }

    fn dead(&self, letters: usize) -> Vec<String> {
        let all =
            || self.host.dead_letters(&DeadLettersOf::default(), 0, 0).expect("the disk is there").letters;
        self.wait_for(|| all().len() >= letters, || format!("there are no {letters} dead letters"));
        let all = all();
        all.iter()
            .map(|one| crate::dead_letter(&one.name, &one.event.data, one.attempts, &one.reason))
            .collect()
    }

    fn pass(&self, milliseconds: u64) {
        // The host's clock is the real one.
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    fn disable(&self) -> Result<(), String> {
        status(self.host.disable("mirror"))
    }

    fn enable(&self) -> Result<(), String> {
        status(self.host.enable("mirror"))
    }

    fn configure(&self, config: &Value) -> Result<(), String> {
        status(self.host.configure("mirror", config))
    }
}
