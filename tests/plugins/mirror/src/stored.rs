//! What the mirror does with the storage when it is told to.

use std::sync::{Arc, Mutex};

use pintle_plugin::{
    BatchJob, Change, ChangeKind, CheckedSum, Context, EmitOptions, Fetched, Result, StorageOptions, Watch,
    serde_json::Value,
};

use super::operations::{Kept, Words, bytes, life, lock, shown, told, until_refused};

/// Each watch, with what it was told.
pub(crate) type Watches = Mutex<Vec<(Watch, Arc<Mutex<Vec<String>>>)>>;

impl Kept {
    pub(crate) fn storage(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let (storage, key, value) = (cx.storage(), words.text(0), words.text(1));
        match name {
            "get" => told(storage.get_item(&key), |item| match item {
                None => "nothing".into(),
                Some(item) => {
                    let (order, value) = (item.created <= item.updated, bytes(&item.value));
                    let (version, life) = (item.version, life(item.lifetime));
                    format!("{} {value} version {version} in order {order} {life}", item.key)
                }
            }),
            "into" => {
                told(storage.get_into(&key, &mut vec![0; words.unsigned(1) as usize]), |found| match found {
                    Fetched::Found(value) => format!("found {}", bytes(value)),
                    other => format!("{other:?}"),
                })
            }
            "json" => shown(storage.get_json::<u32>(&key)),
            "integer" => shown(storage.get_integer(&key)),
            "set" => shown(storage.set(&key, value.as_bytes())),
            "set_text" => shown(storage.set_json_text(&key, &value)),
            "set_if" => shown(storage.set_if_version(&key, value.as_bytes(), words.unsigned(2))),
            "set_with" => shown(storage.set_with(&key, value.as_bytes(), options(words, 2))),
            "create" => shown(storage.create(&key, value.as_bytes())),
            "incr" => shown(storage.incr(&key, words.integer(1))),
            "incr_with" => {
                told(storage.incr_with(&key, words.integer(1), options(words, 2)), |sum| match sum {
                    CheckedSum::Counted { sum, version } => format!("{sum} version {version}"),
                    conflict => format!("{conflict:?}"),
                })
            }
            "expire" => shown(storage.expire(&key, words.lifetime(1))),
            "remove" => shown(storage.remove(&key)),
            "exists" => shown(storage.exists(&key)),
            "stats" => shown(storage.stats()),
            "batch" => batch(cx, words),
            "clear" => shown(storage.clear()),
            "keys" | "page" | "pages" | "astray" => listed(cx, name, words),
            _ => self.watched(cx, name, words),
        }
    }

    fn watched(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        match name {
            // The version to begin after is behind the prefix; none if it is not there.
            "watch" => {
                let seen = Arc::<Mutex<Vec<String>>>::default();
                let own = Arc::clone(&seen);
                let note = move |_: &Context, change: &Change<'_>| {
                    let what = match change.kind() {
                        ChangeKind::Cleared => "Cleared".into(),
                        kind => format!("{kind:?} {}", change.key()),
                    };
                    lock(&own).push(format!("{what} {}", change.version()));
                    Ok(())
                };
                let made = match words.0.get(1) {
                    Some(_) => cx.storage().watch_after(&words.text(0), words.unsigned(1), note),
                    None => cx.storage().watch(&words.text(0), note),
                };
                told(made, |made| {
                    lock(&self.watches).push((made, seen));
                    String::new()
                })
            }
            "watch_all" => {
                let made = until_refused(|_| {
                    let made = cx.storage().watch("many/", |_, _| Ok(()));
                    made.inspect(|made| lock(&self.watches).push((*made, Arc::default())))
                });
                let ended = lock(&self.watches).drain(..).filter(|(one, _)| one.unwatch(cx).is_ok()).count();
                format!("{made}, {ended} ended")
            }
            "unwatch" => {
                let found = lock(&self.watches).get(words.unsigned(0) as usize).map(|(watch, _)| *watch);
                found.map_or("no such watch".into(), |one| shown(one.unwatch(cx)))
            }
            // What each was told since the last time.
            "watched" => {
                let watches = lock(&self.watches);
                let seen = watches.iter().map(|(_, seen)| std::mem::take(&mut *lock(seen)).join(", "));
                format!("ok {}", seen.collect::<Vec<_>>().join(" | "))
            }
            _ => "no operation".into(),
        }
    }
}

/// `{"for": milliseconds or null, "keep": true, "if": version}`.
fn options(words: &Words<'_>, at: usize) -> StorageOptions {
    let Some(Value::Object(said)) = words.0.get(at) else { return StorageOptions::new() };
    let mut options = StorageOptions::new();
    if let Some(lifetime) = said.get("for") {
        options = options.lifetime(Words(std::slice::from_ref(lifetime)).lifetime(0));
    }
    if said.contains_key("keep") {
        options = options.keep_lifetime();
    }
    if let Some(version) = said.get("if").and_then(Value::as_u64) {
        options = options.only_if_version(version);
    }
    options
}

/// Each word is a step, as a list.
fn batch(cx: &Context, words: &Words<'_>) -> String {
    let mut batch = cx.storage().batch();
    for step in words.0 {
        let Some([Value::String(kind), words @ ..]) = step.as_array().map(Vec::as_slice) else {
            return "no step".into();
        };
        let words = Words(words);
        let (key, value) = (words.text(0), words.text(1));
        batch = match kind.as_str() {
            "set" => batch.set_with(&key, value.as_bytes(), options(&words, 2)),
            "remove" => batch.remove(&key),
            "remove_if" => batch.remove_if_version(&key, words.unsigned(1)),
            "incr" => batch.incr_with(&key, words.integer(1), options(&words, 2)),
            "check" => batch.check(&key, words.unsigned(1)),
            "emit" => {
                batch.emit_with(&key, value.as_bytes(), &EmitOptions::new().wait(words.milliseconds(2)))
            }
            "cron" => batch.schedule(&key, BatchJob::cron(&value).zone(&words.text(2)), b"data"),
            "every" => batch.schedule(&key, BatchJob::every(words.milliseconds(1)), b"data"),
            "once" => batch.schedule(&key, BatchJob::once(words.milliseconds(1)), b"data"),
            "many" => (0..words.unsigned(1)).fold(batch, |batch, at| batch.remove(&format!("{key}{at}"))),
            _ => return "no step".into(),
        };
    }
    match batch.commit() {
        Ok(steps) => {
            let steps = steps.iter().map(|step| format!("{:?} {}", step.version, step.value));
            format!("ok {}", steps.collect::<Vec<_>>().join(", "))
        }
        Err(error) => format!("{:?} step {:?} current {:?}", error.status(), error.step(), error.current()),
    }
}

fn listed(cx: &Context, name: &str, words: &Words<'_>) -> String {
    let (storage, key, value) = (cx.storage(), words.text(0), words.text(1));
    match name {
        "keys" => shown(storage.keys(&key).collect::<Result<Vec<_>>>()),
        // A page at a cursor that nobody gave.
        "page" => told(storage.page(&key, &value, words.unsigned(2) as u32), |page| {
            format!("{:?} more {}", page.keys, page.next.is_some())
        }),
        // All pages; between them a key goes.
        "pages" => {
            let (mut pages, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = match storage.page(&key, &cursor, words.unsigned(1) as u32) {
                    Ok(page) => page,
                    Err(error) => return format!("{:?} after {pages:?}", error.status()),
                };
                if let Some(last) = page.keys.last() {
                    let _ = storage.remove(last);
                }
                pages.push(page.keys);
                match page.next {
                    Some(next) => cursor = next,
                    None => return format!("ok {pages:?}"),
                }
            }
        }
        // The cursor of one listing in another.
        _ => match storage.page(&key, "", 1).map(|page| page.next) {
            Ok(Some(next)) => told(storage.page(&value, &next, 1), |page| format!("{:?}", page.keys)),
            other => format!("{other:?}"),
        },
    }
}
