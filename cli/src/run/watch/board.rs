//! What plugins have emitted so far: how many events of each type, what the last one carried, and which alarms there
//! are. Bounded, whatever plugins emit.

use std::collections::BTreeMap;

use pintle::events::Event;

use super::flat::{Members, data, flat, printable};

/// The most types, and the most alarms, that are told apart.
const MOST: usize = 1_000;

/// What was emitted.
#[derive(Debug, Default)]
pub(in crate::run) struct Board {
    pub(super) types: BTreeMap<String, Emitted>,
    pub(super) alarms: BTreeMap<AlarmKey, Alarm>,
    /// Events of types for which there was no room.
    pub(super) others: u64,
}

/// The events of one type.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Emitted {
    pub(super) count: u64,
    pub(super) last: String,
}

/// Which alarm: type, tenant, subject, and the members `topic` and `field` of its data.
pub(super) type AlarmKey = [String; 5];

/// An alarm: an event whose data has `"state": "raised"`, until one with `"state": "cleared"`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) raised: bool,
    /// How often it was raised.
    pub(super) times: u64,
    /// When it was raised or cleared last.
    pub(super) since_ms: i64,
    /// What it was about and carried, without its state.
    pub(super) what: String,
}

impl Board {
    /// Takes note of an event.
    pub(in crate::run) fn note(&mut self, event: &Event) {
        let topic = event.topic.as_str();
        if let Some(emitted) = self.types.get_mut(topic) {
            emitted.count += 1;
            emitted.last = data(event);
        } else if self.types.len() < MOST {
            self.types.insert(topic.to_owned(), Emitted { count: 1, last: data(event) });
        } else {
            self.others += 1;
        }
        if let Some(members) = Members::of(event) {
            self.note_alarm(event, members);
        }
    }

    fn note_alarm(&mut self, event: &Event, mut members: Members) {
        let raised = match members.text("state") {
            Some("raised") => true,
            Some("cleared") => false,
            _ => return,
        };
        let member = |name| members.text(name).unwrap_or_default().to_owned();
        let key = [
            event.topic.as_str().to_owned(),
            event.tenant.to_string(),
            event.subject.clone(),
            member("topic"),
            member("field"),
        ];
        if self.alarms.len() >= MOST && !self.alarms.contains_key(&key) {
            return;
        }
        let about: Vec<_> = ["topic", "field"].iter().filter_map(|name| members.text(name)).collect();
        let about = about.join(" ");
        members.0.retain(|(name, _)| !["state", "topic", "field"].contains(&name.as_str()));
        let alarm = self.alarms.entry(key).or_insert(Alarm {
            raised: false,
            times: 0,
            since_ms: event.time_ms,
            what: String::new(),
        });
        alarm.times += u64::from(raised);
        if alarm.raised != raised {
            alarm.since_ms = event.time_ms;
        }
        alarm.raised = raised;
        alarm.what = [printable(&about), flat(&members.0)].join(if about.is_empty() { "" } else { "  " });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::flat::tests::event, *};

    #[test]
    fn an_alarm_is_raised_until_it_is_cleared() {
        let mut board = Board::default();
        let mut alarms = |time: &str, data: &str| {
            board.note(&event(&format!(r#","time":"1970-01-01T00:00:0{time}Z","data":{data}"#)));
            let alarms = board.alarms.values();
            alarms.map(|a| (a.raised, a.times, a.since_ms, a.what.clone())).collect::<Vec<_>>()
        };
        let what = |value: u32| format!("t f  value {value}");
        let data = |state: &str, value: u32| {
            format!(r#"{{"topic":"t","field":"f","value":{value},"state":"{state}"}}"#)
        };
        assert_eq!(alarms("1", r#"{"busy":1}"#), []);
        assert_eq!(alarms("2", &data("raised", 7)), [(true, 1, 2_000, what(7))]);
        assert_eq!(alarms("3", &data("raised", 8)), [(true, 2, 2_000, what(8))]);
        assert_eq!(alarms("4", &data("cleared", 1)), [(false, 2, 4_000, what(1))]);
        assert_eq!(alarms("5", r#"{"state":"raised","field":"other"}"#).len(), 2);
        assert_eq!(alarms("5", r#"{"state":"unheard of","field":"third"}"#).len(), 2);
        assert_eq!(board.types["plugin.a.b"].count, 6);
    }

    #[test]
    fn types_without_end_take_no_memory_without_end() {
        let mut board = Board::default();
        for number in 0..1_100 {
            let mut event = event(&format!(r#","data":{{"state":"raised","field":"{number}"}}"#));
            event.topic = pintle::events::Topic::parse(&format!("plugin.a.b{number}")).unwrap();
            board.note(&event);
        }
        assert_eq!((board.types.len(), board.others, board.alarms.len()), (1_000, 100, 1_000));
    }
}
