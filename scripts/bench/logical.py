"""Logical backup and restore beside pg_dump and pg_restore. Called by ./bench; prints Markdown tables."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class Figures:
    """One run: wall seconds, CPU seconds of the client and of the server, peak memory of the client's largest process."""

    def __init__(self, wall, client, server, peak_mib, size_mb=None):
        self.wall, self.client, self.server, self.peak_mib, self.size_mb = wall, client, server, peak_mib, size_mb


def watch_memory(pid, own):
    """Keeps the highest resident size, in KiB, that the process itself has had: wait4 counts its children too."""
    while True:
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    own[0] = max(own[0], int(line.split()[1]))
                    break
            else:
                return  # ended, not waited for
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = Path(options.work)
        self.bin = Path(options.bin)
        self.pgark = options.pgark
        self.postmaster = int((Path(options.data) / "postmaster.pid").read_text().splitlines()[0])
        self.environment = {
            "PATH": os.environ["PATH"], "PGHOST": str(self.work), "PGUSER": "postgres", "HOME": str(self.work),
            "XDG_CONFIG_HOME": str(self.work / "config"), "XDG_CACHE_HOME": str(self.work / "cache"),
            "XDG_STATE_HOME": str(self.work / "state"), "LC_ALL": "C.UTF-8",
        }
        self.identity = self.work / "identity.txt"
        subprocess.run(["age-keygen", "-o", self.identity], check=True, stderr=subprocess.DEVNULL)
        self.recipient = subprocess.run(
            ["age-keygen", "-y", self.identity], check=True, capture_output=True, text=True).stdout.strip()

    def server_cpu(self):
        """CPU seconds of the postmaster, its dead children and its living ones."""
        total = 0.0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(entry.name) == self.postmaster:
                total += sum(map(int, fields[11:15])) / TICK
            elif int(fields[1]) == self.postmaster:
                total += sum(map(int, fields[11:13])) / TICK
        return total

    def run(self, command, output=None):
        """Runs to success and measures. `output`: the folder whose size is the result's."""
        server, begun = self.server_cpu(), time.perf_counter()
        log = open(self.work / "log", "wb")
        child = subprocess.Popen(list(map(str, command)), env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        own = [0]
        watcher = threading.Thread(target=watch_memory, args=(child.pid, own))
        watcher.start()
        _, status, usage = os.wait4(child.pid, 0)
        watcher.join()
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if child.returncode != 0:
            sys.exit(f"{command} failed with {child.returncode}: {(self.work / 'log').read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)  # backends end a moment after their client
        size = None
        if output is not None:
            size = sum(file.stat().st_size for file in Path(output).rglob("*") if file.is_file()) / 1e6
        figures = Figures(wall, usage.ru_utime + usage.ru_stime, self.server_cpu() - server, usage.ru_maxrss / 1024, size)
        figures.own_mib = own[0] / 1024
        return figures

    def sql(self, database, text, variables=()):
        arguments = [self.bin / "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-d", database]
        for variable in variables:
            arguments += ["-v", variable]
        done = subprocess.run(arguments, input=text, text=True, env=self.environment, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"psql: {done.stderr}")
        return done.stdout.strip()

    def new_folder(self, name):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def new_repository(self, name="repository"):
        folder = self.new_folder(name)
        self.new_folder("state")  # this host remembers the repository that was there
        self.new_folder("cache")
        subprocess.run([self.pgark, "init", "--repo", folder, "--recipient", self.recipient], env=self.environment,
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return folder

    def backup(self, database, repository, jobs=2, more=()):
        return [self.pgark, "backup", "--repo", repository, "--identity", self.identity, "--dbname", database, "--jobs", jobs, *more]

    def restore(self, database, repository, jobs=2, more=()):
        return [self.pgark, "restore", "latest", "--repo", repository, "--identity", self.identity, "--dbname", database,
                "--jobs", jobs, *more]

    def empty_database(self, name):
        self.sql("postgres", f'DROP DATABASE IF EXISTS "{name}"')
        self.sql("postgres", f'CREATE DATABASE "{name}" TEMPLATE template0')

    def rounds(self, contenders):
        """Each contender once a round, in turn; the first round of each is not left out: caches are warmed before."""
        found = {name: [] for name, _ in contenders}
        for number in range(self.options.rounds):
            for name, once in contenders:
                figures = once()
                found[name].append(figures)
                print(f"  round {number + 1}: {name}: {figures.wall:.2f} s", file=sys.stderr, flush=True)
        return found


def median(runs, field):
    values = [getattr(run, field) for run in runs if getattr(run, field) is not None]
    return statistics.median(values) if values else None


def table(title, found, ours):
    """Medians, and how `ours` compares with each peer: the median of the rounds' own ratios."""
    print(f"\n### {title}\n")
    print("| | wall s (min–max) | client CPU s | server CPU s | client peak MiB | size MB | pgark ÷ this |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        walls = [run.wall for run in runs]
        size = median(runs, "size_mb")
        ratio = "" if name.startswith("pgark") else \
            f"{statistics.median(mine.wall / its.wall for mine, its in zip(found[ours], runs)):.2f}"
        print(f"| {name} | {statistics.median(walls):.2f} ({min(walls):.2f}–{max(walls):.2f}) | {median(runs, 'client'):.2f} "
              f"| {median(runs, 'server'):.2f} | {median(runs, 'peak_mib'):.0f} | {'' if size is None else f'{size:.0f}'} | {ratio} |")
    sys.stdout.flush()


def copy_limit(bench, database):
    """The server's own COPY to /dev/null on two connections, big tables cut in two: what no client can beat."""
    halves = []
    for name in bench.sql(database, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                                    "ORDER BY relpages DESC").splitlines():
        middle = bench.sql(database, f"SELECT relpages / 2 FROM pg_class WHERE relname = '{name}'")
        halves.append([f"COPY (SELECT * FROM {name} WHERE ctid < '({middle},0)'::tid) TO '/dev/null';",
                       f"COPY (SELECT * FROM {name} WHERE ctid >= '({middle},0)'::tid) TO '/dev/null';"])
    for number in (0, 1):
        (bench.work / f"limit{number}.sql").write_text("\n".join(half[number] for half in halves))
    psql = f"'{bench.bin}/psql' -X -q -d {database} -f"
    return ["sh", "-c", f"{psql} '{bench.work}/limit0.sql' & {psql} '{bench.work}/limit1.sql'; wait"]


def dump(bench, database, *more):
    folder = bench.new_folder("dump")
    return bench.run([bench.bin / "pg_dump", "-Fd", "-j2", *more, "-f", folder, "-d", database], folder)


def fresh_backup(bench, database, jobs=2):
    repository = bench.new_repository()
    return bench.run(bench.backup(database, repository, jobs), repository)


def shop(bench):
    print("  loading the reference shop", file=sys.stderr, flush=True)
    bench.empty_database("shop")
    bench.sql("shop", (HERE / "reference_shop.sql").read_text(), [f"scale={bench.options.scale}"])
    bench.sql("postgres", "CHECKPOINT")
    limit = copy_limit(bench, "shop")
    bench.run(limit)
    found = bench.rounds([
        ("server's COPY to /dev/null, 2 connections", lambda: bench.run(limit)),
        ("pg_dump -Fd -j2 -Z0 --no-sync", lambda: dump(bench, "shop", "-Z0", "--no-sync")),
        ("pg_dump -Fd -j2 -Z1 --no-sync", lambda: dump(bench, "shop", "-Z1", "--no-sync")),
        ("pg_dump -Fd -j2 -Z1", lambda: dump(bench, "shop", "-Z1")),
        ("pgark backup, first", lambda: fresh_backup(bench, "shop")),
        ("pgark backup, nothing changed", lambda: bench.run(bench.backup("shop", bench.work / "repository"))),
        ("pg_dump -Fd -j2", lambda: dump(bench, "shop")),
    ])
    table("Backup of the reference shop", found, "pgark backup, first")

    def stock_restore(*more):
        bench.empty_database("back")
        return bench.run([bench.bin / "pg_restore", "-j2", *more, "-d", "back", bench.work / "dump"])

    def our_restore(*more):
        bench.empty_database("back")
        return bench.run(bench.restore("back", bench.work / "repository", 2, more))

    found = bench.rounds([
        ("pg_restore -j2 of pg_dump's default", stock_restore),
        ("pgark restore --no-analyze", lambda: our_restore("--no-analyze")),
        ("pgark restore (with ANALYZE)", our_restore),
    ])
    table("Restore of the reference shop", found, "pgark restore --no-analyze")
    bench.sql("postgres", "DROP DATABASE back")
    bench.sql("postgres", "DROP DATABASE shop")


def one_table(bench):
    print("  loading one table of 5 GB", file=sys.stderr, flush=True)
    bench.empty_database("one")
    bench.sql("one", "CREATE TABLE events AS SELECT g AS id, md5(g::text) AS a, repeat(md5((g + 1)::text), 3) AS b, "
                     "timestamptz '2020-01-01' + g * interval '1 second' AS at, repeat('filler ', 20) AS c "
                     "FROM generate_series(1, 14000000) g")
    bench.sql("one", "VACUUM (FREEZE, ANALYZE)")
    found = bench.rounds([
        ("pg_dump -Fd -j2 -Z1 --no-sync", lambda: dump(bench, "one", "-Z1", "--no-sync")),
        ("pgark backup, first", lambda: fresh_backup(bench, "one")),
    ])
    table("One table of 5 GB", found, "pgark backup, first")
    bench.sql("postgres", "DROP DATABASE one")


def many_tables(bench):
    for count in (5000, 10000):
        print(f"  creating {count} tables", file=sys.stderr, flush=True)
        bench.empty_database("many")
        bench.sql("many", "DO $$ BEGIN FOR i IN 1.." + str(count) + " LOOP "
                          "EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text)', i); "
                          "EXECUTE format('INSERT INTO t%s SELECT g, md5(g::text) FROM generate_series(1, 20) g', i); "
                          "IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$; VACUUM ANALYZE;")
        found = bench.rounds([
            ("pg_dump -Fd -j2 -Z1 --no-sync", lambda: dump(bench, "many", "-Z1", "--no-sync")),
            ("pgark backup, first", lambda: fresh_backup(bench, "many")),
        ])
        table(f"Backup of {count} tables of 20 rows", found, "pgark backup, first")

        def stock_restore():
            bench.empty_database("back")
            return bench.run([bench.bin / "pg_restore", "-j2", "-d", "back", bench.work / "dump"])

        def our_restore():
            bench.empty_database("back")
            return bench.run(bench.restore("back", bench.work / "repository", 2, ["--no-analyze"]))

        found = bench.rounds([("pg_restore -j2", stock_restore), ("pgark restore --no-analyze", our_restore)])
        table(f"Restore of {count} tables", found, "pgark restore --no-analyze")
        bench.sql("postgres", "DROP DATABASE back")
        bench.sql("postgres", "DROP DATABASE many")


def cluster(bench):
    """Forty databases of 100,000 rows, each other rows, and what several dumps of a loop make of them."""
    names = [f"bench_{number:02}" for number in range(40)]
    for name in names:
        print(f"  creating {name}", file=sys.stderr, flush=True)
        bench.empty_database(name)
        bench.sql(name, "CREATE TABLE t (id int PRIMARY KEY, note text, at timestamptz); "
                        f"INSERT INTO t SELECT g, md5(g::text || '{name}'), now() - g * interval '1 second' "
                        "FROM generate_series(1, 100000) g; CREATE INDEX ON t (at); VACUUM ANALYZE;")

    def loop():
        folder = bench.new_folder("dump")
        folder.mkdir()
        one = f"'{bench.bin}/pg_dump' -Fc -Z1 -d {{}} -f '{folder}/{{}}'"
        two_at_once = f"printf '%s\\n' {' '.join(names)} | xargs -P 2 -I {{}} {one}; '{bench.bin}/pg_dumpall' -g -f '{folder}/globals.sql'"
        return bench.run(["sh", "-c", two_at_once], folder)

    def ours(*more):
        repository = bench.new_repository()
        return bench.run(bench.backup("postgres", repository, 2, ["--database", "bench_*", *more]), repository)

    found = bench.rounds([
        ("pg_dump -Fc -Z1 of each, two at once, and pg_dumpall -g", loop),
        ("pgark backup of all, first", ours),
        ("pgark backup --snapshots together", lambda: ours("--snapshots", "together")),
    ])
    table("Backup of 40 databases of 100,000 rows", found, "pgark backup of all, first")
    for name in names:
        bench.sql("postgres", f'DROP DATABASE "{name}"')


def small(bench):
    """A hundred databases of a few rows, where pg_dump's start and its catalog queries are most of the work."""
    names = [f"small_{number:02}" for number in range(100)]
    for name in names:
        bench.empty_database(name)
        bench.sql(name, "CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE VIEW w AS SELECT * FROM t; "
                        "INSERT INTO t (v) SELECT md5(g::text) FROM generate_series(1, 200) g;")

    def loop():
        folder = bench.new_folder("dump")
        folder.mkdir()
        each = "; ".join(f"'{bench.bin}/pg_dump' -Fc -Z1 -d {name} -f '{folder}/{name}'" for name in names)
        return bench.run(["sh", "-c", f"{each}; '{bench.bin}/pg_dumpall' -g -f '{folder}/globals.sql'"], folder)

    def backup(repository):
        return bench.run(bench.backup("postgres", repository, 2, ["--database", "small_*"]), repository)

    kept = []

    def first():
        repository = bench.new_repository()
        kept[:] = [repository]
        return backup(repository)

    found = bench.rounds([
        ("pg_dump -Fc -Z1 of each, one after the other, and pg_dumpall -g", loop),
        ("pgark backup of all, first", first),
        ("pgark backup of all, nothing changed", lambda: backup(kept[0])),
    ])
    table("Backup of 100 small databases", found, "pgark backup of all, first")
    for name in names:
        bench.sql("postgres", f'DROP DATABASE "{name}"')


def memory(bench):
    """Peak resident memory at 2 and 8 jobs: narrow rows, rows of 200 MB, and the bound of 64 MiB + 48 MiB a job."""
    rows = []
    for name, load in (
        ("30-byte rows, 1 GB", "CREATE TABLE t AS SELECT g AS a, g % 1000 AS b, 'abcdefghij' AS c FROM generate_series(1, 34000000) g"),
        ("rows of 200 MB", "CREATE TABLE t (a int, b text); ALTER TABLE t ALTER b SET STORAGE EXTERNAL; "
                           "INSERT INTO t SELECT g, repeat(md5(g::text), 6250000) FROM generate_series(1, 6) g"),
        ("10,000-byte rows, 2 GB", "CREATE TABLE t AS SELECT g AS a, repeat(md5(g::text), 312) AS b FROM generate_series(1, 200000) g"),
    ):
        print(f"  memory: {name}", file=sys.stderr, flush=True)
        bench.empty_database("wide")
        bench.sql("wide", load)
        for jobs in (2, 8):
            backup = fresh_backup(bench, "wide", jobs)
            bench.empty_database("back")
            restore = bench.run(bench.restore("back", bench.work / "repository", jobs, ["--no-analyze"]))
            rows.append((name, jobs, backup, restore))
        bench.sql("postgres", "DROP DATABASE back")
        bench.sql("postgres", "DROP DATABASE wide")
    print("\n### Memory\n")
    print("The peak of pgark itself, and of the pg_dump whose table of contents it reads: libpq holds a whole row there.\n")
    print("| data | jobs | bound MiB | backup peak MiB | pg_dump peak MiB | restore peak MiB | backup s | restore s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, jobs, backup, restore in rows:
        print(f"| {name} | {jobs} | {64 + 48 * jobs} | {backup.own_mib:.0f} | {backup.peak_mib:.0f} | {restore.own_mib:.0f} | {backup.wall:.1f} | {restore.wall:.1f} |")
    sys.stdout.flush()


PARTS = {"shop": shop, "many-tables": many_tables, "memory": memory, "one-table": one_table, "cluster": cluster, "small": small}


def main():
    parser = argparse.ArgumentParser()
    for name in ("--work", "--bin", "--data", "--pgark"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    bench = Bench(options)
    version = subprocess.run([bench.bin / "pg_dump", "--version"], capture_output=True, text=True).stdout.strip()
    ours = subprocess.run([bench.pgark, "--version"], capture_output=True, text=True).stdout.strip()
    print(f"{ours}; {version}; {os.cpu_count()} cores; {options.rounds} interleaved rounds, medians; dumps, repository and "
          f"cluster on one file system; pgark always syncs what it puts, pg_dump unless --no-sync is said")
    if options.only:
        PARTS[options.only](bench)
        return
    shop(bench)
    many_tables(bench)
    cluster(bench)
    memory(bench)
    if options.big:
        one_table(bench)


if __name__ == "__main__":  # mask.py measures with the same class
    main()
