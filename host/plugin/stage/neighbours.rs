//! Refuses plugins that bring libraries of their own beside them. Those would be loaded unchecked, from where
//! anybody may put them, and glibc re-uses the old one by its name after a reload.

use std::path::Path;

use crate::{
    error::Result,
    plugin::inspect::{Inspection, source::Flaw},
};

const MEND: &str = "link it statically";

/// `home` is the folder of the original.
pub(super) fn check(inspection: &Inspection, home: &Path) -> Result<()> {
    find(inspection, home).map_or(Ok(()), |flaw| Err(flaw.mend(MEND).of(&inspection.path)))
}

fn find(inspection: &Inspection, home: &Path) -> Option<Flaw> {
    let relative = |path: &&String| {
        ["$ORIGIN", "${ORIGIN}", "@loader_path", "@executable_path"].iter().any(|word| path.contains(word))
            || !path.starts_with(['/', '@'])
    };
    if let Some(path) = inspection.run_paths.iter().find(relative) {
        return Some(Flaw::invalid(format!(
            "looks for libraries in \"{path}\", beside itself or where it is run"
        )));
    }
    inspection.needed.iter().find_map(|name| {
        let path = Path::new(name);
        let beside = match name.contains('/') {
            false => home.join(name).symlink_metadata().is_ok(),
            true if path.is_absolute() => path.parent().is_some_and(|parent| is_same(parent, home)),
            // Apple's @rpath and the like: where that leads was looked at above.
            true => !name.starts_with('@'),
        };
        beside.then(|| {
            Flaw::invalid(format!("needs the library {name}, which lies beside it or is named by a path"))
        })
    })
}

fn is_same(one: &Path, two: &Path) -> bool {
    match (one.canonicalize(), two.canonicalize()) {
        (Ok(one), Ok(two)) => one == two,
        _ => false,
    }
}
