//! `pintle events`: what became of events, and dead letters.

use serde_json::{Value, json};

use super::place::{Answer, Place};

fn events(place: &Place, arguments: &[&str]) -> Answer {
    place.ask(&[&["events"], arguments].concat())
}

#[test]
fn what_became_of_events_is_told_of_each_subscription() {
    let place = Place::new();
    let _host = place.host(&[]);
    for _ in 0..3 {
        events(&place, &["publish", "greet.you", "--wait"]).fine();
    }
    events(&place, &["publish", "nobody.listens"]).fine_but("nobody has subscribed");
    for asked in [&["--json"][..], &["stats", "--json"], &["--json", "stats"]] {
        let stats = &events(&place, asked).fine().json()[0];
        let totals = &stats["totals"];
        assert!(totals["emitted"].as_u64() >= Some(4) && totals["unheard"].as_u64() >= Some(1), "{stats}");
        let all = stats["subscriptions"].as_array().expect("there are some");
        let hello: Vec<&Value> = all.iter().filter(|it| it["of"] == "hello").collect();
        let [hello] = hello[..] else { panic!("{stats}") };
        assert_eq!((&hello["name"], &hello["pattern"]), (&json!("greet.>"), &json!("greet.>")));
        assert_eq!((&hello["policy"], &hello["tenant"]), (&json!("drop-oldest"), &json!(null)));
        assert_eq!(
            (&hello["matched"], &hello["delivered"], &hello["dropped"]),
            (&json!(3), &json!(3), &json!(0))
        );
        let drops =
            json!({ "displaced": 0, "no_room": 0, "not_live": 0, "not_taken": 0, "ended": 0, "too_late": 0 });
        assert_eq!(hello["drops"], drops);
        assert_eq!((&stats["problem"], &stats["consumers"]), (&json!(null), &json!([])));
    }
    let told = events(&place, &[]).fine().stdout;
    assert!(told.starts_with("events  "), "{told}");
    let row = told.lines().find(|line| line.starts_with("hello ")).expect("hello has a row");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["hello", "-", "greet.>", "greet.>", "drop-oldest", "3", "0", "0", "3", "0", "0"]);
}

#[test]
fn what_is_lost_is_told_with_its_reason() {
    let place = Place::new();
    let _host = place.host(&[]);
    place.ask(&["plugins", "disable", "hello"]).fine();
    assert_eq!(events(&place, &["publish", "greet.you"]).code, Some(4));
    let stats = &events(&place, &["--json"]).fine().json()[0];
    let all = stats["subscriptions"].as_array().expect("there are some");
    let hello = all.iter().find(|it| it["of"] == "hello").expect("hello has subscribed");
    assert_eq!((&hello["dropped"], &hello["drops"]["not_live"]), (&json!(1), &json!(1)), "{hello}");
    let told = events(&place, &["stats"]).fine().stdout;
    assert!(told.contains("1 (1 not live)\n"), "{told}");
}

#[test]
fn the_same_commands_have_two_names() {
    let place = Place::new();
    let _host = place.host(&[]);
    // Options may stand wherever they are known.
    for asked in [
        &["--json", "publish", "greet.you", "--id", "7", "--wait"][..],
        &["publish", "greet.you", "--id", "7", "--wait", "--json"],
        &["--data", "data", "publish", "greet.you", "--id", "7", "--wait", "--json"],
    ] {
        let line = &events(&place, asked).fine().json()[0];
        assert_eq!(
            (&line["id"], &line["results"][0]["outcome"]),
            (&json!("7"), &json!("handled")),
            "{asked:?}"
        );
    }
    let answer = events(&place, &["tail", "a..b"]);
    assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{}", answer.stderr);
    let nowhere = events(&place, &["--data", "gone", "tail"]);
    assert_eq!(nowhere.code, Some(5), "{}", nowhere.stderr);
    for page in ["tail", "publish"] {
        let help = events(&place, &[page, "--help"]).fine().stdout;
        assert!(help.contains("pintle events"), "{help}");
    }
}

#[test]
fn what_is_no_dead_letter_is_a_mistake_before_a_host_is_asked() {
    let place = Place::new();
    for (arguments, said) in [
        (&["replay"][..], "<NUMBER>"),
        (&["drop"], "<NUMBER>"),
        (&["replay", "orders"], "invalid value 'orders'"),
        (&["replay", "-1"], "unexpected argument '-1'"),
        (&["drop", "1", "--all"], "cannot be used with"),
        (&["drop", "1", "--tenant", "acme"], "cannot be used with"),
        (&["drop", "--tenant", "acme"], "<NUMBER>"),
        (&["dead-letters", "--limit", "0"], "0 is not in 1.."),
        (&["dead-letters", "--limit", "5", "--all"], "cannot be used with"),
        (&["publish", "a.b", "--durable", "--wait"], "cannot be used with"),
    ] {
        let answer = events(&place, arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
}
