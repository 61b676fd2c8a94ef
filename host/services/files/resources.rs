//! The resources of one generation: files that its manifest names and that were staged along with its library, so that
//! they are those of its version, whatever becomes of the originals.

use std::{fs::File, io, path::PathBuf};

use super::disk::{Entry, Root, pieces};
use crate::error::{Error, ErrorKind, Result};

/// What a generation was staged with.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// The private folder that they were copied to, under their names.
    folder: PathBuf,
    /// As the manifest has them: relative, without `..` and links.
    names: Vec<String>,
}

impl Resources {
    pub(crate) fn new(folder: PathBuf, names: Vec<String>) -> Self {
        Self { folder, names }
    }

    /// Hands a resource to `take`, in pieces, at least one; tells how many bytes it has. Only what the manifest names is
    /// ever looked for on the disk.
    ///
    /// NOT_FOUND: the manifest does not name it. UNAVAILABLE: the disk fails.
    pub(crate) fn read(&self, name: &str, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        let Some(known) = self.names.iter().find(|known| *known == name) else {
            let name = name.to_owned();
            return Err(Error::lazy(ErrorKind::NotFound, move || {
                format!("the manifest names no resource {name:?}: add it to \"files\"")
            }));
        };
        let path = self.folder.join(known);
        let failed = |error: &io::Error| {
            let what = format!("the staged resource {} cannot be read: {error}", path.display());
            Error::new(ErrorKind::Unavailable, what).mend("load the plugin anew")
        };
        let (mut file, len) = self.open(known).map_err(|error| failed(&error))?;
        pieces(&mut file, len, take, failed)?;
        if len == 0 {
            take(&[])?;
        }
        Ok(len)
    }

    fn open(&self, name: &str) -> io::Result<(File, u64)> {
        let mut folders: Vec<_> = name.split('/').collect();
        let Some(last) = folders.pop() else { return Err(io::ErrorKind::NotFound.into()) };
        let folder = Root::open(&self.folder, false)?.enter(&folders)?;
        match folder.map_or(Ok(Entry::Gone), |folder| folder.open(last))? {
            Entry::File(file, len) => Ok((file, len)),
            Entry::Gone => Err(io::ErrorKind::NotFound.into()),
            Entry::Other => Err(io::Error::other("it is a link or no file")),
        }
    }
}
