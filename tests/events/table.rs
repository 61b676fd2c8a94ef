//! What the contract says of durable events.

use super::rig::{Place, all_ok, ask_of, data_of, seen, seen_until};

#[test]
fn events_25_and_events_26_a_durable_event_comes_to_durable_and_transient_subscriptions() {
    let place = Place::new("follow plugin.> d auto\nfollow plugin.> t transient");
    let host = place.started();
    all_ok(&host, "acme", "emit a one\nplain a two\nemit b three k");
    let seen = seen_until(&host, |seen| seen.len() >= 5);
    assert_eq!(data_of(&seen, "d"), ["one", "three"], "only durable ones");
    assert_eq!(data_of(&seen, "t"), ["one", "two", "three"]);
    for one in &seen {
        assert_eq!(one.tenant, "acme");
        let (attempt, delivery) = (one.attempt, one.delivery);
        assert_eq!((attempt, delivery), (u32::from(one.subscription == "d"), 0), "{one:?}");
        assert!(one.subscription == "t" || one.sequence > 0, "{one:?}");
    }
    assert_eq!(seen.iter().find(|one| one.data == "three").map(|one| one.key.as_str()), Some("k"));
}

#[test]
fn events_26_and_events_41_what_was_not_acknowledged_comes_after_a_restart_and_nothing_else() {
    let place = Place::new("follow plugin.> d ack");
    let host = place.started();
    all_ok(&host, "", "emit a one\nemit a two\nemit a three");
    let first = seen_until(&host, |seen| seen.len() == 3);
    assert!(first.iter().all(|one| one.delivery != 0 && one.attempt == 1), "{first:?}");
    all_ok(&host, "", &format!("ack {}", first[1].delivery));
    assert!(host.stop().left.is_empty());
    let host = place.started();
    all_ok(&host, "", "emit a four");
    let again = seen_until(&host, |seen| seen.len() >= 3);
    assert_eq!(data_of(&again, "d"), ["one", "three", "four"]);
    assert!(again.iter().all(|one| one.attempt == 1), "an unload is no attempt: {again:?}");
    assert_eq!(again[0].sequence, first[0].sequence);
    let deliveries: Vec<_> = again.iter().map(|one| format!("ack {}", one.delivery)).collect();
    all_ok(&host, "", &deliveries.join("\n"));
    let stale = ask_of(&host, "postman", "", &deliveries[0]).swap_remove(0);
    assert!(stale.starts_with("7 ") || stale.contains("over"), "{stale}");
    assert!(host.stop().left.is_empty());
    let host = place.started();
    all_ok(&host, "", "emit a five");
    assert_eq!(data_of(&seen_until(&host, |seen| !seen.is_empty()), "d"), ["five"]);
}

#[test]
fn events_27_and_events_28_what_always_fails_is_a_dead_letter_after_its_last_delivery() {
    let place = Place::new("follow plugin.> d auto 1 3");
    let host = place.started();
    all_ok(&host, "acme", "emit a fail-this\nemit a once-more\nemit a well");
    let seen = seen_until(&host, |seen| seen.len() >= 6);
    let of =
        |data: &str| seen.iter().filter(|one| one.data == data).map(|one| one.attempt).collect::<Vec<_>>();
    assert_eq!((of("fail-this"), of("once-more"), of("well")), (vec![1, 2, 3], vec![1, 2], vec![1]));
    // Nothing comes any more: what comes next is what is emitted next.
    all_ok(&host, "acme", "emit a last");
    let seen = seen_until(&host, |seen| seen.iter().any(|one| one.data == "last"));
    assert_eq!(seen.len(), 7, "{seen:#?}");
}

#[test]
fn events_29_keyed_events_wait_behind_one_that_has_failed_and_others_do_not() {
    let place = Place::new("follow plugin.> d auto 50 5");
    let host = place.started();
    all_ok(&host, "", "emit a once-1 k\nemit a second k\nemit a other l\nemit a none");
    let seen = seen_until(&host, |seen| seen.len() >= 5);
    let data = data_of(&seen, "d");
    let at = |what: &str, nth: usize| {
        data.iter()
            .enumerate()
            .filter(|(_, data)| **data == what)
            .map(|(at, _)| at)
            .nth(nth)
            .expect("it came")
    };
    assert!(at("second", 0) > at("once-1", 1), "{data:?}");
    assert!(at("other", 0) < at("once-1", 1) && at("none", 0) < at("once-1", 1), "{data:?}");
}

#[test]
fn events_27_and_events_34_a_nack_delays_and_an_ack_that_is_late_counts_no_more() {
    let place = Place::new("follow plugin.> d ack200 1 5");
    let host = place.started();
    all_ok(&host, "", "emit a one");
    let first = seen_until(&host, |seen| !seen.is_empty()).remove(0);
    all_ok(&host, "", &format!("nack {} 1 %41%42", first.delivery));
    let second = seen_until(&host, |seen| seen.len() == 2).remove(1);
    assert_eq!((second.attempt, second.sequence), (2, first.sequence));
    assert_ne!(second.delivery, first.delivery);
    // It is not answered: its deadline passes, and it comes again.
    let third = seen_until(&host, |seen| seen.len() == 3).remove(2);
    assert_eq!(third.attempt, 3);
    let late = ask_of(&host, "postman", "", &format!("ack {}", second.delivery)).swap_remove(0);
    assert_ne!(late, "0");
    all_ok(&host, "", &format!("ack {}", third.delivery));
}

#[test]
fn events_30_a_subscription_starts_where_it_says_and_goes_on_where_it_was() {
    let place = Place::new("");
    let host = place.started();
    all_ok(&host, "", "emit a one\nemit a two\nemit a three");
    all_ok(&host, "", "follow plugin.> all auto 0 0 all");
    let second = seen_until(&host, |seen| seen.len() == 3)[1].sequence;
    all_ok(
        &host,
        "",
        &format!(
            "follow plugin.> seq auto 0 0 sequence {second}\nfollow plugin.> time auto 0 0 time 0\nfollow plugin.> new auto"
        ),
    );
    all_ok(&host, "", "emit a four");
    let seen = seen_until(&host, |seen| seen.len() >= 12);
    assert_eq!(data_of(&seen, "all"), ["one", "two", "three", "four"]);
    assert_eq!(data_of(&seen, "seq"), ["two", "three", "four"]);
    assert_eq!(data_of(&seen, "time"), ["one", "two", "three", "four"]);
    assert_eq!(data_of(&seen, "new"), ["four"]);
    // Its position stays where it was, whatever it asks for the next time.
    all_ok(&host, "", "unfollow 0");
    all_ok(&host, "", "emit a five");
    all_ok(&host, "", "follow plugin.> all auto 0 0 all");
    let seen = seen_until(&host, |seen| data_of(seen, "all").len() >= 5);
    assert_eq!(data_of(&seen, "all"), ["one", "two", "three", "four", "five"]);
}

#[test]
fn events_31_an_event_that_is_published_twice_is_delivered_once() {
    let place = Place::new("follow plugin.> d auto\nfollow plugin.> t transient");
    let host = place.started();
    all_ok(&host, "acme", "emit a one %- same\nemit a two %- same\nemit a three %- other");
    all_ok(&host, "beta", "emit a four %- same");
    let seen = seen_until(&host, |seen| seen.len() >= 6);
    for name in ["d", "t"] {
        assert_eq!(data_of(&seen, name), ["one", "three", "four"], "another tenant's is another one");
    }
}

#[test]
fn events_18_and_events_19_a_durable_subscription_of_a_tenant_sees_that_tenants_events() {
    let place = Place::new("follow plugin.> all auto");
    let host = place.started();
    all_ok(&host, "acme", "follow plugin.> mine auto");
    all_ok(&host, "beta", "emit a one");
    all_ok(&host, "acme", "emit a two");
    all_ok(&host, "", "emit a three");
    let seen = seen_until(&host, |seen| seen.len() >= 4);
    assert_eq!(data_of(&seen, "all"), ["one", "two", "three"]);
    assert_eq!(data_of(&seen, "mine"), ["two"]);
}

#[test]
fn events_37_a_durable_subscription_passes_over_what_its_filter_does_not_let_through() {
    let place = Place::new("follow plugin.> d auto 0 0 new 0 {\"exact\":{\"partitionkey\":\"k\"}}");
    let host = place.started();
    all_ok(&host, "", "emit a one\nemit a two k\nemit a three l\nemit a four k");
    assert_eq!(data_of(&seen_until(&host, |seen| seen.len() >= 2), "d"), ["two", "four"]);
}

#[test]
fn events_38_of_the_durable_subscriptions_of_a_plugin_those_with_a_higher_priority_come_first() {
    let place =
        Place::new("follow plugin.> low auto-3\nfollow plugin.> high auto7\nfollow plugin.> usual auto");
    let host = place.started();
    // One by one: what waits longer is not to be passed.
    for (at, data) in ["one", "two", "three"].into_iter().enumerate() {
        all_ok(&host, "", &format!("emit a {data}"));
        let seen = seen_until(&host, |seen| seen.len() == (at + 1) * 3);
        let names: Vec<_> = seen[at * 3..].iter().map(|one| one.subscription.as_str()).collect();
        assert_eq!(names, ["high", "usual", "low"]);
    }
}

#[test]
fn events_41_and_events_42_events_wait_while_their_plugin_is_disabled_or_not_there() {
    let place = Place::new("follow plugin.> d auto").with("second", "");
    let host = place.started();
    host.disable("postman").expect("it is enabled");
    assert_eq!(ask_of(&host, "second", "", "emit a one"), ["0"]);
    host.enable("postman").expect("it is disabled");
    seen_until(&host, |seen| data_of(seen, "d") == ["one"]);
    host.unload("postman").expect("it is loaded");
    assert_eq!(ask_of(&host, "second", "", "emit a two\nemit b three"), ["0", "0"]);
    assert!(host.stop().left.is_empty());
    let host = place.started();
    assert_eq!(data_of(&seen_until(&host, |seen| seen.len() >= 2), "d"), ["two", "three"]);
}

#[test]
fn events_9_a_name_is_unique_among_durable_and_transient_subscriptions() {
    let place = Place::new("follow plugin.> one auto\nfollow plugin.> two transient");
    let host = place.started();
    assert_eq!(ask_of(&host, "postman", "", "loaded")[..2], ["0", "0"]);
    for command in ["follow orders.> one transient", "follow orders.> two auto", "follow orders.> one auto"] {
        let answer = ask_of(&host, "postman", "", command).swap_remove(0);
        assert!(answer.contains("with the name") && answer != "0", "{command}: {answer}");
    }
    all_ok(&host, "acme", "follow plugin.> one auto");
}

#[test]
fn events_bad_options_are_refused_and_say_which() {
    let place = Place::new("");
    let host = place.started();
    let told = ask_of(&host, "postman", "", "bad");
    let wanted = [
        ("capacity", "wait in the log"),
        ("policy", "wait in the log"),
        ("flags", "does not know the flags 0x4"),
        ("ack_alone", "goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("start_of_transient", "goes with PINTLE_SUBSCRIBE_DURABLE"),
        ("start", "does not know the value 9"),
        ("start_at", "leave it 0"),
        ("sequence", "is not negative"),
        ("ack_ms", "1 to 3600000 are taken"),
        ("backoff_ms", "1 to 3600000 are taken"),
        ("max_deliveries", "1 to 1000 are taken"),
        ("in_flight", "1 to 1024 are taken"),
        ("priority", "-1000 to 1000 are taken"),
        ("filter", "options.filter"),
        ("emit_sync", "PINTLE_EMIT_DURABLE"),
        ("emit_flags", "does not know the flags 0x2"),
        ("ack", ""),
        ("nack", ""),
        ("nack_delay", "86400000"),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (line, (name, part)) in told.iter().zip(wanted) {
        let answer = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        assert!(
            answer.is_some_and(|answer| !answer.starts_with("0 ") && answer != "0" && answer.contains(part)),
            "{line} does not say {part:?}"
        );
    }
    assert!(seen(&host).is_empty());
}
