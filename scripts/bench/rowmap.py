"""Row maps beside restic on pg_dump's files. Called by ./bench rowmap; prints Markdown tables and draws the chain's curve."""

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

PASSWORD = "five quiet otters swim north"

EV_ROWS, ACC_ROWS = 1_300_000, 4_000_000

# Uniform: of everything 1 % or 0.01 % updated, deleted, inserted. Clustered: 20 % of the newest 5 %
# updated, the oldest 1 % deleted, 1 % appended, after a VACUUM.
CHANGES = {
    "ev": {
        "update": "UPDATE ev SET amount = amount + 1, status = 'upd' WHERE {where}",
        "delete": "DELETE FROM ev WHERE {where}",
        "insert": "INSERT INTO ev SELECT (SELECT max(id) FROM ev) + row_number() OVER (), gen_random_uuid(), at, status, amount, "
                  "'n' || email, reverse(body), doc FROM ev WHERE {where}",
    },
    "acc": {
        "update": "UPDATE acc SET balance = (random() * 100000)::int WHERE {where}",
        "delete": "DELETE FROM acc WHERE {where}",
        "insert": "INSERT INTO acc SELECT (SELECT max(id) FROM acc) + row_number() OVER (), branch, (random() * 100000)::int, filler "
                  "FROM acc WHERE {where}",
    },
}


def uniform(table, share):
    where = f"random() < {share}"
    return [CHANGES[table][kind].format(where=where) for kind in ("update", "delete", "insert")]


def clustered(table, rows):
    change = CHANGES[table]
    return [f"VACUUM {table}",
            change["update"].format(where=f"id > {rows * 0.95:.0f} AND random() < 0.2"),
            change["delete"].format(where=f"id <= {rows * 0.01:.0f}"),
            f"VACUUM {table}",
            change["insert"].format(where=f"id BETWEEN {rows // 2} AND {rows // 2 + rows // 100}")]


def scenarios(table, rows):
    return [
        ("nothing changed", []),
        ("U1: 1 % anywhere", uniform(table, 0.01)),
        ("U.01: 0.01 % anywhere", [f"VACUUM {table}", *uniform(table, 0.0001)]),
        ("C1: 1 % clustered", clustered(table, rows)),
        ("U1, then VACUUM FULL", [*uniform(table, 0.01), f"VACUUM FULL {table}"]),
        ("CLUSTER on a random key", [f"CREATE INDEX by_chance ON {table} (md5(id::text))", f"CLUSTER {table} USING by_chance",
                                     "DROP INDEX by_chance"]),
    ]


class Bench:
    def __init__(self, options):
        self.options = options
        self.work, self.bin = Path(options.work), Path(options.bin)
        self.environment = {
            **os.environ, "PGHOST": str(self.work), "PGUSER": "postgres", "RESTIC_PASSWORD": PASSWORD, "HOME": str(self.work / "home"),
            "XDG_CONFIG_HOME": str(self.work / "home/config"), "XDG_CACHE_HOME": str(self.work / "home/cache"),
            "XDG_STATE_HOME": str(self.work / "home/state"),
        }
        (self.work / "home").mkdir()
        self.random = random.Random(42)
        self.identity = self.work / "identity.txt"
        subprocess.run(["age-keygen", "-o", str(self.identity)], check=True, capture_output=True)
        self.recipient = subprocess.run(["age-keygen", "-y", str(self.identity)], check=True, capture_output=True, text=True).stdout.strip()

    def run(self, command, **options):
        """Returns output, wall and CPU seconds, and peak memory in MB."""
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.environment, **options) as process:
            output, errors = process.communicate()
        wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise SystemExit(f"{command[0]} failed: {errors}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return output, errors, wall, cpu

    def sql(self, database, *statements):
        for statement in statements:
            self.run([self.bin / "psql", "-X", "-q", "-d", database, "-c", statement])

    def load(self, table, rows):
        """A database with one table, as a template for the scenarios."""
        self.sql("postgres", f"CREATE DATABASE base_{table}")
        psql = subprocess.Popen([str(self.bin / "psql"), "-X", "-q", "-d", f"base_{table}", "-c",
                                 {"ev": "CREATE TABLE ev (id bigint, u uuid, at timestamptz, status text, amount numeric(12,2), email text, "
                                        "body text, doc jsonb)",
                                  "acc": "CREATE TABLE acc (id int, branch int, balance int, filler char(84))"}[table],
                                 "-c", f"COPY {table} FROM STDIN"], stdin=subprocess.PIPE, text=True, env=self.environment)
        draw = self.random
        if table == "ev":
            letters = "etaoinshrdlucmfwypvbgkjqxz"
            words = ["".join(draw.choices(letters, range(26, 0, -1), k=2 + int(draw.expovariate(0.25)) % 9)) for _ in range(20000)]
            weights, total = [], 0.0
            for rank in range(1, 20001):
                total += 1 / rank
                weights.append(total)
            for number in range(1, rows + 1):
                some = draw.choices(words, cum_weights=weights, k=38)
                psql.stdin.write(
                    f"{number}\t{draw.getrandbits(128):032x}\t2024-01-{1 + number % 28:02d} {number % 24:02d}:{number % 60:02d}:07+00\t"
                    f"{('new', 'paid', 'sent', 'done', 'void')[number * 7 % 5]}\t{draw.randrange(1000000) / 100:.2f}\t"
                    f"{some[0]}{number}@example.com\t{' '.join(some)}\t"
                    f"{{\"k\": {draw.randrange(1000)}, \"tag\": \"{some[1]}\", \"score\": {draw.random():.4f}}}\n")
        else:
            for number in range(1, rows + 1):
                psql.stdin.write(f"{number}\t{1 + number // 100000}\t0\t \n")
        psql.stdin.close()
        if psql.wait():
            raise SystemExit("loading failed")
        self.sql(f"base_{table}", f"ALTER TABLE {table} ADD PRIMARY KEY (id)", "VACUUM (FREEZE, ANALYZE)", "CHECKPOINT")

    def fresh(self, table):
        self.sql("postgres", "DROP DATABASE IF EXISTS bench", f"CREATE DATABASE bench TEMPLATE base_{table} STRATEGY file_copy")

    def pgark(self, repository, *words):
        return self.run([self.options.pgark, *words, "--repo", repository])

    def backup(self, repository, *more):
        """Stored and added bytes, wall, CPU, peak memory (MB), rows new."""
        size = folder_bytes(repository)
        shutil.rmtree(self.work / "peak", ignore_errors=True)
        command = ["/usr/bin/time", "-f", "peak %M", self.options.pgark, "backup", "--repo", repository, "--dbname", "bench", "--cluster", "c",
                   "--jobs", "2", "--json", *more]
        output, errors, wall, cpu = self.run(command)
        made = json.loads(output)
        peak = int(re.search(r"peak (\d+)", errors).group(1)) * 1024 / 1e6
        maps = [table["row_map"] for table in made["tables"] if table.get("row_map")]
        rows = sum(one["rows_new"] for one in maps) if maps else None
        return {"stored": folder_bytes(repository) - size, "wall": wall, "cpu": cpu, "peak": peak, "new": rows,
                "id": made["id"], "raw": made["bytes_raw"]}

    def restore(self, repository):
        """Wall, and bytes fetched."""
        self.sql("postgres", "DROP DATABASE IF EXISTS back")
        output, errors, wall, _ = self.pgark(repository, "restore", "latest", "--create", "--dbname", "back", "--identity", self.identity,
                                             "--jobs", "2", "--json")
        self.sql("postgres", "DROP DATABASE back")
        return wall, json.loads(output)["bytes_fetched"]

    def dump(self):
        folder = self.work / "dump"
        shutil.rmtree(folder, ignore_errors=True)
        _, _, wall, _ = self.run([self.bin / "pg_dump", "-Fd", "-Z0", "-j2", "--no-sync", "-f", folder, "bench"])
        return folder, wall

    def restic(self, repository, *words):
        self.environment["RESTIC_REPOSITORY"] = str(repository)
        return self.run(["restic", "-q", *words])

    def restic_backup(self, repository):
        folder, dumped = self.dump()
        size = folder_bytes(repository)
        _, _, wall, cpu = self.restic(repository, "backup", folder)
        return {"stored": folder_bytes(repository) - size, "wall": wall, "cpu": cpu, "dump": dumped}

    def begin(self, table, mode):
        """First backups by both."""
        self.fresh(table)
        ours, theirs = self.work / "ours", self.work / "theirs"
        for folder in (ours, theirs, self.work / "home"):
            shutil.rmtree(folder, ignore_errors=True)
        (self.work / "home").mkdir()
        self.pgark(ours, "init", "--recipient", self.recipient)
        self.restic(theirs, "init", "--repository-version", "2")
        first = self.backup(ours, "--row-map", mode)
        restored, fetched = self.restore(ours)
        return first, restored, fetched, self.restic_backup(theirs)

    def scenario_table(self, table, rows, mode):
        first, restored, fetched, peer = self.begin(table, mode)
        print(f"\n**{table}**, {rows} rows, {first['raw'] / rows:.0f} bytes a row, `--row-map {mode}`\n")
        print("| | rows stored | stored | of the first | wall s | of the first | CPU s | peak MB | restore s | fetched, of the first | "
              "pg_dump -Z0 + restic: stored | of its first | wall s |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")

        def line(name, own, wall, bytes_fetched, other):
            new = "–" if own["new"] is None else str(own["new"])
            print(f"| {name} | {new} | {own['stored'] / 1e6:.2f} MB | {own['stored'] / first['stored']:.2%} | {own['wall']:.2f} "
                  f"| {own['wall'] / first['wall']:.2f} | {own['cpu']:.2f} | {own['peak']:.0f} | {wall:.1f} | {bytes_fetched / fetched:.2f} "
                  f"| {other['stored'] / 1e6:.1f} MB | {other['stored'] / peer['stored']:.1%} | {other['dump'] + other['wall']:.1f} |", flush=True)

        line("first backup", first, restored, fetched, peer)
        keep = self.work / "keep"
        shutil.rmtree(keep, ignore_errors=True)
        for name in ("ours", "theirs", "home"):
            shutil.copytree(self.work / name, keep / name)
        for name, statements in scenarios(table, rows):
            self.fresh(table)
            for folder in ("ours", "theirs", "home"):
                shutil.rmtree(self.work / folder)
                shutil.copytree(keep / folder, self.work / folder)
            self.sql("bench", *statements, "CHECKPOINT")
            own = self.backup(self.work / "ours", "--row-map", mode)
            wall, bytes_fetched = self.restore(self.work / "ours")
            line(name, own, wall, bytes_fetched, self.restic_backup(self.work / "theirs"))
        shutil.rmtree(keep)

    def chain(self, table, mode, rounds, share, title):
        """Successive rounds with VACUUM between: new rows go into old holes."""
        first, restored, fetched, peer = self.begin(table, mode)
        ours = self.work / "ours"
        print(f"\n**{title}**, `--row-map {mode}`: first backup {first['stored'] / 1e6:.1f} MB, {first['wall']:.2f} s\n")
        print("| round | stored | of the first | wall, of the first | fetched, of the first | restore s |")
        print("|---:|---:|---:|---:|---:|---:|")
        stored, walls, curve, peaks = [], [], [], []
        shown = {1, 2, 5, 10, 20, 30, 50, 100}
        for number in range(1, rounds + 1):
            self.sql("bench", f"VACUUM {table}", *uniform(table, share), "CHECKPOINT")
            own = self.backup(ours, "--row-map", mode)
            stored.append(own["stored"])
            walls.append(own["wall"])
            peaks.append(own["peak"])
            if number in shown:
                wall, bytes_fetched = self.restore(ours)
                curve.append((number, own["stored"] / first["stored"], bytes_fetched / fetched))
                print(f"| {number} | {own['stored'] / 1e6:.2f} MB | {own['stored'] / first['stored']:.2%} | {own['wall'] / first['wall']:.2f} "
                      f"| {bytes_fetched / fetched:.2f} | {wall:.1f} |", flush=True)
        print(f"\nMean {statistics.mean(stored) / first['stored']:.2%} of the first for each round, worst {max(stored) / first['stored']:.2%}; wall at most "
              f"{max(walls) / first['wall']:.2f} of the first; peak memory {max(peaks):.0f} MB.", flush=True)
        return [own / first["stored"] for own in stored], curve


def folder_bytes(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def draw(path, stored, curve, title):
    """A small picture: stored bytes of each round, and bytes fetched by a restore, both of the first backup's."""
    width, height, left, top = 720, 320, 60, 40
    rounds = len(stored)
    across = lambda number: left + (width - 2 * left) * (number - 1) / max(rounds - 1, 1)
    most_stored = max(0.03, max(stored) * 1.1)
    down_stored = lambda value: top + (height - 2 * top) * (1 - value / most_stored)
    down_fetched = lambda value: top + (height - 2 * top) * (1 - (value - 1) / 1.0)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="20" font-size="14">{title}</text>']
    for step in range(5):
        share, y = most_stored * step / 4, down_stored(most_stored * step / 4)
        parts.append(f'<line x1="{left}" x2="{width - left}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
                     f'<text x="8" y="{y + 4:.0f}" fill="#06c">{share:.1%}</text>'
                     f'<text x="{width - left + 8}" y="{y + 4:.0f}" fill="#c40">{1 + step / 4:.2f} ×</text>')
    points = " ".join(f"{across(number):.1f},{down_stored(value):.1f}" for number, value in enumerate(stored, 1))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="2"/>')
    points = " ".join(f"{across(number):.1f},{down_fetched(value):.1f}" for number, _, value in curve)
    parts.append(f'<polyline points="{points}" fill="none" stroke="#c40" stroke-width="2"/>')
    parts.append(f'<text x="{left}" y="{height - 8}">round 1</text><text x="{width - left - 60}" y="{height - 8}">round {rounds}</text>'
                 f'<text x="{width / 2 - 190:.0f}" y="{height - 8}" fill="#06c">stored by the round, of the first backup</text>'
                 f'<text x="{width / 2 + 40:.0f}" y="{height - 8}" fill="#c40">fetched by a restore</text></svg>')
    Path(path).write_text("\n".join(parts) + "\n")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--work", "--bin", "--pgark"):
        parser.add_argument(name, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--picture", help="write the chain's curve there, as SVG")
    parser.add_argument("--only", choices=["ev", "acc", "chain", "nights"])
    options = parser.parse_args()
    bench = Bench(options)
    wanted = lambda part: options.only in (None, part)
    ev, acc = int(EV_ROWS * options.scale), int(ACC_ROWS * options.scale)
    if options.only != "acc":
        bench.load("ev", ev)
    if wanted("ev"):
        bench.scenario_table("ev", ev, "auto")
    if wanted("acc"):
        bench.load("acc", acc)
        for mode in ("on", "auto"):
            bench.scenario_table("acc", acc, mode)
    if wanted("chain"):
        stored, curve = bench.chain("ev", "auto", options.rounds, 0.01, f"{options.rounds} rounds of U1 on ev")
        if options.picture:
            draw(options.picture, stored, curve, "1 % updated, 1 % deleted, 1 % inserted anywhere, each round")
    if wanted("nights"):
        bench.chain("ev", "auto", options.nights, 0.0001, f"{options.nights} nights of U.01 on ev")


main()
