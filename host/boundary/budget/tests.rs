//! Windows and limits, at times of the test's choice.

use super::*;

const NONE: Limits = Limits {
    window: Duration::from_secs(10),
    slow_after: None,
    slow: None,
    stuck: None,
    errors_percent: None,
    errors_least: 20,
};

const FINE: Done = Done::Handler { failed: false, slow: false };
const FAILED: Done = Done::Handler { failed: true, slow: false };
const SLOW: Done = Done::Handler { failed: false, slow: true };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Notes things at milliseconds, as far as the first that is too much: its number and what is said.
fn first_excess(limits: &Limits, done: impl IntoIterator<Item = (u64, Done)>) -> Option<(usize, String)> {
    let mut window = Window::new(limits.window);
    done.into_iter().enumerate().find_map(|(number, (at, done))| {
        window.note(ms(at), done);
        limits.exceeded(&window).map(|excess| (number, format!("{}: {}", excess.reason.name(), excess.text)))
    })
}

fn all_at(at: u64, done: &[(Done, usize)]) -> Vec<(u64, Done)> {
    done.iter().flat_map(|(done, times)| vec![(at, *done); *times]).collect()
}

#[test]
fn budgets_1_each_budget_is_used_up_by_the_first_beyond_its_limit_and_by_none_before() {
    let slow = |most| Limits { slow_after: Some(ms(100)), slow: Some(most), ..NONE };
    let stuck = |most| Limits { stuck: Some(most), ..NONE };
    let errors = |percent, least| Limits { errors_percent: Some(percent), errors_least: least, ..NONE };
    type Case<'a> = (&'a str, Limits, &'a [(Done, usize)], Option<(usize, &'a str)>);
    let cases: [Case<'_>; 20] = [
        ("nothing is set", NONE, &[(FAILED, 500), (SLOW, 500), (Done::Stuck, 500)], None),
        ("none is slow", slow(0), &[(FINE, 100), (FAILED, 100), (Done::Stuck, 9)], None),
        (
            "the first",
            slow(0),
            &[(FINE, 100), (SLOW, 1)],
            Some((100, "slow: 1 handler took longer than 100 ms within 10 s, none is allowed")),
        ),
        ("as many as are tolerated", slow(3), &[(SLOW, 3), (FINE, 1_000)], None),
        (
            "one more",
            slow(3),
            &[(SLOW, 3), (FINE, 10), (SLOW, 1)],
            Some((13, "slow: 4 handlers took longer than 100 ms within 10 s, 3 are allowed")),
        ),
        ("slow without a limit", Limits { slow: None, ..slow(0) }, &[(SLOW, 9)], None),
        ("none is stuck", stuck(0), &[(FINE, 10), (FAILED, 10), (SLOW, 10)], None),
        (
            "the first",
            stuck(0),
            &[(Done::Stuck, 1)],
            Some((0, "stuck: 1 call went past the deadline within 10 s, none is allowed")),
        ),
        ("as many as are tolerated", stuck(1), &[(Done::Stuck, 1)], None),
        (
            "one more",
            stuck(1),
            &[(Done::Stuck, 2)],
            Some((1, "stuck: 2 calls went past the deadline within 10 s, 1 is allowed")),
        ),
        ("too few to say", errors(0, 20), &[(FAILED, 19)], None),
        (
            "just enough",
            errors(0, 20),
            &[(FAILED, 20)],
            Some((19, "errors: 20 of 20 handlers failed within 10 s, 0 % are allowed")),
        ),
        (
            "one that is fine makes them enough",
            errors(50, 20),
            &[(FAILED, 19), (FINE, 1)],
            Some((19, "errors: 19 of 20 handlers failed within 10 s, 50 % are allowed")),
        ),
        ("just the part that may fail", errors(25, 20), &[(FINE, 30), (FAILED, 10)], None),
        (
            "one more",
            errors(25, 20),
            &[(FINE, 30), (FAILED, 11)],
            Some((40, "errors: 11 of 41 handlers failed within 10 s, 25 % are allowed")),
        ),
        ("all but one", errors(99, 1), &[(FINE, 1), (FAILED, 99)], None),
        (
            "all but one of more",
            errors(99, 1),
            &[(FINE, 1), (FAILED, 100)],
            Some((100, "errors: 100 of 101 handlers failed within 10 s, 99 % are allowed")),
        ),
        ("those that are stuck are no handlers yet", errors(0, 2), &[(Done::Stuck, 9), (FAILED, 1)], None),
        ("none fails", errors(0, 1), &[(FINE, 100), (SLOW, 100)], None),
        (
            "the first of all",
            errors(0, 1),
            &[(FAILED, 1)],
            Some((0, "errors: 1 of 1 handlers failed within 10 s, 0 % are allowed")),
        ),
    ];
    for (name, limits, done, expected) in cases {
        let expected = expected.map(|(number, text)| (number, text.to_owned()));
        assert_eq!(first_excess(&limits, all_at(0, done)), expected, "{name}: {limits:?}");
        // The same in one part of the window, wherever it lies, and at the end of time.
        for at in [12_345, 86_400_000, u64::MAX / 1_000_000, u64::MAX] {
            assert_eq!(first_excess(&limits, all_at(at, done)), expected, "{name}, at {at} ms");
        }
    }
}

#[test]
fn budgets_1_what_lies_further_apart_than_the_window_is_not_added_up() {
    // Two are tolerated within ten seconds, that is in ten parts of a second.
    let limits = Limits { stuck: Some(2), ..NONE };
    let cases: [(&[u64], bool); 16] = [
        (&[0, 0, 0], true),
        (&[0, 4_000, 8_999], true),
        (&[0, 4_000, 9_999], true),
        (&[0, 4_000, 10_000], false),
        (&[999, 4_000, 9_999], true),
        (&[999, 4_000, 10_000], false),
        (&[1_000, 4_000, 10_000], true),
        (&[0, 9_999, 10_000], false),
        (&[0, 10_000, 20_000, 30_000, 40_000], false),
        (&[0, 9_999, 19_998, 29_997], false),
        (&[5_000, 9_000, 14_999], true),
        (&[5_000, 9_000, 15_000, 18_999], true),
        (&[5_000, 9_000, 15_000, 19_000], false),
        (&[0, 0, 1_000_000_000_000, 1_000_000_000_000], false),
        (&[0, 0, u64::MAX, u64::MAX], false),
        // Threads that read the clock before and come behind.
        (&[20_500, 20_500, 19_900], true),
    ];
    for (at, expected) in cases {
        let last = at.len() - 1;
        let found = first_excess(&limits, at.iter().map(|at| (*at, Done::Stuck)));
        assert_eq!(found.map(|(number, _)| number), expected.then_some(last), "{at:?}");
    }
}

#[test]
fn budgets_1_an_old_success_that_leaves_the_window_no_longer_speaks_for_the_plugin() {
    let limits = Limits { errors_percent: Some(50), errors_least: 10, ..NONE };
    let mut done = all_at(0, &[(FINE, 10)]);
    done.extend(all_at(5_000, &[(FAILED, 10)]));
    assert_eq!(first_excess(&limits, done.clone()), None, "just half of them");
    done.extend(all_at(10_000, &[(FINE, 1)]));
    let told = first_excess(&limits, done);
    let text = "errors: 10 of 11 handlers failed within 10 s, 50 % are allowed";
    assert_eq!(told, Some((20, text.to_owned())));
}

#[test]
fn a_window_counts_what_a_list_of_all_would_count() {
    // A generator of its own, so that the same is tried each time.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for long in [100, 1_000, 60_000] {
        let part = long / PARTS;
        let (mut window, mut now) = (Window::new(ms(long)), 0);
        let mut list: Vec<(u64, Done)> = Vec::new();
        for _ in 0..3_000 {
            now += match random(20) {
                0 => random(3 * long),
                1 => long - 1,
                2 => long,
                _ => random(part),
            };
            let done = [FINE, FAILED, SLOW, Done::Stuck][random(4) as usize];
            window.note(ms(now), done);
            list.push((now / part, done));
            let mut expected = Counts::default();
            for (at, done) in &list {
                if at + PARTS > now / part {
                    expected.each(&Counts::from(*done), |count, by| *count += by);
                }
            }
            assert_eq!(window.sum, expected, "at {now} of {long}");
        }
    }
}

#[test]
fn windows_of_every_length_hold() {
    for long in [Duration::ZERO, Duration::from_nanos(1), ms(1), ms(86_400_000), Duration::MAX] {
        let mut window = Window::new(long);
        for at in [Duration::ZERO, ms(1), ms(1), Duration::MAX, Duration::MAX] {
            window.note(at, SLOW);
        }
        assert!((2..=5).contains(&window.sum.slow), "{long:?}");
    }
}

#[test]
fn a_handler_is_slow_that_takes_longer_than_is_said() {
    let limits = Limits { slow_after: Some(ms(100)), ..NONE };
    let exactly = [ms(0), ms(99), ms(100), ms(100) + Duration::from_nanos(1), Duration::MAX];
    assert_eq!(exactly.map(|took| limits.is_slow(took)), [false, false, false, true, true]);
    assert!(!NONE.is_slow(Duration::MAX));
}

#[test]
fn spans_are_said_in_seconds_where_they_are_whole() {
    let said = [0, 1, 999, 1_000, 1_500, 60_000, 86_400_000].map(|span_ms| span(ms(span_ms)));
    assert_eq!(said, ["0 s", "1 ms", "999 ms", "1 s", "1500 ms", "60 s", "86400 s"]);
}
