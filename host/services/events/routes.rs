//! From a topic to the subscriptions that match it, without testing each: a tree of tokens.

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
    ends: Vec<Arc<Subscription>>,
    /// Patterns that end here with `>`.
    rests: Vec<Arc<Subscription>>,
}

impl Routes {
    pub(super) fn insert(&mut self, subscription: Arc<Subscription>) {
        let mut node = &mut self.root;
        let pattern = subscription.pattern.clone();
        for token in pattern.tokens() {
            node = match token {
                PatternToken::Exactly(token) => node.named.entry(token.into()).or_default(),
                PatternToken::One => node.any.get_or_insert_default(),
                PatternToken::Rest => return node.rests.push(subscription),
            };
        }
        node.ends.push(subscription);
    }

    /// The subscriptions that are for `topic` under `tenant`: by priority, and otherwise in the order in which they were
    /// made.
    pub(super) fn matching(&self, topic: &Topic, tenant: &str) -> Vec<Arc<Subscription>> {
        let mut found = Vec::new();
        self.root.collect(topic.tokens(), tenant, &mut found);
        found.sort_unstable_by_key(|subscription| (Reverse(subscription.priority), subscription.number));
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
        STEPS.set(STEPS.get() + 1 + self.ends.len() + self.rests.len());
        let Some(token) = tokens.next() else {
            return found.extend(self.ends.iter().filter(|s| s.sees(tenant)).cloned());
        };
        found.extend(self.rests.iter().filter(|s| s.sees(tenant)).cloned());
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
            None => self.ends.retain(|other| other.number != subscription.number),
            Some(PatternToken::Rest) => self.rests.retain(|other| other.number != subscription.number),
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
