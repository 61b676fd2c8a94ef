//! The table of the log service.

use crate::{PintleCtx, PintleLogger, PintleStatus, PintleStr};

/// Finest detail.
pub const PINTLE_LOG_TRACE: u32 = 0;
/// For whoever debugs.
pub const PINTLE_LOG_DEBUG: u32 = 1;
/// What an operator wants to know of a normal day. The default level.
pub const PINTLE_LOG_INFO: u32 = 2;
/// Something is not as it should be, the work goes on.
pub const PINTLE_LOG_WARN: u32 = 3;
/// Something failed.
pub const PINTLE_LOG_ERROR: u32 = 4;
/// The plugin cannot go on. It is logged, nothing exits.
pub const PINTLE_LOG_FATAL: u32 = 5;

/// The field's value is `text`.
pub const PINTLE_FIELD_TEXT: u32 = 0;
/// The field's value is `integer`.
pub const PINTLE_FIELD_INTEGER: u32 = 1;
/// The field's value is `integer`, read as an unsigned number of the same bits.
pub const PINTLE_FIELD_UNSIGNED: u32 = 2;
/// The field's value is `number`. Infinities and NaN are written as text.
pub const PINTLE_FIELD_NUMBER: u32 = 3;
/// The field's value is `integer`: 0 is false, everything else true.
pub const PINTLE_FIELD_BOOLEAN: u32 = 4;

/// A named, typed value of a log record. In an array every `size` is equal and is the stride.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleField {
    /// `sizeof(pintle_field)` of whoever filled it in.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// One of `PINTLE_FIELD_…`: which of the members counts.
    pub kind: u32,
    /// The name, 1 to 128 bytes. Names that the host writes itself (time, level, message, plugin, …) get a
    /// trailing `_`.
    pub name: PintleStr,
    /// The value, if `kind` is TEXT. Bad UTF-8 is replaced, control characters are escaped.
    pub text: PintleStr,
    /// The value, if `kind` is INTEGER, UNSIGNED or BOOLEAN.
    pub integer: i64,
    /// The value, if `kind` is NUMBER.
    pub number: f64,
}

/// Structured log records. The host adds time, plugin, version, tenant and the running event or job.
///
/// No function of this table ever waits: where the buffer is full the record is dropped and counted, and a
/// later record tells how many were lost.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleLog {
    /// The size of the host's table.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// Must be ignored.
    pub reserved: u32,
    /// Writes a record, if `level` is enabled for the plugin.
    ///
    /// - ctx: on whose behalf.
    /// - level: one of `PINTLE_LOG_…`.
    /// - message: what happened; borrowed for the call. Longer than 64 KiB is cut and marked. Bad UTF-8 is
    ///   replaced, control characters are escaped: a record is always one line.
    /// - fields: an array of `count` fields, borrowed for the call; null only if `count` is 0.
    /// - count: at most 64.
    ///
    /// Returns: OK, also when the level is disabled or the record was dropped; INVALID_ARGUMENT (level, null
    /// pointer, a field's size, kind or name); TOO_LARGE (count); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub write: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            level: u32,
            message: PintleStr,
            fields: *const PintleField,
            count: usize,
        ) -> PintleStatus,
    >,
    /// Tells whether a record of `level` would be written, for callers whose fields are dear to make.
    ///
    /// - ctx: on whose behalf.
    /// - level: one of `PINTLE_LOG_…`.
    /// - out: gets 1 or 0; owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (level, null `out`); STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub enabled: Option<unsafe extern "C" fn(ctx: PintleCtx, level: u32, out: *mut u32) -> PintleStatus>,
    /// Makes a logger whose records all carry the given fields. It lives until `logger_free` or the end of the
    /// generation.
    ///
    /// - ctx: on whose behalf; the logger belongs to its plugin, not to its tenant.
    /// - fields: an array of `count` fields, copied; null only if `count` is 0.
    /// - count: at most 64.
    /// - logger: gets the handle; owned by the caller.
    ///
    /// Returns: OK; INVALID_ARGUMENT (null pointer, a field); TOO_LARGE (count); QUOTA (1,024 loggers a
    /// plugin); STOPPING; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub logger_new: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            fields: *const PintleField,
            count: usize,
            logger: *mut PintleLogger,
        ) -> PintleStatus,
    >,
    /// Writes a record that starts with the logger's fields.
    ///
    /// - ctx: on whose behalf.
    /// - logger: from `logger_new` of the same plugin.
    /// - level: one of `PINTLE_LOG_…`.
    /// - message: as in `write`.
    /// - fields: as in `write`; they follow the logger's own.
    /// - count: at most 64.
    ///
    /// Returns: as `write`; STALE_HANDLE also for a logger that is over or another plugin's.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub logger_write: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            logger: PintleLogger,
            level: u32,
            message: PintleStr,
            fields: *const PintleField,
            count: usize,
        ) -> PintleStatus,
    >,
    /// Ends a logger. Needed only for loggers that are made again and again; the generation's end does it too.
    ///
    /// - ctx: any live context of the plugin.
    /// - logger: from `logger_new` of the same plugin.
    ///
    /// Returns: OK; STALE_HANDLE.
    /// Thread: any.
    /// Blocks: never.
    /// Since: 1.0.
    pub logger_free: Option<unsafe extern "C" fn(ctx: PintleCtx, logger: PintleLogger) -> PintleStatus>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleField>() == 56);
    assert!(offset_of!(PintleField, name) == 8);
    assert!(offset_of!(PintleField, text) == 24);
    assert!(offset_of!(PintleField, integer) == 40);
    assert!(offset_of!(PintleField, number) == 48);
    assert!(size_of::<PintleLog>() == 48);
    assert!(offset_of!(PintleLog, write) == 8);
    assert!(offset_of!(PintleLog, logger_free) == 40);
};
