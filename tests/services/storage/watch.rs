//! Watches: what they are told, in which order, and what they make up for.

use pintle::Host;

use super::version;
use crate::keeper::{Place, ask, ask_of, expect, keeper, until};

/// What watches were told, a line each.
fn heard(host: &Host) -> Vec<String> {
    let mut lines = ask(host, "", "heard");
    let first = lines.first_mut().expect("there is an answer");
    *first = first.strip_prefix("0 ").unwrap_or(first).to_owned();
    lines.retain(|line| !line.is_empty());
    lines
}

/// The same without versions, as soon as there are so many.
fn told(host: &Host, count: usize) -> Vec<String> {
    until("the changes are told", || heard(host).len() >= count);
    let lines = heard(host);
    lines.iter().map(|line| line.split(" version=").next().unwrap_or_default().to_owned()).collect()
}

/// The keeper's, with so many calls at once that one can open what another waits for.
fn wide() -> Place {
    Place::new().keeper("keeper", &["-DCONCURRENCY=2"])
}

#[test]
fn storage_8_a_watch_tells_every_change_of_its_prefix_in_order_removals_too() {
    let (_place, host) = keeper();
    let watch = &ask(&host, "", "sput a/0 before\nswatch w a/")[1];
    assert!(watch.starts_with("0 "), "{watch}");
    ask(&host, "", "sput a/1 x\nsput b/1 x\nsbatch set:a/2:x;remove:a/1;incr:a/n:1\nsput a/short x ttl=1");
    until("it expires", || ask(&host, "", "sexists a/short") == ["0 0"]);
    let expected = ["set a/1", "set a/2", "removed a/1", "set a/n", "set a/short", "expired a/short"];
    assert_eq!(told(&host, expected.len()), expected.map(|change| format!("watch w {change}")));
    ask(&host, "", "sexpire a/2 100000\nsexpire a/2 -1\nsclear\nsput a/3 x");
    let more = ["set a/2", "removed a/2", "cleared ", "set a/3"];
    let all: Vec<_> = expected.into_iter().chain(more).map(|change| format!("watch w {change}")).collect();
    assert_eq!(told(&host, all.len()), all);
    let versions: Vec<u64> = heard(&host).iter().map(|line| version(line)).collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
}

#[test]
fn storage_8_a_watch_is_told_of_its_tenant_and_plugin_alone() {
    let place = Place::new().keeper("keeper", &[]).keeper("second", &[]);
    let host = place.started();
    ask(&host, "a", "swatch of-a %-");
    ask(&host, "", "swatch of-none %-");
    for tenant in ["", "a", "b"] {
        ask_of(&host, "second", tenant, "sput theirs x");
        ask(&host, tenant, &format!("sput of-{tenant} x"));
    }
    until("both are told", || heard(&host).len() >= 2);
    let mut lines: Vec<_> = heard(&host);
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("watch of-a set of-a ") && lines[0].ends_with("tenant=a"), "{lines:?}");
    assert!(lines[1].starts_with("watch of-none set of- ") && lines[1].ends_with("tenant="), "{lines:?}");
}

#[test]
fn storage_8_a_watch_goes_on_after_a_restart_by_the_version_that_it_was_told_last() {
    let (place, host) = keeper();
    ask(&host, "", "sput a/gone x\nswatch w a/\nsput a/1 x");
    until("it is told", || !heard(&host).is_empty());
    let last = version(&heard(&host)[0]);
    ask(&host, "", "sremove a/gone\nsput a/2 x\nsput b/1 x\nsput a/3 x");
    host.stop();
    let host = place.started();
    expect(&host, "", &[(&format!("swatch again a/ {last}"), "0 …"), ("swatch all a/ 0", "0 …")]);
    let mut lines = told(&host, 6);
    lines.sort();
    let expected = [
        "again removed a/gone",
        "again set a/2",
        "again set a/3",
        "all set a/1",
        "all set a/2",
        "all set a/3",
    ];
    assert_eq!(lines, expected.map(|change| format!("watch {change}")));
    expect(&host, "", &[("swatch never a/ 1000000", "8 …")]);
}

#[test]
fn storage_8_a_watch_that_begins_with_0_is_told_every_item_that_is_there_and_no_removal_from_before() {
    let (place, host) = keeper();
    ask(&host, "", "sfill a/ 700\nsremove a/3\nsput b x");
    host.stop();
    let host = place.started();
    ask(&host, "", "swatch w a/ 0\nsput a/new x");
    until("all are told", || heard(&host).len() >= 700);
    let lines = told(&host, 700);
    let there: Vec<_> = (0..700).filter(|at| *at != 3).map(|at| format!("watch w set a/{at}")).collect();
    assert_eq!(lines[..699], there);
    assert_eq!(lines[699..], ["watch w set a/new"]);
}

#[test]
fn storage_8_what_a_held_handler_cannot_take_is_told_later_and_nothing_is_missed() {
    let host = wide().started();
    ask(&host, "", "swatch w a/\nshut\nsput a/first x");
    until("its handler waits", || heard(&host).len() == 1);
    ask(&host, "", "sfill a/ 5000\nsput b x\nopen");
    until("all are told", || heard(&host).len() >= 5_001);
    let lines = heard(&host);
    let keys: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').nth(3)).collect();
    let expected: Vec<_> = (0..5_000).map(|at| format!("a/{at}")).collect();
    assert_eq!((keys[0], &keys[1..]), ("a/first", &*expected.iter().map(String::as_str).collect::<Vec<_>>()));
    ask(&host, "", "sput a/last x");
    until("it goes on", || heard(&host).last().is_some_and(|line| line.starts_with("watch w set a/last ")));
    assert_eq!(heard(&host).len(), 5_002, "nothing is told twice");
}

#[test]
fn storage_8_a_handler_that_fails_is_counted_and_logged_and_the_watch_goes_on() {
    let (place, host) = keeper();
    ask(&host, "", "swatch failing %-\nsput one x\nsput two x");
    assert_eq!(told(&host, 2), ["watch failing set one", "watch failing set two"]);
    let failed = |host: &Host| host.plugins()[0].counters.failed_handled;
    until("both are counted", || failed(&host) == 2);
    until("it is logged", || place.log().matches("no more ink").count() == 2);
}

#[test]
fn contract_65_a_watch_that_ends_is_released_once_and_is_told_nothing_more() {
    let (_place, host) = keeper();
    let answer = &ask(&host, "", "swatch w %-")[0];
    let handle = answer.strip_prefix("0 ").expect("it is made").to_owned();
    expect(&host, "", &[(&format!("sunwatch {handle}"), "0"), (&format!("sunwatch {handle}"), "4 …")]);
    ask(&host, "", "sput k v");
    until("it is released", || heard(&host) == ["released w"]);
}

#[test]
fn storage_8_a_watch_made_in_load_is_told_from_enable_on_also_what_changed_while_it_was_disabled() {
    let place = wide().toml("[plugin.keeper]\nconfig = { load = \"swatch w %-\" }");
    let host = place.started();
    ask(&host, "", "sput before x\nhold own");
    until("it is told", || heard(&host).len() == 1);
    host.disable("keeper").expect("it can be");
    host.enable("keeper").expect("it can be");
    ask(&host, "", "sput after x");
    assert_eq!(told(&host, 2), ["watch w set before", "watch w set after"], "it is the same watch");
}

#[test]
fn storage_8_a_plugin_is_unloaded_with_changes_that_wait() {
    let place = wide();
    let host = place.started();
    ask(&host, "", "swatch w %-\nshut\nsput first x");
    until("its handler waits", || heard(&host).len() == 1);
    ask(&host, "", "sfill a/ 2000\nopen");
    host.unload("keeper").expect("it can be");
    host.load("keeper").and_then(|_| host.enable("keeper")).expect("it comes again");
    ask(&host, "", "sput next x");
    assert_eq!(heard(&host), Vec::<String>::new(), "its watch went with it");
}
