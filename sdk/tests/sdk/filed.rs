//! Files and resources through the SDK's safe methods, on the test host: what comes back, in each case.

use std::time::Duration;

use pintle_plugin::{CheckedWrite, Context, Plugin, Result, Status, plugin, test::Host};

/// Reads its table while it is loaded, and files what it is told.
struct Archive {
    columns: String,
}

plugin!(
    Archive,
    inline r#"{
        "id": "archive", "version": "1.0.0", "abi": "1.0",
        "services": { "files": { "methods": ["put", "resource", "list"] }, "events": { "subscribe": ["file.>"] } },
        "files": ["data/table.csv", "missing"]
    }"#,
    entry = archive
);

impl Plugin for Archive {
    fn load(cx: &Context) -> Result<Self> {
        assert_eq!(cx.files().put("early", b"").expect_err("too early").status(), Status::Unavailable);
        let table = String::from_utf8(cx.files().resource("data/table.csv")?)?;
        Ok(Self { columns: table.lines().next().unwrap_or_default().to_owned() })
    }

    fn enable(&self, cx: &Context) -> Result<()> {
        cx.files().put("columns", self.columns.as_bytes())?;
        for (denied, method) in [
            (cx.files().get("columns").map(drop), "get"),
            (cx.files().read("columns", 0, 1).map(drop), "read"),
            (cx.files().stat("columns").map(drop), "stat"),
            (cx.files().remove("columns").map(drop), "remove"),
        ] {
            let error = denied.expect_err("it was not asked for");
            assert_eq!(error.status(), Status::Denied);
            assert!(error.message().contains(&format!("call files.{method}")), "{error}");
        }
        Ok(())
    }
}

#[test]
fn a_resource_is_what_the_test_says_if_the_manifest_lists_it() -> Result<()> {
    let host = Host::new();
    host.put_resource("data/table.csv", "a,b\n1,2\n");
    host.put_resource("unlisted", "x");
    let host = host.start::<Archive>()?;
    assert_eq!(host.files().get("columns")?.as_deref(), Some(&b"a,b"[..]));
    let status = |name: &str| host.files().resource(name).expect_err("it is none").status();
    assert_eq!(status("unlisted"), Status::NotFound);
    assert_eq!(status("missing"), Status::Unavailable, "the test has not said what is in it");
    Ok(())
}

#[test]
fn what_was_put_is_there_for_its_tenant_with_what_is_known_of_it() -> Result<()> {
    let host = Host::new();
    let files = host.context().files();
    assert_eq!((files.get("a/b")?, files.stat("a/b")?, files.remove("a/b")?), (None, None, false));
    let first = files.put("a/b", b"0123456789")?;
    assert_eq!((first.len, first.created, first.updated), (10, host.now(), host.now()));
    assert_eq!(files.read("a/b", 8, 5)?.as_deref(), Some(&b"89"[..]));
    assert_eq!(files.read("a/b", 10, 5)?.as_deref(), Some(&b""[..]));
    host.advance(Duration::from_secs(1))?;
    let second = files.put("a/b", b"")?;
    assert!(
        second.version > first.version && second.created == first.created && second.updated == host.now()
    );
    assert_eq!((files.get("a/b")?, files.stat("a/b")?), (Some(Vec::new()), Some(second)));
    assert_eq!(host.tenant("acme").files().get("a/b")?, None);
    assert_eq!((files.remove("a/b")?, files.get("a/b")?), (true, None));
    Ok(())
}

#[test]
fn a_version_guards_a_write_and_no_conflict_is_an_error() -> Result<()> {
    let host = Host::new();
    let files = host.context().files();
    let CheckedWrite::Written(first) = files.create("a", b"1")? else { panic!("nobody was there") };
    assert_eq!(files.create("a", b"2")?, CheckedWrite::Conflict(Some(first)));
    let CheckedWrite::Written(second) = files.put_if_version("a", b"2", first)? else { panic!("it was it") };
    assert_eq!(files.put_if_version("a", b"3", first)?, CheckedWrite::Conflict(Some(second)));
    assert_eq!(files.put_if_version("b", b"3", first)?, CheckedWrite::Conflict(None));
    assert_eq!((files.get("a")?, files.get("b")?), (Some(b"2".to_vec()), None));
    Ok(())
}

#[test]
fn a_list_goes_through_all_pages_in_byte_order() -> Result<()> {
    let host = Host::new();
    let files = host.context().files();
    let all: Vec<String> = (0..600).map(|number| format!("n/{number:03}")).collect();
    for path in all.iter().rev() {
        files.put(path, b"")?;
    }
    files.put("m", b"")?;
    assert_eq!(files.list("n/").collect::<Result<Vec<_>>>()?, all);
    let page = files.page("", "", 1)?;
    assert_eq!(page.keys, ["m"]);
    assert_eq!(files.page("", &page.next.expect("there is more"), 2)?.keys, ["n/000", "n/001"]);
    for wrong in ["../x", "/x", "x/", "a//b", "a\\b", "a\nb", ""] {
        assert_eq!(
            files.put(wrong, b"").expect_err("no path").status(),
            Status::InvalidArgument,
            "{wrong:?}"
        );
    }
    Ok(())
}
