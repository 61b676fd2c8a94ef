//! `panicky`: a Rust plugin that panics where its config says. See tests/plugins/README.md.

#![forbid(unsafe_code)]

use std::{panic, time::Duration};

use pintle_plugin::{Context, Plugin, Request, Result, plugin, serde_json::Value};

struct Panicky;

/// What a panic may carry: a value whose destructor panics as well.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("the payload panicked too");
    }
}

/// Panics if the config's `at` is this place.
fn trap(cx: &Context, place: &str) -> Result<()> {
    if cx.config().text("/at")? == place {
        burst(place, &cx.config().text("/with")?);
    }
    Ok(())
}

fn burst(place: &str, with: &str) -> ! {
    match with {
        "number" => panic::panic_any(42_u32),
        "grenade" => panic::panic_any(Grenade),
        _ => panic!("panicky in {place}"),
    }
}

impl Plugin for Panicky {
    fn load(cx: &Context) -> Result<Self> {
        trap(cx, "load")?;
        Ok(Panicky)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        trap(cx, "enable")?;
        cx.events().subscribe("panic.>", |cx, event| {
            trap(cx, "event")?;
            cx.events().emit("survived", event.data())
        })?;
        if cx.config().text("/at")? == "job" {
            cx.scheduler().interval("panic", Duration::from_millis(20), |cx, _| trap(cx, "job"))?;
        }
        if cx.config().text("/at")? == "drop" {
            let captured = Grenade;
            cx.events().subscribe("never.>", move |_, _| {
                let _captured = &captured;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn disable(&self, cx: &Context) -> Result<()> {
        trap(cx, "disable")
    }

    fn unload(self, cx: &Context) {
        if cx.config().text("/at").is_ok_and(|at| at == "unload") {
            panic!("panicky in unload");
        }
    }

    fn configure(&self, cx: &Context, _: &Value) -> Result<()> {
        trap(cx, "configure")
    }

    fn save(&self, cx: &Context) -> Result<Vec<u8>> {
        trap(cx, "save")?;
        Ok(Vec::new())
    }

    fn restore(&self, cx: &Context, _: u32, _: &[u8]) -> Result<()> {
        trap(cx, "restore")
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        match request.method() {
            "run" => trap(cx, "call").map(|()| b"\"fine\"".to_vec()),
            "burst" => burst("call", request.json::<String>()?.as_str()),
            _ => Err(request.unsupported()),
        }
    }
}

plugin!(Panicky, "plugin.json");
