//! Reading Mach-O, the libraries of macOS, also where several lie in one universal file. Such a file is inspected
//! everywhere and loaded only there. 64 bits and little-endian, for Pintle runs on nothing else of Apple's.

use std::borrow::Cow;

use super::{
    ENTRY, Endian, Format, Inspection, record,
    source::{Flaw, Source, text_in, u32_at, u64_at},
};

const MAX_HEADERS: u64 = 4 << 20;
const MAX_SYMBOLS: u64 = 96 << 20;
const MAX_NEEDED: usize = 1024;

/// The first bytes of a universal file; Java's classes have the same, but no so small number of parts.
pub(super) fn is_universal(head: &[u8]) -> bool {
    matches!(head.get(..4), Some([0xca, 0xfe, 0xba, 0xbe | 0xbf])) && (1..=32).contains(&u32_big(head, 4))
}

/// Inspects the part for this machine, or the first if there is none.
pub(super) fn read_universal(source: &Source<'_>, into: &mut Inspection) -> Result<(), Flaw> {
    let head = source.head();
    let wide = head[3] == 0xbf;
    let row = if wide { 32 } else { 20 };
    let count = u64::from(u32_big(head, 4));
    let table = source.at("the table of a universal file", 8, count * row, MAX_HEADERS)?;
    let mut rows: Vec<&[u8]> = table.chunks_exact(row as usize).collect();
    rows.sort_by_key(|row| arch(u32_big(row, 0)) != std::env::consts::ARCH);
    let row = rows[0];
    let (offset, size) = if wide {
        let big = |at| u64::from(u32_big(row, at)) << 32 | u64::from(u32_big(row, at + 4));
        (big(8), big(16))
    } else {
        (u32_big(row, 8).into(), u32_big(row, 12).into())
    };
    read(&source.part("a part of a universal file", offset, size)?, into)
}

pub(super) fn read(source: &Source<'_>, into: &mut Inspection) -> Result<(), Flaw> {
    into.format = Format::MachO;
    into.endian = Endian::Little;
    into.bits = 64;
    let header = source.at("the Mach-O header", 0, 32, MAX_HEADERS)?;
    match header.get(..4) {
        Some([0xcf, 0xfa, 0xed, 0xfe]) => {}
        _ => return Err(Flaw::invalid("is not for 64 bits and little-endian").mend("rebuild it")),
    }
    into.arch = arch(u32_at(&header, 4));
    // MH_DYLIB and MH_BUNDLE: dlopen takes both.
    into.shared_object = matches!(u32_at(&header, 12), 6 | 8);
    let size = u64::from(u32_at(&header, 20));
    let commands = source.at("the load commands", 32, size, MAX_HEADERS)?;
    let mut rest = &commands[..];
    for _ in 0..u32_at(&header, 16) {
        let size = u32_at(rest, 4) as usize;
        if size < 8 || size > rest.len() {
            return Err(Flaw::damaged("a load command ends outside of its table"));
        }
        let (command, next) = rest.split_at(size);
        read_command(source, command, into)?;
        rest = next;
    }
    Ok(())
}

fn read_command(source: &Source<'_>, command: &[u8], into: &mut Inspection) -> Result<(), Flaw> {
    match u32_at(command, 0) {
        0x19 => segment(source, command, into)?,
        0x02 => symbols(source, command, into)?,
        0x0c | 0x8000_0018 | 0x8000_001f if into.needed.len() < MAX_NEEDED => {
            into.needed.push(text_in(command, u32_at(command, 8) as usize));
        }
        0x8000_001c if into.run_paths.len() < MAX_NEEDED => {
            into.run_paths.push(text_in(command, u32_at(command, 8) as usize));
        }
        0x32 => {
            into.os = match u32_at(command, 8) {
                1 => Some("macos"),
                2 | 7 => Some("ios"),
                _ => None,
            };
        }
        0x24 => into.os = Some("macos"),
        0x8000_0033 => trie(source, u32_at(command, 8), u32_at(command, 12), into)?,
        0x22 | 0x8000_0022 => trie(source, u32_at(command, 40), u32_at(command, 44), into)?,
        _ => {}
    }
    Ok(())
}

/// A segment lies inside the file; `__DATA,__pintle` has the manifest.
fn segment(source: &Source<'_>, command: &[u8], into: &mut Inspection) -> Result<(), Flaw> {
    let name = text_in(&command[..command.len().min(24)], 8);
    source.holds(&format!("segment {name}"), u64_at(command, 40), u64_at(command, 48))?;
    let sections = command.get(72..).unwrap_or_default().chunks_exact(80);
    for section in sections.take(u32_at(command, 64) as usize) {
        if !section.starts_with(b"__pintle\0") || !section[16..].starts_with(b"__DATA\0") {
            continue;
        }
        let found = record::read(source, u32_at(section, 48).into(), u64_at(section, 40), true)?;
        if found.is_some() && into.embedded.is_some() {
            return Err(record::twice());
        }
        into.embedded = found.or(into.embedded.take());
    }
    Ok(())
}

fn symbols(source: &Source<'_>, command: &[u8], into: &mut Inspection) -> Result<(), Flaw> {
    let number = |at| u64::from(u32_at(command, at));
    let table = source.at("the symbols", number(8), number(12) * 16, MAX_SYMBOLS)?;
    let strings = source.at("the strings", number(16), number(20), MAX_SYMBOLS)?;
    for symbol in table.chunks_exact(16) {
        let kind = symbol[4];
        // Only external symbols, and no debugger's.
        if kind & 0xe0 != 0 || kind & 1 == 0 {
            continue;
        }
        let name = strings.get(u32_at(symbol, 0) as usize + 1..).unwrap_or_default();
        match kind & 0x0e {
            0 => into.imports(name),
            0x0e if name.starts_with(ENTRY.as_bytes()) => {
                into.entry |= name.get(ENTRY.len()) == Some(&0);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Is the entry in the trie of exported names? Newer linkers write exports only there.
fn trie(source: &Source<'_>, offset: u32, size: u32, into: &mut Inspection) -> Result<(), Flaw> {
    let trie = source.at("the exported names", offset.into(), size.into(), MAX_SYMBOLS)?;
    let name = format!("_{ENTRY}");
    let (mut rest, mut node) = (name.as_bytes(), 0);
    // Every step takes at least one letter of the name, so that a circle ends.
    'node: loop {
        let Some((size, at)) = leb(&trie, node) else { return Ok(()) };
        if rest.is_empty() {
            into.entry |= size > 0;
            return Ok(());
        }
        let Some(mut at) = at.checked_add(size) else { return Ok(()) };
        let children = trie.get(at).copied().unwrap_or(0);
        at += 1;
        for _ in 0..children {
            let Some(edge) = trie.get(at..) else { return Ok(()) };
            let Some(length) = edge.iter().position(|byte| *byte == 0) else { return Ok(()) };
            let Some((child, after)) = leb(&trie, at + length + 1) else { return Ok(()) };
            if length > 0 && rest.starts_with(&edge[..length]) {
                rest = &rest[length..];
                node = child;
                continue 'node;
            }
            at = after;
        }
        return Ok(());
    }
}

/// A number of seven bits a byte, and where it ends.
fn leb(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for shift in (0..56).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number, at));
        }
    }
    None
}

fn arch(cpu: u32) -> Cow<'static, str> {
    match cpu {
        0x0100_0007 => "x86_64".into(),
        0x0100_000c => "aarch64".into(),
        7 => "x86".into(),
        12 => "arm".into(),
        cpu => format!("machine {cpu:#x}").into(),
    }
}

fn u32_big(bytes: &[u8], at: usize) -> u32 {
    u32_at(bytes, at).swap_bytes()
}
