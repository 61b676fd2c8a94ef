//! The plugins written in C: the samples, those of `tests/plugins`, and those that a test makes up.
//!
//! A library lies in a folder named after everything that went into it (sources, headers, flags, compiler). What
//! is there is therefore never stale, and what is in use is never overwritten.

use std::{
    collections::BTreeMap,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{place, tool};

/// How every C plugin is compiled, beside the flags of its own.
const FLAGS: [&str; 9] =
    ["-shared", "-fPIC", "-O2", "-g", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// What a C plugin is made of.
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
    let source = source.into();
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let inputs = fingerprint(&compiler, &source, flags);
    let folder = place::folder(&format!("c/{inputs:016x}"));
    let library = folder.join(format!("{name}{}", env::consts::DLL_SUFFIX));
    if library.is_file() {
        return library;
    }
    // The compiler works in a folder of its own: two tests may want the same plugin at the same time.
    let workshop = tempfile::tempdir_in(place::samples_dir()).expect("the samples' folder can be written");
    let made = workshop.path().join("plugin");
    let mut words = compiler.split_whitespace();
    let mut cc = Command::new(words.next().unwrap_or("cc"));
    cc.args(words).args(FLAGS).arg("-I").arg(place::repository().join("include")).arg("-o").arg(&made);
    match &source {
        Source::Text(text) => {
            // Beside the library, because debuggers and valgrind look for it.
            let file = place::publish(text.as_bytes(), &folder.join(format!("{name}.c")));
            cc.arg(file);
        }
        Source::Files(files) => {
            cc.args(files);
        }
    }
    tool::run(cc.args(flags), &format!("compile the C plugin {name}"));
    let bytes = fs::read(&made).expect("the compiler wrote it");
    place::publish(&bytes, &library)
}

/// Is there a C++ compiler (`$CXX` or `c++`)?
#[must_use]
pub fn has_cxx() -> bool {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut words = compiler.split_whitespace();
    let mut cxx = Command::new(words.next().unwrap_or("c++"));
    cxx.args(words).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cxx.status().is_ok_and(|status| status.success())
}

/// Compiles every folder of `sample-plugins/c` and every file of `tests/plugins`; by the name of folder or file.
pub(crate) fn build_all() -> BTreeMap<String, PathBuf> {
    let root = place::repository();
    let mut sources = BTreeMap::new();
    for folder in entries(&root.join("sample-plugins/c")).into_iter().filter(|entry| entry.is_dir()) {
        let files = with_extension(&folder, "c");
        if !files.is_empty() {
            sources.insert(stem(&folder), Source::Files(files));
        }
    }
    for file in with_extension(&root.join("tests/plugins"), "c") {
        let name = stem(&file);
        assert!(sources.insert(name.clone(), file.into()).is_none(), "two C plugins are called {name}");
    }
    sources.into_iter().map(|(name, source)| (name.clone(), compile_c(&name, source, &[]))).collect()
}

/// Changes with everything that a C plugin is made from.
fn fingerprint(compiler: &str, source: &Source, flags: &[&str]) -> u64 {
    let mut hash = DefaultHasher::new();
    (compiler, FLAGS, flags).hash(&mut hash);
    for header in with_extension(&place::repository().join("include/pintle"), "h") {
        read(&header).hash(&mut hash);
    }
    match source {
        Source::Text(text) => text.hash(&mut hash),
        Source::Files(files) => {
            for file in files {
                (file, read(file)).hash(&mut hash);
                for header in with_extension(file.parent().unwrap_or(Path::new("")), "h") {
                    read(&header).hash(&mut hash);
                }
            }
        }
    }
    hash.finish()
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
