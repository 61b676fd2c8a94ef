//! One plugin serves the system scope and tenants: nothing of one is seen in another. Every pair, for everything that a
//! plugin can leave behind.

use crate::keeper::{Place, ask, ask_of, expect, keeper, until};

/// The scopes: the system's, two tenants, and one whose name is a part of another's.
const SCOPES: [&str; 4] = ["", "a", "b", "ab"];

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCOPES.into_iter().flat_map(|from| SCOPES.into_iter().map(move |to| (from, to)))
}

#[test]
fn everywhere_4_6_what_one_scope_keeps_in_cache_and_storage_no_other_sees() {
    for (from, to) in pairs() {
        let (_place, host) = keeper();
        let there = from == to;
        expect(&host, from, &[("set n k secret 0", "0"), ("incr n i 5 0", "0 5"), ("sset k secret", "0 …")]);
        let (get, exists, incr, sget, keys) = match there {
            true => ("0 bytes secret endless", "0 1", "0 6", "0 secret …", "0 k next="),
            false => ("1 …", "0 0", "0 1", "1 …", "0 next="),
        };
        expect(
            &host,
            to,
            &[
                ("get n k", get),
                ("exists n k", exists),
                ("into n k 64", if there { "0 len=6 …" } else { "1 …" }),
                ("ttl n k", if there { "0 endless" } else { "1 …" }),
                ("expire n k 60000 0", exists),
                ("incr n i 1", incr),
                ("sget k", sget),
                ("sexists k", exists),
                ("skeys %- %- 0", keys),
                ("remove n k", exists),
                ("sclear", exists),
            ],
        );
        // What `to` has removed is gone for `to` alone.
        if !there {
            expect(
                &host,
                from,
                &[("get n k", "0 bytes secret endless"), ("incr n i 0", "0 5"), ("sget k", "0 secret …")],
            );
        }
    }
}

#[test]
fn everywhere_4_neither_do_plugins_whatever_they_and_their_tenants_are_called() {
    // Joined, the names of these scopes are the same.
    let place = Place::new().keeper("k", &[]).keeper("ka", &[]).keeper("k-a", &[]);
    let host = place.started();
    let scopes = [("k", "ab"), ("ka", "b"), ("k", "a"), ("ka", ""), ("k-a", "b"), ("k", ""), ("k", "-ab")];
    for (at, (name, tenant)) in scopes.iter().enumerate() {
        let answers =
            ask_of(&host, name, tenant, &format!("exists n k\nsexists k\nset n k {at}\nsset k {at}"));
        assert_eq!(answers[..2], ["0 0", "0 0"], "{name} for {tenant:?}");
    }
    for (at, (name, tenant)) in scopes.iter().enumerate() {
        let answers = ask_of(&host, name, tenant, "get n k\nsget k\nskeys %- %- 0");
        assert!(answers[0].starts_with(&format!("0 bytes {at} ")), "{name} for {tenant:?}: {answers:?}");
        assert!(answers[1].starts_with(&format!("0 {at} ")), "{name} for {tenant:?}: {answers:?}");
    }
    // Nor can a namespace and a key be chosen so that they meet another pair.
    let answers = ask_of(&host, "k", "", "set xy z 1\nset x yz 2\nget xy z\nget x yz");
    assert!(answers[2].starts_with("0 bytes 1 ") && answers[3].starts_with("0 bytes 2 "), "{answers:?}");
}

#[test]
fn everywhere_6_an_event_of_one_tenant_is_not_heard_by_another_and_by_the_system_under_its_tenant() {
    let (_place, host) = keeper();
    for scope in SCOPES {
        expect(&host, scope, &[(&format!("listen by-{scope} plugin.keeper.said"), "0")]);
    }
    for from in SCOPES {
        expect(&host, from, &[(&format!("emit said from-{from}"), "0")]);
    }
    let mut expected: Vec<String> = pairs()
        .filter(|(from, to)| from == to || to.is_empty())
        .map(|(from, to)| format!("event by-{to} tenant={from} data=from-{from}"))
        .collect();
    expected.sort();
    let heard = || {
        let mut heard = ask(&host, "", "heard");
        heard[0].drain(..2);
        heard.retain(|line| !line.is_empty());
        heard.sort();
        heard
    };
    until("all are heard", || heard().len() >= expected.len());
    assert!(host.wait_idle(std::time::Duration::from_secs(20)));
    assert_eq!(heard(), expected);
}

#[test]
fn everywhere_6_a_job_of_one_scope_runs_there_and_another_of_its_name_elsewhere() {
    let (_place, host) = keeper();
    let mut handles = Vec::new();
    for scope in SCOPES {
        let answer = &ask(&host, scope, &format!("every tick 1 of-{scope}"))[0];
        handles.push(answer.strip_prefix("0 ").expect("it is scheduled").to_owned());
    }
    let heard = || ask(&host, "", "heard");
    for scope in SCOPES {
        let line = format!("job of-{scope} tenant={scope}");
        until(&line, || heard().iter().any(|heard| heard.trim_start_matches("0 ") == line));
    }
    for line in heard().iter().filter(|line| !line.is_empty()) {
        let line = line.trim_start_matches("0 ");
        let (of, tenant) =
            line.strip_prefix("job of-").and_then(|line| line.split_once(" tenant=")).expect(line);
        assert_eq!(of, tenant, "it ran in the scope that scheduled it");
    }
    // One goes; the others of its name go on.
    expect(&host, "a", &[(&format!("stop {}", handles[1]), "0")]);
    assert_eq!(host.jobs().len(), SCOPES.len() - 1);
}

#[test]
fn contract_29_49_a_held_context_acts_in_its_own_scope_wherever_it_is_used() {
    for (from, to) in pairs() {
        let (_place, host) = keeper();
        expect(&host, from, &[("hold it", "0")]);
        expect(
            &host,
            to,
            &[
                ("as it set n k held 0", "0"),
                ("as it sset k held", "0 …"),
                ("as it incr n i 3 0", "0 3"),
                ("as it listen held plugin.keeper.x", "0"),
                ("exists n k", if from == to { "0 1" } else { "0 0" }),
                ("sexists k", if from == to { "0 1" } else { "0 0" }),
            ],
        );
        expect(&host, from, &[("get n k", "0 bytes held endless"), ("sget k", "0 held …")]);
        // Another tenant's event does not reach the subscription that was made with it.
        expect(&host, to, &[("emit x d", "0")]);
        expect(&host, from, &[("emit x d", "0")]);
        assert!(host.wait_idle(std::time::Duration::from_secs(20)));
        let heard = ask(&host, "", "heard").iter().filter(|line| line.contains("event held")).count();
        let expected = if from == to || from.is_empty() { 2 } else { 1 };
        assert_eq!(heard, expected, "held in {from:?}, used in {to:?}");
    }
}
