//! From the bytes of a manifest to JSON values, strictly: what serde_json alone lets pass in silence (a key that
//! stands twice, deep nesting, a byte-order mark) becomes a problem here. Knows only JSON, nothing of plugins.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_TEXT, Problem};

/// Reads one JSON value. `Err` where there is no value to go on with; else the value and the problems that do
/// not keep the other checks from running.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, Vec<Problem>), Problem> {
    let whole = |message: String| Problem { path: String::new(), message };
    if bytes.len() > MAX_TEXT {
        return Err(whole(format!("has {} bytes, at most {MAX_TEXT} are allowed", bytes.len())));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(whole("begins with a byte-order mark: save it as UTF-8 without one".into()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(whole(format!("has a NUL at byte {at}: remove it")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("is not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(whole("is empty".into()));
    }

    let problems = RefCell::new(Vec::new());
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Node { place: None, depth: 0, problems: &problems }
        .deserialize(&mut json)
        .map_err(|error| whole(syntax(&error)))?;
    json.end().map_err(|error| whole(format!("goes on after its end: {error}")))?;
    Ok((value, problems.into_inner()))
}

fn syntax(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with(TOO_DEEP) { text } else { format!("is not JSON: {text}") }
}

const TOO_DEEP: &str = "is nested too deep";

/// Where the reader is; made into a JSON pointer only for a problem.
#[derive(Clone, Copy)]
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        match self.step {
            Step::Key(key) => write!(f, "/{}", super::problem::escaped(key)),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

/// One value to be read, and the visitor that reads it.
#[derive(Clone, Copy)]
struct Node<'p> {
    place: Option<&'p Place<'p>>,
    depth: usize,
    problems: &'p RefCell<Vec<Problem>>,
}

impl<'p> Node<'p> {
    fn inner<'q>(&self, place: &'q Place<'q>) -> Node<'q>
    where
        'p: 'q,
    {
        Node { place: Some(place), depth: self.depth + 1, problems: self.problems }
    }

    /// An array or object one level further down.
    fn descend<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("{TOO_DEEP}, at most {MAX_DEPTH} levels are allowed")));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut list = Vec::new();
        loop {
            let place = Place { parent: self.place, step: Step::Index(list.len()) };
            match items.next_element_seed(self.inner(&place))? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let place = Place { parent: self.place, step: Step::Key(&key) };
            let value = members.next_value_seed(self.inner(&place))?;
            if object.contains_key(&key) {
                let mut problems = self.problems.borrow_mut();
                if problems.len() >= super::MAX_PROBLEMS {
                    return Err(A::Error::custom("too many keys stand twice"));
                }
                problems.push(Problem {
                    path: place.to_string(),
                    message: "stands twice: remove one of the two".into(),
                });
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
