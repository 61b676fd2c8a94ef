//! What is read and refused, what is written, and random events in both forms.

use super::*;
use crate::{
    error::ErrorKind,
    services::events::{
        Topic,
        cloud::{from_json, to_json},
        event::{
            MAX_DATA_BYTES, MAX_ID_BYTES, MAX_KEY_BYTES, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES,
            MAX_TENANT_BYTES, TIMES,
        },
    },
};

const LEAST: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a.b")];

fn with(more: &[(&str, &str)]) -> Result<Draft> {
    from_binary(LEAST.iter().chain(more).copied(), *b"")
}

#[test]
fn what_is_given_is_read() {
    let headers = [
        ("HOST", "localhost"),
        ("CE-SpecVersion", "1.0"),
        ("Ce-Id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
        ("ce-time", "2026-11-21T08:00:00.1239+01:00"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-tenant", "acme"),
        ("ce-partitionkey", "k"),
        ("ce-zz", "-5"),
        ("ce-aa", ""),
        ("ce", "no attribute"),
        ("cé-x", "no attribute"),
        ("Content-Type", "text/plain; charset=\"utf-8\""),
    ];
    let draft = from_binary(headers, *b" \xff\n").expect("it is an event");
    let expected = Draft {
        id: Some("1".into()),
        time_ms: Some(1_795_244_400_123),
        subject: "Euro € 😀".into(),
        tenant: "acme".into(),
        key: "k".into(),
        content_type: "text/plain; charset=\"utf-8\"".into(),
        extensions: vec![
            ("aa".into(), Extension::Text(String::new())),
            ("zz".into(), Extension::Text("-5".into())),
        ],
        ..Draft::new(Topic::parse("a.b").expect("it is one"), "/s", *b" \xff\n")
    };
    assert_eq!(draft, expected);
}

#[test]
fn without_a_content_type_nothing_is_known_of_the_body() {
    assert_eq!(with(&[]).expect("it is an event").content_type, "");
}

#[test]
fn values_may_be_quoted_and_encoded_more_than_they_must() {
    for (value, expected) in [
        ("plain", "plain"),
        (" \tspaces around \t", "spaces around"),
        ("in between", "in between"),
        ("%20kept%20", " kept "),
        ("%41%c3%BC", "Aü"),
        ("ü", "ü"),
        ("%2541", "%41"),
        (r#""a b""#, "a b"),
        (r#""say \"hi\" \\o/""#, r#"say "hi" \o/"#),
        (r#""%22%41""#, r#""A"#),
        (r#"a" b "c"#, "a b c"),
        (r"no\escape", r"no\escape"),
    ] {
        let draft = with(&[("ce-subject", value)]).expect("it is an event");
        assert_eq!(draft.subject, expected, "{value}");
    }
}

#[test]
fn what_no_header_can_have_is_encoded_and_nothing_else() {
    for (value, written) in [
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("\"100%\"", "%22100%25%22"),
        ("!#$&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        ("\r\nx: y\0\u{7f}\u{85}", "%0D%0Ax:%20y%00%7F%C2%85"),
    ] {
        assert_eq!(encoded(value), written);
        assert_eq!(decoded(written).as_deref(), Ok(value));
    }
}

#[test]
fn no_event_writes_a_header_of_its_own_making() {
    let mut event = with(&[]).expect("it is an event").stamp(Arc::default, 0);
    event.content_type = "text/ü\r\nx: y".into();
    event.subject = "a\r\nx: y".into();
    let (headers, _) = to_binary(&event);
    let values: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
        ("ce-time", "1970-01-01T00:00:00.000Z"),
        ("ce-subject", "a%0D%0Ax:%20y"),
        ("content-type", "text/%C3%BC%0D%0Ax: y"),
    ];
    assert_eq!(values, expected);
}

#[test]
fn what_is_invalid_is_refused_with_the_name_of_its_header() {
    let over = "x".repeat(4_097);
    let many: Vec<(String, String)> = (0..100).map(|n| (format!("ce-x{n}"), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    for (more, error) in [
        (&[("CE-ID", "1")][..], "header `ce-id` of the CloudEvent is there twice"),
        (
            &[("Content-Type", "a/b"), ("content-type", "a/b")],
            "header `content-type` of the CloudEvent is there twice",
        ),
        (
            &[("ce-tenant", "")],
            "header `ce-tenant` of the CloudEvent is empty: give it a value or leave it out",
        ),
        (&[("content-type", " ")], "header `content-type` of the CloudEvent is empty"),
        (
            &[("ce-subject", "100%")],
            "header `ce-subject` of the CloudEvent is \"100%\", with a % that no two hex",
        ),
        (&[("ce-subject", "%4")], "with a % that no two hexadecimal digits follow: % itself is %25"),
        (&[("ce-subject", "%+1")], "with a % that no two hexadecimal digits follow"),
        (&[("ce-subject", "%C0%A0")], "is \"%C0%A0\", whose percent-encoded bytes are not UTF-8"),
        (&[("ce-subject", "%ED%A0%80")], "whose percent-encoded bytes are not UTF-8"),
        (
            &[("ce-subject", "\"a")],
            "header `ce-subject` of the CloudEvent is \"\\\"a\", a quoted string without its end",
        ),
        (&[("ce-subject", "\"a\\")], "a quoted string without its end"),
        (
            &[("ce-subject", "a%0Ab")],
            "header `ce-subject` of the CloudEvent has the control character U+000A at byte 1",
        ),
        (&[("ce-x", "a%0Ab")], "header `ce-x` of the CloudEvent has the control character U+000A at byte 1"),
        (&[("ce-x", &over)], "header `ce-x` of the CloudEvent has 4097 bytes, at most 4096"),
        (
            &[("ce-partitionkey", &over[..513])],
            "header `ce-partitionkey` of the CloudEvent has 513 bytes, at most 512",
        ),
        (
            &[("content-type", "text/plain\n")],
            "header `content-type` of the CloudEvent has the control character U+000A",
        ),
        (
            &[("ce-time", "yesterday")],
            "header `ce-time` of the CloudEvent is \"yesterday\", which is not a time of RFC 3339",
        ),
        (
            &[("ce-datacontenttype", "a/b")],
            "header `ce-datacontenttype` of the CloudEvent is none: the type of the data is in",
        ),
        (&[("ce-data", "1")], "header `ce-data` of the CloudEvent is none: data is in the body"),
        (
            &[("ce-x-y", "1")],
            "a header `ce-…` of the CloudEvent: \"x-y\" is no name of an attribute, those are 1 to 64",
        ),
        (&[("ce-", "1")], "a header `ce-…` of the CloudEvent: \"\" is no name of an attribute"),
        (&[("ce-a\r\nb", "1")], "\"a\\r\\nb\" is no name of an attribute"),
        (
            &[("content-type", "Application/CloudEvents+json; charset=utf-8")],
            "header `content-type` of the CloudEvent says that the body is the whole event: read",
        ),
        (&many[..], "the CloudEvent has more than 100 headers"),
        (&many[..65], "`extensions`: are 65 attributes, at most 64 are allowed"),
    ] {
        let found = with(more).expect_err(error);
        assert_eq!(found.kind(), ErrorKind::InvalidArgument);
        assert!(found.to_string().contains(error), "{found}\n  does not say\n{error}");
    }
    let last = with(&many[..64]).expect("so many extensions an event may have");
    assert_eq!(last.extensions.len(), 64);

    for (at, missing) in ["specversion", "id", "source", "type"].into_iter().enumerate() {
        let mut headers = LEAST.to_vec();
        headers.remove(at);
        let found = from_binary(headers, *b"").expect_err("it lacks one").to_string();
        assert_eq!(found, format!("the CloudEvent has no header `ce-{missing}`"));
    }
    for (at, value, error) in [
        (0, "0.3", "header `ce-specversion` of the CloudEvent is \"0.3\", only \"1.0\" is understood"),
        (3, "a..b", "header `ce-type` of the CloudEvent \"a..b\" has an empty token, number 2 at byte 2"),
    ] {
        let mut headers = LEAST;
        headers[at].1 = value;
        assert_eq!(from_binary(headers, *b"").expect_err("it is wrong").to_string(), error);
    }
    let found = from_binary([("ce-id", b"a\xff")], *b"").expect_err("it is no text").to_string();
    assert_eq!(found, "header `ce-id` of the CloudEvent is not UTF-8 from byte 1 on");
    // Not the concern of this form: they may have what they like.
    from_binary(
        LEAST.map(|(name, value)| (name, value.as_bytes())).into_iter().chain([("x", &b"\xff"[..])]),
        *b"",
    )
    .expect("others are passed over");
}

#[test]
fn a_body_that_is_too_large_is_refused_with_the_limit() {
    let body = |bytes: usize| from_binary(LEAST, vec![0; bytes]);
    assert_eq!(body(MAX_DATA_BYTES).expect("it is allowed").data.len(), MAX_DATA_BYTES);
    let error = body(MAX_DATA_BYTES + 1).expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("has 1048577 bytes, at most 1048576"), "{error}");
}

#[test]
fn random_events_read_back_as_they_were_in_both_forms() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut draft = event(&mut dice);
        draft.check().expect("it is an event that can be published");
        let written = draft.clone().stamp(Arc::default, 0);

        let (mut headers, body) = to_binary(&written);
        for (name, value) in &headers {
            assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "seed {seed}: {name}: {value:?}");
            assert_eq!(value.trim(), value, "seed {seed}: {name}");
        }
        // As they arrive from elsewhere: among others, in any order, in any case.
        headers.push(("accept".into(), "*/*".into()));
        for at in 0..headers.len() {
            let other = dice.roll(headers.len());
            headers.swap(at, other);
            if dice.roll(2) == 0 {
                headers[at].0 = headers[at].0.to_ascii_uppercase();
            }
        }
        let binary = from_binary(headers, body).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let json =
            from_json(to_json(&written).as_bytes()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));

        draft.extensions.sort_by(|(one, _), (other, _)| one.cmp(other));
        assert_eq!(json, draft, "seed {seed}");
        // Headers have text alone.
        for (_, value) in &mut draft.extensions {
            *value = match value {
                Extension::Text(text) => Extension::Text(text.clone()),
                Extension::Integer(number) => Extension::Text(number.to_string()),
                Extension::Boolean(yes) => Extension::Text(yes.to_string()),
            };
        }
        assert_eq!(binary, draft, "seed {seed}");
    }
}

/// A random event with anything that one may have. Its JSON has no white space between tokens, which the JSON form drops.
fn event(dice: &mut Dice) -> Draft {
    let tokens = 1 + dice.roll(16);
    let topic: Vec<String> = (0..tokens).map(|_| dice.text(1, 15, &['a', 'Z', '0', '-', '_'])).collect();
    let mut draft = Draft::new(
        Topic::parse(&topic.join(".")).expect("it is one"),
        dice.value(1, MAX_SOURCE_BYTES),
        Vec::new(),
    );
    draft.id = Some(dice.value(1, MAX_ID_BYTES));
    draft.time_ms = Some(match dice.roll(8) {
        0 => *TIMES.start(),
        1 => *TIMES.end(),
        _ => dice.next() as i64 % 253_402_300_800_000,
    });
    draft.time_ms = draft.time_ms.map(|time| time.max(*TIMES.start()));
    draft.subject = dice.value(0, MAX_SUBJECT_BYTES);
    draft.key = dice.value(0, MAX_KEY_BYTES);
    draft.tenant = dice.value(0, MAX_TENANT_BYTES).into();
    let types =
        ["", "application/json", "text/plain; charset=\"utf-8\"", "image/png", "a/b+json;q=%41", "no type %"];
    draft.content_type = types[dice.roll(types.len())].into();
    draft.data = match dice.roll(5) {
        0 => Vec::new(),
        1 => (0..dice.roll(600)).map(|_| dice.roll(256) as u8).collect(),
        2 => format!("{{\"b\":[1.10,{:?}],\"a\":{}}}", "x".repeat(dice.roll(40)), dice.next()).into_bytes(),
        3 => serde_json::to_vec(&dice.value(0, 300)).expect("a text is JSON"),
        _ => dice.text(0, 300, &['a', '\n', '\0', '"', '😀', '%', '\u{2028}']).into_bytes(),
    }
    .into();
    draft.extensions = (0..dice.roll(6))
        .map(|n| {
            let name = format!("{}x{n}", dice.text(0, 60, &['a', 'z', '0', '9']));
            let value = match dice.roll(4) {
                0 => Extension::Integer(dice.next() as i32),
                1 => Extension::Boolean(dice.roll(2) == 0),
                _ => Extension::Text(dice.value(0, MAX_EXTENSION_BYTES)),
            };
            (name, value)
        })
        .collect();
    draft
}

/// Numbers that are random enough, and the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 and up, below `below`.
    fn roll(&mut self, below: usize) -> usize {
        (self.next() % below as u64) as usize
    }

    /// A value that an attribute can have: all but control characters.
    fn value(&mut self, least: usize, most: usize) -> String {
        if self.roll(20) == 0 {
            return "v".repeat(most);
        }
        let odd = [
            'a',
            'B',
            '7',
            ' ',
            '"',
            '%',
            '\\',
            '/',
            '\'',
            ';',
            'ü',
            '€',
            '😀',
            '\u{a0}',
            '\u{2028}',
            '\u{10ffff}',
        ];
        self.text(least, most.min(40) / 4, &odd)
    }

    /// So many characters of these.
    fn text(&mut self, least: usize, most: usize, of: &[char]) -> String {
        let length = least + self.roll(most - least + 1);
        (0..length).map(|_| of[self.roll(of.len())]).collect()
    }
}
