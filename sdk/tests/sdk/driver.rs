//! Drives a plugin through its C functions, as a host does.

use std::{ffi::c_void, ptr, sync::Arc};

use pintle_abi::*;

use crate::fake::{self, Fake};

/// A loaded plugin.
pub(crate) struct Driver {
    plugin: &'static PintlePlugin,
    state: *mut c_void,
    pub(crate) fake: Arc<Fake>,
}

impl Driver {
    /// Loads it, or tells status and text of the refusal.
    pub(crate) fn load(
        plugin: *const PintlePlugin,
        fake: Arc<Fake>,
    ) -> Result<Self, (PintleStatus, Option<String>)> {
        // SAFETY: entries return static data.
        let plugin = unsafe { &*plugin };
        let mut state = ptr::null_mut();
        // SAFETY: as a host calls it.
        let status = unsafe { plugin.load.expect("required")(fake.ctx, fake.host(), &raw mut state) };
        if status == PINTLE_OK { Ok(Self { plugin, state, fake }) } else { Err((status, fake.error())) }
    }

    pub(crate) fn enable(&self) -> PintleStatus {
        // SAFETY: as a host calls it; so below.
        unsafe { self.plugin.enable.expect("given")(self.state, self.fake.ctx) }
    }

    pub(crate) fn disable(&self) -> PintleStatus {
        // SAFETY: as above.
        unsafe { self.plugin.disable.expect("given")(self.state, self.fake.ctx) }
    }

    pub(crate) fn configure(&self, config: &str) -> PintleStatus {
        let config = PintleBytes::new(config.as_bytes());
        // SAFETY: as above.
        unsafe { self.plugin.configure.expect("given")(self.state, self.fake.ctx, config) }
    }

    pub(crate) fn save(&self) -> (PintleStatus, Vec<u8>) {
        let mut out = Vec::new();
        // SAFETY: as above.
        let status =
            unsafe { self.plugin.save.expect("given")(self.state, self.fake.ctx, fake::sink(&mut out)) };
        (status, out)
    }

    pub(crate) fn restore(&self, schema: u32, saved: &[u8]) -> PintleStatus {
        let saved = PintleBytes::new(saved);
        // SAFETY: as above.
        unsafe { self.plugin.restore.expect("given")(self.state, self.fake.ctx, schema, saved) }
    }

    pub(crate) fn call(&self, method: &str, data: &[u8]) -> (PintleStatus, String) {
        let request = PintleRequest {
            size: size_of::<PintleRequest>() as u32,
            major: 4,
            service: PintleStr::new("actor.act"),
            method: PintleStr::new(method),
            caller: PintleStr::new("other"),
            data: PintleBytes::new(data),
        };
        self.call_raw(&raw const request)
    }

    pub(crate) fn call_raw(&self, request: *const PintleRequest) -> (PintleStatus, String) {
        let mut out = Vec::new();
        // SAFETY: as above.
        let status = unsafe {
            self.plugin.call.expect("given")(self.state, self.fake.ctx, request, fake::sink(&mut out))
        };
        (status, String::from_utf8(out).expect("the plugins of these tests answer text"))
    }

    /// Unloads it and tells what it asked of the host while it was at it.
    pub(crate) fn unload(self) -> Vec<String> {
        self.fake.take();
        if let Some(unload) = self.plugin.unload {
            // SAFETY: as above.
            unsafe { unload(self.state, self.fake.ctx) };
        }
        self.fake.take()
    }
}
