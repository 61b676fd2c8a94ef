//! Alarms that nobody was there for: a host without `chronicle` raises one, as a durable event, and ends; `chronicle` gets it in the
//! next host. And how the log of durable events stands when the demo ends.

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use pintle::{Host, events::EventLogStats};

use super::kept::{alarms, with};

/// Who raises alarms, and who follows them under which name.
const RAISE: [&str; 2] = ["sysmon", "threshold"];
const FOLLOWS: (&str, &str) = ("chronicle", "alarms");

/// How long it may take until an alarm is raised, and until it is handled.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of the alarms that were raised while `chronicle` was disabled.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Waited {
    /// How many alarms chronicle had counted before, and has counted after.
    before: u64,
    after: u64,
    log: Standing,
}

#[derive(Debug, Default, PartialEq)]
struct Standing {
    events: u64,
    bytes: u64,
    /// Of chronicle's subscription.
    behind: u64,
    retries: u64,
    dead: u64,
}

impl Waited {
    /// Runs three hosts, one after the other: chronicle alone, those who raise alarms without it, and chronicle alone again.
    pub(super) fn ask(settings: &Path) -> Result<Self, String> {
        let caught_up = |host: &Host| {
            until("chronicle has handled all alarms", || Ok(standing(host)?.behind == 0))?;
            Ok((alarms(host)?, standing(host)?))
        };
        let (before, _) = with(settings, &[FOLLOWS.0], caught_up)?;
        with(settings, &RAISE, |host| {
            until("an alarm is raised without chronicle", || Ok(standing(host)?.behind > 0))
        })?;
        let (after, log) = with(settings, &[FOLLOWS.0], caught_up)?;
        if after <= before {
            return Err(format!("an alarm was lost: chronicle had counted {before}, and then {after}"));
        }
        Ok(Self { before, after, log })
    }
}

fn standing(host: &Host) -> Result<Standing, String> {
    let EventLogStats { events, bytes, consumers, .. } =
        host.event_log().map_err(|error| error.to_string())?;
    let follows = consumers.iter().find(|consumer| (&*consumer.plugin, &*consumer.name) == FOLLOWS);
    let follows = follows.ok_or_else(|| format!("{FOLLOWS:?} has no place in the log of durable events"))?;
    Ok(Standing { events, bytes, behind: follows.behind, retries: follows.retries, dead: follows.dead })
}

/// Looks again and again until it is so.
fn until(what: &str, mut so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !so()? {
        if Instant::now() > deadline {
            return Err(format!("it did not happen in {} s: {what}", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, log } = self;
        let Standing { events, bytes, behind, retries, dead } = log;
        writeln!(
            f,
            "alarms raised by a host without chronicle, which waited for it in the log: {} ({before} counted before, {after} after)",
            after.saturating_sub(*before)
        )?;
        write!(
            f,
            "durable events: {events} in the log, {bytes} bytes; {}'s subscription {}: {behind} behind, {retries} to come again, {dead} dead letters",
            FOLLOWS.0, FOLLOWS.1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_is_the_difference_and_the_log_has_a_line() {
        let log = Standing { events: 14, bytes: 2_800, behind: 0, retries: 1, dead: 2 };
        let told = Waited { before: 5, after: 7, log }.to_string();
        let lines: Vec<_> = told.lines().collect();
        assert!(lines[0].ends_with(": 2 (5 counted before, 7 after)"), "{told}");
        assert_eq!(
            lines[1],
            "durable events: 14 in the log, 2800 bytes; chronicle's subscription alarms: 0 behind, 1 to come again, 2 dead letters"
        );
    }

    #[test]
    fn what_does_not_go_well_ends_the_wait() {
        assert_eq!(until("it is so", || Err("it fails".to_owned())), Err("it fails".to_owned()));
        let mut looks = 0;
        let third = || {
            looks += 1;
            Ok(looks == 3)
        };
        assert_eq!(until("it is so", third), Ok(()));
        assert_eq!(looks, 3);
    }
}
