//! A folder with plugins, a host that runs in it, and commands that ask it.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use pintle_test_support::{install, samples};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of one test.
pub(crate) struct Place {
    folder: TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Something that runs beside the test, and is killed with it.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Place {
    /// With the plugins hello and sysmon, which has a config, in `plugins`, which the settings name.
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("there is room") };
        // Nothing for the host to warn of, whatever the umask.
        std::fs::DirBuilder::new().mode(0o755).create(place.path("plugins")).expect("it can be made");
        for plugin in [samples().c("hello"), samples().rust("sysmon")] {
            install(&plugin, &place.path("plugins"));
        }
        place.write(
            "pintle.toml",
            "plugins = [\"plugins\"]\ndata = \"data\"\n[log]\nfile = \"log\"\n[plugin.sysmon.config]\ninterval_ms = 3600000\n",
        );
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("it can be written");
    }

    /// The command, in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", self.path("usual")).env_remove("TERM");
        command
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Answer {
        let output = self.command(arguments).output().expect("it starts");
        Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("it writes text"),
            stderr: String::from_utf8(output.stderr).expect("it writes text"),
        }
    }

    /// A host, which serves its socket and has started its plugins.
    pub(crate) fn host(&self, arguments: &[&str]) -> Running {
        let host = self.start(&[&["run"], arguments].concat());
        let deadline = std::time::Instant::now() + PATIENCE;
        let ready = |answer: &Answer| {
            let plugins = answer.stdout.lines().filter(|line| line.contains("\"state\":\"enabled\""));
            answer.code == Some(0) && plugins.count() >= 2
        };
        // Nobody tells when a host that says nothing is ready.
        while !ready(&self.ask(&["plugins", "--json"])) {
            assert!(std::time::Instant::now() < deadline, "the host does not start");
            thread::sleep(Duration::from_millis(10));
        }
        host
    }

    /// Starts a command whose stdout is read line by line.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("asked for"));
        Running { child, lines }
    }
}

impl Answer {
    /// Its lines as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(read).collect()
    }

    /// The cells of its lines.
    pub(crate) fn rows(&self) -> Vec<Vec<&str>> {
        self.stdout.lines().map(|line| line.split('\t').collect()).collect()
    }

    /// It went well, and nothing was said.
    pub(crate) fn fine(self) -> Self {
        assert_eq!((self.code, &*self.stderr), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// It went well, and this was said.
    pub(crate) fn fine_but(self, said: &str) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(said), "{}", self.stderr);
        self
    }
}

impl Running {
    /// The next line of its stdout.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it writes text");
        line
    }

    /// The next line of its stderr, of which the rest is lost.
    pub(crate) fn said(&mut self) -> String {
        let mut line = String::new();
        let stderr = self.child.stderr.as_mut().expect("asked for");
        BufReader::new(stderr).read_line(&mut line).expect("it writes text");
        line
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill is everywhere");
        assert!(sent.success(), "{name} cannot be sent");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Answer {
        let (tell, told) = mpsc::channel::<()>();
        let id = self.child.id().to_string();
        thread::spawn(move || {
            if told.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
            }
        });
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.lines.read_to_string(&mut stdout).expect("it writes text");
        self.child.stderr.take().expect("asked for").read_to_string(&mut stderr).expect("it writes text");
        let code = self.child.wait().expect("it can be waited for").code();
        drop(tell);
        Answer { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
