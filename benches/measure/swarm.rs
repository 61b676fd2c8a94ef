//! Many plugins out of one: copies of a library with other digits in the id.

use std::{fs, path::Path};

use pintle_test_support::install;

/// Puts `count` copies of `library`, whose id ends with `-0000`, into `folder`: with the ids `-0000`, `-0001` and so on.
pub(crate) fn swarm(library: &Path, folder: &Path, count: usize) {
    let bytes = fs::read(library).expect("it was just built");
    let name = library.file_stem().expect("it has a name").to_str().expect("it is a simple one");
    let id = format!("{name}-0000");
    let places: Vec<usize> = bytes
        .windows(id.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == id.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(places.len() >= 2, "the id stands in the manifest and in the plugin's struct");
    let workshop = tempfile::tempdir().expect("there is a place for temporary files");
    for number in 0..count {
        let own = format!("{name}-{number:04}");
        let mut copy = bytes.clone();
        for place in &places {
            copy[*place..place + own.len()].copy_from_slice(own.as_bytes());
        }
        let file = workshop.path().join(format!("{own}.so"));
        fs::write(&file, &copy).expect("the folder can be written");
        install(&file, folder);
        fs::remove_file(&file).expect("it is ours");
    }
}
