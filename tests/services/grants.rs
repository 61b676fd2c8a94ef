//! What the manifest asks for of cache and storage, narrowed by the operator.

use crate::keeper::{Place, expect};

#[test]
fn everywhere_8_what_the_manifest_does_not_ask_for_is_denied_with_the_line_to_add() {
    let place = Place::new().keeper(
        "keeper",
        &[
            "-DCACHE={ \"methods\": [\"get\", \"set\"], \"namespaces\": [\"mine\", \"ours\"] }",
            "-DSTORAGE={ \"methods\": [\"get\"] }",
        ],
    );
    let host = place.started();
    expect(
        &host,
        "",
        &[
            ("set mine k v 0", "0"),
            ("get ours k", "1 …"),
            (
                "get theirs k",
                "3 plugin \"keeper\": it may not use the cache namespace \"theirs\": add it to \"services\": { \"cache\": { \"namespaces\": [\"theirs\"] } } in its manifest, or, if it is there, to the host's settings",
            ),
            ("set theirs k v", "3 …"),
            (
                "incr mine k 1",
                "3 plugin \"keeper\": it may not call cache.incr: add \"cache\": {} to \"services\"…",
            ),
            ("into mine k 5", "0 len=1 …"),
            ("remove mine k", "3 …"),
            ("exists mine k", "3 …"),
            ("expire mine k 1 0", "3 …"),
            ("ttl mine k", "3 …"),
            ("get mine k", "0 bytes v endless"),
            // A method stands for all that it could do in one step: these read, and these write.
            ("getmany mine k", "0 0:0:v"),
            ("getmany theirs k", "3 …"),
            ("setmany mine k v", "0 0"),
            ("setmany theirs k v", "3 …"),
            ("absent mine other", "0"),
            ("absent theirs k", "3 …"),
            ("invalidate mine k", "3 plugin \"keeper\": it may not call cache.invalidate…"),
            ("untag t", "3 plugin \"keeper\": it may not call cache.invalidate…"),
            ("clear mine", "3 …"),
            ("keys mine %- %- 0", "3 …"),
            ("stats", "3 …"),
            ("sget k", "1 …"),
            (
                "sset k v",
                "3 plugin \"keeper\": it may not call storage.set: add \"storage\": {} to \"services\"…",
            ),
            ("sremove k", "3 …"),
            ("sexists k", "3 …"),
            ("skeys %- %- 0", "3 …"),
            ("sclear", "3 …"),
        ],
    );
}

#[test]
fn everywhere_9_settings_narrow_methods_and_namespaces_and_never_widen() {
    let cases: [(&str, &[(&str, &str)]); 5] = [
        (
            "namespaces = ['a', 'elsewhere']",
            &[("set a k v", "0"), ("set b k v", "3 …"), ("set elsewhere k v", "3 …")],
        ),
        ("namespaces = []", &[("set a k v", "3 …"), ("set b k v", "3 …")]),
        (
            "methods = ['cache.get', 'cache.set', 'storage.get']",
            &[
                ("set a k v", "0"),
                ("get a k", "0 …"),
                ("remove a k", "3 …"),
                ("sget k", "1 …"),
                ("sset k v", "3 …"),
            ],
        ),
        ("services = ['cache']", &[("set a k v", "0"), ("sget k", "3 …"), ("emit t d", "3 …")]),
        ("services = ['storage']", &[("set a k v", "3 …"), ("sset k v", "0 …")]),
    ];
    for (grants, table) in cases {
        let place = Place::new()
            .keeper("keeper", &["-DCACHE={ \"namespaces\": [\"a\", \"b\"] }"])
            .toml(&format!("[plugin.keeper.grants]\n{grants}"));
        expect(&place.started(), "", table);
    }
}

#[test]
fn without_a_list_of_namespaces_all_are_the_plugins_and_settings_narrow_them_too() {
    expect(&Place::new().keeper("keeper", &[]).started(), "", &[("set any k v", "0")]);
    let place = Place::new().keeper("keeper", &[]).toml("[plugin.keeper.grants]\nnamespaces = ['one']");
    expect(&place.started(), "", &[("set one k v", "0"), ("set any k v", "3 …")]);
}
