//! Being told of changes.

use std::{ffi::c_void, fmt, marker::PhantomData, ptr, time::SystemTime};

use pintle_abi::{
    PINTLE_CHANGE_CLEARED, PINTLE_CHANGE_EXPIRED, PINTLE_CHANGE_REMOVED, PINTLE_CHANGE_SET,
    PINTLE_INVALID_ARGUMENT, PINTLE_WATCH_AFTER, PintleCtx, PintleRegistration, PintleSink, PintleStatus,
    PintleStorage, PintleStorageChange, PintleStr, PintleWatchHandler, PintleWatchOptions,
};

use super::Storage;
use crate::{Context, Result, events::at, registration::Registered, table::function, wire};

impl Storage<'_> {
    /// Calls `handler` after each change of an item whose key begins with `prefix` (the empty one: of any item), from now on,
    /// in the scope of this context. It is told the key and not the value: [`get`](Storage::get) reads the newest. A key
    /// that changes again before the handler was told may be told once, with the later version.
    ///
    /// An error or a panic of the handler is counted and logged, and the next change comes all the same.
    ///
    /// ```
    /// # use pintle_plugin::{ChangeKind, Context, Result};
    /// fn follow(cx: &Context) -> Result<()> {
    ///     cx.storage().watch("berths/", |cx, change| {
    ///         match change.kind() {
    ///             ChangeKind::Set => cx.log().info("taken", &[("berth", change.key().into())]),
    ///             ChangeKind::Removed | ChangeKind::Expired => cx.log().info("free", &[("berth", change.key().into())]),
    ///             _ => cx.log().info("all are free", &[]),
    ///         }
    ///         Ok(())
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument) (the prefix), [`Quota`](crate::Status::Quota),
    /// [`Stopping`](crate::Status::Stopping); those of [every function](Storage). The handler is dropped then.
    pub fn watch<F>(&self, prefix: &str, handler: F) -> Result<Watch>
    where
        F: Fn(&Context, &Change<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.register(prefix, None, handler)
    }

    /// [`watch`](Storage::watch) that begins with what has changed after a version; 0: with every item that is there. Who
    /// keeps the last version that it was told, and begins there the next time, misses nothing, also across restarts; the
    /// same change may be told again. Removals are remembered for about 24 hours.
    ///
    /// ```
    /// # use pintle_plugin::{Change, Context, Result, Status};
    /// # fn index(_: &Context, _: &Change<'_>) -> Result<()> { Ok(()) }
    /// fn follow(cx: &Context) -> Result<()> {
    ///     let told = cx.storage().get_integer("indexed")?.unwrap_or(0);
    ///     let begin = |after| {
    ///         cx.storage().watch_after("documents/", after, |cx, change| {
    ///             index(cx, change)?;
    ///             cx.storage().set("indexed", change.version().to_string().as_bytes()).map(drop)
    ///         })
    ///     };
    ///     match begin(told.cast_unsigned()) {
    ///         // Away for too long: all that is there, and what is not told is not there any more.
    ///         Err(error) if error.status() == Status::OutOfRange => begin(0).map(drop),
    ///         outcome => outcome.map(drop),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As `watch`; [`OutOfRange`](crate::Status::OutOfRange) if removals after that version are forgotten, or there was no
    /// such version: begin with 0.
    pub fn watch_after<F>(&self, prefix: &str, version: u64, handler: F) -> Result<Watch>
    where
        F: Fn(&Context, &Change<'_>) -> Result<()> + Send + Sync + 'static,
    {
        self.register(prefix, Some(version), handler)
    }

    fn register<F>(&self, prefix: &str, after: Option<u64>, handler: F) -> Result<Watch>
    where
        F: Fn(&Context, &Change<'_>) -> Result<()> + Send + Sync + 'static,
    {
        let watch = function!(self.cx.host(), storage: PintleStorage, watch)?;
        let options = after.map(|after| PintleWatchOptions {
            size: size_of::<PintleWatchOptions>() as u32,
            flags: PINTLE_WATCH_AFTER,
            after,
        });
        let options = options.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (ctx, prefix) = (self.cx.raw(), PintleStr::new(prefix));
        // SAFETY: prefix and options are borrowed for the call; handler, `user` and `release` belong together.
        let handle = Registered::hand_over(self.cx, handler, |user, release, handle| unsafe {
            watch(ctx, prefix, PintleWatchHandler(Some(on_change::<F>)), user, release, options, handle)
        })?;
        Ok(Watch(handle))
    }
}

unsafe extern "C" fn on_change<F>(
    user: *mut c_void,
    ctx: PintleCtx,
    change: *const PintleStorageChange,
    _reply: PintleSink,
) -> PintleStatus
where
    F: Fn(&Context, &Change<'_>) -> Result<()> + Send + Sync + 'static,
{
    // SAFETY: the host lends the change until this function returns.
    let Some(raw) = (unsafe { Change::read(change) }) else { return PINTLE_INVALID_ARGUMENT };
    // SAFETY: the host calls this with the `user` of the same registration, before its `release`.
    unsafe { Registered::<F>::run(user, ctx, |handler, cx| handler(cx, &Change { raw, lent: PhantomData })) }
}

/// A watch's handle. It is only a name: dropping it ends nothing. The watch ends with [`unwatch`](Watch::unwatch), and at
/// the latest with the plugin (those made since `enable` with `disable`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch(PintleRegistration);

impl Watch {
    /// Ends the watch. A call under way is finished, then its handler is dropped. `cx` may be any context of the plugin.
    ///
    /// # Errors
    /// [`StaleHandle`](crate::Status::StaleHandle) if it is over already.
    pub fn unwatch(self, cx: &Context) -> Result<()> {
        let unwatch = function!(cx.host(), storage: PintleStorage, unwatch)?;
        // SAFETY: any values are allowed; the host checks them.
        cx.check(unsafe { unwatch(cx.raw(), self.0) })
    }
}

/// A change of the storage, lent to the handler of a watch.
pub struct Change<'a> {
    raw: PintleStorageChange,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Change<'a> {
    /// What happened. Handlers skip what they do not know.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match self.raw.kind {
            PINTLE_CHANGE_SET => ChangeKind::Set,
            PINTLE_CHANGE_REMOVED => ChangeKind::Removed,
            PINTLE_CHANGE_EXPIRED => ChangeKind::Expired,
            PINTLE_CHANGE_CLEARED => ChangeKind::Cleared,
            other => ChangeKind::Unknown(other),
        }
    }

    /// The item's key; empty where all items were removed.
    #[must_use]
    pub fn key(&self) -> &'a str {
        // SAFETY: the host lends the change and all it points to until the handler returns.
        unsafe { wire::text(self.raw.key) }
    }

    /// The version of the change: what [`watch_after`](Storage::watch_after) begins after the next time.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.raw.version
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        at(self.raw.at_ms)
    }

    /// None for null, and for one that is smaller than changes have been since ABI 1.0.
    ///
    /// # Safety
    /// `change` is null or a change of the host.
    unsafe fn read(change: *const PintleStorageChange) -> Option<PintleStorageChange> {
        const SMALLEST: usize = 40;
        // SAFETY: a change begins with its size, and is read only where it is large enough.
        unsafe { crate::table::reaches(change.cast(), SMALLEST).then(|| change.read()) }
    }
}

impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("kind", &self.kind())
            .field("key", &self.key())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// What happened to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was written.
    Set,
    /// It was removed.
    Removed,
    /// It has expired.
    Expired,
    /// Every item that was there was removed, by [`Storage::clear`].
    Cleared,
    /// A kind that is newer than this SDK, under its number.
    Unknown(u32),
}
