//! A query's rows are handed over as they come: memory does not grow with their number.

use std::{env, fs, process::Command};

use super::courier::Courier;

const ROWS: u64 = 1_000_000;

/// Kibibytes of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it tells this");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_million_rows_take_no_more_memory_than_a_thousand() {
    // In a process of its own: the other tests here take memory too.
    let own = env::current_exe().expect("the system knows what runs");
    let ran = Command::new(own)
        .args(["--exact", "memory::streams_a_million_rows", "--ignored", "--nocapture"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{}", said.lines().find(|line| line.contains("KiB")).unwrap_or_default());
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by the test above"]
fn streams_a_million_rows() {
    let courier = Courier::start(ROWS);
    let query = |rows: u64| {
        format!(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            SELECT i, i * 0.5, 'the text of row ' || i, CAST(i AS BLOB) FROM n"
        )
    };
    // All that is made once is made.
    assert_eq!(courier.count("", &query(1_000)).0, 1_000);
    let before = resident();
    let (rows, sum) = courier.count("", &query(ROWS));
    assert_eq!(rows, ROWS);
    assert!(sum > ROWS * (ROWS + 1) / 2, "values were looked at");
    let grown = resident().saturating_sub(before);
    println!("{ROWS} rows: {grown} KiB more than before");
    // Collected they would take some 100 MB.
    assert!(grown < 4 << 10, "{grown} KiB more than before");
}
