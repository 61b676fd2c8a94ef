//! What the kernel says in `stat`, `meminfo` and `loadavg` (proc(5)), as the values that are emitted.

use serde::Serialize;

/// How long the processors together have spent on what since the machine started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
}

/// How the processors spent the time between two readings, in percent. `busy` is all but `idle` and `iowait`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Cpu {
    busy: f64,
    user: f64,
    system: f64,
    iowait: f64,
    steal: f64,
    idle: f64,
}

/// The machine's memory; `used` in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    used: f64,
    total_bytes: u64,
    available_bytes: u64,
}

/// How many tasks ran or wanted to, on average over the last 1, 5 and 15 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Load {
    load1: f64,
    load5: f64,
    load15: f64,
}

impl CpuTimes {
    pub(crate) fn parse(stat: &str) -> Result<Self, String> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "));
        let line = line.ok_or("no line begins with `cpu `")?;
        let mut times = [0_u64; 8];
        let mut found = 0;
        // Time for guests, which may follow, is in user and nice already; kernels before 2.6 end after idle.
        for (time, word) in times.iter_mut().zip(line.split_ascii_whitespace()) {
            *time =
                word.parse().map_err(|_| format!("`{word}` in the line `cpu` is not a count of ticks"))?;
            found += 1;
        }
        if found < 4 {
            return Err(format!("the line `cpu` has {found} numbers, at least 4 are expected"));
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = times;
        Ok(Self {
            user: user.saturating_add(nice),
            system: system.saturating_add(irq).saturating_add(softirq),
            idle,
            iowait,
            steal,
        })
    }

    /// What was done between `earlier` and now; none if not a tick has passed. Single counters may go backward (iowait
    /// does, says proc(5)): that counts as nothing.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Cpu> {
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let steal = self.steal.saturating_sub(earlier.steal);
        let idle = self.idle.saturating_sub(earlier.idle);
        let iowait = self.iowait.saturating_sub(earlier.iowait);
        let parts = [user, system, steal, idle, iowait];
        let total = parts.iter().map(|&part| part as f64).sum::<f64>();
        let percent = |ticks: u64| rounded(ticks as f64 * 100.0 / total);
        (total > 0.0).then(|| Cpu {
            busy: rounded((user as f64 + system as f64 + steal as f64) * 100.0 / total),
            user: percent(user),
            system: percent(system),
            iowait: percent(iowait),
            steal: percent(steal),
            idle: percent(idle),
        })
    }
}

impl Memory {
    pub(crate) fn parse(meminfo: &str) -> Result<Self, String> {
        let total = bytes(meminfo, "MemTotal")?;
        if total == 0 {
            return Err("`MemTotal` is 0".to_owned());
        }
        // Kernels before 3.14 do not say what is available; what they would give up without swapping comes near.
        let available = bytes(meminfo, "MemAvailable").or_else(|missing| {
            let parts = ["MemFree", "Buffers", "Cached"].map(|name| bytes(meminfo, name));
            parts.into_iter().sum::<Result<u64, String>>().map_err(|_| missing)
        })?;
        let available = available.min(total);
        let used = rounded((total - available) as f64 * 100.0 / total as f64);
        Ok(Self { used, total_bytes: total, available_bytes: available })
    }
}

/// One line of `meminfo`, which counts in kibibytes and calls them `kB`.
fn bytes(meminfo: &str, name: &str) -> Result<u64, String> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.ok_or_else(|| format!("no line begins with `{name}:`"))?.trim();
    let kibibytes = value.strip_suffix("kB").map(str::trim_end).and_then(|number| number.parse::<u64>().ok());
    kibibytes
        .and_then(|number| number.checked_mul(1024))
        .ok_or_else(|| format!("`{name}: {value}` is not a number of kB"))
}

impl Load {
    pub(crate) fn parse(loadavg: &str) -> Result<Self, String> {
        let mut words = loadavg.split_ascii_whitespace();
        let mut next = |what: &str| {
            let word = words.next().ok_or_else(|| format!("the average over {what} is missing"))?;
            let load = word.parse::<f64>().ok().filter(|load| load.is_finite() && *load >= 0.0);
            load.ok_or_else(|| format!("the average over {what} is `{word}`, not a number"))
        };
        Ok(Self { load1: next("1 minute")?, load5: next("5 minutes")?, load15: next("15 minutes")? })
    }
}

/// To two places: nobody wants to read more.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 20 30 800 40 5 5 0 7 7\ncpu0 50 10 15 400 20 2 3 0 0 0\nintr 1 2 3\n";

    #[test]
    fn processors_are_told_apart_by_what_they_did_since() {
        let earlier = CpuTimes::parse(STAT).expect("as the kernel writes it");
        let now = CpuTimes::parse("cpu  130 20 40 850 44 5 5 6 7 7\n").expect("as the kernel writes it");
        let cpu = now.since(&earlier).expect("100 ticks have passed");
        let expected = Cpu { busy: 46.0, user: 30.0, system: 10.0, iowait: 4.0, steal: 6.0, idle: 50.0 };
        assert_eq!(cpu, expected);
    }

    #[test]
    fn no_tick_is_no_sample_and_a_counter_that_goes_backward_counts_as_nothing() {
        let earlier = CpuTimes::parse(STAT).expect("as the kernel writes it");
        assert_eq!(earlier.since(&earlier), None);
        let now = CpuTimes::parse("cpu 110 20 30 810 10 5 5 0").expect("as the kernel writes it");
        let cpu = now.since(&earlier).expect("20 ticks have passed");
        assert_eq!((cpu.busy, cpu.iowait, cpu.idle), (50.0, 0.0, 50.0));
    }

    #[test]
    fn memory_is_used_where_it_is_not_available() {
        let new = "MemTotal:        8000 kB\nMemFree: 100 kB\nMemAvailable:    2000 kB\nBuffers: 1 kB\n";
        let old = "MemTotal: 8000 kB\nMemFree: 500 kB\nBuffers: 500 kB\nCached: 1000 kB\nSwapCached: 9 kB\n";
        let expected = Memory { used: 75.0, total_bytes: 8_192_000, available_bytes: 2_048_000 };
        for text in [new, old] {
            assert_eq!(Memory::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn load_is_three_numbers() {
        let expected = Load { load1: 0.5, load5: 1.25, load15: 2.0 };
        assert_eq!(Load::parse("0.50 1.25 2.00 1/234 5678\n"), Ok(expected));
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        let cases: [(Result<(), String>, &str); 12] = [
            (CpuTimes::parse("").map(drop), "no line begins with `cpu `"),
            (CpuTimes::parse("cpu0 1 2 3 4").map(drop), "no line begins with `cpu `"),
            (CpuTimes::parse("cpu 1 2 3").map(drop), "the line `cpu` has 3 numbers, at least 4 are expected"),
            (CpuTimes::parse("cpu 1 -2 3 4").map(drop), "`-2` in the line `cpu` is not a count of ticks"),
            (Memory::parse("").map(drop), "no line begins with `MemTotal:`"),
            (Memory::parse("MemTotal: 0 kB\n").map(drop), "`MemTotal` is 0"),
            (Memory::parse("MemTotal: 5 MB\n").map(drop), "`MemTotal: 5 MB` is not a number of kB"),
            (Memory::parse("MemTotal: 5 kB\n").map(drop), "no line begins with `MemAvailable:`"),
            (
                Memory::parse("MemTotal: 99999999999999999999 kB").map(drop),
                "`MemTotal: 99999999999999999999 kB` is not a number of kB",
            ),
            (Load::parse("0.5 0.6").map(drop), "the average over 15 minutes is missing"),
            (Load::parse("0.5 x 0.6").map(drop), "the average over 5 minutes is `x`, not a number"),
            (Load::parse("NaN 1 1").map(drop), "the average over 1 minute is `NaN`, not a number"),
        ];
        for (outcome, problem) in cases {
            assert_eq!(outcome, Err(problem.to_owned()));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machines_own_files_are_understood() {
        let read = |name| std::fs::read_to_string(name).expect("Linux has it");
        CpuTimes::parse(&read("/proc/stat")).expect("stat");
        Memory::parse(&read("/proc/meminfo")).expect("meminfo");
        Load::parse(&read("/proc/loadavg")).expect("loadavg");
    }
}
