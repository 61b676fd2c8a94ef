//! Every record also as an event for the `tracing` subscriber of the embedding application.
//!
//! `tracing` wants its fields named when the program is built, so those of a record come as one text of JSON.

use std::cell::Cell;

use super::{Field, Gate, Level, Record, Running, escape, json::Line};

thread_local! {
    /// A subscriber that logs through the same host must not be told of its own records.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

struct Inside;

impl Inside {
    fn enter() -> Option<Self> {
        match INSIDE.try_with(|inside| inside.replace(true)) {
            Ok(false) => Some(Self),
            _ => None,
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

/// The fields of a record, gathered for the subscriber while the log encodes them for itself.
pub(super) struct Told(Option<Line>);

impl Told {
    /// Gathers nothing where the current dispatcher does not want the level.
    pub(super) fn begin(record: &Record<'_>) -> Self {
        let wanted = match record.level {
            Level::Trace => tracing::enabled!(target: "pintle", tracing::Level::TRACE),
            Level::Debug => tracing::enabled!(target: "pintle", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "pintle", tracing::Level::INFO),
            Level::Warn => tracing::enabled!(target: "pintle", tracing::Level::WARN),
            Level::Error | Level::Fatal => tracing::enabled!(target: "pintle", tracing::Level::ERROR),
        };
        let mut line = (wanted && !INSIDE.get()).then(Line::default);
        if let (Some(line), Some(preset)) = (&mut line, record.preset) {
            line.preset(&preset.json);
        }
        Self(line)
    }

    pub(super) fn field<E>(&mut self, field: &Result<Field<'_>, E>) {
        if let (Some(line), Ok(field)) = (&mut self.0, field) {
            line.field(field);
        }
    }

    /// Tells the current dispatcher.
    pub(super) fn end(self, gate: &Gate, record: &Record<'_>) {
        let (Some(mut line), Some(_inside)) = (self.0, Inside::enter()) else { return };
        let fields = match line.out.first_mut() {
            Some(comma) => {
                *comma = b'{';
                line.out.push(b'}');
                Some(String::from_utf8_lossy(&line.out))
            }
            None => None,
        };
        let fields = fields.as_deref();
        let mut message = Line::default();
        let (text, mark) = message.take(record.message);
        escape::terminal(&mut message.out, text);
        let message = format_args!("{}{mark}", String::from_utf8_lossy(&message.out)).to_string();
        let running = |key| record.running.map(Running::key_and_name).filter(|running| running.0 == key);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "pintle",
                    tracing::Level::$level,
                    plugin = none_if_empty(gate.plugin()),
                    version = none_if_empty(gate.version()),
                    tenant = none_if_empty(record.tenant),
                    event = running("event").map(|running| running.1),
                    job = running("job").map(|running| running.1),
                    call = running("call").map(|running| running.1),
                    fatal = (record.level == Level::Fatal).then_some(true),
                    fields,
                    "{message}"
                )
            };
        }
        match record.level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error | Level::Fatal => event!(ERROR),
        }
    }
}

fn none_if_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        fmt::Debug,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

    use super::{super::tests::quiet_log, *};
    use crate::services::log::{Log, Preset};

    type Seen = Arc<Mutex<Vec<(tracing::Level, String, BTreeMap<&'static str, String>)>>>;

    /// Keeps what it is told, and logs through the same host while being told.
    struct Keep(Seen, Arc<Log>);

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            struct Fields(BTreeMap<&'static str, String>);
            impl tracing::field::Visit for Fields {
                fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                    self.0.insert(field.name(), format!("{value:?}"));
                }
                fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                    self.0.insert(field.name(), value.into());
                }
            }
            let mut fields = Fields(BTreeMap::new());
            event.record(&mut fields);
            let meta = event.metadata();
            self.0.lock().expect("no panic").push((*meta.level(), meta.target().into(), fields.0));
            self.1.host(Level::Error, "from inside of the subscriber", []);
        }
    }

    #[test]
    fn log_13_a_record_reaches_the_subscriber_once_with_all_it_has() {
        let log = Arc::new(quiet_log());
        let seen = Seen::default();
        let gate = log.gate("threshold", "1.2.0");
        let keep = Keep(Arc::clone(&seen), Arc::clone(&log));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(keep), || {
            let preset = Preset::new([Field::text("unit", "C")]);
            let record = Record {
                tenant: "acme",
                running: Some(Running::Event("e-1")),
                preset: Some(&preset),
                ..Record::new(Level::Fatal, b"too\nhot")
            };
            log.write(&gate, &record, [Field::unsigned("value", 90)]);
            log.write(&gate, &Record::new(Level::Info, b"plain"), []);
            log.write(&gate, &Record::new(Level::Debug, b"below the gate"), []);
        });
        let seen = seen.lock().expect("no panic");
        assert_eq!(seen.len(), 2, "{seen:?}");
        let (level, target, fields) = &seen[0];
        assert_eq!((*level, target.as_str()), (tracing::Level::ERROR, "pintle"));
        for (name, value) in [
            ("plugin", "threshold"),
            ("version", "1.2.0"),
            ("tenant", "acme"),
            ("event", "e-1"),
            ("fatal", "true"),
            ("message", r"too\nhot"),
            ("fields", r#"{"unit":"C","value":90}"#),
        ] {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(fields.get("job"), None);
        assert_eq!((seen[1].0, seen[1].2.get("fields")), (tracing::Level::INFO, None));
    }
}
