//! What discovery promises, on folders made for each test.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use super::*;
use crate::plugin::fixtures::{self, compile, file, folder, folder_in, manifest, mode, plugin};

fn look(folders: &[&Path]) -> Discovery {
    let folders: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    discover(&folders, &TrustPolicy::default())
}

fn ids(discovery: &Discovery) -> Vec<&str> {
    discovery.found.iter().map(|candidate| candidate.manifest.id.as_str()).collect()
}

/// The last part of each skipped path, and the reason.
fn skipped(discovery: &Discovery) -> Vec<(String, String)> {
    let name = |path: &Path| path.file_name().expect("has a name").to_string_lossy().into_owned();
    discovery.skipped.iter().map(|skipped| (name(&skipped.path), skipped.error.to_string())).collect()
}

#[test]
fn plugins_are_found_in_folders_and_one_level_below_in_order() {
    let at = folder();
    let at = at.path();
    for below in ["m-sub", "m-sub/deeper", ".hidden"] {
        folder_in(at, below);
    }
    plugin(at, "z.so", "last");
    plugin(at, "b.so", "first");
    plugin(&at.join("m-sub"), "a.so", "below");
    plugin(&at.join("m-sub/deeper"), "x.so", "too-deep");
    plugin(&at.join(".hidden"), "x.so", "in-hidden");
    plugin(at, ".x.so", "hidden");
    file(at, "README", "not a plugin");
    let found = look(&[at]);
    assert_eq!(ids(&found), ["first", "last", "below"]);
    assert!(found.skipped.is_empty() && found.warnings.is_empty(), "{found:?}");
}

#[test]
fn one_bad_file_keeps_no_other_from_being_found() {
    let at = folder();
    let at = at.path();
    plugin(at, "good.so", "good");
    file(at, "a-text.so", "text");
    file(at, "b.dll", fixtures::pe("{}", &["x"]));
    file(at, "c.dylib", fixtures::macho("{}", 0x0100_0007, true));
    compile(at, "d-none.so", fixtures::ENTRY, &[]);
    compile(at, "e-bad.so", &(fixtures::record("r", "{}") + fixtures::ENTRY), &[]);
    let new = r#"{"id":"new","version":"1.0.0","abi":"1.999"}"#;
    compile(at, "f-new.so", &(fixtures::record("r", new) + fixtures::ENTRY), &[]);
    symlink("g-loop.so", at.join("g-loop.so")).expect("can be made");
    symlink("nowhere", at.join("h-dangling.so")).expect("can be made");
    folder_in(at, "i-folder.so");
    let found = look(&[at]);
    assert_eq!(ids(&found), ["good"]);
    let said = skipped(&found);
    let expected = [
        ("a-text.so", "not an ELF, PE or Mach-O file"),
        ("b.dll", "is for windows, by its name, this host is x86_64 linux: use the build for linux"),
        ("c.dylib", "is for macos"),
        ("d-none.so", "has no manifest: not a Pintle plugin"),
        ("e-bad.so", "e-bad.so has 3 problems: "),
        ("f-new.so", "plugin \"new\": asks for pintle ABI 1.999, this host has"),
        ("g-loop.so", "cannot be read"),
        ("h-dangling.so", "is not there"),
        ("i-folder.so", "is a folder, not a file"),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((name, error), (expected_name, text)) in said.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!(error.contains(text), "{name}: {error}");
    }
}

#[test]
fn of_two_with_one_id_the_first_folder_wins() {
    let (one, two) = (folder(), folder());
    let first = plugin(one.path(), "z.so", "same");
    let second = plugin(two.path(), "a.so", "same");
    let found = look(&[one.path(), two.path()]);
    assert_eq!(found.found[0].path, first);
    assert_eq!(found.found.len(), 1);
    assert_eq!(found.skipped[0].error.kind(), ErrorKind::Conflict);
    let said = found.skipped[0].error.to_string();
    assert!(
        said.contains(&first.display().to_string()) && said.contains(&second.display().to_string()),
        "{said}"
    );
}

#[test]
fn a_plugin_that_cannot_be_loaded_hides_no_later_one_of_its_id() {
    let (one, two) = (folder(), folder());
    let new = manifest("same").replace("\"1.0\"", "\"1.999\"");
    compile(one.path(), "a.so", &(fixtures::record("r", &new) + fixtures::ENTRY), &[]);
    plugin(two.path(), "a.so", "same");
    let found = look(&[one.path(), two.path()]);
    assert_eq!((ids(&found), found.skipped.len()), (vec!["same"], 1));
}

#[test]
fn the_same_file_reached_twice_is_one() {
    let at = folder();
    let real = folder_in(at.path(), "real");
    plugin(&real, "a.so", "a");
    symlink(&real, at.path().join("again")).expect("can be made");
    symlink("real/a.so", at.path().join("zz.so")).expect("can be made");
    symlink(at.path(), real.join("up")).expect("can be made");
    let found = look(&[at.path(), &real, at.path()]);
    assert_eq!(ids(&found), ["a"]);
    assert!(found.skipped.is_empty() && found.warnings.is_empty(), "{found:?}");
}

#[test]
fn a_missing_folder_is_a_warning_and_a_file_in_its_place_is_skipped() {
    let at = folder();
    plugin(at.path(), "a.so", "a");
    let missing = at.path().join("missing");
    let file = at.path().join("a.so");
    let found = look(&[&missing, &file, at.path()]);
    assert_eq!(ids(&found), ["a"]);
    let said = found.warnings[0].to_string();
    assert!(said.contains("missing is not there: make it"), "{said}");
    assert!(found.skipped[0].error.to_string().contains("is a file, not a plugin folder"));
}

#[test]
fn contract_86_what_strangers_may_write_is_skipped_and_what_the_group_may_is_warned_of() {
    let at = folder();
    let at = at.path();
    for name in ["open", "ours"] {
        folder_in(at, name);
    }
    mode(&plugin(at, "a.so", "all"), 0o757);
    mode(&plugin(at, "b.so", "group"), 0o775);
    plugin(&at.join("open"), "c.so", "in-open");
    mode(&at.join("open"), 0o777);
    compile(&at.join("ours"), "d.so", fixtures::ENTRY, &[]);
    let beside = at.join("ours/d.pintle.json");
    fs::write(&beside, manifest("beside")).expect("can be written");
    mode(&beside, 0o666);
    let found = look(&[at]);
    assert_eq!(ids(&found), ["group"]);
    assert!(found.warnings[0].to_string().contains("has mode 0775"), "{:?}", found.warnings);
    let said = skipped(&found);
    let names: Vec<&str> = said.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.so", "open", "d.so"]);
    assert!(said.iter().all(|(_, error)| error.contains("every user may change it: chmod o-w")), "{said:?}");

    let lax = discover(&[at.to_owned()], &TrustPolicy { allow_foreign: true, strict: false });
    assert_eq!((ids(&lax), lax.warnings.len()), (vec!["all", "group", "in-open", "beside"], 4));
    let strict = discover(&[at.to_owned()], &TrustPolicy { allow_foreign: false, strict: true });
    assert_eq!((ids(&strict), strict.skipped.len()), (vec![], 4));
}

#[test]
fn what_cannot_be_read_is_skipped() {
    if crate::plugin::stage::effective_user() == 0 {
        return; // root may read everything
    }
    let at = folder();
    let shut = folder_in(at.path(), "shut");
    mode(&shut, 0);
    mode(&plugin(at.path(), "a.so", "a"), 0);
    plugin(at.path(), "b.so", "b");
    let found = look(&[at.path()]);
    mode(&shut, 0o700);
    assert_eq!(ids(&found), ["b"]);
    let said = skipped(&found);
    assert!(said.iter().all(|(_, error)| error.contains("may not be read by this user")), "{said:?}");
    assert_eq!(said.len(), 2);
}

#[test]
fn a_name_that_is_not_text_is_taken_as_it_is() {
    let at = folder();
    let made = plugin(at.path(), "a.so", "a");
    let odd = at.path().join(OsStr::from_bytes(b"\xff\xfe.so"));
    fs::rename(&made, &odd).expect("can be renamed");
    fs::write(at.path().join(OsStr::from_bytes(b"\xff.txt")), "x").expect("can be written");
    let found = look(&[at.path()]);
    assert_eq!(found.found[0].path, odd);
}

#[test]
fn a_library_named_by_its_path_is_examined_alike() {
    let at = folder();
    let path = plugin(at.path(), "a.so", "a");
    let (found, warnings) = examine(&path, &TrustPolicy::default()).expect("is a plugin");
    assert_eq!((found.manifest.id.as_str(), warnings.len()), ("a", 0));
    mode(at.path(), 0o777);
    assert_eq!(examine(&path, &TrustPolicy::default()).expect_err("open to all").kind(), ErrorKind::Denied);
}
