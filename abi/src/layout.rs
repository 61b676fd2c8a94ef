//! The contract's types as data (feature `layout-check`): what a Rust plugin exports of the contract that it was built
//! against, and what the host compares with its own. No part of the C header.
//!
//! Every struct that begins with `size` is of abi_stable's kind `Prefix`, which may grow at the end. Its prefix, the part
//! that may never change in number, ends with `size` itself: that is the one member that every version of every table
//! has had and will have, from the first draft on. With a longer prefix an older and shorter contract would be refused
//! for what it merely lacks. Everything behind `size` is compared as far as both sides have it. `PintleStr`, `PintleBytes`,
//! `PintleSink` and the handlers are frozen and must be equal.
//!
//! abi_stable gives such a struct a layout only behind a `…_Ref`. Here the structs themselves carry it (`layout_by_size`
//! below), so that the tables can keep plain pointers, also in the parameters of their functions.

use core::ffi::CStr;

use abi_stable::{StableAbi, std_types::RStr, type_layout::TypeLayout};

use crate::*;

/// A description of a type, as abi_stable makes it.
pub type Layout = TypeLayout;

/// What is exported as [`Marker::LAYOUT_SYMBOL`]: gives [`contract`].
pub type Export = extern "C" fn() -> &'static Layout;

/// Who made the description: plain data, looked at before anything of the description itself, which has a meaning only
/// to the very same version of abi_stable.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// `sizeof` of this. It grows at the end only.
    pub size: u32,
    /// The size of abi_stable's `TypeLayout`, in case a compiler lays it out differently.
    pub layout_size: u32,
    /// The version of abi_stable as text, filled up with zeros.
    pub abi_stable: [u8; 24],
}

impl Marker {
    /// What a plugin exports its marker as.
    pub const SYMBOL: &CStr = c"pintle_layout_marker_v1";
    /// What it exports the function as that gives the description. Of the type that the marker vouches for.
    pub const LAYOUT_SYMBOL: &CStr = c"pintle_layout_v1";
    /// Of this build.
    pub const OWN: Self = Self {
        size: size_of::<Self>() as u32,
        layout_size: size_of::<Layout>() as u32,
        abi_stable: padded(abi_stable::ABI_STABLE_VERSION.version),
    };
}

/// Everything that plugin and host show to each other is reached from these two: through pointers, functions and their
/// parameters. It never changes, so it needs no size.
#[repr(C)]
#[derive(StableAbi)]
struct Contract {
    plugin: *const PintlePlugin,
    host: *const PintleHost,
}

/// The layout of the whole contract.
#[must_use]
pub fn contract() -> &'static Layout {
    Contract::LAYOUT
}

/// Gives structs that derive `StableAbi` of the kind `Prefix`, and that are read by their `size`, their own layout. Here
/// for the contract, exported for tests of contracts that were never released.
#[doc(hidden)]
#[macro_export]
macro_rules! layout_by_size {
    ($($grows:ident => $prefix:ident),+ $(,)?) => { $(
        // SAFETY: its own type stands for itself, and it has no lifetimes.
        unsafe impl ::abi_stable::abi_stability::GetStaticEquivalent_ for $grows {
            type StaticEquivalent = Self;
        }

        // SAFETY: the layout is the derived one of this very struct. That it may have grown on the other side is sound
        // because nobody reads behind the `size` that it begins with: a rule of the contract, kept by host and SDK.
        unsafe impl ::abi_stable::StableAbi for $grows {
            type IsNonZeroType = ::abi_stable::reexports::False;
            const LAYOUT: &'static $crate::layout::Layout =
                <$prefix as ::abi_stable::abi_stability::PrefixStableAbi>::LAYOUT;
        }
    )+ };
}

layout_by_size! {
    PintleRequest => PintleRequest_Prefix,
    PintlePlugin => PintlePlugin_Prefix,
    PintleScopeInfo => PintleScopeInfo_Prefix,
    PintleHost => PintleHost_Prefix,
    PintleField => PintleField_Prefix,
    PintleLog => PintleLog_Prefix,
    PintleConfig => PintleConfig_Prefix,
    PintleCacheInfo => PintleCacheInfo_Prefix,
    PintleCacheOptions => PintleCacheOptions_Prefix,
    PintleCacheEntry => PintleCacheEntry_Prefix,
    PintleCacheItem => PintleCacheItem_Prefix,
    PintleCacheFetch => PintleCacheFetch_Prefix,
    PintleCacheStats => PintleCacheStats_Prefix,
    PintleCache => PintleCache_Prefix,
    PintleStorageInfo => PintleStorageInfo_Prefix,
    PintleStorageOptions => PintleStorageOptions_Prefix,
    PintleStorageJob => PintleStorageJob_Prefix,
    PintleStorageStep => PintleStorageStep_Prefix,
    PintleStorageChange => PintleStorageChange_Prefix,
    PintleWatchOptions => PintleWatchOptions_Prefix,
    PintleStorageStats => PintleStorageStats_Prefix,
    PintleStorage => PintleStorage_Prefix,
    PintleEvent => PintleEvent_Prefix,
    PintleEmitOptions => PintleEmitOptions_Prefix,
    PintleSubscribeOptions => PintleSubscribeOptions_Prefix,
    PintleHandlerResult => PintleHandlerResult_Prefix,
    PintleEvents => PintleEvents_Prefix,
    PintleRun => PintleRun_Prefix,
    PintleJobOptions => PintleJobOptions_Prefix,
    PintleJob => PintleJob_Prefix,
    PintleRunResult => PintleRunResult_Prefix,
    PintleScheduler => PintleScheduler_Prefix,
    PintleSqlOptions => PintleSqlOptions_Prefix,
    PintleSqlInfo => PintleSqlInfo_Prefix,
    PintleTransactionOptions => PintleTransactionOptions_Prefix,
    PintleMigration => PintleMigration_Prefix,
    PintleMigrateOptions => PintleMigrateOptions_Prefix,
    PintleMigrateInfo => PintleMigrateInfo_Prefix,
    PintleSqlColumn => PintleSqlColumn_Prefix,
    PintleDatabaseStats => PintleDatabaseStats_Prefix,
    PintleDatabase => PintleDatabase_Prefix,
    PintleIdempotencyInfo => PintleIdempotencyInfo_Prefix,
    PintleIdempotencyOptions => PintleIdempotencyOptions_Prefix,
    PintleIdempotency => PintleIdempotency_Prefix,
    PintleFileInfo => PintleFileInfo_Prefix,
    PintleFileOptions => PintleFileOptions_Prefix,
    PintleFiles => PintleFiles_Prefix,
}

const fn padded<const N: usize>(text: RStr<'static>) -> [u8; N] {
    // SAFETY: pointer and length of a text that is static. (`as_str` is not const.)
    let text = unsafe { core::slice::from_raw_parts(text.as_ptr(), text.len()) };
    let mut padded = [0; N];
    let mut at = 0;
    while at < text.len() {
        padded[at] = text[at];
        at += 1;
    }
    padded
}

const _: () = assert!(size_of::<Marker>() == 32 && align_of::<Marker>() == 4);
