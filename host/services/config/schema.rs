//! What a plugin says its settings look like: compiled from the manifest, then asked about every config.

use std::fmt;

use jsonschema::{
    Draft, PatternOptions, ValidationError, Validator, error::TypeKind, error::ValidationErrorKind,
};
use serde_json::{Map, Value};

use super::{
    document::{Document, Endless},
    keywords::{references, walk},
    nearest::nearest,
    pointer,
};

/// One thing that is wrong with a config or a schema. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A JSON pointer to what it is about; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for Problem {}

/// A plugin's schema, ready to check configs. Nothing is ever fetched for one.
pub(crate) struct Schema {
    document: Document,
    /// None: the plugin takes no settings.
    validator: Option<Validator>,
}

impl Schema {
    /// Compiles the `config` of a manifest, or tells everything that is wrong with it.
    pub(crate) fn compile(schema: &Value) -> Result<Self, Vec<Problem>> {
        let Value::Object(_) = schema else {
            return Err(vec![Problem::new(
                "",
                "a config schema is a JSON object, as in `{ \"type\": \"object\" }`",
            )]);
        };
        let document = Document::new(schema.clone());
        let mut problems = draft_problems(schema);
        problems.extend(reference_problems(&document));
        if !problems.is_empty() {
            return Err(problems);
        }
        let validator = compile(schema)?;
        let compiled = Self { document, validator: Some(validator) };
        match compiled.default_problems() {
            problems if problems.is_empty() => Ok(compiled),
            problems => Err(problems),
        }
    }

    /// The schema of a plugin whose manifest has none: it takes no settings, and whoever gives it some has
    /// written them for another plugin or for another version.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self { document: Document::default(), validator: None }
    }

    /// The config with defaults filled in, or everything that is wrong with it.
    pub(crate) fn check(&self, config: &Value) -> Result<Value, Vec<Problem>> {
        let Value::Object(members) = config else {
            return Err(vec![Problem::new("", "a config is an object")]);
        };
        let Some(validator) = &self.validator else {
            return match members.is_empty() {
                true => Ok(config.clone()),
                false => Err(members
                    .keys()
                    .map(|name| Problem::new(pointer::join("", name), TAKES_NONE))
                    .collect()),
            };
        };
        let mut filled = config.clone();
        self.document.fill(&mut filled).map_err(|Endless| vec![Problem::new("", ENDLESS)])?;
        let problems: Vec<_> =
            validator.iter_errors(&filled).flat_map(|error| self.problems(&error)).collect();
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }

    /// The same value with `"***"` in place of everything that the schema marks as `"writeOnly": true` or
    /// `"x-secret": true`.
    #[must_use]
    pub(crate) fn redacted(&self, config: &Value) -> Value {
        self.document.redacted(config)
    }

    /// What is wrong with the defaults themselves. A plugin whose own default is refused would blame whoever
    /// wrote no setting at all.
    fn default_problems(&self) -> Vec<Problem> {
        let mut filled = Value::Object(Map::new());
        if let Err(Endless) = self.document.fill(&mut filled) {
            return vec![Problem::new("", ENDLESS)];
        }
        let validator = self.validator.iter();
        let errors = validator.flat_map(|validator| validator.iter_errors(&filled));
        errors
            // What is missing is for the operator to give.
            .filter(|error| !error.instance_path().is_empty())
            .filter(|error| !matches!(error.kind(), ValidationErrorKind::Required { .. }))
            .flat_map(|error| self.problems(&error))
            .map(|problem| {
                Problem::new("", format!("the default of {} does not fit: {}", problem.path, problem.message))
            })
            .collect()
    }

    fn problems(&self, error: &ValidationError<'_>) -> Vec<Problem> {
        let path = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.document.properties_at(path);
                let unknown = |name: &String| Problem::new(pointer::join(path, name), unknown(name, &known));
                unexpected.iter().map(unknown).collect()
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                vec![Problem::new(pointer::join(path, name), "is required and missing")]
            }
            kind => {
                let shown = if self.document.may_hold_secret(path) {
                    "the value".into()
                } else {
                    shown(error.instance())
                };
                vec![Problem::new(path, self.sentence(kind, &shown))]
            }
        }
    }

    fn sentence(&self, kind: &ValidationErrorKind, shown: &str) -> String {
        use ValidationErrorKind as Kind;
        match kind {
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                let nearest =
                    context.iter().min_by_key(|errors| errors.len()).and_then(|errors| errors.first());
                match nearest.and_then(|error| self.problems(error).into_iter().next()) {
                    Some(problem) => format!("fits none of the alternatives; of one of them: {problem}"),
                    None => "fits none of the alternatives".into(),
                }
            }
            Kind::OneOfMultipleValid { .. } => {
                "fits more than one of the alternatives, and must fit exactly one".into()
            }
            Kind::Constant { expected_value } => format!("{shown} must be {expected_value}"),
            Kind::Enum { options } => format!("{shown} is none of {options}"),
            Kind::Type { kind: TypeKind::Single(expected) } => format!("{shown} is not of type {expected}"),
            Kind::Type { kind: TypeKind::Multiple(expected) } => {
                let expected: Vec<_> = expected.iter().map(|expected| expected.to_string()).collect();
                format!("{shown} is not of type {}", expected.join(" or "))
            }
            Kind::Minimum { limit } => format!("{shown} is less than {limit}"),
            Kind::Maximum { limit } => format!("{shown} is more than {limit}"),
            Kind::ExclusiveMinimum { limit } => format!("{shown} is not more than {limit}"),
            Kind::ExclusiveMaximum { limit } => format!("{shown} is not less than {limit}"),
            Kind::MultipleOf { multiple_of } => format!("{shown} is not a multiple of {multiple_of}"),
            Kind::MinLength { limit } => format!("{shown} is shorter than {limit} characters"),
            Kind::MaxLength { limit } => format!("{shown} is longer than {limit} characters"),
            Kind::Pattern { pattern } => format!("{shown} does not match the pattern {pattern}"),
            Kind::Format { format } => format!("{shown} is not of the format {format}"),
            Kind::ContentEncoding { content_encoding } => {
                format!("{shown} is not encoded as {content_encoding}")
            }
            Kind::ContentMediaType { content_media_type } => format!("{shown} is not {content_media_type}"),
            Kind::FromUtf8 { .. } => format!("{shown} does not hold UTF-8"),
            Kind::MinItems { limit } => format!("has fewer than {limit} elements"),
            Kind::MaxItems { limit } => format!("has more than {limit} elements"),
            Kind::AdditionalItems { limit } => format!("has more than {limit} elements"),
            Kind::UnevaluatedItems { .. } => "has elements that the schema does not know".into(),
            Kind::UniqueItems => "has the same element twice".into(),
            Kind::Contains => "has no element of the kind that must be there".into(),
            Kind::MinProperties { limit } => format!("has fewer than {limit} settings"),
            Kind::MaxProperties { limit } => format!("has more than {limit} settings"),
            Kind::PropertyNames { error } => {
                let name = error.instance().as_str().unwrap_or_default();
                format!(
                    "has a setting with a name that is not allowed: {}",
                    self.sentence(error.kind(), &format!("{name:?}"))
                )
            }
            Kind::FalseSchema => "is not allowed here".into(),
            Kind::Not { .. } => format!("{shown} is what the schema excludes"),
            // The others tell of the schema or of the pattern engine, in words that could hold the value.
            _ => "cannot be checked against the schema".into(),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.validator {
            Some(_) => write!(f, "Schema({})", self.document.root()),
            None => f.write_str("Schema(none)"),
        }
    }
}

const TAKES_NONE: &str =
    "the plugin takes no settings: its manifest has no `config` (`\"config\": {}` would take any)";
const ENDLESS: &str = "the defaults of the schema contain themselves and never end";

/// The linear-time engine: a plugin's pattern must not be able to hang the host.
fn compile(schema: &Value) -> Result<Validator, Vec<Problem>> {
    // The value here is the schema, which holds no secrets: the validator's own words will do.
    let say = |error: &ValidationError<'_>| Problem::new(error.instance_path().as_str(), error.to_string());
    match jsonschema::meta::validator_for(schema) {
        Ok(meta) => {
            let problems: Vec<_> = meta.iter_errors(schema).map(|error| say(&error)).collect();
            if !problems.is_empty() {
                return Err(problems);
            }
        }
        Err(error) => return Err(vec![say(&error)]),
    }
    // Whoever writes a format into a schema wants it checked, also in the drafts that do not ask for it.
    let options = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| vec![say(&error)])
}

fn draft_problems(schema: &Value) -> Vec<Problem> {
    let known = match schema.get("$schema") {
        None => true,
        Some(uri) => uri.is_string() && Draft::default().detect(schema) != Draft::Unknown,
    };
    if known {
        return Vec::new();
    }
    vec![Problem::new("/$schema", "is none of the drafts 4, 6, 7, 2019-09 and 2020-12 of JSON Schema")]
}

/// References out of the document, to nothing in it, and in circles that consume nothing.
fn reference_problems(document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(document.root(), &mut |path, schema| {
        if !path.is_empty() && schema.get("$id").is_some_and(Value::is_string) {
            problems
                .push(Problem::new(pointer::join(path, "$id"), "only the whole schema may have an `$id`"));
        }
        for (key, reference) in references(schema) {
            let path = pointer::join(path, key);
            match reference.as_str() {
                Some(text) if !text.starts_with('#') => {
                    problems.push(Problem::new(path, format!("\"{text}\" leads out of the schema: only references that begin with `#` are followed")));
                }
                Some(text) if document.resolve(text).is_none() => {
                    problems
                        .push(Problem::new(path, format!("\"{text}\" leads to no schema in the document")));
                }
                Some(_) if document.contains_itself(schema) => {
                    problems.push(Problem::new(path, "leads back to itself"));
                }
                // What is not text is found by the check against the draft.
                _ => {}
            }
        }
    });
    problems
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is no such setting: did you mean `{near}`"),
        None if known.is_empty() => "there is no such setting".into(),
        None => format!("there is no such setting: there are `{}`", known.join("`, `")),
    }
}

/// A value short enough for a sentence.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "the object".into(),
        Value::Array(_) => "the list".into(),
        scalar => match scalar.to_string() {
            text if text.chars().count() > 64 => "the value".into(),
            text => text,
        },
    }
}

#[cfg(test)]
mod tests;
