//! Which events a subscription is for, by their attributes.

use std::{fmt, ops};

use serde_json::Value;

/// Which of the events that match its pattern a subscription is for ([`SubscribeOptions::filter`](crate::SubscribeOptions::filter)):
/// one of the filters of the CloudEvents Subscriptions API, as JSON.
///
/// Attributes are `type` (the topic), `id`, `source`, `subject`, `datacontenttype`, `partitionkey` (the ordering key), `tenant`,
/// and extensions that came in with the event. An attribute that an event does not have fulfils nothing. Values are 1 to 512
/// bytes; the host checks them, and refuses filters of more than 4,096 bytes, 64 parts or 8 levels.
///
/// ```
/// # use pintle_plugin::Filter;
/// let filter = Filter::exact("subject", "door-7").and(Filter::suffix("source", "/test").not());
/// assert_eq!(filter.as_str(), r#"{"all":[{"exact":{"subject":"door-7"}},{"not":{"suffix":{"source":"/test"}}}]}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(String);

impl Filter {
    /// Events whose attribute has this value.
    #[must_use]
    pub fn exact(attribute: &str, value: &str) -> Self {
        Self::on("exact", attribute, value)
    }

    /// Events whose attribute begins like this.
    #[must_use]
    pub fn prefix(attribute: &str, value: &str) -> Self {
        Self::on("prefix", attribute, value)
    }

    /// Events whose attribute ends like this.
    #[must_use]
    pub fn suffix(attribute: &str, value: &str) -> Self {
        Self::on("suffix", attribute, value)
    }

    /// Events that fulfil this and the other.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.with("all", &other)
    }

    /// Events that fulfil this or the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.with("any", &other)
    }

    /// Events that do not fulfil this.
    #[expect(clippy::should_implement_trait, reason = "it does, below: the trait is in no prelude")]
    #[must_use]
    pub fn not(self) -> Self {
        Self(format!(r#"{{"not":{}}}"#, self.0))
    }

    /// As the host takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn on(dialect: &str, attribute: &str, value: &str) -> Self {
        Self(format!(r#"{{"{dialect}":{{{}:{}}}}}"#, Value::from(attribute), Value::from(value)))
    }

    /// A filter has one member: where that is of this kind already, the other joins the rest, one level is saved.
    fn with(mut self, kind: &str, other: &Self) -> Self {
        let head = format!(r#"{{"{kind}":["#);
        if !self.0.starts_with(&head) {
            return Self(format!("{head}{},{}]}}", self.0, other.0));
        }
        self.0.truncate(self.0.len() - "]}".len());
        self.0.push(',');
        self.0.push_str(&other.0);
        self.0.push_str("]}");
        self
    }
}

impl ops::Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Filter::not(self)
    }
}

impl AsRef<str> for Filter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
