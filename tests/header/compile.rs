//! Every compiler and every standard take the header without a warning, and what comes out works.
//!
//! gcc must be there; clang is used where it is, and its absence is said on stderr, whatever is captured.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use object::{Object, ObjectSection, ObjectSymbol};
use pintle_test_support::repository;

/// A compiler for one of the two languages.
pub(crate) struct Compiler {
    program: &'static str,
    language: &'static str,
    pub(crate) standards: &'static [&'static str],
}

const COMPILERS: [Compiler; 4] = [
    Compiler { program: "gcc", language: "c", standards: &["c99", "c11", "c2x"] },
    Compiler { program: "g++", language: "c++", standards: &["c++11", "c++17", "c++20"] },
    Compiler { program: "clang", language: "c", standards: &["c99", "c11", "c2x"] },
    Compiler { program: "clang++", language: "c++", standards: &["c++11", "c++17", "c++20"] },
];

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC"];

/// Those that are installed. gcc always is: without it nothing here would be checked.
pub(crate) fn compilers() -> &'static [&'static Compiler] {
    static INSTALLED: OnceLock<Vec<&Compiler>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let (there, missing): (Vec<_>, Vec<_>) = COMPILERS.iter().partition(|compiler| {
            let mut version = Command::new(compiler.program);
            version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        });
        assert!(there.iter().any(|compiler| compiler.program == "gcc"), "gcc is not installed");
        for compiler in missing {
            let skipped =
                format!("SKIPPED: {} is not installed; the header is not tried with it\n", compiler.program);
            // Not eprint: the test runner would swallow it.
            let _ = std::io::stderr().write_all(skipped.as_bytes());
        }
        there
    })
}

/// Compiles `source` to an object file in `folder`.
///
/// # Panics
/// If there is as much as a warning.
pub(crate) fn object(
    compiler: &Compiler,
    standard: &str,
    source: &Path,
    flags: &[&str],
    folder: &Path,
) -> PathBuf {
    try_object(compiler, standard, source, flags, folder).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Compiles `source` to an object file in `folder`, or gives the words of the compiler.
pub(crate) fn try_object(
    compiler: &Compiler,
    standard: &str,
    source: &Path,
    flags: &[&str],
    folder: &Path,
) -> Result<PathBuf, String> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let object = folder.join(format!("{number}.o"));
    let mut command = Command::new(compiler.program);
    command.arg(format!("-std={standard}")).args(STRICT).args(flags);
    command.arg("-I").arg(repository().join("include"));
    command.args(["-x", compiler.language, "-c"]).arg(source).arg("-o").arg(&object);
    run(&mut command).map(|_| object)
}

fn link(compiler: &Compiler, objects: &[PathBuf], flags: &[&str], to: &Path) {
    let mut command = Command::new(compiler.program);
    command.args(objects).args(flags).arg("-o").arg(to);
    run(&mut command).unwrap_or_else(|refusal| panic!("{refusal}"));
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|cause| format!("{command:?} does not start: {cause}"))?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said) } else { Err(format!("{command:?}: {}\n{said}", output.status)) }
}

fn source(name: &str) -> PathBuf {
    repository().join("tests/header").join(name)
}

/// A plugin of two files with everything that the header offers, as a library.
#[test]
fn contract_2_every_standard_takes_the_header_without_a_warning() {
    for compiler in compilers() {
        for standard in compiler.standards {
            let folder = tempfile::tempdir().expect("there is a place for temporary files");
            let plugin = ["plugin.c", "second_unit.c"].map(|name| {
                object(compiler, standard, &source(name), &["-fvisibility=hidden"], folder.path())
            });
            let library = folder.path().join("plugin.so");
            link(compiler, &plugin, &["-shared", "-Wl,--no-undefined"], &library);
            assert_eq!(
                exported(&library),
                ["pintle_plugin_entry_v1"],
                "{} -std={standard}",
                compiler.program
            );
        }
    }
}

/// Every standard that has std::string_view, with and without exceptions and type information. What is exported is the
/// entry, beside templates of the standard library.
#[test]
fn contract_2_every_standard_from_cxx_17_on_takes_the_header_for_cxx_without_a_warning() {
    let ways: [(&str, &[&str]); 5] = [
        ("c++17", &["-O2"]),
        ("c++17", &["-fno-rtti"]),
        ("c++17", &["-fno-exceptions"]),
        ("c++20", &[]),
        ("c++2b", &[]),
    ];
    for compiler in compilers().iter().filter(|compiler| compiler.language == "c++") {
        for (standard, flags) in ways {
            let folder = tempfile::tempdir().expect("there is a place for temporary files");
            let flags = [&["-fvisibility=hidden", "-Wconversion", "-Wshadow"], flags].concat();
            let plugin = ["plugin.cpp", "third_unit.cpp"]
                .map(|name| object(compiler, standard, &source(name), &flags, folder.path()));
            let library = folder.path().join("plugin.so");
            link(compiler, &plugin, &["-shared", "-Wl,--no-undefined"], &library);
            let own: Vec<_> = exported(&library).into_iter().filter(|name| name.contains("pintle")).collect();
            assert_eq!(own, ["pintle_plugin_entry_v1"], "{} -std={standard} {flags:?}", compiler.program);
        }
    }
}

/// The functions that no host calls yet, result handlers, and hosts that are older than the header.
#[test]
fn contract_78_an_exception_in_save_restore_provide_or_a_result_handler_becomes_a_status() {
    for compiler in compilers().iter().filter(|compiler| compiler.language == "c++") {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let object =
            object(compiler, "c++17", &source("alone.cpp"), &["-Wconversion", "-Wshadow"], folder.path());
        let program = folder.path().join("alone");
        link(compiler, &[object], &[], &program);
        let said = run(&mut Command::new(&program)).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(said, "alone works\n", "{}", compiler.program);
    }
}

/// What would only show at 3 a.m. is refused by the compiler.
#[test]
fn mistakes_with_the_header_for_cxx_are_told_by_the_compiler() {
    let plugin = |body: &str| {
        format!(
            "#include <pintle/plugin.hpp>\nPINTLE_MANIFEST({{ \"id\": \"x\" }});\nusing pintle::Context;\n\
             struct Plugin {{ {body} }};\nPINTLE_PLUGIN(Plugin, \"x\", \"0.1.0\");\n"
        )
    };
    let mistakes = [
        ("void enable() {}", "c++17", "the plugin's `enable` cannot be called as pintle/plugin.hpp says"),
        ("void call(const Context &) {}", "c++17", "the plugin's `call` cannot be called"),
        (
            "private: void enable(const Context &) {}",
            "c++17",
            "the plugin's `enable` cannot be called as pintle/plugin.hpp says",
        ),
        (
            "void disable() {} void disable(int) {}",
            "c++17",
            "the plugin's `disable` cannot be called as pintle/plugin.hpp says",
        ),
        (
            "template <int N> void save() {}",
            "c++17",
            "the plugin's `save` cannot be called as pintle/plugin.hpp says",
        ),
        ("private: void call(const Context &, const pintle::Request &) {}", "c++17", "the plugin's `call`"),
        ("void enable(const Context &cx) { cx.cache(\"n\").set(\"count\", 0); }", "c++17", "ambiguous"),
        ("explicit Plugin(int) {}", "c++17", "a plugin is constructed from a const pintle::Context &"),
        (
            "bool enable(const Context &) { return true; }",
            "c++17",
            "returns nothing, a pintle_status, or bytes",
        ),
        (
            "void enable(const Context &cx) { (void)cx.events().subscribe(\"a\", [](int) {}); }",
            "c++17",
            "a handler takes (const pintle::Context &, const pintle::Event &)",
        ),
        (
            "void enable(const Context &cx) { cx.events().subscribe(\"a\", [](const Context &, const pintle::Event &) {}); }",
            "c++17",
            "nodiscard",
        ),
        ("", "c++14", "pintle/plugin.hpp needs C++17 or later"),
    ];
    for compiler in compilers().iter().filter(|compiler| compiler.language == "c++") {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let file = folder.path().join("mistake.cpp");
        fs::write(&file, plugin("void enable(const Context &) {}")).expect("the folder can be written");
        object(compiler, "c++17", &file, &[], folder.path());
        for (body, standard, words) in mistakes {
            fs::write(&file, plugin(body)).expect("the folder can be written");
            let said = try_object(compiler, standard, &file, &[], folder.path()).expect_err(body);
            assert!(said.contains(words), "{}: {body}: {words:?} is not in\n{said}", compiler.program);
        }
    }
}

#[test]
fn contract_6_the_entry_can_be_renamed_and_a_plugin_be_there_twice() {
    said_by_the_application("entries");
}

#[test]
fn contract_8_a_buffer_holds_what_is_written_to_it() {
    said_by_the_application("buffers");
}

#[test]
fn contract_9_a_table_has_the_members_inside_of_its_size() {
    said_by_the_application("tables");
}

#[test]
fn texts_and_fields_are_what_was_put_in() {
    said_by_the_application("values");
}

#[test]
fn an_item_is_loaded_once_and_each_way_out_ends_the_lease() {
    said_by_the_application("loaders");
}

#[test]
fn values_of_sql_go_in_and_come_out_as_they_are_and_each_way_out_ends_the_transaction() {
    said_by_the_application("rows");
}

/// Runs the application, which has the plugin compiled in twice, for one of the things that it tries.
fn said_by_the_application(topic: &str) {
    for compiler in compilers() {
        let standard = compiler.standards[0];
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let object =
            |name: &str, flags: &[&str]| object(compiler, standard, &source(name), flags, folder.path());
        let parts = [
            object("application.c", &[]),
            object("plugin.c", &["-DPINTLE_ENTRY=first_entry"]),
            object("plugin.c", &["-DPINTLE_ENTRY=second_entry"]),
            object("second_unit.c", &[]),
        ];
        let program = folder.path().join("application");
        link(compiler, &parts, &[], &program);
        let said = run(Command::new(&program).arg(topic)).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(said, format!("{topic} work\n"), "{} -std={standard}", compiler.program);
    }
}

/// A linker that drops what nobody refers to would drop the manifest, if the plugin's struct did not point at it.
#[test]
fn contract_7_the_manifest_survives_optimisers_and_linkers_that_drop_sections() {
    let dropping: [&[&str]; 3] = [
        &["-O2", "-ffunction-sections", "-fdata-sections"],
        &["-O0", "-ffunction-sections", "-fdata-sections"],
        &["-O3", "-flto", "-ffunction-sections", "-fdata-sections"],
    ];
    for compiler in compilers() {
        for flags in dropping {
            if compiler.program.starts_with("clang") && flags.contains(&"-flto") {
                continue; // Needs a linker plugin that is often not installed.
            }
            let folder = tempfile::tempdir().expect("there is a place for temporary files");
            let standard = compiler.standards[0];
            let objects = ["plugin.c", "second_unit.c"]
                .map(|name| object(compiler, standard, &source(name), flags, folder.path()));
            let library = folder.path().join("plugin.so");
            link(compiler, &objects, &[&["-shared", "-Wl,--gc-sections"], flags].concat(), &library);
            let record = section(&library, ".pintle").unwrap_or_else(|| {
                panic!("{} {flags:?}: the manifest was dropped", compiler.program);
            });
            let manifest = manifest_in(&record);
            assert_eq!(manifest["id"], "header-test", "{} {flags:?}", compiler.program);
            assert_eq!(manifest["services"]["events"]["publish"][0], "a.>", "{} {flags:?}", compiler.program);
        }
    }
}

/// The record as a reader that has nothing but the bytes sees it: magic, length, text.
fn manifest_in(record: &[u8]) -> serde_json::Value {
    assert_eq!(&record[..8], b"PINTLE1\0");
    let length = u64::from_ne_bytes(record[8..16].try_into().expect("eight bytes")) as usize;
    serde_json::from_slice(&record[16..16 + length]).expect("the stringised manifest is JSON")
}

fn section(library: &Path, name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(library).expect("it was just linked");
    let file = object::File::parse(&*bytes).expect("the linker wrote an object file");
    file.section_by_name(name).map(|section| section.data().expect("it lies in the file").to_vec())
}

/// The names that a plugin defines for others, beside those that the linker adds itself.
fn exported(library: &Path) -> Vec<String> {
    let bytes = fs::read(library).expect("it was just linked");
    let file = object::File::parse(&*bytes).expect("the linker wrote an object file");
    let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let names = defined.map(|symbol| symbol.name().expect("its name is UTF-8").to_owned());
    names.filter(|name| !["_init", "_fini"].contains(&name.as_str())).collect()
}
