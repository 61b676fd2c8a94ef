//! The life of a plugin in the test host: what a real host does in each step, and what it drops, ends and gives back.

use std::{ptr, sync::Arc};

use pintle_abi::*;
use serde_json::Value;

use super::{
    drive::{Turn, give_back, pointer, replying, run},
    inside::{Entry, Inside, Kind, Loaded, Phase, State},
    manifest::Manifest,
    table,
};
use crate::{Error, Result, Status, wire};

/// The most that a plugin may save at a reload.
const LARGEST_STATE: usize = 64 << 20;

pub(super) fn load(inside: &Arc<Inside>, plugin: &'static PintlePlugin, config: Value) -> Result<()> {
    let turn = Turn::take(inside)?;
    if inside.state().loaded.is_some() {
        return Err(Error::new(Status::Conflict, "the host has a plugin already: unload it first"));
    }
    // SAFETY: what an entry describes is static.
    let manifest = Arc::new(Manifest::read(unsafe { wire::bytes(plugin.manifest) })?);
    {
        let mut state = inside.state();
        state.config = manifest.with_defaults(config);
        state.manifest = manifest;
    }
    let outcome = begin(inside, plugin).map(|loaded| inside.state().loaded = Some(loaded));
    turn.end();
    outcome
}

/// Makes a generation: `load`.
fn begin(inside: &Inside, plugin: &'static PintlePlugin) -> Result<Loaded> {
    let (generation, own) = {
        let mut state = inside.state();
        let generation = inside.fresh(&mut state) & 0xffff_ffff;
        state.phases.insert(generation, Phase::Preparing);
        let own = inside.fresh(&mut state);
        let entry = Entry {
            kind: Kind::Own,
            generation,
            tenant: None,
            depth: 0,
            deadline_ms: None,
            running: false,
            error: None,
        };
        state.contexts.insert(own, entry);
        (generation, own)
    };
    let load = plugin.load.ok_or_else(|| Error::new(Status::InvalidArgument, "the plugin has no `load`"))?;
    let mut state = ptr::null_mut();
    // SAFETY: as the contract says: its own context, a table that is static, and a place for the state.
    let outcome = run(inside, own, || unsafe { load(own, &raw const table::TABLE, &raw mut state) });
    if let Err(error) = outcome {
        finish(inside, generation);
        return Err(error);
    }
    Ok(Loaded { plugin, state: state.expose_provenance(), own, generation, enabled: false })
}

/// Ends a generation: everything of it is given back or stale.
fn finish(inside: &Inside, generation: u64) {
    let mut state = inside.state();
    drop_registrations(&mut state, generation, |_| true);
    drop(state);
    give_back(inside);
    let mut state = inside.state();
    state.phases.remove(&generation);
    state.contexts.retain(|_, entry| entry.generation != generation);
    state.loggers.retain(|_, (of, _)| *of != generation);
    state.cache.end_generation(generation);
    #[cfg(feature = "test-sql")]
    state.databases.end_generation(generation);
}

fn drop_registrations(state: &mut State, generation: u64, which: impl Fn(bool) -> bool) {
    let all = state.registrations.iter();
    let gone: Vec<_> = all
        .filter(|(_, one)| one.generation == generation && which(one.since_enable))
        .map(|(handle, _)| *handle)
        .collect();
    for handle in gone {
        state.end_registration(handle);
    }
}

pub(super) fn loaded(inside: &Inside) -> Result<Loaded> {
    inside
        .state()
        .loaded
        .ok_or_else(|| Error::new(Status::Unavailable, "no plugin is loaded: start one first"))
}

pub(super) fn enable(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let loaded = loaded(inside)?;
    let outcome = if loaded.enabled { Ok(()) } else { enable_now(inside, loaded) };
    turn.end();
    outcome
}

fn enable_now(inside: &Inside, loaded: Loaded) -> Result<()> {
    let before = inside.state().phases.insert(loaded.generation, Phase::Live);
    let outcome = match loaded.plugin.enable {
        // SAFETY: as the contract says: what `load` made, and its own context. So in every function below.
        Some(enable) => run(inside, loaded.own, || unsafe { enable(pointer(loaded.state), loaded.own) }),
        None => Ok(()),
    };
    let mut state = inside.state();
    match &outcome {
        Ok(()) => state.loaded = Some(Loaded { enabled: true, ..loaded }),
        Err(_) => {
            drop_registrations(&mut state, loaded.generation, |since_enable| since_enable);
            state.phases.insert(loaded.generation, before.unwrap_or(Phase::Preparing));
            drop(state);
            give_back(inside);
        }
    }
    outcome
}

pub(super) fn disable(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = disable_now(inside);
    turn.end();
    outcome
}

fn disable_now(inside: &Inside) -> Result<()> {
    let loaded = loaded(inside)?;
    if !loaded.enabled {
        return Ok(());
    }
    {
        let mut state = inside.state();
        state.phases.insert(loaded.generation, Phase::Stopping);
        state.loaded = Some(Loaded { enabled: false, ..loaded });
    }
    let outcome = match loaded.plugin.disable {
        // SAFETY: as in `enable_now`.
        Some(disable) => run(inside, loaded.own, || unsafe { disable(pointer(loaded.state), loaded.own) }),
        None => Ok(()),
    };
    drop_registrations(&mut inside.state(), loaded.generation, |since_enable| since_enable);
    give_back(inside);
    outcome
}

pub(super) fn unload(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = loaded(inside).and_then(|_| {
        let disabled = disable_now(inside);
        unload_now(inside, loaded(inside)?);
        inside.state().loaded = None;
        disabled
    });
    turn.end();
    outcome
}

fn unload_now(inside: &Inside, loaded: Loaded) {
    drop_registrations(&mut inside.state(), loaded.generation, |_| true);
    give_back(inside);
    if let Some(unload) = loaded.plugin.unload {
        // SAFETY: as in `enable_now`; nothing else is called with this state afterwards.
        let _ = run(inside, loaded.own, || unsafe {
            unload(pointer(loaded.state), loaded.own);
            PINTLE_OK
        });
    }
    finish(inside, loaded.generation);
}

pub(super) fn configure(inside: &Arc<Inside>, config: Value) -> Result<()> {
    let turn = Turn::take(inside)?;
    let loaded = loaded(inside)?;
    let config = inside.state().manifest.with_defaults(config);
    let text = config.to_string();
    let outcome = match loaded.plugin.configure {
        Some(configure) => run(inside, loaded.own, || {
            // SAFETY: as in `enable_now`; the text is lent for the call.
            unsafe { configure(pointer(loaded.state), loaded.own, PintleBytes::new(text.as_bytes())) }
        }),
        None => Ok(()),
    };
    if outcome.is_ok() {
        inside.state().config = config;
    }
    turn.end();
    outcome
}

/// What a host does at a reload: the old generation stops and saves, the new one loads and restores, and where one of that
/// fails, the old one goes on.
pub(super) fn reload(inside: &Arc<Inside>) -> Result<()> {
    let turn = Turn::take(inside)?;
    let outcome = reload_now(inside);
    turn.end();
    outcome
}

fn reload_now(inside: &Inside) -> Result<()> {
    let was_enabled = loaded(inside)?.enabled;
    disable_now(inside)?;
    let old = loaded(inside)?;
    let new = save(inside, old).and_then(|saved| {
        let new = begin(inside, old.plugin)?;
        match restore(inside, new, &saved) {
            Ok(()) => Ok(new),
            Err(error) => {
                unload_now(inside, new);
                Err(error)
            }
        }
    });
    match new {
        Ok(new) => {
            unload_now(inside, old);
            inside.state().loaded = Some(new);
            if was_enabled { enable_now(inside, new) } else { Ok(()) }
        }
        Err(error) => {
            if was_enabled {
                enable_now(inside, old)?;
            }
            Err(error)
        }
    }
}

fn save(inside: &Inside, loaded: Loaded) -> Result<Vec<u8>> {
    let Some(save) = loaded.plugin.save else { return Ok(Vec::new()) };
    replying(inside, loaded.own, LARGEST_STATE, |reply| {
        // SAFETY: as in `enable_now`; the sink looks its handle up.
        unsafe { save(pointer(loaded.state), loaded.own, reply) }
    })
}

fn restore(inside: &Inside, loaded: Loaded, saved: &[u8]) -> Result<()> {
    let Some(restore) = loaded.plugin.restore else { return Ok(()) };
    let schema = inside.state().manifest.state;
    run(inside, loaded.own, || {
        // SAFETY: as in `enable_now`; what was saved is lent for the call.
        unsafe { restore(pointer(loaded.state), loaded.own, schema, PintleBytes::new(saved)) }
    })
}
