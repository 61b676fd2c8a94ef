//! A schema as a document: which of its parts apply to a value, what they give by default, what they keep secret.
//!
//! The validator answers yes or no; this answers the other questions, with the same keywords.

use std::{collections::HashSet, ptr};

use serde_json::{Map, Value};

use super::{
    keywords::{
        element_schema, element_schemas, is_marked, member_schemas, parts, percent_decoded, references,
        subschemas, walk,
    },
    pointer,
};

/// More defaults than this in one config, or more inside of each other, are taken for a schema that never ends.
const DEFAULTS: u32 = 10_000;
const DEFAULTS_DEPTH: u32 = 64;

/// A schema's defaults do not come to an end.
#[derive(Debug)]
pub(super) struct Endless;

#[derive(Debug, Default)]
pub(super) struct Document {
    root: Value,
    has_secrets: bool,
}

impl Document {
    pub(super) fn new(root: Value) -> Self {
        let mut has_secrets = false;
        walk(&root, &mut |_, schema| has_secrets |= is_marked(schema));
        Self { root, has_secrets }
    }

    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// The schema that the reference leads to, inside of this document. Text that only looks like a schema,
    /// because it stands where none is expected, is none.
    pub(super) fn resolve(&self, reference: &str) -> Option<&Value> {
        let fragment = percent_decoded(reference.strip_prefix('#')?)?;
        let mut schemas = subschemas(&self.root).into_iter();
        if fragment.is_empty() || fragment.starts_with('/') {
            let target = pointer::find(&self.root, &fragment).ok()??;
            return schemas.find(|schema| ptr::eq(*schema, target));
        }
        let is_named = |schema: &Value, key: &str| schema.get(key).and_then(Value::as_str) == Some(&fragment);
        schemas.find(|schema| is_named(schema, "$anchor") || is_named(schema, "$dynamicAnchor"))
    }

    /// Whether the schema applies to a value only if it applies to the same value.
    pub(super) fn contains_itself(&self, schema: &Value) -> bool {
        let mut inner = self.inner(schema, Applies::Perhaps);
        let mut seen = HashSet::new();
        while let Some(part) = inner.pop() {
            if ptr::eq(part, schema) {
                return true;
            }
            if seen.insert(ptr::from_ref(part).addr()) {
                inner.extend(self.inner(part, Applies::Perhaps));
            }
        }
        false
    }

    /// The properties that the parts applying to what `path` points at name.
    pub(super) fn properties_at(&self, path: &str) -> Vec<&str> {
        let schemas = self.at(path).last().cloned().unwrap_or_default();
        let named = schemas.iter().filter_map(|schema| schema.get("properties")?.as_object());
        named.flat_map(|properties| properties.keys().map(String::as_str)).collect()
    }

    /// Fills in the `default` of properties that are missing: those of the schema, of what it refers to and of
    /// `allOf`, which always apply; in objects that are there or came in by a default, and in elements of lists.
    /// What applies only sometimes (`anyOf`, `oneOf`, `if`) and names known only by pattern give none.
    pub(super) fn fill(&self, value: &mut Value) -> Result<(), Endless> {
        let mut room = DEFAULTS;
        self.fill_by(&self.root, value, &mut room, 0)
    }

    fn fill_by(&self, schema: &Value, value: &mut Value, room: &mut u32, depth: u32) -> Result<(), Endless> {
        for schema in self.in_place(schema, Applies::Always) {
            match value {
                Value::Object(members) => self.fill_members(schema, members, room, depth)?,
                Value::Array(elements) => {
                    for (at, element) in elements.iter_mut().enumerate() {
                        if let Some(part) = element_schema(schema, at) {
                            self.fill_by(part, element, room, depth)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fill_members(
        &self,
        schema: &Value,
        members: &mut Map<String, Value>,
        room: &mut u32,
        depth: u32,
    ) -> Result<(), Endless> {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        for (name, part) in properties {
            let mut depth = depth;
            if !members.contains_key(name) {
                let mut parts = self.in_place(part, Applies::Always).into_iter();
                let Some(default) = parts.find_map(|part| part.get("default")) else { continue };
                *room = room.checked_sub(1).ok_or(Endless)?;
                depth += 1;
                if depth > DEFAULTS_DEPTH {
                    return Err(Endless);
                }
                members.insert(name.clone(), default.clone());
            }
            self.fill_by(part, &mut members[name], room, depth)?;
        }
        if let Some(part) =
            schema.get("additionalProperties").filter(|_| schema.get("patternProperties").is_none())
        {
            for (_, member) in members.iter_mut().filter(|(name, _)| !properties.contains_key(*name)) {
                self.fill_by(part, member, room, depth)?;
            }
        }
        Ok(())
    }

    /// The same value with `"***"` in place of every secret.
    pub(super) fn redacted(&self, value: &Value) -> Value {
        if self.has_secrets { self.redacted_by(&[&self.root], value) } else { value.clone() }
    }

    fn redacted_by(&self, schemas: &[&Value], value: &Value) -> Value {
        let schemas = self.all_in_place(schemas);
        if schemas.iter().any(|schema| is_marked(schema)) {
            return super::HIDDEN.into();
        }
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, member)| {
                    (name.clone(), self.redacted_by(&member_schemas(&schemas, name), member))
                })
                .collect(),
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .map(|(at, element)| {
                    let parts: Vec<_> =
                        schemas.iter().flat_map(|schema| element_schemas(schema, at)).collect();
                    self.redacted_by(&parts, element)
                })
                .collect(),
            // Where an object with a secret belongs, this may be the secret, written one level too high.
            _ if self.has_secret_below(&schemas) => super::HIDDEN.into(),
            other => other.clone(),
        }
    }

    /// Whether what `path` points at is a secret, lies in one, or is a place where the schema expects one: a
    /// password written where an object with a password belongs is one too.
    pub(super) fn may_hold_secret(&self, path: &str) -> bool {
        if !self.has_secrets {
            return false;
        }
        let levels = self.at(path);
        levels.iter().flatten().any(|schema| is_marked(schema))
            || levels.last().is_some_and(|schemas| self.has_secret_below(schemas))
    }

    /// The parts that apply on the way from the whole to what `path` points at, level by level.
    fn at(&self, path: &str) -> Vec<Vec<&Value>> {
        let mut levels = vec![self.all_in_place(&[&self.root])];
        for token in pointer::tokens(path) {
            let above = levels.last().expect("begun with one");
            let mut parts = member_schemas(above, &token);
            if let Ok(at) = token.parse() {
                parts.extend(above.iter().flat_map(|schema| element_schemas(schema, at)));
            }
            levels.push(self.all_in_place(&parts));
        }
        levels
    }

    fn has_secret_below(&self, schemas: &[&Value]) -> bool {
        let mut seen = HashSet::new();
        let mut open = schemas.to_vec();
        while let Some(schema) = open.pop() {
            if !seen.insert(ptr::from_ref(schema).addr()) {
                continue;
            }
            if is_marked(schema) {
                return true;
            }
            open.extend(parts(schema).into_iter().map(|(_, part)| part));
            open.extend(self.referred(schema));
        }
        false
    }

    fn all_in_place<'s>(&'s self, schemas: &[&'s Value]) -> Vec<&'s Value> {
        schemas.iter().flat_map(|schema| self.in_place(schema, Applies::Perhaps)).collect()
    }

    /// `schema` and the parts of it that apply to the same value.
    fn in_place<'s>(&'s self, schema: &'s Value, applies: Applies) -> Vec<&'s Value> {
        let mut found: Vec<&Value> = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            if !seen.insert(ptr::from_ref(schema).addr()) {
                continue;
            }
            found.push(schema);
            // The first in the text is the first in the answer.
            open.extend(self.inner(schema, applies).into_iter().rev());
        }
        found
    }

    /// The parts of `schema` that apply to the same value directly.
    fn inner<'s>(&'s self, schema: &'s Value, applies: Applies) -> Vec<&'s Value> {
        let lists: &[&str] =
            if applies == Applies::Always { &["allOf"] } else { &["allOf", "anyOf", "oneOf"] };
        let mut inner: Vec<_> = self.referred(schema).collect();
        inner.extend(lists.iter().filter_map(|key| schema.get(key)?.as_array()).flatten());
        if applies == Applies::Perhaps {
            inner.extend(["if", "then", "else", "not"].iter().filter_map(|key| schema.get(key)));
            let dependent = ["dependentSchemas", "dependencies"].into_iter();
            inner.extend(dependent.filter_map(|key| schema.get(key)?.as_object()).flat_map(Map::values));
        }
        inner
    }

    fn referred<'s>(&'s self, schema: &'s Value) -> impl Iterator<Item = &'s Value> {
        references(schema).filter_map(|(_, reference)| self.resolve(reference.as_str()?))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Applies {
    Always,
    Perhaps,
}
