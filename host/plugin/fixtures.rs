//! Libraries for the tests of this folder: real ELF ones from the C compiler, and PE and Mach-O ones put together
//! by hand, so that no foreign linker is needed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A temporary folder; the modes of what the fixtures make do not depend on the umask.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    mode(folder.path(), 0o755);
    folder
}

/// A folder in another.
pub(crate) fn folder_in(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir(&path).expect("can be made");
    mode(&path, 0o755);
    path
}

/// A file that is not compiled.
pub(crate) fn file(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the folder can be written");
    mode(&path, 0o644);
    path
}

/// Sets the mode of a file or folder of ours.
pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// The least manifest of a plugin.
pub(crate) fn manifest(id: &str) -> String {
    format!(r#"{{"id":"{id}","version":"1.0.0","abi":"1.0"}}"#)
}

/// C code of a manifest record, as `PINTLE_MANIFEST` of the header makes it.
pub(crate) fn record(name: &str, text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "static const struct {{ char magic[8]; unsigned long long length; char text[sizeof(\"{text}\")]; }} {name} \
         __attribute__((section(\".pintle\"), used, aligned(8))) = \
         {{ \"PINTLE1\", sizeof(\"{text}\") - 1, \"{text}\" }};\n"
    )
}

/// C code of the entry function.
pub(crate) const ENTRY: &str = "const void *pintle_plugin_entry_v1(void) { return 0; }\n";

/// Compiles `code` to the library `folder/name`, or with `-c` or `-pie` to what is none.
pub(crate) fn compile(folder: &Path, name: &str, code: &str, flags: &[&str]) -> PathBuf {
    let source = folder.join(format!(".{name}.c"));
    let library = folder.join(name);
    fs::write(&source, code).expect("the folder can be written");
    let done = Command::new("cc")
        .args(["-fPIC", "-o"])
        .arg(&library)
        .args(if flags.contains(&"-c") || flags.contains(&"-pie") { None } else { Some("-shared") })
        .args(flags)
        .arg(&source)
        .output()
        .expect("there is a C compiler");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::remove_file(&source).expect("it was written above");
    mode(&library, 0o755);
    library
}

/// A plugin with its manifest inside.
pub(crate) fn plugin(folder: &Path, name: &str, id: &str) -> PathBuf {
    compile(folder, name, &(record("r", &manifest(id)) + ENTRY), &[])
}

/// A record as bytes, little-endian and aligned.
pub(crate) fn record_bytes(text: &str) -> Vec<u8> {
    let mut bytes = b"PINTLE1\0".to_vec();
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    if bytes.len() < at + part.len() {
        bytes.resize(at + part.len(), 0);
    }
    bytes[at..at + part.len()].copy_from_slice(part);
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn named(name: &str, width: usize) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(width, 0);
    bytes
}

/// A DLL for x86_64 that exports `exports` (sorted), needs KERNEL32.dll and has the record of `text`.
pub(crate) fn pe(text: &str, exports: &[&str]) -> Vec<u8> {
    let record = record_bytes(text);
    let mut file = Vec::new();
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &words(&[0x80]));
    put(&mut file, 0x80, b"PE\0\0");
    put(&mut file, 0x84, &0x8664_u16.to_le_bytes());
    put(&mut file, 0x86, &2_u16.to_le_bytes());
    put(&mut file, 0x94, &240_u16.to_le_bytes());
    put(&mut file, 0x96, &0x2022_u16.to_le_bytes());
    put(&mut file, 0x98, &0x20b_u16.to_le_bytes());
    put(&mut file, 0x98 + 108, &words(&[16, 0x1000, 40, 0x1200, 40]));
    // .rdata at address 0x1000, .pintle at 0x2000.
    put(&mut file, 0x188, b".rdata\0\0");
    put(&mut file, 0x190, &words(&[0x400, 0x1000, 0x400, 0x400]));
    put(&mut file, 0x1b0, b".pintle\0");
    put(
        &mut file,
        0x1b8,
        &words(&[record.len() as u32, 0x2000, record.len().next_multiple_of(512) as u32, 0x800]),
    );
    // The export table, its list of names, and the names.
    put(&mut file, 0x400 + 24, &words(&[exports.len() as u32, 0, 0x1040]));
    let mut at = 0x1080;
    for (index, name) in exports.iter().enumerate() {
        put(&mut file, 0x440 + 4 * index, &words(&[at]));
        put(&mut file, at as usize - 0xc00, name.as_bytes());
        at += name.len() as u32 + 1;
    }
    put(&mut file, 0x600 + 12, &words(&[0x1300]));
    put(&mut file, 0x700, b"KERNEL32.dll\0");
    put(&mut file, 0x800, &record);
    file.resize(0x800 + record.len().next_multiple_of(512), 0);
    file
}

/// A dylib for the CPU with the record of `text`; the entry stands in the symbols or in the trie of exports.
pub(crate) fn macho(text: &str, cpu: u32, in_trie: bool) -> Vec<u8> {
    let record = record_bytes(text);
    let mut commands = Vec::new();
    let (data, symbols) = (0x400_u64, 0x400 + record.len() as u64);
    // LC_SEGMENT_64 __DATA with __pintle.
    commands.extend(words(&[0x19, 152]));
    commands.extend(named("__DATA", 16));
    for number in [0x4000, 0x1000, data, record.len() as u64] {
        commands.extend(u64::to_le_bytes(number));
    }
    commands.extend(words(&[3, 3, 1, 0]));
    commands.extend(named("__pintle", 16));
    commands.extend(named("__DATA", 16));
    for number in [0x4000, record.len() as u64] {
        commands.extend(u64::to_le_bytes(number));
    }
    commands.extend(words(&[data as u32, 3, 0, 0, 0, 0, 0, 0]));
    // LC_LOAD_DYLIB, LC_RPATH, LC_BUILD_VERSION for macOS.
    commands.extend(words(&[0x0c, 56, 24, 0, 0, 0]));
    commands.extend(named("/usr/lib/libSystem.B.dylib", 32));
    commands.extend(words(&[0x8000_001c, 32, 12]));
    commands.extend(named("@loader_path", 20));
    commands.extend(words(&[0x32, 24, 1, 0, 0, 0]));
    let mut tail = Vec::new();
    let count = if in_trie {
        // A root with one edge `_pintle_plugin_`, then `other` and `entry_v1`.
        let mut trie = vec![0, 1];
        trie.extend(b"_pintle_plugin_\0");
        trie.push(19);
        trie.extend([0, 2]);
        trie.extend(b"other\0");
        trie.push(38);
        trie.extend(b"entry_v1\0");
        trie.push(42);
        assert_eq!(trie.len(), 38);
        trie.extend([2, 0, 8, 0, 2, 0, 16, 0]);
        trie[18] = 19;
        commands.extend(words(&[0x8000_0033, 16, symbols as u32, trie.len() as u32]));
        tail = trie;
        5
    } else {
        let strings = b"\0_pthread_key_create\0_pintle_plugin_entry_v1\0";
        tail.extend(words(&[1]));
        tail.extend([0x01, 0, 0, 0]);
        tail.extend([0; 8]);
        tail.extend(words(&[21]));
        tail.extend([0x0f, 1, 0, 0]);
        tail.extend([0; 8]);
        let at = symbols as u32;
        commands.extend(words(&[0x02, 24, at, 2, at + 32, strings.len() as u32]));
        tail.extend(strings);
        5
    };
    let mut file = words(&[0xfeed_facf, cpu, 0, 6, count, commands.len() as u32, 0, 0]);
    file.extend(&commands);
    assert!(file.len() <= 0x400);
    file.resize(0x400, 0);
    file.extend(&record);
    file.extend(&tail);
    file
}

/// A universal file of `parts`.
pub(crate) fn universal(parts: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0xca, 0xfe, 0xba, 0xbe];
    file.extend((parts.len() as u32).to_be_bytes());
    let mut at = 0x1000_u32;
    for (cpu, part) in parts {
        for number in [*cpu, 0, at, part.len() as u32, 12] {
            file.extend(number.to_be_bytes());
        }
        at += (part.len() as u32).next_multiple_of(0x1000);
    }
    for (_, part) in parts {
        file.resize(file.len().next_multiple_of(0x1000), 0);
        file.extend(part);
    }
    file
}
