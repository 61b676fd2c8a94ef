//! Events of storage batches.

use super::rig::{Place, all_ok, ask_of, data_of, seen_until};

#[test]
fn events_43_events_of_a_batch_appear_if_it_was_committed_and_not_otherwise() {
    let place = Place::new("follow plugin.> d auto\nfollow plugin.> t transient");
    let host = place.started();
    // A version of 0 is that of what is not there.
    all_ok(&host, "acme", "batch k 0 v a committed");
    for _ in 0..3 {
        let refused = ask_of(&host, "postman", "acme", "batch k 0 v a refused").swap_remove(0);
        assert_ne!(refused, "0");
    }
    all_ok(&host, "acme", "batch l 0 v a another\nemit a last");
    // The outbox is emptied beside what is published directly: only the order within each is promised.
    let seen = seen_until(&host, |seen| seen.len() >= 6);
    for name in ["d", "t"] {
        let mut data = data_of(&seen, name);
        assert!(
            data.iter().position(|data| *data == "committed")
                < data.iter().position(|data| *data == "another")
        );
        data.sort_unstable();
        assert_eq!(data, ["another", "committed", "last"], "{name}");
    }
    assert!(seen.iter().all(|one| one.tenant == "acme"), "{seen:?}");
    assert!(host.stop().left.is_empty());
    let host = place.started();
    all_ok(&host, "", "emit a next");
    assert_eq!(data_of(&seen_until(&host, |seen| seen.len() >= 2), "d"), ["next"], "none comes twice");
}

#[test]
fn events_43_what_an_ended_host_has_left_in_its_outbox_is_published_by_the_next() {
    let place = Place::new("follow plugin.> d auto");
    let host = place.started();
    let commands: Vec<_> = (0..50).map(|at| format!("batch key{at} 0 v a event{at}")).collect();
    all_ok(&host, "", &commands.join("\n"));
    // It ends while some of them are still there, as it may be.
    assert!(host.stop().left.is_empty());
    let host = place.started();
    all_ok(&host, "", "emit a end");
    let _ = seen_until(&host, |seen| seen.iter().any(|one| one.data == "end"));
    let connection = rusqlite::Connection::open_with_flags(
        place.path().join("data/pintle.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .expect("it is there");
    let logged = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("it reads");
    let deadline = std::time::Instant::now() + super::rig::PATIENCE;
    while logged("SELECT count(*) FROM outbox_events") > 0 {
        assert!(std::time::Instant::now() < deadline, "the outbox is never empty");
        std::thread::yield_now();
    }
    assert_eq!(logged("SELECT count(*) FROM events_log WHERE type LIKE 'plugin.postman.a'"), 51);
}
