//! Operations that must happen once, through the SDK's safe methods, on the test host.

use std::{cell::Cell, time::Duration};

use pintle_plugin::{
    BeginOptions, Begun, Context, Error, Idempotency, Outcome, Plugin, Request, Result, Start, Status,
    plugin, test::Host,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn status<T: std::fmt::Debug>(outcome: Result<T>) -> Status {
    outcome.expect_err("it must fail").status()
}

#[track_caller]
fn started<'a>(begun: Result<Begun<'a>>) -> Start<'a> {
    match begun {
        Ok(Begun::Started(start)) => start,
        other => panic!("it did not start: {other:?}"),
    }
}

fn begin<'a>(operations: Idempotency<'a>, key: &str) -> Result<Begun<'a>> {
    operations.begin("charge", key, b"print")
}

#[test]
fn who_begins_starts_and_all_others_are_told() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    assert_eq!(operations.get("charge", "k")?, None);
    let start = started(begin(operations, "k"));
    assert_eq!((start.attempt(), start.taken_over(), start.begun()), (1, false, Some(host.now())));
    assert_ne!(start.token(), 0);
    host.advance(20 * SECOND)?;
    let running = Outcome::InProgress { retry_after: 40 * SECOND };
    assert!(
        matches!(begin(operations, "k")?, Begun::InProgress { retry_after } if retry_after == 40 * SECOND)
    );
    assert_eq!(operations.get("charge", "k")?, Some(running));
    assert!(matches!(operations.begin("charge", "k", b"other")?, Begun::Mismatch));
    start.complete(b"receipt")?;
    start.complete(b"receipt")?;
    assert_eq!(status(start.complete(b"other")), Status::Conflict);
    assert_eq!(status(start.renew(None)), Status::Conflict);
    assert!(matches!(begin(operations, "k")?, Begun::Done(result) if result == b"receipt"));
    assert_eq!(operations.get("charge", "k")?, Some(Outcome::Done(b"receipt".to_vec())));
    assert!(matches!(operations.begin("charge", "k", b"other")?, Begun::Mismatch));
    let acme = host.tenant("acme");
    assert_eq!(acme.idempotency().get("charge", "k")?, None, "it is another scope");
    assert_eq!(status(acme.idempotency().resume(start.token()).complete(b"receipt")), Status::Conflict);
    host.advance(DAY)?;
    assert_eq!(operations.get("charge", "k")?, None);
    Ok(())
}

#[test]
fn a_failure_is_kept_if_it_is_for_good() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    let first = started(begin(operations, "k"));
    first.fail()?;
    assert_eq!(status(first.fail()), Status::Conflict);
    let second = started(begin(operations, "k"));
    assert_eq!((second.attempt(), second.taken_over()), (1, false));
    second.fail_for_good(b"declined")?;
    second.fail_for_good(b"declined")?;
    assert!(matches!(begin(operations, "k")?, Begun::Failed(error) if error == b"declined"));
    assert_eq!(operations.get("charge", "k")?, Some(Outcome::Failed(b"declined".to_vec())));
    assert_eq!(status(second.complete(b"declined")), Status::Conflict);
    Ok(())
}

#[test]
fn what_is_dropped_keeps_others_off_until_its_lease_is_over() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    let token = started(begin(operations, "k")).token();
    host.advance(MINUTE - Duration::from_millis(1))?;
    assert!(matches!(begin(operations, "k")?, Begun::InProgress { .. }));
    host.advance(Duration::from_millis(1))?;
    assert_eq!(operations.get("charge", "k")?, None, "it is abandoned");
    let second = started(begin(operations, "k"));
    assert_eq!((second.attempt(), second.taken_over()), (2, true));
    let late = operations.resume(token);
    for refused in [late.complete(b"late"), late.fail(), late.fail_for_good(b""), late.renew(None)] {
        assert_eq!(status(refused), Status::Conflict);
    }
    second.complete(b"receipt")
}

#[test]
fn who_is_late_and_alone_may_still_end_and_renewing_prolongs() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    let options = BeginOptions::new().lease(SECOND).keep(5 * SECOND);
    let start = started(operations.begin_with("charge", "k", b"", &options));
    start.renew(Some(MINUTE))?;
    host.advance(MINUTE - SECOND)?;
    assert!(matches!(operations.begin("charge", "k", b"")?, Begun::InProgress { .. }));
    host.advance(2 * SECOND)?;
    start.renew(None)?;
    assert_eq!(operations.get("charge", "k")?, Some(Outcome::InProgress { retry_after: SECOND }));
    host.advance(3 * SECOND)?;
    let resumed = operations.resume(start.token());
    assert_eq!((resumed.attempt(), resumed.begun()), (0, None));
    resumed.complete(b"receipt")?;
    host.advance(5 * SECOND - Duration::from_millis(1))?;
    assert!(operations.get("charge", "k")?.is_some());
    host.advance(Duration::from_millis(1))?;
    assert_eq!(operations.get("charge", "k")?, None);
    assert_eq!(status(start.complete(b"receipt")), Status::Conflict, "nothing is known of it");
    Ok(())
}

#[test]
fn run_does_it_once_and_keeps_what_came_of_it() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    let done = Cell::new(0);
    let run = |outcome: Result<Vec<u8>>| {
        operations.run("charge", "k", b"print", || {
            done.set(done.get() + 1);
            outcome
        })
    };
    let error = run(Err(Error::new(Status::Busy, "not now"))).expect_err("it failed");
    assert_eq!((error.status(), error.message()), (Status::Busy, "not now"));
    for _ in 0..3 {
        assert_eq!(run(Ok(b"receipt".to_vec()))?, Outcome::Done(b"receipt".to_vec()));
    }
    assert_eq!(done.get(), 2, "once in vain, then once");
    assert_eq!(operations.run("charge", "k", b"other", || unreachable!())?, Outcome::Mismatch);
    let _held = started(operations.begin("charge", "l", b""));
    assert_eq!(
        operations.run("charge", "l", b"", || unreachable!())?,
        Outcome::InProgress { retry_after: MINUTE }
    );
    let late = operations.run("charge", "m", b"", || {
        host.advance(MINUTE)?;
        started(operations.begin("charge", "m", b"")).complete(b"theirs")?;
        Ok(b"mine".to_vec())
    });
    assert_eq!(status(late), Status::Conflict);
    assert_eq!(operations.get("charge", "m")?, Some(Outcome::Done(b"theirs".to_vec())));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = operations.run("charge", "n", b"", || panic!("in the middle"));
    }));
    assert!(panicked.is_err());
    assert!(
        matches!(operations.get("charge", "n")?, Some(Outcome::InProgress { .. })),
        "nobody knows how far it came"
    );
    Ok(())
}

#[test]
fn limits_are_those_of_the_contract() -> Result<()> {
    let host = Host::new();
    let operations = host.idempotency();
    for (operation, key) in
        [("", "k"), ("o", ""), (&*"o".repeat(129), "k"), ("o", &*"k".repeat(513)), ("o", "a\0")]
    {
        assert_eq!(status(operations.begin(operation, key, b"")), Status::InvalidArgument);
        assert_eq!(status(operations.get(operation, key)), Status::InvalidArgument);
    }
    assert_eq!(status(operations.begin("o", "k", &[0; 257])), Status::TooLarge);
    for options in [
        BeginOptions::new().lease(Duration::ZERO),
        BeginOptions::new().lease(DAY + Duration::from_millis(1)),
        BeginOptions::new().keep(Duration::ZERO),
        BeginOptions::new().keep(365 * DAY + Duration::from_millis(1)),
    ] {
        assert_eq!(status(operations.begin_with("o", "k", b"", &options)), Status::OutOfRange, "{options:?}");
    }
    assert_eq!(operations.get("o", "k")?, None, "nothing was begun");
    let most = BeginOptions::new().lease(DAY).keep(365 * DAY);
    let start = started(operations.begin_with(&"o".repeat(128), &"k".repeat(512), &[0; 256], &most));
    assert_eq!(status(start.renew(Some(DAY + Duration::from_millis(1)))), Status::OutOfRange);
    assert_eq!(status(start.renew(Some(Duration::ZERO))), Status::OutOfRange);
    assert_eq!(status(start.complete(&vec![0; (1 << 20) + 1])), Status::TooLarge);
    assert_eq!(status(start.fail_for_good(&vec![0; (1 << 20) + 1])), Status::TooLarge);
    start.complete(&vec![7; 1 << 20])?;
    assert_eq!(status(operations.resume(0).complete(b"")), Status::InvalidArgument);
    Ok(())
}

/// Charges once; may only begin and complete.
struct Till;

plugin!(
    Till,
    inline r#"{
        "id": "till", "version": "1.0.0", "abi": "1.0",
        "services": { "idempotency": { "methods": ["begin", "complete"] } },
        "provides": { "till.desk": { "major": 1, "methods": ["charge", "look"] } }
    }"#,
    entry = till
);

impl Plugin for Till {
    fn load(cx: &Context) -> Result<Self> {
        assert_eq!(status(cx.idempotency().begin("charge", "early", b"")), Status::Unavailable);
        Ok(Till)
    }

    fn call(&self, cx: &Context, request: &Request<'_>) -> Result<Vec<u8>> {
        if request.method() == "look" {
            return cx.idempotency().get("charge", "k").map(|_| Vec::new());
        }
        match cx.idempotency().run("charge", "k", request.data(), || Ok(b"receipt".to_vec()))? {
            Outcome::Done(receipt) => Ok(receipt),
            other => Err(Error::new(Status::Conflict, format!("{other:?}"))),
        }
    }
}

#[test]
fn a_plugin_meets_it_with_its_grants_and_phases_and_the_test_sees_what_it_did() -> Result<()> {
    let host = Host::new().start::<Till>()?;
    assert_eq!(status(host.call("till.desk", "look", b"")), Status::Denied);
    host.fail_next("idempotency.complete", Status::Unavailable, "the disk is full");
    assert_eq!(status(host.call("till.desk", "charge", b"5")), Status::Unavailable);
    assert!(matches!(host.idempotency().get("charge", "k")?, Some(Outcome::InProgress { .. })));
    host.advance(MINUTE)?;
    assert_eq!(host.call("till.desk", "charge", b"5")?, b"receipt");
    assert_eq!(status(host.call("till.desk", "charge", b"6")), Status::Conflict);
    host.reload()?;
    assert_eq!(host.call("till.desk", "charge", b"5")?, b"receipt");
    assert_eq!(host.idempotency().get("charge", "k")?, Some(Outcome::Done(b"receipt".to_vec())));
    assert_eq!(host.tenant("acme").idempotency().get("charge", "k")?, None);
    Ok(())
}
