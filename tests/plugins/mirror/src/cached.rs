//! What the mirror can be told to do with the cache. Options are an object: `{ "ttl": 100000, "tags": ["t"] }`.

use std::time::Duration;

use pintle_plugin::{
    Cache, CacheEntry, CacheItem, CacheValue, Context, Error, ExpireIf, Expiry, Fetch, FetchOptions, Fetched,
    Lease, Lifetime, Result, SetOptions, Status, serde_json::Value,
};

use super::operations::{self, Kept, Words, bytes, life, shown, told};

impl Kept {
    pub(crate) fn cache(&self, cx: &Context, name: &str, words: &Words<'_>) -> String {
        let (namespace, key, value) = (words.text(0), words.text(1), words.text(2));
        let cache = cx.cache(&namespace);
        let life = |at| words.lifetime(at);
        // What came of the operations that a loader does.
        let mut nested = Vec::new();
        match name {
            "get" => told(cache.get_item(&key), |item| item.map_or("nothing".into(), |item| about(&item))),
            "raw" => told(cache.get(&key), |value| value.map_or("nothing".into(), |value| bytes(&value))),
            "into" => {
                let mut buffer = vec![b'_'; words.unsigned(2) as usize];
                let read = cache.get_into(&key, &mut buffer);
                told(read, |read| match read {
                    Fetched::Found(value) => bytes(value),
                    other => format!("{other:?}"),
                })
            }
            "integer" => shown(cache.get_integer(&key)),
            "json" => shown(cache.get_json::<u32>(&key)),
            "set" => shown(cache.set(&key, value.as_bytes())),
            "set_for" => shown(cache.set_for(&key, value.as_bytes(), life(3))),
            "incr" => shown(cache.incr(&key, words.integer(2))),
            "incr_for" => shown(cache.incr_for(&key, words.integer(2), life(3))),
            "remove" => shown(cache.remove(&key)),
            "exists" => shown(cache.exists(&key)),
            "expire" => shown(cache.expire(&key, life(2))),
            "expire_if" => {
                let conditions = [ExpireIf::Endless, ExpireIf::Expires, ExpireIf::Later, ExpireIf::Earlier];
                let outcome: Result<Expiry> =
                    cache.expire_if(&key, life(2), conditions[words.unsigned(3) as usize]);
                shown(outcome)
            }
            "ttl" => told(cache.ttl(&key), |left| left.map_or("nothing".into(), operations::life)),
            "set_with" => asked(cache, &key, words.0.get(3), |options| {
                shown(cache.set_with(&key, value.as_bytes(), options))
            }),
            "set_absent" => {
                asked(cache, &key, words.0.get(2), |options| shown(cache.set_absent_with(&key, options)))
            }
            "known_absent" => shown(cache.known_absent(&key)),
            "get_many" => {
                let words = Words(list(words.0.get(1)));
                let keys: Vec<String> = (0..words.0.len()).map(|at| words.text(at)).collect();
                told(cache.get_many(&keys), |items| {
                    let items = items
                        .into_iter()
                        .map(|item| told(item, |item| item.map_or("nothing".into(), |item| about(&item))));
                    items.collect::<Vec<_>>().join(" | ")
                })
            }
            "set_many" => set_many(cache, list(words.0.get(1))),
            // So many, in one call.
            "many" => {
                let keys: Vec<String> =
                    (0..words.unsigned(1)).map(|number| format!("many/{number}")).collect();
                let entries: Vec<_> =
                    keys.iter().map(|key| CacheEntry::new(key, key.as_bytes(), Lifetime::Endless)).collect();
                let written = told(cache.set_many(&entries), |written| {
                    written.iter().filter(|one| one.is_ok()).count().to_string()
                });
                let read = told(cache.get_many(&keys), |read| {
                    read.iter().filter(|one| matches!(one, Ok(Some(_)))).count().to_string()
                });
                format!("{written} {read} {}", shown(cache.invalidate("many/*")))
            }
            "invalidate" => shown(cache.invalidate(&key)),
            "invalidate_tag" => shown(cx.invalidate_tag(&namespace)),
            "clear" => shown(cache.clear()),
            // The order is the host's own affair.
            "keys" => told(cache.keys(&key).collect::<Result<Vec<_>>>(), |mut keys| {
                keys.sort();
                keys.into_iter().map(|key| bytes(key.as_bytes())).collect::<Vec<_>>().join(" | ")
            }),
            "page" => told(cache.page(&key, &value, words.unsigned(3) as u32), |page| {
                format!("{} more {}", page.keys.len(), page.next.is_some())
            }),
            // All pages; between them a key goes.
            "pages" => {
                let (mut pages, mut cursor) = (Vec::new(), String::new());
                loop {
                    let page = match cache.page(&key, &cursor, words.unsigned(2) as u32) {
                        Ok(page) => page,
                        Err(error) => return format!("{:?} after {pages:?}", error.status()),
                    };
                    if let Some(last) = page.keys.last() {
                        let _ = cache.remove(last);
                    }
                    pages.push(page.keys.len());
                    match page.next {
                        Some(next) => cursor = next,
                        None => return format!("ok {pages:?}"),
                    }
                }
            }
            // What is kept differs, in bytes and in what others have; not what is promised of it.
            "stats" => told(cx.cache_stats(), |stats| {
                let bounded = stats.guaranteed_bytes <= stats.capacity_bytes;
                format!("{} of {} {bounded}", stats.items > 0, stats.bytes > 0)
            }),
            "fetch" => self.fetch(cx, cache, words),
            "load" => {
                let load = || {
                    nested.extend(self.all(cx, list(words.0.get(4))));
                    outcome(words.0.get(2)).map(|value| {
                        value.map(|value| value.as_str().unwrap_or_default().as_bytes().to_vec())
                    })
                };
                let came = asked(cache, &key, words.0.get(3), |options| {
                    told(cache.get_or_load(&key, options, load), |value| {
                        value.map_or("nothing".into(), |value| bytes(&value))
                    })
                });
                format!("{came} {nested:?}")
            }
            "load_json" => {
                let load = || {
                    nested.extend(self.all(cx, list(words.0.get(4))));
                    outcome(words.0.get(2)).map(|value| value.and_then(Value::as_u64))
                };
                let came = asked(cache, &key, words.0.get(3), |options| {
                    shown(cache.get_or_load_json(&key, options, load))
                });
                format!("{came} {nested:?}")
            }
            _ => "no operation".into(),
        }
    }

    /// `["cache.fetch", "n", "key", how, options, operations]`: what is done while there is a lease, and how that is ended:
    /// `{ "set": "value", "options": {…} }`, `{ "absent": {…} }`, `"fail"`, or in no way.
    fn fetch(&self, cx: &Context, cache: Cache<'_>, words: &Words<'_>) -> String {
        let options = words.0.get(3).cloned().unwrap_or_default();
        let mut ask = FetchOptions::new();
        if let Some(wait) = options["wait"].as_u64() {
            ask = ask.wait(Duration::from_millis(wait));
        }
        if let Some(lease) = options["lease"].as_u64() {
            ask = ask.lease_for(Duration::from_millis(lease));
        }
        let key = words.text(1);
        let (found, lease) = match cache.fetch(&key, &ask) {
            Ok(Fetch::Fresh(item)) => (format!("fresh {}", about(&item)), None),
            Ok(Fetch::Stale(item, lease)) => (format!("stale {}", about(&item)), lease),
            Ok(Fetch::Load(lease)) => ("load".into(), Some(lease)),
            Ok(Fetch::Absent) => ("absent".into(), None),
            Err(error) => (format!("{:?}", error.status()), None),
        };
        let told = self.all(cx, list(words.0.get(4)));
        let ended = lease.map_or("no lease".into(), |lease| end(lease, cache, words.0.get(2)));
        format!("ok {found}, {told:?}, {ended}")
    }
}

fn end(lease: Lease<'_>, cache: Cache<'_>, how: Option<&Value>) -> String {
    let how = how.cloned().unwrap_or_default();
    let key = lease.key().to_owned();
    if how == "fail" {
        return told(lease.fail(), |item| item.map_or("nothing".into(), |item| about(&item)));
    }
    if let Some(value) = how["set"].as_str() {
        let words = [Value::from(value)];
        let value = Words(&words).text(0);
        return asked(cache, &key, how.get("options"), |options| shown(lease.set(value.as_bytes(), options)));
    }
    match how.get("absent") {
        Some(options) => asked(cache, &key, Some(options), |options| shown(lease.set_absent(options))),
        None => "dropped".into(),
    }
}

fn set_many(cache: Cache<'_>, all: &[Value]) -> String {
    let words: Vec<_> = all.iter().map(|one| Words(list(Some(one)))).collect();
    let parts: Vec<_> = words.iter().map(|one| (one.text(0), one.text(1), tags(one.0.get(2)))).collect();
    let tags: Vec<Vec<&str>> =
        parts.iter().map(|(.., tags)| tags.iter().map(String::as_str).collect()).collect();
    let entries = words.iter().zip(&parts).zip(&tags).map(|((one, (key, value, _)), tags)| {
        CacheEntry::new(key, value.as_bytes(), options(cache, key, one.0.get(2)).tags(tags))
    });
    told(cache.set_many(&entries.collect::<Vec<_>>()), |written| {
        let written = written.into_iter().map(|one| told(one, |()| String::new()));
        written.collect::<Vec<_>>().join(" | ")
    })
}

/// Does something with options.
fn asked<R>(cache: Cache<'_>, key: &str, value: Option<&Value>, run: impl FnOnce(SetOptions<'_>) -> R) -> R {
    let tags = tags(value);
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    run(options(cache, key, value).tags(&tags))
}

fn tags(value: Option<&Value>) -> Vec<String> {
    let words = Words(list(value.and_then(|value| value.get("tags"))));
    (0..words.0.len()).map(|at| words.text(at)).collect()
}

/// All but the tags.
fn options(cache: Cache<'_>, key: &str, value: Option<&Value>) -> SetOptions<'static> {
    let value = value.cloned().unwrap_or_default();
    let span = |name: &str| value[name].as_u64().map(Duration::from_millis);
    let mut options = SetOptions::new();
    match &value["ttl"] {
        Value::Number(_) => options = options.lifetime(span("ttl").unwrap_or_default()),
        Value::Bool(_) => options = options.lifetime(Lifetime::Endless),
        _ => {}
    }
    options = options.stale_for(span("stale").unwrap_or_default());
    options = options.keep_for_errors(span("errors").unwrap_or_default());
    if value["keep"] == true {
        options = options.keep_lifetime();
    }
    match &value["if"] {
        Value::String(_) => options.only_if_absent(),
        // The version that it has, with so much added.
        Value::Number(more) => {
            let version = cache.get_item(key).ok().flatten().map_or(0, |item| item.version);
            options.only_if_version(version + more.as_u64().unwrap_or_default())
        }
        _ => options,
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a loader gives: a value, `null`, or `["Status"]`.
fn outcome(word: Option<&Value>) -> Result<Option<&Value>> {
    match word {
        Some(Value::Array(status)) => {
            let known = (1..100).filter_map(Status::from_code);
            let status = known
                .into_iter()
                .find(|known| status.first().is_some_and(|name| *name == *format!("{known:?}")));
            Err(Error::new(status.unwrap_or(Status::Internal), "as it was told to"))
        }
        Some(Value::Null) | None => Ok(None),
        Some(value) => Ok(Some(value)),
    }
}

fn about(item: &CacheItem) -> String {
    let value = match &item.value {
        CacheValue::Bytes(value) => format!("bytes {}", bytes(value)),
        CacheValue::Integer(value) => format!("integer {value}"),
    };
    let (fresh, left) = (life(item.lifetime), life(item.remaining));
    format!("{value} {:?} {fresh} {left} {}", item.age, item.version != 0)
}
