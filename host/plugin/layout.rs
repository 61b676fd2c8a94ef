//! Compares the contract that a Rust plugin was built against with this host's, type by type and field by field
//! (feature `layout-check`). `library` reads what the plugin exports and hands it over here.
//!
//! Everything that the plugin says lies in its library, descriptions and texts alike, so nothing of it is kept: a
//! difference becomes text of the host before the library may be closed. abi_stable's own process-wide memory of
//! checked types would keep it, and crash in the check of the next plugin; each check is given a memory of its own.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use pintle_abi::layout::{Layout, Marker, contract};

use self::report::{Report, Side};
use crate::error::{Error, ErrorKind, Result};

/// Is the plugin's description one that this host can read? If not, that is no reason to refuse the plugin: nothing
/// wrong is known of it. The error is a warning.
pub(super) fn readable(marker: &Marker) -> Result<()> {
    if *marker == Marker::OWN {
        return Ok(());
    }
    let version = |marker: &Marker| {
        let text = String::from_utf8_lossy(&marker.abi_stable);
        let text: String = text.trim_end_matches('\0').escape_debug().collect();
        format!("abi_stable {text} ({} bytes)", marker.layout_size)
    };
    Err(unread(format!(
        "it is described by {}, and this host reads {}",
        version(marker),
        version(&Marker::OWN)
    )))
}

/// The warning of a contract that could not be compared, because of `why`.
pub(super) fn unread(why: impl std::fmt::Display) -> Error {
    let what = format!("its contract was compared by sizes only: {why}");
    Error::new(ErrorKind::Unsupported, what).mend("build it against this host's pintle-plugin")
}

/// Compares the plugin's contract with the host's, as far as both reach. The error names the type and the field.
pub(super) fn compare(plugin: &'static Layout) -> Result<()> {
    differences(contract(), plugin).map_err(|difference| {
        let what = format!("its contract differs from this host's: {difference}");
        Error::new(ErrorKind::InvalidArgument, what).mend("rebuild it against this host's pintle-plugin")
    })
}

fn differences(host: &'static Layout, plugin: &'static Layout) -> Result<(), String> {
    // The interface is what the other one must have at least. A contract only ever grows, so if one is shorter it is
    // shorter everywhere; where each has what the other lacks they have drifted, and either order finds it.
    let interface = if is_shorter(plugin, host) { Side::Plugin } else { Side::Host };
    let (expected, found) = match interface {
        Side::Host => (host, plugin),
        Side::Plugin => (plugin, host),
    };
    match check_layout_compatibility_with_globals(expected, found, &CheckingGlobals::new()) {
        Ok(()) => Ok(()),
        Err(errors) => Report { interface, errors }.sentence().map_or(Ok(()), Err),
    }
}

/// Whether a type of `one` lacks fields that `other` has, and never the other way round.
fn is_shorter(one: &'static Layout, other: &'static Layout) -> bool {
    let (mut lengths, mut others) = (BTreeMap::new(), BTreeMap::new());
    measure(one, &mut lengths);
    measure(other, &mut others);
    let both = || lengths.iter().filter_map(|(name, length)| Some((length, others.get(name)?)));
    both().any(|(one, other)| one < other) && both().all(|(one, other)| one <= other)
}

/// How many fields has each type that is reached from this one?
fn measure(layout: &'static Layout, lengths: &mut BTreeMap<String, usize>) {
    let fields = layout.get_fields();
    let length = fields.map_or(0, |fields| fields.iter().len());
    if lengths.insert(layout.full_type().to_string(), length).is_some() {
        return;
    }
    for field in fields.into_iter().flatten() {
        measure(field.layout(), lengths);
        for function in field.function_range() {
            for layout in function.param_type_layouts.iter().chain(function.return_type_layout()) {
                measure(layout(), lengths);
            }
        }
    }
    // What a pointer leads to.
    for pointee in layout.phantom_fields() {
        measure(pointee.layout(), lengths);
    }
}
