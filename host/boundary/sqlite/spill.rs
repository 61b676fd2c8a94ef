//! What SQLite writes beside a database while a statement runs, and how much of it there may be: sorters, tables that exist only
//! inside of a statement, temporary tables, and their journals. SQLite's own counter knows only some of these, and when they are done.
//!
//! A file system of our own, which is the default one but for files of these kinds: such a file counts what it has, and
//! refuses to become larger (SQLITE_FULL) where the connection that it was opened for has used up what it may have. A file belongs to
//! the connection whose statement ran on the thread that opened it.

use std::{
    cell::Cell,
    ffi::{CStr, c_int, c_void},
    marker::PhantomData,
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

/// The name under which SQLite knows the file system.
const NAME: &CStr = c"pintle";

/// Files that end with a statement, a transaction or a connection.
const TEMPORARY: c_int = ffi::SQLITE_OPEN_TEMP_DB
    | ffi::SQLITE_OPEN_TRANSIENT_DB
    | ffi::SQLITE_OPEN_TEMP_JOURNAL
    | ffi::SQLITE_OPEN_SUBJOURNAL;

/// How large the temporary files of one connection are together.
pub(super) struct Spill {
    most: u64,
    used: AtomicU64,
    /// Something was to become larger.
    refused: AtomicBool,
}

thread_local! {
    /// For whom a file is that is opened now; null: nobody counts it.
    static COUNTED: Cell<*const Spill> = const { Cell::new(ptr::null()) };
}

/// Files that this thread opens are counted until this is dropped; then for whom they were counted before.
pub(super) struct Counting<'a>(*const Spill, PhantomData<&'a Arc<Spill>>);

/// One temporary file. What the default file system keeps of it lies behind.
#[repr(C)]
struct Counted {
    base: sqlite3_file,
    spill: Option<Arc<Spill>>,
    len: u64,
}

/// The default file system.
struct Real(*mut sqlite3_vfs);

// SAFETY: SQLite's file systems are used by all threads at once; nothing here writes it.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Option<Real>> = OnceLock::new();

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Nothing is mapped, or it would be written past `write`.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

impl Spill {
    /// So many bytes, and no more.
    pub(super) fn of(most: u64) -> Self {
        Self { most, used: AtomicU64::new(0), refused: AtomicBool::new(false) }
    }

    /// Whether something was to become larger since it was asked last.
    pub(super) fn refused(&self) -> bool {
        self.refused.swap(false, Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        // One thread at a time has the connection, and with it its files.
        let used = self.used.load(Relaxed).saturating_add(bytes);
        if used > self.most {
            self.refused.store(true, Relaxed);
            return false;
        }
        self.used.store(used, Relaxed);
        true
    }

    fn give_back(&self, bytes: u64) {
        self.used.store(self.used.load(Relaxed).saturating_sub(bytes), Relaxed);
    }
}

/// Counts the temporary files that this thread opens, until what is returned is dropped.
pub(super) fn count(spill: &Arc<Spill>) -> Counting<'_> {
    Counting(COUNTED.replace(Arc::as_ptr(spill)), PhantomData)
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        COUNTED.set(self.0);
    }
}

/// The name of the file system, which is registered with SQLite when it is asked for first.
pub(super) fn file_system() -> rusqlite::Result<&'static CStr> {
    match REAL.get_or_init(register) {
        Some(_) => Ok(NAME),
        None => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), None)),
    }
}

fn register() -> Option<Real> {
    // SAFETY: SQLite allows this at any time; null asks for the default one. What it leads to is never taken away.
    let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if real.is_null() {
        return None;
    }
    // SAFETY: as above. A copy has the same functions, which look at nothing of it but `pAppData` and `mxPathname`.
    let copied = unsafe { real.read() };
    let ours = sqlite3_vfs {
        szOsFile: size_of::<Counted>() as c_int + copied.szOsFile,
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        xOpen: Some(open),
        ..copied
    };
    // SQLite keeps it until the process ends.
    let ours = Box::into_raw(Box::new(ours));
    // SAFETY: whole, and never freed. It does not become the default.
    let code = unsafe { ffi::sqlite3_vfs_register(ours, 0) };
    (code == ffi::SQLITE_OK).then_some(Real(real))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives as many bytes as `szOsFile` says, and sees no method there before this says so.
    unsafe { (*file).pMethods = ptr::null() };
    let Some(Some(Real(real))) = REAL.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: the default file system stays, and has this function.
    let Some(opens) = (unsafe { (**real).xOpen }) else { return ffi::SQLITE_CANTOPEN };
    let spill = COUNTED.get();
    if flags & TEMPORARY == 0 || spill.is_null() {
        // SAFETY: the arguments are SQLite's own, and there is more room than the default file system asks for.
        return unsafe { opens(*real, name, file, flags, out_flags) };
    }
    let counted = file.cast::<Counted>();
    // SAFETY: there is room for `Counted` and, behind it, for a file of the default file system; both are aligned to 8. SQLite has
    // zeroed or will not look at it.
    unsafe {
        let inner = counted.add(1).cast::<sqlite3_file>();
        (*inner).pMethods = ptr::null();
        let code = opens(*real, name, inner, flags, out_flags);
        if code != ffi::SQLITE_OK {
            if let Some(close) = (*inner).pMethods.as_ref().and_then(|methods| methods.xClose) {
                close(inner);
            }
            return code;
        }
        // It comes from an `Arc` that whoever counts holds.
        Arc::increment_strong_count(spill);
        let spill = Some(Arc::from_raw(spill));
        counted.write(Counted { base: sqlite3_file { pMethods: &METHODS }, spill, len: 0 });
    }
    ffi::SQLITE_OK
}

/// The file of the default file system, and one of its methods.
macro_rules! inner {
    ($file:expr, $method:ident) => {{
        // SAFETY: SQLite calls the methods of a file that `open` has made, until `close`.
        let inner = unsafe { $file.cast::<Counted>().add(1).cast::<sqlite3_file>() };
        // SAFETY: as above: it was opened, and has methods.
        match unsafe { (*(*inner).pMethods).$method } {
            Some(method) => (inner, method),
            None => return ffi::SQLITE_IOERR,
        }
    }};
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let (inner, close) = inner!(file, xClose);
    // SAFETY: SQLite calls this once, as the last.
    let code = unsafe { close(inner) };
    // SAFETY: as above: nobody looks at the rest of it afterwards.
    let counted = unsafe { &mut *file.cast::<Counted>() };
    if let Some(spill) = counted.spill.take() {
        spill.give_back(counted.len);
    }
    counted.base.pMethods = ptr::null();
    code
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (inner, write) = inner!(file, xWrite);
    // SAFETY: SQLite calls the methods of a file one after another.
    let counted = unsafe { &mut *file.cast::<Counted>() };
    let end = at.max(0).unsigned_abs().saturating_add(u64::from(len.unsigned_abs()));
    if end > counted.len {
        if counted.spill.as_ref().is_some_and(|spill| !spill.take(end - counted.len)) {
            return ffi::SQLITE_FULL;
        }
        counted.len = end;
    }
    // SAFETY: the arguments are SQLite's own.
    unsafe { write(inner, from, len, at) }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let (inner, truncate) = inner!(file, xTruncate);
    // SAFETY: the arguments are SQLite's own.
    let code = unsafe { truncate(inner, len) };
    // SAFETY: SQLite calls the methods of a file one after another.
    let counted = unsafe { &mut *file.cast::<Counted>() };
    let len = len.max(0).unsigned_abs();
    if code == ffi::SQLITE_OK && len < counted.len {
        if let Some(spill) = &counted.spill {
            spill.give_back(counted.len - len);
        }
        counted.len = len;
    }
    code
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let (inner, read) = inner!(file, xRead);
    // SAFETY: the arguments are SQLite's own.
    unsafe { read(inner, to, len, at) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let (inner, sync) = inner!(file, xSync);
    // SAFETY: as above.
    unsafe { sync(inner, flags) }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    let (inner, file_size) = inner!(file, xFileSize);
    // SAFETY: as above.
    unsafe { file_size(inner, size) }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let (inner, lock) = inner!(file, xLock);
    // SAFETY: as above.
    unsafe { lock(inner, level) }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    let (inner, unlock) = inner!(file, xUnlock);
    // SAFETY: as above.
    unsafe { unlock(inner, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    let (inner, check) = inner!(file, xCheckReservedLock);
    // SAFETY: as above.
    unsafe { check(inner, held) }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, what: c_int, about: *mut c_void) -> c_int {
    // Nothing is given room before it is written.
    if what == ffi::SQLITE_FCNTL_SIZE_HINT || what == ffi::SQLITE_FCNTL_CHUNK_SIZE {
        return ffi::SQLITE_OK;
    }
    let (inner, control) = inner!(file, xFileControl);
    // SAFETY: as above.
    unsafe { control(inner, what, about) }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    let (inner, sector_size) = inner!(file, xSectorSize);
    // SAFETY: as above.
    unsafe { sector_size(inner) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    let (inner, characteristics) = inner!(file, xDeviceCharacteristics);
    // SAFETY: as above.
    unsafe { characteristics(inner) }
}
