//! From the host into a plugin: the functions behind `pintle_plugin`, each wrapped so that nothing unwinds out of it.

use std::{
    any::Any,
    ffi::c_void,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use pintle_abi::{
    PINTLE_ABI_MINOR, PINTLE_INVALID_ARGUMENT, PINTLE_OK, PINTLE_PANIC, PintleBytes, PintleCtx, PintleHost,
    PintlePlugin, PintleRequest, PintleSink, PintleStatus, PintleStr,
};

use crate::{
    Context, Error, Plugin, Request, Result, Status,
    manifest::Identity,
    table::{Host, SMALLEST_HOST},
    wire,
};

/// Makes a plugin known to hosts: implements the one function that the library exports, and embeds the manifest, which
/// hosts read without loading the library. Use it once, at the top level of the crate.
///
/// The manifest is a file, named relative to the crate's `Cargo.toml`, or stands in the code:
///
/// ```
/// # use pintle_plugin::{Context, Plugin, Result, plugin};
/// struct Quiet;
///
/// impl Plugin for Quiet {
///     fn load(_: &Context) -> Result<Self> {
///         Ok(Quiet)
///     }
/// }
///
/// // plugin!(Quiet, "plugin.json");
/// plugin!(Quiet, inline r#"{ "id": "quiet", "version": "1.0.0", "abi": "1.0" }"#);
/// # fn main() {}
/// ```
///
/// `id` and `version` are taken from it when the plugin is compiled; a manifest without them does not compile.
///
/// For a plugin that is compiled into its application, `entry = name` makes a function of that name in place of the
/// exported one (several could not live in one program): `plugin!(Quiet, "plugin.json", entry = quiet);`
#[macro_export]
macro_rules! plugin {
    ($plugin:ty, inline $manifest:literal) => {
        $crate::plugin!(@export $plugin, $manifest);
    };
    ($plugin:ty, inline $manifest:literal, entry = $name:ident) => {
        $crate::plugin!(@inside $plugin, $manifest, $name);
    };
    ($plugin:ty, $file:literal) => {
        $crate::plugin!(
            @export $plugin,
            ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", $file))
        );
    };
    ($plugin:ty, $file:literal, entry = $name:ident) => {
        $crate::plugin!(
            @inside $plugin,
            ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", $file)),
            $name
        );
    };
    (@export $plugin:ty, $manifest:expr) => {
        const _: () = {
            const MANIFEST: &str = $manifest;
            const IDENTITY: $crate::macro_support::Identity = $crate::macro_support::identity(MANIFEST);
            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__pintle"))]
            #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".pintle"))]
            static RECORD: $crate::macro_support::Record<{ MANIFEST.len() }> =
                $crate::macro_support::Record::new(MANIFEST);
            static PLUGIN: $crate::macro_support::Exported =
                $crate::macro_support::describe::<$plugin>(RECORD.bytes(), IDENTITY);

            #[unsafe(no_mangle)]
            extern "C" fn pintle_plugin_entry_v1() -> *const $crate::macro_support::PintlePlugin {
                PLUGIN.as_ptr()
            }

            $crate::export_layout!();

            // SAFETY: the description is static, and made by `describe`.
            unsafe impl $crate::macro_support::Described for $plugin {
                extern "C" fn entry() -> *const $crate::macro_support::PintlePlugin {
                    PLUGIN.as_ptr()
                }
            }
        };
    };
    (@inside $plugin:ty, $manifest:expr, $name:ident) => {
        /// The entry function of a plugin that is compiled in.
        pub extern "C" fn $name() -> *const $crate::macro_support::PintlePlugin {
            const MANIFEST: &str = $manifest;
            const IDENTITY: $crate::macro_support::Identity = $crate::macro_support::identity(MANIFEST);
            static RECORD: $crate::macro_support::Record<{ MANIFEST.len() }> =
                $crate::macro_support::Record::new(MANIFEST);
            static PLUGIN: $crate::macro_support::Exported =
                $crate::macro_support::describe::<$plugin>(RECORD.bytes(), IDENTITY);
            PLUGIN.as_ptr()
        }

        // SAFETY: the description is static, and made by `describe`.
        unsafe impl $crate::macro_support::Described for $plugin {
            extern "C" fn entry() -> *const $crate::macro_support::PintlePlugin {
                $name()
            }
        }
    };
}

/// Exports what hosts with the feature `layout-check` compare: who describes the contract, as plain data, and then the
/// description. Whether it does is decided here, where the SDK's features are known: a `cfg` in the text of a macro would
/// ask for those of the plugin's crate.
#[cfg(feature = "layout-check")]
#[doc(hidden)]
#[macro_export]
macro_rules! export_layout {
    () => {
        #[unsafe(no_mangle)]
        #[used]
        #[allow(non_upper_case_globals)]
        static pintle_layout_marker_v1: $crate::macro_support::layout::Marker =
            $crate::macro_support::layout::Marker::OWN;

        #[unsafe(no_mangle)]
        extern "C" fn pintle_layout_v1() -> &'static $crate::macro_support::layout::Layout {
            $crate::macro_support::layout::contract()
        }
    };
}

/// Without the feature `layout-check` nothing is exported.
#[cfg(not(feature = "layout-check"))]
#[doc(hidden)]
#[macro_export]
macro_rules! export_layout {
    () => {};
}

/// A plugin that [`plugin!`](crate::plugin!) has made known: its description can be found by its type. Not for
/// implementing by hand.
///
/// # Safety
/// `entry` returns null or a pointer to a description that stays, and whose functions keep the contract.
pub unsafe trait Described {
    /// What the entry function does.
    extern "C" fn entry() -> *const PintlePlugin;
}

/// What the entry function returns a pointer to.
#[repr(transparent)]
#[derive(Debug)]
pub struct Exported(PintlePlugin);

// SAFETY: it is never changed, its pointers lead to static data, and its functions are plain code.
unsafe impl Sync for Exported {}

impl Exported {
    /// For the host.
    #[must_use]
    pub const fn as_ptr(&'static self) -> *const PintlePlugin {
        &raw const self.0
    }
}

/// Describes `P` to hosts.
#[must_use]
pub const fn describe<P: Plugin>(manifest: PintleBytes, identity: Identity) -> Exported {
    Exported(PintlePlugin {
        size: size_of::<PintlePlugin>() as u32,
        abi_minor: PINTLE_ABI_MINOR,
        manifest,
        id: PintleStr::new(identity.id),
        version: PintleStr::new(identity.version),
        load: Some(load::<P>),
        enable: Some(enable::<P>),
        disable: Some(disable::<P>),
        unload: Some(unload::<P>),
        configure: Some(configure::<P>),
        save: Some(save::<P>),
        restore: Some(restore::<P>),
        call: Some(call::<P>),
        provide: None,
    })
}

/// The `state` of a plugin.
struct Loaded<P> {
    plugin: P,
    host: Host,
    own: PintleCtx,
}

unsafe extern "C" fn load<P: Plugin>(
    ctx: PintleCtx,
    host: *const PintleHost,
    state: *mut *mut c_void,
) -> PintleStatus {
    // SAFETY: the host hands over its table, which stays as long as this library.
    let Some(host) = (unsafe { Host::adopt(host) }) else { return PINTLE_INVALID_ARGUMENT };
    guard(host, ctx, || {
        if host.size() < SMALLEST_HOST {
            let size = host.size();
            return Err(Error::new(
                Status::Unsupported,
                format!(
                    "the host's table has {size} bytes and this plugin needs {SMALLEST_HOST}: update the host"
                ),
            ));
        }
        if state.is_null() {
            return Err(Error::new(Status::InvalidArgument, "argument `state`: null"));
        }
        let plugin = P::load(&Context::new(host, ctx, ctx))?;
        let loaded = Box::into_raw(Box::new(Loaded { plugin, host, own: ctx }));
        // SAFETY: not null, and lent by the host to be written in this call.
        unsafe { state.write(loaded.cast()) };
        Ok(())
    })
}

unsafe extern "C" fn enable<P: Plugin>(state: *mut c_void, ctx: PintleCtx) -> PintleStatus {
    // SAFETY: the host passes what `load` of the same `P` made (so in every function below).
    unsafe { with::<P>(state, ctx, |plugin, cx| plugin.enable(cx)) }
}

unsafe extern "C" fn disable<P: Plugin>(state: *mut c_void, ctx: PintleCtx) -> PintleStatus {
    // SAFETY: as in `enable`.
    unsafe { with::<P>(state, ctx, |plugin, cx| plugin.disable(cx)) }
}

unsafe extern "C" fn unload<P: Plugin>(state: *mut c_void, ctx: PintleCtx) {
    if state.is_null() {
        return;
    }
    // SAFETY: as in `enable`; the host calls this once, and nothing else afterwards.
    let Loaded { plugin, host, own } = *unsafe { Box::from_raw(state.cast::<Loaded<P>>()) };
    let cx = Context::new(host, ctx, own);
    // There is no status that could tell, so a panic goes to the log.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| plugin.unload(&cx))) {
        report(&cx, "the plugin panicked in unload", payload);
    }
}

unsafe extern "C" fn configure<P: Plugin>(
    state: *mut c_void,
    ctx: PintleCtx,
    config: PintleBytes,
) -> PintleStatus {
    // SAFETY: as in `enable`; the host lends `config` for this call.
    unsafe {
        with::<P>(state, ctx, |plugin, cx| {
            let config = serde_json::from_slice(wire::bytes(config))
                .map_err(|error| Error::from(error).context("the offered config"))?;
            plugin.configure(cx, &config)
        })
    }
}

unsafe extern "C" fn save<P: Plugin>(state: *mut c_void, ctx: PintleCtx, out: PintleSink) -> PintleStatus {
    // SAFETY: as in `enable`; the host lends `out` for this call.
    unsafe {
        with::<P>(state, ctx, |plugin, cx| {
            let saved = plugin.save(cx)?;
            cx.check(wire::write(out, &saved))
        })
    }
}

unsafe extern "C" fn restore<P: Plugin>(
    state: *mut c_void,
    ctx: PintleCtx,
    schema: u32,
    saved: PintleBytes,
) -> PintleStatus {
    // SAFETY: as in `enable`; the host lends `saved` for this call.
    unsafe { with::<P>(state, ctx, |plugin, cx| plugin.restore(cx, schema, wire::bytes(saved))) }
}

unsafe extern "C" fn call<P: Plugin>(
    state: *mut c_void,
    ctx: PintleCtx,
    request: *const PintleRequest,
    reply: PintleSink,
) -> PintleStatus {
    // SAFETY: as in `enable`; the host lends `request` and `reply` for this call.
    unsafe {
        with::<P>(state, ctx, |plugin, cx| {
            let request = Request::read(request).ok_or_else(|| {
                Error::new(Status::InvalidArgument, "argument `request`: null or too small")
            })?;
            let answer = plugin.call(cx, &request)?;
            cx.check(wire::write(reply, &answer))
        })
    }
}

/// Runs one function of a loaded plugin.
///
/// # Safety
/// `state` is null or what `load::<P>` made, and not unloaded yet.
unsafe fn with<P: Plugin>(
    state: *mut c_void,
    ctx: PintleCtx,
    run: impl FnOnce(&P, &Context) -> Result<()>,
) -> PintleStatus {
    // SAFETY: the caller's promise; it is shared only, also where calls run at the same time (`P` is `Sync`).
    let Some(loaded) = (unsafe { state.cast::<Loaded<P>>().as_ref() }) else {
        return PINTLE_INVALID_ARGUMENT;
    };
    guard(loaded.host, ctx, || run(&loaded.plugin, &Context::new(loaded.host, ctx, loaded.own)))
}

/// Runs code of the plugin, hands the text of a failure to the host, and lets no panic out.
///
/// Unwind safety is asserted: what a panic leaves half done is the plugin's to see to, as the front page says.
pub(crate) fn guard(host: Host, ctx: PintleCtx, run: impl FnOnce() -> Result<()>) -> PintleStatus {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => PINTLE_OK,
        Ok(Err(error)) => {
            host.set_error(ctx, error.message());
            error.status().code()
        }
        Err(payload) => {
            host.set_error(ctx, &format!("panicked: {}", text_of(&*payload)));
            bury(payload);
            PINTLE_PANIC
        }
    }
}

/// Logs a panic where no status can tell of it.
pub(crate) fn report(cx: &Context, what: &str, payload: Box<dyn Any + Send>) {
    cx.log().error(what, &[("panic", text_of(&*payload).into())]);
    bury(payload);
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "with a value that is no text"
    }
}

/// Drops what a panic carried. It may be anything, so its destructor may panic as well; what that carries is leaked.
fn bury(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}
