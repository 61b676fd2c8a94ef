//! Somebody who does what a page says, in a shell at a terminal, in a folder beside the clone.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::FromRawFd,
        unix::fs::{OpenOptionsExt, symlink},
    },
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    thread,
};

use pintle_test_support::{repository, target_dir};
use tempfile::TempDir;

/// The place of one reader. Each block of commands is a shell of its own, which goes on where the last one ended: with
/// its folder, its variables and its umask.
pub(crate) struct Newcomer {
    place: TempDir,
    folder: PathBuf,
}

/// What a block of commands did.
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Newcomer {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().expect("there is a place for temporary files");
        // Beside what is shown to the reader, where the shells leave word for one another.
        let folder = place.path().join("home");
        fs::create_dir(&folder).expect("it can be made");
        symlink(repository(), folder.join("pintle")).expect("it can be linked");
        Self { place, folder }
    }

    /// Writes a file into the folder that the reader is in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .unwrap_or_else(|cause| panic!("cannot write {}: {cause}", path.display()));
    }

    /// Runs a block of commands until one fails.
    pub(crate) fn run(&mut self, commands: &str) -> Done {
        let (screen, seen) = terminal();
        let mut shell = Command::new("bash");
        shell.args(["-e", "-u", "-c", &AROUND.join(commands)]).current_dir(&self.folder);
        shell.env("READER_NOTES", self.place.path()).env("READER_HOME", self.place.path().join("home"));
        shell.env("READER_CLONE", repository()).env("READER_BUILT", target_dir());
        // Through the link, as the reader went, and not where it leads to.
        shell.env("PWD", &self.folder);
        // The screen as the page shows it.
        shell.env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        // A reader's own data is not the business of a test.
        shell.env("XDG_DATA_HOME", self.place.path().join("data"));
        // All that a reader's own crate needs is here already, for the workspace needs it too.
        shell.env("CARGO_NET_OFFLINE", "true");
        // Of the cargo that runs this test: that of the reader would take them for its own. And a reader has asked for no
        // backtraces; a plugin that shows one maps its own file to read its symbols, and that stays.
        for of_the_outer in [
            "CARGO_MAKEFLAGS",
            "MAKEFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET_DIR",
            "RUST_BACKTRACE",
            "RUST_LIB_BACKTRACE",
        ] {
            shell.env_remove(of_the_outer);
        }
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(screen);
        let child = shell.spawn().expect("there is bash");
        drop(shell); // and with it the last end of the terminal that is not the child's
        let reader = thread::spawn(move || everything(seen));
        let output = child.wait_with_output().expect("it can be waited for");
        let stderr = reader.join().expect("reading does not panic");
        let folder =
            fs::read_to_string(self.place.path().join("folder")).expect("the shell says where it is");
        self.folder = PathBuf::from(folder.trim_end_matches('\n'));
        Done { status: output.status, stdout: text(&output.stdout), stderr: text(&stderr) }
    }
}

/// What stands around the commands of a page: it carries folder and variables from shell to shell.
///
/// A reader's clone is built into its own `target`. This one may be built elsewhere (`CARGO_TARGET_DIR`,
/// `--target-dir`), so cargo is told, in the clone alone, and the path that the page sets is bent there.
const AROUND: [&str; 2] = [
    r#"
if [ -e "$READER_NOTES/variables" ]; then . "$READER_NOTES/variables"; fi
cargo() {
  if [ "$(pwd -P)" = "$READER_CLONE" ]; then CARGO_TARGET_DIR="$READER_BUILT" command cargo "$@"
  else command cargo "$@"; fi
}
trap 'PATH=${PATH//"$READER_HOME/pintle/target"/$READER_BUILT}
{ export -p; umask -p; } > "$READER_NOTES/variables"; pwd > "$READER_NOTES/folder"' EXIT
"#,
    "\n",
];

/// A terminal: the end to print on, and the end to read what was printed. Neither is left to a child that another test
/// starts meanwhile, which would keep it open.
fn terminal() -> (File, File) {
    // SAFETY: it takes flags, and gives a descriptor or -1.
    let number = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    assert!(number >= 0, "no terminal could be opened: {}", io::Error::last_os_error());
    // SAFETY: it has just been opened, and nobody else has it.
    let seen = unsafe { File::from_raw_fd(number) };
    let mut name = [0_u8; 128];
    // SAFETY: the descriptor is open, and `name` has room for as many bytes as are said.
    let ready = unsafe {
        libc::grantpt(number) == 0
            && libc::unlockpt(number) == 0
            && libc::ptsname_r(number, name.as_mut_ptr().cast(), name.len()) == 0
    };
    assert!(ready, "the terminal has no other end: {}", io::Error::last_os_error());
    let name = CStr::from_bytes_until_nul(&name).expect("a name ends").to_str().expect("it is ASCII");
    let screen = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(name);
    (screen.unwrap_or_else(|cause| panic!("cannot open {name}: {cause}")), seen)
}

/// What is printed on a terminal until nobody is at it any more, which Linux tells as an error.
fn everything(mut seen: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    match seen.read_to_end(&mut bytes) {
        Err(cause) if cause.raw_os_error() != Some(libc::EIO) => panic!("cannot read the terminal: {cause}"),
        _ => bytes,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

#[test]
fn a_shell_goes_on_where_the_last_one_ended() {
    let mut newcomer = Newcomer::new();
    let home = newcomer.folder.clone();
    let done = newcomer.run("mkdir -p mine/deep\ncd mine\numask 027\nexport WORD=\"a 'b'\"\n");
    assert!(done.status.success() && done.stdout.is_empty() && done.stderr.is_empty());
    newcomer.write("deep/file", "text\n");
    let done = newcomer.run("pwd\numask\ncat deep/file\necho \"$WORD\" >&2\n[ -t 2 ]\n");
    assert!(done.status.success(), "stderr is a terminal");
    assert_eq!(done.stdout, format!("{}\n0027\ntext\n", home.join("mine").display()));
    assert_eq!(done.stderr, "a 'b'\n");
}

#[test]
fn the_first_command_that_fails_ends_the_block() {
    let mut newcomer = Newcomer::new();
    let done = newcomer.run("echo before\nls nowhere\necho after\n");
    assert!(!done.status.success());
    assert_eq!(done.stdout, "before\n");
    assert!(done.stderr.contains("nowhere"), "{}", done.stderr);
}
