//! What the kernel says in `diskstats` (Documentation/admin-guide/iostats of Linux), and what it comes to for each disk
//! between two readings.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

/// What the kernel counts in, whatever the sectors of the disk are.
const SECTOR: u64 = 512;

/// How far a counter of 32 bits goes: those in milliseconds are no wider anywhere.
const WRAP: u64 = 1 << 32;

/// How many numbers follow a disk's name at least. Kernels before 2.6.25 write four for a partition; since then there
/// are eleven, and newer ones append what is not needed here.
const NUMBERS: usize = 11;

/// The counters of every whole disk, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disks(BTreeMap<String, Counters>);

/// What has happened on one disk since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    reads: u64,
    sectors_read: u64,
    writes: u64,
    sectors_written: u64,
    /// Requests that are under way now: the one number that is no counter.
    in_flight: u64,
    /// Milliseconds in which requests were under way.
    busy_ms: u64,
}

/// What one disk did between two readings, a second; `busy` is how much of the time it had something to do, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Disk {
    pub(crate) device: String,
    busy: f64,
    reads: f64,
    writes: f64,
    read_bytes: f64,
    written_bytes: f64,
    in_flight: u64,
}

impl Disks {
    pub(crate) fn parse(diskstats: &str) -> Result<Self, String> {
        let mut lines = BTreeMap::new();
        for line in diskstats.lines().filter(|line| !line.trim().is_empty()) {
            // Major and minor number come first.
            let mut words = line.split_ascii_whitespace().skip(2);
            let name = words.next().ok_or_else(|| format!("`{line}` names no device"))?;
            lines.insert(name, words.collect::<Vec<_>>());
        }
        let whole = lines.iter().filter(|(name, numbers)| {
            numbers.len() >= NUMBERS
                && !in_memory(name)
                && !parent(name).is_some_and(|parent| lines.contains_key(parent))
        });
        let parsed = whole.map(|(name, numbers)| Ok(((*name).to_owned(), Counters::parse(name, numbers)?)));
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// What each disk did between `earlier` and now. One that has come meanwhile, or was taken away and put back, has
    /// nothing to be compared with: it is told of next time.
    pub(crate) fn since(&self, earlier: &Self, elapsed: Duration) -> Vec<Disk> {
        let both = self.0.iter().filter_map(|(name, now)| Some((name, now, earlier.0.get(name)?)));
        both.filter_map(|(name, now, earlier)| now.since(earlier, name, elapsed)).collect()
    }
}

impl Counters {
    fn parse(name: &str, numbers: &[&str]) -> Result<Self, String> {
        let number = |at: usize| {
            let word: &str = numbers[at];
            word.parse::<u64>().map_err(|_| format!("`{word}` in the line of `{name}` is not a count"))
        };
        Ok(Self {
            reads: number(0)?,
            sectors_read: number(2)?,
            writes: number(4)?,
            sectors_written: number(6)?,
            in_flight: number(8)?,
            busy_ms: number(9)?,
        })
    }

    fn since(&self, earlier: &Self, name: &str, elapsed: Duration) -> Option<Disk> {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let reads = grown(self.reads, earlier.reads)?;
        let writes = grown(self.writes, earlier.writes)?;
        let sectors_read = grown(self.sectors_read, earlier.sectors_read)?;
        let sectors_written = grown(self.sectors_written, earlier.sectors_written)?;
        let busy_ms = grown(self.busy_ms, earlier.busy_ms)?;
        let rate = |count: u64| rounded(count as f64 / seconds);
        Some(Disk {
            device: name.to_owned(),
            // The kernel rounds to its ticks, which may come to a little more than has passed.
            busy: rounded(busy_ms as f64 / 10.0 / seconds).min(100.0),
            reads: rate(reads),
            writes: rate(writes),
            read_bytes: rate(sectors_read.saturating_mul(SECTOR)),
            written_bytes: rate(sectors_written.saturating_mul(SECTOR)),
            in_flight: self.in_flight,
        })
    }
}

/// How much a counter has grown. One of 32 bits begins again at 0 when it is full; whatever else goes backward belongs
/// to another disk that has got the name, and nothing can be said.
fn grown(now: u64, earlier: u64) -> Option<u64> {
    if now >= earlier {
        return Some(now - earlier);
    }
    // More than half the way round in one interval is no wrap.
    (earlier < WRAP).then(|| WRAP - earlier + now).filter(|grown| *grown < WRAP / 2)
}

/// Devices that are files or memory underneath: what they do is counted elsewhere, or is not a disk's doing.
fn in_memory(name: &str) -> bool {
    ["loop", "ram", "zram", "fd"].iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The disk that `name` would be a partition of: `sda` of `sda1`, `nvme0n1` of `nvme0n1p2`. Only if that one is listed
/// is it a partition: a virtual machine may have an `xvda1` and no `xvda`.
fn parent(name: &str) -> Option<&str> {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if disk.is_empty() || disk.len() == name.len() {
        return None;
    }
    // After a digit there is a `p` between disk and number; the disk `sdap` only ends in one.
    let numbered = disk.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
    Some(numbered.unwrap_or(disk))
}

/// To two places: nobody wants to read more.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with these counters, in today's length.
    fn line(
        name: &str,
        [reads, sectors_read, writes, sectors_written, in_flight, busy_ms]: [u64; 6],
    ) -> String {
        format!(
            "   8       0 {name} {reads} 1 {sectors_read} 2 {writes} 3 {sectors_written} 4 {in_flight} {busy_ms} 5 \
             6 7 8 9 10 11\n"
        )
    }

    fn disks(text: &str) -> Disks {
        Disks::parse(text).expect("as the kernel writes it")
    }

    fn second(earlier: [u64; 6], now: [u64; 6]) -> Option<Disk> {
        let told = disks(&line("sda", now)).since(&disks(&line("sda", earlier)), Duration::from_secs(1));
        told.into_iter().next()
    }

    #[test]
    fn only_whole_disks_count_whatever_machine_wrote_it() {
        let cases: [(&str, &str, &[&str]); 7] = [
            (
                "a virtual machine, Linux 6.18",
                "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n \
                 254       0 vda 70758 10464 12239626 88432 46231 97682 91936232 321046 0 78124 415477 11227 67 1917792 5808 5320 189\n \
                 253       0 zram0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                &["vda"],
            ),
            (
                "a laptop, Linux 5.15: NVMe, LUKS on LVM",
                " 259       0 nvme0n1 312744 93020 23180950 60402 1108217 641205 63480512 1640127 0 633788 1790377 0 0 0 0 100322 89847\n \
                 259       1 nvme0n1p1 312 1090 22458 40 2 0 2 0 0 68 41 0 0 0 0 0 0\n \
                 259       2 nvme0n1p2 312290 91930 23152412 60334 1098912 641205 63480510 1609301 0 623508 1669636 0 0 0 0 0 0\n \
                 253       0 dm-0 402112 0 23144626 97980 1750403 0 63480504 11650204 0 631424 11748184 0 0 0 0 0 0\n \
                 253       1 dm-1 401855 0 23136026 98556 1739416 0 63480504 11655492 0 631820 11754048 0 0 0 0 0 0\n",
                &["dm-0", "dm-1", "nvme0n1"],
            ),
            (
                "a server, Linux 4.4, 11 numbers: RAID of two disks, and a DVD drive",
                "   8       0 sda 1543 22 83914 1012 5 0 40 3 0 420 1013\n   8       1 sda1 1500 22 83000 1001 5 0 40 3 0 410 1004\n   \
                 8      16 sdb 1600 20 84000 1001 5 0 40 3 0 433 1004\n   8      17 sdb1 1590 20 83900 1000 5 0 40 3 0 430 1003\n   \
                 9     127 md127 3000 0 166000 0 8 0 80 0 0 0 0\n 259       0 md127p1 2900 0 165000 0 8 0 80 0 0 0 0\n  \
                 11       0 sr0 0 0 0 0 0 0 0 0 0 0 0\n",
                &["md127", "sda", "sdb", "sr0"],
            ),
            (
                "Linux 2.6.20: four numbers for a partition",
                "   3    0 hda 446216 784926 9550688 4382310 424847 312726 5922052 19310380 0 3376340 23705160\n   \
                 3    1 hda1 35486 38030 38030 38030\n   1    0 ram0 0 0 0 0 0 0 0 0 0 0 0\n   2    0 fd0 0 0 0 0 0 0 0 0 0 0 0\n",
                &["hda"],
            ),
            (
                "a cloud's machine whose disk is a partition of nothing",
                " 202       1 xvda1 9102 0 332046 6612 7710 4001 210664 19432 0 7100 26044\n",
                &["xvda1"],
            ),
            (
                "a board with an SD card and its boot areas, a RAID controller, a disk far down the alphabet",
                " 179       0 mmcblk0 9 0 72 1 0 0 0 0 0 2 1\n 179       1 mmcblk0p1 9 0 72 1 0 0 0 0 0 2 1\n 179       8 mmcblk0boot0 9 0 72 1 0 0 0 0 0 2 1\n \
                 104       0 cciss/c0d0 9 0 72 1 0 0 0 0 0 2 1\n 104       1 cciss/c0d0p1 9 0 72 1 0 0 0 0 0 2 1\n  \
                 66     144 sdap 9 0 72 1 0 0 0 0 0 2 1\n  66     145 sdap1 9 0 72 1 0 0 0 0 0 2 1\n",
                &["cciss/c0d0", "mmcblk0", "mmcblk0boot0", "sdap"],
            ),
            ("a container that shows none", "", &[]),
        ];
        for (machine, text, expected) in cases {
            let found: Vec<_> = disks(text).0.into_keys().collect();
            assert_eq!(found, expected, "{machine}");
        }
    }

    #[test]
    fn rates_are_the_difference_of_two_readings_a_second() {
        let earlier = disks(&line("sda", [100, 1_000, 50, 800, 9, 5_000]));
        let now = disks(&line("sda", [140, 1_008, 53, 816, 2, 5_500]));
        let told = now.since(&earlier, Duration::from_secs(2));
        let expected = Disk {
            device: "sda".to_owned(),
            busy: 25.0,
            reads: 20.0,
            writes: 1.5,
            read_bytes: 2_048.0,
            written_bytes: 4_096.0,
            in_flight: 2,
        };
        assert_eq!(told, [expected]);
        assert_eq!(now.since(&earlier, Duration::ZERO), [], "no time is no rate");
    }

    #[test]
    fn a_counter_of_32_bits_may_begin_again_at_zero() {
        let full = WRAP - 100;
        let wrapped = second([5, full, 5, full, 0, full], [6, 100, 6, 28, 0, 150]).expect("it is a wrap");
        assert_eq!((wrapped.read_bytes, wrapped.written_bytes, wrapped.busy), (102_400.0, 65_536.0, 25.0));
        // A counter of 64 bits that is beyond them has not wrapped by standing at less.
        assert_eq!(second([5, WRAP + 100, 5, 0, 0, 0], [6, 100, 6, 0, 0, 0]), None);
    }

    #[test]
    fn a_disk_that_comes_is_told_of_from_its_second_reading_on_and_one_that_goes_is_not() {
        let alone = disks(&line("sda", [1; 6]));
        let both = disks(&(line("sda", [2; 6]) + &line("sdb", [100; 6])));
        let names = |told: Vec<Disk>| told.into_iter().map(|disk| disk.device).collect::<Vec<_>>();
        let second = Duration::from_secs(1);
        assert_eq!(names(both.since(&alone, second)), ["sda"]);
        assert_eq!(names(both.since(&both, second)), ["sda", "sdb"]);
        assert_eq!(
            names(alone.since(&both, second)),
            Vec::<String>::new(),
            "sda has begun again, sdb is gone"
        );
    }

    #[test]
    fn another_disk_under_the_same_name_is_not_compared_with_the_old_one() {
        assert_eq!(second([9_000; 6], [10; 6]), None);
    }

    #[test]
    fn a_disk_is_never_busier_than_all_the_time() {
        assert_eq!(second([0; 6], [1, 0, 0, 0, 0, 1_004]).expect("a second has passed").busy, 100.0);
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        let cases = [
            ("   8       0\n", "`   8       0` names no device"),
            ("8 0 sda 1 2 3 4 5 6 7 8 9 -1 11\n", "`-1` in the line of `sda` is not a count"),
            ("8 0 sda many 2 3 4 5 6 7 8 9 10 11\n", "`many` in the line of `sda` is not a count"),
        ];
        for (text, problem) in cases {
            assert_eq!(Disks::parse(text), Err(problem.to_owned()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machines_own_disks_are_understood() {
        match std::fs::read_to_string("/proc/diskstats") {
            Ok(text) => drop(disks(&text)),
            Err(error) => eprintln!("SKIPPED: this machine shows no disks: {error}"),
        }
    }
}
