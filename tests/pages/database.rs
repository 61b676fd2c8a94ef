//! `docs/database.md` lists what the fence around a plugin's SQL allows and denies, and the limits: the same as the code.

use std::collections::BTreeSet;

use crate::read;

const FENCE: &str = "host/services/database/sqlite/fence.rs";

#[test]
fn the_lists_of_allowed_and_denied_names_are_those_of_the_fence() {
    let (page, fence) = (read("docs/database.md"), read(FENCE));
    // What may be set in a transaction only has, or has not, a name of its own in the code.
    let set: BTreeSet<String> =
        ["SET", "DEFER"].iter().flat_map(|name| texts_of(&fence, name).unwrap_or_default()).collect();
    let list = |name| texts_of(&fence, name).unwrap_or_else(|| panic!("{FENCE} has no list {name}"));
    for (row, names) in [
        ("modules of virtual tables", list("MODULES")),
        ("PRAGMAs that may be read", list("TELL")),
        ("of these, with the name of a table or an index", list("TAKE")),
        ("PRAGMAs that may be set", set),
        ("functions", list("FUNCTIONS")),
        ("tables", list("TABLES")),
    ] {
        assert!(!names.is_empty(), "{FENCE} lists nothing for {row:?}");
        assert_eq!(ticked(cell(&page, row, 0)), names, "docs/database.md, {row:?}, and {FENCE} differ");
    }
    let own = texts_of(&fence, "OWN").expect("the host's own tables have a prefix");
    assert!(own.iter().all(|own| page.contains(&format!("`{own}`"))), "{own:?}");
}

#[test]
fn the_limits_are_those_of_the_code() {
    let page = read("docs/database.md");
    let open = read("host/services/database/sqlite/open.rs");
    for (row, limit) in [
        ("columns of a table, a result, an index", "SQLITE_LIMIT_COLUMN, "),
        ("placeholders", "SQLITE_LIMIT_VARIABLE_NUMBER, "),
        ("depth of an expression", "SQLITE_LIMIT_EXPR_DEPTH, "),
        ("parts of a compound SELECT", "SQLITE_LIMIT_COMPOUND_SELECT, "),
        ("arguments of a function", "SQLITE_LIMIT_FUNCTION_ARG, "),
        ("bytes of a pattern of LIKE and GLOB", "const LONGEST_PATTERN: i32 = "),
        ("depth of triggers", "SQLITE_LIMIT_TRIGGER_DEPTH, "),
    ] {
        assert_eq!(number(cell(&page, row, 0)), number_after(&open, limit), "{row}");
    }
    let (pool, transaction, migrate) = (
        read("host/services/database/sqlite/pool.rs"),
        read("host/services/database/transaction.rs"),
        read("host/services/database/migrate.rs"),
    );
    for (row, said, code) in [
        ("connections, of all plugins", "at most ", number_after(&pool, "const EACH: usize = ")),
        ("nested transactions", "", number_after(&transaction, "const DEEPEST: usize = ")),
        ("migrations", "", number_after(&migrate, "const MOST: usize = ")),
        ("migrations", "1 to ", number_after(&migrate, "const LONGEST_NAME: usize = ")),
        ("time of each migration", "", number_after(&migrate, "Duration::from_secs(")),
    ] {
        assert_eq!(number_after(cell(&page, row, 0), said), code, "{row}");
    }
}

/// The settings that the page names stand on their page, with the same defaults.
#[test]
fn the_settings_and_their_defaults_are_those_of_their_page() {
    let (page, settings) = (read("docs/database.md"), read("docs/settings.md"));
    let defaults = [
        ("database.max_value", "a value, a row, a text of SQL", 1 << 20),
        ("database.max_rows", "rows of one statement", 1),
        ("database.statement_ms", "time of one statement, its waiting included", 1_000),
        ("database.transaction_ms", "time of a transaction", 1_000),
        ("database.max_bytes", "bytes of a database", 1 << 20),
        ("database.temporary_bytes", "temporary tables and files", 1 << 20),
        ("database.connections", "connections, of all plugins", 1),
        ("database.idle_ms", "open without being used", 1_000),
    ];
    for (setting, row, unit) in defaults {
        assert!(cell(&page, row, 1).contains(&format!("`{setting}`")), "{row} does not name {setting}");
        let default = number(cell(&settings, &format!("`{setting}`"), 0));
        assert_eq!(number(cell(&page, row, 0)) * unit, default, "{setting}");
    }
}

/// The cell after so many behind the first of a row of a table.
fn cell<'p>(page: &'p str, row: &str, at: usize) -> &'p str {
    let start = format!("| {row} |");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    let line = line.unwrap_or_else(|| panic!("no table has the row {row:?}"));
    line.split('|').nth(at).unwrap_or_else(|| panic!("the row {row:?} is too short")).trim()
}

/// What stands between backticks.
fn ticked(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The texts of a constant.
fn texts_of(source: &str, name: &str) -> Option<BTreeSet<String>> {
    let start = source.find(&format!("const {name}: "))?;
    let value = source[start..].split_once('=')?.1.split_once(';')?.0;
    Some(value.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The first number, which may have commas or underscores in it.
fn number(text: &str) -> u64 {
    number_after(text, "")
}

fn number_after(text: &str, front: &str) -> u64 {
    let at = text.find(front).unwrap_or_else(|| panic!("there is no {front:?}")) + front.len();
    let digits = text[at..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '_'));
    let digits: String = digits.filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number stands behind {front:?} in {text:.60}"))
}
