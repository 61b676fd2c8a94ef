//! Makes one sentence of what abi_stable finds: which field of which type, and what it is on either side. Its own report
//! has a page for each type on the way there.

use abi_stable::{
    abi_stability::abi_checking::{AbiInstability, AbiInstabilityErrors, ExpectedFound},
    type_layout::{TLData, TLField, TLFieldOrFunction as Step, TLFunction},
};

/// Whose contract something is of.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Host,
    Plugin,
}

/// What abi_stable found, on its way to becoming one sentence.
pub(super) struct Report {
    /// Which side was taken as what the other must have at least.
    pub(super) interface: Side,
    pub(super) errors: AbiInstabilityErrors,
}

/// The same place on either side.
struct Pair<T> {
    here: T,
    there: T,
}

/// From the contract's root to where the difference is: fields, functions, parameters, and what pointers lead to.
type Way = [Pair<Step>];

impl Report {
    /// The most telling of the differences; `None` if there is none that counts.
    pub(super) fn sentence(&self) -> Option<String> {
        let mut told = Vec::new();
        for at in &self.errors.errors {
            let way: Vec<_> = at.stack_trace.iter().map(|step| self.pair(step)).collect();
            told.extend(at.errs.iter().filter_map(|what| Some((weight(what)?, self.describe(&way, what)))));
        }
        // A changed field changes the size of its struct, too: the cause goes before what follows from it.
        let most = told.iter().map(|(weight, _)| *weight).min()?;
        let mut causes: Vec<String> = Vec::new();
        for (_, text) in told.into_iter().filter(|(weight, _)| *weight == most) {
            if !causes.contains(&text) {
                causes.push(text);
            }
        }
        Some(match causes.len() - 1 {
            0 => causes.swap_remove(0),
            others => format!("{}, and {others} more like it", causes[0]),
        })
    }

    fn describe(&self, way: &Way, what: &AbiInstability) -> String {
        match what {
            AbiInstability::UnexpectedField(field) => match way.last() {
                Some(Pair { here: Step::Function(here), there: Step::Function(there) }) => {
                    other_parameters(&way[..way.len() - 1], here, there)
                }
                _ => {
                    let Pair { here, there } = self.pair(field);
                    format!("{} is called `{}` in the plugin", member(way, here.name()), there.name())
                }
            },
            AbiInstability::FieldCountMismatch(_) => lacking(way),
            AbiInstability::Size(size) => {
                let Pair { here, there } = self.pair(size);
                format!("{} has {here} bytes here and {there} in the plugin", place(way))
            }
            what => match types(way) {
                Some(Pair { here, there }) if here != there => {
                    format!("{} is `{here}` here and `{there}` in the plugin", place(way))
                }
                _ => format!("{} has another {} in the plugin", place(way), aspect(what)),
            },
        }
    }

    fn pair<T: Clone>(&self, both: &ExpectedFound<T>) -> Pair<T> {
        let (expected, found) = (both.expected.clone(), both.found.clone());
        match self.interface {
            Side::Host => Pair { here: expected, there: found },
            Side::Plugin => Pair { here: found, there: expected },
        }
    }
}

/// How abi_stable calls the result of a function among its parameters.
const RESULT: &str = "__returns";

/// The less, the nearer to the cause; `None` for what is no difference of the contract.
fn weight(what: &AbiInstability) -> Option<u8> {
    use AbiInstability::*;
    match what {
        // The version of the crate `pintle-abi`. That of the contract is another one, and the types say the rest.
        PackageVersion(_) => None,
        UnexpectedField(_) => Some(0),
        FieldCountMismatch(_) => Some(2),
        Size(_) | Alignment(_) => Some(3),
        _ => Some(1),
    }
}

/// In what a type differs that is called the same on both sides.
fn aspect(what: &AbiInstability) -> &'static str {
    use AbiInstability::*;
    match what {
        Alignment(_) => "alignment",
        FnQualifierMismatch(_) | FnLifetimeMismatch(_) => "kind of function",
        MismatchedPrefixSize(_) | MismatchedPrefixConditionality(_) => "part that may not grow",
        Package(_) => "crate that it comes from",
        ReprAttr(_) => "representation",
        _ => "type",
    }
}

/// Where the way ends, as this host calls it.
fn place(way: &Way) -> String {
    match named(way) {
        [] => "the contract".into(),
        [before @ .., last] => match &last.here {
            Step::Field(field) => member(before, field.name()),
            Step::Function(_) => function(before),
        },
    }
}

/// The types of what the way ends at, as text.
fn types(way: &Way) -> Option<Pair<String>> {
    let text = |of: &Step| match of {
        // It ends with a space where it is a pointer's.
        Step::Field(field) => field.full_type().to_string().trim_end().to_owned(),
        Step::Function(function) => function.to_string(),
    };
    named(way).last().map(|Pair { here, there }| Pair { here: text(here), there: text(there) })
}

/// The way up to the last step that has a name: what a pointer leads to has none.
fn named(way: &Way) -> &Way {
    match way {
        [before @ .., _] if before.last().is_some_and(|step| leads_on(&step.here)) => named(before),
        way => way,
    }
}

fn leads_on(step: &Step) -> bool {
    matches!(step, Step::Field(field) if matches!(field.layout().data(), TLData::Primitive(_)))
}

/// The field or parameter called `name`, of what the way leads to.
fn member(way: &Way, name: &str) -> String {
    match way.last().map(|step| &step.here) {
        None => format!("field `{name}` of the contract"),
        Some(Step::Field(field)) => format!("field `{name}` of `{}`", field.layout().name()),
        Some(Step::Function(called)) => {
            let function = function(&way[..way.len() - 1]);
            match name {
                RESULT => format!("the result of {function}"),
                name => format!("parameter `{}` of {function}", parameter(called, name)),
            }
        }
    }
}

/// The function in the field that the way ends at. A type that is nothing but a function has no other field.
fn function(way: &Way) -> String {
    match way {
        [.., Pair { here: Step::Field(of), .. }, Pair { here: Step::Field(field), .. }] => match field.name()
        {
            "field_0" => format!("`{}`", of.layout().name()),
            name => format!("`{}.{name}`", of.layout().name()),
        },
        _ => "a function of the contract".into(),
    }
}

/// The parameters of a function by name. abi_stable writes commas between them and reads semicolons: what it gives as the
/// first name is the list of all, and the others are numbered. So a parameter that was renamed, or has changed places with
/// another, is a difference that it finds at the first.
fn parameters(function: &TLFunction) -> Vec<&'static str> {
    let names = function.param_names.as_str().split([',', ';']);
    names.take(function.param_type_layouts.len()).collect()
}

/// What abi_stable calls `name`, as the function calls it.
fn parameter(function: &TLFunction, name: &str) -> &'static str {
    let at = name.strip_prefix("param_").and_then(|number| number.parse().ok()).unwrap_or(0);
    parameters(function).get(at).copied().unwrap_or("?")
}

/// The first parameter that a function does not have on both sides.
fn other_parameters(way: &Way, here: &TLFunction, there: &TLFunction) -> String {
    let function = function(way);
    let (ours, theirs) = (parameters(here), parameters(there));
    let same = ours.iter().zip(&theirs).take_while(|(our, their)| our == their).count();
    match (ours.get(same), theirs.get(same)) {
        (Some(our), Some(their)) => {
            format!("parameter `{our}` of {function} is called `{their}` in the plugin")
        }
        (Some(our), None) => format!("parameter `{our}` of {function} is missing in the plugin"),
        (None, Some(their)) => format!("parameter `{their}` of {function} is missing here"),
        (None, None) => format!("{function} has other parameters in the plugin"),
    }
}

/// Which field the type that the way ends at has on one side only.
fn lacking(way: &Way) -> String {
    let Some(Pair { here: Step::Field(here), there: Step::Field(there) }) = way.last() else {
        return format!("{} has another number of parameters in the plugin", place(way));
    };
    let names = |field: &TLField| -> Vec<&'static str> {
        field.layout().get_fields().into_iter().flatten().map(|field| field.name()).collect()
    };
    let (ours, theirs) = (names(here), names(there));
    let first_beyond = |longer: &[&'static str], shorter: &[&'static str]| longer.get(shorter.len()).copied();
    match (first_beyond(&ours, &theirs), first_beyond(&theirs, &ours)) {
        (Some(name), _) => format!("{} is missing in the plugin", member(way, name)),
        (None, Some(name)) => format!("{} is missing here", member(way, name)),
        (None, None) => format!("{} has another number of fields in the plugin", place(way)),
    }
}
