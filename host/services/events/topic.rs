//! Topics and patterns: what may be published, what may be subscribed to, and which of the two meet.
//!
//! Both are dot-separated tokens of `[A-Za-z0-9_-]`; in a pattern `*` stands for exactly one token and a last `>`
//! for one or more. Tokens are compared whole, so `a.b` never meets `a.bc` or `a.b.c`.

use std::{fmt, sync::Arc};

use crate::error::{Error, ErrorKind, Result};

/// The most tokens that a topic or a pattern may have.
pub(crate) const MAX_TOKENS: usize = 16;

/// The most bytes that a topic or a pattern may have.
pub(crate) const MAX_TOPIC_BYTES: usize = 256;

/// The token that topics of plugins begin with.
const PLUGIN: &str = "plugin";

/// The token that the host's own topics begin with.
const HOST: &str = "pintle";

/// What an event is about: the CloudEvents `type`, whole. Valid by construction; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Reads any topic, also a reserved one: who may publish it is a question of its own
    /// ([`check_application_topic`](Self::check_application_topic), [`of_plugin`](Self::of_plugin)).
    pub fn parse(text: &str) -> Result<Self> {
        check("topic", text, Wildcards::Refused)?;
        Ok(Self(text.into()))
    }

    /// The whole topic of what the plugin `id` publishes as `rest`: `plugin.<id>.<rest>`.
    pub fn of_plugin(id: &str, rest: &str) -> Result<Self> {
        if let Some(topic) = Self::plainly_of_plugin(id, rest) {
            return Ok(topic);
        }
        // On its own first, so that positions count from where the plugin's author began to write.
        check("topic", rest, Wildcards::Refused)?;
        let whole = format!("{PLUGIN}.{id}.{rest}");
        if let Some(excess) = excess(&whole) {
            let problem = format!("\"{rest}\" with `{PLUGIN}.{id}.` in front has {excess}");
            return Err(Error::argument("topic", problem));
        }
        Self::parse(&whole)
    }

    /// The same where nothing is wrong with it, which is looked for in one go: this is on the path of every event.
    fn plainly_of_plugin(id: &str, rest: &str) -> Option<Self> {
        let mut text = [0; MAX_TOPIC_BYTES];
        let mut len = 0;
        let mut tokens = 0;
        for part in [PLUGIN, id, rest] {
            let mut inside = false;
            if len > 0 {
                *text.get_mut(len)? = b'.';
                len += 1;
            }
            for byte in part.bytes() {
                match byte {
                    b'.' if inside => inside = false,
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => {
                        tokens += usize::from(!inside);
                        inside = true;
                    }
                    _ => return None,
                }
                *text.get_mut(len)? = byte;
                len += 1;
            }
            if !inside {
                return None;
            }
        }
        (tokens <= MAX_TOKENS).then_some(())?;
        std::str::from_utf8(&text[..len]).ok().map(|text| Self(text.into()))
    }

    /// Refuses the topics that an application may not publish: those of plugins and the host's own.
    pub fn check_application_topic(&self) -> Result<()> {
        let (first, owner) = match self.tokens().next() {
            Some(PLUGIN) => (PLUGIN, "a plugin's: only that plugin publishes them"),
            Some(HOST) => (HOST, "the host's own: only it publishes them"),
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Denied, format!("topic \"{self}\": topics below `{first}.` are {owner}"))
            .mend("publish under another first token"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens, from the first to the last.
    pub fn tokens(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split('.')
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

/// A set of topics, as a subscription or a grant names it. Valid by construction; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

/// One token of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternToken<'a> {
    /// This token.
    Exactly(&'a str),
    /// `*`: any one token.
    One,
    /// `>`: one or more tokens, always the last.
    Rest,
}

impl Pattern {
    /// Reads a pattern. Every topic is one, too: it matches itself.
    pub fn parse(text: &str) -> Result<Self> {
        check("pattern", text, Wildcards::Allowed)?;
        Ok(Self(text.into()))
    }

    /// Whether this is one of the topics that are meant.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut rest = topic.tokens();
        for token in self.tokens() {
            match (token, rest.next()) {
                (PatternToken::Rest, Some(_)) => return true,
                (PatternToken::One, Some(_)) => {}
                (PatternToken::Exactly(wanted), Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        rest.next().is_none()
    }

    /// Whether every topic that matches `self` also matches `granted`.
    ///
    /// The limits of a topic's length play no part: `>` after fifteen tokens can only ever stand for one more, and is
    /// still not within fifteen tokens and `*`. Such a subscription is refused, which is the safe side.
    #[must_use]
    pub fn within(&self, granted: &Self) -> bool {
        let mut granted = granted.tokens();
        for mine in self.tokens() {
            match (mine, granted.next()) {
                (_, Some(PatternToken::Rest)) => return true,
                (PatternToken::Exactly(_) | PatternToken::One, Some(PatternToken::One)) => {}
                (PatternToken::Exactly(mine), Some(PatternToken::Exactly(theirs))) if mine == theirs => {}
                _ => return false,
            }
        }
        granted.next().is_none()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens, from the first to the last.
    pub fn tokens(&self) -> impl Iterator<Item = PatternToken<'_>> + Clone {
        self.0.split('.').map(|token| match token {
            "*" => PatternToken::One,
            ">" => PatternToken::Rest,
            exactly => PatternToken::Exactly(exactly),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    Allowed,
    Refused,
}

/// Finds what is wrong with a topic or a pattern, and where. `name` is what the argument is called.
fn check(name: &'static str, text: &str, wildcards: Wildcards) -> Result<()> {
    let fail = |problem: String| Err(Error::argument(name, problem));
    if text.is_empty() {
        return fail("is empty, at least one token of letters, digits, `_` and `-` is needed".into());
    }
    if let Some(excess) = excess(text) {
        return fail(format!("has {excess}"));
    }
    let mut at = 0;
    let count = text.split('.').count();
    for (index, token) in text.split('.').enumerate() {
        let number = index + 1;
        match token {
            "" => return fail(format!("{text:?} has an empty token, number {number} at byte {at}")),
            "*" if wildcards == Wildcards::Allowed => {}
            ">" if wildcards == Wildcards::Allowed && number == count => {}
            ">" if wildcards == Wildcards::Allowed => {
                return fail(format!("{text:?} has a `>` at byte {at}, it may only be the last token"));
            }
            _ => {
                let wrong = |(_, c): &(usize, char)| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
                if let Some((inside, c)) = token.char_indices().find(wrong) {
                    let at = at + inside;
                    return fail(match (c, wildcards) {
                        ('*' | '>', Wildcards::Allowed) => {
                            format!("{text:?} has a `{c}` at byte {at} that is not a token of its own")
                        }
                        ('*' | '>', Wildcards::Refused) => {
                            format!("{text:?} has a `{c}` at byte {at}, which only patterns may have")
                        }
                        _ => format!(
                            "{text:?} has {c:?} at byte {at}, tokens are of letters, digits, `_` and `-`"
                        ),
                    });
                }
            }
        }
        at += token.len() + 1;
    }
    Ok(())
}

/// What there is too much of.
fn excess(text: &str) -> Option<String> {
    if text.len() > MAX_TOPIC_BYTES {
        return Some(format!("{} bytes, at most {MAX_TOPIC_BYTES} are allowed", text.len()));
    }
    let tokens = text.split('.').count();
    (tokens > MAX_TOKENS).then(|| format!("{tokens} tokens, at most {MAX_TOKENS} are allowed"))
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn events_3_a_pattern_matches_whole_tokens_only() {
        for (text, yes, no) in [
            ("a.b", &["a.b"][..], &["a", "a.bc", "a.b.c", "ab", "a.B", "aa.b", "b.a"][..]),
            ("a", &["a"], &["b", "a.a", "aa"]),
            ("*", &["a", "b", "a-b_9"], &["a.b"]),
            (">", &["a", "a.b", "a.b.c.d"], &[]),
            ("a.*", &["a.b", "a.a"], &["a", "a.b.c", "b.a", "ab.c"]),
            ("a.>", &["a.b", "a.b.c"], &["a", "ab.c", "b", "b.a"]),
            ("*.b", &["a.b", "b.b"], &["b", "a.b.c", "a.c", "a.a.b"]),
            ("a.*.c", &["a.b.c", "a.c.c"], &["a.c", "a.b.b.c", "a.b.cc"]),
            ("*.*", &["a.b"], &["a", "a.b.c"]),
            ("*.>", &["a.b", "a.b.c"], &["a"]),
            ("a.*.>", &["a.b.c", "a.b.c.d"], &["a", "a.b", "b.b.c"]),
        ] {
            for t in yes {
                assert!(pattern(text).matches(&topic(t)), "{text} must match {t}");
            }
            for t in no {
                assert!(!pattern(text).matches(&topic(t)), "{text} must not match {t}");
            }
        }
    }

    #[test]
    fn events_1_what_is_malformed_is_refused_with_its_place() {
        let long = "a".repeat(257);
        let many = ["a"; 17].join(".");
        for (text, of_topic, of_pattern) in [
            ("", "is empty, at least one token", "is empty, at least one token"),
            (".a", "empty token, number 1 at byte 0", "empty token, number 1 at byte 0"),
            ("a.", "empty token, number 2 at byte 2", "empty token, number 2 at byte 2"),
            ("a.b..c", "empty token, number 3 at byte 4", "empty token, number 3 at byte 4"),
            ("a.b c", "' ' at byte 3", "' ' at byte 3"),
            ("ab.ü", "'ü' at byte 3", "'ü' at byte 3"),
            ("a.b\n", r"'\n' at byte 3", r"'\n' at byte 3"),
            ("a.\0", r"'\0' at byte 2", r"'\0' at byte 2"),
            ("a/b", "'/' at byte 1", "'/' at byte 1"),
            ("a.>.b", "`>` at byte 2, which only", "`>` at byte 2, it may only be the last"),
            ("a.b*", "`*` at byte 3, which only", "`*` at byte 3 that is not a token"),
            ("a.>>", "`>` at byte 2, which only", "`>` at byte 2 that is not a token"),
            (&long, "has 257 bytes, at most 256", "has 257 bytes, at most 256"),
            (&many, "has 17 tokens, at most 16", "has 17 tokens, at most 16"),
        ] {
            for (name, error, part) in [
                ("topic", Topic::parse(text).unwrap_err(), of_topic),
                ("pattern", Pattern::parse(text).unwrap_err(), of_pattern),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                let error = error.to_string();
                assert!(error.starts_with(&format!("argument `{name}`: ")), "{error}");
                assert!(error.contains(part), "{text:?} gave {error:?}, not {part:?}");
            }
        }
        assert!(Topic::parse("a.*").unwrap_err().to_string().contains("`*` at byte 2, which only patterns"));
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        topic(&"a".repeat(256));
        topic(&["a"; 16].join("."));
        assert!(pattern(&[&["a"; 15][..], &[">"]].concat().join(".")).matches(&topic(&["a"; 16].join("."))));
    }

    #[test]
    fn events_4_a_plugin_publishes_below_its_own_front_and_within_the_limits() {
        assert_eq!(Topic::of_plugin("sysmon", "cpu.load").unwrap().as_str(), "plugin.sysmon.cpu.load");
        for (rest, part) in [
            (String::new(), "is empty"),
            ("a..b".into(), "\"a..b\" has an empty token, number 2 at byte 2"),
            ("a.*".into(), "only patterns"),
            (["a"; 15].join("."), "`plugin.sysmon.` in front has 17 tokens, at most 16"),
            ("a".repeat(250), "`plugin.sysmon.` in front has 264 bytes, at most 256"),
        ] {
            let error = Topic::of_plugin("sysmon", &rest).unwrap_err().to_string();
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
        Topic::of_plugin("sysmon", &["a"; 14].join(".")).unwrap();
    }

    #[test]
    fn events_5_applications_publish_neither_plugins_topics_nor_the_hosts() {
        for (text, allowed) in [
            ("orders.created", true),
            ("plugins.x", true),
            ("pintle-x.y", true),
            ("a.plugin.b", true),
            ("plugin.x.y", false),
            ("pintle.loaded", false),
            ("plugin", false),
            ("pintle", false),
        ] {
            let result = topic(text).check_application_topic();
            assert_eq!(result.is_ok(), allowed, "{text}");
            if let Err(error) = result {
                assert_eq!(error.kind(), ErrorKind::Denied);
                assert!(error.to_string().contains(text) && error.to_string().contains("only"), "{error}");
            }
        }
    }

    /// The rule read aloud, by recursion over slices, independent of the iterators above.
    fn naive(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, topic @ ..]) => naive(pattern, topic),
            ([p, pattern @ ..], [t, topic @ ..]) => p == t && naive(pattern, topic),
            _ => false,
        }
    }

    /// All sequences of `alphabet` of 1 to `longest` tokens.
    fn all(alphabet: &[&'static str], longest: usize) -> Vec<Vec<&'static str>> {
        let mut lists: Vec<Vec<&str>> = vec![vec![]];
        let mut from = 0;
        for _ in 0..longest {
            let to = lists.len();
            for at in from..to {
                for token in alphabet {
                    lists.push([&lists[at][..], &[*token]].concat());
                }
            }
            from = to;
        }
        lists.split_off(1)
    }

    fn patterns(longest: usize) -> Vec<Vec<&'static str>> {
        let mut patterns = all(&["a", "b", "*", ">"], longest);
        patterns.retain(|p| !p[..p.len() - 1].contains(&">"));
        patterns
    }

    #[test]
    fn events_2_matching_agrees_with_the_rule_read_aloud() {
        let topics = all(&["a", "b", "ab"], 4);
        for p in patterns(4) {
            let parsed = pattern(&p.join("."));
            for t in &topics {
                assert_eq!(parsed.matches(&topic(&t.join("."))), naive(&p, t), "{p:?} {t:?}");
            }
        }
    }

    #[test]
    fn matching_agrees_with_the_rule_on_random_long_topics() {
        let seed = RandomState::new().hash_one(0);
        let mut state = seed | 1;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        let mut met = 0;
        for _ in 0..20_000 {
            let t: Vec<&str> = (0..=random(16)).map(|_| ["a", "b", "a-1"][random(3)]).take(16).collect();
            // Most patterns grow out of the topic, so that a good part of them match.
            let mut p: Vec<&str> =
                t.iter().map(|t| if random(4) == 0 { ["*", "b"][random(2)] } else { t }).collect();
            match random(4) {
                0 => p.truncate(1 + random(p.len())),
                1 => *p.last_mut().unwrap() = ">",
                _ => {}
            }
            let matches = pattern(&p.join(".")).matches(&topic(&t.join(".")));
            assert_eq!(matches, naive(&p, &t), "{p:?} {t:?}, seed {seed}");
            met += usize::from(matches);
        }
        assert!((1_000..19_000).contains(&met), "the test has lost its bite: {met} of 20,000 met");
    }

    #[test]
    fn containment_agrees_with_enumeration() {
        // Patterns of up to 3 tokens differ, if at all, on topics of up to 4 tokens, with one token more than they name.
        let topics: Vec<Topic> = all(&["a", "b", "c"], 4).iter().map(|t| topic(&t.join("."))).collect();
        let patterns: Vec<(Pattern, Vec<bool>)> = patterns(3)
            .iter()
            .map(|p| pattern(&p.join(".")))
            .map(|p| (p.clone(), topics.iter().map(|t| p.matches(t)).collect()))
            .collect();
        for (inner, of_inner) in &patterns {
            for (outer, of_outer) in &patterns {
                let contained = of_inner.iter().zip(of_outer).all(|(inner, outer)| !inner || *outer);
                assert_eq!(inner.within(outer), contained, "{inner} within {outer}");
            }
        }
    }

    #[test]
    fn events_7_a_subscription_is_within_the_grant_it_needs() {
        assert!(pattern("access.*").within(&pattern("access.>")));
        assert!(!pattern("access.>").within(&pattern("access.*")));
        assert!(pattern("access.>").within(&pattern("access.>")));
        assert!(!pattern("accesses.a").within(&pattern("access.>")));
        assert!(!pattern("access").within(&pattern("access.>")));
    }
}
