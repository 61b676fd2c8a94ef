//! A folder with plugins, and the command that runs in it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::Duration,
};

use pintle_test_support::install;
use tempfile::TempDir;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The command.
pub(crate) const PINTLE: &str = env!("CARGO_BIN_EXE_pintle");

/// The folder of one test.
pub(crate) struct Place {
    folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run under way. Its stderr is collected.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
}

impl Place {
    /// With these plugins in its folder `plugins`.
    pub(crate) fn with(plugins: &[PathBuf]) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("there is room") };
        place.folder("plugins");
        for plugin in plugins {
            install(plugin, &place.path("plugins"));
        }
        place
    }

    /// Makes a folder that only its owner may write, whatever the umask: nothing for the host to warn of.
    pub(crate) fn folder(&self, name: &str) {
        fs::DirBuilder::new().mode(0o755).create(self.path(name)).expect("it can be made");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).expect("it can be written");
        self.path(name)
    }

    /// `pintle run`, in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PINTLE);
        command.arg("run").args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", self.path("usual"));
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("it starts");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("it writes text"),
            stderr: String::from_utf8(output.stderr).expect("it writes text"),
        }
    }

    /// `pintle run` after some lines of a shell, which are to limit it: `ulimit -n 64`. They end with what starts it.
    pub(crate) fn after(&self, lines: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{lines}\nexec \"$0\" run \"$@\"")]).arg(PINTLE).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", self.path("usual"));
        command
    }

    /// Starts a run, with pipes on all sides.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Self::spawn(self.command(arguments))
    }

    /// Starts a run, with pipes on all sides.
    pub(crate) fn spawn(mut command: Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::of(command.spawn().expect("it starts"))
    }
}

impl Running {
    /// A run that was started, with those of its pipes that it has.
    pub(crate) fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stderr) = stderr {
                stderr.read_to_string(&mut text).expect("it writes text");
            }
            text
        });
        Self { child, stdin, stdout, stderr }
    }

    /// Writes to its stdin.
    pub(crate) fn feed(&mut self, text: &str) {
        self.stdin.as_mut().expect("it is open").write_all(text.as_bytes()).expect("it is read");
    }

    /// The next line of its stdout.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("it is open").read_line(&mut line).expect("it writes text");
        line
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill is everywhere");
        assert!(sent.success(), "{name} cannot be sent");
    }

    /// Signals again and again until it ends.
    pub(crate) fn signal_until_ended(mut self, name: &str) -> Ended {
        while self.child.try_wait().expect("it can be looked at").is_none() {
            self.signal(name);
            thread::sleep(Duration::from_millis(20));
        }
        self.ended()
    }

    /// Waits for its end, and kills it if that does not come.
    pub(crate) fn ended(mut self) -> Ended {
        drop(self.stdin.take());
        let id = self.child.id();
        let stdout = self.stdout.take();
        let rest = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                stdout.read_to_string(&mut text).expect("it writes text");
            }
            text
        });
        let mut child = self.child;
        let told: Receiver<_> = {
            let (tell, told) = mpsc::channel();
            thread::spawn(move || tell.send(child.wait()));
            told
        };
        let Ok(status) = told.recv_timeout(PATIENCE) else {
            let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).status();
            panic!("it did not end; it said:\n{}", self.stderr.join().expect("it does not panic"));
        };
        Ended {
            code: status.expect("it can be waited for").code(),
            stdout: rest.join().expect("it does not panic"),
            stderr: self.stderr.join().expect("it does not panic"),
        }
    }
}

impl Ended {
    /// The lines that the command said for itself.
    pub(crate) fn said(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("pintle: ")).collect()
    }
}

/// An event as a line.
pub(crate) fn event(id: &str, topic: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"{topic}","data":{data}}}"#) + "\n"
}

/// Waits until a file is there, which another process makes.
pub(crate) fn appears(path: &Path) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(std::time::Instant::now() < deadline, "{} does not appear", path.display());
        // Nobody tells when a file comes.
        thread::sleep(Duration::from_millis(2));
    }
}
