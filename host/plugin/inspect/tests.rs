//! What inspection promises, on real and on broken libraries.

use std::{fs, time::Instant};

use super::*;
use crate::plugin::fixtures::{self, compile, file, folder, manifest, plugin, record};

fn text(inspection: &Inspection) -> &str {
    let found = inspection.manifest.as_ref().expect("has a manifest");
    std::str::from_utf8(&found.bytes).expect("is text")
}

#[test]
fn contract_81_a_plugin_is_known_without_running_it() {
    let folder = folder();
    let code = record("r", &manifest("a"))
        + fixtures::ENTRY
        + "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\n";
    let path = compile(folder.path(), "liba.so", &code, &[]);
    let found = inspect(&path).expect("can be inspected");
    assert_eq!((found.format, found.bits, found.endian), (Format::Elf, 64, Endian::Little));
    assert_eq!(found.arch, std::env::consts::ARCH);
    assert_eq!(found.size, fs::metadata(&path).expect("is there").len());
    assert!(found.shared_object && found.entry);
    assert!(!found.thread_exit && !found.thread_keys && !found.unique_symbols && !found.no_delete);
    assert_eq!(found.needed, ["libc.so.6"]);
    assert!(found.run_paths.is_empty());
    assert_eq!(text(&found), manifest("a"));
    assert_eq!(found.parse_manifest().expect("is valid").id, "a");
    found.check_loadable().expect("is for this machine");
}

#[test]
fn what_decides_how_it_unloads_is_seen() {
    let folder = folder();
    let calls = |name: &str, flags: &[&str]| {
        let code = format!(
            "{}extern int {name}(void *, void *, void *);\n\
            const void *other(void) {{ return (void *)(long){name}(0, 0, 0); }}\n",
            fixtures::ENTRY
        );
        inspect(&compile(folder.path(), "libx.so", &code, flags)).expect("can be inspected")
    };
    let found = calls("__cxa_thread_atexit_impl", &[]);
    assert!(found.thread_exit && !found.thread_keys);
    let found = calls("pthread_key_create", &["-Wl,-z,nodelete"]);
    assert!(found.thread_exit && found.thread_keys && found.no_delete);
    let found = calls("tss_create", &["-Wl,--hash-style=sysv", "-Wl,-rpath,/opt/x:$ORIGIN/y"]);
    assert!(found.thread_exit && found.entry);
    assert_eq!(found.run_paths, ["/opt/x", "$ORIGIN/y"]);

    let code = "template <class T> struct S { static int n; }; template <class T> int S<T>::n = 1;\n\
        extern \"C\" const void *pintle_plugin_entry_v1(void) { return &S<int>::n; }\n";
    let found = inspect(&compile(folder.path(), "libu.so", code, &["-xc++"])).expect("can be inspected");
    assert!(found.unique_symbols);
}

#[test]
fn what_is_no_plugin_for_this_host_is_refused_with_the_mend() {
    let folder = folder();
    let at = folder.path();
    let good = fs::read(plugin(at, "libgood.so", "a")).expect("was built");
    let patched = |name: &str, offset: usize, bytes: &[u8]| {
        let mut copy = good.clone();
        copy[offset..offset + bytes.len()].copy_from_slice(bytes);
        file(at, name, &copy)
    };
    let cases = [
        (
            patched("arm.so", 18, &[0xb7, 0]),
            ErrorKind::Unsupported,
            "is for aarch64 linux (ELF), this host is x86_64 linux: rebuild it",
        ),
        (patched("bsd.so", 7, &[9]), ErrorKind::Unsupported, "is for x86_64 freebsd (ELF)"),
        (patched("odd.so", 18, &[0x34, 0x12]), ErrorKind::Unsupported, "is for machine 0x1234 linux"),
        (patched("program.so", 16, &[2, 0]), ErrorKind::InvalidArgument, "is a program or an object file"),
        (
            compile(at, "pie.so", "int main(void) { return 0; }", &["-pie"]),
            ErrorKind::InvalidArgument,
            "is a program or an object file",
        ),
        (
            compile(at, "object.so", fixtures::ENTRY, &["-c"]),
            ErrorKind::InvalidArgument,
            "is a program or an object file",
        ),
        (
            compile(at, "none.so", "int x;", &[]),
            ErrorKind::InvalidArgument,
            "is a library but no Pintle plugin",
        ),
        (
            compile(
                at,
                "hidden.so",
                &(record("r", "{}") + "__attribute__((visibility(\"hidden\"))) " + fixtures::ENTRY),
                &[],
            ),
            ErrorKind::InvalidArgument,
            "does not export pintle_plugin_entry_v1: declare it with PINTLE_EXPORT",
        ),
        (
            compile(at, "data.so", &(record("r", "{}") + "int pintle_plugin_entry_v1 = 1;"), &[]),
            ErrorKind::InvalidArgument,
            "does not export pintle_plugin_entry_v1",
        ),
        (
            file(at, "x.dll", fixtures::pe("{}", &[ENTRY])),
            ErrorKind::Unsupported,
            "is for x86_64 windows (PE), this host is x86_64 linux",
        ),
        (
            file(at, "x.dylib", fixtures::macho("{}", 0x0100_000c, false)),
            ErrorKind::Unsupported,
            "is for aarch64 macos (Mach-O)",
        ),
    ];
    for (path, kind, expected) in cases {
        let error = inspect(&path).expect("can be inspected").check_loadable().expect_err(expected);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
    let found = inspect(&compile(at, "bare.so", fixtures::ENTRY, &[])).expect("can be inspected");
    found.check_loadable().expect("has an entry");
    assert!(
        found
            .parse_manifest()
            .expect_err("has none")
            .to_string()
            .contains("has no manifest: not a Pintle plugin")
    );
}

#[test]
fn what_cannot_be_read_as_a_library_is_told_apart() {
    let folder = folder();
    let at = folder.path();
    let fifo = at.join("fifo.so");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there").success());
    fs::create_dir(at.join("dir.so")).expect("can be made");
    std::os::unix::net::UnixListener::bind(at.join("socket.so")).expect("can be bound");
    std::os::unix::fs::symlink("loop.so", at.join("loop.so")).expect("can be made");
    let large = fs::File::create(at.join("large.so")).expect("can be made");
    large.set_len(MAX_FILE + 1).expect("a sparse file");
    let mut class = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0x41];
    class.resize(100, 1);
    for (name, bytes, expected) in [
        (
            "text.so",
            Some(&b"hello, I am not a library"[..]),
            "is not a library: not an ELF, PE or Mach-O file",
        ),
        ("class.so", Some(&class[..]), "is not a library: not an ELF, PE or Mach-O file"),
        ("empty.so", Some(b""), "is empty"),
        ("elf.so", Some(b"\x7fELF"), "is damaged: its ELF header has no byte order"),
        (
            "short.so",
            Some(b"\x7fELF\x02\x01\x01"),
            "is truncated: the ELF header ends at byte 64, the file has 7",
        ),
        ("dos.so", Some(&[b"MZ".as_slice(), &[0; 100]].concat()), "is a DOS program"),
        ("fifo.so", None, "is not a regular file"),
        ("socket.so", None, "is not a regular file"),
        ("dir.so", None, "is a folder, not a file"),
        ("missing.so", None, "is not there"),
        ("loop.so", None, "cannot be read: "),
        ("large.so", None, "at most 536870912 are allowed"),
    ] {
        let path = bytes.map_or_else(|| at.join(name), |bytes| file(at, name, bytes));
        let error = inspect(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = inspect(Path::new("/dev/null")).expect_err("is a device").to_string();
    assert!(error.contains("is not a regular file"), "{error}");
}

#[test]
fn contract_82_the_record_of_a_manifest_is_checked_before_it_is_read() {
    let folder = folder();
    let at = folder.path();
    let raw = |bytes: &str| {
        format!(
            "{}__attribute__((section(\".pintle\"), used, aligned(8))) static const unsigned char r[] = {{{bytes}}};\n",
            fixtures::ENTRY
        )
    };
    let magic = "'P','I','N','T','L','E','1',0,";
    for (code, expected) in [
        (
            record("a", "{}") + &record("b", "{}"),
            "has its manifest twice: use PINTLE_MANIFEST in one source file only",
        ),
        (raw("1,2,3"), "damaged manifest record: it does not begin with the magic"),
        (raw(&format!("{magic}2,0,0,0,0,0,0,0,'{{','}}'")), "its text is longer than the section"),
        (raw(&format!("{magic}1,0,0,0,0,0,0,0,'{{','}}',0")), "its length is not the length of its text"),
        (raw(&format!("{magic}2,0,0,0,0,0,0,0,'{{','}}',0,7")), "something other than zeros follows it"),
        (
            raw(&format!("{magic}255,255,255,255,255,255,255,255,0")),
            "has a manifest of 18446744073709551615 bytes",
        ),
        (record("a", &"x".repeat(10 << 20)), "has a manifest of 10485760 bytes, at most 65536 are allowed"),
    ] {
        let error = inspect(&compile(at, "x.so", &code, &[])).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn contract_81_a_manifest_may_lie_beside_the_library() {
    let folder = folder();
    let at = folder.path();
    let path = compile(at, "libgeo.so", fixtures::ENTRY, &[]);
    for name in ["libgeo.pintle.json", "geo.pintle.json"] {
        let beside = file(at, name, manifest("geo").as_bytes());
        let found = inspect(&path).expect("can be inspected");
        assert_eq!(text(&found), manifest("geo"));
        assert_eq!(found.manifest.expect("checked above").beside, Some(beside.clone()));
        fs::remove_file(beside).expect("was written");
    }
    let one = file(at, "libgeo.pintle.json", b"{");
    let error = inspect(&path).expect("can be inspected").parse_manifest().expect_err("is not JSON");
    assert!(error.to_string().starts_with(&format!("the manifest of {}", one.display())), "{error}");

    let two = file(at, "geo.pintle.json", b"{}");
    let error = inspect(&path).expect_err("there are two").to_string();
    assert!(error.contains("are both there for one library: remove one"), "{error}");
    fs::remove_file(two).expect("was written");

    plugin(at, "libgeo.so", "geo");
    let error = inspect(&path).expect_err("there are two").to_string();
    assert!(error.contains("has a manifest inside, and "), "{error}");

    fs::write(&one, vec![b' '; MAX_TEXT + 1]).expect("can be written");
    assert_eq!(inspect(&path).expect_err("is too large").kind(), ErrorKind::TooLarge);
}

#[test]
fn libraries_of_windows_and_macos_are_read_too() {
    let folder = folder();
    let at = folder.path();
    let names = ["aaa", ENTRY, "zzz", "zzzz"];
    for exports in [&names[1..2], &names[..2], &names[..], &names[1..]] {
        let found = inspect(&file(at, "x.dll", fixtures::pe(&manifest("w"), exports))).expect("is PE");
        assert_eq!((found.format, &*found.arch, found.bits), (Format::Pe, "x86_64", 64));
        assert!(found.entry && found.shared_object);
        assert_eq!(found.needed, ["KERNEL32.dll"]);
        assert_eq!(text(&found), manifest("w"));
    }
    let found = inspect(&file(at, "x.dll", fixtures::pe(&manifest("w"), &["aaa", "zzz"]))).expect("is PE");
    assert!(!found.entry);

    for (cpu, arch, in_trie) in [(0x0100_000c, "aarch64", false), (0x0100_0007, "x86_64", true)] {
        let bytes = fixtures::macho(&manifest("m"), cpu, in_trie);
        let found = inspect(&file(at, "x.dylib", &bytes)).expect("is Mach-O");
        assert_eq!((found.format, &*found.arch, found.os), (Format::MachO, arch, Some("macos")));
        assert!(found.entry && found.shared_object);
        assert_eq!(found.thread_keys, !in_trie);
        assert_eq!((&*found.needed[0], &*found.run_paths[0]), ("/usr/lib/libSystem.B.dylib", "@loader_path"));
        assert_eq!(text(&found), manifest("m"));
    }
    let parts = [
        (0x0100_000c, fixtures::macho(&manifest("arm"), 0x0100_000c, true)),
        (0x0100_0007, fixtures::macho(&manifest("intel"), 0x0100_0007, false)),
    ];
    let found = inspect(&file(at, "both.dylib", fixtures::universal(&parts))).expect("is universal");
    assert_eq!(found.arch, std::env::consts::ARCH);
    assert!(found.entry && found.manifest.is_some());
}

#[test]
fn what_the_linkers_of_windows_and_macos_write_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, format, os) in
        [("foreign.dll", Format::Pe, "windows"), ("foreign.dylib", Format::MachO, "macos")]
    {
        let found = inspect(&fixtures.join(name)).expect("can be inspected");
        assert_eq!((found.format, found.os, &*found.arch, found.bits), (format, Some(os), "x86_64", 64));
        assert!(found.shared_object && found.entry, "{found:?}");
        assert_eq!(found.parse_manifest().expect("is valid").id, "foreign");
        let error = found.check_loadable().expect_err("is for another system").to_string();
        assert!(error.contains(&format!("is for x86_64 {os} ({format})")), "{error}");
    }
}

#[test]
fn a_truncated_library_is_refused_at_every_percent() {
    let folder = folder();
    let at = folder.path();
    let elf = fs::read(plugin(at, "whole.so", "a")).expect("was built");
    for (name, whole) in [
        ("x.so", elf),
        ("x.dll", fixtures::pe(&manifest("a"), &[ENTRY])),
        ("x.dylib", fixtures::macho(&manifest("a"), 0x0100_0007, true)),
        ("y.dylib", fixtures::macho(&manifest("a"), 0x0100_0007, false)),
    ] {
        for percent in 0..100 {
            let cut = whole.len() * percent / 100;
            let path = file(at, name, &whole[..cut]);
            let error = inspect(&path).map(|_| ()).expect_err("is cut");
            let said = error.to_string();
            let fits =
                ["is truncated", "is empty", "not an ELF", "is damaged", "is a DOS", "is not for 64 bits"];
            assert!(fits.iter().any(|text| said.contains(text)), "{name} at {percent} %: {said}");
        }
    }
}

#[test]
fn no_bytes_make_the_reader_panic_or_allocate_without_bound() {
    let folder = folder();
    let at = folder.path();
    let elf = fs::read(plugin(at, "whole.so", "a")).expect("was built");
    let sysv = compile(at, "sysv.so", &(record("r", "{}") + fixtures::ENTRY), &["-Wl,--hash-style=sysv"]);
    let wholes = [
        elf,
        fs::read(sysv).expect("was built"),
        fixtures::pe(&manifest("a"), &["aaa", ENTRY, "zzz"]),
        fixtures::macho(&manifest("a"), 0x0100_0007, true),
        fixtures::macho(&manifest("a"), 0x0100_0007, false),
        fixtures::universal(&[(0x0100_0007, fixtures::macho("{}", 0x0100_0007, true))]),
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize
    };
    let path = at.join("x.so");
    let (mut read, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut bytes = wholes[round % wholes.len()].clone();
        for _ in 0..=next() % 6 {
            // Most flips go where the headers and tables are.
            let reach = if next() % 2 == 0 { bytes.len().min(0x400) } else { bytes.len() };
            let place = next() % reach;
            bytes[place] = [0, 0xff, 0x7f, 0x80, (next() & 0xff) as u8][next() % 5];
        }
        if next() % 8 == 0 {
            bytes.truncate(next() % bytes.len());
        }
        fs::write(&path, &bytes).expect("can be written");
        match inspect(&path) {
            Ok(found) => {
                let _ = (found.check_loadable(), found.parse_manifest());
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused: the flips test nothing");
}

/// `cargo test --release -p pintle --lib how_long -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_inspecting_a_file_takes() {
    let folder = folder();
    let at = folder.path();
    let whole = fs::read(plugin(at, "whole.so", "a")).expect("was built");
    let paths: Vec<PathBuf> = (0..1000).map(|n| file(at, &format!("lib{n}.so"), &whole)).collect();
    for _ in 0..3 {
        let start = Instant::now();
        for path in &paths {
            std::hint::black_box(inspect(path)).expect("can be inspected");
        }
        println!("inspect, {} bytes: {:.1} us", whole.len(), start.elapsed().as_secs_f64() * 1e3);
    }
    let large = Path::new("/usr/lib/x86_64-linux-gnu/libstdc++.so.6");
    let start = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(inspect(large)).expect("can be inspected");
    }
    println!("inspect, libstdc++: {:.1} us", start.elapsed().as_secs_f64() * 1e3);
}
