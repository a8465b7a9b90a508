"""Archiving, fetching and receiving of WAL compared with pgBackRest and pg_receivewal. Called by ./bench wal; prints Markdown tables.

The WAL is pgbench's. Each file is pushed and fetched by a call of its own, one after the other, as a server does it; pgBackRest's
asynchronous mode works ahead in the background, with as many processes as pgark has jobs. The receivers catch up with a server that
has all of the WAL already.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time

from logical import median
from physical import Physical

SEGMENT = 16 << 20


class Wal(Physical):
    def prepare(self, segments):
        """Makes so many segments, and a folder that looks like the data directory of a server that has to archive them."""
        self.sql("postgres", "ALTER SYSTEM SET wal_keep_size = '64GB'")
        self.sql("postgres", "SELECT pg_reload_conf()")
        first = self.current()
        self.run([self.bin / "pgbench", "-q", "-i", "-s", max(1, segments // 8), "postgres"])
        part = 0
        while self.current() - first < segments + 1:
            self.run([self.bin / "pgbench", "-n", "-c", "2", "-T", "1", "postgres"])
            self.sql("postgres", f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % 8 = {part}")
            part = (part + 1) % 8
        self.sql("postgres", "SELECT pg_switch_wal()")
        names = sorted(file.name for file in (self.data / "pg_wal").iterdir() if len(file.name) == 24)
        self.names = [name for name in names if first < number(name) <= first + segments]
        # The server's user runs it, and may not look into the folder where it was built.
        self.pgark = shutil.copy(self.pgark, self.work / "pgark")
        self.twin = self.server_folder("twin")
        for part in ("global", "pg_wal", "pg_wal/archive_status"):
            (self.twin / part).mkdir()
        for part in ("PG_VERSION", "global/pg_control"):
            shutil.copy(self.data / part, self.twin / part)
        for name in self.names:
            shutil.copy(self.data / "pg_wal" / name, self.twin / "pg_wal" / name)
        self.give(self.twin)

    def current(self):
        return number(self.sql("postgres", "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"))

    def give(self, folder):
        """Gives a folder and what is in it to the server's user."""
        if self.as_server:
            subprocess.run(["chown", "-R", "postgres:postgres", folder], check=True)

    def peer_conf(self, more):
        repository = self.server_folder("peer")
        logs = self.server_folder("peer-log")
        self.stanza.write_text(f"""
[global]
repo1-path={repository}
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=five quiet otters swim north
compress-type=zst
compress-level=1
log-level-file=off
log-level-console=error
lock-path={logs}
spool-path={logs}
{more}

[bench]
pg1-path={self.twin}
""")
        self.run(self.peer("stanza-create", "--no-online"))
        return repository

    def each(self, command, names, ready=False):
        """A script that runs a command for each file; `ready`: as a server that archives, with its notes of what waits."""
        status = self.twin / "pg_wal" / "archive_status"
        lines = [f"set -e; cd {self.twin}"]
        if ready:
            for name in names:
                (status / f"{name}.done").unlink(missing_ok=True)
                (status / f"{name}.ready").touch()
            self.give(status)
        for name in names:
            lines.append(command.format(name=name))
            if ready:
                lines.append(f"mv {status}/{name}.ready {status}/{name}.done")
        script = self.work / "each.sh"
        script.write_text("\n".join(lines))
        return [*self.as_server, "sh", script]

    def wal_repository(self):
        repository = self.new_repository()
        for folder in (repository, self.work / "config", self.work / "cache", self.work / "state"):
            folder.mkdir(exist_ok=True)
            self.give(folder)
        self.give(self.identity)
        return repository

    def new_slot(self):
        """A slot that keeps WAL from now on, instead of the one before; its name."""
        while self.sql("postgres", "SELECT count(*) FROM pg_replication_slots WHERE active") != "0":
            time.sleep(0.1)
        self.sql("postgres", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        self.sql("postgres", "SELECT pg_create_physical_replication_slot('pgark', true)")
        return "pgark"


def number(name):
    return int(name[8:16], 16) * 256 + int(name[16:24], 16)


def rates(title, unit, found, ours):
    """Medians; how many times as fast pgark is as each peer: the median of the rounds' own ratios."""
    print(f"\n### {title}\n")
    print(f"| | {unit} (min–max) | wall s | client CPU s | peak MiB | pgark is faster by |")
    print("|---|---|---|---|---|---|")
    for name, runs in found.items():
        speeds = [run.speed for run in runs]
        ratio = "" if name == ours else f"{statistics.median(its.wall / mine.wall for mine, its in zip(found[ours], runs)):.2f}"
        print(f"| {name} | {statistics.median(speeds):.1f} ({min(speeds):.1f}–{max(speeds):.1f}) | {median(runs, 'wall'):.2f} "
              f"| {median(runs, 'client'):.2f} | {max(run.own_mib for run in runs):.0f} | {ratio} |")
    sys.stdout.flush()


def at(figures, amount):
    figures.speed = amount / figures.wall
    return figures


def push(bench):
    names = bench.names
    pgark = f"{bench.pgark} wal push pg_wal/{{name}} --quiet --cluster bench --repo {bench.work}/repository --jobs 2"
    peer = f"pgbackrest --config={bench.stanza} --stanza=bench archive-push pg_wal/{{name}}"

    def ours():
        bench.wal_repository()
        return at(bench.run(bench.each(pgark, names, ready=True)), len(names))

    def theirs(more):
        bench.peer_conf(more)
        return at(bench.run(bench.each(peer, names, ready=True)), len(names))

    asynchronous = "archive-async=y\nprocess-max=2"
    found = bench.rounds([
        ("pgark wal push", ours),
        ("pgBackRest archive-push", lambda: theirs("")),
        ("pgBackRest archive-push, asynchronous", lambda: theirs(asynchronous)),
    ])
    rates(f"Push of {len(names)} segments", "segments/s", found, "pgark wal push")


def fetch(bench):
    names = bench.names
    bench.wal_repository()
    pgark = f"{bench.pgark} wal push pg_wal/{{name}} --quiet --cluster bench --repo {bench.work}/repository --jobs 2"
    bench.run(bench.each(pgark, names, ready=True))
    asynchronous = "archive-async=y\nprocess-max=2"
    bench.peer_conf(asynchronous)
    peer = f"pgbackrest --config={bench.stanza} --stanza=bench"
    bench.run(bench.each(f"{peer} archive-push pg_wal/{{name}}", names, ready=True))

    def with_command(command):
        bench.server_folder("fetched")
        return at(bench.run(bench.each(command.format(to=f"{bench.work}/fetched/RECOVERYXLOG"), names)), len(names))

    ours = (f"{bench.pgark} wal fetch {{{{name}}}} {{to}} --quiet --cluster bench --repo {bench.work}/repository "
            f"--identity {bench.identity}")
    found = bench.rounds([
        ("pgark wal fetch", lambda: with_command(ours)),
        ("pgBackRest archive-get", lambda: with_command(f"{peer} --no-archive-async archive-get {{{{name}}}} {{to}}")),
        ("pgBackRest archive-get, asynchronous", lambda: with_command(f"{peer} archive-get {{{{name}}}} {{to}}")),
    ])
    rates(f"Fetch of {len(names)} segments", "segments/s", found, "pgark wal fetch")


def receive(bench):
    """Both begin behind the first segment, which they have already."""
    first, rest = bench.names[0], len(bench.names) - 1
    end = (number(bench.names[-1]) + 1) * SEGMENT
    end = f"{end >> 32:X}/{end & 0xFFFFFFFF:X}"

    def peer():
        folder = bench.server_folder("received")
        shutil.copy(bench.data / "pg_wal" / first, folder / first)
        bench.give(folder)
        command = [*bench.as_server, bench.bin / "pg_receivewal", "-D", folder, "--no-loop", "--endpos", end, "-d",
                   f"host={bench.work} user=postgres"]
        return at(bench.run(command), rest * SEGMENT / 1e6)

    def ours(*more):
        repository = bench.new_repository()
        bench.run([bench.pgark, "wal", "push", bench.twin / "pg_wal" / first, "--quiet", "--cluster", "bench", "--repo", repository])
        bench.new_slot()
        command = [bench.pgark, "wal", "receive", "--quiet", "--cluster", "bench", "--repo", repository, "--dbname", "postgres",
                   "--spool", bench.new_folder("spool"), "--endpos", end, *more]
        return at(bench.run(command), rest * SEGMENT / 1e6)

    found = bench.rounds([
        ("pgark wal receive", ours),
        ("pg_receivewal", peer),
    ])
    rates(f"Receive {rest} segments that the server has", "MB/s", found, "pgark wal receive")


def commits(bench):
    """What a commit waits longer that a receiver acknowledges: one client, one row a transaction."""
    bench.sql("postgres", "DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (n bigint)")
    script = bench.work / "insert.sql"
    script.write_text("INSERT INTO ledger VALUES (1);\n")

    def latency(name):
        bench.sql("postgres", f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        bench.sql("postgres", "SELECT pg_reload_conf()")
        if name:
            while bench.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1":
                time.sleep(0.1)
        command = [bench.bin / "pgbench", "-n", "-c", "1", "-T", "5", "-f", script, "postgres"]
        done = subprocess.run(list(map(str, command)), env=bench.environment, capture_output=True, text=True, check=True)
        bench.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''")
        bench.sql("postgres", "SELECT pg_reload_conf()")
        return float(next(line for line in done.stdout.splitlines() if line.startswith("latency average")).split()[3])

    def beside(command, name):
        child = subprocess.Popen(list(map(str, command)), env=bench.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return latency(name)
        finally:
            child.terminate()
            child.wait()

    def ours():
        repository = bench.new_repository()
        bench.new_slot()
        return beside([bench.pgark, "wal", "receive", "--cluster", "bench", "--repo", repository, "--dbname", "postgres", "--spool",
                       bench.new_folder("spool"), "--synchronous"], "pgark")

    def peer():
        folder = bench.server_folder("received")
        return beside([*bench.as_server, bench.bin / "pg_receivewal", "-D", folder, "--synchronous", "--slot", bench.new_slot(), "-d",
                       f"host={bench.work} user=postgres"], "pg_receivewal")

    contenders = [("no receiver", lambda: latency("")), ("pgark wal receive --synchronous", ours), ("pg_receivewal --synchronous", peer)]
    found = {name: [] for name, _ in contenders}
    for turn in range(bench.options.rounds):
        for name, once in contenders:
            found[name].append(once())
            print(f"  round {turn + 1}: {name}: {found[name][-1]:.2f} ms", file=sys.stderr, flush=True)
    print("\n### A commit of one row, one client, a directory on the same disk\n")
    print("| | ms (min–max) |\n|---|---|")
    for name, values in found.items():
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}) |")
    sys.stdout.flush()


PARTS = {"push": push, "fetch": fetch, "receive": receive, "commit": commits}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pgark", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=int, default=64)
    parser.add_argument("--only", choices=list(PARTS))
    options = parser.parse_args()
    bench = Wal(options)
    bench.prepare(options.segments)
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(bench)


main()
