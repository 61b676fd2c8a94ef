//! Random expressions over the columns that are in sight: operators, functions, CASE, CAST, LIKE and GLOB, collations, JSON,
//! dates with fixed times, subqueries, aggregates and windows.

use super::{
    dice::Dice,
    step::{Value, literal, quoted},
    world::{Kind, World, value},
};

/// A column that is in sight.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// As SQL names it.
    pub(crate) sql: String,
    pub(crate) kind: Kind,
}

/// Writes one statement: its text is put together by whoever asks, its values are gathered here.
pub(crate) struct Writer<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) world: &'a World,
    pub(crate) values: Vec<Value>,
    /// For names of subqueries that nothing else has.
    pub(crate) aliases: usize,
    /// How deep subqueries may still lie in each other.
    pub(crate) subqueries: usize,
    /// No placeholders: views, defaults, EXPLAIN in a script.
    pub(crate) plain: bool,
}

const MOST_VALUES: usize = 40;

impl Writer<'_> {
    /// A constant, written out or bound.
    pub(crate) fn constant(&mut self, kind: Kind) -> String {
        let value = value(self.dice, kind);
        let text = literal(&value);
        if self.plain || self.values.len() >= MOST_VALUES {
            return text.unwrap_or_else(|| "NULL".into());
        }
        match text.filter(|_| self.dice.chance(60)) {
            Some(text) => text,
            None => {
                self.values.push(value);
                format!("?{}", self.values.len())
            }
        }
    }

    fn column(&mut self, seen: &[Seen], kind: Kind) -> String {
        let fitting: Vec<&Seen> = seen
            .iter()
            .filter(|seen| kind == Kind::Any || seen.kind == kind || seen.kind == Kind::Any)
            .collect();
        match fitting.len() {
            0 => self.constant(kind),
            many => fitting[self.dice.roll(many)].sql.clone(),
        }
    }

    fn kind(&mut self) -> Kind {
        self.dice.one_of(&[
            Kind::Integer,
            Kind::Integer,
            Kind::Real,
            Kind::Text,
            Kind::Text,
            Kind::Blob,
            Kind::Any,
        ])
    }

    /// An expression of whatever kind.
    pub(crate) fn any(&mut self, seen: &[Seen], depth: usize) -> String {
        let kind = self.kind();
        self.of(seen, depth, kind)
    }

    pub(crate) fn of(&mut self, seen: &[Seen], depth: usize, kind: Kind) -> String {
        if depth == 0 || self.dice.chance(25) {
            return if self.dice.chance(72) { self.column(seen, kind) } else { self.constant(kind) };
        }
        if self.dice.chance(14) {
            return self.either(seen, depth, kind);
        }
        match kind {
            Kind::Integer => self.integer(seen, depth - 1),
            Kind::Real => self.real(seen, depth - 1),
            Kind::Text => self.text(seen, depth - 1),
            Kind::Blob => self.blob(seen, depth - 1),
            Kind::Any => {
                let kind = self.dice.one_of(&[Kind::Integer, Kind::Real, Kind::Text]);
                self.of(seen, depth, kind)
            }
        }
    }

    /// What has the kind of its parts.
    fn either(&mut self, seen: &[Seen], depth: usize, kind: Kind) -> String {
        let depth = depth - 1;
        match self.dice.roll(8) {
            0 => {
                let (when, then, other) =
                    (self.truth(seen, depth), self.of(seen, depth, kind), self.of(seen, depth, kind));
                format!("CASE WHEN {when} THEN {then} ELSE {other} END")
            }
            1 => {
                let (of, one, other) = (self.any(seen, depth), self.any(seen, 0), self.any(seen, 0));
                let (then, or) = (self.of(seen, depth, kind), self.of(seen, 0, kind));
                format!("CASE {of} WHEN {one} THEN {then} WHEN {other} THEN {or} END")
            }
            2 => format!(
                "coalesce({}, {}, {})",
                self.of(seen, depth, kind),
                self.of(seen, 0, kind),
                self.constant(kind)
            ),
            3 => format!("ifnull({}, {})", self.of(seen, depth, kind), self.of(seen, depth, kind)),
            4 => format!("nullif({}, {})", self.of(seen, depth, kind), self.of(seen, 0, kind)),
            5 => {
                let (when, then, other) =
                    (self.truth(seen, depth), self.of(seen, depth, kind), self.of(seen, 0, kind));
                format!("iif({when}, {then}, {other})")
            }
            6 => {
                let name = self.dice.one_of(&["max", "min"]);
                format!("{name}({}, {})", self.of(seen, depth, kind), self.of(seen, 0, kind))
            }
            _ => self.subquery(seen, kind),
        }
    }

    fn integer(&mut self, seen: &[Seen], depth: usize) -> String {
        match self.dice.roll(16) {
            0..=3 => {
                let operator = self.dice.one_of(&["+", "-", "*", "/", "%", "&", "|", "<<", ">>"]);
                format!(
                    "({} {operator} {})",
                    self.of(seen, depth, Kind::Integer),
                    self.of(seen, depth, Kind::Integer)
                )
            }
            4 => format!("{}{}", self.dice.one_of(&["-", "+", "~", "- -"]), self.atom(seen, Kind::Integer)),
            5 => format!("length({})", self.any(seen, depth)),
            6 => format!("instr({}, {})", self.of(seen, depth, Kind::Text), self.of(seen, 0, Kind::Text)),
            7 => format!("unicode({})", self.of(seen, depth, Kind::Text)),
            8 => format!("sign({})", self.of(seen, depth, Kind::Integer)),
            9 => format!("octet_length({})", self.any(seen, depth)),
            10 => format!(
                "CAST({} AS {})",
                self.any(seen, depth),
                self.dice.one_of(&["INTEGER", "INT", "NUMERIC"])
            ),
            11 => format!("json_array_length({})", self.json(seen, depth)),
            12 => format!("unixepoch({})", self.moment()),
            13 => format!("json_valid({})", self.any(seen, depth)),
            14 => self.subquery(seen, Kind::Integer),
            _ => format!("({})", self.truth(seen, depth)),
        }
    }

    fn real(&mut self, seen: &[Seen], depth: usize) -> String {
        match self.dice.roll(7) {
            0 | 1 => {
                let operator = self.dice.one_of(&["+", "-", "*", "/"]);
                let kind = self.dice.one_of(&[Kind::Integer, Kind::Real]);
                format!("({} {operator} {})", self.of(seen, depth, Kind::Real), self.of(seen, depth, kind))
            }
            2 => format!("round({}, {})", self.of(seen, depth, Kind::Real), self.dice.roll(6)),
            3 => format!("CAST({} AS REAL)", self.any(seen, depth)),
            4 => format!("julianday({})", self.moment()),
            // Of the smallest integer there is no absolute value: that is an error, and is not wanted often.
            5 => format!("abs({} / 2)", self.of(seen, depth, Kind::Real)),
            _ => format!("-{}", self.atom(seen, Kind::Real)),
        }
    }

    fn text(&mut self, seen: &[Seen], depth: usize) -> String {
        match self.dice.roll(22) {
            0..=2 => format!("({} || {})", self.of(seen, depth, Kind::Text), self.any(seen, depth)),
            3 => format!(
                "{}({})",
                self.dice.one_of(&["lower", "upper", "trim", "ltrim", "rtrim"]),
                self.of(seen, depth, Kind::Text)
            ),
            4 => format!("trim({}, {})", self.of(seen, depth, Kind::Text), self.of(seen, 0, Kind::Text)),
            5 => format!(
                "replace({}, {}, {})",
                self.of(seen, depth, Kind::Text),
                self.of(seen, 0, Kind::Text),
                self.of(seen, 0, Kind::Text)
            ),
            6 => {
                let (from, most) = (self.dice.roll(8) as i64 - 4, self.dice.roll(8) as i64 - 2);
                format!("substr({}, {from}, {most})", self.of(seen, depth, Kind::Text))
            }
            7 => format!("substr({}, {})", self.of(seen, depth, Kind::Text), self.of(seen, 0, Kind::Integer)),
            8 => format!("typeof({})", self.any(seen, depth)),
            9 => format!("quote({})", self.any(seen, depth)),
            10 => format!("hex({})", self.any(seen, depth)),
            11 => {
                let form = self.dice.one_of(&[
                    "%s|%d",
                    "%5.2f,%s",
                    "%x-%X",
                    "%q %Q",
                    "%,d %s",
                    "%08.3e/%s",
                    "%c%c",
                    "%-9s|%+d",
                ]);
                format!(
                    "{}('{form}', {}, {})",
                    self.dice.one_of(&["printf", "format"]),
                    self.any(seen, depth),
                    self.any(seen, 0)
                )
            }
            12 => format!(
                "char({}, {})",
                self.dice.one_of(&["65", "228", "26085", "128512", "0", "1114112"]),
                self.of(seen, 0, Kind::Integer)
            ),
            13 => format!("concat({}, {})", self.any(seen, depth), self.any(seen, 0)),
            14 => format!(
                "concat_ws({}, {}, {})",
                self.constant(Kind::Text),
                self.any(seen, depth),
                self.any(seen, 0)
            ),
            15 => format!("CAST({} AS TEXT)", self.any(seen, depth)),
            16 => {
                let name = self.dice.one_of(&["date", "time", "datetime"]);
                format!("{name}({})", self.moment())
            }
            17 => {
                let form = self
                    .dice
                    .one_of(&["%Y-%j", "%H:%M:%f", "%w %W %U", "%s", "%d.%m.%Y", "%e %k %p", "%G-%V"]);
                format!("strftime('{form}', {})", self.moment())
            }
            18 => self.json(seen, depth),
            19 => {
                let path = self.dice.one_of(&["$", "$.k", "$[0]", "$[#-1]", "$.k[1]", "$.\"x y\""]);
                let json = self.json(seen, depth);
                match self.dice.roll(4) {
                    0 => format!("json_extract({json}, '{path}')"),
                    1 => format!("({json} -> '{path}')"),
                    2 => format!("({json} ->> '{path}')"),
                    _ => format!("json_type({json}, '{path}')"),
                }
            }
            20 => format!("timediff({}, {})", self.constant_moment(), self.constant_moment()),
            _ => format!("soundex({})", self.of(seen, 0, Kind::Text)),
        }
    }

    fn blob(&mut self, seen: &[Seen], depth: usize) -> String {
        match self.dice.roll(6) {
            0 => format!("CAST({} AS BLOB)", self.any(seen, depth)),
            1 => format!("zeroblob({})", self.dice.roll(12)),
            2 => format!("unhex({})", self.dice.one_of(&["'c3a4'", "'zz'", "'00ff'", "''"])),
            3 => format!("substr({}, {}, 2)", self.of(seen, depth, Kind::Blob), self.dice.roll(4)),
            // Text that is no UTF-8, now and then.
            4 => format!(
                "CAST(substr(CAST({} AS BLOB), {}, 3) AS TEXT)",
                self.of(seen, depth, Kind::Text),
                self.dice.roll(4)
            ),
            _ => self.constant(Kind::Blob),
        }
    }

    /// JSON cannot hold a BLOB, and what is no number in SQL none in JSON: all values are quoted.
    fn json(&mut self, seen: &[Seen], depth: usize) -> String {
        let one = self.json_part(seen, depth);
        match self.dice.roll(8) {
            0 | 1 => format!("json_array({one}, {}, NULL)", self.json_part(seen, depth)),
            2 | 3 => format!("json_object('k', {one}, 'x y', {})", self.json_part(seen, depth)),
            4 => format!("json_set('{{\"k\":[1,2.5,\"三\"]}}', '$.k[{}]', {one})", self.dice.roll(4)),
            5 => {
                let other = self.json_part(seen, depth);
                format!("json_patch(json_object('k', {one}), json_object('k', NULL, 'l', {other}))")
            }
            6 => format!("json_remove(json_array({one}, {}), '$[0]')", self.json_part(seen, depth)),
            _ => format!("json_insert(json('[1,{{\"k\":null}}]'), '$[1].l', {one})"),
        }
    }

    fn json_part(&mut self, seen: &[Seen], depth: usize) -> String {
        match self.dice.roll(3) {
            0 => format!("quote({})", self.any(seen, depth)),
            1 => format!("length({})", self.any(seen, 0)),
            _ => format!("hex({})", self.any(seen, 0)),
        }
    }

    fn constant_moment(&mut self) -> String {
        let text = self.dice.one_of(&[
            "2024-02-29",
            "1999-12-31 23:59:59.999",
            "2000-01-01T00:00:00Z",
            "0000-01-01",
            "9999-12-31",
            "2024-03-31 02:30:00+05:30",
            "12:34:56",
            "no date",
            "2459000.5",
            "-4713-11-24 12:00:00",
        ]);
        format!("'{text}'")
    }

    /// Arguments of a date function; never the time that it is.
    fn moment(&mut self) -> String {
        let modifier = self.dice.one_of(&[
            "",
            "",
            ", '+1 month'",
            ", '-1 year', 'start of month'",
            ", 'weekday 1'",
            ", '+3.5 hours'",
            ", '+1 month', 'floor'",
            ", 'start of year', '+13 days'",
            ", '-00:30'",
            ", '+0001-02-03'",
            ", 'nonsense'",
        ]);
        if self.dice.chance(20) {
            let seconds = self.dice.one_of(&["0", "1700000000", "-62135596800", "253402300799", "1e18"]);
            return format!("{seconds}, 'unixepoch'{modifier}");
        }
        format!("{}{modifier}", self.constant_moment())
    }

    /// What a sign may stand before.
    fn atom(&mut self, seen: &[Seen], kind: Kind) -> String {
        format!("({})", self.column(seen, kind))
    }

    /// A condition.
    pub(crate) fn truth(&mut self, seen: &[Seen], depth: usize) -> String {
        let deeper = depth.saturating_sub(1);
        let kind = self.kind();
        match self.dice.roll(if depth == 0 { 10 } else { 18 }) {
            0..=4 => {
                let operator = self.dice.one_of(&[
                    "=",
                    "=",
                    "==",
                    "<>",
                    "!=",
                    "<",
                    "<=",
                    ">",
                    ">=",
                    "IS",
                    "IS NOT",
                    "IS DISTINCT FROM",
                    "IS NOT DISTINCT FROM",
                ]);
                let (left, right) = (self.of(seen, deeper, kind), self.of(seen, deeper, kind));
                let collate = if self.dice.chance(8) {
                    format!(" COLLATE {}", self.dice.one_of(&["NOCASE", "RTRIM", "BINARY"]))
                } else {
                    String::new()
                };
                format!("{left} {operator} {right}{collate}")
            }
            5 => format!(
                "{} {}",
                self.of(seen, deeper, kind),
                self.dice.one_of(&["IS NULL", "IS NOT NULL", "ISNULL", "NOTNULL"])
            ),
            6 => {
                let not = self.dice.one_of(&["", "NOT "]);
                format!(
                    "{} {not}BETWEEN {} AND {}",
                    self.of(seen, deeper, kind),
                    self.constant(kind),
                    self.of(seen, 0, kind)
                )
            }
            7 => {
                let pattern = self.dice.one_of(&[
                    "'%a%'",
                    "'A_%'",
                    "'%'",
                    "'_'",
                    "'ä%'",
                    "'П%'",
                    "'10\\%' ESCAPE '\\'",
                    "'%😀%'",
                    "''",
                    "'%c '",
                ]);
                format!(
                    "{} {}LIKE {pattern}",
                    self.of(seen, deeper, Kind::Text),
                    self.dice.one_of(&["", "NOT "])
                )
            }
            8 => {
                let pattern = self.dice.one_of(&[
                    "'*a*'",
                    "'[A-Z]*'",
                    "'?'",
                    "'[^a]*'",
                    "'日*'",
                    "'[ä-ö]'",
                    "'*[0-9]'",
                    "''",
                ]);
                format!("{} GLOB {pattern}", self.of(seen, deeper, Kind::Text))
            }
            9 => {
                let list: Vec<_> = (0..self.dice.roll(5)).map(|_| self.of(seen, 0, kind)).collect();
                format!(
                    "{} {}IN ({})",
                    self.of(seen, deeper, kind),
                    self.dice.one_of(&["", "NOT "]),
                    list.join(", ")
                )
            }
            10 => format!("({} AND {})", self.truth(seen, deeper), self.truth(seen, deeper)),
            11 => format!("({} OR {})", self.truth(seen, deeper), self.truth(seen, deeper)),
            12 => format!("NOT ({})", self.truth(seen, deeper)),
            13 => {
                let (one, other) = (self.of(seen, 0, kind), self.any(seen, 0));
                let operator = self.dice.one_of(&["<", "=", ">=", "IS"]);
                format!("({one}, {other}) {operator} ({}, {})", self.of(seen, 0, kind), self.any(seen, 0))
            }
            14 => format!("likely({})", self.truth(seen, deeper)),
            15 => match self.inner(seen, kind) {
                Some(inner) => {
                    format!("{} {}IN ({inner})", self.of(seen, 0, kind), self.dice.one_of(&["", "NOT "]))
                }
                None => self.truth(seen, 0),
            },
            16 => match self.inner(seen, kind) {
                Some(inner) => format!("{}EXISTS ({inner})", self.dice.one_of(&["", "NOT "])),
                None => self.truth(seen, 0),
            },
            _ => format!(
                "({}) IS {}",
                self.truth(seen, deeper),
                self.dice.one_of(&["TRUE", "FALSE", "NOT TRUE", "NOT FALSE"])
            ),
        }
    }

    /// One value from a table.
    fn subquery(&mut self, seen: &[Seen], kind: Kind) -> String {
        match self.inner(seen, kind) {
            Some(inner) => format!("({inner})"),
            None => self.of(seen, 0, kind),
        }
    }

    /// A query of one column in which the outer columns are in sight too.
    fn inner(&mut self, seen: &[Seen], kind: Kind) -> Option<String> {
        if self.subqueries == 0 || self.world.tables.is_empty() {
            return None;
        }
        self.subqueries -= 1;
        self.aliases += 1;
        let alias = format!("s{}", self.aliases);
        let table = &self.world.tables[self.dice.roll(self.world.tables.len())];
        let own: Vec<Seen> = table
            .columns
            .iter()
            .map(|column| Seen { sql: format!("{alias}.{}", quoted(&column.name)), kind: column.kind })
            .collect();
        let both: Vec<Seen> = own.iter().chain(seen.iter().take(3)).cloned().collect();
        let wanted = match self.dice.roll(4) {
            0 => self.aggregate(&own, 1),
            1 => self.column(&own, kind),
            _ => self.of(&own, 1, kind),
        };
        let when = self.truth(&both, 1);
        let name = quoted(&table.name);
        Some(format!(
            "SELECT {wanted} FROM {name} AS {alias} WHERE {when} ORDER BY 1 LIMIT {}",
            self.dice.between(1, 5)
        ))
    }

    /// Of a group of rows, one value.
    pub(crate) fn aggregate(&mut self, seen: &[Seen], depth: usize) -> String {
        let distinct = if self.dice.chance(20) { "DISTINCT " } else { "" };
        let call = match self.dice.roll(12) {
            0 | 1 => "count(*)".to_owned(),
            2 => format!("count({distinct}{})", self.any(seen, depth)),
            // Large integers overflow a sum, which is an error: now and then only.
            3 => format!("sum({distinct}{} / 16)", self.of(seen, depth, Kind::Integer)),
            4 => format!("total({distinct}{})", self.of(seen, depth, Kind::Real)),
            5 => format!("avg({distinct}{})", self.of(seen, depth, Kind::Real)),
            6 => format!("min({})", self.any(seen, depth)),
            7 => format!("max({distinct}{})", self.any(seen, depth)),
            8 => {
                let (of, by) = (self.of(seen, depth, Kind::Text), self.any(seen, 0));
                let separator = self.dice.one_of(&["', '", "''", "'→'"]);
                format!("group_concat({of}, {separator} ORDER BY {by}{})", self.dice.one_of(&["", " DESC"]))
            }
            9 => format!("string_agg({}, '/')", self.of(seen, depth, Kind::Text)),
            10 => format!("json_group_array({distinct}quote({}))", self.any(seen, depth)),
            _ => format!(
                "json_group_object(coalesce(hex({}), ''), quote({}))",
                self.any(seen, 0),
                self.any(seen, 0)
            ),
        };
        if self.dice.chance(20) {
            return format!("{call} FILTER (WHERE {})", self.truth(seen, 1));
        }
        call
    }

    /// A function over a window.
    pub(crate) fn window(&mut self, seen: &[Seen], named: Option<&str>) -> String {
        let kind = self.kind();
        let call = match self.dice.roll(14) {
            0 => "row_number()".to_owned(),
            1 => "rank()".to_owned(),
            2 => "dense_rank()".to_owned(),
            3 => "percent_rank()".to_owned(),
            4 => "cume_dist()".to_owned(),
            5 => format!("ntile({})", self.dice.between(1, 5)),
            6 => format!("lag({}, {}, {})", self.of(seen, 1, kind), self.dice.roll(4), self.constant(kind)),
            7 => format!("lead({})", self.of(seen, 1, kind)),
            8 => format!("first_value({})", self.of(seen, 1, kind)),
            9 => format!("last_value({})", self.of(seen, 1, kind)),
            10 => format!("nth_value({}, {})", self.of(seen, 1, kind), self.dice.between(1, 4)),
            11 => format!("count({}) FILTER (WHERE {})", self.any(seen, 0), self.truth(seen, 0)),
            12 => format!("group_concat({}, '·')", self.of(seen, 1, Kind::Text)),
            _ => format!(
                "{}({})",
                self.dice.one_of(&["avg", "total", "min", "max"]),
                self.of(seen, 1, Kind::Real)
            ),
        };
        match named {
            Some(name) if self.dice.chance(50) => format!("{call} OVER {name}"),
            _ => format!("{call} OVER ({})", self.frame(seen)),
        }
    }

    /// What stands in the parentheses of a window.
    pub(crate) fn frame(&mut self, seen: &[Seen]) -> String {
        let mut parts = Vec::new();
        if self.dice.chance(45) {
            parts.push(format!("PARTITION BY {}", self.any(seen, 1)));
        }
        let (number, order) = match self.dice.roll(4) {
            0 => (false, None),
            1 => (true, Some(self.of(seen, 0, Kind::Integer))),
            _ => (false, Some(format!("{}, {}", self.any(seen, 1), self.any(seen, 0)))),
        };
        if let Some(order) = &order {
            parts.push(format!("ORDER BY {order}{}", self.dice.one_of(&["", " DESC", " NULLS LAST"])));
        }
        if self.dice.chance(45) {
            let units = match (&order, number) {
                (Some(_), _) => self.dice.one_of(&["ROWS", "GROUPS"]),
                (None, _) => "ROWS",
            };
            let units = if number && self.dice.chance(40) { "RANGE" } else { units };
            let from = self.dice.one_of(&["UNBOUNDED PRECEDING", "2 PRECEDING", "CURRENT ROW"]);
            let to = self.dice.one_of(&["CURRENT ROW", "1 FOLLOWING", "UNBOUNDED FOLLOWING"]);
            let out = self.dice.one_of(&[
                "",
                "",
                " EXCLUDE CURRENT ROW",
                " EXCLUDE TIES",
                " EXCLUDE GROUP",
                " EXCLUDE NO OTHERS",
            ]);
            parts.push(format!("{units} BETWEEN {from} AND {to}{out}"));
        }
        parts.join(" ")
    }
}
