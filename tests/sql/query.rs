//! Random queries: joins of every kind, groups, windows, common tables (recursive ones with a bound), compound selects, table
//! functions, orders and limits.

use super::{
    expression::{Seen, Writer},
    step::quoted,
    world::Kind,
};

/// The kind of a column of which nothing is known.
const UNKNOWN: Kind = Kind::Any;

impl Writer<'_> {
    /// A whole query.
    pub(crate) fn query(&mut self) -> String {
        let mut common = Vec::new();
        let mut with = Vec::new();
        if self.dice.chance(22) {
            for _ in 0..self.dice.between(1, 2) {
                let (sql, name, columns) = self.common();
                with.push(sql);
                common.push((name, columns));
            }
        }
        let columns = self.dice.between(1, 5);
        let mut sql = self.select(&common, columns);
        let mut compound = false;
        while self.dice.chance(12) {
            compound = true;
            let operator = self.dice.one_of(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            sql = format!("{sql} {operator} {}", self.select(&common, columns));
        }
        sql += &self.order(columns, compound);
        if with.is_empty() {
            return sql;
        }
        let recursive = with.iter().any(|text| text.starts_with("r")) || self.dice.chance(20);
        format!("WITH {}{} {sql}", if recursive { "RECURSIVE " } else { "" }, with.join(", "))
    }

    /// By numbers of columns, so that it is right for compound selects too.
    fn order(&mut self, columns: usize, compound: bool) -> String {
        let mut sql = String::new();
        if self.dice.chance(65) {
            let terms: Vec<_> = (0..self.dice.between(1, 2))
                .map(|_| {
                    let collate = if compound || self.dice.chance(85) {
                        ""
                    } else {
                        self.dice.one_of(&[" COLLATE NOCASE", " COLLATE RTRIM"])
                    };
                    let term = self.dice.between(1, columns);
                    format!(
                        "{term}{collate}{}{}",
                        self.dice.one_of(&["", "", " DESC", " ASC"]),
                        self.dice.one_of(&["", "", " NULLS FIRST", " NULLS LAST"])
                    )
                })
                .collect();
            sql = format!(" ORDER BY {}", terms.join(", "));
        }
        match self.dice.roll(10) {
            0..=2 => sql + &format!(" LIMIT {}", self.dice.one_of(&["0", "1", "5", "5", "20", "20", "-1"])),
            3 | 4 => {
                sql + &format!(
                    " LIMIT {} OFFSET {}",
                    self.dice.between(1, 30),
                    self.dice.one_of(&["0", "0", "1", "3", "-1"])
                )
            }
            // What is joined may be many.
            _ => sql + " LIMIT 300",
        }
    }

    /// A common table: its text, its name and its columns.
    fn common(&mut self) -> (String, String, Vec<Seen>) {
        self.aliases += 1;
        let number = self.aliases;
        if self.dice.chance(40) {
            let name = format!("r{number}");
            let most = self.dice.between(2, 25);
            let step =
                self.dice.one_of(&["i + 1, t || i", "i * 2 + 1, upper(t)", "i + 3, substr(t || 'ä', -5)"]);
            let start = self.constant(Kind::Text);
            let union = self.dice.one_of(&["UNION ALL", "UNION"]);
            let sql = format!(
                "{name}(i, t) AS (SELECT 0, {start} {union} SELECT {step} FROM {name} WHERE i < {most} LIMIT 60)"
            );
            let columns = vec![
                Seen { sql: format!("{name}.i"), kind: Kind::Integer },
                Seen { sql: format!("{name}.t"), kind: Kind::Text },
            ];
            return (sql, name, columns);
        }
        let name = format!("c{number}");
        let columns = self.dice.between(1, 3);
        let inner = self.select(&[], columns);
        let names: Vec<_> = (0..columns).map(|at| format!("k{at}")).collect();
        let how = self.dice.one_of(&["", "", "MATERIALIZED ", "NOT MATERIALIZED "]);
        let seen =
            names.iter().map(|column| Seen { sql: format!("{name}.{column}"), kind: UNKNOWN }).collect();
        (format!("{name}({}) AS {how}({inner} LIMIT 40)", names.join(", ")), name, seen)
    }

    /// One SELECT of so many columns, without an order.
    fn select(&mut self, common: &[(String, Vec<Seen>)], columns: usize) -> String {
        if self.dice.chance(3) {
            let row = |writer: &mut Self| {
                let values: Vec<_> = (0..columns).map(|_| writer.any(&[], 1)).collect();
                format!("({})", values.join(", "))
            };
            return format!("SELECT * FROM (VALUES {}, {})", row(self), row(self));
        }
        let (from, seen) = self.from(common);
        let filter = match self.dice.roll(10) {
            0 | 1 => format!(" WHERE {}", self.truth(&seen, 2)),
            // Of two random values one is seldom the other: this way more rows are left.
            2..=4 => format!(" WHERE ({}) IS NOT TRUE", self.truth(&seen, 2)),
            _ => String::new(),
        };
        let mut items = Vec::new();
        let mut end = String::new();
        match self.dice.roll(10) {
            0..=2 => {
                let grouped: Vec<_> = (0..self.dice.roll(3)).map(|_| self.any(&seen, 1)).collect();
                for at in 0..columns {
                    items.push(match grouped.get(at) {
                        Some(group) if !group.starts_with('?') => group.clone(),
                        _ => self.aggregate(&seen, 1),
                    });
                }
                if !grouped.is_empty() {
                    // A number alone would name a column.
                    let terms: Vec<_> =
                        grouped.iter().map(|term| format!("coalesce({term}, NULL)")).collect();
                    end = format!(" GROUP BY {}", terms.join(", "));
                    if self.dice.chance(30) {
                        end += &format!(
                            " HAVING {} {}",
                            self.aggregate(&seen, 0),
                            self.dice.one_of(&["IS NOT NULL", "> 1", "<> 'x'"])
                        );
                    }
                }
            }
            3 | 4 => {
                let named = self.dice.chance(40);
                for _ in 0..columns {
                    items.push(if self.dice.chance(55) {
                        self.window(&seen, named.then_some("w"))
                    } else {
                        self.any(&seen, 1)
                    });
                }
                if named {
                    end = format!(" WINDOW w AS ({})", self.frame(&seen));
                }
            }
            _ => {
                for _ in 0..columns {
                    items.push(self.any(&seen, 3));
                }
            }
        }
        let items: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(at, item)| match self.dice.roll(6) {
                0 => format!("{item} AS \"col {at}\""),
                1 => format!("{item} AS 列{at}"),
                _ => item,
            })
            .collect();
        let distinct = if self.dice.chance(12) { "DISTINCT " } else { "" };
        format!("SELECT {distinct}{}{from}{filter}{end}", items.join(", "))
    }

    /// Tables and how they are joined, and the columns that are in sight then.
    fn from(&mut self, common: &[(String, Vec<Seen>)]) -> (String, Vec<Seen>) {
        if self.dice.chance(3) {
            return (String::new(), Vec::new());
        }
        let (mut sql, mut seen) = self.source(common);
        let many = self.dice.one_of(&[0, 0, 0, 1, 1, 1, 2]);
        if many > 1 {
            // A query within a query for each of so many rows would take minutes.
            self.subqueries = 0;
        }
        for _ in 0..many {
            if self.dice.chance(8) {
                self.aliases += 1;
                let alias = format!("j{}", self.aliases);
                sql += &format!(
                    ", json_each(json_array({}, 2, 'drei')) AS {alias}",
                    self.dice.one_of(&["1", "NULL", "'x'"])
                );
                seen.push(Seen { sql: format!("{alias}.key"), kind: Kind::Integer });
                seen.push(Seen { sql: format!("{alias}.value"), kind: UNKNOWN });
                continue;
            }
            let (right, columns) = self.source(common);
            let join = self.dice.one_of(&[
                "JOIN",
                "JOIN",
                "INNER JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
                "CROSS JOIN",
                "NATURAL JOIN",
                ",",
            ]);
            if join == "NATURAL JOIN" {
                // Names in common would be ambiguous no longer; the columns keep their front.
                sql += &format!(" NATURAL {}JOIN {right}", self.dice.one_of(&["", "LEFT "]));
                seen.extend(columns);
                continue;
            }
            sql += &match join {
                "," => format!(", {right}"),
                "CROSS JOIN" => format!(" CROSS JOIN {right}"),
                _ => {
                    let on = if self.dice.chance(20) {
                        let all: Vec<Seen> = seen.iter().chain(&columns).cloned().collect();
                        self.truth(&all, 1)
                    } else {
                        let left = &seen[self.dice.roll(seen.len())];
                        // What is of one kind is equal more often.
                        let alike: Vec<_> =
                            columns.iter().filter(|column| column.kind == left.kind).collect();
                        let right = match alike.len() {
                            0 => &columns[self.dice.roll(columns.len())],
                            many => alike[self.dice.roll(many)],
                        };
                        format!(
                            "{} {} {}",
                            left.sql,
                            self.dice.one_of(&["=", "=", "=", "IS", "<="]),
                            right.sql
                        )
                    };
                    format!(" {join} {right} ON {on}")
                }
            };
            seen.extend(columns);
        }
        (format!(" FROM {sql}"), seen)
    }

    /// Something that has rows.
    fn source(&mut self, common: &[(String, Vec<Seen>)]) -> (String, Vec<Seen>) {
        self.aliases += 1;
        let alias = format!("t{}", self.aliases);
        if !common.is_empty() && self.dice.chance(55) {
            let (name, columns) = &common[self.dice.roll(common.len())];
            let seen = columns
                .iter()
                .map(|column| Seen {
                    sql: column.sql.replacen(&format!("{name}."), &format!("{alias}."), 1),
                    kind: column.kind,
                })
                .collect();
            return (format!("{name} AS {alias}"), seen);
        }
        if !self.world.views.is_empty() && self.dice.chance(15) {
            let view = &self.world.views[self.dice.roll(self.world.views.len())];
            let seen = view
                .columns
                .iter()
                .map(|(name, kind)| Seen { sql: format!("{alias}.{name}"), kind: *kind })
                .collect();
            return (format!("{} AS {alias}", quoted(&view.name)), seen);
        }
        let table = &self.world.tables[self.dice.roll(self.world.tables.len())];
        let mut seen: Vec<Seen> = table
            .columns
            .iter()
            .map(|column| Seen { sql: format!("{alias}.{}", quoted(&column.name)), kind: column.kind })
            .collect();
        if self.dice.chance(12) {
            let column = &table.columns[self.dice.roll(table.columns.len())];
            let inner = format!(
                "SELECT {0} AS q0, typeof({0}) AS q1 FROM {1}",
                quoted(&column.name),
                quoted(&table.name)
            );
            let seen = vec![
                Seen { sql: format!("{alias}.q0"), kind: column.kind },
                Seen { sql: format!("{alias}.q1"), kind: Kind::Text },
            ];
            return (
                format!("({inner}{}) AS {alias}", self.dice.one_of(&["", " ORDER BY 1 DESC LIMIT 7"])),
                seen,
            );
        }
        if table.rowid && self.dice.chance(20) {
            seen.push(Seen { sql: format!("{alias}.rowid"), kind: Kind::Integer });
        }
        (format!("{} AS {alias}", quoted(&table.name)), seen)
    }
}
