//! `hello-rust`: answers events `greet.<anything>` with an event `plugin.hello-rust.greeted`.

#![forbid(unsafe_code)]

use pintle_plugin::{Context, Plugin, Result, plugin};
use serde::{Deserialize, Serialize};

struct Hello;

#[derive(Deserialize)]
struct Guest {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    text: String,
}

impl Plugin for Hello {
    fn load(cx: &Context) -> Result<Self> {
        let word = cx.config().text("/word")?;
        cx.events().subscribe("greet.>", move |cx, event| {
            let Guest { name } = event.json()?;
            cx.log().info("greeting", &[("name", (&name).into())]);
            cx.events().emit_json("greeted", &Greeting { text: format!("{word}, {name}!") })
        })?;
        Ok(Hello)
    }
}

plugin!(Hello, inline r#"{
  "id": "hello-rust", "version": "0.1.0", "abi": "1.0",
  "services": { "events": { "subscribe": ["greet.>"], "publish": ["greeted"] } },
  "config": { "type": "object", "properties": { "word": { "type": "string", "default": "Hello" } } }
}"#);
