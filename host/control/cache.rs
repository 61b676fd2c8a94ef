//! The methods about the cache: what is in it, and away with it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, methods::Answer};
use crate::{
    Host,
    error::Result,
    host::cache::{CacheItem, CacheKeys, CacheValue, PluginCache},
    stats::{PluginStats, Stats},
};

/// Whose cache: a plugin's, on behalf of a tenant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    plugin: String,
    #[serde(default)]
    tenant: String,
    ns: String,
    #[serde(default)]
    prefix: String,
    cursor: Option<String>,
    #[serde(default)]
    limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemOf {
    plugin: String,
    #[serde(default)]
    tenant: String,
    ns: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invalidation {
    plugin: String,
    #[serde(default)]
    tenant: String,
    ns: Option<String>,
    /// None: all of the namespace.
    pattern: Option<String>,
    tag: Option<String>,
}

/// `cache.stats`.
pub(super) fn stats(host: &Host) -> Answer {
    let Stats { cache, plugins, .. } = host.stats();
    let shown: Vec<Value> = plugins.iter().filter(|plugin| uses_cache(plugin)).map(of_plugin).collect();
    Ok(json!({
        "backend": cache.backend,
        "down": cache.down,
        "capacity": cache.capacity,
        "used": cache.used,
        "guaranteed": cache.guaranteed,
        "reported": cache.reported,
        "plugins": shown,
    }))
}

/// Those that have only left something in the storage do not.
fn uses_cache(PluginStats { cache, generations, .. }: &PluginStats) -> bool {
    *generations > 0 || cache.items > 0 || cache.evicted > 0
}

fn of_plugin(PluginStats { id, cache, tenants, .. }: &PluginStats) -> Value {
    let tenants = tenants.iter().filter(|tenant| tenant.cache_hits + tenant.cache_misses > 0);
    let tenants: Vec<Value> = tenants
        .map(|tenant| {
            json!({ "tenant": tenant.tenant, "hits": tenant.cache_hits, "misses": tenant.cache_misses })
        })
        .collect();
    json!({
        "id": id,
        "items": cache.items,
        "bytes": cache.bytes,
        "guaranteed": cache.guaranteed,
        "evicted": cache.evicted,
        "hits": cache.hits,
        "misses": cache.misses,
        "tenants": tenants,
    })
}

/// `cache.list`.
pub(super) fn list(host: &Host, asked: Listing) -> Answer {
    let Listing { plugin, tenant, ns, prefix, cursor, limit } = asked;
    let cache = host.cache(&plugin, &tenant)?;
    let CacheKeys { keys, next } = cache.keys(&ns, &prefix, cursor.as_deref(), limit)?;
    Ok(json!({ "keys": keys, "next": next }))
}

/// `cache.get`.
pub(super) fn get(host: &Host, ItemOf { plugin, tenant, ns, key }: ItemOf) -> Answer {
    let found = host.cache(&plugin, &tenant)?.get(&ns, &key)?;
    Ok(json!({ "item": found.as_ref().map(item) }))
}

fn item(CacheItem { value, stale, version, fresh, left }: &CacheItem) -> Value {
    let ms =
        |lasts: &Option<Duration>| lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
    let mut shown = json!({ "stale": stale, "version": version, "ttl_ms": ms(fresh), "left_ms": ms(left) });
    match value {
        CacheValue::Integer(integer) => {
            shown["kind"] = "integer".into();
            shown["value"] = integer.to_string().into();
        }
        CacheValue::Absent => shown["kind"] = "absent".into(),
        CacheValue::Bytes(bytes) => {
            shown["kind"] = "bytes".into();
            // Bytes that are no text travel as in CloudEvents.
            match str::from_utf8(bytes) {
                Ok(text) => shown["value"] = text.into(),
                Err(_) => shown["value_base64"] = data_encoding::BASE64.encode(bytes).into(),
            }
        }
    }
    shown
}

/// `cache.invalidate`.
pub(super) fn invalidate(host: &Host, asked: Invalidation) -> Answer {
    let Invalidation { plugin, tenant, ns, pattern, tag } = asked;
    let remove: &dyn Fn(&PluginCache) -> Result<u64> = match (&ns, &pattern, &tag) {
        (None, None, Some(tag)) => &|cache| cache.invalidate_tag(tag),
        (Some(ns), Some(pattern), None) => &|cache| cache.invalidate(ns, pattern),
        (Some(ns), None, None) => &|cache| cache.clear(ns),
        _ => {
            let problem = "give `ns` with a `pattern`, or `ns` alone for all of it, or a `tag` alone";
            return Err(Refusal::Params(problem.into()));
        }
    };
    Ok(json!({ "count": remove(&host.cache(&plugin, &tenant)?)? }))
}
