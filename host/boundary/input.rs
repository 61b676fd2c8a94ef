//! Pointers become values here: what a plugin passes is checked before anything is read through it.
//!
//! A length can be anything and a pointer can be null; that a non-null pointer leads to as many bytes as its
//! length says is the caller's part of the contract, and cannot be checked from here.

use std::slice;

use pintle_abi::{
    PINTLE_CACHE_IF_ABSENT, PINTLE_CACHE_IF_VERSION, PINTLE_CACHE_KEEP_TTL, PINTLE_CACHE_NO_WAIT,
    PINTLE_CACHE_TTL, PINTLE_EMIT_DURABLE, PINTLE_FILE_IF_VERSION, PINTLE_JOB_DURABLE,
    PINTLE_MIGRATE_DRY_RUN, PINTLE_STORAGE_IF_VERSION, PINTLE_STORAGE_JSON, PINTLE_STORAGE_KEEP_TTL,
    PINTLE_STORAGE_TTL, PINTLE_SUBSCRIBE_ACK, PINTLE_SUBSCRIBE_DURABLE, PINTLE_TRANSACTION_READ_ONLY,
    PINTLE_WATCH_AFTER, PintleBytes, PintleCacheEntry, PintleCacheFetch, PintleCacheInfo, PintleCacheOptions,
    PintleCacheStats, PintleDatabaseStats, PintleEmitOptions, PintleField, PintleFileInfo, PintleFileOptions,
    PintleIdempotencyInfo, PintleIdempotencyOptions, PintleJobOptions, PintleMigrateInfo,
    PintleMigrateOptions, PintleMigration, PintleScopeInfo, PintleSqlColumn, PintleSqlInfo, PintleSqlOptions,
    PintleStorageInfo, PintleStorageJob, PintleStorageOptions, PintleStorageStats, PintleStorageStep,
    PintleStr, PintleSubscribeOptions, PintleTransactionOptions, PintleWatchOptions,
};

use crate::{
    error::{Error, ErrorKind, Result},
    services::keys::{Key, LONGEST_KEY, is_plain},
};

const LONGEST_TIMEOUT_MS: i64 = 3_600_000;

/// The longest cursor that is looked at: longer than any that is given out.
pub(crate) const LONGEST_CURSOR: usize = 1_024;

/// The bytes behind a pointer and a length.
///
/// # Safety
/// A non-null `ptr` with a `len` of at most `isize::MAX` leads to `len` bytes that nobody writes while the call
/// runs: the contract says so of every borrowed input.
pub(crate) unsafe fn raw<'a>(name: &'static str, ptr: *const u8, len: usize) -> Result<&'a [u8]> {
    check(name, ptr, len)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: not null and not longer than any object; the caller vouches for the bytes.
    Ok(unsafe { slice::from_raw_parts(ptr, len) })
}

/// That a pointer can lead to `len` bytes, as far as it shows.
#[inline]
fn check(name: &'static str, ptr: *const u8, len: usize) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    if ptr.is_null() {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!(
                "argument `{name}`: the pointer is null, the length is {len}: null goes with length 0 only"
            )
        }));
    }
    if len > isize::MAX as usize {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{name}`: the length is {len}, no memory is that large: was it initialised")
        }));
    }
    Ok(())
}

/// The text that bytes are, where that is seen at once: ASCII without NUL. None says nothing.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> Option<&str> {
    // SAFETY: what is ASCII is UTF-8.
    is_plain(bytes).then(|| unsafe { str::from_utf8_unchecked(bytes) })
}

/// The bytes, if they are not so many that they need no look.
#[inline]
pub(crate) fn short(bytes: &[u8], longest: usize) -> Option<&[u8]> {
    (bytes.len() <= longest).then_some(bytes)
}

/// A borrowed key.
///
/// # Safety
/// As `raw`.
#[inline(always)]
pub(crate) unsafe fn key<'a>(name: &'static str, key: PintleStr) -> Result<Key<'a>> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { raw(name, key.ptr.cast(), key.len) }?;
    match short(bytes, LONGEST_KEY).and_then(plain).and_then(Key::plain) {
        Some(key) => Ok(key),
        None => Key::parse(name, bytes),
    }
}

/// Borrowed bytes, at most `limit` of them (else TOO_LARGE).
///
/// # Safety
/// As `raw`.
pub(crate) unsafe fn bytes<'a>(name: &'static str, bytes: PintleBytes, limit: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { raw(name, bytes.ptr, bytes.len) }?;
    if bytes.len() > limit {
        let len = bytes.len();
        return Err(Error::lazy(ErrorKind::TooLarge, move || {
            format!("argument `{name}`: {len} bytes, at most {limit} are taken")
        }));
    }
    Ok(bytes)
}

/// Borrowed text that must be UTF-8 without NUL, at most `limit` bytes (else INVALID_ARGUMENT).
///
/// # Safety
/// As `raw`.
pub(crate) unsafe fn text<'a>(name: &'static str, text: PintleStr, limit: usize) -> Result<&'a str> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { raw(name, text.ptr.cast(), text.len) }?;
    if bytes.len() > limit {
        let len = bytes.len();
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{name}`: {len} bytes, at most {limit} are taken")
        }));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{name}`: not UTF-8 from byte {at} on")
        })
    })?;
    match text.bytes().position(|byte| byte == 0) {
        None => Ok(text),
        Some(at) => Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{name}`: a NUL at byte {at}: the length must not count a terminator")
        })),
    }
}

/// Optional text: `None` if it is empty.
///
/// # Safety
/// As `raw`.
pub(crate) unsafe fn optional<'a>(
    name: &'static str,
    value: PintleStr,
    limit: usize,
) -> Result<Option<&'a str>> {
    // SAFETY: the caller vouches for it.
    let text = unsafe { text(name, value, limit) }?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// How long a call is to wait for others, in milliseconds; 0: as long as the host's settings say.
pub(crate) fn timeout(timeout_ms: i64) -> Result<()> {
    if !(0..=LONGEST_TIMEOUT_MS).contains(&timeout_ms) {
        return Err(Error::lazy(ErrorKind::OutOfRange, move || {
            format!(
                "argument `timeout_ms`: {timeout_ms}, 1 to {LONGEST_TIMEOUT_MS} are taken, 0 is the default"
            )
        }));
    }
    Ok(())
}

/// Where a result is written; it must not be null.
#[inline]
pub(crate) fn output<T>(name: &'static str, out: *mut T) -> Result<Output<T>> {
    if out.is_null() {
        return Err(no_output(name));
    }
    Ok(Output(out))
}

#[cold]
#[inline(never)]
fn no_output(name: &'static str) -> Error {
    Error::argument(name, "the pointer is null: pass where the result is to be written")
}

/// A caller's place for one result.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Writes the result.
    ///
    /// # Safety
    /// The pointer leads to memory for a `T` that the caller owns: the contract says so of every output.
    pub(crate) unsafe fn write(self, value: T) {
        // SAFETY: not null; the caller vouches for the rest, except for alignment.
        unsafe { self.0.write_unaligned(value) };
    }
}

/// Writes a result that the caller may not want.
///
/// # Safety
/// A non-null pointer leads to memory for a `T` that the caller owns.
pub(crate) unsafe fn write_if_wanted<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not null; the caller vouches for the rest, except for alignment.
        unsafe { out.write_unaligned(value) };
    }
}

/// A caller's buffer for bytes.
///
/// # Safety
/// A non-null `ptr` with a `cap` of at most `isize::MAX` leads to `cap` bytes that the caller owns while the call runs.
pub(crate) unsafe fn buffer(name: &'static str, ptr: *mut u8, cap: usize) -> Result<Buffer> {
    // No slice is made of it: nobody says that what is in it was ever written.
    check(name, ptr, cap)?;
    Ok(Buffer { ptr, cap })
}

/// A checked buffer of a caller.
pub(crate) struct Buffer {
    ptr: *mut u8,
    cap: usize,
}

impl Buffer {
    /// Writes all of the bytes, or none if they do not fit; tells which.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.cap {
            return false;
        }
        if !bytes.is_empty() {
            // SAFETY: not null, because `cap` is not 0, and `buffer` was promised `cap` bytes; they are the plugin's, so
            // that they overlap nothing that the host lends.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.ptr, bytes.len()) };
        }
        true
    }
}

/// Why a value was not written to a buffer.
#[cold]
#[inline(never)]
pub(crate) fn too_small(cap: usize, needed: usize) -> Error {
    Error::lazy(ErrorKind::BufferTooSmall, move || {
        format!("the value has {needed} bytes, the buffer has room for {cap}: pass one of that size")
    })
}

/// A struct of the caller that the host fills in as far as the caller's `size` says; null if it is not wanted.
///
/// # Safety
/// A non-null pointer leads to as many bytes as its first four say, of memory that the caller owns. `T` is `repr(C)` and
/// begins with its `u32` size.
pub(crate) unsafe fn info<T: Filled>(name: &'static str, info: *mut T) -> Result<Info<T>> {
    if info.is_null() {
        return Ok(Info { out: info, size: 0 });
    }
    // SAFETY: the caller vouches for at least the size member.
    let size = unsafe { info.cast::<u32>().read_unaligned() };
    if !(8..=LARGEST).contains(&(size as usize)) {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{name}`: its `size` is {size}, set it to sizeof({})", T::NAME)
        }));
    }
    Ok(Info { out: info, size })
}

/// The same, if the caller must want it.
///
/// # Safety
/// As [`info`].
pub(crate) unsafe fn required_info<T: Filled>(name: &'static str, out: *mut T) -> Result<Info<T>> {
    if out.is_null() {
        return Err(no_output(name));
    }
    // SAFETY: the caller vouches for it.
    unsafe { info(name, out) }
}

/// A struct that the host fills in.
///
/// # Safety
/// `repr(C)`, and the first member is the `u32` size.
pub(crate) unsafe trait Filled: Copy {
    /// What it is called in C.
    const NAME: &'static str;
}

// SAFETY: `repr(C)`, begins with `size`.
unsafe impl Filled for PintleScopeInfo {
    const NAME: &'static str = "pintle_scope_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleCacheInfo {
    const NAME: &'static str = "pintle_cache_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleCacheStats {
    const NAME: &'static str = "pintle_cache_stats";
}
// SAFETY: as above.
unsafe impl Filled for PintleStorageInfo {
    const NAME: &'static str = "pintle_storage_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleStorageStats {
    const NAME: &'static str = "pintle_storage_stats";
}
// SAFETY: as above.
unsafe impl Filled for PintleIdempotencyInfo {
    const NAME: &'static str = "pintle_idempotency_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleFileInfo {
    const NAME: &'static str = "pintle_file_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleSqlInfo {
    const NAME: &'static str = "pintle_sql_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleMigrateInfo {
    const NAME: &'static str = "pintle_migrate_info";
}
// SAFETY: as above.
unsafe impl Filled for PintleDatabaseStats {
    const NAME: &'static str = "pintle_database_stats";
}

/// A caller's checked place for a struct.
pub(crate) struct Info<T> {
    out: *mut T,
    size: u32,
}

impl<T: Filled> Info<T> {
    /// Whether the first `bytes` of it are wanted.
    pub(crate) fn reaches(&self, bytes: usize) -> bool {
        self.size as usize >= bytes
    }

    /// Writes as much of it as the caller knows, and leaves the caller's `size` as it is.
    ///
    /// # Safety
    /// As `info`, and the call that the pointer was passed to still runs.
    #[inline]
    pub(crate) unsafe fn write(&self, value: &T) {
        // SAFETY: the caller vouches for it.
        unsafe { self.write_with(|| *value) };
    }

    /// The same of what is only put together if it is wanted.
    ///
    /// # Safety
    /// As [`write`](Self::write).
    #[inline]
    pub(crate) unsafe fn write_with(&self, value: impl FnOnce() -> T) {
        if self.size == 0 {
            return;
        }
        let own = size_of::<u32>();
        let value = value();
        let from = std::ptr::from_ref(&value).cast::<u8>().wrapping_add(own);
        let to = self.out.cast::<u8>().wrapping_add(own);
        let known = (self.size as usize).min(size_of::<T>()) - own;
        // SAFETY: the bytes behind the size, as many as both sides have; the caller vouches for its own. Nearly all know
        // all of it: then their number is a constant, and nothing is called.
        unsafe {
            if known == size_of::<T>() - own {
                std::ptr::copy_nonoverlapping(from, to, size_of::<T>() - own);
            } else {
                std::ptr::copy_nonoverlapping(from, to, known);
            }
        }
    }
}

/// A struct that begins with its size and that newer plugins may know to be longer.
///
/// # Safety
/// All-zero bytes are a valid value, the first member is the `u32` size, and the type is `repr(C)`.
pub(crate) unsafe trait Sized32: Copy {
    /// What it is called in errors.
    const NAME: &'static str;
    /// The flags that this host knows; `None` if the struct has none.
    const FLAGS: Option<u32>;
}

// SAFETY: `repr(C)`, begins with `size`, integers and pointers only.
unsafe impl Sized32 for PintleEmitOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_EMIT_DURABLE);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleSubscribeOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_SUBSCRIBE_DURABLE | PINTLE_SUBSCRIBE_ACK);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleJobOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_JOB_DURABLE);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleCacheOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> =
        Some(PINTLE_CACHE_TTL | PINTLE_CACHE_KEEP_TTL | PINTLE_CACHE_IF_ABSENT | PINTLE_CACHE_IF_VERSION);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleCacheEntry {
    const NAME: &'static str = "entries";
    const FLAGS: Option<u32> = None;
}
// SAFETY: as above.
unsafe impl Sized32 for PintleCacheFetch {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_CACHE_NO_WAIT);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleStorageOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> =
        Some(PINTLE_STORAGE_IF_VERSION | PINTLE_STORAGE_TTL | PINTLE_STORAGE_KEEP_TTL | PINTLE_STORAGE_JSON);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleStorageStep {
    const NAME: &'static str = "steps";
    const FLAGS: Option<u32> = None;
}
// SAFETY: as above.
unsafe impl Sized32 for PintleStorageJob {
    const NAME: &'static str = "job";
    const FLAGS: Option<u32> = None;
}
// SAFETY: as above.
unsafe impl Sized32 for PintleWatchOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_WATCH_AFTER);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleSqlOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(0);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleTransactionOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_TRANSACTION_READ_ONLY);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleMigration {
    const NAME: &'static str = "migrations";
    const FLAGS: Option<u32> = None;
}
// SAFETY: as above.
unsafe impl Sized32 for PintleMigrateOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_MIGRATE_DRY_RUN);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleSqlColumn {
    const NAME: &'static str = "columns";
    const FLAGS: Option<u32> = None;
}
// SAFETY: as above.
unsafe impl Sized32 for PintleIdempotencyOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(0);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleFileOptions {
    const NAME: &'static str = "options";
    const FLAGS: Option<u32> = Some(PINTLE_FILE_IF_VERSION);
}
// SAFETY: as above.
unsafe impl Sized32 for PintleField {
    const NAME: &'static str = "fields";
    const FLAGS: Option<u32> = None;
}

/// The largest `size` that is believed.
const LARGEST: usize = 4096;

/// Options that may be null (`None`), shorter than the host's (the rest is zero, the default) or longer (what
/// this host does not know must be zero).
///
/// # Safety
/// A non-null pointer leads to as many bytes as its first four say.
pub(crate) unsafe fn options<T: Sized32>(options: *const T) -> Result<Option<T>> {
    if options.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for at least the size member.
    let size = unsafe { options.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(size)?;
    // SAFETY: the caller vouches for `size` bytes.
    unsafe { sized(options.cast(), size) }.map(Some)
}

/// An array of `count` structs whose stride is the size that each of them gives.
///
/// # Safety
/// A non-null pointer leads to `count` structs of as many bytes as the first one says.
pub(crate) unsafe fn array<T: Sized32>(
    name: &'static str,
    items: *const T,
    count: usize,
    most: usize,
) -> Result<Array<T>> {
    if count == 0 {
        return Ok(Array { items, count, stride: 0 });
    }
    check_count(name, items, count, most)?;
    // SAFETY: the caller vouches for at least one element.
    let stride = unsafe { items.cast::<u32>().read_unaligned() } as usize;
    check_size::<T>(stride)?;
    Ok(Array { items, count, stride })
}

fn check_count<T>(name: &'static str, items: *const T, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::lazy(ErrorKind::TooLarge, move || {
            format!("argument `{name}`: {count} elements, at most {most} are taken")
        }));
    }
    if count > 0 && items.is_null() {
        return Err(Error::argument(name, "the pointer is null, the count is not 0"));
    }
    Ok(())
}

/// A checked array of a caller.
pub(crate) struct Array<T> {
    items: *const T,
    count: usize,
    stride: usize,
}

impl<T: Sized32> Array<T> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The element at `index`.
    ///
    /// # Safety
    /// As `array`, and the call that the array was passed to still runs.
    pub(crate) unsafe fn at(&self, index: usize) -> Result<T> {
        debug_assert!(index < self.count);
        // SAFETY: the caller vouches for `count` elements of `stride` bytes.
        let item: *const u8 = unsafe { self.items.cast::<u8>().add(index * self.stride) };
        // SAFETY: as above; a size is at least four bytes.
        let size = unsafe { item.cast::<u32>().read_unaligned() } as usize;
        if size != self.stride {
            let (name, stride) = (T::NAME, self.stride);
            return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!(
                    "argument `{name}`: element {index} has size {size}, the first one {stride}: they must be equal"
                )
            }));
        }
        // SAFETY: as above.
        unsafe { sized(item, size) }
    }
}

/// An array of `count` texts, none of which has been looked at.
///
/// # Safety
/// A non-null pointer leads to `count` texts that nobody writes while the call runs.
pub(crate) unsafe fn texts(
    name: &'static str,
    items: *const PintleStr,
    count: usize,
    most: usize,
) -> Result<Texts> {
    check_count(name, items, count, most)?;
    Ok(Texts { items, count })
}

/// A checked array of a caller's texts.
pub(crate) struct Texts {
    items: *const PintleStr,
    count: usize,
}

impl Texts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = PintleStr> {
        let items = self.items;
        // SAFETY: not null, because there is one, and `texts` was promised `count` of them.
        (0..self.count).map(move |index| unsafe { items.add(index).read_unaligned() })
    }
}

/// Where `count` results are written: as many as were asked for.
pub(crate) fn outputs<T>(name: &'static str, out: *mut T, count: usize) -> Result<Outputs<T>> {
    if count > 0 && out.is_null() {
        return Err(no_output(name));
    }
    Ok(Outputs { out, count })
}

/// A caller's place for several results.
pub(crate) struct Outputs<T> {
    out: *mut T,
    count: usize,
}

impl<T> Outputs<T> {
    /// Writes the results, not more of them than there is room for.
    ///
    /// # Safety
    /// The pointer leads to memory for `count` of them that the caller owns.
    pub(crate) unsafe fn write(self, values: impl Iterator<Item = T>) {
        for (index, value) in values.take(self.count).enumerate() {
            // SAFETY: the caller vouches for it, except for alignment.
            unsafe { self.out.add(index).write_unaligned(value) };
        }
    }
}

fn check_size<T: Sized32>(size: usize) -> Result<()> {
    if !(8..=LARGEST).contains(&size) {
        return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
            format!("argument `{}`: its `size` is {size}, set it to the sizeof of the struct", T::NAME)
        }));
    }
    Ok(())
}

/// # Safety
/// `from` leads to `size` bytes.
unsafe fn sized<T: Sized32>(from: *const u8, size: usize) -> Result<T> {
    // SAFETY: all-zero is a valid value of every `Sized32`.
    let mut value: T = unsafe { std::mem::zeroed() };
    let known = size.min(size_of::<T>());
    // SAFETY: `known` bytes are readable at `from` and writable at `value`, which do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from, std::ptr::from_mut(&mut value).cast(), known) };
    if size > known {
        // SAFETY: the bytes past what is known, up to `size`.
        let newer = unsafe { slice::from_raw_parts(from.add(known), size - known) };
        if newer.iter().any(|byte| *byte != 0) {
            return Err(Error::lazy(ErrorKind::Unsupported, move || {
                format!(
                    "argument `{}`: it sets a member that this host does not know yet: leave it 0 or update the host",
                    T::NAME
                )
            }));
        }
    }
    if let Some(flags) = T::FLAGS {
        // SAFETY: structs with flags have them right behind the size, within the 8 bytes that every one has.
        let given = unsafe { from.add(4).cast::<u32>().read_unaligned() };
        if given & !flags != 0 {
            return Err(Error::lazy(ErrorKind::Unsupported, move || {
                format!(
                    "argument `{}`: this host does not know the flags {:#x}: update the host or leave them out",
                    T::NAME,
                    given & !flags
                )
            }));
        }
    }
    Ok(value)
}
