//! `mirror`: a Rust plugin that does what it is told and tells what each call came to. `tests/parity` has it in the real
//! host, as a library, and in the SDK's test host, as a module. See tests/plugins/README.md.

#![forbid(unsafe_code)]

mod asked;
mod cached;
mod durable;
mod once;
mod operations;
mod stored;

use std::sync::{Arc, Mutex, PoisonError};

use operations::Kept;
use pintle_plugin::{
    Context, Error, Plugin, Request, Result, Status, plugin,
    serde_json::{self, Value},
};

/// Its config says what is done in `load`, `enable` and `disable`; everything else comes by call or by event.
pub(crate) struct Mirror {
    kept: Arc<Kept>,
    /// What the steps of its life came to.
    told: Mutex<Vec<String>>,
}

impl Mirror {
    fn step(&self, cx: &Context, place: &str) -> Result<()> {
        let operations: Vec<Value> = cx.config().get(&format!("/{place}"))?;
        let told = self.kept.all(cx, &operations).into_iter().map(|line| format!("{place}: {line}"));
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
        Ok(())
    }
}

impl Plugin for Mirror {
    fn load(cx: &Context) -> Result<Self> {
        let mirror = Mirror { kept: Arc::default(), told: Mutex::default() };
        mirror.step(cx, "load")?;
        Ok(mirror)
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        self.step(cx, "enable")?;
        let kept = Arc::clone(&self.kept);
        cx.events().subscribe("mirror.do", move |cx, event| {
            kept.hear("handled", event);
            event.reply_json(&kept.all(cx, &event.json::<Vec<Value>>()?))
        })?;
        let kept = Arc::clone(&self.kept);
        cx.events().subscribe("plugin.mirror.>", move |_, event| {
            kept.hear("own", event);
            Ok(())
        })?;
        cx.events().subscribe("mirror.fail", |_, event| Err(failure(event.text()?)))?;
        cx.events().subscribe("mirror.large", |_, event| {
            // What does not fit is not taken, and the handler may go on.
            let refused = event.reply(&vec![0; (1 << 20) + 1]).map_err(|error| error.status());
            event.reply(format!("{refused:?}").as_bytes())
        })?;
        Ok(())
    }

    fn disable(&self, cx: &Context) -> Result<()> {
        self.step(cx, "disable")
    }

    fn configure(&self, _: &Context, config: &Value) -> Result<()> {
        if config["refuse"] == true { Err(failure("Conflict")) } else { Ok(()) }
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        match request.method() {
            "do" => request.answer(|operations: Vec<Value>| Ok(self.kept.all(cx, &operations))),
            "told" => Ok(serde_json::to_vec(&*self.told.lock().unwrap_or_else(PoisonError::into_inner))?),
            "fail" => Err(failure(&request.json::<String>()?)),
            "large" => Ok(vec![0; request.json::<usize>()?]),
            _ => Err(request.unsupported()),
        }
    }
}

/// A failure with the status that is called so; a panic for `Panic`.
fn failure(status: &str) -> Error {
    assert!(status != "Panic", "as it was told to");
    let status = (1..100).filter_map(Status::from_code).find(|known| format!("{known:?}") == status);
    Error::new(status.unwrap_or(Status::Unknown(77)), "as it was told to")
}

plugin!(
    Mirror,
    inline
    r#"{
        "id": "mirror", "version": "0.1.0", "abi": "1.0",
        "services": {
            "cache": { "namespaces": ["n", "m"] },
            "storage": { "methods": [
                "get", "set", "remove", "exists", "keys", "clear", "incr", "expire", "batch", "watch", "stats"
            ] },
            "database": {},
            "files": {},
            "events": {
                "subscribe": ["mirror.>", "plugin.mirror.>", "a.*.c"],
                "publish": ["out.*", "deep.>", "plain"]
            },
            "idempotency": {},
            "scheduler": { "methods": ["cron", "interval", "remove"] },
            "call": ["panicky.run", "mirror.run", "nobody"]
        },
        "provides": { "mirror.run": { "major": 1, "methods": ["do", "told", "fail", "large", "unheard_of"] } },
        "config": {
            "type": "object",
            "properties": {
                "load": { "type": "array", "default": [] },
                "enable": { "type": "array", "default": [] },
                "disable": { "type": "array", "default": [] },
                "refuse": { "type": "boolean", "default": false },
                "values": { "default": {} },
                "inner": { "type": "object", "properties": { "given": { "default": 3 } } }
            },
            "additionalProperties": false
        }
    }"#
);
