//! What every metric is called and means: the only place that knows, beside `docs/metrics.md`.
//!
//! Names begin with `pintle_`, units are seconds and bytes. Only what comes from the host is ever a label: plugins,
//! services, kinds and reasons, all few, and tenants, of which there are as many for each plugin as the settings allow.

mod cache;
mod durable;

use std::{borrow::Cow, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::MetricType::{self, Counter, Gauge, Histogram},
    registry::Unit,
};

use super::page::{Is, Labels, Page};
use crate::stats::{
    CallStats, DropStats, EventStats, HandlerStats, PluginStats, Stats, TenantCallStats, TenantStats,
};

/// All families, with the numbers of one moment.
#[derive(Debug)]
pub(super) struct Families(pub(super) Stats);

/// The states that a plugin can be in, as its stats call them.
const STATES: [&str; 4] = ["enabled", "failed", "loaded", "unloaded"];

impl Collector for Families {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        let Self(stats) = self;
        of_host(&mut page, stats)?;
        of_events(&mut page, &stats.events)?;
        durable::of_durable(&mut page, &stats.durable)?;
        of_log_and_ledger(&mut page, stats)?;
        cache::of_cache(&mut page, stats)?;
        of_plugins(&mut page, &stats.plugins)?;
        cache::of_plugins(&mut page, &stats.plugins)?;
        of_calls(&mut page, &stats.plugins)?;
        of_lanes(&mut page, &stats.plugins)?;
        of_plugins_events(&mut page, &stats.plugins)?;
        of_tenants(&mut page, &stats.plugins)
    }
}

fn of_host(page: &mut Page<'_>, stats: &Stats) -> fmt::Result {
    let host = &stats.host;
    page.info(
        "pintle_host",
        "The host: its version, the version of its contract with plugins, and its process.",
        |to| {
            let labels = [
                ("version", host.version.into()),
                ("abi", host.abi.as_str().into()),
                ("pid", host.pid.to_string().into()),
            ];
            to.put(labels.into(), Is::A)
        },
    )?;
    let seconds = |ms: f64| Is::Seconds(ms / 1e3);
    page.one(
        Gauge,
        "pintle_start_time",
        Some(Unit::Seconds),
        "When the host was made, since 1970 UTC.",
        seconds(host.started_ms as f64),
    )?;
    page.one(
        Gauge,
        "pintle_uptime",
        Some(Unit::Seconds),
        "How long the host has been there.",
        seconds(host.uptime_ms as f64),
    )?;
    for (name, help, value) in [
        ("pintle_tenants", "Tenants that somebody uses now.", host.tenants),
        ("pintle_jobs", "Jobs that are scheduled now.", host.jobs),
        ("pintle_subscriptions", "Subscriptions now, of plugins and of the application.", host.subscriptions),
        ("pintle_workers", "Threads that run plugins.", stats.workers.workers as u64),
        ("pintle_workers_idle", "Those of them without work.", stats.workers.idle as u64),
        (
            "pintle_workers_waiting",
            "Those of them whose call waits inside the host.",
            stats.workers.waiting as u64,
        ),
        (
            "pintle_workers_stuck",
            "Those of them whose call is past its deadline.",
            stats.workers.stuck as u64,
        ),
        (
            "pintle_libraries_retired",
            "Generations that are over and whose library is not closed yet, because a thread that ran it has not ended.",
            stats.workers.retired as u64,
        ),
        (
            "pintle_libraries_kept",
            "Libraries that were closed and stay mapped, because something in the process holds them.",
            host.libraries_kept,
        ),
    ] {
        page.one(Gauge, name, None, help, Is::Count(value))?;
    }
    Ok(())
}

fn of_events(page: &mut Page<'_>, events: &EventStats) -> fmt::Result {
    for (kind, name, help, value) in [
        (Counter, "pintle_events_emitted", "Events that were published.", events.emitted),
        (Counter, "pintle_events_unheard", "Events that no subscription was for.", events.unheard),
        (
            Counter,
            "pintle_events_matched",
            "Events that were for a subscription, once for each.",
            events.matched,
        ),
        (
            Counter,
            "pintle_events_delivered",
            "Those of the matched whose handler answered OK.",
            events.delivered,
        ),
        (
            Counter,
            "pintle_events_failed",
            "Those of the matched whose handler answered anything else.",
            events.failed,
        ),
        (Gauge, "pintle_events_waiting", "Those of the matched that wait in a queue now.", events.waiting),
        (Gauge, "pintle_events_running", "Those of the matched whose handler runs now.", events.running),
    ] {
        page.one(kind, name, None, help, Is::Count(value))?;
    }
    page.family(
        Counter,
        "pintle_events_dropped",
        None,
        "Those of the matched that reached no handler, by reason.",
        |to| {
            for (reason, count) in reasons(events.dropped) {
                to.put(vec![("reason", reason.into())], Is::Count(count))?;
            }
            Ok(())
        },
    )
}

fn of_log_and_ledger(page: &mut Page<'_>, stats: &Stats) -> fmt::Result {
    let (log, ledger) = (&stats.log, &stats.ledger);
    for (kind, name, help, value) in [
        (Counter, "pintle_log_records", "Log records that were taken.", log.taken),
        (
            Counter,
            "pintle_log_records_lost",
            "Log records that were lost: the buffer was full, or the target failed to the end.",
            log.lost,
        ),
        (Counter, "pintle_log_write_errors", "Writes to the log's target that failed.", log.write_errors),
        (Counter, "pintle_ledger_writes", "Writes that are on disk.", ledger.writes),
        (Counter, "pintle_ledger_writes_failed", "Writes that failed.", ledger.failed),
        (
            Counter,
            "pintle_ledger_commits",
            "Transactions that were committed; where many write at once, far fewer than writes.",
            ledger.commits,
        ),
        (
            Gauge,
            "pintle_ledger_largest_group",
            "The most writes that shared one commit.",
            ledger.largest_group,
        ),
        (
            Counter,
            "pintle_ledger_groups_run_again",
            "Groups whose transaction was lost, so that their writes ran again one by one.",
            ledger.run_again,
        ),
        (
            Counter,
            "pintle_ledger_checkpoints",
            "Times that the write-ahead log was moved into the file.",
            ledger.checkpoints,
        ),
        (Gauge, "pintle_ledger_log_pages", "The pages of the write-ahead log now.", ledger.log_pages),
    ] {
        page.one(kind, name, None, help, Is::Count(value))?;
    }
    Ok(())
}

fn of_plugins(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    page.info("pintle_plugin", "A plugin, and the version of it that was loaded last.", |to| {
        let version = |plugin: &PluginStats| -> Cow<'_, str> { plugin.version.clone().into() };
        plugins.iter().try_for_each(|plugin| to.put(of(plugin).and("version", version(plugin)), Is::A))
    })?;
    page.family(
        Gauge,
        "pintle_plugin_state",
        None,
        "1 for the state that the plugin is in, 0 for the others.",
        |to| {
            for plugin in plugins {
                for state in STATES {
                    to.put(of(plugin).and("state", state), Is::Count(u64::from(plugin.state == state)))?;
                }
            }
            Ok(())
        },
    )?;
    page.family(
        Gauge,
        "pintle_plugin_generation",
        None,
        "The number of the generation that is loaded now; nothing while none is.",
        |to| {
            for plugin in plugins {
                if let Some(generation) = plugin.generation {
                    to.put(of(plugin), Is::Count(generation))?;
                }
            }
            Ok(())
        },
    )?;
    page.by_plugin(
        Counter,
        "pintle_plugin_generations",
        None,
        "Generations that were loaded.",
        plugins,
        |plugin| plugin.generations,
    )?;
    page.by_plugin(
        Gauge,
        "pintle_plugin_registrations",
        None,
        "What the plugin has registered now: subscriptions, jobs, watches, held contexts, loggers.",
        plugins,
        |plugin| plugin.registrations,
    )?;
    page.by_plugin(
        Gauge,
        "pintle_plugin_suspended",
        None,
        "1 while the plugin is disabled because it has used up a budget.",
        plugins,
        |plugin| u64::from(plugin.suspended.is_some()),
    )?;
    page.by_plugin(
        Counter,
        "pintle_plugin_suspensions",
        None,
        "How often the plugin was disabled because it had used up a budget.",
        plugins,
        |plugin| plugin.suspensions,
    )?;
    type Stored = fn(&PluginStats) -> Option<u64>;
    let stored: [(_, _, _, Stored); 6] = [
        ("pintle_plugin_storage_items", None, "Items in the storage now, for all tenants.", |plugin| {
            plugin.storage.map(|used| used.items)
        }),
        (
            "pintle_plugin_storage",
            Some(Unit::Bytes),
            "Bytes of keys and values in the storage now, for all tenants.",
            |plugin| plugin.storage.map(|used| used.bytes),
        ),
        ("pintle_plugin_files_items", None, "Files now, for all tenants.", |plugin| {
            plugin.files.map(|used| used.items)
        }),
        ("pintle_plugin_files", Some(Unit::Bytes), "Bytes in files now, for all tenants.", |plugin| {
            plugin.files.map(|used| used.bytes)
        }),
        ("pintle_plugin_databases", None, "SQL databases now, one for each tenant.", |plugin| {
            plugin.database.map(|used| used.items)
        }),
        (
            "pintle_plugin_database",
            Some(Unit::Bytes),
            "Bytes of SQL databases now, for all tenants, their logs included.",
            |plugin| plugin.database.map(|used| used.bytes),
        ),
    ];
    for (name, unit, help, value) in stored {
        page.family(Gauge, name, unit, help, |to| {
            // Where the disk fails that would tell it, there is nothing to tell.
            for (plugin, count) in plugins.iter().filter_map(|plugin| Some((plugin, value(plugin)?))) {
                to.put(of(plugin), Is::Count(count))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Calls of plugins to the host, and of the host to plugins.
fn of_calls(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    type Calls = for<'s> fn(&'s CallStats) -> Is<'s>;
    let calls: [(_, _, _, _, Calls); 4] = [
        (Counter, "pintle_plugin_calls", None, "Calls of the plugin to the host, by service.", |calls| {
            Is::Count(calls.calls)
        }),
        (
            Counter,
            "pintle_plugin_calls_failed",
            None,
            "Those of them that failed; NOT_FOUND is an answer.",
            |calls| Is::Count(calls.failed),
        ),
        (
            Counter,
            "pintle_plugin_call",
            Some(Unit::Bytes),
            "Bytes of values, payloads and messages that the calls took or gave.",
            |calls| Is::Count(calls.bytes),
        ),
        (
            Histogram,
            "pintle_plugin_call_sampled",
            Some(Unit::Seconds),
            "How long calls to the host took. A sample: one call in 64 is timed, and none of those that only look at the running call, so `_count` is not the number of calls.",
            |calls| Is::Times(&calls.times),
        ),
    ];
    for (kind, name, unit, help, value) in calls {
        page.family(kind, name, unit, help, |to| {
            for plugin in plugins {
                for (service, calls) in &plugin.calls {
                    to.put(of(plugin).and("service", *service), value(calls))?;
                }
            }
            Ok(())
        })?;
    }
    type Handlers = for<'s> fn(&'s HandlerStats) -> Option<Is<'s>>;
    let handlers: [(_, _, _, _, Handlers); 5] = [
        (
            Counter,
            "pintle_plugin_handlers",
            None,
            "Calls of the host to the plugin that have ended, by kind.",
            |handlers| Some(Is::Count(handlers.handled)),
        ),
        (Counter, "pintle_plugin_handlers_failed", None, "Those of them that failed.", |handlers| {
            Some(Is::Count(handlers.failed))
        }),
        (
            Counter,
            "pintle_plugin_handlers_slow",
            None,
            "Those that took longer than `budgets.slow_ms`, if that is set.",
            |handlers| handlers.slow.map(Is::Count),
        ),
        (
            Counter,
            "pintle_plugin_handler_busy",
            Some(Unit::Seconds),
            "How long all of them took together, by a clock whose steps of some milliseconds even out.",
            |handlers| Some(Is::Seconds(handlers.busy_ms as f64 / 1e3)),
        ),
        (
            Histogram,
            "pintle_plugin_handler_sampled",
            Some(Unit::Seconds),
            "How long calls of the host to the plugin took. A sample: one call in 64 is timed, so `_count` is not the number of calls.",
            |handlers| Some(Is::Times(&handlers.times)),
        ),
    ];
    for (kind, name, unit, help, value) in handlers {
        page.family(kind, name, unit, help, |to| {
            for plugin in plugins {
                for (kind, handlers) in &plugin.handlers {
                    if let Some(value) = value(handlers) {
                        to.put(of(plugin).and("kind", *kind), value)?;
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn of_lanes(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    page.by_plugin(
        Gauge,
        "pintle_plugin_lane_waiting",
        None,
        "What waits in the plugin's lane now.",
        plugins,
        |plugin| plugin.lane.waiting,
    )?;
    page.by_plugin(
        Gauge,
        "pintle_plugin_lane_running",
        None,
        "What runs in the plugin's lane now.",
        plugins,
        |plugin| plugin.lane.running,
    )?;
    page.by_plugin(
        Gauge,
        "pintle_plugin_lane_concurrency",
        None,
        "How many of its calls may run at once.",
        plugins,
        |plugin| u64::from(plugin.lane.concurrency),
    )?;
    page.by_plugin(
        Gauge,
        "pintle_plugin_lane_stuck",
        None,
        "1 while a call of it is past its deadline; it takes nothing until that call returns.",
        plugins,
        |plugin| u64::from(plugin.lane.stuck),
    )?;
    page.by_plugin(
        Counter,
        "pintle_plugin_lane_overruns",
        None,
        "Calls of it that went past their deadline.",
        plugins,
        |plugin| plugin.lane.times_stuck,
    )?;
    page.family(
        Counter,
        "pintle_plugin_lane_stuck",
        Some(Unit::Seconds),
        "How long it has been stuck, all times together.",
        |to| {
            plugins
                .iter()
                .try_for_each(|plugin| to.put(of(plugin), Is::Seconds(plugin.lane.stuck_ms as f64 / 1e3)))
        },
    )
}

fn of_plugins_events(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    type Events = fn(&EventStats) -> u64;
    let events: [(_, _, _, Events); 6] = [
        (Counter, "pintle_plugin_events_emitted", "Events that the plugin published.", |events| {
            events.emitted
        }),
        (
            Counter,
            "pintle_plugin_events_matched",
            "Events that were for a subscription of the plugin, once for each.",
            |events| events.matched,
        ),
        (
            Counter,
            "pintle_plugin_events_delivered",
            "Those of the matched whose handler answered OK.",
            |events| events.delivered,
        ),
        (
            Counter,
            "pintle_plugin_events_failed",
            "Those of the matched whose handler answered anything else.",
            |events| events.failed,
        ),
        (Gauge, "pintle_plugin_events_waiting", "Those of the matched that wait in a queue now.", |events| {
            events.waiting
        }),
        (Gauge, "pintle_plugin_events_running", "Those of the matched whose handler runs now.", |events| {
            events.running
        }),
    ];
    for (kind, name, help, value) in events {
        page.by_plugin(kind, name, None, help, plugins, |plugin| value(&plugin.events))?;
    }
    page.family(
        Counter,
        "pintle_plugin_events_dropped",
        None,
        "Those of the matched that reached no handler, by reason.",
        |to| {
            for plugin in plugins {
                for (reason, count) in reasons(plugin.events.dropped) {
                    to.put(of(plugin).and("reason", reason), Is::Count(count))?;
                }
            }
            Ok(())
        },
    )
}

fn of_tenants(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    type Calls = fn(&TenantCallStats) -> u64;
    let calls: [(_, _, _, Calls); 3] = [
        (
            "pintle_plugin_tenant_calls",
            None,
            "Calls of the plugin to the host on behalf of one tenant, by service.",
            |calls| calls.calls,
        ),
        (
            "pintle_plugin_tenant_calls_failed",
            None,
            "Those of them that failed; NOT_FOUND is an answer.",
            |calls| calls.failed,
        ),
        (
            "pintle_plugin_tenant_call",
            Some(Unit::Bytes),
            "Bytes of values, payloads and messages that the calls took or gave.",
            |calls| calls.bytes,
        ),
    ];
    for (name, unit, help, value) in calls {
        page.family(Counter, name, unit, help, |to| {
            for plugin in plugins {
                for tenant in &plugin.tenants {
                    for (service, calls) in &tenant.calls {
                        to.put(
                            of(plugin).on_behalf(tenant).and("service", *service),
                            Is::Count(value(calls)),
                        )?;
                    }
                }
            }
            Ok(())
        })?;
    }
    type Handlers = fn(&TenantStats) -> Is<'static>;
    let handlers: [(_, _, _, Handlers); 3] = [
        (
            "pintle_plugin_tenant_handlers",
            None,
            "Calls of the host to the plugin on behalf of one tenant that have ended.",
            |tenant| Is::Count(tenant.handled),
        ),
        ("pintle_plugin_tenant_handlers_failed", None, "Those of them that failed.", |tenant| {
            Is::Count(tenant.failed)
        }),
        (
            "pintle_plugin_tenant_handler_busy",
            Some(Unit::Seconds),
            "How long all of them took together, by a clock whose steps of some milliseconds even out.",
            |tenant| Is::Seconds(tenant.busy_ms as f64 / 1e3),
        ),
    ];
    for (name, unit, help, value) in handlers {
        page.family(Counter, name, unit, help, |to| {
            for plugin in plugins {
                for tenant in &plugin.tenants {
                    to.put(of(plugin).on_behalf(tenant), value(tenant))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Why events reached no handler, as label values.
fn reasons(dropped: DropStats) -> [(&'static str, u64); 6] {
    let DropStats { displaced, no_room, not_live, not_taken, ended, too_late } = dropped;
    [
        ("displaced", displaced),
        ("no_room", no_room),
        ("not_live", not_live),
        ("not_taken", not_taken),
        ("ended", ended),
        ("too_late", too_late),
    ]
}

fn of(plugin: &PluginStats) -> Labels<'_> {
    vec![("plugin", plugin.id.as_str().into())]
}

trait And<'a>: Sized {
    fn and(self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self;

    /// A tenant's name can be any text, so what it is told apart from is told by another label: nobody can be called
    /// like the system scope, or like all others.
    fn on_behalf(self, tenant: &'a TenantStats) -> Self {
        let (scope, name) = match tenant.tenant.as_deref() {
            Some("") => ("system", ""),
            Some(name) => ("tenant", name),
            None => ("others", ""),
        };
        self.and("scope", scope).and("tenant", name)
    }
}

impl<'a> And<'a> for Labels<'a> {
    fn and(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.push((name, value.into()));
        self
    }
}

impl Page<'_> {
    /// A family with one sample for each plugin.
    fn by_plugin(
        &mut self,
        kind: MetricType,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        plugins: &[PluginStats],
        value: impl Fn(&PluginStats) -> u64,
    ) -> fmt::Result {
        self.family(kind, name, unit, help, |to| {
            plugins.iter().try_for_each(|plugin| to.put(of(plugin), Is::Count(value(plugin))))
        })
    }
}
