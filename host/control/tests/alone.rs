//! What needs a process of its own: its memory is measured, its descriptors are used up, its umask is another.
//!
//! Each of these tests runs the test of its name once more, in a child that knows by a variable that it is one.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{Raw, Rig, crowds, places};
use crate::{control::Client, error::ErrorKind};

/// Tells a child that it is one, and which folder to work in.
const CHILD: &str = "PINTLE_CONTROL_TEST";

/// What a child has to say begins like this; the rest is the harness's.
const SAYS: &str = "child: ";

/// Runs `child` in a process of its own, which `shell` prepares; the parent does `beside` meanwhile.
#[track_caller]
fn alone(
    name: &str,
    shell: &str,
    child: impl FnOnce(),
    beside: impl FnOnce(&Path, &mut dyn FnMut() -> String, u32),
) {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let test = format!("{}::{name}", module_path!().split_once("::").expect("it is in a crate").1);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$0\" --exact {test} --nocapture --test-threads=1"));
    command.arg(std::env::current_exe().expect("it is there")).env(CHILD, data.path());
    let running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a shell");
    let mut running = Ended(running);
    let pid = running.0.id();
    let mut said = BufReader::new(running.0.stdout.take().expect("it is piped")).lines();
    let mut all = Vec::new();
    let mut next = || loop {
        let line = said.next().unwrap_or_else(|| panic!("the child ended:\n{}", all.join("\n")));
        let line = line.expect("it can be read");
        // The harness's line has no end when the test begins.
        if let Some((_, said)) = line.split_once(SAYS) {
            return said.to_owned();
        }
        all.push(line);
    };
    beside(data.path(), &mut next, pid);
    drop(running.0.stdin.take());
    let rest: Vec<_> = said.map_while(Result::ok).collect();
    let ended = running.0.wait().expect("it ends");
    assert!(ended.success(), "{}", rest.join("\n"));
    assert!(rest.iter().any(|line| line.contains("1 passed")), "no such test: {}", rest.join("\n"));
}

/// Nothing is left running where an assertion fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nothing(_: &Path, _: &mut dyn FnMut() -> String, _: u32) {}

/// One number of `/proc/self/status`, in KiB.
fn memory(of: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find_map(|line| line.strip_prefix(of)).expect("it has this line");
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("it is a number")
}

#[test]
fn lines_of_100_mb_take_no_memory() {
    alone(
        "lines_of_100_mb_take_no_memory",
        "",
        || {
            let rig = Rig::new();
            rig.is_served();
            let before = memory("VmHWM:");
            let piece = [b'x'; 1 << 16];
            let mut clients: Vec<_> = (0..2).map(|_| rig.raw()).collect();
            thread::scope(|threads| {
                for client in &mut clients {
                    threads.spawn(|| {
                        // Two of them together, the second in an object that would be one.
                        for start in [
                            &b""[..],
                            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":\"",
                        ] {
                            assert!(client.send(start));
                            for _ in 0..100_000_000 / piece.len() {
                                assert!(client.send(&piece));
                            }
                            assert!(client.send(b"\n"));
                            assert_eq!(client.next().expect("it is answered")["error"]["code"], 9);
                        }
                        client.ask("echo", &json!({}));
                    });
                }
            });
            let after = memory("VmHWM:");
            // Two lines are kept up to their limit, and grow by doubling: a copy more for a moment.
            let limit = 2 * (4 + 4) * 1024;
            assert!(after < before + limit, "the most was {before} KiB, and is {after} KiB now");
            rig.end();
        },
        nothing,
    );
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    alone("a_thousand_idle_connections_keep_nobody_out", "ulimit -n 4096;", crowds::a_thousand, nothing);
}

#[test]
fn the_socket_is_never_open_to_others_whatever_the_umask() {
    let name = "the_socket_is_never_open_to_others_whatever_the_umask";
    alone(name, "umask 000;", places::never_open_to_others, nothing);
}

#[test]
fn a_host_without_descriptors_lets_its_operators_in() {
    alone(
        "a_host_without_descriptors_lets_its_operators_in",
        "ulimit -n 80;",
        || {
            let data = std::env::var_os(CHILD).expect("it is a child");
            let rig = Rig::at_path(Path::new(&data), super::LONG);
            let mut taken = Vec::new();
            while let Ok(file) = fs::File::open("/dev/null") {
                taken.push(file);
            }
            println!("{SAYS}all {} are taken", taken.len());
            // Until the parent goes, or says so.
            let _ = std::io::stdin().read_line(&mut String::new());
            drop(taken);
            rig.end();
        },
        |data, next, pid| {
            next();
            // One place is in reserve, and is given on from one idle client to the next.
            let mut idle = Vec::new();
            for _ in 0..3 {
                let mut client = Raw::connect(data);
                assert_eq!(client.ask("echo", &json!({ "a": 1 }))["result"], json!({ "a": 1 }));
                idle.push(client);
            }
            // While the one place there is is used, nothing spins.
            let mut last = idle.pop().expect("there are some");
            last.ask("tap", &json!({}));
            let before = processor(pid);
            thread::sleep(Duration::from_secs(1));
            let used = processor(pid) - before;
            assert!(used < Duration::from_millis(300), "{used:?} of processor in a second");
            let waiting = thread::spawn({
                let data = data.to_owned();
                move || Client::connect_within(super::LONG, &data)
            });
            last.ask("echo", &json!({}));
            drop(last);
            let mut client =
                waiting.join().expect("it does not panic").expect("it is let in").expect("it serves");
            assert_eq!(client.call("fail", json!({})).expect_err("it fails").kind(), ErrorKind::NotFound);
        },
    );
}

/// What a process has used so far.
fn processor(pid: u32) -> Duration {
    let mut used = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        used += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(used)
}

#[test]
fn another_user_is_told_whose_the_socket_is() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let name = "another_user_is_told_whose_the_socket_is";
    if let Some(data) = std::env::var_os(CHILD) {
        let error = Client::connect(Path::new(&data)).expect_err("it is another's");
        println!("{SAYS}{:?}", error);
        return;
    }
    let rig = Rig::new();
    let own = crate::plugin::stage::effective_user();
    fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let text = if own == 0 {
        let test = format!("{}::{name}", module_path!().split_once("::").expect("it is in a crate").1);
        let mut command = Command::new(std::env::current_exe().expect("it is there"));
        command.args(["--exact", &test, "--nocapture"]).env(CHILD, rig.path()).uid(65534).gid(65534);
        match command.current_dir("/").output() {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            // The folder that the test was built in is closed to others.
            Err(_) => return rig.end(),
        }
    } else {
        fs::set_permissions(rig.path().join(super::SOCKET), fs::Permissions::from_mode(0o000))
            .expect("it is ours");
        format!("{:?}", Client::connect(rig.path()).expect_err("nobody may use it"))
    };
    let expected = format!(
        "Denied({} is for user {own} alone: run this as that user)",
        rig.path().join(super::SOCKET).display()
    );
    assert!(text.contains(&expected), "{text}");
    rig.end();
}
