//! Where the socket is: what may be in its place, and how the folder may be.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use super::{Asked, Fake, LONG, Rig, private};
use crate::{
    control::{Client, Control, SOCKET, socket::Place},
    error::{Error, ErrorKind},
};

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

fn start(data: &Path) -> Result<Control, Error> {
    Control::start(data, &private(data), Arc::new(Asked(Arc::new(Fake::default()))), |_| {})
}

#[test]
fn a_socket_that_a_crashed_host_has_left_is_replaced() {
    let data = folder();
    let path = data.path().join(SOCKET);
    drop(UnixListener::bind(&path).expect("nothing is in its way"));
    assert!(path.exists(), "nothing is left behind");
    assert!(Client::connect(data.path()).expect("nobody serves").is_none());
    // And one that was not finished.
    drop(UnixListener::bind(private(data.path()).join("control.sock")).expect("nothing is in its way"));
    Rig::at(data, LONG).end();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    type Put = fn(&Path);
    let cases: [(&str, Put); 7] = [
        ("a folder", |path| fs::create_dir(path).expect("it can be made")),
        ("a folder", |path| fs::create_dir_all(path.join("below")).expect("it can be made")),
        ("a file", |path| fs::write(path, "mine").expect("it can be written")),
        ("a file", |path| fs::write(path, "").expect("it can be written")),
        ("a link", |path| symlink("/etc/passwd", path).expect("it can be made")),
        ("a link", |path| symlink("nowhere", path).expect("it can be made")),
        ("a link", |path| {
            let target = path.with_file_name("other.sock");
            drop(UnixListener::bind(&target).expect("nothing is in its way"));
            symlink(target, path).expect("it can be made");
        }),
    ];
    for (what, put) in cases {
        let data = folder();
        let path = data.path().join(SOCKET);
        put(&path);
        let before = fs::symlink_metadata(&path).expect("it is there");
        let error = start(data.path()).err().expect("something is in its place");
        let text = format!(
            "there is no control socket: {} is {what}, and is left alone: move it elsewhere",
            path.display()
        );
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Conflict, text));
        let after = fs::symlink_metadata(&path).expect("it is there");
        assert_eq!((before.file_type(), before.len()), (after.file_type(), after.len()));
        assert_eq!(fs::read_dir(private(data.path())).expect("it is there").count(), 0, "something is left");
        let error = Client::connect(data.path()).expect_err("it is no socket");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("is no socket"), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_have_it_is_told() {
    let data = folder();
    let private = private(data.path());
    fs::write(data.path().join("file"), "").expect("it can be written");
    for wrong in ["nowhere", "file", "file/below"] {
        let wrong = data.path().join(wrong);
        let methods = Arc::new(Asked(Arc::new(Fake::default())));
        let error = Control::start(&wrong, &private, methods, |_| {}).err().expect("there is no such folder");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&*wrong.to_string_lossy()), "{error}");
        assert_eq!(fs::read_dir(&private).expect("it is there").count(), 0, "something is left");
    }
    assert!(Client::connect(&data.path().join("nowhere")).expect("nobody serves").is_none());
    let error = Client::connect(&data.path().join("file")).expect_err("it is no folder");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn the_folder_may_have_a_long_path() {
    for name in ["x", "ä ö", "\n\t"] {
        for depth in [30, 46, 47, 50, 100, 900, 3500] {
            let data = folder();
            let mut path = data.path().to_owned();
            while path.as_os_str().len() < depth {
                let left = (depth - path.as_os_str().len()).clamp(1, 200);
                path = path.join(name.chars().cycle().take(left.div_ceil(2)).collect::<String>());
            }
            fs::create_dir_all(&path).expect("it can be made");
            let control = start(&path).expect("it is made");
            let mut client = Client::connect(&path).expect("it is there").expect("it serves");
            assert_eq!(client.call("echo", json!({ "a": 1 })).expect("it answers"), json!({ "a": 1 }));
            assert_eq!(control.close(Instant::now() + LONG), Vec::<String>::new());
            assert!(!path.join(SOCKET).exists());
            assert!(Client::connect(&path).expect("nobody serves").is_none());
            // One that was left behind, too.
            drop(start(&path).expect("it is made"));
        }
    }
}

/// With whatever umask the process has.
pub(super) fn never_open_to_others() {
    let data = folder();
    let over = AtomicBool::new(false);
    let seen = AtomicU64::new(0);
    let path = data.path().join(SOCKET);
    thread::scope(|threads| {
        let looking = threads.spawn(|| {
            while !over.load(SeqCst) {
                if let Ok(found) = fs::symlink_metadata(&path) {
                    assert!(found.file_type().is_socket());
                    assert_eq!(found.permissions().mode() & 0o7777, 0o600);
                    seen.fetch_add(1, SeqCst);
                }
            }
        });
        // The other thread may be slow to begin.
        let patience = Instant::now() + Duration::from_secs(60);
        let mut made = 0;
        while (made < 200 || seen.load(SeqCst) == 0) && !looking.is_finished() && Instant::now() < patience {
            drop(start(data.path()).expect("it is made"));
            made += 1;
        }
        over.store(true, SeqCst);
        looking.join().expect("it was always closed to others");
        assert!(seen.load(SeqCst) > 0, "it was never seen");
    });
}

#[test]
fn the_socket_is_never_open_to_others() {
    never_open_to_others();
}

#[test]
fn two_folders_have_two_sockets() {
    let (one, other) = (Rig::new(), Rig::new());
    one.is_served();
    other.is_served();
    one.end();
    other.is_served();
    other.end();
}

#[test]
fn what_has_taken_the_place_of_the_socket_is_not_removed_with_it() {
    let rig = Rig::new();
    let path = rig.path().join(SOCKET);
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "mine").expect("it can be written");
    rig.control.close(Instant::now() + LONG);
    assert_eq!(fs::read(&path).expect("it is there"), b"mine");
    // Removed, it comes back with the next one.
    fs::remove_file(&path).expect("it is there");
    let again = Rig::at_path(rig.path(), LONG);
    fs::remove_file(again.path().join(SOCKET)).expect("it is there");
    again.end();
}

/// What wakes the door at the stop, where the end of a socket does not.
#[test]
fn a_knock_arrives_although_the_socket_was_moved_when_it_was_made() {
    let data = folder();
    let place = Place::make(data.path(), &private(data.path())).expect("nothing is in its way");
    place.listener().set_nonblocking(true).expect("it can");
    assert!(place.listener().accept().is_err(), "nobody has come yet");
    place.knock();
    place.listener().accept().expect("somebody has");
    place.shut();
    assert!(!data.path().join(SOCKET).exists());
}
