//! The scopes that the tests of storage, files and idempotency write in: some plugins, each in some tenants. The engines
//! themselves get theirs from `identity`.

use std::sync::Arc;

use crate::identity::{DataScope, Tenant, Tenants};

/// The scopes that a test uses. Their tenants are held as long as it lives.
pub(super) struct Scopes {
    tenants: Tenants,
    /// Plugin and tenant of each, in the order in which they were named.
    pub(super) held: Vec<(Arc<str>, Tenant)>,
}

impl Scopes {
    /// Of (plugin, tenant) each.
    pub(super) fn of(names: &[(&str, &str)]) -> Self {
        let tenants = Tenants::new();
        let held = names.iter().map(|(plugin, tenant)| ((*plugin).into(), tenants.named(tenant))).collect();
        Self { tenants, held }
    }

    /// The one that was named so many places behind the first. Scopes of one plugin have its number in common.
    pub(super) fn at(&self, at: usize) -> DataScope<'_> {
        let (plugin, tenant) = &self.held[at];
        let number = self.held.iter().position(|(other, _)| other == plugin).expect("it is there itself");
        DataScope::new(number as u64, plugin, tenant.number(), &self.tenants)
    }
}
