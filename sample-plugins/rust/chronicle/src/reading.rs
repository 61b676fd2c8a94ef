//! What an event says: values by metric.

use pintle_plugin::serde_json::Value;

/// Beyond this a mean could leave what a number can hold.
const LARGEST: f64 = 1e300;

/// The values of an event.
///
/// - Of `plugin.sysmon.cpu` each number: `cpu.busy`. What is about a device has its name in it: `disk.vda.busy`.
/// - A raised alarm counts as `alarms`, and under what it is about: `alarms.cpu.busy`.
/// - A line counts as `lines`.
pub(crate) fn of(topic: &str, data: &Value) -> Vec<(String, f64)> {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    match topic {
        "plugin.tail.line" => vec![("lines".to_owned(), 1.0)],
        "plugin.threshold.alarm" if text("state") == "raised" => {
            let about = text("topic").strip_prefix("plugin.sysmon.").unwrap_or(text("topic"));
            vec![("alarms".to_owned(), 1.0), (format!("alarms.{about}.{}", text("field")), 1.0)]
        }
        _ => {
            let Some(kind) = topic.strip_prefix("plugin.sysmon.") else { return Vec::new() };
            let about = match text("device") {
                "" => kind.to_owned(),
                device => format!("{kind}.{device}"),
            };
            let members = data.as_object().into_iter().flatten();
            let numbers = members.filter_map(|(name, value)| Some((name, value.as_f64()?)));
            let numbers = numbers.filter(|(_, value)| value.abs() <= LARGEST);
            numbers.map(|(name, value)| (format!("{about}.{name}"), value)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use pintle_plugin::serde_json::json;

    use super::*;

    #[test]
    fn events_are_values_by_metric() {
        let alarm =
            |state: &str| json!({"topic": "plugin.sysmon.cpu", "field": "busy", "value": 99, "state": state});
        type Readings<'a> = &'a [(&'a str, f64)];
        let cases: [(&str, Value, Readings<'_>); 9] = [
            (
                "plugin.sysmon.cpu",
                json!({"busy": 1.5, "idle": 98, "note": "n"}),
                &[("cpu.busy", 1.5), ("cpu.idle", 98.0)],
            ),
            ("plugin.sysmon.disk", json!({"device": "vda", "busy": 3}), &[("disk.vda.busy", 3.0)]),
            ("plugin.sysmon.new", json!({"a": {"b": 1}, "c": [1], "d": null, "e": true}), &[]),
            ("plugin.sysmon.new", json!([1, 2]), &[]),
            ("plugin.sysmon.new", json!({"a": 1e301, "b": -1e300}), &[("new.b", -1e300)]),
            ("plugin.threshold.alarm", alarm("raised"), &[("alarms", 1.0), ("alarms.cpu.busy", 1.0)]),
            ("plugin.threshold.alarm", alarm("cleared"), &[]),
            ("plugin.tail.line", json!({"line": "l", "offset": 7}), &[("lines", 1.0)]),
            ("plugin.other.cpu", json!({"busy": 1}), &[]),
        ];
        for (topic, data, expected) in cases {
            let found = of(topic, &data);
            let found: Vec<_> = found.iter().map(|(metric, value)| (metric.as_str(), *value)).collect();
            assert_eq!(found, expected, "{topic} {data}");
        }
    }
}
