//! Reads the header: its structs, its functions and the comments that belong to them.
//!
//! Not a parser of C: it knows the shape in which build.rs writes (a comment on lines of its own in front of what
//! it belongs to; no function pointer inside a parameter list), and panics where it meets another.

/// A type of the contract.
pub(crate) struct Struct {
    pub(crate) name: String,
    /// In their order.
    pub(crate) members: Vec<String>,
}

/// Something that is called through a pointer or by name.
pub(crate) struct Function {
    /// `pintle_log.write`, `pintle_release`, …
    pub(crate) name: String,
    /// The names of its parameters, in their order.
    pub(crate) parameters: Vec<String>,
    /// The lines of the comment in front of it.
    pub(crate) comment: Vec<String>,
}

/// What is in a header.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) structs: Vec<Struct>,
    pub(crate) functions: Vec<Function>,
}

/// Reads `text`. Inline functions and what is for C++ alone are left out: they are no part of the contract.
pub(crate) fn read(text: &str) -> Header {
    let mut header = Header::default();
    let mut comment = Vec::new();
    let mut open: Option<Struct> = None;
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    while let Some(first) = lines.next().map(str::trim_start) {
        if first.starts_with("/*") {
            comment = comment_from(first, &mut lines);
            continue;
        }
        if first.starts_with('#') {
            if first.ends_with('\\') {
                let _ = lines.by_ref().find(|line| !line.ends_with('\\'));
            }
            continue;
        }
        let mut declaration = first.to_owned();
        while !declaration.ends_with([';', '{', '}']) {
            declaration = format!("{declaration} {}", lines.next().expect("a declaration ends").trim_start());
        }
        let comment = std::mem::take(&mut comment);
        if declaration.starts_with("static inline") || declaration.starts_with("template ") {
            let _ = lines.by_ref().find(|line| ["}", "};"].contains(line));
        } else if let Some(name) = declaration.strip_prefix("typedef struct ") {
            let name = name.trim_end_matches('{').trim().to_owned();
            open = Some(Struct { name, members: Vec::new() });
        } else if declaration.starts_with("} ") {
            header.structs.extend(open.take());
        } else {
            let (name, parameters) = declared(declaration.trim_end_matches(';'));
            let within = open.as_mut().map(|of| {
                of.members.push(name.clone());
                format!("{}.", of.name)
            });
            if let Some(parameters) = parameters {
                let name = format!("{}{name}", within.unwrap_or_default());
                header.functions.push(Function { name, parameters, comment });
            }
        }
    }
    header
}

/// The text of a header without comments, without the lines of the preprocessor, and without what is for C++ alone.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        code += &rest[..start];
        let end = rest[start..].find("*/").expect("a comment ends");
        rest = &rest[start + end + 2..];
    }
    code += rest;
    let mut for_cpp = false;
    let lines = code.lines().filter(|line| {
        match line.trim() {
            "#ifdef __cplusplus" => for_cpp = true,
            "#else" | "#endif" => for_cpp = false,
            _ => {}
        }
        !for_cpp && !line.trim_start().starts_with('#')
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn comment_from<'a>(first: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut comment = Vec::new();
    let mut line = first.strip_prefix("/*").expect("it is a comment");
    loop {
        let (text, ends) = line.strip_suffix("*/").map_or((line, false), |text| (text, true));
        comment.push(text.trim().to_owned());
        if ends {
            return comment;
        }
        let next = lines.next().expect("a comment ends").trim_start();
        line = next.strip_prefix('*').expect("build.rs gives each line of a comment its star");
    }
}

/// The name that a declaration declares, and of a function the names of its parameters.
fn declared(declaration: &str) -> (String, Option<Vec<String>>) {
    let Some((before, list)) = declaration.strip_suffix(')').and_then(|inner| inner.rsplit_once('(')) else {
        return (last_name(declaration), None);
    };
    let parameters = list.split(',').map(str::trim).filter(|parameter| *parameter != "void");
    (last_name(before.trim_end_matches(')')), Some(parameters.map(last_name).collect()))
}

fn last_name(declaration: &str) -> String {
    let start = declaration.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    let name = &declaration[start..];
    assert!(!name.is_empty(), "nothing is named by `{declaration}`");
    name.to_owned()
}

#[test]
fn structs_members_functions_and_comments_are_told_apart() {
    let header = read(
        "#define TWO \\\n  lines(\n/* A table. */\ntypedef struct t {\n  uint32_t size;\n  /* Sets.\n   *\n   \
         * - ctx: who. */\n  int (*set)(ctx c,\n             const struct s *all);\n} t;\n\
         /* Made. */\ntypedef void (*made)(void *user);\nstatic inline int f(int a) {\n  return a;\n}\n\
         template <class T>\nstruct u {\n  T t;\n};\nEXPORT const t *entry(void);\n",
    );
    assert_eq!(header.structs.len(), 1);
    assert_eq!(header.structs[0].members, ["size", "set"]);
    let names: Vec<_> = header.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["t.set", "made", "entry"]);
    assert_eq!(header.functions[0].parameters, ["c", "all"]);
    assert_eq!(header.functions[0].comment, ["Sets.", "", "- ctx: who."]);
    assert_eq!(header.functions[1].parameters, ["user"]);
    assert!(header.functions[2].parameters.is_empty() && header.functions[2].comment.is_empty());
}
