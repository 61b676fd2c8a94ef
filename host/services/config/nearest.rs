//! The name that somebody probably meant.

/// Of `known`, the one nearest to `given`, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (given.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|name| (distance(given, name), name));
    distances.filter(|&(distance, _)| distance <= allowed).min().map(|(_, name)| name)
}

/// How many letters must be added, taken away, exchanged, or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<_>, Vec<_>) =
        (from.to_lowercase().chars().collect(), to.to_lowercase().chars().collect());
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let exchange = last[j] + usize::from(a != b);
            let mut best = exchange.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["window", "workers", "log", "load_ms", "stop_ms"];
        for (given, expected) in [
            ("windw", Some("window")),
            ("widnow", Some("window")),
            ("Workers", Some("workers")),
            ("worker", Some("workers")),
            ("lgo", Some("log")),
            ("load-ms", Some("load_ms")),
            ("top_ms", Some("stop_ms")),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
    }
}
