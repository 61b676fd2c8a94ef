//! The tenants of a host: names to numbers, as long as somebody uses them.
//!
//! Tenants come with events from outside, so their names cannot be kept for ever. A number is never used again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};

/// The most bytes that a tenant's name may have.
const LONGEST_NAME: usize = 128;

/// A tenant that is in use: its name and its number stay while this is held.
#[derive(Clone, Debug)]
pub(crate) struct Tenant(Arc<Named>);

#[derive(Debug)]
struct Named {
    number: u64,
    name: Arc<str>,
    registry: Weak<Registry>,
}

impl Tenant {
    /// The number of the system scope: no tenant.
    pub(crate) const SYSTEM: u64 = 0;

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Empty for the system scope.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.name
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut names = registry.names.write();
        names.by_number.remove(&self.number);
        // A new tenant of the same name may have taken the entry since the last holder let go.
        if names.by_name.get(&self.name).is_some_and(|held| held.strong_count() == 0) {
            names.by_name.remove(&self.name);
        }
    }
}

/// Whose data it is: a plugin's, on behalf of a tenant or in the system scope. What the services that keep something
/// know of a caller. Numbers are good for this host only; what is kept for longer goes by the names.
#[derive(Clone, Copy)]
pub(crate) struct DataScope<'a> {
    /// The plugin's number: the same for all of its versions and generations.
    pub(crate) plugin: u64,
    /// The plugin's id.
    pub(crate) id: &'a Arc<str>,
    tenant: u64,
    tenants: &'a Tenants,
}

impl<'a> DataScope<'a> {
    /// The scope of a caller, which holds the tenant of this number.
    pub(crate) fn new(plugin: u64, id: &'a Arc<str>, tenant: u64, tenants: &'a Tenants) -> Self {
        Self { plugin, id, tenant, tenants }
    }

    /// The tenant's number: the same for as long as somebody holds the tenant.
    pub(crate) fn tenant_number(&self) -> u64 {
        self.tenant
    }

    /// The tenant itself: whoever keeps something under its number holds this.
    pub(crate) fn tenant(&self) -> Result<Tenant> {
        self.tenants.numbered(self.tenant).ok_or_else(|| {
            Error::new(ErrorKind::StaleHandle, "the context is over, and nothing else keeps its tenant")
        })
    }
}

/// The tenants of one host.
pub(crate) struct Tenants {
    registry: Arc<Registry>,
    system: Tenant,
}

#[derive(Debug, Default)]
struct Registry {
    names: RwLock<Names>,
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, Weak<Named>>,
    by_number: HashMap<u64, Weak<Named>>,
}

impl Tenants {
    pub(crate) fn new() -> Self {
        let system =
            Tenant(Arc::new(Named { number: Tenant::SYSTEM, name: "".into(), registry: Weak::new() }));
        Self { registry: Arc::default(), system }
    }

    /// The tenant called `name`; empty is the system scope. The same number as long as somebody holds it.
    pub(crate) fn named(&self, name: &str) -> Tenant {
        if name.is_empty() {
            return self.system.clone();
        }
        let known = self.registry.names.read().by_name.get(name).and_then(Weak::upgrade);
        if let Some(known) = known {
            return Tenant(known);
        }
        let mut names = self.registry.names.write();
        if let Some(known) = names.by_name.get(name).and_then(Weak::upgrade) {
            return Tenant(known);
        }
        let number = self.registry.last.fetch_add(1, Relaxed) + 1;
        let named = Named { number, name: name.into(), registry: Arc::downgrade(&self.registry) };
        let named = Arc::new(named);
        names.by_name.insert(named.name.clone(), Arc::downgrade(&named));
        names.by_number.insert(number, Arc::downgrade(&named));
        drop(names);
        Tenant(named)
    }

    /// The tenant that an application names, under the rules that its events keep too.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT: longer than 128 bytes, or with control characters.
    pub(crate) fn named_by_application(&self, name: &str) -> Result<Tenant> {
        if name.len() > LONGEST_NAME {
            let len = name.len();
            let problem = format!("has {len} bytes, at most {LONGEST_NAME} are allowed");
            return Err(Error::argument("tenant", problem));
        }
        if let Some((at, c)) = name.char_indices().find(|(_, c)| c.is_control()) {
            let problem = format!("has the control character U+{:04X} at byte {at}", u32::from(c));
            return Err(Error::argument("tenant", problem));
        }
        Ok(self.named(name))
    }

    /// The tenant with this number, if somebody holds it.
    pub(crate) fn numbered(&self, number: u64) -> Option<Tenant> {
        if number == Tenant::SYSTEM {
            return Some(self.system.clone());
        }
        self.registry.names.read().by_number.get(&number)?.upgrade().map(Tenant)
    }

    /// How many are in use.
    pub(crate) fn count(&self) -> usize {
        self.registry.names.read().by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_number_while_it_is_held_and_is_forgotten_after() {
        let tenants = Tenants::new();
        let first = tenants.named("acme");
        assert_eq!(first.number(), tenants.named("acme").number());
        assert_ne!(first.number(), tenants.named("other").number());
        assert_eq!(
            tenants.numbered(first.number()).map(|found| found.name().to_string()),
            Some("acme".into())
        );
        let number = first.number();
        drop(first);
        assert_eq!(tenants.count(), 0);
        assert!(tenants.numbered(number).is_none());
        assert_ne!(tenants.named("acme").number(), number);
    }

    #[test]
    fn the_system_scope_is_no_tenant_with_an_empty_name() {
        let tenants = Tenants::new();
        assert_eq!(tenants.named("").number(), Tenant::SYSTEM);
        assert_eq!(tenants.count(), 0);
    }

    #[test]
    fn tenants_come_and_go_under_many_threads() {
        let tenants = Tenants::new();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for number in 0..20_000 {
                        let tenant = tenants.named(if number % 3 == 0 { "a" } else { "b" });
                        assert!(tenants.numbered(tenant.number()).is_some());
                    }
                });
            }
        });
        assert_eq!(tenants.count(), 0);
    }
}
