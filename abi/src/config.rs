//! The table of the config service.

use crate::{PintleCtx, PintleSink, PintleStatus, PintleStr};

/// The plugin's settings: a JSON object, checked against the manifest's schema before `load`, with the
/// schema's defaults filled in. Values are addressed by JSON pointers (RFC 6901); the empty pointer is the whole.
///
/// A change is offered to the plugin by `configure` before these functions show it.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleConfig {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Reads a value as JSON text.
    ///
    /// - ctx: on whose behalf.
    /// - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
    /// - out: gets the JSON text; the caller's.
    ///
    /// Returns: OK; NOT_FOUND; INVALID_ARGUMENT (not a JSON pointer, null `write`); CANCELLED (the sink
    /// refused); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub get:
        Option<unsafe extern "C" fn(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus>,
    /// Reads a string, without quotes and escapes.
    ///
    /// - ctx: on whose behalf.
    /// - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
    /// - out: gets the text; the caller's.
    ///
    /// Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; CANCELLED; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub text:
        Option<unsafe extern "C" fn(ctx: PintleCtx, pointer: PintleStr, out: PintleSink) -> PintleStatus>,
    /// Reads an integer. A number with a zero fraction (`2.0`) is one.
    ///
    /// - ctx: on whose behalf.
    /// - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
    /// - value: gets the integer; owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; WRONG_TYPE; OUT_OF_RANGE (does not fit); INVALID_ARGUMENT; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub integer:
        Option<unsafe extern "C" fn(ctx: PintleCtx, pointer: PintleStr, value: *mut i64) -> PintleStatus>,
    /// Reads a number. Integers are converted.
    ///
    /// - ctx: on whose behalf.
    /// - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
    /// - value: gets the number; owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub number:
        Option<unsafe extern "C" fn(ctx: PintleCtx, pointer: PintleStr, value: *mut f64) -> PintleStatus>,
    /// Reads a boolean.
    ///
    /// - ctx: on whose behalf.
    /// - pointer: RFC 6901, at most 1,024 bytes; borrowed for the call.
    /// - value: gets 1 or 0; owned by the caller.
    ///
    /// Returns: OK; NOT_FOUND; WRONG_TYPE; INVALID_ARGUMENT; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub boolean:
        Option<unsafe extern "C" fn(ctx: PintleCtx, pointer: PintleStr, value: *mut u32) -> PintleStatus>,
}

const _: () = {
    assert!(size_of::<PintleConfig>() == 48);
    assert!(core::mem::offset_of!(PintleConfig, get) == 8);
    assert!(core::mem::offset_of!(PintleConfig, boolean) == 40);
};
