//! Reading PE, the libraries of Windows. Such a file is inspected everywhere and loaded only there.

use super::{
    ENTRY, Endian, Format, Inspection, record,
    source::{Flaw, Source, u16_at, u32_at},
};

const MAX_HEADERS: u64 = 1 << 20;
const MAX_NAME: u64 = 512;
const MAX_NEEDED: u64 = 1024;

struct Section {
    name: [u8; 8],
    address: u32,
    memory: u32,
    offset: u32,
    size: u32,
}

pub(super) fn read(source: &Source<'_>, into: &mut Inspection) -> Result<(), Flaw> {
    into.format = Format::Pe;
    into.endian = Endian::Little;
    into.os = Some("windows");
    let dos = source.at("the DOS header", 0, 64, MAX_HEADERS)?;
    let at = u64::from(u32_at(&dos, 0x3c));
    let header = source.at("the PE header", at, 24, MAX_HEADERS)?;
    if !header.starts_with(b"PE\0\0") {
        return Err(Flaw::invalid("is a DOS program, not a PE library"));
    }
    into.arch = match u16_at(&header, 4) {
        0x8664 => "x86_64".into(),
        0xaa64 => "aarch64".into(),
        0x014c => "x86".into(),
        0x01c4 => "arm".into(),
        machine => format!("machine {machine:#x}").into(),
    };
    into.shared_object = u16_at(&header, 22) & 0x2000 != 0;
    let (count, size) = (u64::from(u16_at(&header, 6)), u64::from(u16_at(&header, 20)));
    let optional = source.at("the optional header", at + 24, size, MAX_HEADERS)?;
    let directories = match u16_at(&optional, 0) {
        0x20b => 112,
        0x10b => 96,
        _ => return Err(Flaw::damaged("its optional header is for neither 32 nor 64 bits")),
    };
    into.bits = if directories == 112 { 64 } else { 32 };
    let sections = sections(source, at + 24 + size, count)?;
    let directory = |index: usize| -> Option<u64> {
        let known = u32_at(&optional, directories - 4) as usize;
        let address = u32_at(&optional, directories + 8 * index);
        (index < known && address != 0).then(|| offset(&sections, address)).flatten()
    };
    if let Some(at) = directory(0) {
        into.entry = exports(source, &sections, at)?;
    }
    if let Some(at) = directory(1) {
        into.needed = imports(source, &sections, at)?;
    }
    for section in sections.iter().filter(|section| section.name == *b".pintle\0") {
        let size = if section.memory == 0 { section.size } else { section.size.min(section.memory) };
        let found = record::read(source, section.offset.into(), size.into(), true)?;
        if found.is_some() && into.embedded.is_some() {
            return Err(record::twice());
        }
        into.embedded = found.or(into.embedded.take());
    }
    Ok(())
}

fn sections(source: &Source<'_>, at: u64, count: u64) -> Result<Vec<Section>, Flaw> {
    let table = source.at("the section table", at, count * 40, 40 * 65_536)?;
    let sections: Vec<Section> = table
        .chunks_exact(40)
        .map(|row| Section {
            name: std::array::from_fn(|index| row[index]),
            memory: u32_at(row, 8),
            address: u32_at(row, 12),
            size: u32_at(row, 16),
            offset: u32_at(row, 20),
        })
        .collect();
    for section in sections.iter().filter(|section| section.offset != 0) {
        let name = String::from_utf8_lossy(&section.name);
        let what = format!("section {}", name.trim_end_matches('\0'));
        source.holds(&what, section.offset.into(), section.size.into())?;
    }
    Ok(sections)
}

/// Where in the file an address of the loaded library lies.
fn offset(sections: &[Section], address: u32) -> Option<u64> {
    sections.iter().find_map(|section| {
        let into = address.checked_sub(section.address)?;
        (into < section.size).then(|| u64::from(section.offset) + u64::from(into))
    })
}

/// Is the entry among the exported names? They are sorted, and the loader itself looks them up by halves.
fn exports(source: &Source<'_>, sections: &[Section], at: u64) -> Result<bool, Flaw> {
    let table = source.at("the export table", at, 40, MAX_HEADERS)?;
    let (mut low, mut high) = (0, u64::from(u32_at(&table, 24)));
    let Some(names) = offset(sections, u32_at(&table, 32)) else { return Ok(false) };
    while low < high {
        let middle = low + (high - low) / 2;
        let pointer = source.at("the export names", names + 4 * middle, 4, MAX_HEADERS)?;
        let Some(at) = offset(sections, u32_at(&pointer, 0)) else { return Ok(false) };
        match source.text_at(at, MAX_NAME)?.as_str().cmp(ENTRY) {
            std::cmp::Ordering::Equal => return Ok(true),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(false)
}

fn imports(source: &Source<'_>, sections: &[Section], at: u64) -> Result<Vec<String>, Flaw> {
    let mut needed = Vec::new();
    for index in 0..MAX_NEEDED {
        let row = source.at("the import table", at + 20 * index, 20, MAX_HEADERS)?;
        match u32_at(&row, 12) {
            0 => return Ok(needed),
            name => {
                let at = offset(sections, name).ok_or_else(|| Flaw::damaged("an import has no name"))?;
                needed.push(source.text_at(at, MAX_NAME)?);
            }
        }
    }
    Err(Flaw::damaged("it needs more than a thousand libraries"))
}
