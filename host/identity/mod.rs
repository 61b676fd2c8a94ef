//! Who calls: from the opaque context of the contract to plugin, generation, tenant and grants.
//!
//! A context is 64 bits that a plugin carries about. [`table`] turns it into a [`Scope`] without a lock, or into
//! nothing if its call has ended, its generation is gone, or it never was. A scope is copied out: what a call
//! needs stays valid although the context may end meanwhile.
//!
//! Knows only `error`.

mod accounts;
mod generation;
mod grants;
#[allow(unsafe_code, reason = "the table hands out addresses that it was given")]
mod table;
mod tenants;

pub(crate) use accounts::Account;
pub(crate) use generation::{Phase, Seat};
pub(crate) use grants::{Grants, Method, Permits, Service};
pub(crate) use table::{RecordKey, Scope, Slot, expire, look_up, next_handle};
pub(crate) use tenants::{DataScope, Tenant, Tenants};
