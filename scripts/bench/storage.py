#!/usr/bin/env python3
"""Backup and restore on storages behind a network, beside the same repository in a directory and beside each server's raw rate.

For each of moto (S3), azurite (Azure Blob) and OpenSSH's sshd (SFTP), near and with a round trip of 50 ms before it: rounds are
interleaved with the directory's; the raw rate is what a plain client (Python's http.client, OpenSSH's sftp) puts and gets with as
many connections. Clients and servers share the machine's cores, so that a server that needs much of them slows the client down:
the raw rate shows that, and so do the CPU seconds that the storage's server (far away: and the network before it) took meanwhile.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from email.utils import formatdate

parser = argparse.ArgumentParser()
parser.add_argument("--work", type=pathlib.Path, required=True)
parser.add_argument("--bin", type=pathlib.Path, required=True)
parser.add_argument("--pgark", type=pathlib.Path, required=True)
parser.add_argument("--far", type=pathlib.Path, required=True)
parser.add_argument("--servers", type=pathlib.Path, required=True)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--latency", type=int, default=50, help="milliseconds of a round trip to the far storages")
parser.add_argument("--only", default="", help="rows whose name holds this: s3, azure, sftp, 50 ms")
args = parser.parse_args()

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ACCOUNT = "devstoreaccount1"
# Public list prices of one region, dollars for 1000 requests: S3 Standard (us-east-1), Azure Blob
# hot LRS (East US; a put of 16 MiB is one operation), Google Cloud Storage Standard (single
# region).
PRICES = {
    "S3": {"put": 0.005, "list": 0.005, "get": 0.0004, "head": 0.0004, "delete": 0.0},
    "Azure": {"put": 0.0065, "list": 0.0065, "get": 0.0005, "head": 0.0005, "delete": 0.0},
    "GCS": {"put": 0.005, "list": 0.005, "get": 0.0004, "head": 0.0004, "delete": 0.0},
}
children = []
home = args.work / "home"


def say(text):
    print(text, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, port, **more):
    log = open(args.work / f"log-{port}", "w")
    child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **more)
    children.append(child)
    for _ in range(900):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if child.poll() is not None:
                sys.exit(f"{command[0]} ended: {open(log.name).read()}")
            time.sleep(0.1)
    sys.exit(f"{command[0]} does not start")


def far(port):
    child = subprocess.Popen([args.far, str(port), str(args.latency)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    children.append(child)
    return int(child.stdout.readline())


def request(port, method, path, headers, body=b""):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {data[:300]}")
    return data


def azure_headers(method, path, query, length, extra=()):
    headers = dict([("x-ms-date", formatdate(usegmt=True)), ("x-ms-version", "2021-12-02"), *extra])
    canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    size = str(length) if length else ""
    kind = headers.get("Content-Type", "")
    text = f"{method}\n\n\n{size}\n\n{kind}\n\n\n\n\n\n\n{canonical}/{ACCOUNT}{path}" + "".join(f"\n{k}:{v}" for k, v in query)
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    return {**headers, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}


SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"}


class Moto:
    name, prices = "S3 (moto)", "S3"

    def __init__(self):
        self.port = free_port()
        start([args.servers / "moto/bin/moto_server", "-H", "127.0.0.1", "-p", str(self.port)], self.port)
        self.reset()

    def reset(self):
        # Everything is in its memory: begin anew.
        request(self.port, "POST", "/moto-api/reset", {})
        request(self.port, "PUT", "/bench", SIGNED)

    def url(self, name):
        return f"s3://bench/{name}"

    def environment(self, port):
        return {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    def put(self, port, name, body):
        request(port, "PUT", f"/bench/{name}", SIGNED, body)

    def get(self, port, name):
        return request(port, "GET", f"/bench/{name}", SIGNED)


class Azurite:
    name, prices = "Azure (azurite)", "Azure"

    def __init__(self):
        self.port = free_port()
        self.data = args.work / "azurite"
        self.made = 0
        start([args.servers / "node_modules/.bin/azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--silent",
               "--skipApiVersionCheck", "--disableTelemetry", "--location", self.data], self.port, env={**os.environ, "TMPDIR": str(args.work)})
        self.reset()

    def reset(self):
        self.made += 1
        path = f"/{ACCOUNT}/bench{self.made}"
        headers = azure_headers("PUT", path, [("restype", "container")], 0)
        request(self.port, "PUT", f"{path}?restype=container", headers)

    def url(self, name):
        return f"azblob://bench{self.made}/{name}"

    def environment(self, port):
        whole = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
        return {"AZURE_STORAGE_CONNECTION_STRING": whole}

    def put(self, port, name, body):
        path = f"/{ACCOUNT}/bench{self.made}/{name}"
        request(port, "PUT", path, azure_headers("PUT", path, [], len(body), [("x-ms-blob-type", "BlockBlob")]), body)

    def get(self, port, name):
        path = f"/{ACCOUNT}/bench{self.made}/{name}"
        return request(port, "GET", path, azure_headers("GET", path, [], 0))


class Sshd:
    name, prices = "SFTP (sshd)", None

    def __init__(self):
        self.port = free_port()
        folder = args.work / "sshd"
        folder.mkdir()
        for key in ["host", "key"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nMaxStartups 200\nUseDNS no\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n")
        os.makedirs("/run/sshd", exist_ok=True)
        start(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "config"], self.port)
        self.folder = folder
        (home / ".ssh").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "key", home / ".ssh/id_ed25519")
        self.reset()

    def reset(self):
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        (self.folder / "data").mkdir()

    def know(self, port):
        with open(home / ".ssh/known_hosts", "a") as file:
            file.write(f"[127.0.0.1]:{port} {(self.folder / 'host.pub').read_text()}")

    def url(self, name):
        return f"sftp://{os.environ.get('USER', 'root')}@127.0.0.1:{self.reached}{self.folder}/data/{name}"

    def environment(self, port):
        self.know(port)
        self.reached = port
        return {}

    def sftp(self, port, line):
        subprocess.run(["sftp", "-q", "-P", str(port), "-i", self.folder / "key", "-o", "StrictHostKeyChecking=no", "-o",
                        "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-b", "-", "127.0.0.1"],
                       input=line + "\n", text=True, check=True, stdout=subprocess.DEVNULL)

    def put(self, port, name, body):
        path = self.folder / f"{name.replace('/', '-')}.tmp"
        if not path.exists():
            path.write_bytes(body)
        self.sftp(port, f"put {path} {self.folder}/data/{name.replace('/', '-')}")

    def get(self, port, name):
        path = self.folder / f"{name}.back"
        self.sftp(port, f"get {self.folder}/data/{name.replace('/', '-')} {path}")


def raw_rates(server, port):
    """Bytes per second of a plain client with three connections: up, down."""
    bodies = [os.urandom(16 << 20) for _ in range(9)]

    def run(work):
        def worker(first):
            for number in range(first, len(bodies), 3):
                work(number)
        threads = [threading.Thread(target=worker, args=(first,)) for first in range(3)]
        begun = time.time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(bodies) * (16 << 20) / (time.time() - begun)

    if isinstance(server, Sshd):
        for number, body in enumerate(bodies):
            (server.folder / f"raw{number}.tmp").write_bytes(body)
    up = run(lambda number: server.put(port, f"raw{number}", bodies[number]))
    down = run(lambda number: server.get(port, f"raw{number}"))
    return up, down


def pgark(environment, *arguments):
    env = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    begun = time.time()
    done = subprocess.run(["/usr/bin/time", "-f", "%M", "-o", args.work / "peak", args.pgark, *arguments, "-q"], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"pgark {arguments}: {done.stderr}")
    report = json.loads(done.stdout) if "--json" in arguments else {}
    return time.time() - begun, report, int((args.work / "peak").read_text().split()[-1]) / 1024


def psql(text):
    subprocess.run([args.bin / "psql", "-X", "-q", "-h", args.work, "-U", "postgres", "-d", "postgres", "-c", text], check=True, stdout=subprocess.DEVNULL)


def cpu_of_children():
    """CPU seconds of the servers and all that they started, ended ones too."""
    parents, times = {}, {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            times[int(folder.name)] = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    ours = {child.pid for child in children}

    def is_ours(pid):
        while pid in parents:
            if pid in ours:
                return True
            pid = parents[pid]
        return False
    return sum(seconds for pid, seconds in times.items() if is_ours(pid))


def info(db):
    return f"host={args.work} user=postgres dbname={db}"


def once(url, environment):
    """First backup, second backup of the same, restore: seconds, requests, peak."""
    result = {}
    pgark(environment, "init", "--repo", url, "--no-encryption")
    time.sleep(0.3)
    before = cpu_of_children()
    seconds, report, peak = pgark(environment, "backup", "--repo", url, "--dbname", info("shop"), "--jobs", "2", "--json")
    result["backup"], result["requests"], result["stored"], result["peak"] = seconds, report.get("requests"), report["bytes_added"], peak
    # A server counts what it did on a connection when that has ended.
    time.sleep(0.3)
    result["servers"] = cpu_of_children() - before
    seconds, report, _ = pgark(environment, "backup", "--repo", url, "--dbname", info("shop"), "--jobs", "2", "--json")
    result["again"], result["again_requests"] = seconds, report.get("requests")
    psql("DROP DATABASE IF EXISTS back WITH (FORCE)")
    seconds, report, peak = pgark(environment, "restore", "latest", "--repo", url, "--dbname", info("back"), "--create", "--jobs", "2", "--json")
    result["restore"], result["restore_requests"], result["restore_peak"] = seconds, report.get("requests"), peak
    psql("DROP DATABASE IF EXISTS back WITH (FORCE)")
    return result


def median(rounds, name):
    return statistics.median(result[name] for result in rounds)


def main():
    home.mkdir(exist_ok=True)
    version = subprocess.run([args.pgark, "--version"], capture_output=True, text=True).stdout.strip()
    say(f"{version}; {os.cpu_count()} cores; rounds: {args.rounds}; far: {args.latency} ms round trip")
    table, bills = [], []
    for kind in [Moto, Azurite, Sshd]:
        names = {latency: kind.name + (f", {latency} ms" if latency else "") for latency in [0, args.latency]}
        wanted = [latency for latency, name in names.items() if args.only in name.lower()]
        if not wanted:
            continue
        server = kind()
        for latency in wanted:
            port = far(server.port) if latency else server.port
            directory, remote, rates = [], [], []
            for number in range(args.rounds):
                server.reset()
                rates.append(raw_rates(server, port))
                server.reset()
                # Each repository has a place of its own: this host remembers what it has seen
                # where.
                places = len(list(args.work.glob("directory*")))
                folder = args.work / f"directory{places}"
                directory.append(once(str(folder), {}))
                for path in folder.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                environment = server.environment(port)
                remote.append(once(server.url(f"r{latency}-{number}"), environment))
            stored = remote[0]["stored"]
            up, down = (statistics.median(rate[i] for rate in rates) for i in (0, 1))
            row = [names[latency]]
            for name, rate in [("backup", up), ("restore", down)]:
                here, there = median(directory, name), median(remote, name)
                row += [f"{here:.2f}", f"{there:.2f}", f"{here / there:.2f}", f"{stored / there / rate:.2f}"]
            servers = median(remote, "servers")
            alone = median(directory, "backup") / (median(remote, "backup") - servers / os.cpu_count())
            row += [f"{servers:.1f}", f"{alone:.2f}"]
            row += [f"{up / 1e6:.0f} / {down / 1e6:.0f}", f"{max(r['peak'] for r in remote):.0f} / {max(r['restore_peak'] for r in remote):.0f}"]
            table.append(row)
            say(" | ".join(row))
            if not latency and server.prices:
                for what in ["requests", "again_requests", "restore_requests"]:
                    bills.append((server, what, remote[0][what], stored))
        # The next server shall have the cores alone.
        for child in children:
            child.terminate()
        for child in children:
            child.wait()
        children.clear()
    say("")
    say("| storage | backup, directory s | backup s | of the directory's rate | of the raw rate | restore, directory s | restore s | of the directory's rate | of the raw rate | storage's CPU s, backup | backup's share without these | raw MB/s up / down | peak MiB backup / restore |")
    say("|---" * 13 + "|")
    for row in table:
        say("| " + " | ".join(row) + " |")
    say("")
    say("| requests of | put | list | get | head | delete | price |")
    say("|---|---|---|---|---|---|---|")
    names = {"requests": "first backup", "again_requests": "second backup", "restore_requests": "restore"}
    for server, what, requests, stored in bills:
        price = sum(requests[kind] * dollars / 1000 for kind, dollars in PRICES[server.prices].items())
        say(f"| {names[what]}, {stored / 1e6:.0f} MB stored, {server.name} | " + " | ".join(str(requests[kind]) for kind in ["put", "list", "get", "head", "delete"]) + f" | ${price:.4f} |")


try:
    main()
finally:
    for child in children:
        child.kill()
