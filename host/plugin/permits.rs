//! What a plugin may do: what its manifest asks for, narrowed by the operator.

use super::manifest::Manifest;
use crate::{
    identity::{Method, Permits},
    services::{
        events::Pattern,
        storage::{Quota, Quotas},
    },
    settings::{PluginSettings, QuotaSettings},
};

/// What the manifest asks for, narrowed by the settings.
pub(super) fn permits(manifest: &Manifest, settings: &PluginSettings) -> Permits {
    let metered = settings.quota.calls_per_second.or(settings.quota.tenant_calls_per_second).is_some();
    let settings = &settings.grants;
    let services = &manifest.services;
    let listed = |list: &Option<Vec<String>>, name: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|one| one == name))
    };
    let mut methods = Vec::new();
    let mut grant = |service: &str, asked: Option<&Option<Vec<String>>>| {
        if let Some(asked) = asked
            && listed(&settings.services, service)
        {
            methods.extend(
                Method::of_service(service)
                    .filter(|(_, name)| {
                        listed(asked, name) && listed(&settings.methods, &format!("{service}.{name}"))
                    })
                    .map(|(method, _)| method),
            );
        }
    };
    grant("events", services.events.as_ref().map(|asked| &asked.methods));
    grant("cache", services.cache.as_ref().map(|asked| &asked.methods));
    grant("storage", services.storage.as_ref().map(|asked| &asked.methods));
    grant("database", services.database.as_ref().map(|asked| &asked.methods));
    grant("files", services.files.as_ref().map(|asked| &asked.methods));
    grant("scheduler", services.scheduler.as_ref().map(|asked| &asked.methods));
    grant("idempotency", services.idempotency.as_ref().map(|asked| &asked.methods));
    let events = services.events.as_ref();
    Permits {
        methods,
        subscribe: narrowed(events.map_or(&[], |asked| &asked.subscribe), settings.subscribe.as_deref()),
        publish: narrowed(events.map_or(&[], |asked| &asked.publish), settings.publish.as_deref()),
        call: services
            .call
            .iter()
            .filter(|_| listed(&settings.services, "call"))
            .filter(|service| listed(&settings.call, service))
            .cloned()
            .collect(),
        namespaces: both(
            services.cache.as_ref().and_then(|asked| asked.namespaces.as_deref()),
            settings.namespaces.as_deref(),
        ),
        metered,
    }
}

/// How much it may keep in the storage: what the settings allow, and no more than the manifest expects.
pub(super) fn quotas(manifest: &Manifest, settings: &PluginSettings) -> Quotas {
    let QuotaSettings { storage_items, storage_bytes, tenant_storage_items, tenant_storage_bytes, .. } =
        settings.quota;
    let narrowed =
        |allowed: Option<u64>, limit| allowed.into_iter().chain(manifest.limits.get(limit).copied()).min();
    Quotas {
        plugin: Quota {
            items: narrowed(storage_items, "storage_items"),
            bytes: narrowed(storage_bytes, "storage_bytes"),
        },
        tenant: Quota { items: tenant_storage_items, bytes: tenant_storage_bytes },
    }
}

/// How many bytes its database may have for each tenant: what the settings allow, and no more than the manifest expects.
pub(super) fn database_bytes(manifest: &Manifest, settings: &PluginSettings) -> Option<u64> {
    settings.quota.database_bytes.into_iter().chain(manifest.limits.get("database_bytes").copied()).min()
}

/// What is in both lists; a list that is not there is one of everything.
fn both(asked: Option<&[String]>, allowed: Option<&[String]>) -> Option<Vec<String>> {
    match (asked, allowed) {
        (Some(asked), Some(allowed)) => {
            Some(asked.iter().filter(|name| allowed.contains(name)).cloned().collect())
        }
        (one, other) => one.or(other).map(<[String]>::to_vec),
    }
}

/// The patterns that lie within both what is asked for and what is allowed.
fn narrowed(asked: &[String], allowed: Option<&[String]>) -> Vec<String> {
    let Some(allowed) = allowed else { return asked.to_vec() };
    let within = |inner: &str, outer: &str| match (Pattern::parse(inner), Pattern::parse(outer)) {
        (Ok(inner), Ok(outer)) => inner.within(&outer),
        _ => false,
    };
    let mut both = Vec::new();
    for asked in asked {
        for allowed in allowed {
            if within(asked, allowed) {
                both.push(asked.clone());
            } else if within(allowed, asked) {
                both.push(allowed.clone());
            }
        }
    }
    both
}
