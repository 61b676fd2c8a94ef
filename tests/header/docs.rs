//! Every function says what it does, what its parameters are, what it returns, on which thread, whether it blocks
//! and since when: in this order, or a test fails and names what is missing. And no name is a keyword of C++.

use crate::{HEADER, text};

#[test]
fn contract_3_every_function_carries_its_lines_in_order() {
    let header = text::read(HEADER);
    assert!(header.functions.len() > 30, "only {} functions were found", header.functions.len());
    let problems: Vec<String> = header.functions.iter().flat_map(problems).collect();
    assert!(problems.is_empty(), "in include/pintle/plugin.h (mend it in abi/src):\n{}", problems.join("\n"));
}

#[test]
fn every_missing_or_misplaced_line_is_named() {
    let whole =
        ["Sets.", "", "- ctx: who.", "- key: which,", "  borrowed.", "", "Returns: OK.", "Thread: any."];
    let whole = [&whole[..], &["Blocks: never.", "Since: 1.0."]].concat();
    assert_eq!(problems_of(&whole), Vec::<String>::new());
    let cases: [(&[usize], &str); 8] = [
        (&[0, 1], "t.set: says nothing of what it does"),
        (&[2], "t.set: the comment has `- key:` where `- ctx:` is due"),
        (&[3, 4], "t.set: the comment has `Returns:` where `- key:` is due"),
        (&[6], "t.set: the comment has `Thread:` where `Returns:` is due"),
        (&[7], "t.set: the comment has `Blocks:` where `Thread:` is due"),
        (&[8], "t.set: the comment has `Since:` where `Blocks:` is due"),
        (&[9], "t.set: the comment ends where `Since:` is due"),
        (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "t.set: has no comment"),
    ];
    for (missing, expected) in cases {
        let lines = whole.iter().enumerate().filter(|(at, _)| !missing.contains(at)).map(|(_, line)| *line);
        assert_eq!(problems_of(&lines.collect::<Vec<_>>()).first().map(String::as_str), Some(expected));
    }
    let replaced = |old: &str, new: &'static str| {
        problems_of(&whole.iter().map(|line| if *line == old { new } else { line }).collect::<Vec<_>>())
    };
    assert_eq!(replaced("- ctx: who.", "- ctx:"), ["t.set: `- ctx:` is empty"]);
    assert_eq!(replaced("- ctx: who.", "- context: who.").len(), 1, "the name must be the parameter's");
    assert_eq!(replaced("Since: 1.0.", "Since: ever."), ["t.set: `Since:` is no version: `ever.`"]);
}

#[test]
fn what_runs_in_a_plugin_says_how_it_runs() {
    let mut seen = 0;
    for function in text::read(HEADER).functions {
        let of_a_plugin = function.name.starts_with("pintle_plugin.")
            || function.name.ends_with("_handler")
            || function.name == "pintle_release";
        if of_a_plugin {
            seen += 1;
            let thread = function.comment.iter().find(|line| line.starts_with("Thread:"));
            let tagged = thread.is_some_and(|line| line.contains("[lane]") || line.contains("[any-thread]"));
            assert!(tagged, "{}: `Thread:` has neither [lane] nor [any-thread]", function.name);
        }
    }
    assert!(seen >= 12, "only {seen} functions of plugins were found");
}

#[test]
fn contract_4_no_name_is_a_keyword_of_cpp() {
    let code = text::code(HEADER);
    let names = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let wrong: Vec<_> = names.filter(|name| CPP_KEYWORDS.contains(name)).collect();
    assert!(wrong.is_empty(), "C++ cannot read a header that calls something {wrong:?}");
    assert!(text::code("int a; /* new */\n#define delete\nvoid f(int new);").contains("new"));
    assert!(!text::code("int a; /* new */\n#define delete\n").contains("new"));
}

/// The keywords of C++ up to C++23 that C takes for names; those of C itself no C compiler lets pass.
const CPP_KEYWORDS: [&str; 61] = [
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "bitand",
    "bitor",
    "bool",
    "catch",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "decltype",
    "delete",
    "dynamic_cast",
    "explicit",
    "export",
    "false",
    "final",
    "friend",
    "import",
    "module",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "override",
    "private",
    "protected",
    "public",
    "reinterpret_cast",
    "requires",
    "static_assert",
    "static_cast",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typeid",
    "typename",
    "using",
    "virtual",
    "wchar_t",
];

const CLOSING: [&str; 4] = ["Returns:", "Thread:", "Blocks:", "Since:"];

fn problems(function: &text::Function) -> Vec<String> {
    let text::Function { name, parameters, comment } = function;
    if comment.is_empty() {
        return vec![format!("{name}: has no comment")];
    }
    let mut problems = Vec::new();
    let mut labels = comment.iter().filter_map(|line| label(line)).peekable();
    if comment.first().is_none_or(|line| line.is_empty() || label(line).is_some()) {
        problems.push(format!("{name}: says nothing of what it does"));
    }
    let due = parameters.iter().map(|name| format!("- {name}:")).chain(CLOSING.map(str::to_owned));
    for due in due {
        match labels.next() {
            Some((found, _)) if found != due => {
                problems.push(format!("{name}: the comment has `{found}` where `{due}` is due"));
                return problems;
            }
            Some((_, "")) => problems.push(format!("{name}: `{due}` is empty")),
            Some((_, text)) if due == "Since:" && !is_version(text) => {
                problems.push(format!("{name}: `Since:` is no version: `{text}`"));
            }
            Some(_) => {}
            None => {
                problems.push(format!("{name}: the comment ends where `{due}` is due"));
                return problems;
            }
        }
    }
    if let Some((found, _)) = labels.next() {
        problems.push(format!("{name}: the comment has `{found}` where nothing is due"));
    }
    problems
}

/// `- name:` or `Returns:` at the start of a line, and what follows it.
fn label(line: &str) -> Option<(String, &str)> {
    let (label, text) = line.split_once(':')?;
    let named = label.strip_prefix("- ").is_some_and(|name| !name.contains(' '));
    let closes = CLOSING.iter().any(|closing| closing.strip_suffix(':') == Some(label));
    (named || closes).then(|| (format!("{label}:"), text.trim()))
}

fn is_version(text: &str) -> bool {
    let parts = text.strip_suffix('.').and_then(|version| version.split_once('.'));
    parts.is_some_and(|(major, minor)| major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok())
}

fn problems_of(comment: &[&str]) -> Vec<String> {
    problems(&text::Function {
        name: "t.set".into(),
        parameters: vec!["ctx".into(), "key".into()],
        comment: comment.iter().map(|line| (*line).to_owned()).collect(),
    })
}
