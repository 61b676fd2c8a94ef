//! When a record was written: RFC 3339 in UTC with microseconds, without a calendar library on the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first and the last second that RFC 3339 can name: of the years 0000 and 9999.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// Where the log takes the time from.
pub trait Wall: Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemWall;

impl Wall for SystemWall {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The text of a time; of one in the same second as the last, only the fraction is made anew.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    second: i64,
    text: [u8; 27],
}

impl Default for Stamp {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00.000000Z" }
    }
}

impl Stamp {
    pub(super) fn of(&mut self, time: SystemTime) -> &[u8] {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let (second, micros) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (seconds(since), since.subsec_micros()),
            Err(before) => {
                let before = before.duration();
                let (whole, micros) = (-seconds(before), before.subsec_micros());
                if micros == 0 { (whole, 0) } else { (whole.saturating_sub(1), 1_000_000 - micros) }
            }
        };
        // A clock that shows a year of other than four digits is broken; the line keeps its shape, and is a date.
        let second = second.clamp(FIRST, LAST);
        if second != self.second {
            self.second = second;
            self.date_and_time();
        }
        digits(&mut self.text[20..26], micros);
        &self.text
    }

    fn date_and_time(&mut self) {
        let (days, seconds) = (self.second.div_euclid(86_400), self.second.rem_euclid(86_400) as u32);
        let (year, month, day) = date(days);
        for (range, number) in [
            (0..4, year as u32),
            (5..7, month),
            (8..10, day),
            (11..13, seconds / 3_600),
            (14..16, seconds / 60 % 60),
            (17..19, seconds % 60),
        ] {
            digits(&mut self.text[range], number);
        }
    }
}

fn digits(out: &mut [u8], mut number: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March here, so that the day
/// that leap years add is the last of the year; 400 years have always 146,097 days.
fn date(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_in_utc() {
        let mut stamp = Stamp::default();
        for (micros, expected) in [
            (0_i64, "1970-01-01T00:00:00.000000Z"),
            (1, "1970-01-01T00:00:00.000001Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_799_999_999, "2000-02-29T23:59:59.999999Z"),
            (1_795_247_669_123_456, "2026-11-21T07:54:29.123456Z"),
            (1_795_247_669_999_999, "2026-11-21T07:54:29.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (-1_000_000, "1969-12-31T23:59:59.000000Z"),
        ] {
            let span = Duration::from_micros(micros.unsigned_abs());
            let time = if micros < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span };
            assert_eq!(str::from_utf8(stamp.of(time)), Ok(expected));
        }
    }

    #[test]
    fn a_clock_that_shows_no_year_of_four_digits_still_makes_a_date() {
        let mut stamp = Stamp::default();
        let at = |seconds: i64| match u64::try_from(seconds) {
            Ok(after) => UNIX_EPOCH.checked_add(Duration::from_secs(after)),
            Err(_) => UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
        };
        for (seconds, expected) in [
            (i64::MIN, "0000-01-01T00:00:00.000000Z"),
            (i64::MIN + 1, "0000-01-01T00:00:00.000000Z"),
            (FIRST - 1, "0000-01-01T00:00:00.000000Z"),
            (FIRST, "0000-01-01T00:00:00.000000Z"),
            (-2_208_988_800, "1900-01-01T00:00:00.000000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000000Z"),
            (LAST, "9999-12-31T23:59:59.000000Z"),
            (LAST + 1, "9999-12-31T23:59:59.000000Z"),
            // 29 February of the year 10000, which would be no day of the year 9999.
            (253_407_398_400, "9999-12-31T23:59:59.000000Z"),
            (i64::MAX, "9999-12-31T23:59:59.000000Z"),
        ] {
            let time = at(seconds).unwrap_or_else(|| panic!("{seconds} cannot be said"));
            assert_eq!(str::from_utf8(stamp.of(time)), Ok(expected), "{seconds}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_the_one_that_chrono_names() {
        let mut stamp = Stamp::default();
        for day in 0..146_097_i64 {
            let time = UNIX_EPOCH + Duration::from_secs(day.unsigned_abs() * 86_400 + 45_296);
            let expected = chrono::DateTime::from_timestamp(day * 86_400 + 45_296, 0).expect("in range");
            assert_eq!(
                str::from_utf8(stamp.of(time)).expect("ASCII"),
                expected.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
            );
        }
    }
}
