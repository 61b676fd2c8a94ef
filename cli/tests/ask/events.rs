//! Events in with `pintle emit`, and out with `pintle tail`.

use serde_json::{Value, json};

use super::place::{PATIENCE, Place, Running};

/// A tail that is known to listen.
fn listening(place: &Place, arguments: &[&str]) -> Running {
    let tail = place.start(&[&["tail"], arguments].concat());
    let listens = || {
        let line = &place.ask(&["stats", "--json"]).fine().json()[0];
        // One of hello, two of sysmon, one of the command that runs the host, and those of the tail.
        line["host"]["subscriptions"].as_u64() >= Some(5)
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while !listens() {
        assert!(std::time::Instant::now() < deadline, "the tail does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    tail
}

#[test]
fn an_event_goes_in_and_comes_out_to_the_byte() {
    let place = Place::new();
    let _host = place.host(&[]);
    let mut tail = listening(&place, &["--json"]);
    let data = r#"{"z":12345678901234567890123,"a":1.10}"#;
    let sent = place.ask(&["emit", "greet.you", data, "--tenant", "acme", "--subject", "door"]).fine();
    let id = sent.rows()[0][0].to_owned();
    // What comes of an event may be told before it.
    let mut lines = [tail.line(), tail.line()];
    lines.sort_unstable_by_key(|line| line.contains("plugin.hello.greeted"));
    assert!(lines.iter().all(|line| line.contains(&format!("\"data\":{data}"))), "{lines:?}");
    let event: Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    assert_eq!((&event["id"], &event["source"]), (&json!(id), &json!("/pintle/emit")));
    assert_eq!((&event["tenant"], &event["subject"]), (&json!("acme"), &json!("door")));
    assert!(lines[1].contains("plugin.hello.greeted"), "{lines:?}");
    tail.signal("INT");
    tail.ended().fine();
}

#[test]
fn what_an_event_carries_has_the_type_that_it_looks_like() {
    let place = Place::new();
    let _host = place.host(&[]);
    place.write("text", "two\nlines");
    place.write("json", "{ \"a\" : 1 }");
    std::fs::write(place.path("bytes"), [0xff, 0x00]).expect("it can be written");
    let mut tail = listening(&place, &["--json", "some.>"]);
    for (arguments, content_type, member, value) in [
        (&["[1, 2]"][..], json!("application/json"), "data", json!([1, 2])),
        (&["--text", "hi"], json!("text/plain"), "data", json!("hi")),
        (&["--file", "text"], json!("text/plain"), "data", json!("two\nlines")),
        (&["--file", "json"], json!("application/json"), "data", json!({ "a": 1 })),
        (&["--file", "bytes"], json!("application/octet-stream"), "data_base64", json!("/wA=")),
        (&["--text", "<a/>", "--content-type", "text/xml"], json!("text/xml"), "data", json!("<a/>")),
    ] {
        place.ask(&[&["emit", "some.thing", "--id", "7", "--source", "/x"], arguments].concat()).fine();
        let event: Value = serde_json::from_str(&tail.line()).expect("it is JSON");
        assert_eq!((&event["id"], &event["source"]), (&json!("7"), &json!("/x")));
        assert_eq!((&event["datacontenttype"], &event[member]), (&content_type, &value), "{event}");
    }
}

#[test]
fn a_tail_for_people_is_one_line_for_each_event_and_ends_after_so_many() {
    let place = Place::new();
    let _host = place.host(&[]);
    let tail = listening(&place, &["--count", "2", "some.>", "some.*"]);
    place.ask(&["emit", "other.thing"]);
    place.ask(&["emit", "some.thing", "--text", "\u{1b}[2Jtwo\nlines", "--tenant", "acme"]).fine();
    place.ask(&["emit", "some.more", "{\"b\":1}"]).fine();
    let ended = tail.ended().fine();
    let lines: Vec<&str> = ended.stdout.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    assert_eq!(lines, ["some.thing [acme]  \\u{1b}[2Jtwo\\nlines", "some.more  {\"b\":1}"]);
}

#[test]
fn handlers_that_are_waited_for_answer() {
    let place = Place::new();
    let _host = place.host(&[]);
    let answer = place.ask(&["emit", "greet.you", "--wait"]).fine();
    assert_eq!(answer.rows()[0][1..], ["hello", "greet.>", "handled", "-"]);
    let nobody = place.ask(&["emit", "nobody.listens", "--wait"]);
    assert_eq!(nobody.code, Some(0));
    assert!(nobody.stderr.contains("nobody has subscribed to nobody.listens"), "{}", nobody.stderr);
}

#[test]
fn many_events_are_published_in_order_and_what_is_none_is_told() {
    let place = Place::new();
    let _host = place.host(&[]);
    let event = |id: usize, topic: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"{topic}","data":{id}}}"#) + "\n"
    };
    let mut text = String::from("\u{feff}");
    for id in 0..200 {
        text += &event(id, "greet.you");
    }
    text += &("oops\n\n".to_owned() + &event(1, "plugin.hello.greeted") + &event(200, "greet.you"));
    place.write("in", &text);
    let mut tail = listening(&place, &["greet.>"]);
    let answer = place.ask(&["emit", "--events", "in", "--wait"]);
    assert_eq!(answer.code, Some(4), "{}", answer.stderr);
    let said: Vec<&str> = answer.stderr.lines().collect();
    assert!(said[0].starts_with("pintle: in:201: the CloudEvent cannot be read"), "{said:?}");
    assert!(said[1].starts_with("pintle: in:203: ") && said[1].contains("plugin."), "{said:?}");
    assert!(answer.stdout.starts_with("201 published, 2 refused, for "), "{}", answer.stdout);
    for id in 0..201 {
        assert!(tail.line().ends_with(&format!(" greet.you  {id}\n")), "{id}");
    }
    place.write("in", &event(1, "greet.you"));
    let line = &place.ask(&["emit", "--events", "in", "--json"]).fine().json()[0];
    assert_eq!(
        (&line["id"], &line["source"], &line["type"]),
        (&json!("1"), &json!("/t"), &json!("greet.you"))
    );
}

#[test]
fn events_are_published_whether_anybody_reads_of_them_or_not() {
    let place = Place::new();
    let _host = place.host(&[]);
    let event = r#"{"specversion":"1.0","id":"1","source":"/t","type":"greet.you"}"#.to_owned() + "\n";
    // More than is held back before it is written.
    place.write("in", &(event.repeat(500) + "oops\n" + &event));
    let (reader, writer) = std::io::pipe().expect("pipes can be made");
    drop(reader);
    let ended = place.command(&["emit", "--events", "in", "--wait", "--json"]).stdout(writer).output();
    let ended = ended.expect("it starts");
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let stats = &place.ask(&["stats", "hello", "--json"]).fine().json()[0];
    assert_eq!(stats["plugins"][0]["handlers"]["event"]["handled"], 501, "{stats}");
}

#[test]
fn a_reader_that_takes_nothing_does_not_keep_a_tail_from_ending() {
    let place = Place::new();
    let _host = place.host(&[]);
    let mut tail = listening(&place, &["some.>"]);
    let event = |id: usize| {
        let data = "x".repeat(10_000);
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"some.thing","data":"{data}"}}"#)
    };
    // More than all pipes and buffers in between hold.
    place.write("in", &(0..800).map(|id| event(id) + "\n").collect::<String>());
    assert!(matches!(place.ask(&["emit", "--events", "in"]).code, Some(0 | 4)));
    tail.signal("INT");
    let deadline = std::time::Instant::now() + PATIENCE;
    while tail.child.try_wait().expect("it is ours").is_none() {
        assert!(std::time::Instant::now() < deadline, "it waits for its reader");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(tail.ended().code.is_some(), "it was killed");
}

#[test]
fn patterns_that_are_none_are_a_mistake_of_the_command_line() {
    let place = Place::new();
    let _host = place.host(&[]);
    let many = ["a"; 17];
    for (patterns, said) in [(&["a..b"][..], "\"a..b\" has an empty token"), (&many, "17 are too many")] {
        let answer = place.ask(&[&["tail"], patterns].concat());
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{patterns:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{patterns:?}: {}", answer.stderr);
    }
}

#[test]
fn what_cannot_be_an_event_is_refused_before_a_host_is_asked() {
    let place = Place::new();
    place.write("large", &"x".repeat((1 << 20) + 1));
    for (arguments, said) in [
        (&["emit"][..], "<TYPE"),
        (&["emit", "a..b"], "`type`"),
        (&["emit", "pintle.x"], "pintle."),
        (&["emit", "a.b", "{name}"], "DATA is no JSON"),
        (&["emit", "a.b", "--id", ""], "`id`"),
        (&["emit", "a.b", "{}", "--text", "x"], "cannot be used with"),
        (&["emit", "a.b", "--file", "gone"], "the data in gone cannot be read"),
        (&["emit", "a.b", "--file", "large"], "has more than 1048576 bytes"),
        (&["emit", "--events", "gone"], "the events in gone cannot be read"),
        (&["emit", "a.b", "--events", "gone"], "cannot be used with"),
    ] {
        let answer = place.ask(arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(2), ""), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
}

#[test]
fn a_host_that_stops_meanwhile_is_told() {
    for (signal, count, code, said) in [
        ("TERM", false, 0, "the host has ended the connection: "),
        ("TERM", true, 1, "the host has ended the connection: "),
        ("KILL", false, 1, "the host tells no more: "),
    ] {
        let place = Place::new();
        let host = place.host(&[]);
        let tail = listening(&place, if count { &["--count", "9"] } else { &[] });
        host.signal(signal);
        let ended = tail.ended();
        assert_eq!(ended.code, Some(code), "{signal}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{signal}: {}", ended.stderr);
    }
}
