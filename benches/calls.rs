//! A call of a plugin into the host, through the whole funnel, beside a bare call of the same plugin through a struct
//! of function pointers: with the host linked statically and inside `libpintle.so`, on one thread and on two.
//!
//! `cargo bench -p pintle --bench calls --features bench-entry`. The bars of issue 2 are 1.8 and 2.6.

#[path = "measure/bars.rs"]
mod bars;
#[path = "measure/looper.rs"]
mod looper;
mod measure;
#[path = "measure/source.rs"]
mod source;

use std::{env, hint::black_box, path::Path, process::ExitCode, thread};

use bars::{Pairs, Report, pairs};
use libloading::os::unix::{Library, Symbol};
use looper::{Hosted, What, nanoseconds, works};
use measure::{measuring, median, rounds, time};
use pintle::Host;
use pintle_test_support::install;

const STATIC_BAR: f64 = 1.8;
const SHARED_BAR: f64 = 2.6;
const CALLS: u64 = 200_000;

fn main() -> ExitCode {
    let mut report = Report::default();
    let folder = tempfile::tempdir().expect("a folder for the plugin");
    install(&source::compiled("looper"), folder.path());

    let cores = (0..rounds(11)).map(|_| two_threads_to_one()).collect();
    println!(
        "two threads take {:.2} times as long as one for the same work each (1: two cores)",
        median(cores)
    );

    let host = Host::builder().plugins(folder.path()).build().expect("a host can be made");
    let started = host.start();
    assert!(started.failed.is_empty(), "{:?}", started.failed);
    works(&host);
    println!("a call from a C plugin to the host, linked statically, to a bare one:");
    compare(&mut report, &host, STATIC_BAR, "static");

    match Shared::start(folder.path()) {
        Ok(shared) => {
            works(&shared);
            println!("the same with the host in libpintle.so:");
            compare(&mut report, &shared, SHARED_BAR, "libpintle.so");
        }
        Err(why) => {
            println!("the host in libpintle.so was not measured: {why}");
            if measuring() && env::var_os("PINTLE_BENCH_STRICT").is_some() {
                return ExitCode::FAILURE;
            }
        }
    }
    report.end()
}

fn compare(report: &mut Report, host: &dyn Hosted, bar: f64, how: &str) {
    let calls = if measuring() { CALLS } else { 1_000 };
    for threads in [1, 2] {
        for (name, bare, subject) in [
            ("remaining", What::BareRemaining, What::Remaining),
            ("log->enabled", What::BareEnabled, What::Enabled),
        ] {
            let run = |what| move || nanoseconds(host, what, calls, threads);
            let pairs: Pairs = pairs(rounds(201), run(bare), run(subject));
            let plural = if threads == 1 { "thread" } else { "threads" };
            report.bar(&format!("{how}: {name}, {threads} {plural}"), "ns", &pairs, bar);
        }
    }
}

/// Work that needs nothing but a core, by two threads and by one.
fn two_threads_to_one() -> f64 {
    fn work() {
        let mut x = black_box(88_172_645_463_325_252_u64);
        for _ in 0..5_000_000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        black_box(x);
    }
    let one = time(work);
    let two = time(|| {
        thread::scope(|scope| {
            scope.spawn(work);
            work();
        });
    });
    two / one
}

/// A host inside `libpintle.so`.
struct Shared {
    library: Library,
    host: Opaque,
}

/// A `Host` of the library's own.
type Opaque = usize;

type Start = unsafe extern "C" fn(*const u8, usize) -> Opaque;
type Call = unsafe extern "C" fn(Opaque, *const u8, usize, *mut [u8; 8]) -> i32;
type Stop = unsafe extern "C" fn(Opaque);

impl Shared {
    fn start(plugins: &Path) -> Result<Self, String> {
        // Cargo builds all forms of the library at once, beside this program.
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let path = program.with_file_name("libpintle.so");
        // SAFETY: it is the library of this very package, which may be opened.
        let library = unsafe { Library::new(&path) }.map_err(|error| error.to_string())?;
        // SAFETY: `host/embed/bench_entry.rs` has these signatures.
        let start: Symbol<Start> = unsafe { library.get(b"pintle_bench_start\0") }
            .map_err(|_| "it was built without the feature bench-entry".to_owned())?;
        let folder = plugins.to_str().expect("temporary folders have simple names").as_bytes();
        // SAFETY: the folder's name is readable for the call.
        let host = unsafe { start(folder.as_ptr(), folder.len()) };
        if host == 0 { Err("its host did not start".into()) } else { Ok(Self { library, host }) }
    }

    /// # Safety
    /// The symbol has this type.
    unsafe fn symbol<T>(&self, name: &[u8]) -> Symbol<T> {
        // SAFETY: the caller vouches for it.
        unsafe { self.library.get(name) }.expect("it has the one, so it has the others")
    }
}

impl Hosted for Shared {
    fn call(&self, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut reply = [0; 8];
        // SAFETY: `host/embed/bench_entry.rs` has this signature.
        let call: Symbol<Call> = unsafe { self.symbol(b"pintle_bench_call\0") };
        // SAFETY: the host is started; request and reply live for the call.
        match unsafe { call(self.host, request.as_ptr(), request.len(), &raw mut reply) } {
            0 => Ok(reply.to_vec()),
            _ => Err("the call in libpintle.so failed".into()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `host/embed/bench_entry.rs` has this signature.
        let stop: Symbol<Stop> = unsafe { self.symbol(b"pintle_bench_stop\0") };
        // SAFETY: it was started once, and is stopped once.
        unsafe { stop(self.host) };
    }
}
