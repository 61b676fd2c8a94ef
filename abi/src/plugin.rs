//! What a plugin is: the struct that its one exported function returns.

use core::ffi::c_void;

use crate::{PintleBytes, PintleCtx, PintleHost, PintleSink, PintleStatus, PintleStr};

/// A call by message from another plugin or from the application. Everything is borrowed until `call` returns.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintleRequest {
    /// `sizeof(pintle_request)` of the host.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// The major version of the service that the caller asks for.
    pub major: u32,
    /// The service, one of the manifest's `provides`.
    pub service: PintleStr,
    /// The method, one of those that the manifest lists for it.
    pub method: PintleStr,
    /// Who calls: a plugin's id, or `application`.
    pub caller: PintleStr,
    /// The request's bytes.
    pub data: PintleBytes,
}

/// What a plugin is. Returned by its entry function as static data, which is valid as long as the library is
/// mapped.
///
/// Lifecycle functions run alone on the plugin's lane, ahead of its queue, with the plugin's own context. No
/// handler runs before `enable` returned OK.
#[repr(C)]
#[cfg_attr(feature = "layout-check", derive(abi_stable::StableAbi), sabi(kind(Prefix)))]
#[derive(Clone, Copy, Debug)]
pub struct PintlePlugin {
    /// `sizeof(pintle_plugin)` when the plugin was built.
    #[cfg_attr(feature = "layout-check", sabi(last_prefix_field))]
    pub size: u32,
    /// `PINTLE_ABI_MINOR` when the plugin was built: information, not a demand.
    pub abi_minor: u32,
    /// The embedded manifest record (`PINTLE_MANIFEST_BYTES`), which keeps linkers from dropping its section;
    /// empty if the manifest is in a file beside the library.
    pub manifest: PintleBytes,
    /// Must equal the manifest's `id`.
    pub id: PintleStr,
    /// Must equal the manifest's `version`.
    pub version: PintleStr,
    /// Prepares. Required. Emits and durable writes answer UNAVAILABLE until `enable`; registrations are taken,
    /// and live from `enable` on.
    ///
    /// - ctx: the plugin's own, in the system scope; valid until the generation ends.
    /// - host: what the host hands over; valid as long as the library is mapped.
    /// - state: gets what is passed to every other function; the plugin's.
    ///
    /// Returns: OK; anything else refuses to be loaded, with the text of `set_error`; then nothing else is called.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub load: Option<
        unsafe extern "C" fn(
            ctx: PintleCtx,
            host: *const PintleHost,
            state: *mut *mut c_void,
        ) -> PintleStatus,
    >,
    /// Acts: from its OK on, handlers run. Optional.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own.
    ///
    /// Returns: OK; anything else keeps the plugin from being enabled, and `disable` is not called.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub enable: Option<unsafe extern "C" fn(state: *mut c_void, ctx: PintleCtx) -> PintleStatus>,
    /// Stops acting. Handlers no longer run; what was registered since `enable` is dropped when it returns; new
    /// registrations and waits answer STOPPING from its start on. Optional. `enable` may follow.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own.
    ///
    /// Returns: OK; anything else is reported, and the plugin is disabled all the same.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub disable: Option<unsafe extern "C" fn(state: *mut c_void, ctx: PintleCtx) -> PintleStatus>,
    /// Frees everything, and has ended the threads that the plugin started. Afterwards every context and handle
    /// of the generation is stale. Optional.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own, for the last time.
    ///
    /// Returns: nothing.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub unload: Option<unsafe extern "C" fn(state: *mut c_void, ctx: PintleCtx)>,
    /// Is offered a new config, already checked against the schema. Optional; without it every valid config is
    /// taken.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own; the config table still shows the old values.
    /// - config: the whole new config as a JSON object; borrowed for the call.
    ///
    /// Returns: OK takes it; anything else refuses it, with the text of `set_error`, and the old one stays.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub configure:
        Option<unsafe extern "C" fn(state: *mut c_void, ctx: PintleCtx, config: PintleBytes) -> PintleStatus>,
    /// Writes what the next generation needs to go on. Changes nothing: `enable` may follow. Optional.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own.
    /// - out: the host's; valid until `save` returns.
    ///
    /// Returns: OK; anything else ends the reload, and this generation goes on.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub save:
        Option<unsafe extern "C" fn(state: *mut c_void, ctx: PintleCtx, out: PintleSink) -> PintleStatus>,
    /// Takes over what an earlier generation saved. Emits and durable writes answer UNAVAILABLE. Optional.
    ///
    /// - state: from `load`.
    /// - ctx: the plugin's own.
    /// - schema: the `state` number of the manifest that saved it.
    /// - saved: borrowed for the call.
    ///
    /// Returns: OK; anything else ends the reload, and the old generation goes on.
    /// Thread: the plugin's lane, alone: [lane].
    /// Blocks: it may, until its deadline (10 s by default).
    /// Since: 1.0.
    pub restore: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            ctx: PintleCtx,
            schema: u32,
            saved: PintleBytes,
        ) -> PintleStatus,
    >,
    /// Answers a call by message to a service that the manifest provides. Optional if it provides none.
    ///
    /// - state: from `load`.
    /// - ctx: of the plugin, bound to the caller's tenant; valid until `call` returns.
    /// - request: borrowed until `call` returns.
    /// - reply: takes at most 1 MiB; above, the caller gets TOO_LARGE, whatever `call` answers. Valid until `call`
    ///   returns.
    ///
    /// Returns: OK with what was written to `reply`; UNSUPPORTED for an unknown method; anything else reaches
    /// the caller as this call's status, with the text of `set_error`.
    /// Thread: the plugin's lane: [lane].
    /// Blocks: it may, until its deadline (30 s by default); `remaining` tells how long the caller still waits.
    /// Since: 1.0.
    pub call: Option<
        unsafe extern "C" fn(
            state: *mut c_void,
            ctx: PintleCtx,
            request: *const PintleRequest,
            reply: PintleSink,
        ) -> PintleStatus,
    >,
    /// Hands out a table of functions that the host knows, or that an application calls directly (the manifest
    /// says `direct`). Optional.
    ///
    /// - state: from `load`.
    /// - service: one of the manifest's `provides`; borrowed for the call.
    /// - major: the version asked for.
    ///
    /// Returns: static data of the plugin that begins with its size, or null.
    /// Thread: the plugin's lane: [lane].
    /// Blocks: it should not.
    /// Since: 1.0.
    pub provide:
        Option<unsafe extern "C" fn(state: *mut c_void, service: PintleStr, major: u32) -> *const c_void>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PintleRequest>() == 72);
    assert!(offset_of!(PintleRequest, data) == 56);
    assert!(size_of::<PintlePlugin>() == 128);
    assert!(offset_of!(PintlePlugin, manifest) == 8);
    assert!(offset_of!(PintlePlugin, id) == 24);
    assert!(offset_of!(PintlePlugin, version) == 40);
    assert!(offset_of!(PintlePlugin, load) == 56);
    assert!(offset_of!(PintlePlugin, provide) == 120);
};
