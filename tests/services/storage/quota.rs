//! How much a plugin may keep.

use crate::keeper::{Place, ask, expect};

fn with(flags: &[&str], quota: &str) -> pintle::Host {
    Place::new().keeper("keeper", flags).toml(&format!("[plugin.keeper.quota]\n{quota}")).started()
}

#[test]
fn everywhere_11_more_items_or_bytes_than_the_settings_allow_is_quota() {
    let host = with(&[], "storage_items = 3\nstorage_bytes = 100");
    expect(
        &host,
        "a",
        &[
            ("sput 1 x", "0 version=…"),
            ("sput 2 x", "0 version=…"),
            ("sstats", "0 items=2 bytes=4 most_items=3 most_bytes=100 version=…"),
        ],
    );
    expect(
        &host,
        "b",
        &[
            ("sput 3 x", "0 version=…"),
            ("sput 4 x", "10 …"),
            ("sincr 4 1", "10 …"),
            ("sbatch set:4:x", "10 …"),
            ("sbatch remove:3;set:4:x", "0 failed=2 …"),
            ("sput 4 %*100", "10 …"),
            ("sget 4", "0 x version=…"),
            ("sput 4 %*90", "0 version=…"),
        ],
    );
    expect(&host, "a", &[("sput 1 much-longer", "10 …"), ("sput 1 y", "0 version=…"), ("sremove 1", "0 1")]);
    expect(&host, "b", &[("sput 5 y", "0 version=…")]);
}

#[test]
fn everywhere_11_a_tenant_has_a_quota_of_its_own() {
    let host = with(&[], "tenant_storage_items = 1\ntenant_storage_bytes = 10");
    for tenant in ["", "a", "b"] {
        expect(
            &host,
            tenant,
            &[
                ("sput k %*9", "0 version=…"),
                ("sput l x", "10 …"),
                ("sput k %*10", "10 …"),
                ("sstats", "0 items=1 bytes=10 most_items=1 most_bytes=10 version=…"),
            ],
        );
    }
}

#[test]
fn everywhere_11_a_manifest_lowers_what_the_settings_allow_and_never_raises_it() {
    let limits = "-DLIMITS={ \"storage_items\": 2, \"storage_bytes\": 1000 }";
    let host = with(&[limits], "storage_bytes = 50");
    let stats = "0 items=0 bytes=0 most_items=2 most_bytes=50 version=…";
    expect(
        &host,
        "",
        &[
            ("sstats", stats),
            ("sput 1 x", "0 …"),
            ("sput 2 x", "0 …"),
            ("sput 3 x", "10 …"),
            ("sput 1 %*50", "10 …"),
        ],
    );
    let host = Place::new().keeper("keeper", &[limits]).started();
    assert!(
        ask(&host, "", "sstats")[0].contains("most_items=2 most_bytes=1000"),
        "without settings it counts too"
    );
}
