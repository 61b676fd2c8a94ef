//! From a topic to the subscriptions that match it, without testing each: a tree of tokens.
//!
//! It has a lock of its own, held no longer than a look-up or one change takes, so that neither reports nor the making of
//! subscriptions keep publishers waiting.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use super::{PatternToken, Subscription, Topic};

/// The patterns of all subscriptions. A look-up visits one child by name and one for `*` at each token, so what it
/// costs depends on the patterns that resemble the topic and not on how many there are.
#[derive(Default)]
pub(super) struct Routes {
    root: Node,
}

#[cfg(test)]
thread_local! {
    /// How many nodes this thread has looked at, and subscriptions in them.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The place after some tokens.
#[derive(Default)]
struct Node {
    /// By the next token.
    named: HashMap<Box<str>, Node>,
    /// If the next token is `*`.
    any: Option<Box<Node>>,
    /// Patterns that end here.
    ends: Group,
    /// Patterns that end here with `>`.
    rests: Group,
}

/// The subscriptions of one pattern, each list by number.
#[derive(Default)]
struct Group {
    /// Those that see every tenant's events.
    of_all: Vec<Arc<Subscription>>,
    /// Those that see one tenant's.
    by_tenant: HashMap<Arc<str>, Vec<Arc<Subscription>>>,
}

impl Routes {
    /// Adds a subscription, whose number is higher than that of all before.
    pub(super) fn insert(&mut self, subscription: Arc<Subscription>) {
        let mut node = &mut self.root;
        let pattern = subscription.pattern.clone();
        for token in pattern.tokens() {
            node = match token {
                PatternToken::Exactly(token) => node.named.entry(token.into()).or_default(),
                PatternToken::One => node.any.get_or_insert_default(),
                PatternToken::Rest => return node.rests.insert(subscription),
            };
        }
        node.ends.insert(subscription);
    }

    /// The subscriptions that are for `topic` under `tenant`: by priority, and otherwise in the order in which they were
    /// made.
    pub(super) fn matching(&self, topic: &Topic, tenant: &str) -> Vec<Arc<Subscription>> {
        let mut found = Vec::new();
        self.root.collect(topic.tokens(), tenant, &mut found);
        let order = |subscription: &Arc<Subscription>| (Reverse(subscription.priority), subscription.number);
        // Those of one pattern come in their order, and often there are no others.
        if !found.is_sorted_by_key(order) {
            found.sort_unstable_by_key(order);
        }
        found
    }

    pub(super) fn remove(&mut self, subscription: &Subscription) {
        self.root.remove(subscription.pattern.tokens(), subscription);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl Node {
    fn collect<'a>(
        &self,
        mut tokens: impl Iterator<Item = &'a str> + Clone,
        tenant: &str,
        found: &mut Vec<Arc<Subscription>>,
    ) {
        #[cfg(test)]
        STEPS.set(STEPS.get() + 1);
        let Some(token) = tokens.next() else { return self.ends.collect(tenant, found) };
        self.rests.collect(tenant, found);
        if let Some(node) = self.named.get(token) {
            node.collect(tokens.clone(), tenant, found);
        }
        if let Some(node) = &self.any {
            node.collect(tokens, tenant, found);
        }
    }

    /// Takes it out, and on the way back the nodes that lead to nothing any more.
    fn remove<'a>(
        &mut self,
        mut tokens: impl Iterator<Item = PatternToken<'a>>,
        subscription: &Subscription,
    ) {
        match tokens.next() {
            None => self.ends.remove(subscription),
            Some(PatternToken::Rest) => self.rests.remove(subscription),
            Some(PatternToken::One) => {
                if let Some(node) = &mut self.any {
                    node.remove(tokens, subscription);
                    if node.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some(PatternToken::Exactly(token)) => {
                if let Some(node) = self.named.get_mut(token) {
                    node.remove(tokens, subscription);
                    if node.is_empty() {
                        self.named.remove(token);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.ends.is_empty() && self.rests.is_empty()
    }
}

impl Group {
    fn insert(&mut self, subscription: Arc<Subscription>) {
        match &subscription.tenant {
            None => self.of_all.push(subscription),
            Some(tenant) => self.by_tenant.entry(Arc::clone(tenant)).or_default().push(subscription),
        }
    }

    fn collect(&self, tenant: &str, found: &mut Vec<Arc<Subscription>>) {
        let of_tenant = self.by_tenant.get(tenant).map_or(&[][..], Vec::as_slice);
        #[cfg(test)]
        STEPS.set(STEPS.get() + self.of_all.len() + of_tenant.len());
        found.extend_from_slice(&self.of_all);
        found.extend_from_slice(of_tenant);
    }

    fn remove(&mut self, subscription: &Subscription) {
        let out_of = |list: &mut Vec<Arc<Subscription>>| {
            if let Ok(at) = list.binary_search_by_key(&subscription.number, |other| other.number) {
                list.remove(at);
            }
        };
        let Some(tenant) = &subscription.tenant else { return out_of(&mut self.of_all) };
        if let Some(list) = self.by_tenant.get_mut(tenant) {
            out_of(list);
            if list.is_empty() {
                self.by_tenant.remove(tenant);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.of_all.is_empty() && self.by_tenant.is_empty()
    }
}
