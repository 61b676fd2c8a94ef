//! The plugins that exist only for the benches, in `benches/plugins`.

use std::path::PathBuf;

use pintle_test_support::{compile_c, repository};

/// The library of the plugin called `name`.
pub(crate) fn compiled(name: &str) -> PathBuf {
    compile_c(name, repository().join("benches/plugins").join(name).with_extension("c"), &["-g0"])
}
