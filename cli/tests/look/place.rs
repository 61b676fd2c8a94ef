//! A folder with files that may be plugins, and the command that looks at them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pintle_test_support::compile_c;
use serde_json::Value;
use tempfile::TempDir;

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

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("there is room") };
        mode(place.folder.path(), 0o755);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner may change, and the folder that it is in.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let folder = path.parent().expect("it is in the folder");
        if !folder.exists() {
            fs::create_dir(folder).expect("it can be made");
            mode(folder, 0o755);
        }
        fs::write(&path, bytes).expect("it can be written");
        mode(&path, 0o644);
        path
    }

    /// Puts a copy of a library there.
    pub(crate) fn copy(&self, library: &Path, name: &str) -> PathBuf {
        self.write(name, fs::read(library).expect("it was built"))
    }

    /// Compiles a plugin that does nothing, with this manifest, and puts it there.
    pub(crate) fn plugin(&self, name: &str, manifest: &str) -> PathBuf {
        self.copy(&compile_c("quiet", source(manifest), &[]), name)
    }

    /// The command, in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_DATA_HOME", self.path("usual"));
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
}

impl Answer {
    /// Its lines as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(read).collect()
    }
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A plugin in C that does nothing, not even load.
pub(crate) fn source(manifest: &str) -> String {
    format!(
        "#include <pintle/plugin.h>\nPINTLE_MANIFEST({manifest});\n\
         PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {{ return 0; }}\n"
    )
}

/// A library of Windows, made by its own linker.
pub(crate) fn foreign() -> PathBuf {
    pintle_test_support::repository().join("tests/fixtures/foreign.dll")
}
