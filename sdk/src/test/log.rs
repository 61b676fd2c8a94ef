//! The table of the log: records are kept for the test to look at.

use pintle_abi::*;
use serde_json::Value;

use super::{
    LogRecord, input,
    inside::{Call, enter},
};
use crate::{Error, Level, Result, Status};

const MOST_FIELDS: usize = 64;

pub(super) static TABLE: PintleLog = PintleLog {
    size: size_of::<PintleLog>() as u32,
    reserved: 0,
    write: Some(write),
    enabled: Some(enabled),
    logger_new: Some(logger_new),
    logger_write: Some(logger_write),
    logger_free: Some(logger_free),
};

type Fields = Vec<(String, Value)>;

/// # Safety
/// `fields` leads to `count` fields that are readable for this call.
unsafe fn fields(fields: *const PintleField, count: usize) -> Result<Fields> {
    if count > MOST_FIELDS {
        let text = format!("argument `count`: {count} fields, at most {MOST_FIELDS} are taken");
        return Err(Error::new(Status::TooLarge, text));
    }
    if fields.is_null() && count > 0 {
        return Err(input::wrong("fields", "null with a count"));
    }
    let mut all = Fields::new();
    for at in 0..count {
        // SAFETY: the caller's promise, here and for the texts.
        let field = unsafe { fields.add(at).read() };
        if field.size as usize != size_of::<PintleField>() {
            return Err(input::wrong("fields", format!("the size of number {at} is another")));
        }
        // SAFETY: as above.
        let name = unsafe { input::key("fields.name", field.name, 128) }?;
        let value = match field.kind {
            // SAFETY: as above.
            PINTLE_FIELD_TEXT => unsafe { input::any_text("fields.text", field.text) }?.into(),
            PINTLE_FIELD_INTEGER => field.integer.into(),
            PINTLE_FIELD_UNSIGNED => (field.integer as u64).into(),
            // What JSON has no number for is written as text.
            PINTLE_FIELD_NUMBER if !field.number.is_finite() => field.number.to_string().into(),
            PINTLE_FIELD_NUMBER => field.number.into(),
            PINTLE_FIELD_BOOLEAN => (field.integer != 0).into(),
            kind => return Err(input::wrong("fields", format!("the kind of `{name}` is {kind}"))),
        };
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

fn level(code: u32) -> Result<Level> {
    Level::from_code(code).ok_or_else(|| input::wrong("level", format!("{code} is none")))
}

/// Nobody looks at a record that is not wanted.
///
/// # Safety
/// The message and `count` fields are readable for this call.
unsafe fn record(
    call: &Call,
    at: u32,
    message: PintleStr,
    (of, count): (*const PintleField, usize),
    mut preset: Fields,
) -> Result<()> {
    let level = level(at)?;
    if level < call.state().level {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let (message, fields) = unsafe { (input::any_text("message", message)?, fields(of, count)?) };
    preset.extend(fields);
    let tenant = call.entry.tenant.as_deref().map(str::to_owned);
    call.state().logs.push(LogRecord { level, message, fields: preset, tenant });
    Ok(())
}

unsafe extern "C" fn write(
    ctx: PintleCtx,
    at: u32,
    message: PintleStr,
    of: *const PintleField,
    count: usize,
) -> PintleStatus {
    // SAFETY: the contract: inputs are readable and outputs writable for this call. So in every function of this table.
    enter(ctx, "log.write", |call| unsafe { record(call, at, message, (of, count), Fields::new()) })
}

unsafe extern "C" fn enabled(ctx: PintleCtx, at: u32, out: *mut u32) -> PintleStatus {
    // SAFETY: as in `write`.
    enter(ctx, "log.enabled", |call| unsafe {
        let out = input::output("out", out)?;
        *out = (level(at)? >= call.state().level).into();
        Ok(())
    })
}

unsafe extern "C" fn logger_new(
    ctx: PintleCtx,
    of: *const PintleField,
    count: usize,
    logger: *mut PintleLogger,
) -> PintleStatus {
    // SAFETY: as in `write`.
    enter(ctx, "log.logger_new", |call| unsafe {
        let logger = input::output("logger", logger)?;
        let fields = fields(of, count)?;
        call.must_not_stop()?;
        let mut state = call.state();
        state.must_have_room_to_log(call.entry.generation)?;
        *logger = call.inside.fresh(&mut state);
        state.loggers.insert(*logger, (call.entry.generation, fields));
        Ok(())
    })
}

unsafe extern "C" fn logger_write(
    ctx: PintleCtx,
    logger: PintleLogger,
    at: u32,
    message: PintleStr,
    of: *const PintleField,
    count: usize,
) -> PintleStatus {
    // SAFETY: as in `write`.
    enter(ctx, "log.logger_write", |call| unsafe {
        record(call, at, message, (of, count), preset(call, logger)?)
    })
}

unsafe extern "C" fn logger_free(ctx: PintleCtx, logger: PintleLogger) -> PintleStatus {
    enter(ctx, "log.logger_free", |call| {
        preset(call, logger)?;
        call.state().loggers.remove(&logger);
        Ok(())
    })
}

fn preset(call: &Call, logger: PintleLogger) -> Result<Fields> {
    match call.state().loggers.get(&logger) {
        Some((generation, fields)) if *generation == call.entry.generation => Ok(fields.clone()),
        _ => Err(Error::new(Status::StaleHandle, "the logger is over, or never was one")),
    }
}
