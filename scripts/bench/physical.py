"""Physical backup and restore compared with pgBackRest and pg_basebackup. Called by ./bench physical; prints Markdown tables.

The server runs as its own user, pgark as the user who calls. pgBackRest runs as the server's user, as it must. WAL is archived by
nothing: pgBackRest's backups are without it (archive-check=n), those of pgark have the WAL that makes them consistent.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
from pathlib import Path

from logical import HERE, Bench, median

PAGE = 8192
# The kind of an object of a repository is its sixth byte (FORMAT.md, section 1).
DATA_PACK = 1


class Physical(Bench):
    def __init__(self, options):
        super().__init__(options)
        self.data = Path(options.data)
        self.random = random.Random(42)
        self.as_server = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.getuid() == 0 else []
        self.stanza = self.work / "pgbackrest.conf"

    def server_folder(self, name):
        """An empty folder of the server's user."""
        folder = self.new_folder(name)
        folder.mkdir(mode=0o700)
        if self.as_server:
            shutil.chown(folder, "postgres", "postgres")
        return folder

    def new_peer(self):
        repository = self.server_folder("peer")
        logs = self.server_folder("peer-log")
        self.stanza.write_text(f"""
[global]
repo1-path={repository}
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=five quiet otters swim north
repo1-bundle=y
repo1-retention-full=1000
process-max=2
compress-type=zst
compress-level=1
start-fast=y
archive-check=n
log-level-file=off
log-level-console=error
lock-path={logs}
log-path={logs}
spool-path={logs}

[bench]
pg1-path={self.data}
pg1-socket-path={self.work}
pg1-user=postgres
""")
        self.run(self.peer("stanza-create"))
        return repository

    def peer(self, *words):
        return [*self.as_server, "pgbackrest", f"--config={self.stanza}", "--stanza=bench", *words]

    def peer_backup(self, kind):
        return self.run(self.peer(f"--type={kind}", "backup"))

    def peer_restore(self, folder, *more):
        return self.run(self.peer(f"--pg1-path={folder}", *more, "restore"))

    def physical(self, repository, *more):
        return [self.pgark, "backup", "--physical", "--quiet", "--repo", repository, "--dbname", "postgres", "--jobs", 2, *more]

    def to_directory(self, repository, folder, *more):
        return [self.pgark, "restore", "latest", "--quiet", "--repo", repository, "--identity", self.identity, "--to-dir", folder,
                "--jobs", 2, *more]

    def basebackup(self):
        folder = self.server_folder("base")
        figures = self.run([*self.as_server, self.bin / "pg_basebackup", "-Ft", "-X", "stream", "-c", "fast", "-D", folder], folder)
        self.new_folder("base")
        return figures

    def told(self, repository):
        """What the newest backup says of itself."""
        command = [self.pgark, "show", "latest", "--repo", repository, "--json"]
        done = subprocess.run(list(map(str, command)), env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def checkpoint(self):
        self.sql("postgres", "CHECKPOINT")

    def with_checksums(self, make):
        """Stops the server, lets `make` put files among its own, gives their pages checksums, and starts it again."""
        control = [*self.as_server, self.bin / "pg_ctl", "-D", self.data, "-s", "-w"]
        self.run([*control, "stop", "-m", "fast"])
        self.run([*self.as_server, self.bin / "pg_checksums", "--disable", "-D", self.data])
        made = make()
        self.run([*self.as_server, self.bin / "pg_checksums", "--enable", "-D", self.data])
        self.run([*control, "start", "-l", self.data / "log"])
        self.postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        return made

    def data_bytes(self):
        files = (file.stat().st_size for part in ("base", "global") for file in (self.data / part).rglob("*") if file.is_file())
        return sum(files)


def stored(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def metadata(folder):
    """Bytes of all objects that are no data packs."""
    total = 0
    for file in Path(folder).rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                head = opened.read(6)
            if len(head) < 6 or head[5] != DATA_PACK:
                total += file.stat().st_size
    return total


def added(before, folder, figures):
    figures.size_mb = (stored(folder) - before) / 1e6
    return figures


def table(title, found, pairs):
    """Medians; `pairs` says which peer each line of ours is compared with: the median of the rounds' own ratios."""
    print(f"\n### {title}\n")
    print("| | wall s (min–max) | client CPU s | server CPU s | peak MiB | stored MB | wall ÷ | bytes ÷ | compared with |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, runs in found.items():
        walls = [run.wall for run in runs]
        size = median(runs, "size_mb")
        wall_ratio = size_ratio = peer = ""
        if name in pairs:
            peer, theirs = pairs[name], found[pairs[name]]
            wall_ratio = f"{statistics.median(mine.wall / its.wall for mine, its in zip(runs, theirs)):.2f}"
            if size is not None and median(theirs, "size_mb"):
                size_ratio = f"{statistics.median(mine.size_mb / its.size_mb for mine, its in zip(runs, theirs)):.3f}"
        print(f"| {name} | {statistics.median(walls):.2f} ({min(walls):.2f}–{max(walls):.2f}) | {median(runs, 'client'):.2f} "
              f"| {median(runs, 'server'):.2f} | {max(run.own_mib for run in runs):.0f} | {'' if size is None else f'{size:.2f}'} "
              f"| {wall_ratio} | {size_ratio} | {peer} |")
    sys.stdout.flush()


def changes(table_of):
    """Names and SQL of the changes between increments, in their order."""
    biggest, clustered, rows = table_of
    return [
        ("nothing changed", None),
        ("1 % of one table's rows anywhere", f"UPDATE {biggest[0]} SET {biggest[1]} WHERE random() < 0.01"),
        ("1 % of one table's rows, clustered",
         f"UPDATE {clustered[0]} SET {clustered[1]} WHERE id BETWEEN {rows // 2} AND {rows // 2 + rows // 100}"),
        ("after VACUUM (FREEZE)", "VACUUM (FREEZE)"),
    ]


def compared(bench, title, database, statements):
    """Full backups, increments and restores, in rounds."""
    found, pairs = {}, {}

    def note(name, figures, peer=None):
        found.setdefault(name, []).append(figures)
        if peer:
            pairs[name] = peer
        print(f"  {title}: {name}: {figures.wall:.2f} s, {figures.size_mb or 0:.2f} MB", file=sys.stderr, flush=True)

    for number in range(bench.options.rounds):
        theirs = bench.new_peer()
        bench.checkpoint()
        note("pg_basebackup -Ft", bench.basebackup())
        before = stored(theirs)
        note("pgBackRest, full", added(before, theirs, bench.peer_backup("full")))
        over_wire = bench.new_repository("wire")
        before = stored(over_wire)
        wire = bench.run(bench.physical(over_wire, "--source", "wire"))
        note("pgark, first, over the wire", added(before, over_wire, wire), "pg_basebackup -Ft")
        bench.new_folder("wire")
        ours = bench.new_repository()
        before = stored(ours)
        note("pgark, first", added(before, ours, bench.run(bench.physical(ours))), "pgBackRest, full")
        for name, sql in statements:
            if sql:
                bench.sql(database, sql)
            bench.checkpoint()
            before = stored(theirs)
            peer = f"pgBackRest, {name}"
            note(peer, added(before, theirs, bench.peer_backup("incr")))
            before = stored(ours)
            note(f"pgark, {name}", added(before, ours, bench.run(bench.physical(ours))), peer)
        restores(bench, ours, note)
    table(title, found, pairs)


def restores(bench, ours, note):
    """Into an empty directory, onto an equal one, and onto one of which 1 % of the pages are damaged."""
    peer_folder, own_folder = bench.server_folder("peer-back"), bench.server_folder("own-back")
    note("pgBackRest restore", bench.peer_restore(peer_folder))
    note("pgark restore", bench.run(bench.to_directory(ours, own_folder)), "pgBackRest restore")
    note("pgBackRest restore --delta, equal", bench.peer_restore(peer_folder, "--delta"))
    note("pgark restore --delta, equal", bench.run(bench.to_directory(ours, own_folder, "--delta")), "pgark restore")
    for folder in (peer_folder, own_folder):
        damage(folder)
    note("pgBackRest restore --delta, 1 % damaged", bench.peer_restore(peer_folder, "--delta"))
    note("pgark restore --delta, 1 % damaged", bench.run(bench.to_directory(ours, own_folder, "--delta")), "pgark restore")
    for name in ("peer-back", "own-back"):
        bench.new_folder(name)


def damage(folder):
    """Writes over 1 % of the pages of all relation files; the same ones each time."""
    draw = random.Random(7)
    for file in sorted((folder / "base").rglob("*")):
        if not file.is_file() or not file.name[0].isdigit():
            continue
        with open(file, "r+b") as opened:
            for page in range(file.stat().st_size // PAGE):
                if draw.random() < 0.01:
                    opened.seek(page * PAGE + 100)
                    opened.write(b"damaged")


def shop(bench):
    print("  loading the reference shop", file=sys.stderr, flush=True)
    bench.empty_database("shop")
    bench.sql("shop", (HERE / "reference_shop.sql").read_text(), [f"scale={bench.options.scale}"])
    rows = 280000 * bench.options.scale
    statements = changes((("order_items", "quantity = quantity + 1"), ("documents", "kind = kind || '.'"), rows))
    compared(bench, f"The reference shop, {bench.data_bytes() / 1e6:.0f} MB of data files", "shop", statements)
    bench.sql("postgres", "DROP DATABASE shop")


def many_tables(bench):
    print("  creating 10000 tables", file=sys.stderr, flush=True)
    bench.empty_database("many")
    bench.sql("many", "DO $$ BEGIN FOR i IN 1..10000 LOOP "
                      "EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text)', i); "
                      "EXECUTE format('INSERT INTO t%s SELECT g, md5(g::text || %s) FROM generate_series(1, 20) g', i, i); "
                      "IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$; VACUUM ANALYZE;")
    some = "DO $$ BEGIN FOR i IN 1..10000 BY 100 LOOP EXECUTE format('UPDATE t%s SET note = note || 1', i); END LOOP; END $$"
    compared(bench, f"10,000 tables of 20 rows, {bench.data_bytes() / 1e6:.0f} MB of data files", "many",
             [("nothing changed", None), ("rows of 100 tables", some)])
    bench.sql("postgres", "DROP DATABASE many")


def nights(bench):
    """Thirty nights of 1 % of the largest table's rows anywhere: what each costs, and what a restore reads."""
    print("  loading the reference shop", file=sys.stderr, flush=True)
    bench.empty_database("shop")
    bench.sql("shop", (HERE / "reference_shop.sql").read_text(), [f"scale={bench.options.scale}"])
    bench.checkpoint()
    ours = bench.new_repository()
    first = bench.run(bench.physical(ours), ours)
    first_metadata, raw = metadata(ours), bench.told(ours)["bytes_raw"]
    print(f"\n### {bench.options.nights} nights of 1 % of one table's rows anywhere\n")
    print(f"First backup: {first.size_mb:.1f} MB stored of {raw / 1e6:.0f} MB, {first.wall:.2f} s; metadata "
          f"{first_metadata / raw * 2**30 / 1e6:.2f} MB for each GiB ({first_metadata / raw:.3%} of the raw bytes).\n")
    print("| night | stored MB | of it metadata kB | wall s | peak MiB | pages new | stored again | read amplification |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for number in range(1, bench.options.nights + 1):
        bench.sql("shop", "UPDATE order_items SET quantity = quantity + 1 WHERE random() < 0.01")
        bench.sql("shop", "VACUUM order_items")
        bench.checkpoint()
        before, before_metadata = stored(ours), metadata(ours)
        figures = added(before, ours, bench.run(bench.physical(ours)))
        physical = bench.told(ours)["physical"]
        if number in (1, 2, 5, 10, 15, 20, 25, 30) or number == bench.options.nights:
            print(f"| {number} | {figures.size_mb:.2f} | {(metadata(ours) - before_metadata) / 1e3:.1f} | {figures.wall:.2f} "
                  f"| {figures.own_mib:.0f} | {physical['pages']['new']} | {physical['pages']['rewritten']} "
                  f"| {physical['read_amplification']:.2f} |", flush=True)
    folder = bench.server_folder("own-back")
    print(f"\nRestore of the last one: {bench.run(bench.to_directory(ours, folder)).wall:.2f} s.", flush=True)
    bench.new_folder("own-back")
    bench.sql("postgres", "DROP DATABASE shop")


def page(draw):
    """A page that a server could have written, of words that compress as rows do."""
    words = b" ".join(draw.choice(WORDS) for _ in range(1100))
    return struct.pack("<QHHHHHHI", 0, 0, 0, 28, 1200, PAGE, PAGE | 4, 0) + bytes(1200 - 24) + words[:PAGE - 1200].ljust(PAGE - 1200, b"x")


WORDS = [bytes(random.Random(number).choices(b"etaoinshrdlucmfwypvbgk", k=2 + number % 9)) for number in range(4000)]


def synthetic(bench):
    """Many small files, and a large sparse one, among those of a real cluster: the server does not know them, and leaves them alone."""
    draw = random.Random(11)
    pages = [page(draw) for _ in range(512)]
    oid = bench.sql("postgres", "SELECT oid FROM pg_database WHERE datname = 'postgres'")
    base = bench.data / "base" / oid

    def small():
        for number in range(bench.options.files):
            with open(base / str(1_000_000 + number), "wb") as file:
                for _ in range(1 + number % 3):
                    file.write(draw.choice(pages)[:-8] + struct.pack("<Q", draw.getrandbits(64)))

    def large():
        """Segments of 1 GiB; one run of eight pages in 200 has content."""
        for segment in range(bench.options.gib):
            with open(base / ("9999999" if segment == 0 else f"9999999.{segment}"), "wb") as file:
                file.truncate(2**30)
                for start in range(0, 2**30 // PAGE, 200):
                    file.seek(start * PAGE)
                    file.write(b"".join(draw.choice(pages)[:-8] + struct.pack("<Q", draw.getrandbits(64)) for _ in range(8)))

    print("\n### Synthetic directories\n")
    print("| | raw MB | files | stored MB | metadata, of raw | of what is not zeros | wall s | peak MiB | again: added kB | of raw | wall s | "
          "peak MiB | reading alone s | restore s | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, make in ((f"{bench.options.files} files of 1 to 3 pages", small), (f"{bench.options.gib} GiB, 4 % data", large)):
        print(f"  making {name}", file=sys.stderr, flush=True)

        def put():
            before = set(os.listdir(base))
            make()
            made = [base / file for file in os.listdir(base) if file not in before]
            if bench.as_server:
                for file in made:
                    shutil.chown(file, "postgres", "postgres")
            return made

        made = bench.with_checksums(put)
        os.sync()
        ours = bench.new_repository()
        before = metadata(ours)
        first = bench.run(bench.physical(ours), ours)
        told = bench.told(ours)
        raw, own = told["bytes_raw"], metadata(ours) - before
        filled = (told["physical"]["pages"]["total"] - told["physical"]["pages"]["zero"]) * PAGE
        before = stored(ours)
        again = bench.run(bench.physical(ours))
        more = stored(ours) - before
        reading = bench.run(["sh", "-c", f"find '{bench.data}' -type f -print0 | xargs -0 -P 2 -n 2000 cat > /dev/null"])
        folder = bench.server_folder("own-back")
        back = bench.run(bench.to_directory(ours, folder))
        bench.new_folder("own-back")
        print(f"| {name} | {raw / 1e6:.0f} | {told['physical']['files']} | {first.size_mb:.1f} | {own / raw:.3%} | {own / filled:.3%} "
              f"| {first.wall:.2f} | {first.own_mib:.0f} | {more / 1e3:.0f} | {more / raw:.4%} | {again.wall:.2f} | {again.own_mib:.0f} "
              f"| {reading.wall:.2f} | {back.wall:.2f} | {back.own_mib:.0f} |", flush=True)
        for file in made:
            file.unlink()


PARTS = {"shop": shop, "tables": many_tables, "nights": nights, "synthetic": synthetic}


def main():
    parser = argparse.ArgumentParser()
    for name in ("--work", "--bin", "--data", "--pgark"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--gib", type=int, default=40)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    bench = Physical(options)
    version = subprocess.run([bench.bin / "postgres", "--version"], capture_output=True, text=True).stdout.strip()
    ours = subprocess.run([bench.pgark, "--version"], capture_output=True, text=True).stdout.strip()
    peer = subprocess.run(["pgbackrest", "version"], capture_output=True, text=True).stdout.strip()
    print(f"{ours}; {peer}; {version}; {os.cpu_count()} cores; {options.rounds} interleaved rounds, medians; zstd 1, encrypted on both sides "
          "(pg_basebackup: neither), two processes each; data, repositories and what is restored on one file system; warm cache. "
          "pgBackRest before 2.46 stores a changed file whole")
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(bench)


if __name__ == "__main__":
    main()
