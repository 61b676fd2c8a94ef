//! `pintle events` and durable events: with a host that runs, whose plugin `postman` fails what begins with `fail`, and on the folder that
//! it leaves behind.

use std::time::Instant;

use pintle_test_support::{compile_c, install, repository};
use serde_json::{Value, json};

use super::place::{Answer, PATIENCE, Place, Running};

/// A folder with `postman`, which has a durable subscription `d` to `orders.>` from the beginning and lets an event fail twice, and which
/// notes what it is given in `notes`.
fn place() -> Place {
    let place = Place::new();
    install(&compile_c("postman", repository().join("tests/plugins/postman.c"), &[]), &place.path("plugins"));
    let settings = std::fs::read_to_string(place.path("pintle.toml")).expect("it is there");
    let notes = place.path("notes");
    place.write(
        "pintle.toml",
        &format!(
            "{settings}[plugin.postman.config]\nload = 'follow orders.> d auto 1 2 all'\nnotes = '{}'\n",
            notes.display()
        ),
    );
    place
}

fn events(place: &Place, line: &str) -> Answer {
    let words = line.split(' ').filter(|it| !it.is_empty());
    place.ask(&["events"].into_iter().chain(words).collect::<Vec<_>>())
}

/// Asks again and again until it is so; nobody tells when a plugin has handled something.
#[track_caller]
fn until<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(what) => assert!(Instant::now() < deadline, "it did not come to that: {what}"),
        }
        std::thread::yield_now();
    }
}

/// The dead letters, when there are so many.
#[track_caller]
fn letters(place: &Place, many: usize) -> Vec<Value> {
    until(|| {
        let listed = events(place, "dead-letters --json").fine();
        let letters = listed.json();
        if letters.len() == many { Ok(letters) } else { Err(listed.stdout) }
    })
}

fn number(letter: &Value) -> u64 {
    letter["number"].as_u64().expect("it has one")
}

/// How often the handler of `d` has begun with an event of these data.
fn begun(place: &Place, data: &str) -> usize {
    let notes = std::fs::read_to_string(place.path("notes")).unwrap_or_default();
    notes.lines().filter(|line| line.starts_with(&format!("B d {data} "))).count()
}

/// Publishes events of these data, durable.
fn publish(place: &Place, data: &[&str]) {
    for data in data {
        let line = format!("publish orders.new --durable --tenant acme --id id-{data} --text {data}");
        events(place, &line).fine();
    }
}

fn end(host: Running) {
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
}

#[test]
fn durable_events_are_published_tailed_and_counted() {
    let place = place();
    let host = place.host(&[]);
    let mut tail = place.start(&["events", "tail", "orders.*", "--json"]);
    let listens = || {
        let stats = events(&place, "stats --json").fine().stdout;
        if stats.contains("\"pattern\":\"orders.*\"") { Ok(()) } else { Err(stats) }
    };
    until(listens);
    events(&place, "publish orders.new.deep --durable --text not-for-the-tail").fine();
    let made = events(&place, "publish orders.new --durable --id 7 --text one --json").fine().json();
    assert_eq!((&made[0]["id"], &made[0]["type"]), (&json!("7"), &json!("orders.new")), "{made:?}");
    // Of a durable subscription it is not told at once what became of it: only the tail has a queue.
    assert_eq!(made[0]["dropped"], 0, "{made:?}");
    let told: Value = serde_json::from_str(&tail.line()).expect("it is JSON");
    assert_eq!(
        (&told["id"], &told["type"], &told["data"]),
        (&json!("7"), &json!("orders.new"), &json!("one"))
    );
    // The same event once more is none.
    let again = events(&place, "publish orders.new --durable --id 7 --text again").fine();
    assert_eq!(again.rows(), [["7", "0", "0", "0", "0"]]);
    let other = events(&place, "publish orders.new --durable --text once-two").fine();
    assert_eq!(other.rows()[0].len(), 5, "{}", other.stdout);
    let told: Value = serde_json::from_str(&tail.line()).expect("it is JSON");
    assert_eq!(told["data"], "once-two", "what came twice is told once");

    let stats = until(|| {
        let stats = events(&place, "--json").fine().json().swap_remove(0);
        if stats["durable"]["acknowledged"] == 3 { Ok(stats) } else { Err(stats.to_string()) }
    });
    let durable = json!({
        "written": 3, "duplicates": 1, "delivered": 4, "redelivered": 1, "acknowledged": 3, "retried": 1, "dead": 0, "replayed": 0,
    });
    assert_eq!(stats["durable"], durable);
    assert_eq!((&stats["log"]["events"], &stats["log"]["last"]), (&json!(3), &json!(3)), "{stats}");
    let [consumer] = &stats["consumers"].as_array().expect("a list")[..] else { panic!("{stats}") };
    for (member, value) in [("plugin", json!("postman")), ("tenant", json!("")), ("name", json!("d"))] {
        assert_eq!(consumer[member], value, "{consumer}");
    }
    assert_eq!((&consumer["dead"], &consumer["live"]["pattern"]), (&json!(0), &json!("orders.>")));
    assert_eq!((&consumer["live"]["delivered"], &consumer["live"]["failures"]), (&json!(3), &json!(1)));
    let told = events(&place, "").fine().stdout;
    for line in [
        "durable 3 written, 1 duplicates, 4 delivered (1 again), 3 acknowledged, 1 to be retried, 0 dead letters, ",
        "log     3 events, ",
    ] {
        assert!(told.contains(&format!("\n{line}")), "{told}");
    }
    assert!(told.lines().any(|line| line.starts_with("postman ") && line.contains(" orders.> ")), "{told}");
    // `pintle stats` and the metrics have the same.
    assert_eq!(place.ask(&["stats", "--json"]).fine().json()[0]["durable"], durable);
    let all = place.ask(&["stats"]).fine().stdout;
    assert!(all.contains("\ndurable   3 written, 1 duplicates, "), "{all}");
    let metrics = place.ask(&["stats", "--openmetrics"]).fine().stdout;
    assert!(metrics.contains("\npintle_durable_events_redelivered_total 1\n"), "{metrics}");
    tail.signal("INT");
    tail.ended().fine();

    // What is in the log is told of the folder too.
    end(host);
    let stats = events(&place, "stats --json").fine().json().swap_remove(0);
    assert_eq!((&stats["log"]["events"], &stats["problem"]), (&json!(3), &json!(null)), "{stats}");
    let [consumer] = &stats["consumers"].as_array().expect("a list")[..] else { panic!("{stats}") };
    assert_eq!((&consumer["floor"], &consumer["live"]), (&json!(3), &json!(null)), "{consumer}");
    let told = events(&place, "").fine().stdout;
    assert!(told.starts_with("log     3 events, "), "{told}");
    for needs in ["tail", "publish orders.new --durable"] {
        let answer = events(&place, needs);
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{needs}: {}", answer.stderr);
    }
}

#[test]
fn dead_letters_are_listed_replayed_and_dropped_by_a_host() {
    let place = place();
    let _host = place.host(&[]);
    assert_eq!(events(&place, "dead-letters").fine().stdout, "");
    publish(&place, &["fail-1", "well", "fail-2", "fail-3"]);
    let all = letters(&place, 3);
    assert_eq!(
        all.iter().map(|one| &one["event"]["data"]).collect::<Vec<_>>(),
        ["fail-1", "fail-2", "fail-3"]
    );
    for (member, value) in [
        ("plugin", json!("postman")),
        ("tenant", json!("")),
        ("name", json!("d")),
        ("attempts", json!(2)),
        ("sequence", json!(1)),
    ] {
        assert_eq!(all[0][member], value, "{}", all[0]);
    }
    assert!(all[0]["reason"].as_str().is_some_and(|reason| reason.contains("as it was told")), "{}", all[0]);
    assert_eq!((&all[0]["event"]["id"], &all[0]["event"]["tenant"]), (&json!("id-fail-1"), &json!("acme")));
    // For people.
    let listed = events(&place, "dead-letters postman --limit 2");
    let listed = listed.fine_but("there are more than 2: --all lists all of them");
    let rows = listed.rows();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][0], number(&all[0]).to_string());
    assert_eq!(rows[0][2..8], ["postman", "-", "d", "orders.new", "id-fail-1", "2"]);
    assert!(rows[0][8].contains("as it was told"), "{rows:?}");
    assert_eq!(events(&place, "dead-letters --all").fine().rows().len(), 3);
    // Whose.
    for (whose, many) in
        [("--name d", 3), ("--name e", 0), ("--tenant acme", 0), ("hello", 0), ("application", 0)]
    {
        let listed = events(&place, &format!("dead-letters --json {whose}")).fine().json();
        assert_eq!(listed.len(), many, "{whose}");
    }
    let of_nobody = place.ask(&["events", "dead-letters", "--json", "--tenant", ""]).fine().json();
    assert_eq!(of_nobody.len(), 3);

    // Once more, and they die again: as new ones, with the ids that they had.
    let first = number(&all[0]);
    assert_eq!(events(&place, &format!("replay {first}")).fine().stdout, "1\n");
    let again = until(|| {
        let all = letters(&place, 3);
        let new = all.last().cloned().expect("there are some");
        if number(&new) > number(&all[1]) && new["event"]["data"] == "fail-1" {
            Ok(new)
        } else {
            Err(new.to_string())
        }
    });
    assert_eq!((&again["event"]["id"], &again["attempts"]), (&json!("id-fail-1"), &json!(2)));
    assert_eq!(begun(&place, "fail-1"), 4);
    let all = letters(&place, 3);
    let some = events(&place, &format!("replay {first} {} 4711 --json", number(&all[0])));
    assert_eq!((some.code, some.json()), (Some(4), vec![json!({ "count": 1 })]), "{}", some.stderr);
    assert!(some.stderr.contains("2 of 3 are no dead letters, or were named twice"), "{}", some.stderr);
    until(|| match begun(&place, "fail-2") {
        4 => Ok(()),
        other => Err(other.to_string()),
    });
    letters(&place, 3);
    assert_eq!(events(&place, "replay --all postman --name d --json").fine().json(), [json!({ "count": 3 })]);
    until(|| match begun(&place, "fail-3") {
        4 => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(begun(&place, "well"), 1);

    // Dropped they are gone.
    let all = letters(&place, 3);
    assert_eq!(events(&place, &format!("drop {}", number(&all[1]))).fine().stdout, "1\n");
    let none = events(&place, &format!("drop {}", number(&all[1])));
    assert_eq!((none.code, &*none.stdout), (Some(4), "0\n"), "{}", none.stderr);
    assert_eq!(events(&place, "drop --all hello").fine().stdout, "0\n");
    assert_eq!(events(&place, "drop --all hello postman --json").fine().json(), [json!({ "count": 2 })]);
    assert_eq!(events(&place, "drop --all").fine().stdout, "0\n");
    let totals = &events(&place, "--json").fine().json()[0]["durable"];
    assert_eq!((&totals["dead"], &totals["replayed"]), (&json!(8), &json!(5)), "{totals}");
}

#[test]
fn dead_letters_are_looked_after_on_the_folder_of_a_host_that_has_ended() {
    let place = place();
    let host = place.host(&[]);
    publish(&place, &["fail-1", "fail-2", "fail-3"]);
    let before = letters(&place, 3);
    end(host);
    let listed = events(&place, "dead-letters postman --json").fine().json();
    assert_eq!(listed, before, "the folder tells what the host told");
    let rows = events(&place, "dead-letters --limit 1").fine_but("there are more than 1").stdout;
    assert!(rows.starts_with(&format!("{}\t", number(&before[0]))), "{rows}");
    assert_eq!(events(&place, &format!("drop {}", number(&before[0]))).fine().stdout, "1\n");
    assert_eq!(events(&place, "replay --all --json").fine().json(), [json!({ "count": 2 })]);
    assert_eq!(events(&place, "dead-letters").fine().stdout, "");
    let stats = events(&place, "--json").fine().json().swap_remove(0);
    assert_eq!((&stats["log"]["last"], &stats["consumers"][0]["behind"]), (&json!(5), &json!(2)), "{stats}");
    // The next host delivers what was replayed.
    let host = place.host(&[]);
    let after = letters(&place, 2);
    let data: Vec<_> = after.iter().map(|one| &one["event"]["data"]).collect();
    assert_eq!(data, ["fail-2", "fail-3"]);
    assert!(number(&after[0]) > number(&before[2]), "numbers are not used again");
    assert_eq!((begun(&place, "fail-1"), begun(&place, "fail-2")), (2, 4));
    end(host);
    assert_eq!(events(&place, "drop --all postman").fine().stdout, "2\n");
}

#[test]
fn who_is_no_plugin_is_told_with_a_host_and_without() {
    let place = place();
    let mut host = Some(place.host(&[]));
    for _ in 0..2 {
        for asked in
            ["dead-letters nobody", "replay --all nobody", "drop --all nobody", "drop --all hello nobody"]
        {
            let answer = events(&place, asked);
            assert_eq!((answer.code, &*answer.stdout), (Some(3), ""), "{asked}: {}", answer.stderr);
            let said = "there is no plugin \"nobody\", nor a dead letter of one: `pintle plugins` shows all";
            assert!(answer.stderr.contains(said), "{asked}: {}", answer.stderr);
        }
        for (asked, said) in
            [("replay 4711", "1 of 1 are no dead letters"), ("drop 1 1", "2 of 2 are no dead letters")]
        {
            let answer = events(&place, asked);
            assert_eq!((answer.code, &*answer.stdout), (Some(4), "0\n"), "{asked}: {}", answer.stderr);
            assert!(answer.stderr.contains(said), "{asked}: {}", answer.stderr);
        }
        if let Some(host) = host.take() {
            end(host);
        }
    }
    // A host that goes meanwhile leaves nothing to ask; a folder that none has used is not made.
    for asked in ["dead-letters", "replay 1", "drop --all", "stats"] {
        let answer = events(&place, &format!("--data gone {asked}"));
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{asked}: {}", answer.stderr);
        assert!(answer.stderr.contains("none ever has"), "{asked}: {}", answer.stderr);
    }
    for asked in
        ["replay x", "drop 0x1", "replay 18446744073709551616", "dead-letters --limit -1", "drop 1.5"]
    {
        let answer = events(&place, asked);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{asked}: {}", answer.stderr);
    }
}
