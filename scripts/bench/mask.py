"""Masked backups compared with plain ones of the same tables, for ./bench mask.

Prints Markdown tables.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # leave nothing in the source tree
from logical import Bench, median

HERE = Path(__file__).resolve().parent

# Rows at scale 1: about 550 MB of COPY text in each table.
WIDE_ROWS, NARROW_ROWS = 1_500_000, 3_600_000
PHRASES_WIDE, PHRASES_NARROW = 18, 2

PEOPLE = ["id", "first_name", "last_name", "email", "phone", "token", "city", "amount", "visits", "note"]
MEMBERS = ["id", "email", "number", "name", "city"]

VOCABULARY = {"first_name": "person.first", "last_name": "person.last"}
HASHES = {"email": "hash", "token": "hash"}

# Each column by what its values ask for; a paragraph is about as long as the note of a wide row.
FITTING = {
    **VOCABULARY, "id": "int", "email": "email", "phone": "phone", "token": "hash", "city": "address.city",
    "amount": {"use": "noise", "ratio": 0.2}, "visits": {"use": "int", "min": 0, "max": 999}, "note": "paragraph",
}

TEMPLATES = {
    "id": "{{ id + 1 }}", "first_name": "{{ fake('person.first') }}", "last_name": "{{ fake('person.last') }}",
    "email": "{{ masked.first_name | lower }}.{{ id }}@example.com", "phone": "+49 30 000{{ id % 10000 }}",
    "token": "{{ token | upper }}", "city": "{{ fake('address.city') }}", "amount": "{{ visits }}.50",
    "visits": "{{ visits + 1 }}", "note": "{{ masked.first_name }}: {{ value | upper }}",
}

# What is masked, by which rules, and the goal: at most so many times the plain backup's time.
LINES_WIDE = [
    ("2 of 10 by vocabulary", VOCABULARY, 1.1),
    ("2 of 10 by hash", HASHES, 1.1),
    ("4 of 10 by vocabulary and hash", {**VOCABULARY, **HASHES}, None),
    ("10 of 10, each by a fitting rule", FITTING, 1.5),
    ("10 of 10 by permute", dict.fromkeys(PEOPLE, "permute"), 2),
    ("10 of 10 by template", {name: {"use": "template", "value": text} for name, text in TEMPLATES.items()}, 2),
]
LINES_NARROW = [(name, rules, None if goal is None else 1.2) for name, rules, goal in LINES_WIDE[:3]]

# A column that is a key alone has fictions that never meet; the key of two columns is proved while
# rows are masked, which has to remember something of every row.
LINES_MEMORY = [
    ("no unique column", {"city": "address.city"}),
    ("a unique text, by width", {"email": "email"}),
    ("a unique number, permuted", {"id": "int"}),
    ("a part of a key of two columns", {"name": "person.last"}),
]


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def toml(value):
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(member)}" for key, member in value.items()) + " }"
    return json.dumps(value)


def write_rules(bench, table, columns, masked):
    """The options of a backup with these rules for one table. Columns without a rule are kept."""
    key = bench.work / "mask-key"
    key.write_text("a key of more than sixteen bytes\n")
    kept = [name for name in columns if name not in masked]
    lines = ["version = 1", "vocabulary = 1", f"key = {toml({'file': str(key)})}", f'[table."public.{table}"]', 'subject = "id"',
             f"keep = {json.dumps(kept)}", *(f"columns.{name} = {toml(rule)}" for name, rule in masked.items())]
    path = bench.work / f"rules-{len(list(bench.work.glob('rules-*')))}.toml"
    path.write_text("\n".join(lines) + "\n")
    return ["--mask", path]


def first_backup(bench, database, jobs, more):
    """A backup into a repository without any backup."""
    repository = bench.new_repository()
    return bench.run(bench.backup(database, repository, jobs, more), repository)


def load(bench, database, script, **variables):
    progress(f"loading {database}: {variables['rows']} rows")
    bench.empty_database(database)
    bench.sql(database, (HERE / script).read_text(), [f"{name}={value}" for name, value in variables.items()])
    bench.sql("postgres", "CHECKPOINT")


def bytes_raw(bench, database):
    """Bytes of COPY text, by a backup that also warms the caches."""
    done = subprocess.run(list(map(str, bench.backup(database, bench.new_repository(), 2, ["--json"]))), env=bench.environment,
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pgark backup failed: {done.stderr}")
    return json.loads(done.stdout)["bytes_raw"]


def table(title, found, goals):
    """Medians; the first line is the plain backup. A ratio is the median of the rounds' own."""
    print(f"\n### {title}\n")
    print("| masked | wall s (min–max) | ÷ plain | goal | client CPU s | server CPU s | peak MiB | size MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    plain = next(iter(found.values()))
    for name, runs in found.items():
        walls = [run.wall for run in runs]
        ratio = "" if runs is plain else f"{statistics.median(own.wall / base.wall for own, base in zip(runs, plain)):.2f}"
        goal = goals.get(name)
        size = median(runs, "size_mb")
        print(f"| {name} | {statistics.median(walls):.2f} ({min(walls):.2f}–{max(walls):.2f}) | {ratio} | {'' if goal is None else goal} "
              f"| {median(runs, 'client'):.2f} | {median(runs, 'server'):.2f} | {max(run.own_mib for run in runs):.0f} "
              f"| {'' if size is None else f'{size:.0f}'} |")
    sys.stdout.flush()


def compare(bench, database, rows, lines):
    """First backups of one table, plain and by each set of rules.

    Row maps are off, so that both kinds store rows in the same way.
    """
    per_row = bytes_raw(bench, database) / rows
    contenders = [("nothing: the plain backup", [])]
    contenders += [(name, write_rules(bench, "people", PEOPLE, rules)) for name, rules, _ in lines]

    def once(more):
        return lambda: first_backup(bench, database, 2, ["--row-map", "off", *more])

    found = bench.rounds([(name, once(more)) for name, more in contenders])
    table(f"{rows} rows of {per_row:.0f} bytes, first backups", found, {name: goal for name, _, goal in lines})


def again(bench, database, rows):
    """Backups with row maps where nothing changed: rows are masked only to be found stored."""
    name, rules, _ = LINES_WIDE[2]
    contenders = [("nothing: the plain backup", "plain", []), (name, "masked", write_rules(bench, "people", PEOPLE, rules))]
    # Both are made before the first backup: each new one empties this host's cache of the others.
    repositories = {folder: bench.new_repository(folder) for _, folder, _ in contenders}

    def once(folder, more):
        return lambda: bench.run(bench.backup(database, repositories[folder], 2, ["--row-map", "on", *more]))

    for _, folder, more in contenders:
        once(folder, more)()
    found = bench.rounds([(name, once(folder, more)) for name, folder, more in contenders])
    table(f"{rows} rows, row maps, nothing changed since the backup before", found, {})
    for folder in repositories:
        bench.new_folder(folder)


def wide(bench, wanted):
    rows = max(1, round(WIDE_ROWS * bench.options.scale))
    load(bench, "mask_wide", "people.sql", rows=rows, phrases=PHRASES_WIDE)
    if wanted("wide"):
        compare(bench, "mask_wide", rows, LINES_WIDE)
    if wanted("again"):
        again(bench, "mask_wide", rows)
    bench.sql("postgres", "DROP DATABASE mask_wide")


def narrow(bench):
    rows = max(1, round(NARROW_ROWS * bench.options.scale))
    load(bench, "mask_narrow", "people.sql", rows=rows, phrases=PHRASES_NARROW)
    compare(bench, "mask_narrow", rows, LINES_NARROW)
    bench.sql("postgres", "DROP DATABASE mask_narrow")


def speed(bench):
    progress("each transformer alone")
    print("\n### Each transformer alone, on one core, without a server\n", flush=True)
    subprocess.run([bench.options.speed], env=bench.environment, check=True)


def memory(bench):
    """Peak resident memory: rows of distinct values under unique keys, at 2 and 8 jobs."""
    rows = bench.options.rows
    load(bench, "mask_memory", "members.sql", rows=rows)
    contenders = [("nothing: the plain backup", [])]
    contenders += [(name, write_rules(bench, "members", MEMBERS, rules)) for name, rules in LINES_MEMORY]
    print(f"\n### Memory: {rows} rows of distinct values\n")
    print("The peak of pgark itself, without the pg_dump that it starts.\n")
    print("| masked | jobs | bound MiB | peak MiB | more than plain MiB | wall s |")
    print("|---|---:|---:|---:|---:|---:|")
    for jobs in (2, 8):
        plain = None
        for name, more in contenders:
            progress(f"memory: {name}, {jobs} jobs")
            figures = first_backup(bench, "mask_memory", jobs, ["--row-map", "off", *more])
            plain = plain or figures
            extra = "" if figures is plain else f"{figures.own_mib - plain.own_mib:.0f}"
            print(f"| {name} | {jobs} | {64 + 48 * jobs} | {figures.own_mib:.0f} | {extra} | {figures.wall:.1f} |", flush=True)
    bench.sql("postgres", "DROP DATABASE mask_memory")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--work", "--bin", "--data", "--pgark", "--speed"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the table under unique keys")
    parser.add_argument("--only", choices=["wide", "narrow", "again", "speed", "memory"])
    options = parser.parse_args()
    bench = Bench(options)

    def wanted(part):
        return options.only in (None, part)

    ours = subprocess.run([bench.pgark, "--version"], capture_output=True, text=True).stdout.strip()
    server = subprocess.run([bench.bin / "postgres", "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{ours}; {server}; {os.cpu_count()} cores, 2 jobs; {options.rounds} interleaved rounds, medians; repository and cluster "
          f"on one file system; both kinds of backups are encrypted and opened with an age identity", flush=True)
    if wanted("wide") or wanted("again"):
        wide(bench, wanted)
    if wanted("narrow"):
        narrow(bench)
    if wanted("speed"):
        speed(bench)
    if wanted("memory"):
        memory(bench)


main()
