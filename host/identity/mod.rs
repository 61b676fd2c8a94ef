//! Who calls: from the opaque context of the contract to plugin, generation, tenant and grants.
