"""Serving: what an answer costs the servers, on one standalone node and on a cluster.

A bundle is made of the vectors of data a (see vectors.py) by `marquee import`, unless told otherwise: its items, and its
queries as users. A standalone node answers `marquee load`, k = 100; then three nodes that have all roles (two replicas of each of
three shards), as the peer's three have; then a control node, three shard nodes and a router, each a process of its own. They are
asked by one client that asks again as soon as it was answered, and by calls at fixed rates. The
same users ask over and over, so a router that remembers rows soon remembers all of their rows: each is measured with rows
remembered (`row_cache_mib = 64`, the default) and without (`0`), by turns, and what real traffic costs is between the two. A
processor that has nothing to do between two calls finds its caches cold at the next, so a quiet server pays more for an answer
than a busy one. Times are CPU time by the processes' own accounting, and how it divides; runs are
repeated, by turns, and the one of the median CPU is printed. Other work on the machine
makes CPU time longer too: compare runs of one hour.

Qdrant's figures beside them were measured separately, on other days and, it may be, another machine than this, on vectors made
as those of data a are. They are printed as they were found then and are not measured here. One client had its answers after 1.1 to 1.4 ms, so the figures are
taken to be of one client that asked again as soon as it was answered.
"""

import argparse, json, os, shutil, socket, subprocess, sys, tempfile, time
import numpy as np
import vectors

MARQUEE = os.environ.get("MARQUEE", "target/release/marquee")
K = 100
# What qdrant 1.18.3 took on 200,000 × 64 at k = 100, in µs of server CPU a query: one node at recall@100
# 0.955 (ef 256); three nodes, three shards, two replicas (ef 128).
QDRANT_US = {"standalone": 1_500, "three nodes": 4_100, "cluster": 4_100}
CONTROL, RECOMMENDER = "marquee.control.v1.ControlService", "marquee.v1.RecommenderService"
READY_TIMEOUT_S = 120
END_TIMEOUT_S = 30
# Calls a second and seconds before anything is measured: of 1,000 users, who come by chance, 1 in 20,000 has not asked then.
FIRST_RATE, FIRST_S = 1_000, 10


def factors(cache, rows):
    """Item factors, and factors of users to ask for."""
    made = vectors.prepare("a", rows, None, cache)
    return f"{made}/items.npy", f"{made}/queries.npy"


def imported(cache, items, users, shards, name="serve"):
    """The bundle of these factors; made once by each build of the program."""
    out = f"{cache}/{name}-{shards}"
    stamp = f"{out}.json"
    # A program that writes another format writes it anew.
    of = [[os.path.abspath(path), os.path.getsize(path), os.path.getmtime(path)] for path in (items, users, MARQUEE)]
    if os.path.exists(stamp) and json.load(open(stamp)) == of and os.path.isdir(out):
        return out
    shutil.rmtree(out, ignore_errors=True)
    print(f"importing {items} into {shards} shards", file=sys.stderr)
    flags = ["--model", "factors", "--item-factors", items, "--user-factors", users]
    run("import", *flags, "--out", out, "--shards", str(shards))
    json.dump(of, open(stamp, "w"))
    return out


def run(*args):
    done = subprocess.run([MARQUEE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"marquee {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Nodes:
    """Processes of `marquee serve`, ended at the end of a `with`."""

    def __init__(self, directory):
        self.directory, self.processes = directory, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, name, *args):
        log = open(f"{self.directory}/{name}.log", "w")
        self.processes.append(subprocess.Popen([MARQUEE, "serve", *args], stderr=log, stdout=log))

    def wait_for(self, url, service=""):
        began = time.monotonic()
        while subprocess.run(
            [MARQUEE, "ctl", "--endpoint", url, "health", "--service", service], capture_output=True
        ).returncode:
            if time.monotonic() - began > READY_TIMEOUT_S or any(p.poll() is not None for p in self.processes):
                sys.exit(f"{url} does not serve; the logs are in {self.directory}")
            time.sleep(0.1)


def standalone(nodes, bundle, data_dir=None):
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    flags = ["--data-dir", data_dir] if data_dir else []
    nodes.start("standalone", "--standalone", "--bundle", bundle, "--listen", f"127.0.0.1:{port}", *flags)
    nodes.wait_for(url, RECOMMENDER)
    return url, []


def tls_section(certs, name):
    """The section [tls] of a node's config; nothing for plain text."""
    if certs is None:
        return ""
    return f"""[tls]
certificate = "{certs}/{name}.pem"
key = "{certs}/{name}.key"
trust = "{certs}/ca.pem"
"""


def alone(nodes, bundle, row_cache_mib, certs=None):
    """A standalone node whose router remembers so many MiB of rows, which only a file can say. `certs`: a directory of certificates for TLS."""
    (port,) = free_ports(1)
    name = f"standalone-{row_cache_mib}{'-tls' if certs else ''}"
    url = f"{'https' if certs else 'http'}://127.0.0.1:{port}"
    path = f"{nodes.directory}/{name}.toml"
    with open(path, "w") as file:
        file.write(f"""[node]
id = "standalone"
listen = "127.0.0.1:{port}"
data_dir = "{os.path.abspath(nodes.directory)}/{name}"
[control]
id = 1
voters = [{{ id = 1, address = "{url}" }}]
replication_factor = 1
[router]
row_cache_mib = {row_cache_mib}
{tls_section(certs, 'standalone')}""")
    nodes.start(name, "--config", path)
    nodes.wait_for(url, CONTROL)
    go_live(nodes, url, url, bundle)
    return url, []


def go_live(nodes, control, router, bundle):
    run("ctl", "--endpoint", control, "publish", os.path.abspath(bundle))
    run("ctl", "--endpoint", control, "rollout", "start", "--candidate", "factors@1", "--watch")
    nodes.wait_for(router, RECOMMENDER)


def cluster(nodes, bundle, row_cache_mib, certs=None):
    """Each role in a process of its own; two replicas of each shard."""
    roles = {"control-1": ["control"], "router-1": ["router"]}
    roles |= {f"shard-{n}": ["shard"] for n in (1, 2, 3)}
    return several(nodes, bundle, row_cache_mib, roles, certs)


def equals(nodes, bundle, row_cache_mib):
    """Three processes that each vote, keep two of the three shards and answer callers; the first is asked."""
    return several(nodes, bundle, row_cache_mib, {f"node-{n}": ["control", "shard", "router"] for n in (1, 2, 3)})


def several(nodes, bundle, row_cache_mib, roles, certs=None):
    """A cluster of nodes of these roles, by name. The first router is asked."""
    at = {name: f"127.0.0.1:{port}" for name, port in zip(roles, free_ports(len(roles)))}
    scheme, mark = ("https", "-tls") if certs else ("http", "")
    having = lambda role: [f"{scheme}://{at[name]}" for name in roles if role in roles[name]]
    voters = list(enumerate(having("control"), 1))
    for name in roles:
        config = f"""[node]
id = "{name}"
roles = {json.dumps(roles[name])}
listen = "{at[name]}"
data_dir = "{os.path.abspath(nodes.directory)}/{name}-{row_cache_mib}{mark}"
[server]
io_threads = 1
"""
        if "control" in roles[name]:
            voting = ", ".join(f'{{ id = {n}, address = "{url}" }}' for n, url in voters)
            (own,) = (n for n, url in voters if url == f"{scheme}://{at[name]}")
            config += f"[control]\nid = {own}\nvoters = [{voting}]\nreplication_factor = 2\n"
        else:
            config += f"[cluster]\ncontrol = {json.dumps(having('control'))}\n"
        if "shard" in roles[name]:
            config += "[shard]\nsearch_threads = 1\n"
        if "router" in roles[name]:
            config += f"[router]\nrow_cache_mib = {row_cache_mib}\n"
        config += tls_section(certs, name)
        path = f"{nodes.directory}/{name}-{row_cache_mib}{mark}.toml"
        with open(path, "w") as file:
            file.write(config)
        nodes.start(f"{name}-{row_cache_mib}{mark}", "--config", path)
    for url in having("control"):
        # A node that answers callers, too, is not ready as a whole before anything is published.
        nodes.wait_for(url, CONTROL)
    control, router = having("control")[0], having("router")[0]
    # Placement counts the nodes that are there: all of them before anything is published.
    report = {*having("shard"), *having("router")}
    began = time.monotonic()
    while len(json.loads(run("ctl", "--endpoint", control, "nodes", "list", "--json"))["nodes"]) < len(report):
        if time.monotonic() - began > READY_TIMEOUT_S:
            sys.exit(f"not all nodes report; the logs are in {nodes.directory}")
        time.sleep(0.1)
    go_live(nodes, control, router, bundle)
    return router, [f"{scheme}://{address}" for address in at.values() if f"{scheme}://{address}" != router]


def load(place, users, pace, seconds):
    url, servers = place
    server = ["--server", ",".join(servers)] if servers else []
    flags = ["--endpoint", url, *server, "--users", users, "--count", str(K), *pace, "--json"]
    return json.loads(run("load", *flags, "--duration", f"{seconds}s"))


def measure(places, users, pace, seconds, runs):
    """For each place the run of the median CPU time, after one that warms up; places take turns."""
    for place in places:
        load(place, users, pace, 2)
    reports = [[load(place, users, pace, seconds) for place in places] for _ in range(runs)]
    by_cost = lambda report: report["server"]["cpu_us"]
    return [sorted(of, key=by_cost)[(runs - 1) // 2] for of in zip(*reports)]


def row(report, pace, qdrant_us):
    cost, errors = report["server"], sum(report["errors"].values()) + report["not_sent"]
    parts = [cost[f"{part}_us"] for part in ("cpu", "search", "lookup", "merge", "grpc", "rest")]
    rows = cost["rows"] or {"cached": 0, "fetched": 0}
    share = rows["cached"] / ((rows["cached"] + rows["fetched"]) or 1)
    answers = f"{report['answered_per_second']:.0f}"
    cells = [f"{share:.0%}", str(cost["processes"]), pace, answers, *(f"{part:.0f}" for part in parts)]
    cells += [f"{report[p]:.2f}" for p in ("p50_ms", "p99_ms")]
    return cells + [str(errors), f"{qdrant_us:,}", f"{parts[0] / qdrant_us:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", help="item factors, .npy of float32; made up without")
    parser.add_argument("--user-factors", help="user factors, .npy of float32")
    parser.add_argument("--rows", type=int, help="items to make up, all of data a without")
    parser.add_argument("--rates", default="300,750", help="calls a second, several with commas")
    parser.add_argument("--row-cache-mib", default="64,0", help="what the router remembers, several with commas")
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=QDRANT_US, help="measure just this")
    parser.add_argument("--cache", default="target/bench")
    args = parser.parse_args()
    if bool(args.items) != bool(args.user_factors):
        parser.error("--items and --user-factors go together")
    os.makedirs(args.cache, exist_ok=True)
    items, users = args.items, args.user_factors
    if not items:
        items, users = factors(args.cache, args.rows)
    shape, user_count = np.load(items, mmap_mode="r").shape, len(np.load(users, mmap_mode="r"))
    asks = f"{args.cache}/serve-users.txt"
    with open(asks, "w") as file:
        file.writelines(f"{n}\n" for n in range(user_count))
    print(f"{shape[0]:,} items × {shape[1]}, k = {K}, {args.seconds} s, median of {args.runs}\n")
    columns = "what, rows remembered, processes, asked, answers/s, CPU µs/answer, search, lookup, merge, gRPC, rest, p50 ms, p99 ms, errors, qdrant 1.18.3 ¹, ratio"
    columns = columns.split(", ")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for what, start, shards in ("standalone", alone, 1), ("three nodes", equals, 3), ("cluster", cluster, 3):
        if args.only not in (None, what):
            continue
        bundle = imported(args.cache, items, users, shards)
        directory = tempfile.mkdtemp(prefix=f"serve-{what.replace(' ', '-')}-")
        with Nodes(directory) as nodes:
            places = [start(nodes, bundle, int(mib)) for mib in args.row_cache_mib.split(",")]
            for place in places:
                load(place, asks, ["--rate", str(FIRST_RATE)], FIRST_S)
            paces = {"one client": ["--clients", "1"]}
            paces |= {f"{rate}/s": ["--rate", rate] for rate in args.rates.split(",")}
            for name, pace in paces.items():
                for report in measure(places, asks, pace, args.seconds, args.runs):
                    print(f"| {' | '.join([what, *row(report, name, QDRANT_US[what])])} |", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
    print("\n¹ measured separately, not in this run: other days and, it may be, another machine, vectors made the same way")


if __name__ == "__main__":
    main()
