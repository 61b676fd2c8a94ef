//! The families of the cache: as a whole, by plugin, and by tenant.

use std::fmt;

use prometheus_client::{
    metrics::MetricType::{Counter, Gauge},
    registry::Unit,
};

use super::{And as _, of};
use crate::{
    metrics::page::{Is, Page},
    stats::{PluginStats, Stats, TenantStats},
};

pub(super) fn of_cache(page: &mut Page<'_>, stats: &Stats) -> fmt::Result {
    let cache = &stats.cache;
    page.info("pintle_cache", "The cache, and what is behind its memory.", |to| {
        to.put(vec![("backend", cache.backend.into())], Is::A)
    })?;
    for (name, unit, help, value) in [
        (
            "pintle_cache_backend_up",
            None,
            "1 while the back end works, 0 while it is down; 1 where nothing is behind the memory.",
            u64::from(cache.down.is_none()),
        ),
        (
            "pintle_cache_capacity",
            Some(Unit::Bytes),
            "Bytes that the items of all plugins together may take; with a back end, there.",
            cache.capacity,
        ),
        ("pintle_cache_used", Some(Unit::Bytes), "Bytes that they take now.", cache.used),
        (
            "pintle_cache_guaranteed",
            Some(Unit::Bytes),
            "Bytes below which no plugin is pushed by others.",
            cache.guaranteed,
        ),
    ] {
        page.one(Gauge, name, unit, help, Is::Count(value))?;
    }
    Ok(())
}

pub(super) fn of_plugins(page: &mut Page<'_>, plugins: &[PluginStats]) -> fmt::Result {
    type Of = fn(&PluginStats) -> u64;
    let families: [(_, _, _, _, Of); 5] = [
        (Gauge, "pintle_plugin_cache_items", None, "Items in the cache now, for all tenants.", |plugin| {
            plugin.cache.items
        }),
        (
            Gauge,
            "pintle_plugin_cache",
            Some(Unit::Bytes),
            "Bytes in the cache now, for all tenants, with what it takes to keep them.",
            |plugin| plugin.cache.bytes,
        ),
        (
            Counter,
            "pintle_plugin_cache_evicted",
            None,
            "Items in the cache that have made room for others.",
            |plugin| plugin.cache.evicted,
        ),
        (
            Counter,
            "pintle_plugin_cache_hits",
            None,
            "Reads of the cache that found an item, or a note that there is nothing.",
            |plugin| plugin.cache.hits,
        ),
        (Counter, "pintle_plugin_cache_misses", None, "Reads of the cache that found none.", |plugin| {
            plugin.cache.misses
        }),
    ];
    for (kind, name, unit, help, value) in families {
        page.by_plugin(kind, name, unit, help, plugins, value)?;
    }
    type OnBehalf = fn(&TenantStats) -> u64;
    let families: [(_, _, OnBehalf); 2] = [
        (
            "pintle_plugin_tenant_cache_hits",
            "Reads of the cache on behalf of one tenant that found an item, or a note that there is nothing.",
            |tenant| tenant.cache_hits,
        ),
        (
            "pintle_plugin_tenant_cache_misses",
            "Reads of the cache on behalf of one tenant that found none.",
            |tenant| tenant.cache_misses,
        ),
    ];
    for (name, help, value) in families {
        page.family(Counter, name, None, help, |to| {
            for plugin in plugins {
                for tenant in &plugin.tenants {
                    to.put(of(plugin).on_behalf(tenant), Is::Count(value(tenant)))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
