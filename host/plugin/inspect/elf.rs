//! Reading ELF: Linux and most other Unixes. Goes by what the loader goes by, the program headers and the dynamic
//! segment; the section table is needed for the manifest only. Everything is bounded by the file's length and a
//! stated size, because the file is not trusted yet.

use std::borrow::Cow;

use object::{
    Endianness, elf, pod,
    read::elf::{Dyn as _, FileHeader, ProgramHeader as _, SectionHeader as _, Sym as _},
};

use super::{
    ENTRY, Endian, Format, Inspection, record,
    source::{Flaw, Source, text_in},
};

/// Bounds on tables: far above what linkers write, far below what would hurt.
const MAX_HEADERS: u64 = 8 << 20;
const MAX_DYNAMIC: u64 = 1 << 20;
const MAX_SYMBOLS: u64 = 96 << 20;
const MAX_STRINGS: u64 = 96 << 20;
const MAX_NAMES: usize = 1024;

pub(super) fn read(source: &Source<'_>, into: &mut Inspection) -> Result<(), Flaw> {
    into.format = Format::Elf;
    let ident = source.head();
    let endian = match ident.get(5) {
        Some(1) => Endianness::Little,
        Some(2) => Endianness::Big,
        _ => return Err(Flaw::damaged("its ELF header has no byte order")),
    };
    into.endian = if endian == Endianness::Little { Endian::Little } else { Endian::Big };
    into.os = match ident.get(7) {
        Some(3) => Some("linux"),
        Some(2) => Some("netbsd"),
        Some(6) => Some("solaris"),
        Some(9) => Some("freebsd"),
        Some(12) => Some("openbsd"),
        _ => None,
    };
    match ident.get(4) {
        Some(1) => Elf::<elf::FileHeader32<Endianness>>::open(source, endian)?.read(into, 32),
        Some(2) => Elf::<elf::FileHeader64<Endianness>>::open(source, endian)?.read(into, 64),
        _ => Err(Flaw::damaged("its ELF header is for neither 32 nor 64 bits")),
    }
}

struct Elf<'s, 'f, H: FileHeader> {
    source: &'s Source<'f>,
    endian: Endianness,
    header: H,
    programs: Vec<H::ProgramHeader>,
    sections: Vec<H::SectionHeader>,
}

/// What the dynamic segment says; addresses and offsets as they stand there.
#[derive(Default)]
struct Dynamic {
    needed: Vec<u64>,
    paths: Vec<u64>,
    symbols: Option<u64>,
    strings: Option<u64>,
    strings_size: u64,
    gnu_hash: Option<u64>,
    hash: Option<u64>,
    flags: u64,
}

impl<'s, 'f, H: FileHeader<Endian = Endianness>> Elf<'s, 'f, H> {
    fn open(source: &'s Source<'f>, endian: Endianness) -> Result<Self, Flaw> {
        let header: H = *one(&source.at("the ELF header", 0, size_of::<H>() as u64, MAX_HEADERS)?)?;
        let mut elf = Self { source, endian, header, programs: Vec::new(), sections: Vec::new() };
        let count = u64::from(header.e_phnum(endian));
        if count > 0 && usize::from(header.e_phentsize(endian)) != size_of::<H::ProgramHeader>() {
            return Err(Flaw::damaged("its program headers have an unknown size"));
        }
        elf.programs = elf.table("the program headers", header.e_phoff(endian).into(), count, MAX_HEADERS)?;
        let at: u64 = header.e_shoff(endian).into();
        if at != 0 {
            if usize::from(header.e_shentsize(endian)) != size_of::<H::SectionHeader>() {
                return Err(Flaw::damaged("its section headers have an unknown size"));
            }
            let mut count = u64::from(header.e_shnum(endian));
            if count == 0 {
                // More than 65,279 sections: the first one's size is their number.
                let first = elf.table::<H::SectionHeader>("the section table", at, 1, MAX_HEADERS)?;
                count = first[0].sh_size(endian).into();
            }
            elf.sections = elf.table("the section table", at, count, MAX_HEADERS)?;
        }
        Ok(elf)
    }

    fn read(&self, into: &mut Inspection, bits: u8) -> Result<(), Flaw> {
        into.bits = bits;
        into.arch = arch(self.header.e_machine(self.endian).0, bits);
        let shared = self.header.e_type(self.endian) == elf::ET_DYN;
        let Some((offset, size)) = self.segments()? else {
            return self.manifest(into);
        };
        let dynamic = self.dynamic(offset, size)?;
        into.shared_object = shared && dynamic.flags & elf::DF_1_PIE.0 == 0;
        into.no_delete = dynamic.flags & elf::DF_1_NODELETE.0 != 0;
        let strings = match dynamic.strings {
            Some(at) => {
                self.source.at("the dynamic strings", self.offset(at)?, dynamic.strings_size, MAX_STRINGS)?
            }
            None => Cow::Borrowed(&[][..]),
        };
        let names = |offsets: &[u64]| -> Vec<String> {
            offsets.iter().map(|at| text_in(&strings, usize::try_from(*at).unwrap_or(usize::MAX))).collect()
        };
        into.needed = names(&dynamic.needed);
        into.run_paths =
            names(&dynamic.paths).iter().flat_map(|list| list.split(':')).map(str::to_owned).collect();
        self.symbols(&dynamic, &strings, into)?;
        self.manifest(into)
    }

    /// Every segment lies inside the file (else dlopen itself dies of SIGBUS); answers the dynamic one.
    fn segments(&self) -> Result<Option<(u64, u64)>, Flaw> {
        let mut dynamic = None;
        for (index, program) in self.programs.iter().enumerate() {
            let kind = program.p_type(self.endian);
            if kind != elf::PT_LOAD && kind != elf::PT_DYNAMIC {
                continue;
            }
            let offset: u64 = program.p_offset(self.endian).into();
            let size: u64 = program.p_filesz(self.endian).into();
            self.source.holds(&format!("segment {index}"), offset, size)?;
            if kind == elf::PT_DYNAMIC {
                dynamic = Some((offset, size));
            } else if size > program.p_memsz(self.endian).into() {
                return Err(Flaw::damaged("a segment is larger in the file than in memory"));
            }
        }
        Ok(dynamic)
    }

    fn dynamic(&self, offset: u64, size: u64) -> Result<Dynamic, Flaw> {
        let count = size / size_of::<H::Dyn>() as u64;
        let entries = self.table::<H::Dyn>("the dynamic segment", offset, count, MAX_DYNAMIC)?;
        let mut dynamic = Dynamic::default();
        for entry in &entries {
            let value: u64 = entry.d_val(self.endian).into();
            match entry.d_tag(self.endian) {
                elf::DT_NULL => break,
                elf::DT_NEEDED if dynamic.needed.len() < MAX_NAMES => dynamic.needed.push(value),
                elf::DT_RPATH | elf::DT_RUNPATH if dynamic.paths.len() < MAX_NAMES => {
                    dynamic.paths.push(value);
                }
                elf::DT_NEEDED => return Err(Flaw::damaged("it needs more than a thousand libraries")),
                elf::DT_SYMTAB => dynamic.symbols = Some(value),
                elf::DT_STRTAB => dynamic.strings = Some(value),
                elf::DT_STRSZ => dynamic.strings_size = value,
                elf::DT_GNU_HASH => dynamic.gnu_hash = Some(value),
                elf::DT_HASH => dynamic.hash = Some(value),
                elf::DT_FLAGS_1 => dynamic.flags = value,
                _ => {}
            }
        }
        Ok(dynamic)
    }

    fn symbols(&self, dynamic: &Dynamic, strings: &[u8], into: &mut Inspection) -> Result<(), Flaw> {
        let Some(at) = dynamic.symbols else { return Ok(()) };
        let count = self.symbol_count(dynamic)?;
        let size = count.saturating_mul(size_of::<H::Sym>() as u64);
        let bytes = self.source.at("the dynamic symbols", self.offset(at)?, size, MAX_SYMBOLS)?;
        for symbol in slice::<H::Sym>(&bytes, count)? {
            let name = strings.get(symbol.st_name(self.endian) as usize..).unwrap_or_default();
            let undefined = symbol.st_shndx(self.endian) == elf::SHN_UNDEF;
            let bind = symbol.st_bind();
            if undefined {
                into.imports(name);
                continue;
            }
            into.unique_symbols |= bind == elf::STB_GNU_UNIQUE;
            let function = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC);
            let visible = matches!(bind, elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE)
                && matches!(symbol.st_visibility(), elf::STV_DEFAULT | elf::STV_PROTECTED);
            into.entry |= function && visible && is(name, ENTRY);
        }
        Ok(())
    }

    /// The loader needs no count, so none is written down: it follows from the hash table that ends last.
    fn symbol_count(&self, dynamic: &Dynamic) -> Result<u64, Flaw> {
        const WHAT: &str = "the symbol hash table";
        let words = |at: u64, count: u64| -> Result<Vec<u32>, Flaw> {
            let bytes = self.source.at(WHAT, at, count * 4, MAX_HEADERS)?;
            Ok(bytes.chunks_exact(4).map(|word| self.word(word)).collect())
        };
        if let Some(at) = dynamic.hash {
            return Ok(words(self.offset(at)?, 2)?[1].into());
        }
        let Some(at) = dynamic.gnu_hash else {
            let table = self.sections.iter().find(|s| s.sh_type(self.endian) == elf::SHT_DYNSYM);
            return Ok(
                table.map_or(0, |table| table.sh_size(self.endian).into() / size_of::<H::Sym>() as u64)
            );
        };
        let at = self.offset(at)?;
        let header = words(at, 4)?;
        let (buckets, first, bloom) = (u64::from(header[0]), u64::from(header[1]), u64::from(header[2]));
        let at = at + 16 + bloom * size_of::<H::Word>() as u64;
        let last = words(at, buckets)?.into_iter().max().map_or(0, u64::from);
        if last < first {
            return Ok(first);
        }
        let chains = at + buckets * 4;
        let (mut index, mut step) = (last, 32);
        loop {
            // A chain is short, but a forged one may run to the end of the file.
            let at = chains + (index - first) * 4;
            let left = self.source.len().saturating_sub(at) / 4;
            let chunk = words(at, left.min(step))?;
            if chunk.is_empty() {
                return Err(Flaw::damaged("its symbol hash table has no end"));
            }
            if let Some(end) = chunk.iter().position(|value| value & 1 == 1) {
                return Ok(index + end as u64 + 1);
            }
            index += chunk.len() as u64;
            step = (step * 4).min(MAX_HEADERS / 16);
        }
    }

    fn manifest(&self, into: &mut Inspection) -> Result<(), Flaw> {
        let index = match self.header.e_shstrndx(self.endian).0 {
            0xffff => self.sections.first().map_or(0, |first| first.sh_link(self.endian)),
            index => u32::from(index),
        };
        let Some(names) = self.sections.get(index as usize) else { return Ok(()) };
        let names = self.source.at(
            "the section names",
            names.sh_offset(self.endian).into(),
            names.sh_size(self.endian).into(),
            MAX_HEADERS,
        )?;
        for section in &self.sections {
            let name = names.get(section.sh_name(self.endian) as usize..).unwrap_or_default();
            if !is(name, ".pintle") || section.sh_type(self.endian) == elf::SHT_NOBITS {
                continue;
            }
            let (offset, size) = (section.sh_offset(self.endian).into(), section.sh_size(self.endian).into());
            let found = record::read(self.source, offset, size, self.endian == Endianness::Little)?;
            if found.is_some() && into.embedded.is_some() {
                return Err(record::twice());
            }
            into.embedded = found.or(into.embedded.take());
        }
        Ok(())
    }

    /// Where in the file an address of the loaded library lies.
    fn offset(&self, address: u64) -> Result<u64, Flaw> {
        self.programs
            .iter()
            .filter(|program| program.p_type(self.endian) == elf::PT_LOAD)
            .find_map(|program| {
                let into = address.checked_sub(program.p_vaddr(self.endian).into())?;
                let offset: u64 = program.p_offset(self.endian).into();
                (into < program.p_filesz(self.endian).into()).then(|| offset.saturating_add(into))
            })
            .ok_or_else(|| Flaw::damaged("its dynamic segment points outside of the file"))
    }

    fn table<T: pod::Pod>(&self, what: &str, offset: u64, count: u64, most: u64) -> Result<Vec<T>, Flaw> {
        let size = count.saturating_mul(size_of::<T>() as u64);
        let bytes = self.source.at(what, offset, size, most)?;
        Ok(slice::<T>(&bytes, count)?.to_vec())
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.endian == Endianness::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }
}

fn one<T: pod::Pod>(bytes: &[u8]) -> Result<&T, Flaw> {
    slice::<T>(bytes, 1).map(|items| &items[0])
}

/// Bytes as `count` of `T`; the types of `object` have no alignment of their own.
fn slice<T: pod::Pod>(bytes: &[u8], count: u64) -> Result<&[T], Flaw> {
    pod::slice_from_bytes::<T>(bytes, usize::try_from(count).unwrap_or(usize::MAX))
        .map(|(items, _)| items)
        .map_err(|()| Flaw::damaged("a table does not lie where it says"))
}

/// Is the NUL-terminated text that begins here `name`?
fn is(text: &[u8], name: &str) -> bool {
    text.get(name.len()) == Some(&0) && text.starts_with(name.as_bytes())
}

/// The machine under the name that Rust has for it.
fn arch(machine: u16, bits: u8) -> Cow<'static, str> {
    match elf::Machine(machine) {
        elf::EM_X86_64 if bits == 32 => "x32",
        elf::EM_X86_64 => "x86_64",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_386 => "x86",
        elf::EM_ARM => "arm",
        elf::EM_RISCV if bits == 64 => "riscv64",
        elf::EM_RISCV => "riscv32",
        elf::EM_PPC64 => "powerpc64",
        elf::EM_S390 if bits == 64 => "s390x",
        elf::EM_LOONGARCH if bits == 64 => "loongarch64",
        elf::EM_MIPS if bits == 64 => "mips64",
        elf::EM_MIPS => "mips",
        _ => return format!("machine {machine:#x}").into(),
    }
    .into()
}
