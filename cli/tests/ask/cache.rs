//! `pintle cache`: of a host that runs, of a folder whose cache lies on disk, and where there is nothing to look at.

use std::time::Instant;

use pintle_test_support::{install, samples};
use serde_json::json;

use super::place::{Answer, PATIENCE, Place, Running};

/// A place whose host has echo-c, which counts what it hears, and a cache of that kind.
fn place(backend: &str) -> Place {
    let place = Place::new();
    place.write(
        "pintle.toml",
        &format!(
            "plugins = [\"plugins\"]\ndata = \"data\"\ncache.backend = {backend:?}\n[log]\nfile = \"log\"\n\
             [plugin.echo-c.config]\nwindow_ms = 3600000\n"
        ),
    );
    install(&samples().c("echo"), &place.path("plugins"));
    place
}

/// A host there, which has started echo-c too.
fn running(place: &Place) -> Running {
    let host = place.host(&[]);
    let deadline = Instant::now() + PATIENCE;
    // The order in which they are started is nobody's promise.
    while !place.ask(&["plugins"]).rows().iter().any(|row| row[0] == "echo-c" && row[2] == "enabled") {
        assert!(Instant::now() < deadline, "echo-c does not start");
    }
    host
}

/// Has the plugin count some topics, on behalf of acme and of nobody.
fn fill(place: &Place) {
    for (topic, tenant) in [("echo.a", ""), ("echo.b", ""), ("echo.b", ""), ("echo.a", "acme")] {
        let mut arguments = vec!["emit", topic, "--wait"];
        if !tenant.is_empty() {
            arguments.extend(["--tenant", tenant]);
        }
        place.ask(&arguments).fine();
    }
}

fn cache(place: &Place, arguments: &str) -> Answer {
    place.ask(
        &["cache"].into_iter().chain(arguments.split(' ').filter(|it| !it.is_empty())).collect::<Vec<_>>(),
    )
}

fn sorted(answer: &Answer) -> Vec<&str> {
    let mut lines: Vec<_> = answer.stdout.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_plugins_have_in_the_cache_of_a_running_host_is_shown_and_taken_away() {
    for backend in ["memory", "sqlite"] {
        let place = place(backend);
        let _host = running(&place);
        fill(&place);
        let report = cache(&place, "").fine().stdout;
        assert!(report.starts_with(&format!("back end  {backend}: it works\n")), "{report}");
        assert!(report.contains("echo-c") && report.contains("FOUND"), "{report}");
        let of_one = cache(&place, "stats --plugin echo-c --json").fine().json();
        assert_eq!((&of_one[0]["plugins"][0]["items"], &of_one[0]["down"]), (&json!(3), &json!(null)));
        assert_eq!(sorted(&cache(&place, "list --plugin echo-c seen").fine()), ["echo.a", "echo.b"]);
        assert_eq!(cache(&place, "list --plugin echo-c seen echo.b").fine().stdout, "echo.b\n");
        assert_eq!(
            cache(&place, "list --plugin echo-c --tenant acme seen --json").fine().json(),
            [json!({ "key": "echo.a" })]
        );
        let some = cache(&place, "list --plugin echo-c seen --limit 1");
        assert_eq!((some.code, some.stdout.lines().count()), (Some(0), 1));
        assert!(some.stderr.contains("there are more than 1: --all lists all of them"), "{}", some.stderr);
        assert_eq!(cache(&place, "list --plugin echo-c seen --all").fine().stdout.lines().count(), 2);
        let item = cache(&place, "get --plugin echo-c seen echo.b").fine().stdout;
        assert!(item.starts_with("kind      integer\n") && item.ends_with("value     2\n"), "{item}");
        assert_eq!(cache(&place, "get --plugin echo-c seen echo.b --raw").fine().stdout, "2");
        let item = cache(&place, "get --plugin echo-c --tenant acme seen echo.a --json").fine().json();
        let [item] = &item[..] else { panic!("one line, not {}", item.len()) };
        for (member, value) in
            [("plugin", "echo-c"), ("tenant", "acme"), ("ns", "seen"), ("key", "echo.a"), ("value", "1")]
        {
            assert_eq!(item[member], value, "{item}");
        }
        assert_eq!(cache(&place, "invalidate --plugin echo-c seen echo.?").fine().stdout, "2\n");
        assert_eq!(cache(&place, "list --plugin echo-c seen").fine().stdout, "");
        assert_eq!(
            cache(&place, "invalidate --plugin echo-c --tag none --json").fine().json(),
            [json!({ "count": 0 })]
        );
        assert_eq!(cache(&place, "invalidate --plugin echo-c --tenant acme seen --all").fine().stdout, "1\n");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_a_status_of_its_own() {
    let place = place("memory");
    let _host = running(&place);
    for (arguments, code, said) in [
        ("get --plugin echo-c seen gone", 1, "there is no item \"gone\" in \"seen\""),
        ("get --plugin nobody seen gone", 3, "plugin \"nobody\""),
        ("list --plugin nobody seen", 3, "`pintle plugins` shows all"),
        ("stats --plugin nobody", 3, "the cache knows of no plugin \"nobody\""),
        ("invalidate --plugin echo-c seen [a", 1, "`pattern`"),
        ("list --plugin echo-c seen --limit 0", 2, "--limit"),
        ("list seen", 2, "--plugin <ID>"),
        ("invalidate --plugin echo-c seen", 2, "PATTERN"),
        ("invalidate --plugin echo-c", 2, "NAMESPACE"),
        ("invalidate --plugin echo-c seen * --all", 2, "cannot be used with"),
        ("invalidate --plugin echo-c seen --tag t", 2, "cannot be used with"),
        ("get --plugin echo-c seen a --raw --json", 2, "cannot be used with"),
    ] {
        let answer = cache(&place, arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(code), ""), "{arguments}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments}: {}", answer.stderr);
    }
}

#[test]
fn a_cache_on_disk_is_looked_into_where_no_host_runs_and_is_there_when_one_runs_again() {
    let place = place("sqlite");
    let host = running(&place);
    fill(&place);
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    let listed = cache(&place, "list --plugin echo-c seen");
    assert_eq!((listed.code, sorted(&listed)), (Some(0), vec!["echo.a", "echo.b"]));
    assert_eq!(listed.stderr, "pintle: no host runs on data: this is what is in its cache.db\n");
    let item = cache(&place, "get --plugin echo-c seen echo.b --json").json();
    assert_eq!(item[0]["value"], "2");
    assert_eq!(cache(&place, "invalidate --plugin echo-c seen *.a").stdout, "1\n");
    assert!(cache(&place, "").stdout.contains("echo-c"), "a plugin that has left something is told");
    assert_eq!(cache(&place, "list --plugin nobody seen").code, Some(3));
    let _host = running(&place);
    place.ask(&["emit", "echo.b", "--wait"]).fine();
    assert_eq!(cache(&place, "get --plugin echo-c seen echo.b --raw").fine().stdout, "3");
    assert_eq!(cache(&place, "list --plugin echo-c --tenant acme seen").fine().stdout, "echo.a\n");
}

#[test]
fn a_cache_in_memory_is_gone_with_its_host() {
    let place = place("memory");
    let host = running(&place);
    fill(&place);
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    for arguments in [
        "",
        "stats",
        "list --plugin echo-c seen",
        "get --plugin echo-c seen echo.a",
        "invalidate --plugin echo-c seen --all",
    ] {
        let answer = cache(&place, arguments);
        assert_eq!((answer.code, &*answer.stdout), (Some(5), ""), "{arguments}: {}", answer.stderr);
        let said =
            "pintle: no host runs on data, and what it had in its cache was in memory alone: start one with";
        assert!(answer.stderr.starts_with(said), "{arguments}: {}", answer.stderr);
    }
}

#[test]
fn a_damaged_cache_is_set_aside_by_whoever_finds_it_and_said() {
    let place = place("sqlite");
    let host = running(&place);
    fill(&place);
    host.signal("TERM");
    assert_eq!(host.ended().code, Some(0));
    let damage = || std::fs::write(place.path("data/cache.db"), "this is no database").expect("it is ours");
    damage();
    // Who asks for something else leaves it alone.
    place.ask(&["stats"]);
    assert_eq!(std::fs::read(place.path("data/cache.db")).expect("it is there"), b"this is no database");
    let answer = cache(&place, "stats");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("back end  sqlite: it works\n"), "{}", answer.stdout);
    assert!(
        answer.stderr.contains("data/cache.db") && answer.stderr.contains("moved to"),
        "{}",
        answer.stderr
    );
    damage();
    let _host = running(&place);
    let report = cache(&place, "stats").fine().stdout;
    assert!(report.contains("\nreported  ") && report.contains("moved to"), "{report}");
    let log = std::fs::read_to_string(place.path("log")).expect("there is one");
    assert!(log.lines().any(|line| line.contains("cache.db") && line.contains("moved to")), "{log}");
    fill(&place);
    assert_eq!(sorted(&cache(&place, "list --plugin echo-c seen").fine()), ["echo.a", "echo.b"]);
}
