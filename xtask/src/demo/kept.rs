//! What the sample `chronicle` has kept: asked as an application asks, from a host of its own on the demo's data folder,
//! while no other host has it. It is asked many times for the same, to show what its cache is good for, and twice for the same
//! report, to show that it is written once.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use pintle::{Host, Settings};
use serde_json::{Value, json};

/// Whose chronicles the demo asks for: the system's and those of its two tenants.
const SCOPES: [&str; 3] = ["", "acme", "globex"];

/// The plugin that is asked.
const CHRONICLE: &str = "chronicle";

/// The metric of which the demo shows minutes, and how many.
const METRIC: &str = "cpu.busy";
const MINUTES: usize = 3;

/// Of which metrics the demo shows those with the largest mean, and how many.
const LED: &str = "cpu.";
const LEADERS: usize = 3;

/// How often each of them is asked for these minutes again.
const AGAIN: u32 = 100;

/// What is kept, by tenant, and what asking for it took.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Kept {
    scopes: BTreeMap<&'static str, Scope>,
    /// How often chronicle looked for something stored, and how often it read its database for it, by its own count.
    looked: u64,
    stored: u64,
}

#[derive(Debug, Default, PartialEq)]
struct Scope {
    metrics: u64,
    minutes: u64,
    samples: u64,
    alarms: u64,
    lines: u64,
    since_ms: i64,
    /// The last minutes of `METRIC`.
    series: Vec<Value>,
    /// How long it took to ask for these, the first time and on average of all other times.
    first: Duration,
    again: Duration,
    /// The metrics of `LED` with the largest mean.
    top: Vec<Value>,
}

impl Kept {
    /// Asks a host of its own for everything.
    pub(super) fn ask(settings: &Path) -> Result<Self, String> {
        with(settings, &[CHRONICLE], Self::ask_running)
    }

    fn ask_running(host: &Host) -> Result<Self, String> {
        let scopes: Result<_, String> =
            SCOPES.into_iter().map(|tenant| Ok((tenant, Scope::ask(host, tenant)?))).collect();
        let reads = ask(host, "", "reads", &json!({}))?;
        Ok(Self { scopes: scopes?, looked: number(&reads, "asked"), stored: number(&reads, "stored") })
    }

    /// How many samples are kept, of all tenants.
    pub(super) fn samples(&self) -> u64 {
        self.scopes.values().map(|scope| scope.samples).sum()
    }

    /// A table of what is kept; `before` is what was kept before the last host started.
    pub(super) fn told<'a>(&'a self, before: &'a Self) -> impl fmt::Display + 'a {
        Told { kept: self, before }
    }
}

impl Scope {
    fn ask(host: &Host, tenant: &str) -> Result<Self, String> {
        let ask = |method: &str, request: Value| ask(host, tenant, method, &request);
        let minutes = || ask("series", json!({ "metric": METRIC, "limit": MINUTES }));
        let start = Instant::now();
        let series = minutes()?;
        let first = start.elapsed();
        for _ in 0..AGAIN {
            minutes()?;
        }
        let again = (start.elapsed() - first) / AGAIN;
        let total = ask("total", json!({}))?;
        let samples =
            |metric: &str| Ok::<_, String>(number(&ask("total", json!({ "metric": metric }))?, "samples"));
        Ok(Self {
            metrics: number(&total, "metrics"),
            minutes: number(&total, "minutes"),
            samples: number(&total, "samples"),
            alarms: samples("alarms")?,
            lines: samples("lines")?,
            since_ms: total["from"].as_i64().unwrap_or_default(),
            series: series.as_array().cloned().unwrap_or_default(),
            first,
            again,
            top: ask("top", json!({ "by": "mean", "prefix": LED, "limit": LEADERS }))?
                .as_array()
                .cloned()
                .unwrap_or_default(),
        })
    }
}

/// Starts a host with these plugins and no other, asks, and stops it.
pub(super) fn with<T>(
    settings: &Path,
    plugins: &[&str],
    ask: impl FnOnce(&Host) -> Result<T, String>,
) -> Result<T, String> {
    let mut settings = Settings::from_file(settings).map_err(|problems| problems.to_string())?;
    for (id, plugin) in &mut settings.plugin {
        plugin.enabled = plugins.contains(&id.as_str());
    }
    let host = Host::builder().settings(settings).build().map_err(|error| error.to_string())?;
    if let Some(error) = host.start().failed.first() {
        return Err(error.to_string());
    }
    let answer = ask(&host);
    host.stop();
    answer
}

/// How many alarms are kept, of all tenants.
pub(super) fn alarms(host: &Host) -> Result<u64, String> {
    let of = |tenant| ask(host, tenant, "total", &json!({ "metric": "alarms" }));
    SCOPES.into_iter().map(|tenant| Ok(number(&of(tenant)?, "samples"))).sum()
}

/// Asks two hosts, one after the other, for the same report of acme; what they say of it.
pub(super) fn report(settings: &Path) -> Result<String, String> {
    let key = format!("demo-{}", UNIX_EPOCH.elapsed().unwrap_or_default().as_millis());
    let asked = |host: &Host| {
        let answer = ask(host, "acme", "report", &json!({ "key": key }))?;
        let files = host.files("chronicle", "acme").map_err(|error| error.to_string())?;
        let path = answer["path"].as_str().unwrap_or_default();
        let file = files.stat(path).map_err(|error| error.to_string())?;
        Ok((answer, file.ok_or_else(|| format!("the report {key} is not among the files of chronicle"))?))
    };
    let (first, second) = (with(settings, &[CHRONICLE], asked)?, with(settings, &[CHRONICLE], asked)?);
    if first != second {
        return Err(format!("the same report was written twice: {first:?}, {second:?}"));
    }
    let (answer, file) = first;
    let (path, rows) = (answer["path"].as_str().unwrap_or_default(), number(&answer, "rows"));
    Ok(format!(
        "acme's report {path}, asked for from two hosts and written once: {rows} rows, {} bytes",
        file.len
    ))
}

fn ask(host: &Host, tenant: &str, method: &str, request: &Value) -> Result<Value, String> {
    let reply = host.call(tenant, "chronicle.query", 1, method, request.to_string().as_bytes(), None);
    let reply = reply.map_err(|error| format!("chronicle.query {method}: {error}"))?;
    serde_json::from_slice(&reply).map_err(|error| format!("chronicle.query {method}: {error}"))
}

fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_default()
}

struct Told<'a> {
    kept: &'a Kept,
    before: &'a Kept,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what chronicle keeps, asked from another host, over restarts:\n")?;
        writeln!(
            f,
            "TENANT    METRICS  MINUTES  SAMPLES  ALARMS  LINES  OF EARLIER HOSTS  SINCE   {METRIC} BY MINUTE: LEAST MEAN MOST"
        )?;
        for (tenant, scope) in &self.kept.scopes {
            let earlier = self.before.scopes.get(tenant).map_or(0, |scope| scope.samples);
            let name = name(tenant);
            let series: Vec<_> = scope.series.iter().map(minute).collect();
            writeln!(
                f,
                "{name:<8}  {:>7}  {:>7}  {:>7}  {:>6}  {:>5}  {:>16}  {}  {}",
                scope.metrics,
                scope.minutes,
                scope.samples,
                scope.alarms,
                scope.lines,
                earlier.min(scope.samples),
                clock(scope.since_ms),
                series.join(" | ")
            )?;
        }
        let Kept { scopes, looked, stored } = self.kept;
        writeln!(f, "\nthe minutes of {METRIC}, each asked for {} times:\n", AGAIN + 1)?;
        for (tenant, scope) in scopes {
            let (first, again) = (scope.first.as_micros(), scope.again.as_micros());
            writeln!(
                f,
                "{:<8}  {first:>6} us the first time, {again:>6} us each time after that",
                name(tenant)
            )?;
        }
        writeln!(f, "\nthe metrics of {LED} with the largest mean, by SQL:\n")?;
        for (tenant, scope) in scopes {
            let leaders: Vec<_> = scope.top.iter().map(leader).collect();
            writeln!(f, "{:<8}  {}", name(tenant), leaders.join(" | "))?;
        }
        let hits = looked.saturating_sub(*stored);
        write!(
            f,
            "\nof {looked} lookups chronicle found {hits} in the cache, and read its database for {stored}"
        )
    }
}

fn name(tenant: &str) -> &str {
    if tenant.is_empty() { "(system)" } else { tenant }
}

fn minute(minute: &Value) -> String {
    let percent = |name: &str| minute[name].as_f64().unwrap_or_default();
    let at = clock(minute["minute"].as_i64().unwrap_or_default());
    format!("{at} {:.0} {:.0} {:.0}", percent("min"), percent("mean"), percent("max"))
}

fn leader(leader: &Value) -> String {
    let name = leader["metric"].as_str().unwrap_or_default();
    format!("{name} {:.1}", leader["mean"].as_f64().unwrap_or_default())
}

/// The time of day, UTC.
fn clock(time_ms: i64) -> String {
    let minutes = time_ms.div_euclid(60_000).rem_euclid(24 * 60);
    format!("{:02}:{:02}Z", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_runs_kept_is_told_apart() {
        let scope = |samples| Scope {
            metrics: 2,
            minutes: 3,
            samples,
            alarms: 1,
            lines: 0,
            since_ms: 40_200_000,
            series: vec![
                json!({"minute": 40_260_000, "count": 9, "min": 1.2, "mean": 10.0, "max": 99.6, "last": 5}),
            ],
            first: Duration::from_micros(900),
            again: Duration::from_micros(90),
            top: vec![
                json!({"metric": "cpu.user", "count": 9, "min": 0, "max": 9, "mean": 7.26}),
                json!({"metric": "cpu.busy", "count": 9, "min": 0, "max": 9, "mean": 4.0}),
            ],
        };
        let kept = |scopes| Kept { scopes, looked: 210, stored: 6 };
        let before = kept(BTreeMap::from([("acme", scope(10))]));
        let now = kept(BTreeMap::from([("", scope(7)), ("acme", scope(25))]));
        let told = now.told(&before).to_string();
        let words: Vec<_> =
            told.lines().skip(3).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(words[0][..8], ["(system)", "2", "3", "7", "1", "0", "0", "11:10Z"]);
        assert_eq!(words[1][..8], ["acme", "2", "3", "25", "1", "0", "10", "11:10Z"]);
        assert_eq!(words[1][8..], ["11:11Z", "1", "10", "100"]);
        for line in [
            "acme      cpu.user 7.3 | cpu.busy 4.0",
            "acme         900 us the first time,     90 us each time after that",
            "of 210 lookups chronicle found 204 in the cache, and read its database for 6",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
        }
    }
}
