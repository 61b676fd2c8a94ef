//! Databases at the control socket: pages, and what ends them.

use serde_json::{Value, json};

use super::*;
use crate::control::Client;

/// So many rows as no page has.
const MANY: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 25000) SELECT x FROM n";

fn bed() -> Bed {
    Bed::with(|settings| settings.control.enabled = true)
}

impl Bed {
    fn client(&self) -> Client {
        let client = Client::connect(&self.path("data")).expect("it serves");
        client.expect("it runs")
    }
}

fn params(sql: &str) -> Value {
    json!({ "plugin": "probe", "sql": sql, "timeout_ms": 3_600_000 })
}

fn rows(page: &Value) -> Vec<i64> {
    page["rows"].as_array().expect("it has some").iter().filter_map(|row| row[0].as_i64()).collect()
}

#[test]
fn pages_follow_each_other_and_are_of_one_state() {
    let bed = bed();
    let mut client = bed.client();
    let writing = bed.database("").writing();
    let fill = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 25000) INSERT INTO t (a) SELECT x FROM n";
    writing.execute(fill, &[], None).expect("there is room");
    let mut page = client.call("sql.query", params("SELECT a FROM t ORDER BY a")).expect("it reads");
    assert_eq!(page["columns"], json!(["a"]));
    writing.execute("DELETE FROM t", &[], None).expect("whoever reads holds nobody up");
    let mut all = rows(&page);
    let mut pages = 1;
    while !page["next"].is_null() {
        assert_eq!(rows(&page).len(), 1_000);
        page = client.call("sql.next", json!({ "next": page["next"] })).expect("it goes on");
        all.extend(rows(&page));
        pages += 1;
    }
    assert_eq!((all, pages), ((1..=25_000).collect(), 25));
    let after = client.call("sql.query", params("SELECT count(*) FROM t")).expect("it reads");
    assert_eq!((rows(&after), &after["next"]), (vec![0], &Value::Null));
    // Of rows that are long a page has fewer.
    let wide = json!({ "plugin": "probe", "sql": "SELECT hex(zeroblob(100000)) FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4)" });
    let page = client.call("sql.query", wide).expect("it reads");
    assert_eq!((page["rows"].as_array().map(Vec::len), page["next"].is_u64()), (Some(3), true));
}

#[test]
fn a_query_ends_with_the_next_one_with_its_connection_and_at_its_deadline() {
    let bed = bed();
    let is_used = || kind(bed.host.remove_databases("probe", Some(""))) == Some(ErrorKind::Busy);
    let mut client = bed.client();
    let first = client.call("sql.query", params(MANY)).expect("it reads");
    let on = |page: &Value| json!({ "next": page["next"] });
    assert!(is_used());
    client.call("sql.query", params("SELECT 1")).expect("it reads");
    assert_eq!(kind(client.call("sql.next", on(&first))), Some(ErrorKind::StaleHandle));
    let second = client.call("sql.query", params(MANY)).expect("it reads");
    // Another connection knows nothing of it.
    assert_eq!(kind(bed.client().call("sql.next", on(&second))), Some(ErrorKind::StaleHandle));
    client.call("sql.next", on(&second)).expect("it goes on");
    drop(client);
    // The host finds out by itself.
    while is_used() {
        thread::yield_now();
    }
    bed.make("probe", "");
    let mut client = bed.client();
    let short = json!({ "plugin": "probe", "sql": MANY, "timeout_ms": 1_500 });
    let page = client.call("sql.query", short).expect("a page of it is there soon");
    while is_used() {
        thread::yield_now();
    }
    // What was read before is given, and then why there is no more.
    bed.make("probe", "");
    let mut page = Ok(page);
    while let Ok(told) = &page {
        assert!(told["next"].is_u64(), "it came to its end");
        page = client.call("sql.next", on(told));
    }
    assert_eq!(kind(page), Some(ErrorKind::Timeout));
}

#[test]
fn what_no_answer_has_room_for_is_refused_and_nothing_of_it_written() {
    let bed = bed();
    let mut client = bed.client();
    let insert = format!("INSERT INTO t (a) {MANY} RETURNING a");
    assert_eq!(kind(client.call("sql.execute", params(&insert))), Some(ErrorKind::TooLarge));
    assert_eq!(count(&bed.database(""), "SELECT count(*) FROM t"), 0);
    // Without a connection there is nobody to ask for a second page.
    assert_eq!(kind(bed.host.ask("sql.query", params(MANY))), Some(ErrorKind::TooLarge));
    let wide = params("SELECT hex(zeroblob(500000)), hex(zeroblob(500000)), hex(zeroblob(500000))");
    assert_eq!(kind(client.call("sql.query", wide)), Some(ErrorKind::TooLarge));
    for (name, value) in [("limit", 0), ("limit", 10_001), ("timeout_ms", 0), ("timeout_ms", 3_600_001)] {
        let mut wrong = params("SELECT 1");
        wrong[name] = value.into();
        let refused = client.call("sql.query", wrong).expect_err(name);
        assert!(refused.to_string().contains(name), "{refused}");
    }
    let wrong = client.call("sql.query", params("SELECT oops")).expect_err("there is no such column");
    assert_eq!((wrong.kind(), wrong.sql_offset()), (ErrorKind::InvalidArgument, Some(7)));
    let relative = json!({ "plugin": "probe", "path": "copy" });
    assert_eq!(kind(client.call("sql.backup", relative)), Some(ErrorKind::InvalidArgument));
    let values = json!({
        "plugin": "probe", "sql": "INSERT INTO t VALUES (?1, ?2) RETURNING b, typeof(b)", "values": [1, { "$blob": "AP8=" }],
    });
    let done = client.call("sql.execute", values).expect("it is new");
    assert_eq!((&done["rows"], &done["changed"]), (&json!([[{ "$blob": "AP8=" }, "blob"]]), &json!(1)));
}

#[test]
fn a_stop_waits_for_no_query_whoever_asks_for_its_pages() {
    let bed = bed();
    let mut idle = bed.client();
    idle.call("sql.query", params(MANY)).expect("it reads");
    let mut waiting = bed.client();
    thread::scope(|threads| {
        // Its first page is not full before the end of all time.
        let asked = threads.spawn(move || waiting.call("sql.query", params(ENDLESS)));
        while bed.host.inner.core.database.running_own() < 2 {
            thread::yield_now();
        }
        let stopped = bed.host.stop_within(Duration::from_secs(60));
        assert!(stopped.left.is_empty(), "{:?}", stopped.left);
        let refused = asked.join().expect("it ends").expect_err("it has no end");
        assert!(matches!(refused.kind(), ErrorKind::Stopping | ErrorKind::Unavailable), "{refused:?}");
    });
    assert!(!bed.path("data/sql/p-probe/system.db-wal").exists(), "it is not closed");
}
