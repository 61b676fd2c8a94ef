//! What is known of files, and what every store says of them in the same words.

use std::sync::Arc;

use super::FilePath;
use crate::{
    error::{Error, ErrorKind},
    services::storage::{Quota, Quotas},
};

/// What is known of a file beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// How many bytes it has.
    pub(crate) len: u64,
    /// Grows with every `put`, over all files of all scopes, and is never used again; never 0.
    pub(crate) version: u64,
    /// When it was first put, in milliseconds since 1970-01-01 UTC.
    pub(crate) created_ms: i64,
    /// When it was last put, in milliseconds since 1970-01-01 UTC.
    pub(crate) updated_ms: i64,
}

/// Which bytes of a file; what lies behind its end is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Part {
    /// All of them.
    pub(crate) const WHOLE: Self = Self { offset: 0, len: u64::MAX };

    /// How many bytes it has of a file of `len`.
    pub(super) fn within(self, len: u64) -> u64 {
        self.len.min(len.saturating_sub(self.offset))
    }
}

/// What is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Put<'a> {
    pub(crate) bytes: &'a [u8],
    /// The version that the file must have; 0: it must not be there.
    pub(crate) if_version: Option<u64>,
    /// The most files (`items`) and bytes that there may be then.
    pub(crate) quotas: Quotas,
}

/// Why a file was not written.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// On CONFLICT the version that the file has; 0: it is not there.
    pub(crate) current: u64,
    pub(crate) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { current: 0, error }
    }
}

/// A page of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// In byte order.
    pub(crate) paths: Vec<String>,
    /// Where the next page begins; none: this was the last.
    pub(crate) next: Option<String>,
}

/// What a plugin has for one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) plugin: Arc<str>,
    /// Empty: the system scope.
    pub(crate) tenant: Arc<str>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// How many files there are, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What is there and what would be there after a write, for the plugin and for its tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) plugin: Total,
    pub(super) tenant: Total,
    /// How many files come.
    pub(super) files: u64,
    /// How many bytes come and how many go.
    pub(super) bytes: u64,
    pub(super) freed: u64,
}

impl Growth {
    /// QUOTA: there would be more than is allowed, and more than before.
    pub(super) fn check(&self, quotas: &Quotas) -> Result<(), Error> {
        over(&self.plugin, &quotas.plugin, self, "the plugin", "files")?;
        over(&self.tenant, &quotas.tenant, self, "this tenant", "tenant_files")
    }
}

fn over(
    there: &Total,
    quota: &Quota,
    growth: &Growth,
    whose: &'static str,
    setting: &'static str,
) -> Result<(), Error> {
    let files = there.files + growth.files;
    if growth.files > 0
        && let Some(most) = quota.items.filter(|most| files > *most)
    {
        return Err(Error::lazy(ErrorKind::Quota, move || {
            format!(
                "{whose} would have {files} files, the settings allow {most} (quota.{setting}_count): remove some"
            )
        }));
    }
    let bytes = (there.bytes + growth.bytes).saturating_sub(growth.freed);
    if growth.bytes > growth.freed
        && let Some(most) = quota.bytes.filter(|most| bytes > *most)
    {
        return Err(Error::lazy(ErrorKind::Quota, move || {
            format!(
                "the files of {whose} would have {bytes} bytes, the settings allow {most} (quota.{setting}_bytes): remove some"
            )
        }));
    }
    Ok(())
}

/// A condition that does not hold.
pub(super) fn conflict(path: FilePath<'_>, wanted: u64, current: u64) -> Refused {
    let path = path.as_str().to_owned();
    let error = Error::lazy(ErrorKind::Conflict, move || match (wanted, current) {
        (0, _) => format!("the file {path:?} is there already, with version {current}: nothing was written"),
        (_, 0) => {
            format!("the file {path:?} is not there, version {wanted} was asked for: nothing was written")
        }
        _ => format!(
            "the file {path:?} has version {current}, {wanted} was asked for: read it again, then write"
        ),
    });
    Refused { current, error }
}
