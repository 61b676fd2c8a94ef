//! Plugin folders that go away, change, are odd, or are full of what is no plugin.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use pintle::{Error, ErrorKind, PluginState};

use crate::place::{Place, SOON, host, looking_into, ping};

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo is there").success());
}

/// What is put in the place of a plugin folder while a host runs, what looking into it says then, and what loading says.
type Case = (&'static str, fn(&Path), &'static str, &'static str);

#[test]
fn a_plugin_folder_that_goes_away_or_changes_while_the_host_runs_harms_nothing_that_is_loaded() {
    const FILE: &str = "is a file, not a plugin folder";
    const LOOP: &str = "Too many levels of symbolic links";
    let cases: &[Case] = &[
        ("nothing", |_| {}, "is not there: make it", "is not there: make it"),
        ("a file", |at| fs::write(at, "text").expect("it can be made"), FILE, FILE),
        ("a link to itself", |at| symlink("plugins", at).expect("it can be made"), LOOP, LOOP),
        ("a pipe", fifo, FILE, FILE),
        (
            "an empty folder",
            |at| {
                fs::create_dir(at).expect("it can be made");
                fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("it is ours");
            },
            "",
            "it was not found in the plugin folders",
        ),
    ];
    for (name, put, seen, loading) in cases {
        let place = Place::new();
        let at = place.path("plugins");
        place.plugin("a", "plugins");
        place.plugin("b", "plugins");
        let host = host(std::slice::from_ref(&at));
        assert_eq!(host.start().enabled, ["a", "b"], "{name}");
        host.unload("b").expect("nothing of it fails");
        fs::rename(&at, place.path("away")).expect("it is ours");
        put(&at);

        let discovery = host.available();
        assert!(discovery.found.is_empty(), "{name}: {:?}", discovery.found);
        let skipped = discovery.skipped.iter().map(|skipped| &skipped.error);
        let told: Vec<_> = skipped.chain(&discovery.warnings).map(Error::to_string).collect();
        match *seen {
            "" => assert!(told.is_empty(), "{name}: {told:?}"),
            text => assert!(told.len() == 1 && told[0].contains(text), "{name}: {told:?}"),
        }
        for attempt in [host.load("b"), host.enable("b"), host.load("c")] {
            let error = attempt.expect_err("it is gone");
            assert_eq!(error.kind(), ErrorKind::NotFound, "{name}: {error}");
            assert!(error.to_string().contains(loading), "{name}: {error}");
        }
        assert_eq!(ping(&host, "a").expect("it is loaded"), b"pong", "{name}");
        host.disable("a").expect("nothing of it fails");
        host.enable("a").expect("it is loaded");
        assert_eq!(ping(&host, "a").expect("it is enabled"), b"pong", "{name}");

        let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir(&at));
        fs::rename(place.path("away"), &at).expect("nothing is in its way");
        host.enable("b").expect("it is there again");
        assert_eq!(ping(&host, "b").expect("it is enabled"), b"pong", "{name}");
        assert!(host.stop().left.is_empty(), "{name}");
    }
}

#[test]
fn what_would_block_whoever_opens_it_is_not_opened() {
    let place = Place::new();
    let at = place.path("plugins");
    place.plugin("a", "plugins");
    File::create(at.join("b.so")).expect("it is ours");
    // A library, a plain file, a manifest beside a library that has one, and one beside a library that has none.
    for name in ["pipe.so", "pipe", "a.pintle.json", "b.pintle.json"] {
        fifo(&at.join(name));
    }
    for (name, device) in
        [("tty.so", "/dev/tty"), ("zero.so", "/dev/zero"), ("full.so", "/dev/full"), ("dev", "/dev/zero")]
    {
        symlink(device, at.join(name)).expect("it can be made");
    }
    let began = Instant::now();
    let host = host(std::slice::from_ref(&at));
    let started = host.start();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(started.skipped.len(), 6, "{started:?}");
    for (path, error) in &started.skipped {
        let kinds = [ErrorKind::InvalidArgument, ErrorKind::Unavailable];
        assert!(kinds.contains(&error.kind()), "{}: {error}", path.display());
    }
    // Without the pipe beside it, it is a plugin.
    fs::remove_file(at.join("a.pintle.json")).expect("it is ours");
    host.enable("a").expect("nothing is in its way");
    assert_eq!(ping(&host, "a").expect("it is enabled"), b"pong");
}

#[test]
fn folders_may_be_given_twice_by_other_names_and_with_names_that_are_no_text() {
    let place = Place::new();
    let odd = place.folder(OsStr::from_bytes(b"pl\xffg\xfeins \n\x1b[2J"));
    let long = place.folder("x".repeat(255));
    place.plugin("a", &odd);
    place.plugin("b", &long);
    let below = place.folder(odd.join(OsStr::from_bytes(b"\xc0\xaf")));
    fs::rename(place.plugin("c", &below), below.join(OsStr::from_bytes(b"\xff\xff.so"))).expect("it is ours");
    symlink(&odd, place.path("again")).expect("it can be made");
    let here = std::env::current_dir().expect("there is one");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(odd.strip_prefix("/").expect("it is absolute"));
    let folders = [odd.clone(), odd.clone(), place.path("again"), odd.join("."), relative.clone(), long];
    let first = host(&folders);
    let started = first.start();
    assert_eq!(started.enabled, ["a", "c", "b"], "{started:?}");
    assert!(started.skipped.is_empty() && started.failed.is_empty(), "{started:?}");
    first.unload("c").expect("nothing of it fails");
    first.enable("c").expect("it is found again");
    drop(first);
    assert_eq!(host(&[relative]).start().enabled, ["a", "c"]);
}

#[test]
fn a_host_does_not_find_its_own_copies_wherever_its_data_folder_lies() {
    for data in ["plugins", "plugins/data", "."] {
        let place = Place::new();
        let library = place.plugin("a", "plugins");
        let host = looking_into(&[place.path("plugins")]).data(place.path(data)).build();
        let host = host.unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(host.start().enabled, ["a"], "{data}");
        let discovery = host.available();
        assert_eq!(discovery.found.len(), 1, "{data}");
        assert!(discovery.skipped.is_empty() && discovery.warnings.is_empty(), "{data}: {discovery:?}");
        // Whoever removes the plugin does not get it back from the copies.
        fs::remove_file(&library).expect("it is ours");
        assert!(host.available().found.is_empty(), "{data}");
        host.unload("a").expect("nothing of it fails");
        assert_eq!(host.load("a").expect_err("it is gone").kind(), ErrorKind::NotFound, "{data}");
    }
}

/// In the environment: fill the folder with as many files as there are to be, and not with a part of them.
const ALL_FILES: &str = "PINTLE_ALL_FILES";

#[test]
fn a_folder_full_of_other_files_is_looked_through_in_bounded_time_and_memory() {
    let files = if std::env::var_os(ALL_FILES).is_some() { 100_000 } else { 3_000 };
    let place = Place::new();
    let at = place.path("plugins");
    for number in 0..files {
        let name: PathBuf = match number % 10 {
            // Named like a library, and empty.
            0 => format!("{number}.so").into(),
            1 => {
                OsStr::from_bytes(&[b"\xff\xfe\n".as_slice(), number.to_string().as_bytes()].concat()).into()
            }
            2 => format!(".{number}.so").into(),
            3 => format!("{number}.so.bak").into(),
            4 => format!("{number}-{}", "x".repeat(200)).into(),
            _ => format!("file {number}").into(),
        };
        File::create(at.join(name)).expect("it can be made");
    }
    let plugins = ["aa", "mm", "zz"];
    for name in plugins {
        place.plugin(name, "plugins");
    }
    let host = host(&[at]);
    let before = resident();
    let began = Instant::now();
    let discovery = host.available();
    let (took, grown) = (began.elapsed(), resident().saturating_sub(before));
    println!("{files} files: {took:?}, {} KiB more while the answer is kept", grown >> 10);
    let found: Vec<_> = discovery.found.iter().map(|found| found.manifest.id.as_str()).collect();
    assert_eq!(found, plugins);
    assert_eq!(discovery.skipped.len(), files / 10);
    assert!(took < Duration::from_millis(files as u64), "{took:?}");
    // A path for each entry while they are looked at, and a path and an error for each that is told.
    assert!(grown < (8 << 20) + files * 1_000, "{grown} bytes");
    drop(discovery);
    let started = host.start();
    assert_eq!(
        (started.enabled.as_slice(), started.skipped.len()),
        (&plugins.map(str::to_owned)[..], files / 10)
    );
    host.unload("mm").expect("nothing of it fails");
    host.enable("mm").expect("it is found again");
    assert!(host.plugins().iter().all(|plugin| plugin.state == PluginState::Enabled));
}

/// How much memory this process has, in bytes; 0 where that is not told.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
