//! Status codes. Numbered once, never reused; what is unknown counts as failure on both sides.

/// The outcome of a call: 0 is OK, everything else a failure. A status other than OK means that nothing was
/// changed, unless the function's page says otherwise.
pub type PintleStatus = i32;

/// It worked.
pub const PINTLE_OK: PintleStatus = 0;
/// What was asked for is not there.
pub const PINTLE_NOT_FOUND: PintleStatus = 1;
/// An argument is malformed; `last_error` says which and why.
pub const PINTLE_INVALID_ARGUMENT: PintleStatus = 2;
/// The manifest did not ask for it, or the operator does not allow it; `last_error` names the missing line.
pub const PINTLE_DENIED: PintleStatus = 3;
/// The context or handle is over, belongs to another, or never was.
pub const PINTLE_STALE_HANDLE: PintleStatus = 4;
/// The buffer is too small; the needed size was written, nothing else.
pub const PINTLE_BUFFER_TOO_SMALL: PintleStatus = 5;
/// Somebody else was first: a name is taken, a version has moved on, a setting is fixed elsewhere.
pub const PINTLE_CONFLICT: PintleStatus = 6;
/// The value exists but is of another type than asked for.
pub const PINTLE_WRONG_TYPE: PintleStatus = 7;
/// A number is outside of what the function takes, or the result would overflow.
pub const PINTLE_OUT_OF_RANGE: PintleStatus = 8;
/// A value is larger than the limit; `last_error` names the limit.
pub const PINTLE_TOO_LARGE: PintleStatus = 9;
/// The plugin or its tenant has used up what the operator allows.
pub const PINTLE_QUOTA: PintleStatus = 10;
/// The deadline of the wait passed; the work may still be done by the other side.
pub const PINTLE_TIMEOUT: PintleStatus = 11;
/// The caller's sink or the caller itself gave up.
pub const PINTLE_CANCELLED: PintleStatus = 12;
/// The host has no room for more of this now; try again later.
pub const PINTLE_BUSY: PintleStatus = 13;
/// The other side cannot answer now: unloaded, disabled, stuck, or this phase of the life does not allow it.
pub const PINTLE_UNAVAILABLE: PintleStatus = 14;
/// This host does not know this method, flag or field.
pub const PINTLE_UNSUPPORTED: PintleStatus = 15;
/// The plugin or the host is stopping: no new registrations and no waits.
pub const PINTLE_STOPPING: PintleStatus = 16;
/// The wait could only be ended by the waiter itself, or a sink called the host.
pub const PINTLE_REENTRANT: PintleStatus = 17;
/// It failed, and no other status says how. From the host itself: please report it.
pub const PINTLE_INTERNAL: PintleStatus = 18;
/// Code panicked or threw; it was caught at the boundary.
pub const PINTLE_PANIC: PintleStatus = 19;
