//! The application of README.md, letter for letter below this line, so that it is compiled and run.

use pintle::{
    Host,
    events::{Draft, Topic, to_json},
};
use std::time::Duration;

fn main() -> pintle::Result<()> {
    let host = Host::builder().plugins("plugins").build()?;
    host.subscribe("plugin.>", |event| println!("{}", to_json(event)))?;
    for error in host.start().failed {
        eprintln!("{error}");
    }
    let greet = Draft::new(Topic::parse("greet.world")?, "/my/app", *br#"{"name":"you"}"#);
    host.emit("", greet)?; // on behalf of no tenant
    if !host.wait_idle(Duration::from_secs(5)) {
        eprintln!("the plugins are still at work");
    }
    host.stop();
    Ok(())
}
