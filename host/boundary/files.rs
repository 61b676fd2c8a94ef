//! The table `pintle_files`.

use pintle_abi::*;

use super::{
    Call, enter, input,
    sink::{Sink, write_page},
};
use crate::{
    error::{ErrorKind, Result},
    identity::{Method, Service},
    services::{
        files::{self, FilePath, Info, Part, Put},
        keys::{Key, LONGEST_KEY},
    },
};

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

unsafe extern "C" fn put(
    ctx: PintleCtx,
    path: PintleStr,
    bytes: PintleBytes,
    options: *const PintleFileOptions,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    enter(ctx, Method::FilesPut, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let (path, bytes) = unsafe { (path_of(path)?, input::raw("bytes", bytes.ptr, bytes.len)?) };
        // SAFETY: as above.
        let options = unsafe { input::options(options) }?;
        let wanted = options.filter(|options| options.flags & PINTLE_FILE_IF_VERSION != 0);
        call.must_act()?;
        let quotas = call.own_files()?.quotas;
        let if_version = wanted.map(|options| options.if_version);
        match call.core().files.put(&call.data_scope(), path, &Put { bytes, if_version, quotas }) {
            Ok(known) => {
                call.count_bytes(Service::Files, bytes.len());
                // SAFETY: the contract says that outputs lead to memory of the caller.
                unsafe { info.write(&what_is_known(&known)) };
                Ok(())
            }
            Err(refused) => {
                if refused.error.kind() == ErrorKind::Conflict {
                    // SAFETY: as above.
                    unsafe { info.write(&PintleFileInfo { version: refused.current, ..NOTHING }) };
                }
                Err(refused.error)
            }
        }
    })
}

unsafe extern "C" fn get(
    ctx: PintleCtx,
    path: PintleStr,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    // SAFETY: the contract says of these what `read_part` asks.
    enter(ctx, Method::FilesGet, move |call| unsafe { read_part(call, path, Part::WHOLE, out, info) })
}

unsafe extern "C" fn read(
    ctx: PintleCtx,
    path: PintleStr,
    offset: u64,
    len: u64,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    let part = Part { offset, len };
    // SAFETY: the contract says of these what `read_part` asks.
    enter(ctx, Method::FilesRead, move |call| unsafe { read_part(call, path, part, out, info) })
}

unsafe extern "C" fn stat(ctx: PintleCtx, path: PintleStr, info: *mut PintleFileInfo) -> PintleStatus {
    enter(ctx, Method::FilesStat, move |call| {
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::required_info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let path = unsafe { path_of(path) }?;
        let known = call.core().files.stat(&call.data_scope(), path)?;
        let known = known.ok_or_else(|| files::not_found(path))?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&what_is_known(&known)) };
        Ok(())
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
    enter(ctx, Method::FilesList, move |call| {
        let out = Sink::new("out", out)?;
        let next = Sink::optional(next);
        // SAFETY: the contract says that inputs are readable for this call.
        let prefix = unsafe { input::text("prefix", prefix, LONGEST_KEY) }?;
        // SAFETY: as above.
        let cursor = unsafe { input::text("cursor", cursor, input::LONGEST_CURSOR) }?;
        let page = call.core().files.list(&call.data_scope(), prefix, cursor, limit)?;
        // SAFETY: the contract lets both `write` be called until this function returns.
        unsafe { write_page(&out, next.as_ref(), &page.paths, page.next.as_deref()) }
    })
}

unsafe extern "C" fn remove(ctx: PintleCtx, path: PintleStr, existed: *mut u32) -> PintleStatus {
    enter(ctx, Method::FilesRemove, move |call| {
        // SAFETY: the contract says that inputs are readable for this call.
        let path = unsafe { path_of(path) }?;
        call.must_act()?;
        let removed = call.core().files.remove(&call.data_scope(), path)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { input::write_if_wanted(existed, u32::from(removed)) };
        Ok(())
    })
}

unsafe extern "C" fn resource(
    ctx: PintleCtx,
    name: PintleStr,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> PintleStatus {
    enter(ctx, Method::FilesResource, move |call| {
        let out = Sink::new("out", out)?;
        // SAFETY: the contract says that a struct of the caller is as long as it says.
        let info = unsafe { input::info("info", info) }?;
        // SAFETY: the contract says that inputs are readable for this call.
        let name = unsafe { input::raw("name", name.ptr.cast(), name.len) }?;
        let name = Key::parse("name", name)?;
        let len = call.own_files()?.resources.read(name.as_str(), &mut |piece| {
            call.count_bytes(Service::Files, piece.len());
            // SAFETY: the contract lets `write` be called until this function returns.
            unsafe { out.write(piece) }
        })?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { info.write(&PintleFileInfo { len, ..NOTHING }) };
        Ok(())
    })
}

/// Reads a part of a file into the caller's sink, piece by piece.
///
/// # Safety
/// Inputs are readable, and outputs lead to memory of the caller, for this call.
unsafe fn read_part(
    call: &Call,
    path: PintleStr,
    part: Part,
    out: PintleSink,
    info: *mut PintleFileInfo,
) -> Result<()> {
    let out = Sink::new("out", out)?;
    // SAFETY: the caller vouches for it.
    let (info, path) = unsafe { (input::info("info", info)?, path_of(path)?) };
    let found = call.core().files.read(&call.data_scope(), path, part, &mut |piece| {
        call.count_bytes(Service::Files, piece.len());
        // SAFETY: the contract lets `write` be called until this function returns.
        unsafe { out.write(piece) }
    })?;
    let known = found.ok_or_else(|| files::not_found(path))?;
    // SAFETY: the caller vouches for it.
    unsafe { info.write(&what_is_known(&known)) };
    Ok(())
}

/// # Safety
/// The text is readable for this call.
unsafe fn path_of<'a>(path: PintleStr) -> Result<FilePath<'a>> {
    // SAFETY: the caller vouches for it.
    FilePath::parse("path", unsafe { input::raw("path", path.ptr.cast(), path.len) }?)
}

const NOTHING: PintleFileInfo = PintleFileInfo {
    size: size_of::<PintleFileInfo>() as u32,
    reserved: 0,
    len: 0,
    version: 0,
    created_ms: 0,
    updated_ms: 0,
};

fn what_is_known(info: &Info) -> PintleFileInfo {
    let Info { len, version, created_ms, updated_ms } = *info;
    PintleFileInfo { len, version, created_ms, updated_ms, ..NOTHING }
}
