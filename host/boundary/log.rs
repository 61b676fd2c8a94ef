//! The table `pintle_log`.

use std::sync::Arc;

use pintle_abi::*;

use super::{Call, enter, input, stale};
use crate::{
    error::{Error, ErrorKind, Result},
    identity::{Method, Tenant},
    lanes::{About, Entry},
    services::log::{Field, Level, Preset, Record, Running, Value},
};

const MOST_FIELDS: usize = 64;
const LONGEST_NAME: usize = 128;

pub(super) static TABLE: PintleLog = PintleLog {
    size: size_of::<PintleLog>() as u32,
    reserved: 0,
    write: Some(write),
    enabled: Some(enabled),
    logger_new: Some(logger_new),
    logger_write: Some(logger_write),
    logger_free: Some(logger_free),
};

unsafe extern "C" fn write(
    ctx: PintleCtx,
    level: u32,
    message: PintleStr,
    fields: *const PintleField,
    count: usize,
) -> PintleStatus {
    enter(ctx, Method::LogWrite, move |call| {
        let level = level_of(level)?;
        if !call.record.gate.enabled(level) {
            return Ok(());
        }
        // SAFETY: the contract says that inputs are readable for this call.
        unsafe { record(call, level, message, fields, count, None) }
    })
}

unsafe extern "C" fn enabled(ctx: PintleCtx, level: u32, out: *mut u32) -> PintleStatus {
    enter(ctx, Method::LogEnabled, move |call| {
        let level = level_of(level)?;
        let out = input::output("out", out)?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(u32::from(call.record.gate.enabled(level))) };
        Ok(())
    })
}

/// A logger with preset fields, as the register keeps it.
struct Logger(Preset);

impl Entry for Logger {
    fn kind(&self) -> &'static str {
        "logger"
    }
}

unsafe extern "C" fn logger_new(
    ctx: PintleCtx,
    fields: *const PintleField,
    count: usize,
    logger: *mut PintleLogger,
) -> PintleStatus {
    enter(ctx, Method::LogLoggerNew, move |call| {
        let out = input::output("logger", logger)?;
        // SAFETY: the contract says that inputs are readable for this call.
        let fields = unsafe { input::array("fields", fields, count, MOST_FIELDS) }?;
        // SAFETY: as above.
        let fields: Vec<_> =
            (0..fields.len()).map(|at| unsafe { field(&fields, at) }).collect::<Result<_>>()?;
        let handle = call.register()?.add(Arc::new(Logger(Preset::new(fields))))?;
        // SAFETY: the contract says that outputs lead to memory of the caller.
        unsafe { out.write(handle) };
        Ok(())
    })
}

unsafe extern "C" fn logger_write(
    ctx: PintleCtx,
    logger: PintleLogger,
    level: u32,
    message: PintleStr,
    fields: *const PintleField,
    count: usize,
) -> PintleStatus {
    enter(ctx, Method::LogLoggerWrite, move |call| {
        let logger = call.register()?.find::<Logger>(logger).ok_or_else(stale)?;
        let level = level_of(level)?;
        if !call.record.gate.enabled(level) {
            return Ok(());
        }
        // SAFETY: the contract says that inputs are readable for this call.
        unsafe { record(call, level, message, fields, count, Some(&logger.0)) }
    })
}

unsafe extern "C" fn logger_free(ctx: PintleCtx, logger: PintleLogger) -> PintleStatus {
    enter(ctx, Method::LogLoggerFree, move |call| {
        call.register()?.end::<Logger>(logger).map(drop).ok_or_else(stale)
    })
}

/// Not in line, so that a record that is not wanted does not pay for what one that is needs.
///
/// # Safety
/// The inputs are readable for this call.
#[inline(never)]
unsafe fn record(
    call: &Call,
    level: Level,
    message: PintleStr,
    fields: *const PintleField,
    count: usize,
    preset: Option<&Preset>,
) -> Result<()> {
    // SAFETY: the caller vouches for it.
    let message = unsafe { input::raw("message", message.ptr.cast(), message.len) }?;
    // SAFETY: the caller vouches for it.
    let fields = unsafe { input::array("fields", fields, count, MOST_FIELDS) }?;
    let tenant = if call.scope.tenant == Tenant::SYSTEM { None } else { Some(call.tenant()?) };
    let about = about(call);
    let record = Record {
        level,
        message,
        tenant: tenant.as_ref().map_or("", |tenant| tenant.name()),
        running: about.as_ref().and_then(running),
        preset,
    };
    // SAFETY: the caller vouches for it.
    let fields = (0..fields.len()).map(|at| unsafe { field(&fields, at) });
    call.core().log.try_write(&call.record.gate, &record, fields)
}

/// The running event or job, if the context is a call's.
fn about(call: &Call) -> Option<About> {
    let worker = call.scope.worker.checked_sub(1)?;
    call.core().pool.worker(worker)?.about(call.ctx)
}

fn running(about: &About) -> Option<Running<'_>> {
    match about.kind {
        "event" => Some(Running::Event(&about.name)),
        "job" => Some(Running::Job(&about.name)),
        "call" => Some(Running::Call(&about.name)),
        _ => None,
    }
}

/// # Safety
/// The array's call still runs.
unsafe fn field<'a>(fields: &input::Array<PintleField>, at: usize) -> Result<Field<'a>> {
    // SAFETY: the caller vouches for it, here and for the texts below.
    let field = unsafe { fields.at(at) }?;
    // SAFETY: as above.
    let name = unsafe { input::text("fields.name", field.name, LONGEST_NAME) }?;
    if name.is_empty() {
        return Err(Error::argument("fields.name", "it is empty: every field has a name of 1 to 128 bytes"));
    }
    let value = match field.kind {
        PINTLE_FIELD_TEXT => {
            // SAFETY: as above.
            Value::Text(unsafe { input::raw("fields.text", field.text.ptr.cast(), field.text.len) }?)
        }
        PINTLE_FIELD_INTEGER => Value::Integer(field.integer),
        PINTLE_FIELD_UNSIGNED => Value::Unsigned(field.integer as u64),
        PINTLE_FIELD_NUMBER => Value::Number(field.number),
        PINTLE_FIELD_BOOLEAN => Value::Boolean(field.integer != 0),
        kind => {
            return Err(Error::lazy(ErrorKind::InvalidArgument, move || {
                format!("argument `fields.kind`: {kind} is no PINTLE_FIELD_… that this host knows")
            }));
        }
    };
    Ok(Field { name, value })
}

#[inline]
fn level_of(level: u32) -> Result<Level> {
    Level::from_number(level).ok_or_else(|| unknown_level(level))
}

#[cold]
#[inline(never)]
fn unknown_level(level: u32) -> Error {
    Error::lazy(ErrorKind::InvalidArgument, move || {
        format!("argument `level`: {level}, PINTLE_LOG_TRACE (0) to PINTLE_LOG_FATAL (5) are taken")
    })
}
