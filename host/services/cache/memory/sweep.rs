//! What concerns many items at once: namespaces cleared, patterns and tags invalidated, keys listed.
//!
//! Each goes from shard to shard, and in a shard from the end of a list of members to its start, letting go of the lock
//! after a small step, so that a reader waits for a few items and not for all. When a member leaves, the last one takes its
//! place, which is never earlier than the one that is looked at; so what was there at the beginning is met, and what
//! comes meanwhile keeps nobody busy for ever.

use std::collections::BTreeSet;

use super::{MemoryCache, shard::tag};
use crate::{
    error::{Error, Result},
    identity::DataScope,
    services::{
        cache::{Address, Page, Space},
        keys::{Key, Namespace},
    },
};

/// How many items are taken out before the lock is let go of.
const TAKEN_AT_ONCE: usize = 64;

/// How many items are looked at before the lock is let go of.
const SEEN_AT_ONCE: usize = 512;

impl MemoryCache {
    /// Takes away what lies in this space and has a key that `goes` names; tells how many items were there.
    pub(super) fn take_from(&self, space: &Space<'_>, goes: &dyn Fn(&str) -> bool) -> u64 {
        let hash = self.room_hash(space);
        let mut there = 0;
        for shard in 0..self.shards.len() {
            let mut left = u32::MAX;
            while left > 0 {
                self.with(shard, |shard| {
                    let (mut seen, mut taken, now) = (0, 0, self.now());
                    let room = shard.rooms.of(hash, space);
                    while seen < SEEN_AT_ONCE && taken < TAKEN_AT_ONCE {
                        let members = room.and_then(|room| shard.rooms.get(room)).map(|room| &room.members);
                        left = left.min(members.map_or(0, |members| members.len() as u32));
                        let next = left.checked_sub(1).and_then(|last| members?.get(last));
                        let Some(slot) = next else { break };
                        left -= 1;
                        seen += 1;
                        if str::from_utf8(shard.slots.hot(slot).body.key()).is_ok_and(goes) {
                            there += u64::from(shard.is_there(slot, now));
                            shard.remove(slot);
                            taken += 1;
                        }
                    }
                });
            }
        }
        there
    }

    /// Takes away what bears this tag; tells how many items were there.
    pub(super) fn take_tagged(&self, scope: &DataScope<'_>, name: Namespace<'_>) -> u64 {
        let hash = self.tag_hash(scope, name);
        let mut there = 0;
        for shard in 0..self.shards.len() {
            let mut left = u32::MAX;
            while left > 0 {
                self.with(shard, |shard| {
                    let now = self.now();
                    let tag = shard.tags.of(hash, scope, name.as_str());
                    for _ in 0..TAKEN_AT_ONCE {
                        let bearers = tag.and_then(|tag| shard.tags.get(tag)).map(|tag| tag.bearers());
                        left = left.min(bearers.map_or(0, |bearers| bearers.len() as u32));
                        let next = left.checked_sub(1).and_then(|last| bearers?.get(last));
                        let Some(bearer) = next else { break };
                        left -= 1;
                        there += u64::from(shard.is_there(bearer.slot, now));
                        shard.remove(bearer.slot);
                    }
                });
            }
        }
        there
    }

    /// Keys in the order of shards and, within, of hashes: one that stays as it is however slots and lists change. The
    /// cursor is the last key of a page, which tells both.
    pub(super) fn list(
        &self,
        space: &Space<'_>,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        let (mut first, mut after) = (0, None);
        if let Some(cursor) = cursor {
            let key = cursor.strip_prefix('>').and_then(|key| Key::parse("cursor", key.as_bytes()).ok());
            let key = key.ok_or_else(|| Error::argument("cursor", "no page has had it"))?;
            let hash = self.hash(&Address { scope: space.scope, namespace: space.namespace, key });
            first = self.index(hash);
            after = Some((tag(hash), key.as_str()));
        }
        let mut page = Page::default();
        if limit == 0 {
            return Ok(page);
        }
        for shard in first..self.shards.len() {
            // One more tells whether there is another page.
            let wanted = limit.saturating_add(1) - page.keys.len();
            let found = self.keys_of(shard, space, prefix, after.take(), wanted);
            page.keys.extend(found.into_iter().map(|(_, key)| key));
            if page.keys.len() > limit {
                page.keys.truncate(limit);
                page.next = page.keys.last().map(|key| format!(">{key}"));
                break;
            }
        }
        Ok(page)
    }

    /// The first `wanted` of a shard, after this one.
    fn keys_of(
        &self,
        shard: usize,
        space: &Space<'_>,
        prefix: &str,
        after: Option<(u32, &str)>,
        wanted: usize,
    ) -> BTreeSet<(u32, String)> {
        let hash = self.room_hash(space);
        let mut found: BTreeSet<(u32, String)> = BTreeSet::new();
        let mut left = u32::MAX;
        while left > 0 {
            self.with(shard, |shard| {
                let now = self.now();
                let room = shard.rooms.of(hash, space).and_then(|room| shard.rooms.get(room));
                left = left.min(room.map_or(0, |room| room.members.len() as u32));
                for _ in 0..SEEN_AT_ONCE {
                    let next = left.checked_sub(1).and_then(|last| room?.members.get(last));
                    let Some(slot) = next else { break };
                    left -= 1;
                    let tag = shard.slots.cold(slot).tag;
                    let full = found.len() >= wanted;
                    let last = found.last().map_or((0, ""), |(tag, key)| (*tag, key.as_str()));
                    // The cold half tells of most that they are not wanted.
                    if full && tag > last.0 || after.is_some_and(|(after, _)| tag < after) {
                        continue;
                    }
                    let key = str::from_utf8(shard.slots.hot(slot).body.key()).unwrap_or_default();
                    let fits = after.is_none_or(|after| (tag, key) > after) && key.starts_with(prefix);
                    if !fits || full && (tag, key) >= last || !shard.is_there(slot, now) {
                        continue;
                    }
                    found.insert((tag, key.to_owned()));
                    if found.len() > wanted {
                        found.pop_last();
                    }
                }
            });
        }
        found
    }
}
