//! What a plugin may do: what its manifest asks for, narrowed by the operator.

use super::manifest::Manifest;
use crate::{
    identity::{Method, Permits},
    services::events::Pattern,
    settings::GrantSettings,
};

/// What the manifest asks for, narrowed by the settings.
pub(super) fn permits(manifest: &Manifest, settings: &GrantSettings) -> Permits {
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
    grant("scheduler", services.scheduler.as_ref().map(|asked| &asked.methods));
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
