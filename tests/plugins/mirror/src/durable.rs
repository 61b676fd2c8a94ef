//! What the mirror can be told to do with durable events. What its handlers are given is noted; what they answer is in the data: `fail` is
//! an error each time, `once` at the first attempt. Deliveries that are to be acknowledged are kept, and named by their number.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use pintle_plugin::{
    Context, Delivery, EmitOptions, Error, Event, Result, StartFrom, Status, SubscribeOptions, Subscription,
    serde_json::Value,
};

use super::operations::{Kept, Words, bytes, lock, shown, told};

#[derive(Default)]
pub(crate) struct Followed {
    subscriptions: Mutex<Vec<Subscription>>,
    deliveries: Mutex<Vec<Delivery>>,
    /// What was delivered, by the names of subscriptions.
    seen: Mutex<Vec<(String, String)>>,
}

impl Followed {
    fn see(&self, name: &str, event: &Event<'_>) -> Result<()> {
        let (data, attempt) = (bytes(event.data()), event.attempt());
        // What the host makes up is another in each.
        let id = if event.id().starts_with("my-") { event.id() } else { "some" };
        let about = format!(
            "{data} {:?} {attempt:?} {id} {:?} {:?} {}",
            event.sequence(),
            event.key(),
            event.tenant(),
            event.delivery().is_some()
        );
        lock(&self.deliveries).extend(event.delivery());
        let fails = data.starts_with("fail") || (data.starts_with("once") && attempt == Some(1));
        lock(&self.seen).push((name.to_owned(), about));
        if fails { Err(Error::new(Status::Conflict, "as it was told to")) } else { Ok(()) }
    }
}

/// The options of `["durable.subscribe", PATTERN, NAME, {OPTIONS}]`. With `transient` it is not durable, which goes with few of the others.
fn options<'a>(name: &'a str, of: &'a Value) -> SubscribeOptions<'a> {
    let number = |option: &str| of[option].as_u64();
    let span = |option: &str| number(option).map(Duration::from_millis);
    let mut options = SubscribeOptions::new().name(name);
    if of["transient"] != true {
        options = options.durable();
    }
    if of["acknowledge"] == true {
        options = options.acknowledge();
    }
    if let Some(filter) = of["filter"].as_str() {
        options = options.filter(filter);
    }
    if let Some(priority) = of["priority"].as_i64() {
        options = options.priority(priority as i32);
    }
    if let Some(capacity) = number("capacity") {
        options = options.capacity(capacity as u32);
    }
    if let Some(time) = span("ack") {
        options = options.ack_within(time);
    }
    if let Some(first) = span("backoff") {
        options = options.backoff(first);
    }
    if let Some(most) = number("max_deliveries") {
        options = options.max_deliveries(most as u32);
    }
    if let Some(most) = number("in_flight") {
        options = options.in_flight(most as u32);
    }
    match &of["start"] {
        Value::Null => options,
        Value::Number(_) => options.start(StartFrom::Sequence(number("start").unwrap_or_default())),
        Value::String(word) if word == "epoch" => options.start(StartFrom::Time(UNIX_EPOCH)),
        _ => options.start(StartFrom::All),
    }
}

impl Kept {
    pub(crate) fn durable(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let followed = &self.followed;
        let number = words.unsigned(0) as usize;
        let delivery = || lock(&followed.deliveries).get(number).copied();
        match name {
            // TOPIC DATA ID KEY SUBJECT
            "emit" => {
                let [id, key, subject] = [2, 3, 4].map(|at| words.text(at));
                let options = EmitOptions::new().durable().id(&id).key(&key).subject(&subject);
                shown(cx.events().emit_with(&words.text(0), words.text(1).as_bytes(), &options))
            }
            "subscribe" => {
                let (name, none) = (words.text(1), Value::Null);
                let (followed, by) = (Arc::clone(followed), name.clone());
                let options = options(&name, words.0.get(2).unwrap_or(&none));
                let made = cx
                    .events()
                    .subscribe_with(&words.text(0), &options, move |_, event| followed.see(&by, event));
                told(made, |made| {
                    lock(&self.followed.subscriptions).push(made);
                    String::new()
                })
            }
            "unsubscribe" => {
                let found = lock(&followed.subscriptions).get(number).copied();
                found.map_or("no such subscription".into(), |one| shown(one.unsubscribe(cx)))
            }
            "ack" => delivery().map_or("no such delivery".into(), |one| shown(one.ack(cx))),
            // NUMBER REASON DELAY
            "nack" => {
                let delay = words.0.get(2).map(|_| words.milliseconds(2));
                let reason = words.text(1);
                delivery().map_or("no such delivery".into(), |one| shown(one.nack(cx, delay, &reason)))
            }
            // How many there are that `seen` would tell.
            "count" => lock(&followed.seen).len().to_string(),
            "seen" => {
                let mut seen = std::mem::take(&mut *lock(&followed.seen));
                // What several subscriptions of one plugin do is in no order between them.
                seen.sort_by(|(one, _), (other, _)| one.cmp(other));
                let seen: Vec<_> = seen.into_iter().map(|(name, about)| format!("{name}: {about}")).collect();
                format!("ok {}", seen.join(" | "))
            }
            _ => format!("no durable.{name}"),
        }
    }
}
