//! Calls per second.

use crate::keeper::{Place, ask, ask_of};

/// How many of these commands a keeper with this quota gets through, and what the first one is told that it does not.
fn tried(quota: &str, tenant: &str, commands: usize) -> (usize, Option<String>) {
    let place = Place::new()
        .keeper("keeper", &[])
        .keeper("second", &[])
        .toml(&format!("[plugin.keeper.quota]\n{quota}"));
    let host = place.started();
    let answers = ask(&host, tenant, &"exists n k\n".repeat(commands));
    // Its neighbour is not held to it.
    let neighbour = ask_of(&host, "second", tenant, &"exists n k\n".repeat(commands));
    assert!(neighbour.iter().all(|answer| answer == "0 0"), "{neighbour:?}");
    let refused = answers.iter().find(|answer| *answer != "0 0").cloned();
    (answers.iter().filter(|answer| *answer == "0 0").count(), refused)
}

#[test]
fn everywhere_10_more_calls_per_second_than_the_settings_allow_is_quota() {
    // `load` has made one; a test that is slow is let through a few more.
    let (through, refused) = tried("calls_per_second = 20", "", 2_000);
    assert!((15..1_000).contains(&through), "{through}");
    assert_eq!(
        refused.expect("2,000 are too many"),
        "10 plugin \"keeper\": it calls the host more than 20 times a second: call less often, or raise plugin.keeper.quota.calls_per_second in the host's settings 7"
    );
}

#[test]
fn everywhere_10_a_tenants_calls_have_a_quota_of_their_own() {
    let (through, refused) = tried("tenant_calls_per_second = 20", "acme", 2_000);
    assert!((15..1_000).contains(&through), "{through}");
    assert!(refused.expect("2,000 are too many").contains("20 times a second for one tenant"));
}

#[test]
fn without_a_quota_nothing_is_refused() {
    let host = Place::new().keeper("keeper", &[]).started();
    let answers = ask(&host, "", &"exists n k\n".repeat(5_000));
    assert!(answers.iter().all(|answer| answer == "0 0"));
}
