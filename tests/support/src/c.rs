//! The plugins written in C and C++: the samples, those of `tests/plugins`, and those that a test makes up.
//!
//! A library lies in a folder named after everything that went into it (sources, headers, flags, compiler). What
//! is there is therefore never stale, and what is in use is never overwritten. A C compiler must be there; where no C++
//! compiler is, that is said, and its plugins are left out. `PINTLE_PLUGIN_FLAGS` has flags for all of them, such as
//! those of a sanitizer.

use std::{
    collections::BTreeMap,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{place, tool};

/// How plugins of one language are compiled.
struct Language {
    name: &'static str,
    /// Which environment variable names the compiler, and what it is called where that is not set.
    compiler: (&'static str, &'static str),
    /// Beside the flags of the plugin's own.
    flags: &'static [&'static str],
    /// Of its sources; also the name of its folders.
    extension: &'static str,
}

const C: Language = Language {
    name: "C",
    compiler: ("CC", "cc"),
    flags: &["-shared", "-fPIC", "-O2", "-g", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"],
    extension: "c",
};

const CXX: Language = Language {
    name: "C++",
    compiler: ("CXX", "c++"),
    flags: &[
        "-shared",
        "-fPIC",
        "-O2",
        "-g",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wshadow",
        "-Werror",
        "-fvisibility=hidden",
    ],
    extension: "cpp",
};

/// Names the variable with flags for every plugin in C or C++, before its own: `cargo xtask asan` sets it.
const FLAGS_OF_ALL: &str = "PINTLE_PLUGIN_FLAGS";

/// What a plugin in C or C++ is made of.
#[derive(Clone, Debug)]
pub enum Source {
    /// The text of its one file.
    Text(String),
    /// Its files; headers beside them are found.
    Files(Vec<PathBuf>),
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Path> for Source {
    fn from(file: &Path) -> Self {
        Self::Files(vec![file.to_path_buf()])
    }
}

impl From<PathBuf> for Source {
    fn from(file: PathBuf) -> Self {
        Self::Files(vec![file])
    }
}

/// Compiles a C plugin to a library called `name`, with `$CC` or `cc`. `flags` come last, so that `-DVARIANT=3`
/// makes many plugins of one source and `-std=c11` or `-Wno-…` override.
///
/// ```no_run
/// let library = pintle_test_support::compile_c(
///     "null-entry",
///     "#include <pintle/plugin.h>\nconst pintle_plugin *pintle_plugin_entry_v1(void) { return NULL; }\n",
///     &[],
/// );
/// ```
///
/// # Panics
/// If it does not compile: with the compiler's own words.
#[must_use]
pub fn compile_c(name: &str, source: impl Into<Source>, flags: &[&str]) -> PathBuf {
    compile(&C, name, &source.into(), flags)
}

/// Compiles a C++ plugin, with `$CXX` or `c++`, as [`compile_c`] does one in C. Ask [`has_cxx`] before.
///
/// # Panics
/// If it does not compile: with the compiler's own words.
#[must_use]
pub fn compile_cxx(name: &str, source: impl Into<Source>, flags: &[&str]) -> PathBuf {
    compile(&CXX, name, &source.into(), flags)
}

fn compile(language: &Language, name: &str, source: &Source, flags: &[&str]) -> PathBuf {
    let compiler = compiler_of(language);
    let everywhere = env::var(FLAGS_OF_ALL).unwrap_or_default();
    let everywhere: Vec<&str> = everywhere.split_whitespace().collect();
    let inputs = fingerprint(language, &compiler, source, &[&everywhere, flags]);
    let folder = place::folder(&format!("{}/{inputs:016x}", language.extension));
    let library = folder.join(format!("{name}{}", env::consts::DLL_SUFFIX));
    if library.is_file() {
        return library;
    }
    // The compiler works in a folder of its own: two tests may want the same plugin at the same time.
    let workshop = tempfile::tempdir_in(place::samples_dir()).expect("the samples' folder can be written");
    let made = workshop.path().join("plugin");
    let mut cc = called(&compiler);
    cc.args(language.flags).args(everywhere);
    if cfg!(target_os = "linux") {
        // The entry function alone, or a library in C++ may never leave memory.
        let map = place::repository().join("include/pintle/plugin.map");
        cc.arg(format!("-Wl,--version-script={}", map.display()));
    }
    cc.arg("-I").arg(place::repository().join("include")).arg("-o").arg(&made);
    match source {
        Source::Text(text) => {
            // Beside the library, because debuggers and valgrind look for it.
            let file =
                place::publish(text.as_bytes(), &folder.join(format!("{name}.{}", language.extension)));
            cc.arg(file);
        }
        Source::Files(files) => {
            cc.args(files);
        }
    }
    tool::run(cc.args(flags), &format!("compile the {} plugin {name}", language.name));
    let bytes = fs::read(&made).expect("the compiler wrote it");
    place::publish(&bytes, &library)
}

/// Is there a C++ compiler (`$CXX` or `c++`)? Where there is none, the first who asks says so on stderr, for then
/// something is left out.
#[must_use]
pub fn has_cxx() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let compiler = compiler_of(&CXX);
        let there = version(&compiler).is_some();
        if !there {
            let left_out = format!(
                "SKIPPED: the C++ compiler `{compiler}` does not start; what is in C++ is left out\n"
            );
            // Not eprint: the test runner would swallow it.
            let _ = std::io::stderr().write_all(left_out.as_bytes());
        }
        there
    })
}

fn compiler_of(language: &Language) -> String {
    let (variable, otherwise) = language.compiler;
    env::var(variable).unwrap_or_else(|_| otherwise.into())
}

/// `$CC` may be `ccache gcc`.
fn called(compiler: &str) -> Command {
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cc"));
    command.args(words);
    command
}

/// What a compiler says of itself; none if it does not start.
fn version(compiler: &str) -> Option<String> {
    let said = called(compiler).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

/// Compiles every folder of `sample-plugins/c` and every file of `tests/plugins`; by the name of folder or file.
pub(crate) fn build_all() -> BTreeMap<String, PathBuf> {
    build_those_of(&C)
}

/// Compiles every folder of `sample-plugins/cpp` and every C++ file of `tests/plugins`, if there is a compiler.
pub(crate) fn build_all_cxx() -> BTreeMap<String, PathBuf> {
    if has_cxx() { build_those_of(&CXX) } else { BTreeMap::new() }
}

fn build_those_of(language: &Language) -> BTreeMap<String, PathBuf> {
    let root = place::repository();
    let mut sources = BTreeMap::new();
    let samples = root.join("sample-plugins").join(language.extension);
    for folder in entries(&samples).into_iter().filter(|entry| entry.is_dir()) {
        let files = with_extension(&folder, language.extension);
        if !files.is_empty() {
            sources.insert(stem(&folder), Source::Files(files));
        }
    }
    for file in with_extension(&root.join("tests/plugins"), language.extension) {
        let name = stem(&file);
        let other = sources.insert(name.clone(), file.into());
        assert!(other.is_none(), "two {} plugins are called {name}", language.name);
    }
    sources.into_iter().map(|(name, source)| (name.clone(), compile(language, &name, &source, &[]))).collect()
}

/// Changes with everything that a plugin is made from.
fn fingerprint(language: &Language, compiler: &str, source: &Source, flags: &[&[&str]]) -> u64 {
    let mut hash = DefaultHasher::new();
    (compiler, language.flags, flags).hash(&mut hash);
    for header in headers(&place::repository().join("include/pintle")) {
        read(&header).hash(&mut hash);
    }
    match source {
        Source::Text(text) => text.hash(&mut hash),
        Source::Files(files) => {
            for file in files {
                (file, read(file)).hash(&mut hash);
                for header in headers(file.parent().unwrap_or(Path::new(""))) {
                    read(&header).hash(&mut hash);
                }
            }
        }
    }
    hash.finish()
}

fn headers(folder: &Path) -> Vec<PathBuf> {
    ["h", "hpp"].iter().flat_map(|extension| with_extension(folder, extension)).collect()
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|file| file.extension().is_some_and(|end| end == extension)).collect()
}

/// What is in a folder, in the order of the names; nothing if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("it has a name").to_string_lossy().into_owned()
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|cause| panic!("cannot read {}: {cause}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "#include <pintle/plugin.h>\n\
        const pintle_plugin *pintle_plugin_entry_v1(void) { return NULL; }\n";

    #[test]
    fn a_plugin_of_a_test_is_compiled_once_and_again_when_its_flags_change() {
        let first = compile_c("empty", EMPTY, &[]);
        let built = first.metadata().and_then(|file| file.modified()).expect("it was built");
        assert_eq!(compile_c("empty", EMPTY, &[]), first);
        assert_eq!(first.metadata().and_then(|file| file.modified()).expect("it is there"), built);
        assert_ne!(compile_c("empty", EMPTY, &["-DVARIANT=2"]), first);
    }

    #[test]
    #[should_panic(expected = "this is not C")]
    fn a_plugin_that_does_not_compile_fails_with_the_words_of_the_compiler() {
        let _ = compile_c("broken", "#error this is not C\n", &[]);
    }

    #[test]
    fn a_plugin_in_cxx_is_compiled_and_never_stays_in_memory_by_unique_symbols() {
        if !has_cxx() {
            return; // It has been said.
        }
        let unique = "#include <pintle/plugin.hpp>\n#include <regex>\nPINTLE_VISIBLE bool one(const char *text);\n\
            bool one(const char *text) { return std::regex_match(text, std::regex(\"a*\")); }\n";
        let library = compile_cxx("unique", unique, &[]);
        let symbols =
            Command::new("nm").arg("-D").arg(&library).output().expect("nm comes with the compiler");
        let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
        assert!(symbols.contains("one"), "{symbols}");
        assert!(!symbols.lines().any(|line| line.contains(" u ")), "{symbols}");
    }

    #[test]
    fn headers_beside_a_source_count_as_its_inputs() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let source = folder.path().join("answer.c");
        let header = folder.path().join("answer.h");
        fs::write(&source, "#include \"answer.h\"\nint answer(void);\nint answer(void) { return ANSWER; }\n")
            .and_then(|()| fs::write(&header, "#define ANSWER 41\n"))
            .expect("the folder can be written");
        let old = compile_c("answer", source.as_path(), &[]);
        fs::write(&header, "#define ANSWER 42\n").expect("the folder can be written");
        assert_ne!(compile_c("answer", source.as_path(), &[]), old);
    }
}
