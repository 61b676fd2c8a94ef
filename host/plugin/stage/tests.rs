//! What staging promises, on folders made for each test.

use std::{
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    time::Instant,
};

use sha2::{Digest, Sha256};

use super::*;
use crate::plugin::{
    discover::{discover, examine},
    fixtures::{self, compile, folder, manifest, mode, plugin, record},
};

/// A folder of plugins and a private folder.
struct Place {
    plugins: tempfile::TempDir,
    private: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let (plugins, private) = (folder(), folder());
        mode(private.path(), 0o700);
        Self { plugins, private }
    }

    fn at(&self) -> &Path {
        self.plugins.path()
    }

    fn stage(&self, path: &Path) -> Result<Staged> {
        stage(path, None, self.private.path(), 1, &TrustPolicy::default())
    }

    /// A plugin whose manifest names these resources.
    fn with_files(&self, files: &str) -> PathBuf {
        let text = format!(r#"{{"id":"a","version":"1.0.0","abi":"1.0","files":[{files}]}}"#);
        compile(self.at(), "a.so", &(record("r", &text) + fixtures::ENTRY), &[])
    }

    /// What is said of it, and of what lies beside it, without staging it.
    fn foreseen(&self, path: &Path) -> Result<Vec<Error>> {
        examine(path, &TrustPolicy::default())?.0.check_beside(&TrustPolicy::default())
    }

    fn left_behind(&self) -> usize {
        fs::read_dir(self.private.path()).expect("is there").count()
    }
}

#[test]
fn a_copy_is_private_whole_and_removed_with_its_generation() {
    let place = Place::new();
    let path = plugin(place.at(), "liba.so", "a");
    let staged = place.stage(&path).expect("can be staged");
    assert_eq!(staged.library, place.private.path().join("1-liba.so"));
    assert_eq!(fs::read(&staged.library).expect("is there"), fs::read(&path).expect("is there"));
    assert_eq!(staged.sha256, <[u8; 32]>::from(Sha256::digest(fs::read(&path).expect("is there"))));
    assert_eq!(fs::metadata(&staged.library).expect("is there").mode() & 0o777, 0o600);
    assert_eq!((staged.manifest.id.as_str(), staged.inspection.path.as_path()), ("a", path.as_path()));
    let again = place.stage(&path).expect_err("the generation is taken");
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(staged.library.is_file(), "a refused second one removes nothing of the first");
    drop(staged);
    assert_eq!(place.left_behind(), 0);
    place.stage(&path).expect("can be staged").remove().expect("can be removed");
    assert_eq!(place.left_behind(), 0);
}

#[test]
fn a_name_as_long_as_names_can_be_is_staged() {
    let place = Place::new();
    let path = place.at().join(format!("{}.so", "x".repeat(252)));
    fs::rename(plugin(place.at(), "a.so", "a"), &path).expect("can be renamed");
    // A manifest beside it could not even be named.
    place.stage(&path).expect("can be staged");

    let name = "y".repeat(230);
    let path = place.at().join(format!("{name}.so"));
    fs::rename(compile(place.at(), "b.so", fixtures::ENTRY, &[]), &path).expect("can be renamed");
    fs::write(place.at().join(format!("{name}.pintle.json")), manifest("b")).expect("can be written");
    assert_eq!(place.stage(&path).expect("can be staged").manifest.id, "b");
}

#[test]
fn the_hash_of_a_large_library_is_of_all_its_bytes() {
    let place = Place::new();
    let code = record("r", &manifest("a")) + fixtures::ENTRY + "const char big[3000000] = { 1 };\n";
    let path = compile(place.at(), "a.so", &code, &[]);
    let staged = place.stage(&path).expect("can be staged");
    assert!(staged.inspection.size > 3_000_000);
    assert_eq!(staged.sha256, <[u8; 32]>::from(Sha256::digest(fs::read(&path).expect("is there"))));
}

#[test]
fn what_discovery_read_is_not_read_again_unless_it_changed() {
    let place = Place::new();
    let path = plugin(place.at(), "a.so", "a");
    let (known, _) = examine(&path, &TrustPolicy::default()).expect("is a plugin");
    let policy = TrustPolicy::default();
    let staged = stage(&path, Some(&known), place.private.path(), 1, &policy).expect("can be staged");
    assert!(Arc::ptr_eq(&staged.manifest, &known.manifest));
    fs::remove_file(&path).expect("is there");
    plugin(place.at(), "a.so", "b");
    let staged = stage(&path, Some(&known), place.private.path(), 2, &policy).expect("can be staged");
    assert_eq!(staged.manifest.id, "b");
}

#[test]
fn contract_85_a_file_that_changes_while_it_is_copied_is_not_taken() {
    let place = Place::new();
    let path = plugin(place.at(), "a.so", "a");
    let original = || {
        let file = open_regular(&path).expect("is there");
        Original::open(file, &path, &TrustPolicy::default(), &mut Vec::new()).expect("is ours")
    };
    let old = fs::File::open(&path).expect("is there");
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("it is ours");
    original().check_still().expect("nobody touched it");

    let seen = original();
    let mut writer = fs::OpenOptions::new().append(true).open(&path).expect("is there");
    writer.write_all(b"more").expect("can be written");
    let error = seen.check_still().expect_err("it grew");
    assert!(error.to_string().ends_with("it is being written, try again when it is complete"), "{error}");

    let seen = original();
    old.set_modified(std::time::SystemTime::now()).expect("it is ours");
    assert!(seen.check_still().is_err(), "its time changed");

    let seen = original();
    let other = place.at().join("other");
    fs::copy(&path, &other).expect("can be copied");
    fs::rename(&other, &path).expect("can be renamed");
    assert!(seen.check_still().is_err(), "another took its place");

    let seen = original();
    fs::remove_file(&path).expect("is there");
    assert_eq!(seen.check_still().expect_err("it is gone").kind(), ErrorKind::Unavailable);
}

#[test]
fn contract_88_resources_are_staged_along() {
    let place = Place::new();
    let path = place.with_files(r#""flags.csv","data/deep/x.bin","data/y""#);
    fs::create_dir_all(place.at().join("data/deep")).expect("can be made");
    for name in ["flags.csv", "data/deep/x.bin", "data/y", "data/unnamed"] {
        fs::write(place.at().join(name), name).expect("can be written");
    }
    let staged = place.stage(&path).expect("can be staged");
    for name in ["flags.csv", "data/deep/x.bin", "data/y"] {
        assert_eq!(fs::read_to_string(staged.resource(name).expect("is named")).expect("is staged"), name);
    }
    assert_eq!(staged.resource("data/unnamed"), None);
    let folder = place.private.path().join("1.files");
    assert!(!folder.join("data/unnamed").exists());
    assert_eq!(fs::metadata(folder).expect("is there").mode() & 0o777, 0o700);
    drop(staged);
    assert_eq!(place.left_behind(), 0);
}

#[test]
fn resources_that_are_not_what_they_seem_are_refused_and_nothing_is_left() {
    let place = Place::new();
    let at = place.at();
    fs::create_dir(at.join("real")).expect("can be made");
    fs::write(at.join("real/x"), "x").expect("can be written");
    fs::write(at.join("open"), "x").expect("can be written");
    mode(&at.join("open"), 0o666);
    symlink("/etc/passwd", at.join("link")).expect("can be made");
    symlink("real", at.join("linked")).expect("can be made");
    let sparse = fs::File::create(at.join("large")).expect("can be made");
    sparse.set_len(MAX_RESOURCES + 1).expect("is sparse");
    for (files, kind, expected) in [
        (r#""missing""#, ErrorKind::NotFound, "names the resource \"missing\""),
        (r#""real/missing""#, ErrorKind::NotFound, "put it beside the library"),
        (r#""none/x""#, ErrorKind::NotFound, "/none is not there"),
        (r#""link""#, ErrorKind::Denied, "is a link or no folder"),
        (r#""linked/x""#, ErrorKind::Denied, "is a link or no folder"),
        (r#""open/x""#, ErrorKind::Denied, "is a link or no folder"),
        (r#""open""#, ErrorKind::Denied, "chmod o-w"),
        (r#""real""#, ErrorKind::InvalidArgument, "is a folder, not a file"),
        (r#""large""#, ErrorKind::TooLarge, "at most 268435456 are allowed here"),
    ] {
        let path = place.with_files(files);
        let error = place.stage(&path).expect_err(expected);
        assert_eq!(place.foreseen(&path).expect_err(expected).to_string(), error.to_string());
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.plugin(), Some("a"));
        assert_eq!(place.left_behind(), 0);
    }
}

#[test]
fn a_manifest_beside_the_library_is_staged_and_the_copy_is_what_counts() {
    let place = Place::new();
    let path = compile(place.at(), "libgeo.so", fixtures::ENTRY, &[]);
    let beside = place.at().join("geo.pintle.json");
    fs::write(&beside, manifest("geo")).expect("can be written");
    let staged = place.stage(&path).expect("can be staged");
    assert_eq!(staged.manifest.id, "geo");
    assert!(place.private.path().join("1-geo.pintle.json").is_file());
    drop(staged);
    mode(&beside, 0o666);
    assert!(place.stage(&path).expect_err("open to all").to_string().contains("chmod o-w"));
    fs::remove_file(beside).expect("is there");
    assert!(place.stage(&path).expect_err("has none").to_string().contains("has no manifest"));
    assert_eq!(place.left_behind(), 0);
}

#[test]
fn contract_87_libraries_beside_a_plugin_are_refused() {
    let place = Place::new();
    let at = place.at();
    compile(at, "libown.so", "int own(void) { return 1; }", &[]);
    let search = format!("-L{}", at.display());
    let code = record("r", &manifest("a"))
        + "int own(void);\n"
        + "const void *pintle_plugin_entry_v1(void) { own(); return 0; }\n";
    let by_path = at.join("libown.so").display().to_string();
    for (code, flags, expected) in [
        (
            &code,
            &[search.as_str(), "-Wl,--no-as-needed", "-lown"][..],
            "needs the library libown.so, which lies beside it",
        ),
        (&code, &["-Wl,--no-as-needed", &by_path], "libown.so, which lies beside it or is named by a path"),
        (
            &(record("r", &manifest("a")) + fixtures::ENTRY),
            &["-Wl,-rpath,$ORIGIN/lib"],
            "looks for libraries in \"$ORIGIN/lib\"",
        ),
        (
            &(record("r", &manifest("a")) + fixtures::ENTRY),
            &["-Wl,-rpath,lib", "-Wl,--disable-new-dtags"],
            "looks for libraries in \"lib\"",
        ),
    ] {
        let path = compile(at, "a.so", code, flags);
        let error = place.stage(&path).expect_err(expected).to_string();
        assert_eq!(place.foreseen(&path).expect_err(expected).to_string(), error);
        assert!(error.contains(expected) && error.ends_with(": link it statically"), "{error}");
    }
    let fine =
        compile(at, "a.so", &(record("r", &manifest("a")) + fixtures::ENTRY), &["-Wl,-rpath,/opt/lib"]);
    place.stage(&fine).expect("looks where only root may write");
    place.foreseen(&fine).expect("it is the same without staging");
}

#[test]
fn contract_86_what_is_open_to_strangers_is_refused_and_the_setting_makes_it_a_warning() {
    let place = Place::new();
    let path = plugin(place.at(), "a.so", "a");
    mode(&path, 0o757);
    assert_eq!(place.stage(&path).expect_err("open to all").kind(), ErrorKind::Denied);
    let lax = TrustPolicy { allow_foreign: true, strict: false };
    let staged = stage(&path, None, place.private.path(), 1, &lax).expect("is allowed");
    assert!(staged.warnings[0].to_string().starts_with("plugin \"a\": "), "{:?}", staged.warnings);
    drop(staged);
    mode(&path, 0o755);
    mode(place.at(), 0o777);
    assert!(place.stage(&path).expect_err("open to all").to_string().contains("chmod o-w"));
    assert_eq!(place.left_behind(), 0);
}

#[test]
fn a_link_to_a_plugin_is_followed_and_judged_by_its_target() {
    let place = Place::new();
    let elsewhere = folder();
    let real = plugin(elsewhere.path(), "real.so", "a");
    let link = place.at().join("link.so");
    symlink(&real, &link).expect("can be made");
    let staged = place.stage(&link).expect("the target is ours");
    assert!(fs::symlink_metadata(&staged.library).expect("is there").is_file());
    drop(staged);
    mode(&real, 0o777);
    assert_eq!(place.stage(&link).expect_err("the target is open").kind(), ErrorKind::Denied);
}

#[test]
fn a_private_folder_is_made_and_one_that_is_not_private_is_refused() {
    let place = Place::new();
    let path = place.at().join("private");
    create_private_folder(&path).expect("can be made");
    assert_eq!(fs::metadata(&path).expect("is there").mode() & 0o777, 0o700);
    create_private_folder(&path).expect("is there and private");
    mode(&path, 0o750);
    let error = create_private_folder(&path).expect_err("open to the group").to_string();
    assert!(error.ends_with(&format!("chmod 700 {}", path.display())), "{error}");
    mode(&path, 0o700);
    let link = place.at().join("link");
    symlink(&path, &link).expect("can be made");
    assert!(create_private_folder(&link).expect_err("is a link").to_string().contains("is no folder"));
    assert!(create_private_folder(&place.at().join("no/such")).is_err());
}

/// `cargo test --release -p pintle --lib how_long -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_discovering_and_staging_a_hundred_plugins_takes() {
    let place = Place::new();
    for n in 0..100 {
        plugin(place.at(), &format!("lib{n:03}.so"), &format!("p{n}"));
    }
    let folders = [place.at().to_owned()];
    let policy = TrustPolicy::default();
    for _ in 0..5 {
        let start = Instant::now();
        let found = discover(&folders, &policy);
        let discovered = start.elapsed();
        assert_eq!(found.found.len(), 100);
        let start = Instant::now();
        let staged: Vec<Staged> = found
            .found
            .iter()
            .zip(0..)
            .map(|(known, n)| {
                stage(&known.path, Some(known), place.private.path(), n, &policy).expect("can be staged")
            })
            .collect();
        let stage_time = start.elapsed();
        drop(staged);
        let start = Instant::now();
        for known in &found.found {
            let to = place.private.path().join(known.path.file_name().expect("has a name"));
            fs::copy(&known.path, &to).expect("can be copied");
            std::hint::black_box(Sha256::digest(fs::read(&to).expect("is there")));
        }
        let bare = start.elapsed();
        for known in &found.found {
            let to = place.private.path().join(known.path.file_name().expect("has a name"));
            fs::remove_file(to).expect("is there");
        }
        println!(
            "a plugin: discover {:.1} us, stage {:.1} us; bare copy and SHA-256 {:.1} us",
            discovered.as_secs_f64() * 1e4,
            stage_time.as_secs_f64() * 1e4,
            bare.as_secs_f64() * 1e4
        );
    }
}
