"""Cron rules of Pintle against cronsim, which follows Debian's cron, and against croniter where that agrees.

Run by `cargo xtask cron-differential`, which has built the command and made the environment that this runs in:

    python cron_differential.py PINTLE CASES SEED

Random rules, time zones and starts are answered by `pintle cron --batch`, by cronsim, and by a model: cronsim on a
calendar without time zones, whose times are put into the zone as docs/cron.md says. Ours must be those of the model
always. Where cronsim in the zone answers otherwise, the case must be of a class of CLASSES, each of which names the rule
of ours that it comes from; docs/cron.md lists the same.
"""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

try:
    import croniter
except ImportError:
    croniter = None

UTC = timezone.utc
HOUR = timedelta(hours=1)

# Why cronsim may answer otherwise. Each is a line of docs/cron.md.
CLASSES = {
    "six-fields": "a rule of six fields is a time of day like one of five; cronsim lets all of them follow real time",
    "second-pass": "a start within the second pass of a repeated hour: what is due then has run; cronsim begins anew in the first",
    "star-at-change": "a star in minute or hour: every instant whose wall time matches; cronsim passes over some, or repeats one",
    "one-value-range": "`a-a/n` is `a` alone; cronsim reads `a/n`, to the end of the field",
    "start/step": "`a/n` is refused; cronsim reads it from `a` to the end of the field, Vixie's cron as `a` alone",
    "stepped-last": "`L/n` is refused; cronsim passes over the step",
    "week-to-sunday": "`5-0` and `FRI-SUN` end on Sunday; cronsim refuses what runs backwards",
    "named-last": "`FRIL` is the last Friday; cronsim takes numbers before `L` only",
    "nearest-weekday": "`15W` is the weekday nearest to the 15th; cronsim has no `W`",
    "never": "a rule that never happens is refused; cronsim finds out only while it searches",
}

ZONES = (
    "America/New_York Europe/Berlin Australia/Lord_Howe Africa/Casablanca Pacific/Apia America/Havana Asia/Tehran "
    "Europe/London Europe/Dublin America/Sao_Paulo America/Santiago Asia/Amman Africa/Cairo Asia/Beirut Asia/Gaza "
    "Australia/Adelaide Pacific/Auckland Pacific/Chatham America/St_Johns America/Caracas Asia/Pyongyang "
    "Europe/Istanbul Europe/Moscow America/Scoresbysund Antarctica/Troll Asia/Kathmandu Pacific/Kiritimati "
    "America/Los_Angeles Europe/Lisbon Atlantic/Azores UTC"
).split()

FIRST, LAST = datetime(1975, 1, 1, tzinfo=UTC), datetime(2035, 12, 31, tzinfo=UTC)

# low, high, names
FIELDS = [(0, 59, ""), (0, 59, ""), (0, 23, ""), (1, 31, ""), (1, 12, "month"), (0, 7, "day")]
NAMES = {
    "month": ["", *"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()],
    "day": "sun mon tue wed thu fri sat".split(),
}
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# What a careless author writes; most of it nobody takes.
ODD = (
    "60 24 0 32 13 8 7 5/10 0/15 1- -1 7-3 */0 */ ? W 1#6 1#0 1#3 a 1,,2 MON- 5-5 1-7 0-7 00 007 */61 */99 3-3/2 "
    "fri-sun 5-0 friL 5L LW/2 L/2 L 15W lw 1,15W +5 1.5 1~5 0x1 *,* *,3 3,* */1 *-5 10-20/3 @ # 7#1 sun#1 30 31 29"
).split()


def changes_of(zone):
    """The instants at which the zone's offset changes, to the second."""
    found, at = [], FIRST
    while at < LAST:
        following = at + timedelta(days=3)
        if at.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            low, high = at, following
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                same = middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at = following
    return found


class Cases:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.zones = {name: ZoneInfo(name) for name in ZONES}
        self.changes = {name: changes_of(zone) for name, zone in self.zones.items()}

    def field(self, index, night):
        pick, (low, high, names) = self.random, FIELDS[index]
        if index in (1, 2) and night:
            # Where clocks are changed.
            high = 3 if index == 2 else 59
        value = lambda: pick.choice([low, high, pick.randint(low, high), pick.randint(low, high)])

        def item():
            one = value()
            kind = pick.randrange(10)
            if kind < 5:
                plain = str(one)
                return NAMES[names][one] if names and 0 < one < 7 and pick.random() < 0.5 else plain
            two = value()
            span = f"{min(one, two)}-{max(one, two)}"
            if kind < 8 or one == two:
                return span
            return f"{span}/{pick.randint(1, 7)}"

        kind = pick.randrange(12)
        if kind < (2 if night and index in (1, 2) else 5):
            return "*"
        if kind < 6:
            return f"*/{pick.choice([1, 2, 3, 5, 7, 10, 15, 20, 30, pick.randint(1, 70)])}"
        if index == 3 and pick.random() < 0.15:
            return pick.choice(["L", "LW", "1,L", "15,LW", "28-30,L"])
        if index == 5 and pick.random() < 0.2:
            return pick.choice(["1#1", "5#5", "0L", "7L", "5L", "mon#2,fri#4", "7#3", "0#5"])
        items = [item() for _ in range(pick.choice([1, 1, 1, 2, 3]))]
        if pick.random() < 0.03:
            items.insert(pick.randrange(len(items) + 1), "*")
        return ",".join(items)

    def one(self):
        """A rule, what cronsim is given for it, a zone and a start."""
        pick = self.random
        if pick.random() < 0.02:
            rule = pick.choice(list(MACROS))
            plain = MACROS[rule]
        else:
            night = pick.random() < 0.7
            six = pick.random() < 0.25
            fields = [self.field(index, night) for index in range(0 if six else 1, 6)]
            # Days and months are mostly all, or hardly anything would fall on a change.
            for back, share in ((3, 0.6), (2, 0.75), (1, 0.6)):
                if pick.random() < share:
                    fields[-back] = "*"
            if pick.random() < 0.06:
                fields[pick.randrange(len(fields))] = pick.choice(ODD)
            rule = plain = " ".join(fields)
        zone = "UTC" if pick.random() < 0.1 else pick.choice(ZONES)
        changes = self.changes[zone]
        if changes and pick.random() < 0.7:
            around = pick.choice([600, 5400, 7200, 90000, 90000])
            start = pick.choice(changes) + timedelta(seconds=pick.randint(-around, around))
        else:
            start = FIRST + timedelta(seconds=pick.randrange(int((LAST - FIRST).total_seconds())))
        if pick.random() < 0.5:
            start = start.replace(second=0)
        return rule, plain, zone, start


def is_fixed(fields):
    return not fields[-5].startswith("*") and not fields[-4].startswith("*")


def without_quirks(plain):
    """The rule without what cronsim reads in its own way."""
    return re.sub(r"\b(\d+)-\1/\d+", r"\1", plain)


def instants(wall, zone):
    """The instants at which the wall clock shows `wall`."""
    shown = []
    for fold in (0, 1):
        at = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at not in shown and at.astimezone(zone).replace(tzinfo=None) == wall:
            shown.append(at)
    return sorted(shown)


def end_of_gap(wall, zone):
    """The instant at which the wall clock jumps over `wall`."""
    around = wall.replace(tzinfo=UTC)
    for change in CHANGES[zone.key]:
        if abs(change - around) < 50 * HOUR:
            after = change.astimezone(zone).replace(tzinfo=None)
            before = (change - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
            if before < wall < after:
                return change
    sys.exit(f"{wall} is not in {zone.key}, and nothing jumps over it")


def model(plain, zone, start, count):
    """What docs/cron.md says, in the plainest way."""
    fields = plain.split()
    fixed = is_fixed(fields)
    local = start.astimezone(zone).replace(tzinfo=None)
    offsets = [(start + hours * HOUR).astimezone(zone).utcoffset() for hours in range(-50, 51)]
    reach = max(offsets) - min(offsets)
    begin = local - reach - timedelta(seconds=1) if reach else local - timedelta(seconds=1)
    found, until = set(), None
    for wall in CronSim(plain, begin):
        shown = instants(wall, zone)
        if fixed:
            shown = shown[:1] or [end_of_gap(wall, zone)]
        found.update(at for at in shown if at > start)
        if len(found) >= count and until is None:
            # A star may show another pass of what lies before.
            until = wall if fixed or not zone_changes(zone, start, max(found)) else wall + timedelta(hours=3)
        if until is not None and wall >= until:
            break
    return sorted(found)[:count]


def by_cronsim(plain, zone, start, count):
    it = CronSim(plain, start.astimezone(zone))
    return [next(it).astimezone(UTC) for _ in range(count)]


def class_of_times(plain, zone, start, theirs, ours):
    """Why cronsim's times differ, or none."""
    fields = plain.split()
    if without_quirks(plain) != plain:
        return "one-value-range"
    first = next(pair for pair in zip(ours, theirs) if pair[0] != pair[1])
    changed = zone_changes(zone, min(first), max(first))
    if is_fixed(fields) and len(fields) == 6 and changed:
        return "six-fields"
    if is_fixed(fields) and start.astimezone(zone).fold == 1:
        return "second-pass"
    if not is_fixed(fields) and changed:
        return "star-at-change"
    return None


def zone_changes(zone, start, end):
    """Whether the clock is changed between the two, or within a day of either."""
    return any(start - 25 * HOUR <= change <= end + 25 * HOUR for change in CHANGES[zone.key])


def class_of_refusal(plain, ours_refuse, ours_error):
    """Why one takes the rule and the other does not, or none."""
    fields = plain.upper().split()
    items = [item for field in fields for item in field.split(",")]
    if ours_refuse:
        if "never happens" in ours_error:
            return "never"
        if any(re.fullmatch(r"L[W]?/\d+", item) for item in items):
            return "stepped-last"
        if any(re.fullmatch(r"[0-9A-Z]+/\d+", item) for item in items):
            return "start/step"
        return None
    if any(re.fullmatch(r"(\d+|[A-Z]{3})-(0|SUN)(/\d+)?", item) for item in items):
        return "week-to-sunday"
    if any(re.fullmatch(r"[A-Z]{3}L", item) for item in items):
        return "named-last"
    if any(re.fullmatch(r"\d+W", item) for item in items):
        return "nearest-weekday"
    return None


def by_croniter(plain, start, count):
    it = croniter.croniter(plain, start, implement_cron_bug=True)
    return [it.get_next(datetime) for _ in range(count)]


def agrees_with_croniter(plain, zone):
    """Where croniter means the same: five fields without `L W #`, no time zone, no `a-a`, which it takes for all, and no day
    field that has a star or all days in it without beginning with a star: it takes those for a star too."""
    fields = plain.upper().split()
    if len(fields) == 5 and any(not day.startswith("*") and re.search(r"\*|,.*-|-.*,|1-31|0-6|0-7|1-7", day) for day in (fields[2], fields[4])):
        return False
    special = re.search(r"[LW#]", fields[-3]) or re.search(r"L|#", fields[-1])
    return zone.key == "UTC" and len(fields) == 5 and not special and not re.search(r"\b(\w+)-\1\b", plain)


def main():
    global CHANGES
    pintle, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    cases = Cases(seed)
    CHANGES = cases.changes
    print(f"{count} cases, {len(ZONES)} zones with {sum(map(len, CHANGES.values()))} changes, seed {seed}")
    asked = []
    for _ in range(count):
        rule, plain, zone, start = cases.one()
        asked.append((rule, plain, zone, start, cases.random.choice([3, 5, 8])))
    lines = "".join(
        json.dumps({"rule": rule, "zone": zone, "from": start.isoformat(), "count": many}) + "\n"
        for rule, _, zone, start, many in asked
    )
    done = subprocess.run([pintle, "cron", "--batch"], input=lines, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != count:
        sys.exit(f"{len(answers)} answers to {count} questions: {done.stderr}")

    tally, listed, examples, wrong = Counter(), Counter(), {}, []
    for (rule, plain, zone_name, start, many), answer in zip(asked, answers):
        zone = cases.zones[zone_name]
        about = f"`{rule}` in {zone_name} after {start.isoformat()}"
        try:
            theirs = by_cronsim(plain, zone, start, many)
        except (CronSimError, StopIteration, RuntimeError) as error:
            theirs = None
        if "error" in answer or theirs is None:
            if "error" in answer and theirs is None:
                tally["refused by both"] += 1
                continue
            name = class_of_refusal(plain, "error" in answer, answer.get("error", ""))
            tell = f"{about}: {answer}, cronsim {'refuses it' if theirs is None else theirs[0].isoformat()}"
            listed[name] += 1
            examples.setdefault(name, tell)
            if name is None:
                wrong.append(tell)
            continue
        ours = [datetime.fromisoformat(at).astimezone(UTC) for at in answer["next"]]
        expected = model(without_quirks(plain), zone, start, many)
        shown = lambda times: [at.astimezone(zone).isoformat() for at in times]
        if ours != expected:
            wrong.append(f"{about}: {shown(ours)}, by the model {shown(expected)}")
            tally["not as the model"] += 1
            continue
        if croniter and agrees_with_croniter(plain, zone):
            tally["compared with croniter"] += 1
            if by_croniter(plain, start, many) != ours:
                wrong.append(f"{about}: {shown(ours)}, croniter {shown(by_croniter(plain, start, many))}")
        if ours == theirs:
            tally["as cronsim"] += 1
            if zone_changes(zone, start, ours[-1]):
                tally["of these with a change of the clock"] += 1
            continue
        name = class_of_times(plain, zone, start, theirs, ours)
        tell = f"{about}: {shown(ours)}, cronsim {shown(theirs)}"
        listed[name] += 1
        examples.setdefault(name, tell)
        if name is None:
            wrong.append(tell)

    for name, number in tally.most_common():
        print(f"{number:8} {name}")
    for name, number in listed.most_common():
        print(f"{number:8} listed: {name}: {CLASSES.get(name, 'NO CLASS')}\n           such as {examples[name]}")
    for tell in wrong[:20]:
        print(f"DIFFERENCE {tell}")
    if wrong:
        sys.exit(f"{len(wrong)} of {count} cases differ and are of no class")


main()
