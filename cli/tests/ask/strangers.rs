//! What has the socket is no host, or not for this user.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    process::Command,
    thread,
};

use super::place::Place;

#[test]
fn whatever_has_the_socket_and_is_no_host_is_told() {
    for (greeting, code, said) in [
        ("nonsense\n", 1, "is no Pintle host of this kind: it sends what cannot be read"),
        ("{}\n", 1, "is no Pintle host of this kind"),
        ("", 1, "the host has ended the connection"),
        (
            r#"{"jsonrpc":"2.0","method":"hello","params":{"protocol":9,"pintle":"9.0"}}"#,
            1,
            "speaks protocol 9",
        ),
        (
            concat!(
                r#"{"jsonrpc":"2.0","method":"hello","params":{"protocol":1,"pintle":"9.0","pid":7}}"#,
                "\n[]\n"
            ),
            1,
            "is no Pintle host of this kind",
        ),
    ] {
        let place = Place::new();
        fs::create_dir(place.path("data")).expect("it can be made");
        let listener = UnixListener::bind(place.path("data/pintle.sock")).expect("it can be made");
        let greeting = if greeting.is_empty() { String::new() } else { format!("{}\n", greeting.trim_end()) };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            // Whoever has heard enough may have gone.
            let _ = stream.write_all(greeting.as_bytes());
            if greeting.contains("pid") {
                let _ = BufReader::new(&stream).read_line(&mut String::new());
            }
        });
        let answer = place.ask(&["plugins"]);
        server.join().expect("it does not panic");
        assert_eq!((answer.code, &*answer.stdout), (Some(code), ""), "{}", answer.stderr);
        assert!(answer.stderr.contains(said), "{}\nlacks {said}", answer.stderr);
    }
}

#[test]
fn the_host_of_another_user_cannot_be_asked() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root || Command::new("setpriv").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: only root can become another user, with setpriv");
    }
    let place = Place::new();
    let _host = place.host(&[]);
    // Where the command lies, others may not be allowed to look.
    fs::copy(env!("CARGO_BIN_EXE_pintle"), place.path("pintle")).expect("it can be copied");
    for open in ["", "data", "pintle", "pintle.toml", "plugins"] {
        fs::set_permissions(place.path(open), PermissionsExt::from_mode(0o755)).expect("it is ours");
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(place.path("pintle"))
        .arg("plugins");
    let output = command.current_dir(place.path("")).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("data/pintle.sock is for user 0 alone: run this as that user"), "{said}");
}

#[test]
fn an_event_that_cannot_be_read_is_the_fault_of_who_tells_it() {
    let place = Place::new();
    fs::create_dir(place.path("data")).expect("it can be made");
    let listener = UnixListener::bind(place.path("data/pintle.sock")).expect("it can be made");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut say = |line: &str| stream.write_all(format!("{line}\n").as_bytes()).expect("it listens");
        say(r#"{"jsonrpc":"2.0","method":"hello","params":{"protocol":1,"pintle":"9.0","pid":7}}"#);
        say(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        say(r#"{"jsonrpc":"2.0","method":"later","params":{}}"#);
        say(r#"{"jsonrpc":"2.0","method":"event","params":{"event":{"a":"\u009b"}}}"#);
        say(r#"{"jsonrpc":"2.0","method":"event","params":{}}"#);
        // Until it goes.
        let _ = BufReader::new(&stream).lines().count();
    });
    let answer = place.ask(&["tail"]);
    server.join().expect("it does not panic");
    assert_eq!((answer.code, &*answer.stdout), (Some(1), "{\"a\":\"\\u009b\"}\n"), "{}", answer.stderr);
    let said = "the host tells no more: it tells what cannot be read: missing field `event`";
    assert!(answer.stderr.contains(said), "{}", answer.stderr);
}
