//! Reading the host's tables: how far each reaches is asked before any of its members is touched, so that a
//! plugin on an older host gets an error and not whatever lies behind the table.

use std::ptr::NonNull;

use pintle_abi::{PintleCtx, PintleHost, PintleStr};

/// How far the table of every host reaches that speaks ABI 1.0. A number, because `PintleHost` will grow.
pub(crate) const SMALLEST_HOST: u32 = 144;

/// What the host handed over to `load`.
#[derive(Clone, Copy)]
pub(crate) struct Host(NonNull<PintleHost>);

// SAFETY: the table is immutable and valid as long as the plugin's library is mapped, and its functions may be called
// from any thread: the contract of `pintle_host`, kept by the host.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// None for null.
    ///
    /// # Safety
    /// A pointer that is not null leads to a table that says its size truthfully and stays as long as this library.
    pub(crate) unsafe fn adopt(host: *const PintleHost) -> Option<Self> {
        NonNull::new(host.cast_mut()).map(Self)
    }

    pub(crate) fn size(self) -> u32 {
        // SAFETY: `adopt` was promised a table, and every table begins with its size.
        unsafe { (&raw const (*self.0.as_ptr()).size).read() }
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *const PintleHost {
        self.0.as_ptr()
    }

    /// Says why the function that runs under `ctx` is about to fail. A host that does not take it loses the text only.
    pub(crate) fn set_error(self, ctx: PintleCtx, message: &str) {
        if let Some(set_error) = member!(self.as_ptr(), PintleHost, set_error) {
            // SAFETY: `message` is borrowed for the call, as the function asks.
            unsafe { set_error(ctx, PintleStr::new(message)) };
        }
    }
}

/// Does the table reach as far as `end` bytes?
///
/// # Safety
/// `table` is null or leads to a table that begins with its size.
#[inline]
pub(crate) unsafe fn reaches(table: *const u32, end: usize) -> bool {
    // SAFETY: not null, so it leads to a table, whose first member is its size: the caller's promise.
    !table.is_null() && unsafe { table.read() } as usize >= end
}

/// One function of a table; `None` if the table is null, ends before it or has null there.
macro_rules! member {
    ($table:expr, $type:ident, $member:ident) => {{
        let table: *const $type = $table;
        let end = ::std::mem::offset_of!($type, $member) + ::std::mem::size_of::<fn()>();
        // SAFETY: the host's tables begin with their size (the contract), and the member is read only where the table
        // reaches behind it; null and a null function are `None`.
        unsafe {
            if $crate::table::reaches(table.cast(), end) { (&raw const (*table).$member).read() } else { None }
        }
    }};
}

/// One function that hangs on the host or on one of its services, or the error that this host has none.
macro_rules! function {
    ($host:expr, $member:ident) => {
        $crate::table::member!($host.as_ptr(), PintleHost, $member)
            .ok_or_else(|| $crate::table::missing(stringify!($member)))
    };
    ($host:expr, $service:ident: $type:ident, $member:ident) => {{
        const {
            let end =
                ::std::mem::offset_of!(::pintle_abi::PintleHost, $service) + ::std::mem::size_of::<usize>();
            assert!(end <= $crate::table::SMALLEST_HOST as usize, "a later member needs a check of its own");
        }
        let host: *const ::pintle_abi::PintleHost = $host.as_ptr();
        // SAFETY: `load` refuses hosts that are smaller than that, before there is a context.
        let table: *const $type = unsafe { (&raw const (*host).$service).read() };
        $crate::table::member!(table, $type, $member)
            .ok_or_else(|| $crate::table::missing(concat!(stringify!($service), ".", stringify!($member))))
    }};
}

pub(crate) use {function, member};

/// The error of a function that this host does not have.
#[cold]
pub(crate) fn missing(function: &'static str) -> crate::Error {
    let mut text = format!("this host does not have `{function}`: update the host, or do without");
    if cfg!(all(feature = "test", not(feature = "test-sql"))) && function.starts_with("database.") {
        text += "; the host for tests has it with the feature `test-sql` of pintle-plugin";
    }
    crate::Error::new(crate::Status::Unsupported, text)
}
