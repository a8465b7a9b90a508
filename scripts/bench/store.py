"""A repository beside restic on the same files. Called by ./bench store; prints Markdown tables."""

import argparse
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

PASSWORD = "five quiet otters swim north"


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def folder_bytes(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


class Bench:
    def __init__(self, options):
        self.work, self.files, self.rounds = Path(options.work), options.files, options.rounds
        self.environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "HOME": str(self.work)}

    def pin(self, cores):
        return ["taskset", "-c", "0" if cores == 1 else "0,1"]

    def ours(self, verb, repository, *more, cores=2):
        seconds, moved = run(self.pin(cores) + [self.files, verb, str(repository), *more]).split()
        return float(seconds), int(moved)

    def restic(self, repository, *more, cores=2):
        environment = {**self.environment, "GOMAXPROCS": str(cores), "RESTIC_REPOSITORY": str(repository)}
        begun = time.monotonic()
        run(self.pin(cores) + ["restic", "--no-cache", "-q", *more], env=environment)
        return time.monotonic() - begun

    def fresh(self, name):
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()
        return folder

    def compare(self, title, cut, files):
        raw = sum(Path(file).stat().st_size for file in files)
        figures = {}
        for _ in range(self.rounds):
            for cores in (1, 2):
                ours = self.fresh("ours")
                wrote, _ = self.ours("write", ours, str(cores), cut, *files, cores=cores)
                read, _ = self.ours("read", ours, str(cores), cores=cores)
                theirs = self.fresh("theirs")
                self.restic(theirs, "init", "--repository-version", "2", cores=cores)
                backed_up = self.restic(theirs, "backup", *files, cores=cores)
                back = self.fresh("back")
                restored = self.restic(theirs, "restore", "latest", "--target", str(back), cores=cores)
                shutil.rmtree(back)
                own = figures.setdefault(cores, ([], [], [], []))
                for column, value in zip(own, (wrote, read, backed_up, restored)):
                    column.append(value)
        size_ours, size_theirs = folder_bytes(self.work / "ours"), folder_bytes(self.work / "theirs")
        for cores, columns in figures.items():
            wrote, read, backed_up, restored = (statistics.median(column) for column in columns)
            mb = raw / 1e6
            print(f"| {title} | {mb:.0f} MB | {cores} | {mb / wrote:.0f} | {mb / backed_up:.0f} | {backed_up / wrote:.1f} "
                  f"| {mb / read:.0f} | {wrote / read:.1f} | {mb / restored:.0f} | {size_ours / 1e6:.0f} / {size_theirs / 1e6:.0f} MB |", flush=True)

    def prune(self, files):
        """The first backup alone holds a tenth of what is stored."""
        extra = self.work / "extra"
        total = sum(Path(file).stat().st_size for file in files)
        with open(extra, "wb") as out:
            out.write(os.urandom(int(total * 0.03)))
        repository = self.fresh("ours")
        self.ours("write", repository, "2", "content", str(extra), *files)
        before = folder_bytes(repository)
        self.ours("write", repository, "2", "content", *files)
        seconds, moved = self.ours("prune", repository)
        after = folder_bytes(repository)
        copied = self.work / "copied"
        begun = time.monotonic()
        shutil.copytree(repository, copied)
        os.sync()
        rate = after / 1e6 / (time.monotonic() - begun)
        print(f"\nPrune of {(before - after) / before:.0%} dead data of {before / 1e6:.0f} MB: {seconds:.1f} s, {moved / 1e6:.0f} MB moved "
              f"({moved / 1e6 / seconds:.0f} MB/s); a copy of the folder by the file system and sync: {rate:.0f} MB/s.", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--files", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--pages", nargs="+", required=True)
    options = parser.parse_args()
    bench = Bench(options)
    print("| data | raw | cores | write MB/s | restic backup MB/s | ratio | read MB/s | read : write | restic restore MB/s | stored |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    bench.compare("COPY text", "rows", options.text)
    bench.compare("heap and index pages", "content", options.pages)
    bench.prune(options.text)


main()
