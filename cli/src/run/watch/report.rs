//! The texts of `--watch`: the table that is drawn while plugins run, and the summary at their end.

use std::time::Duration;

use pintle::{
    PluginInfo, PluginState,
    events::{Drops, Totals},
};

use self::Column::{Number, Rest, Word};
use super::{Board, flat::printable};
use crate::{
    print::{clock, size},
    screen::Look,
};

/// Everything that a report is about, of one moment.
pub(in crate::run) struct Report<'a> {
    pub(in crate::run) board: &'a Board,
    pub(in crate::run) plugins: &'a [PluginInfo],
    pub(in crate::run) totals: Totals,
    /// Lines of the input that were events, and that were none; if there is an input.
    pub(in crate::run) input: Option<(u64, u64)>,
    pub(in crate::run) ran: Duration,
}

/// How much room there is, and whether colours are wanted.
#[derive(Clone, Copy)]
pub(in crate::run) struct Width {
    pub(in crate::run) lines: usize,
    pub(in crate::run) columns: usize,
    pub(in crate::run) colours: bool,
}

impl Width {
    /// As wide as it takes, and without colours.
    pub(in crate::run) const PLAIN: Self = Self { lines: usize::MAX, columns: usize::MAX, colours: false };
}

impl Report<'_> {
    /// The table, as it is drawn on a terminal while plugins run.
    pub(in crate::run) fn live(&self, width: Width) -> Vec<String> {
        let head = format!("pintle: {}, {} s  (Ctrl-C ends it)", self.counts(), self.ran.as_secs());
        let mut lines = vec![Look::Dim.paint(&cut(&head, width.columns), width.colours)];
        lines.extend(self.tables(width));
        if lines.len() >= width.lines {
            let more = lines.len() + 2 - width.lines;
            lines.truncate(width.lines - 2);
            lines.push(format!("… and {more} lines more"));
        }
        lines
    }

    /// The summary.
    pub(in crate::run) fn summary(&self, width: Width) -> Vec<String> {
        let ran = format!("ran for {:.1} s: {}", self.ran.as_secs_f64(), self.counts());
        let mut lines = vec![Look::Bold.paint(&ran, width.colours)];
        lines.extend(self.tables(width));
        lines
    }

    fn counts(&self) -> String {
        let Totals { emitted, unheard, counters } = self.totals;
        let mut counts = String::new();
        if let Some((events, refused)) = self.input {
            counts = format!("{events} in, ");
            if refused > 0 {
                counts.push_str(&format!("{refused} refused, "));
            }
        }
        counts.push_str(&format!(
            "{emitted} published, {} delivered, {} failed, {}",
            counters.delivered,
            counters.failed,
            drops(&counters.dropped)
        ));
        if unheard > 0 {
            counts.push_str(&format!(", {unheard} without a subscriber"));
        }
        counts
    }

    fn tables(&self, width: Width) -> Vec<String> {
        let mut tables = vec![self.plugins(width)];
        if !self.board.types.is_empty() {
            tables.push(self.types(width));
        }
        if !self.board.alarms.is_empty() {
            tables.push(self.alarms(width));
        }
        let apart = tables.into_iter().flat_map(|table| [String::new()].into_iter().chain(table));
        apart.collect()
    }

    fn plugins(&self, width: Width) -> Vec<String> {
        const COLUMNS: [Column; 13] = [
            Word, Word, Word, Number, Number, Number, Number, Number, Number, Number, Number, Number, Number,
        ];
        let mut table = heads([
            "PLUGIN", "VERSION", "STATE", "CALLS", "ERRORS", "EVENTS", "HANDLED", "FAILURES", "WAITING",
            "CACHE", "HITS", "MISSES", "STORAGE",
        ]);
        table.extend(self.plugins.iter().map(|plugin| {
            let counters = plugin.counters;
            let numbers = [
                counters.calls,
                counters.failed_calls,
                counters.emitted,
                counters.handled,
                counters.failed_handled,
                counters.waiting,
            ];
            let words = [plugin.id.clone(), plugin.version.clone(), state(plugin).to_owned()];
            let kept = [
                items(counters.cache_items, counters.cache_bytes),
                counters.cache_hits.to_string(),
                counters.cache_misses.to_string(),
                items(counters.storage_items, counters.storage_bytes),
            ];
            words.into_iter().chain(numbers.map(|number| number.to_string())).chain(kept).collect()
        }));
        aligned(&COLUMNS, &table, width, |row| {
            let plugin = &self.plugins[row];
            (plugin.stuck || plugin.state == PluginState::Failed).then_some(Look::Red)
        })
    }

    fn types(&self, width: Width) -> Vec<String> {
        let mut table = heads(["TYPE", "EVENTS", "LAST"]);
        let types = self.board.types.iter();
        table
            .extend(types.map(|(topic, emitted)| {
                vec![topic.clone(), emitted.count.to_string(), emitted.last.clone()]
            }));
        if self.board.others > 0 {
            table.push(vec!["(others)".into(), self.board.others.to_string(), String::new()]);
        }
        aligned(&[Word, Number, Rest], &table, width, |_| None)
    }

    fn alarms(&self, width: Width) -> Vec<String> {
        // Alarms of nobody's but the system's need no column for tenants.
        let tenants = self.board.alarms.keys().any(|[_, tenant, ..]| !tenant.is_empty());
        let mut table = heads(["ALARM", "STATE", "SINCE", "TIMES", "TENANT", "ABOUT"]);
        table.extend(self.board.alarms.iter().map(|([topic, tenant, ..], alarm)| {
            let state = if alarm.raised { "raised" } else { "cleared" };
            let since = clock(alarm.since_ms);
            let times = alarm.times.to_string();
            vec![topic.clone(), state.into(), since, times, printable(tenant), alarm.what.clone()]
        }));
        let mut columns = vec![Word, Word, Word, Number, Word, Rest];
        if !tenants {
            columns.remove(TENANT);
            table.iter_mut().for_each(|row| drop(row.remove(TENANT)));
        }
        let raised: Vec<_> = self.board.alarms.values().map(|alarm| alarm.raised).collect();
        aligned(&columns, &table, width, |row| Some(if raised[row] { Look::Red } else { Look::Green }))
    }
}

/// Where the column of tenants stands among those of alarms.
const TENANT: usize = 4;

/// How many items there are, and how large they are.
fn items(items: u64, bytes: u64) -> String {
    match items {
        0 => "0".into(),
        _ => format!("{items} ({})", size(bytes as f64)),
    }
}

fn heads<const N: usize>(heads: [&str; N]) -> Vec<Vec<String>> {
    vec![heads.map(str::to_owned).to_vec()]
}

fn state(plugin: &PluginInfo) -> &'static str {
    match plugin.state {
        _ if plugin.stuck => "stuck",
        PluginState::Enabled => "enabled",
        PluginState::Loaded => "loaded",
        PluginState::Unloaded => "unloaded",
        PluginState::Failed => "failed",
        _ => "?",
    }
}

/// What was dropped and why.
pub(in crate::run) fn drops(drops: &Drops) -> String {
    let reasons = [
        (drops.displaced + drops.no_room, "in full queues"),
        (drops.not_live, "of plugins that were not enabled"),
        (drops.not_taken, "of plugins that were stuck or whose lanes were full"),
        (drops.ended, "of subscriptions that had ended"),
        (drops.too_late, "whose publishers had stopped waiting for the answer"),
    ];
    let reasons: Vec<_> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect();
    match drops.total() {
        0 => "0 dropped".into(),
        total => format!("{total} dropped ({})", reasons.join(", ")),
    }
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    /// A word, to the left.
    Word,
    /// A number, to the right.
    Number,
    /// The rest of the line.
    Rest,
}

/// Rows as lines, with columns below each other; the first row is the heads.
fn aligned(
    columns: &[Column],
    table: &[Vec<String>],
    width: Width,
    marked: impl Fn(usize) -> Option<Look>,
) -> Vec<String> {
    let widest = |column: usize| {
        let cells = table.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(widest).collect();
    let line = |(number, row): (usize, &Vec<String>)| {
        let cells = row.iter().zip(columns).zip(&widths).map(|((cell, column), &width)| match column {
            Column::Word => format!("{cell:<width$}"),
            Column::Number => format!("{cell:>width$}"),
            Column::Rest => cell.clone(),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = cut(line.trim_end(), width.columns);
        match if number == 0 { Some(Look::Bold) } else { marked(number - 1) } {
            Some(look) => look.paint(&line, width.colours),
            None => line,
        }
    };
    table.iter().enumerate().map(line).collect()
}

fn cut(line: &str, columns: usize) -> String {
    match line.char_indices().nth(columns) {
        None => line.to_owned(),
        Some(_) => line.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
    }
}
