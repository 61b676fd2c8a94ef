//! Statements that SQLite itself refuses: words left out, doubled or misspelt, and what is wrong in a known way. The text, the
//! code and the place of the error must reach the plugin.

use super::{
    dice::Dice,
    expression::Writer,
    step::{Does, Step, quoted},
    world::World,
};

/// `@` is a table that there is.
const WRONG: [&str; 40] = [
    "SELECT * FROM nowhere",
    "SELECT nothing FROM @",
    "SELECT \"no column\" FROM @",
    "SELECT no_such(1)",
    "SELECT abs()",
    "SELECT abs(1, 2)",
    "SELECT substr('a')",
    "SELECT abs(-9223372036854775807 - 1)",
    "SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)",
    "SELECT sum(count(*)) FROM @",
    "SELECT 1 FROM @ WHERE count(*) > 1",
    "SELECT 1 FROM @ WHERE row_number() OVER () = 1",
    "SELECT nth_value(1, 0) OVER () FROM (SELECT 1)",
    "SELECT ntile(0) OVER () FROM (SELECT 1)",
    "SELECT json('{')",
    "SELECT json_extract('[1]', 'x')",
    "SELECT '[' -> 0",
    "SELECT json_array(x'00')",
    "SELECT 'a' LIKE 'b' ESCAPE 'cc'",
    "SELECT (1, 2) = (1, 2, 3)",
    "SELECT (SELECT 1, 2)",
    "SELECT 1 UNION SELECT 1, 2",
    "SELECT 1 ORDER BY 2",
    "SELECT 1 LIMIT 'x'",
    "SELECT 1 COLLATE nothing_known",
    "SELECT CAST(1 AS)",
    "SELECT 'no end",
    "SELECT x'0'",
    "SELECT #",
    "SELECT a.b.c.d FROM @",
    "INSERT INTO @ VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)",
    "INSERT INTO @ (nothing) VALUES (1)",
    "UPDATE @ SET nothing = 1",
    "DELETE FROM @ WHERE nothing",
    "DROP TABLE nowhere",
    "DROP INDEX nowhere",
    "CREATE TABLE @ (a)",
    "CREATE TABLE fresh (a NONSENSE) STRICT",
    "CREATE INDEX fresh ON @ (nothing)",
    "ALTER TABLE @ DROP COLUMN nothing",
];

pub(crate) fn wrong(dice: &mut Dice, world: &World) -> Step {
    let table = quoted(&world.tables[dice.roll(world.tables.len())].name);
    if dice.chance(50) {
        return Step::new(Does::Read, dice.one_of(&WRONG).replace('@', &table));
    }
    let mut writer = Writer { dice, world, values: Vec::new(), aliases: 0, subqueries: 1, plain: true };
    let sql = writer.query();
    let mut words: Vec<&str> = sql.split(' ').collect();
    let at = dice.roll(words.len());
    match dice.roll(4) {
        0 => drop(words.remove(at)),
        1 => words.insert(at, words[at]),
        2 => words[at] = "nothing",
        _ => words.truncate(at + 1),
    }
    Step::new(Does::Read, words.join(" "))
}
