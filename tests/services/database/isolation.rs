//! Two plugins and two tenants: nothing of one is seen by another, in any way that SQL has.

use super::{add, ask_of, place};

/// Each with a database of its own.
const SCOPES: [(&str, &str); 6] = [
    ("sql", ""),
    ("sql", "acme"),
    ("sql", "globex"),
    ("second", ""),
    ("second", "acme"),
    ("second", "globex"),
];

/// What a scope leaves behind: tables, rows, an index, a view, a trigger, a number of its own, an open transaction with a
/// temporary table.
fn leave(mark: &str) -> Vec<String> {
    vec![
        format!("execute ~ 0 ~ CREATE TABLE secret_{mark} (a INTEGER PRIMARY KEY AUTOINCREMENT, b)"),
        format!("execute ~ 0 ~ CREATE INDEX index_{mark} ON secret_{mark} (b)"),
        format!("execute ~ 0 ~ CREATE VIEW view_{mark} AS SELECT b FROM secret_{mark}"),
        format!(
            "execute ~ 0 ~ CREATE TRIGGER trigger_{mark} AFTER DELETE ON secret_{mark} BEGIN SELECT 1; END"
        ),
        format!("execute ~ 0 ~ INSERT INTO secret_{mark} VALUES (4711, 'words of {mark}')"),
        "execute ~ 0 ~ PRAGMA user_version = 4711".to_owned(),
        "execute ~ 0 ~ CREATE TABLE same (a)".to_owned(),
        format!("execute ~ 0 ~ INSERT INTO same VALUES ('{mark}')"),
        format!("migrate ~  ~ 1 ~ step of {mark} ~ CREATE TABLE migrated_{mark} (a)"),
        "hold ~ h".to_owned(),
        format!("as ~ h ~ begin ~ {mark} ~ 0"),
        format!("execute ~ {mark} ~ CREATE TEMP TABLE temporary_{mark} AS SELECT 'words of {mark}' AS a"),
        format!("execute ~ {mark} ~ INSERT INTO same VALUES ('{mark} again')"),
    ]
}

/// Statements that tell whatever there is to be told.
const LOOKS: [&str; 26] = [
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_temp_schema",
    "SELECT * FROM temp.sqlite_master",
    "SELECT * FROM sqlite_sequence",
    "PRAGMA table_list",
    "SELECT * FROM pragma_table_list",
    "SELECT s.name, t.* FROM sqlite_schema s, pragma_table_info(s.name) t",
    "SELECT s.name, t.* FROM sqlite_schema s, pragma_index_list(s.name) t",
    "PRAGMA database_list",
    "SELECT * FROM pragma_database_list",
    "PRAGMA user_version",
    "PRAGMA page_count",
    "PRAGMA freelist_count",
    "PRAGMA data_version",
    "PRAGMA collation_list",
    "PRAGMA integrity_check",
    "PRAGMA foreign_key_check",
    "SELECT * FROM same",
    "SELECT last_insert_rowid()",
    "SELECT changes(), total_changes()",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM pintle_owner",
    "SELECT * FROM pintle_migrations",
];

/// The names under which a scope might reach what another has.
fn reaches(mark: &str) -> Vec<String> {
    let names = [
        format!("secret_{mark}"),
        format!("main.secret_{mark}"),
        format!("temp.secret_{mark}"),
        format!("view_{mark}"),
        format!("temporary_{mark}"),
        format!("temp.temporary_{mark}"),
        format!("migrated_{mark}"),
        format!("{mark}.same"),
        format!("\"t-{mark}.db\".same"),
        format!("\"../p-{mark}/system.db\".same"),
    ];
    names.into_iter().map(|name| format!("SELECT * FROM {name}")).collect()
}

fn mark_of((plugin, tenant): (&str, &str)) -> String {
    format!("{plugin}{}", if tenant.is_empty() { "system" } else { tenant })
}

#[test]
fn database_18_everywhere_4_and_everywhere_6_no_scope_sees_anything_of_another() {
    let place = place();
    add(&place, "second", &[]);
    let host = place.started();
    let run = |(plugin, tenant): (&str, &str), commands: &[String]| {
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        ask_of(&host, plugin, tenant, &commands)
    };
    // What one sees that has nothing, while nobody else has anything.
    let looks: Vec<String> = LOOKS.iter().map(|sql| format!("query ~ 0 ~ {sql}")).collect();
    let before: Vec<_> = SCOPES.iter().map(|scope| run(*scope, &looks)).collect();
    for (at, scope) in SCOPES.iter().enumerate() {
        assert_eq!(run(*scope, &looks), before[at], "{scope:?}: what others have left is seen");
        let answers = run(*scope, &leave(&mark_of(*scope)));
        assert!(answers.iter().all(|answer| answer.starts_with("OK")), "{scope:?}: {answers:#?}");
    }
    for scope in SCOPES {
        let mine = mark_of(scope);
        for other in SCOPES.into_iter().filter(|other| *other != scope) {
            let mark = mark_of(other);
            let reaches: Vec<_> = reaches(&mark).iter().map(|sql| format!("query ~ 0 ~ {sql}")).collect();
            for (command, answer) in reaches.iter().zip(run(scope, &reaches)) {
                assert!(
                    answer.starts_with("INVALID_ARGUMENT the SQL is wrong: no such table"),
                    "{scope:?} reaches {other:?}: {command}: {answer}"
                );
            }
            for (command, answer) in looks.iter().zip(run(scope, &looks)) {
                assert!(!answer.contains(&mark), "{scope:?} sees {other:?}: {command}: {answer}");
                assert!(!answer.contains(".db"), "{scope:?} sees a path: {command}: {answer}");
            }
        }
        // Its own is all there, though not what it has not committed.
        let own =
            [format!("query ~ 0 ~ SELECT b FROM secret_{mine}"), "query ~ 0 ~ SELECT a FROM same".to_owned()];
        assert_eq!(
            run(scope, &own),
            [format!("OK rows=1\nb\ntwords of {mine}"), format!("OK rows=1\na\nt{mine}")]
        );
        let within = [format!("query ~ {mine} ~ SELECT a FROM temporary_{mine}"), format!("commit ~ {mine}")];
        assert_eq!(run(scope, &within), [format!("OK rows=1\na\ntwords of {mine}"), "OK".to_owned()]);
        // What is temporary has gone with the transaction.
        let gone = [format!("query ~ 0 ~ SELECT a FROM temporary_{mine}")];
        assert!(run(scope, &gone)[0].contains("no such table"), "{scope:?}");
    }
}

#[test]
fn database_18_a_transaction_of_one_scope_keeps_no_other_waiting() {
    let place = place().toml("[database]\nstatement_ms = 5000");
    add(&place, "second", &[]);
    let host = place.started();
    for (plugin, tenant) in SCOPES {
        let mark = mark_of((plugin, tenant));
        let commands = [
            "execute ~ 0 ~ CREATE TABLE t (a)".to_owned(),
            "execute ~ 0 ~ INSERT INTO t VALUES (1)".to_owned(),
            "hold ~ h".to_owned(),
            format!("as ~ h ~ begin ~ {mark} ~ 0 ~ 0 ~ 1 ~ 0"),
            format!("execute ~ {mark} ~ DELETE FROM t"),
        ];
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let answers = ask_of(&host, plugin, tenant, &commands);
        assert!(answers.iter().all(|answer| answer.starts_with("OK")), "{plugin} {tenant}: {answers:#?}");
    }
    for scope in SCOPES {
        assert_eq!(ask_of(&host, scope.0, scope.1, &[&format!("commit ~ {}", mark_of(scope))]), ["OK"]);
    }
}
