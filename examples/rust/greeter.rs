//! An application that grows by plugins, in one page: it makes a host, starts it, hears what plugins have to say,
//! publishes events for them, and stops.
//!
//!     cargo run -p pintle-examples --bin greeter -- FOLDER NAME…
//!
//! FOLDER has plugins, such as `hello` of `tests/plugins` or `hello-rust` of `sample-plugins`, which answer `greet.<name>`.

use std::{env, process::ExitCode, time::Duration};

use pintle::{
    Host,
    events::{Draft, Topic},
};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let Some(folder) = words.next() else {
        eprintln!("usage: greeter FOLDER NAME…");
        return ExitCode::FAILURE;
    };
    match greet(&folder, words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("greeter: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything went well.
fn greet(folder: &str, names: impl Iterator<Item = String>) -> pintle::Result<bool> {
    // Everything else has a default: log records go to stderr, and without a data folder nothing is kept.
    let host = Host::builder().plugins(folder).build()?;

    // A plugin that fails is named with its cause, and the others go on. What it means is up to the application.
    let started = host.start();
    for error in &started.failed {
        eprintln!("greeter: {error}");
    }
    for (path, error) in &started.skipped {
        eprintln!("greeter: {}: {error}", path.display());
    }

    // Handlers run on a thread of the host, one at a time and in order.
    host.subscribe("plugin.>", |event| {
        println!("{} for {:?}: {}", event.topic, event.tenant, String::from_utf8_lossy(&event.data));
    })?;

    for name in names {
        let topic = Topic::parse(&format!("greet.{name}"))?;
        let data = format!("{{\"name\":\"{name}\"}}");
        // The tenant on whose behalf it happens reaches the plugins with the event, whatever they do with it.
        host.emit("acme", Draft::new(topic, "/examples/greeter", data.as_bytes()))?;
    }

    // `emit` waits for nobody. Applications that run for ever need no such wait: `stop` lets what runs finish.
    let settled = host.wait_idle(Duration::from_secs(60));
    for plugin in host.plugins() {
        println!("{} {} {:?}: {} handled", plugin.id, plugin.version, plugin.state, plugin.counters.handled);
    }

    // Ends within the deadline of the settings, and says what it had to leave behind.
    let stopped = host.stop();
    for left in &stopped.left {
        eprintln!("greeter: left behind: {left}");
    }
    Ok(settled && started.failed.is_empty() && stopped.left.is_empty() && stopped.failed.is_empty())
}
