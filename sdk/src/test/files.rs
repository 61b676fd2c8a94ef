//! The table of files: a map that outlives the plugin, for as long as the test host lives, and the resources that the
//! test brings along.

use pintle_abi::*;

use super::{
    input,
    inside::{Call, Tenant, enter},
    pages,
};
use crate::{Error, Result, Status};

/// The most bytes of a file, unless an operator says otherwise.
const LARGEST: usize = 64 << 20;

/// A file.
pub(super) struct Kept {
    bytes: Vec<u8>,
    version: u64,
    created_ms: i64,
    updated_ms: i64,
}

pub(super) static TABLE: PintleFiles = PintleFiles {
    size: size_of::<PintleFiles>() as u32,
    reserved: 0,
    put: Some(put),
    get: Some(get),
    read: Some(read),
    stat: Some(stat),
    list: Some(list),
    remove: Some(remove),
    resource: Some(resource),
};

/// # Safety
/// `path` is readable for this call.
unsafe fn place(call: &Call, path: PintleStr) -> Result<(Tenant, String)> {
    // SAFETY: the caller's promise.
    let path = unsafe { input::key("path", path, 512) }?;
    match problem(path) {
        Some(problem) => Err(input::wrong("path", problem)),
        None => Ok((call.entry.tenant.clone(), path.to_owned())),
    }
}

/// What is wrong with a path.
fn problem(path: &str) -> Option<String> {
    if let Some(wrong) = path.chars().find(|one| *one == '\\' || one.is_control()) {
        return Some(format!("it has {wrong:?}"));
    }
    let wrong = path.split('/').find(|segment| matches!(*segment, "" | "." | ".."))?;
    Some(format!("a segment that is {wrong:?}"))
}

/// # Safety
/// `info` is null or says its size and is as long as that.
unsafe fn tell(info: *mut PintleFileInfo, about: PintleFileInfo) -> Result<()> {
    if info.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe {
        if info.cast::<u32>().read() != about.size {
            return Err(input::wrong("info", "its size is another"));
        }
        info.write(about);
    }
    Ok(())
}

const NOTHING: PintleFileInfo = PintleFileInfo {
    size: size_of::<PintleFileInfo>() as u32,
    reserved: 0,
    len: 0,
    version: 0,
    created_ms: 0,
    updated_ms: 0,
};

impl Kept {
    fn about(&self) -> PintleFileInfo {
        PintleFileInfo {
            len: self.bytes.len() as u64,
            version: self.version,
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            ..NOTHING
        }
    }
}

unsafe extern "C" fn put(
    ctx: PintleCtx,
    path: PintleStr,
    bytes: PintleBytes,
    options: *const PintleFileOptions,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "files.put", |call| unsafe {
        let place = place(call, path)?;
        let wanted = match input::options(options)? {
            None | Some(PintleFileOptions { flags: 0, .. }) => None,
            Some(PintleFileOptions { flags: PINTLE_FILE_IF_VERSION, if_version, .. }) => Some(if_version),
            Some(PintleFileOptions { flags, .. }) => {
                return Err(Error::new(Status::Unsupported, format!("argument `options.flags`: {flags:#x}")));
            }
        };
        call.must_act()?;
        let bytes = input::bytes("bytes", bytes, LARGEST)?.to_vec();
        let mut state = call.state();
        let now = state.now_ms;
        let (has, created_ms) =
            state.files.get(&place).map_or((0, now), |file| (file.version, file.created_ms));
        if wanted.is_some_and(|wanted| wanted != has) {
            tell(info, PintleFileInfo { version: has, ..NOTHING })?;
            let text = format!("the file {:?} has the version {has}, and not the one asked for", place.1);
            return Err(Error::new(Status::Conflict, text));
        }
        state.file_version += 1;
        let file = Kept { bytes, version: state.file_version, created_ms, updated_ms: now };
        tell(info, file.about())?;
        state.files.insert(place, file);
        Ok(())
    })
}

/// # Safety
/// As the functions of the table.
unsafe fn read_part(
    call: &Call,
    path: PintleStr,
    (offset, len): (u64, u64),
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let place = unsafe { place(call, path) }?;
    let (part, about) = {
        let state = call.state();
        let file = state.files.get(&place).ok_or_else(|| missing(&place.1))?;
        let whole = file.bytes.len() as u64;
        let start = offset.min(whole);
        let end = start + len.min(whole - start);
        (file.bytes[start as usize..end as usize].to_vec(), file.about())
    };
    // SAFETY: the caller's promise.
    unsafe {
        input::give("out", out, &part)?;
        tell(info, about)
    }
}

fn missing(path: &str) -> Error {
    Error::new(Status::NotFound, format!("there is no file {path:?}"))
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    path: PintleStr,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.get", |call| unsafe { read_part(call, path, (0, u64::MAX), out, info) })
}

unsafe extern "C" fn read(
    ctx: PintleCtx,
    path: PintleStr,
    offset: u64,
    len: u64,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.read", |call| unsafe { read_part(call, path, (offset, len), out, info) })
}

unsafe extern "C" fn stat(ctx: PintleCtx, path: PintleStr, info: *mut PintleFileInfo) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.stat", |call| unsafe {
        input::output("info", info)?;
        let place = place(call, path)?;
        let about = call.state().files.get(&place).map(Kept::about);
        tell(info, about.ok_or_else(|| missing(&place.1))?)
    })
}

unsafe extern "C" fn list(
    ctx: PintleCtx,
    prefix: PintleStr,
    cursor: PintleStr,
    limit: u32,
    out: PintleSink,
    next: PintleSink,
) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.list", |call| unsafe {
        let asked = pages::Asked::read(prefix, cursor, limit)?;
        let page = {
            let state = call.state();
            let of_scope = state.files.keys().filter(|(tenant, _)| *tenant == call.entry.tenant);
            asked.page(of_scope.map(|(_, path)| path.as_str()))
        };
        page.give(out, next)
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, path: PintleStr, existed: *mut u32) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.remove", |call| unsafe {
        let place = place(call, path)?;
        call.must_act()?;
        let was_there = call.state().files.remove(&place).is_some();
        if let Some(existed) = existed.as_mut() {
            *existed = was_there.into();
        }
        Ok(())
    })
}

unsafe extern "C" fn resource(
    ctx: PintleCtx,
    name: PintleStr,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    // SAFETY: as in `put`.
    enter(ctx, "files.resource", |call| unsafe {
        let name = input::key("name", name, 512)?;
        if !call.manifest.files.iter().any(|known| known == name) {
            let text = format!("the manifest names no resource {name:?}: add it to \"files\"");
            return Err(Error::new(Status::NotFound, text));
        }
        let bytes = call.state().resources.get(name).cloned().ok_or_else(|| {
            let text = format!("the test has not said what is in {name:?}: `host.put_resource`");
            Error::new(Status::Unavailable, text)
        })?;
        input::give("out", out, &bytes)?;
        tell(info, PintleFileInfo { len: bytes.len() as u64, ..NOTHING })
    })
}
