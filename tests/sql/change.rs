//! Random changes: INSERT with its conflicts, upserts and RETURNING, UPDATE with FROM, DELETE, and changes of the schema.

use super::{
    dice::Dice,
    expression::{Seen, Writer},
    step::{Does, Step, quoted},
    world::{Kind, Table, World},
};

impl Writer<'_> {
    /// The columns of a table, as its own statements name them.
    fn own(table: &Table) -> Vec<Seen> {
        table.columns.iter().map(|column| Seen { sql: quoted(&column.name), kind: column.kind }).collect()
    }

    fn returning(&mut self, table: &Table) -> String {
        if !self.dice.chance(40) {
            return String::new();
        }
        if self.dice.chance(40) {
            return " RETURNING *".into();
        }
        let own = Self::own(table);
        // No subqueries: of what they would see nothing is promised.
        let before = std::mem::take(&mut self.subqueries);
        let items: Vec<_> = (0..self.dice.between(1, 3)).map(|_| self.any(&own, 2)).collect();
        self.subqueries = before;
        format!(" RETURNING {}", items.join(", "))
    }

    /// `column = value` for one or two columns that may be set.
    fn assignments(&mut self, table: &Table, seen: &[Seen]) -> Option<String> {
        let may: Vec<_> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(at, column)| !column.generated && !table.key.contains(at) && !column.constrained())
            .map(|(_, column)| column)
            .collect();
        if may.is_empty() {
            return None;
        }
        let first = self.dice.roll(may.len());
        let mut sql = Vec::new();
        for at in 0..self.dice.between(1, may.len().min(2)) {
            let column = may[(first + at) % may.len()];
            // As SQLite converts it to what a STRICT column takes.
            let value = match column.kind {
                Kind::Integer => format!("CAST({} AS INTEGER)", self.of(seen, 1, Kind::Integer)),
                Kind::Real => format!("CAST({} AS REAL)", self.of(seen, 1, Kind::Real)),
                Kind::Text => format!("CAST({} AS TEXT)", self.of(seen, 1, Kind::Text)),
                Kind::Blob => format!("CAST({} AS BLOB)", self.of(seen, 1, Kind::Blob)),
                Kind::Any => self.any(seen, 2),
            };
            sql.push(format!("{} = {value}", quoted(&column.name)));
        }
        Some(sql.join(", "))
    }

    fn update(&mut self, table: &Table) -> Option<String> {
        let own = Self::own(table);
        let or = self.dice.one_of(&["", "", "", " OR IGNORE", " OR REPLACE", " OR ABORT", " OR FAIL"]);
        let name = quoted(&table.name);
        if self.dice.chance(25) {
            self.aliases += 1;
            let alias = format!("u{}", self.aliases);
            let other = &self.world.tables[self.dice.roll(self.world.tables.len())];
            let qualify = |front: &str, table: &Table| -> Vec<Seen> {
                Self::own(table)
                    .into_iter()
                    .map(|seen| Seen { sql: format!("{front}.{}", seen.sql), ..seen })
                    .collect()
            };
            let (mine, others) = (qualify("target", table), qualify(&alias, other));
            let all: Vec<Seen> = mine.iter().chain(&others).cloned().collect();
            let set = self.assignments(table, &all)?;
            let (left, right) = (self.dice.roll(mine.len()), self.dice.roll(others.len()));
            let on = format!("{} = {}", mine[left].sql, others[right].sql);
            let returning = self.returning(table);
            return Some(format!(
                "UPDATE{or} {name} AS target SET {set} FROM {} AS {alias} WHERE {on}{returning}",
                quoted(&other.name)
            ));
        }
        let set = self.assignments(table, &own)?;
        let when = self.truth(&own, 2);
        let returning = self.returning(table);
        Some(format!("UPDATE{or} {name} SET {set} WHERE {when}{returning}"))
    }

    fn delete(&mut self, table: &Table) -> String {
        let own = Self::own(table);
        let (one, other) = (self.truth(&own, 1), self.truth(&own, 1));
        // Not all at once, or there would soon be nothing to ask for.
        let returning = self.returning(table);
        format!("DELETE FROM {} WHERE ({one}) AND ({other}){returning}", quoted(&table.name))
    }
}

/// A change of data.
pub(crate) fn change(dice: &mut Dice, world: &mut World) -> Step {
    let at = dice.roll(world.tables.len());
    if dice.chance(45) {
        return insert(dice, world, at);
    }
    let deletes = dice.chance(30);
    let table = world.tables[at].clone();
    let mut writer = Writer { dice, world, values: Vec::new(), aliases: 0, subqueries: 1, plain: false };
    let sql = if deletes { Some(writer.delete(&table)) } else { writer.update(&table) };
    let values = writer.values;
    match sql {
        Some(sql) => Step { values, ..Step::new(Does::Change, sql) },
        None => insert(dice, world, at),
    }
}

fn insert(dice: &mut Dice, world: &mut World, at: usize) -> Step {
    let rows = dice.one_of(&[1, 1, 2, 4]);
    let (mut sql, values) = world.insert(dice, at, rows);
    let table = world.tables[at].clone();
    let or = dice.one_of(&["", "", " OR IGNORE", " OR IGNORE", " OR REPLACE", " OR FAIL"]);
    sql = sql.replacen("INSERT INTO", &format!("INSERT{or} INTO"), 1);
    let mut writer = Writer { dice, world, values, aliases: 0, subqueries: 0, plain: false };
    if !table.key.is_empty() && or.is_empty() && writer.dice.chance(50) {
        let key: Vec<_> = table.key.iter().map(|at| quoted(&table.columns[*at].name)).collect();
        let own: Vec<Seen> = Writer::own(&table)
            .into_iter()
            .flat_map(|seen| {
                let excluded = Seen { sql: format!("excluded.{}", seen.sql), ..seen };
                [Seen { sql: format!("{}.{}", quoted(&table.name), seen.sql), ..seen }, excluded]
            })
            .collect();
        // The key of a row that is there, half of the time.
        if table.numbered && writer.dice.chance(50) {
            sql = sql.replacen("VALUES (", "VALUES (2 + 0 * ", 1);
        }
        sql += &match writer.assignments(&table, &own) {
            Some(set) => {
                let when = if writer.dice.chance(30) {
                    format!(" WHERE {}", writer.truth(&own, 1))
                } else {
                    String::new()
                };
                format!(" ON CONFLICT ({}) DO UPDATE SET {set}{when}", key.join(", "))
            }
            None => " ON CONFLICT DO NOTHING".to_owned(),
        };
    } else if writer.dice.chance(20) && or.is_empty() {
        sql += " ON CONFLICT DO NOTHING";
    }
    sql += &writer.returning(&table);
    Step { values: writer.values, ..Step::new(Does::Insert, sql) }
}

/// A change of the schema.
pub(crate) fn define(dice: &mut Dice, world: &mut World) -> Step {
    let at = dice.roll(world.tables.len());
    let sql = match dice.roll(8) {
        0 if !world.indexes.is_empty() => {
            let index = world.indexes.swap_remove(dice.roll(world.indexes.len()));
            format!("DROP INDEX {}", quoted(&index))
        }
        0..=2 => world.index(dice, at),
        3 => {
            world.made += 1;
            format!(
                "CREATE TABLE made_{} AS SELECT * FROM {} LIMIT 5",
                world.made,
                quoted(&world.tables[at].name)
            )
        }
        4 => format!("ANALYZE {}", quoted(&world.tables[at].name)),
        5 => format!("REINDEX {}", quoted(&world.tables[at].name)),
        6 => {
            world.made += 1;
            format!("CREATE TABLE IF NOT EXISTS {} (x)", quoted(&world.tables[at].name))
        }
        _ => {
            world.made += 1;
            let column = format!("added_{}", world.made);
            world.add_column(at, &column);
            format!("ALTER TABLE {} ADD COLUMN {column} TEXT DEFAULT 'neu'", quoted(&world.tables[at].name))
        }
    };
    Step::new(Does::Define, sql)
}
