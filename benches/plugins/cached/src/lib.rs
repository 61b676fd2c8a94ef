//! Times the cache from inside of a plugin: through the host's table, as it comes, and through the SDK. Each method runs
//! as many calls as its request says, and answers how many nanoseconds one took. `benches/sdk.rs` asks by turns.
//!
//! The SDK shows nobody the table, so the entry here wraps the one that it makes: it looks at what the host passes, and
//! passes it on.

use std::{
    cell::Cell,
    ffi::c_void,
    hint::black_box,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
    time::Instant,
};

use pintle_abi::*;
use pintle_plugin::{
    Context, Error, Fetched, Lifetime, Plugin, Request, Result, Status, macro_support::Record, plugin,
};

const NAMESPACE: &str = "bench";
const KEY: &str = "sixty-four";
const MISSING: &str = "nothing";
const VALUE: [u8; 64] = *b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static HOST: AtomicPtr<PintleHost> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// Of the call that runs on this thread.
    static CTX: Cell<PintleCtx> = const { Cell::new(0) };
}

struct Cached;

impl Plugin for Cached {
    fn load(cx: &Context) -> Result<Self> {
        cx.cache(NAMESPACE).set_for(KEY, &VALUE, Lifetime::Endless)?;
        Ok(Cached)
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        let cache = cx.cache(NAMESPACE);
        let mut buffer = [0; 64];
        let time = |body: &mut dyn FnMut(u64) -> Result<u64>| request.answer(|calls| timed(calls, body));
        match request.method() {
            "table_get" => time(&mut |calls| Ok(table_get(calls, KEY))),
            "sdk_get" => time(&mut |calls| {
                let mut got = 0;
                for _ in 0..calls {
                    got += u64::from(black_box(cache.get(black_box(KEY))?).is_some());
                }
                Ok(got)
            }),
            "table_get_into" => time(&mut |calls| Ok(table_get_into(calls, KEY, &mut buffer))),
            "sdk_get_into" => time(&mut |calls| {
                let mut got = 0;
                for _ in 0..calls {
                    let fetched = cache.get_into(black_box(KEY), &mut buffer)?;
                    got += u64::from(matches!(black_box(fetched), Fetched::Found(_)));
                }
                Ok(got)
            }),
            "table_miss" => time(&mut |calls| Ok(calls - table_get_into(calls, MISSING, &mut buffer))),
            "sdk_miss" => time(&mut |calls| {
                let mut missed = 0;
                for _ in 0..calls {
                    let fetched = cache.get_into(black_box(MISSING), &mut buffer)?;
                    missed += u64::from(black_box(fetched) == Fetched::Missing);
                }
                Ok(missed)
            }),
            _ => Err(request.unsupported()),
        }
    }
}

/// Nanoseconds for each of so many calls, all of which must find what they look for.
fn timed(calls: u64, body: &mut dyn FnMut(u64) -> Result<u64>) -> Result<f64> {
    let start = Instant::now();
    let right = body(calls)?;
    let nanoseconds = start.elapsed().as_nanos() as f64;
    if right != calls {
        return Err(Error::new(Status::Internal, format!("{right} of {calls} calls did what they should")));
    }
    Ok(nanoseconds / calls as f64)
}

fn table() -> &'static PintleCache {
    // SAFETY: `load` has put the host's table there, which stays as long as this library, and whose table of the cache is
    // never null.
    unsafe { &*(*HOST.load(Ordering::Relaxed)).cache }
}

/// The least that a sink can do: the bytes go to one place, without an allocation.
fn table_get(calls: u64, key: &str) -> u64 {
    unsafe extern "C" fn write(data: *mut c_void, piece: PintleBytes) -> PintleStatus {
        // SAFETY: `data` is the place below, and 64 bytes and a length are there; longer values are refused.
        let (place, len) = unsafe { &mut *data.cast::<([u8; 64], usize)>() };
        let Some(place) = place.get_mut(*len..*len + piece.len) else { return PINTLE_TOO_LARGE };
        // SAFETY: the host lends the piece, and the place is as long.
        unsafe { place.as_mut_ptr().copy_from_nonoverlapping(piece.ptr, piece.len) };
        *len += piece.len;
        PINTLE_OK
    }
    let (get, ctx) = (table().get.expect("this host has it"), CTX.get());
    let mut got = 0;
    for _ in 0..calls {
        let mut place = ([0_u8; 64], 0_usize);
        let sink = PintleSink { data: (&raw mut place).cast(), write: Some(write) };
        // SAFETY: everything is lent for the call.
        let status = unsafe {
            get(ctx, PintleStr::new(NAMESPACE), PintleStr::new(black_box(key)), sink, ptr::null_mut())
        };
        got += u64::from(status == PINTLE_OK && black_box(place).1 == VALUE.len());
    }
    got
}

fn table_get_into(calls: u64, key: &str, buffer: &mut [u8]) -> u64 {
    let (get_into, ctx) = (table().get_into.expect("this host has it"), CTX.get());
    let (mut got, mut len) = (0, 0);
    for _ in 0..calls {
        // SAFETY: everything is lent for the call.
        let status = unsafe {
            get_into(
                ctx,
                PintleStr::new(NAMESPACE),
                PintleStr::new(black_box(key)),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut len,
                ptr::null_mut(),
            )
        };
        black_box(&*buffer);
        got += u64::from(status == PINTLE_OK);
    }
    got
}

plugin!(Cached, "plugin.json", entry = of_the_sdk);

const MANIFEST: &str = include_str!("../plugin.json");

/// Where hosts look for it. `plugin!` leaves it out of plugins that export nothing of their own.
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__pintle"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".pintle"))]
static RECORD: Record<{ MANIFEST.len() }> = Record::new(MANIFEST);

/// What this library exports: the SDK's description, with two of its functions wrapped.
struct Wrapped(PintlePlugin);

// SAFETY: it is never changed, and its pointers lead to static data.
unsafe impl Send for Wrapped {}
// SAFETY: as above.
unsafe impl Sync for Wrapped {}

fn sdk() -> &'static PintlePlugin {
    // SAFETY: the SDK's entry returns static data.
    unsafe { &*of_the_sdk() }
}

/// The entry of this library.
#[unsafe(no_mangle)]
pub extern "C" fn pintle_plugin_entry_v1() -> *const PintlePlugin {
    static PLUGIN: OnceLock<Wrapped> = OnceLock::new();
    let wrap = || PintlePlugin { manifest: RECORD.bytes(), load: Some(load), call: Some(call), ..*sdk() };
    &raw const PLUGIN.get_or_init(|| Wrapped(wrap())).0
}

unsafe extern "C" fn load(ctx: PintleCtx, host: *const PintleHost, state: *mut *mut c_void) -> PintleStatus {
    HOST.store(host.cast_mut(), Ordering::Relaxed);
    // SAFETY: passed on as they came.
    unsafe { sdk().load.expect("the SDK has it")(ctx, host, state) }
}

unsafe extern "C" fn call(
    state: *mut c_void,
    ctx: PintleCtx,
    request: *const PintleRequest,
    reply: PintleSink,
) -> PintleStatus {
    CTX.set(ctx);
    // SAFETY: passed on as they came.
    unsafe { sdk().call.expect("the SDK has it")(state, ctx, request, reply) }
}
