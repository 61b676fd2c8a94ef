//! The sample plugins and the plugins of the tests, built once and shared by tests, benches and the demo.
//!
//! Plain `cargo test` builds no cdylib of another member, so whoever needs a plugin as a file asks here.
//! [`samples`] builds all of them, at the first call of a process and under a lock between processes;
//! [`compile_c`] and [`compile_cxx`] build a plugin that exists only for one test. The work is done by `crates` (cargo)
//! and `c` (the compilers of C and C++); `place` knows where results go.

#![forbid(unsafe_code)]

mod c;
mod crates;
mod place;
mod tool;

pub use c::{Source, compile_c, compile_cxx, has_cxx};
pub use place::{install, repository, target_dir};

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

/// Every plugin of the repository as a file.
///
/// - `sample-plugins/rust/NAME`, `tests/plugins/NAME` and `benches/plugins/NAME`, where they are cdylib crates: [`Samples::rust`].
/// - `sample-plugins/c/NAME/*.c` and `tests/plugins/NAME.c`: [`Samples::c`].
/// - `sample-plugins/cpp/NAME/*.cpp` and `tests/plugins/NAME.cpp`, where there is a C++ compiler: [`Samples::cpp`].
///
/// Neither the files nor the folders that they lie in may be written by group or others, whatever the umask.
#[derive(Debug)]
pub struct Samples {
    rust: BTreeMap<String, PathBuf>,
    c: BTreeMap<String, PathBuf>,
    cpp: BTreeMap<String, PathBuf>,
}

/// Builds what is not built yet or is older than its sources, and says where it is.
///
/// # Panics
/// If something does not compile: with the compiler's own words.
pub fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let _lock = place::lock();
        Samples { rust: crates::build_all(), c: c::build_all(), cpp: c::build_all_cxx() }
    })
}

impl Samples {
    /// The library of the Rust plugin whose crate lies in the folder called `name`.
    ///
    /// # Panics
    /// If there is none: with the names of those that there are.
    #[must_use]
    pub fn rust(&self, name: &str) -> PathBuf {
        named(&self.rust, "Rust", name)
    }

    /// The library of the C plugin called `name`.
    ///
    /// # Panics
    /// If there is none: with the names of those that there are.
    #[must_use]
    pub fn c(&self, name: &str) -> PathBuf {
        named(&self.c, "C", name)
    }

    /// The library of the C++ plugin called `name`; none where there is no C++ compiler, which is said on stderr.
    ///
    /// # Panics
    /// If there is none of that name: with the names of those that there are.
    #[must_use]
    pub fn cpp(&self, name: &str) -> Option<PathBuf> {
        has_cxx().then(|| named(&self.cpp, "C++", name))
    }

    /// Every plugin with its name, first those in Rust, then those in C, then those in C++.
    pub fn all(&self) -> impl Iterator<Item = (&str, &PathBuf)> {
        self.rust.iter().chain(&self.c).chain(&self.cpp).map(|(name, library)| (name.as_str(), library))
    }
}

fn named(plugins: &BTreeMap<String, PathBuf>, language: &str, name: &str) -> PathBuf {
    plugins.get(name).cloned().unwrap_or_else(|| {
        panic!("no {language} plugin is called {name:?}; there are {:?}", plugins.keys().collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_built_and_found_by_its_name() {
        let sysmon = samples().rust("sysmon");
        assert!(sysmon.is_file());
        assert_eq!(sysmon.extension().and_then(|end| end.to_str()), Some(std::env::consts::DLL_EXTENSION));
        assert!(samples().all().any(|(name, library)| name == "sysmon" && *library == sysmon));
        let echoes = samples().all().filter(|(name, _)| *name == "echo").count();
        assert_eq!(echoes, 2 + usize::from(has_cxx()), "in Rust, in C, and in C++ where it can be compiled");
    }

    #[test]
    #[should_panic(
        expected = "no Rust plugin is called \"sysmom\"; there are [\"cached\", \"chronicle\", \"echo\", \"hello\", \"mirror\", \"panicky\", \"sysmon\"]"
    )]
    fn a_misspelt_name_is_answered_with_the_right_ones() {
        let _ = samples().rust("sysmom");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_write_a_sample_or_its_folder() {
        use std::os::unix::fs::PermissionsExt;
        for (name, library) in samples().all() {
            let folder = library.parent().expect("a library lies in a folder");
            for path in [library.as_path(), folder] {
                let mode = path.metadata().expect("it was just built").permissions().mode();
                assert_eq!(mode & 0o022, 0, "{name}: {} has mode {mode:o}", path.display());
            }
        }
    }
}
