//! A loaded library: opening it, asking it what it is, calling its functions, closing it. The only place that knows
//! a plugin's functions by pointer, beside the handlers that it registers.
//!
//! Everything here but `close` runs on a worker, in the plugin's lane: opening a library runs its constructors.

use std::{
    ffi::{CStr, c_void},
    path::{Path, PathBuf},
    ptr,
};

#[cfg(unix)]
use libloading::os::unix::{Library as Handle, Symbol};
#[cfg(windows)]
use libloading::os::windows::{Library as Handle, Symbol};
use parking_lot::Mutex;
use pintle_abi::*;

#[cfg(feature = "layout-check")]
use super::layout;
use super::manifest::Manifest;
use crate::{
    boundary,
    error::{Error, ErrorKind, Result},
};

const ENTRY: &CStr = c"pintle_plugin_entry_v1";
type Entry = unsafe extern "C" fn() -> *const PintlePlugin;

/// The largest `size` of a plugin's struct that is believed.
const LARGEST: u32 = 4096;
/// Up to and with `load`, the only required function.
const SMALLEST: u32 = (std::mem::offset_of!(PintlePlugin, load) + 8) as u32;

/// A library that was opened and has said what it is. Not closed when dropped: only `close` does that, because it
/// must not happen on a thread that has run it.
pub(crate) struct Library {
    handle: Mutex<Option<Handle>>,
    path: PathBuf,
    plugin: PintlePlugin,
    /// What is not as it should be, and no reason to refuse it.
    warning: Option<Error>,
}

/// What a plugin's `load` gave. Only ever passed back to it.
#[derive(Clone, Copy)]
pub(crate) struct State(*mut c_void);

// SAFETY: the host never looks through it; the contract says that a lane's calls come from changing threads.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

// SAFETY: the pointers of `plugin` lead into the library's static data, which stays as long as the library is mapped,
// and that is as long as this exists.
unsafe impl Send for Library {}
// SAFETY: as above; the struct is only read.
unsafe impl Sync for Library {}

/// A library that turned out to be no plugin after its code had run: it must be closed like one that was.
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) library: Option<Library>,
}

impl Library {
    /// Opens a staged file and asks its entry what it is. What it says must equal the manifest.
    pub(crate) fn open(path: &Path, manifest: &Manifest) -> Result<Self, Box<Refused>> {
        let refused = |error| Box::new(Refused { error, library: None });
        // SAFETY: runs the library's constructors. That its code is trusted is the application's decision: it named
        // the folder; the file was checked to be whole and of this platform, so that the loader does not fault on it.
        let handle = unsafe { open(path) }.map_err(|error| refused(open_error(manifest, &error)))?;
        let mut library =
            Self { handle: Mutex::new(Some(handle)), path: path.to_owned(), plugin: empty(), warning: None };
        match library.ask(manifest) {
            Ok((plugin, warning)) => {
                library.plugin = plugin;
                library.warning = warning.map(|warning| warning.of(manifest.id.as_str()));
                Ok(library)
            }
            Err(error) => {
                Err(Box::new(Refused { error: error.of(manifest.id.as_str()), library: Some(library) }))
            }
        }
    }

    fn ask(&self, manifest: &Manifest) -> Result<(PintlePlugin, Option<Error>)> {
        let handle = self.handle.lock();
        let handle = handle.as_ref().expect("it is open until it is closed");
        // SAFETY: the symbol's name says what type it has: it carries the major version of the contract.
        let entry: Symbol<Entry> = unsafe { handle.get(ENTRY.to_bytes_with_nul()) }.map_err(|_| {
            Error::new(
                ErrorKind::InvalidArgument,
                "it does not export pintle_plugin_entry_v1: define it with PINTLE_EXPORT",
            )
        })?;
        // First, for what the entry returns can only be read if both mean the same by it.
        let warning = compare_contracts(handle)?;
        // SAFETY: the contract says that the entry can be called on any thread and does no work.
        let plugin = unsafe { entry() };
        if plugin.is_null() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "its entry returned null: return a static pintle_plugin",
            ));
        }
        // SAFETY: the contract says that the entry returns a static struct that begins with its size.
        let size = unsafe { plugin.cast::<u32>().read_unaligned() };
        if !(SMALLEST..=LARGEST).contains(&size) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "its entry returned a pintle_plugin of size {size}, which must be {SMALLEST} to {LARGEST}: set it to sizeof(pintle_plugin)"
                ),
            ));
        }
        let mut known = empty();
        let len = (size as usize).min(size_of::<PintlePlugin>());
        // SAFETY: the plugin vouches for `size` bytes; `known` has room for `len`.
        unsafe { ptr::copy_nonoverlapping(plugin.cast::<u8>(), (&raw mut known).cast::<u8>(), len) };
        known.size = len as u32;
        if known.load.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "its `load` is null, the one function that it must have",
            ));
        }
        // SAFETY: the contract says that the texts are static data of the library.
        let (id, version) =
            unsafe { (boundary::text("id", known.id, 256)?, boundary::text("version", known.version, 256)?) };
        let wanted = manifest.version.to_string();
        for (what, found, wanted) in [("id", id, manifest.id.as_str()), ("version", version, wanted.as_str())]
        {
            if found != wanted {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!(
                        "its entry says that its {what} is \"{found}\", its manifest says \"{wanted}\": make them equal"
                    ),
                ));
            }
        }
        Ok((known, warning))
    }

    /// What is not as it should be with it, and no reason to refuse it.
    pub(crate) fn warning(&self) -> Option<&Error> {
        self.warning.as_ref()
    }

    /// Calls `load`. Its state, or its status.
    pub(crate) fn load(&self, ctx: PintleCtx) -> (PintleStatus, State) {
        let mut state = ptr::null_mut();
        let load = self.plugin.load.expect("`ask` refuses a plugin without it");
        // SAFETY: the library is mapped as long as this exists; `ctx` is the generation's own; `TABLE` is static; on the
        // lane, alone.
        let status = unsafe { load(ctx, &raw const boundary::TABLE, &raw mut state) };
        (status, State(state))
    }

    pub(crate) fn enable(&self, state: State, ctx: PintleCtx) -> PintleStatus {
        // SAFETY: as in `load`; `state` is what `load` gave.
        self.plugin.enable.map_or(PINTLE_OK, |enable| unsafe { enable(state.0, ctx) })
    }

    pub(crate) fn disable(&self, state: State, ctx: PintleCtx) -> PintleStatus {
        // SAFETY: as in `enable`.
        self.plugin.disable.map_or(PINTLE_OK, |disable| unsafe { disable(state.0, ctx) })
    }

    pub(crate) fn unload(&self, state: State, ctx: PintleCtx) {
        if let Some(unload) = self.plugin.unload {
            // SAFETY: as in `enable`; nothing is called with `state` afterwards.
            unsafe { unload(state.0, ctx) };
        }
    }

    pub(crate) fn configure(&self, state: State, ctx: PintleCtx, config: &[u8]) -> PintleStatus {
        let config = PintleBytes::new(config);
        // SAFETY: as in `enable`; `config` is borrowed for the call.
        self.plugin.configure.map_or(PINTLE_OK, |configure| unsafe { configure(state.0, ctx, config) })
    }

    /// Calls `call`; `None` if the plugin has no such function.
    pub(crate) fn call(&self, state: State, ctx: PintleCtx, request: &Request<'_>) -> Option<PintleStatus> {
        let call = self.plugin.call?;
        let request = PintleRequest {
            size: size_of::<PintleRequest>() as u32,
            major: request.major,
            service: PintleStr::new(request.service),
            method: PintleStr::new(request.method),
            caller: PintleStr::new(request.caller),
            data: PintleBytes::new(request.data),
        };
        // SAFETY: as in `enable`; the request is borrowed for the call, and the reply's sink is checked by its context.
        Some(unsafe { call(state.0, ctx, &raw const request, boundary::reply_sink(ctx)) })
    }

    /// Closes the library and tells whether it is gone from the process's memory. Its generation has ended, so nobody
    /// calls it any more; on a thread that has never run it.
    pub(crate) fn close(&self) -> Closed {
        let Some(handle) = self.handle.lock().take() else { return Closed::Kept };
        if handle.close().is_err() {
            return Closed::Kept;
        }
        match is_mapped(&self.path) {
            Some(true) => Closed::Kept,
            Some(false) => Closed::Gone,
            None => Closed::Unseen,
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // Not closed on purpose: it stays mapped, which is always safe.
        std::mem::forget(self.handle.get_mut().take());
    }
}

/// What became of a library that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Its mappings are gone.
    Gone,
    /// It stays mapped: something in the process still holds it.
    Kept,
    /// It was closed; whether its mappings are gone cannot be seen here.
    Unseen,
}

/// A call by message, as the plugin sees it.
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a str,
    pub(crate) service: &'a str,
    pub(crate) major: u32,
    pub(crate) method: &'a str,
    pub(crate) data: &'a [u8],
}

fn empty() -> PintlePlugin {
    PintlePlugin {
        size: 0,
        abi_minor: 0,
        manifest: PintleBytes::EMPTY,
        id: PintleStr::EMPTY,
        version: PintleStr::EMPTY,
        load: None,
        enable: None,
        disable: None,
        unload: None,
        configure: None,
        save: None,
        restore: None,
        call: None,
        provide: None,
    }
}

/// Compares the contract that the plugin says it was built against with this host's. A plugin that says nothing is taken
/// as it is, and so is one that says it in a way that this host cannot read, with a warning.
#[cfg(feature = "layout-check")]
fn compare_contracts(library: &Handle) -> Result<Option<Error>> {
    use pintle_abi::layout::{Export, Marker};

    // SAFETY: it is the address of the symbol, whatever lies there.
    let Ok(marker) = (unsafe { library.get::<*const Marker>(Marker::SYMBOL.to_bytes_with_nul()) }) else {
        return Ok(None);
    };
    // SAFETY: every marker is static data that begins with its size, as its symbol's name says.
    let size = unsafe { marker.cast::<u32>().read_unaligned() } as usize;
    if size < size_of::<Marker>() {
        return Ok(Some(layout::unread(format!("its marker has {size} bytes"))));
    }
    // SAFETY: it has at least these bytes, as it says, and they are integers.
    let marker = Marker { size: Marker::OWN.size, ..unsafe { marker.read_unaligned() } };
    if let Err(warning) = layout::readable(&marker) {
        return Ok(Some(warning));
    }
    // SAFETY: the marker vouches for the type of this symbol: it was made by the same version of the check.
    match unsafe { library.get::<Export>(Marker::LAYOUT_SYMBOL.to_bytes_with_nul()) } {
        Ok(contract) => layout::compare(contract()).map(|()| None),
        Err(_) => Ok(Some(layout::unread("it has a marker and no description"))),
    }
}

#[cfg(not(feature = "layout-check"))]
fn compare_contracts(_: &Handle) -> Result<Option<Error>> {
    Ok(None)
}

/// The loader's own reason, which names the missing symbol or library.
fn open_error(manifest: &Manifest, error: &libloading::Error) -> Error {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Error::new(
        ErrorKind::InvalidArgument,
        format!("the dynamic loader refused it: {reason}: link what is missing into the library itself"),
    )
    .of(manifest.id.as_str())
}

/// Opens a library with all of its symbols bound at once and none of them visible to others.
///
/// # Safety
/// Runs the library's constructors.
#[cfg(unix)]
unsafe fn open(path: &Path) -> std::result::Result<Handle, libloading::Error> {
    use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the caller vouches for the library. Not lazily: a missing symbol would kill the process at its first call.
    unsafe { Handle::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

/// Opens a library; what it needs is looked for in its own folder and in the system's only. Not tested.
///
/// # Safety
/// Runs the library's `DllMain`.
#[cfg(windows)]
unsafe fn open(path: &Path) -> std::result::Result<Handle, libloading::Error> {
    use libloading::os::windows::{LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR, LOAD_LIBRARY_SEARCH_SYSTEM32};
    // SAFETY: the caller vouches for the library.
    unsafe { Handle::load_with_flags(path, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32) }
}

/// Whether the process still has the file mapped; none where that cannot be read.
#[cfg(target_os = "linux")]
fn is_mapped(path: &Path) -> Option<bool> {
    use std::os::unix::ffi::OsStrExt;

    let maps = std::fs::read("/proc/self/maps").ok()?;
    let file = path.as_os_str().as_bytes();
    Some(maps.split(|byte| *byte == b'\n').any(|line| {
        line.iter().position(|byte| *byte == b'/').is_some_and(|at| {
            let name = &line[at..];
            name.strip_suffix(b" (deleted)").unwrap_or(name) == file
        })
    }))
}

#[cfg(not(target_os = "linux"))]
fn is_mapped(_: &Path) -> Option<bool> {
    None
}
