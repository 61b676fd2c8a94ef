//! Who could change a plugin's file? Loading it runs its code with all that the host may do, so a file that
//! strangers may write is not loaded: neither it, nor its folder, may be writable for all or owned by anybody but
//! root and the host's own user.
//!
//! What is looked at: the file that was opened (not its name, so that nothing can be swapped in between), the folder
//! it was found in, and the plugin folder itself. Not the folders above: whoever may write there can put another
//! folder in place of ours, but what they put there is owned by them, or is one that root or we own and nobody else
//! may write, and is judged by the same rules. That also lets plugins lie below `/tmp`, which all may write. Access
//! lists (ACLs) show in the group's bits, as far as they grant anything.

use std::{fs::Metadata, path::Path};

use crate::error::{Error, ErrorKind, Result};

/// How strict the host is about who may write a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustPolicy {
    /// Files that strangers own or may write are loaded with a warning, instead of refused.
    pub allow_foreign: bool,
    /// Files that their group may write are refused, instead of warned of (a umask of 002 is common).
    pub strict: bool,
}

impl TrustPolicy {
    /// Judges the file or folder at `path`, which has this metadata. `Ok(Some(…))` is a warning.
    ///
    /// # Errors
    ///
    /// DENIED, with the path, its mode or owner, and the mend.
    #[cfg(unix)]
    pub(crate) fn check(self, path: &Path, metadata: &Metadata) -> Result<Option<Error>> {
        use std::os::unix::fs::MetadataExt;
        self.judge(path, metadata.mode(), metadata.uid(), super::stage::effective_user())
    }

    /// On Windows the rights of files are not looked at yet.
    ///
    /// # Errors
    ///
    /// None.
    #[cfg(not(unix))]
    pub fn check(self, _: &Path, _: &Metadata) -> Result<Option<Error>> {
        Ok(None)
    }

    #[cfg(unix)]
    fn judge(self, path: &Path, mode: u32, owner: u32, user: u32) -> Result<Option<Error>> {
        let shown = path.display();
        let bits = mode & 0o7777;
        let denied = |what: String, mend: String| Error::new(ErrorKind::Denied, what).mend(mend);
        let (error, refused) = if owner != 0 && owner != user {
            let what =
                format!("{shown} is owned by user {owner}, who is neither root nor the host's user {user}");
            (denied(what, format!("chown {user} {shown}")), !self.allow_foreign)
        } else if mode & 0o002 != 0 {
            let what = format!("{shown} has mode {bits:04o}, so that every user may change it");
            (denied(what, format!("chmod o-w {shown}")), !self.allow_foreign)
        } else if mode & 0o020 != 0 {
            let what = format!("{shown} has mode {bits:04o}, so that its group may change it");
            (denied(what, format!("chmod g-w {shown}")), self.strict)
        } else {
            return Ok(None);
        };
        if refused { Err(error) } else { Ok(Some(error)) }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn strangers_and_the_world_are_refused_and_the_group_is_warned_of() {
        let usual = TrustPolicy::default();
        let lax = TrustPolicy { allow_foreign: true, ..usual };
        let strict = TrustPolicy { strict: true, ..usual };
        let (fine, warned, refused) = (0, 1, 2);
        for (policy, mode, owner, expected) in [
            (usual, 0o755, 1000, fine),
            (usual, 0o644, 0, fine),
            (usual, 0o644, 1001, refused),
            (usual, 0o646, 1000, refused),
            (usual, 0o1777, 0, refused),
            (usual, 0o664, 1000, warned),
            (usual, 0o664, 1001, refused),
            (strict, 0o644, 1000, fine),
            (strict, 0o664, 1000, refused),
            (strict, 0o775, 0, refused),
            (lax, 0o644, 1001, warned),
            (lax, 0o666, 1000, warned),
            (lax, 0o664, 1000, warned),
            (lax, 0o644, 1000, fine),
        ] {
            let found = match policy.judge(Path::new("/p/x.so"), mode, owner, 1000) {
                Ok(None) => fine,
                Ok(Some(_)) => warned,
                Err(_) => refused,
            };
            assert_eq!(found, expected, "{policy:?} {mode:o} {owner}");
        }
    }

    #[test]
    fn a_refusal_names_the_path_the_mode_and_the_mend() {
        let usual = TrustPolicy::default();
        let error = usual.judge(Path::new("/p/x.so"), 0o100_666, 1000, 1000).expect_err("all may write");
        assert_eq!(
            error.to_string(),
            "/p/x.so has mode 0666, so that every user may change it: chmod o-w /p/x.so"
        );
        let error = usual.judge(Path::new("/p"), 0o40_755, 7, 1000).expect_err("is a stranger's");
        assert_eq!(
            error.to_string(),
            "/p is owned by user 7, who is neither root nor the host's user 1000: chown 1000 /p"
        );
    }
}
