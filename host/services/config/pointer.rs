//! JSON pointers, RFC 6901 to the letter.

use serde_json::Value;

use crate::{Error, Result};

/// The longest pointer that is looked at.
const LIMIT: usize = 1_024;

/// What `pointer` points at; None if it is not there.
///
/// An index has no leading zeros, `-` (the element after the last) is never there, and `~` stands only before
/// `0` and `1`.
pub(super) fn find<'v>(value: &'v Value, pointer: &str) -> Result<Option<&'v Value>> {
    check(pointer)?;
    Ok(tokens(pointer).try_fold(value, |value, token| child(value, &token)))
}

/// The unescaped tokens of a pointer that was checked.
pub(super) fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// A pointer to the member called `name` of what `parent` points at.
pub(super) fn join(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn check(pointer: &str) -> Result<()> {
    let problem = if pointer.len() > LIMIT {
        Some("longer than 1,024 bytes")
    } else if !pointer.is_empty() && !pointer.starts_with('/') {
        Some("not a JSON pointer: it is empty or begins with `/`, as in `/limits/0/name`")
    } else if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        Some("not a JSON pointer: `~` is written `~0`, and `/` inside of a name `~1`")
    } else {
        None
    };
    problem.map_or(Ok(()), |problem| Err(Error::argument("pointer", problem)))
}

fn child<'v>(value: &'v Value, token: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(token),
        Value::Array(elements) => elements.get(index(token)?),
        _ => None,
    }
}

fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || (token.starts_with(|c: char| matches!(c, '1'..='9')));
    (canonical && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn config_4_the_examples_of_rfc_6901_point_where_it_says() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
        });
        for (pointer, expected) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            assert_eq!(find(&document, pointer).expect("a pointer"), Some(&expected), "{pointer}");
        }
    }

    #[test]
    fn config_4_what_is_not_there_is_not_found() {
        let document =
            json!({ "list": [10, 11], "01": "name", "~1": "tilde one", "text": "abc", "-": "minus" });
        for pointer in [
            "/list/2",
            "/list/-",
            "/list/00",
            "/list/01",
            "/list/+1",
            "/list/-1",
            "/list/ 1",
            "/list/1 ",
            "/list/",
            "/list/1e0",
            "/list/18446744073709551616",
            "/list/٣",
            "/text/0",
            "/nothing",
            "/list/0/deeper",
            "//",
            "/List",
        ] {
            assert_eq!(find(&document, pointer).expect("a pointer"), None, "{pointer}");
        }
        for (pointer, expected) in [("/01", "name"), ("/~01", "tilde one"), ("/-", "minus")] {
            assert_eq!(find(&document, pointer).expect("a pointer"), Some(&json!(expected)), "{pointer}");
        }
    }

    #[test]
    fn what_is_not_a_pointer_is_said_to_be_none() {
        let long = "/a".repeat(513);
        for pointer in ["foo", "#/foo", " ", "/~", "/~2", "/a~", "/~~0", long.as_str()] {
            let error = find(&json!({}), pointer).expect_err(pointer);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{pointer}");
            assert!(error.to_string().starts_with("argument `pointer`: "), "{error}");
        }
        assert_eq!(find(&json!({}), &long[..1_024]).expect("the longest"), None);
    }

    #[test]
    fn a_joined_pointer_leads_to_the_member() {
        let document = json!({ "a~/b": { "": 1 } });
        let pointer = join(&join("", "a~/b"), "");
        assert_eq!(pointer, "/a~0~1b/");
        assert_eq!(find(&document, &pointer).expect("a pointer"), Some(&json!(1)));
    }
}
