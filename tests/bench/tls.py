"""TLS: what an answer costs with certificates on both ends, beside the same in plain text, in one run.

A standalone node, and a cluster of a control node, three shard nodes and a router, each once in plain text and once with mutual TLS on every
port. They are asked by turns, by one client that asks again as soon as it was answered and by calls at a fixed rate; the figures are CPU time of
the servers by the processes' own accounting, of the run of the median. The goal is at most 1.25 times.
"""

import argparse, os, shutil, sys, tempfile
import numpy as np
import serve

ENV = {"MARQUEE_TLS_CA": "ca.pem", "MARQUEE_CERT": "bench.pem", "MARQUEE_KEY": "bench.key"}
NODES = {"standalone": "", "control-1": ":control", "router-1": ":router"} | {f"shard-{n}": ":shard" for n in (1, 2, 3)}


def certificates(directory):
    """Certificates of all nodes and of one that asks."""
    out = f"{directory}/certs"
    nodes = [flag for name, roles in NODES.items() for flag in ("--node", f"{name}{roles}=127.0.0.1")]
    user = ["--user", "bench:caller,events,operator,publisher,admin"]
    serve.run("certs", "--out", out, *nodes, *user)
    return out


def prove(certs):
    """From now on commands have a certificate; with none given they have none."""
    for name, file in ENV.items():
        os.environ.pop(name, None)
        if certs:
            os.environ[name] = f"{certs}/{file}"


def load(place, users, pace, seconds):
    address, certs = place
    prove(certs)
    return serve.load(address, users, pace, seconds)


def measure(places, users, pace, seconds, runs):
    """For each place the run of the median CPU time, after one that warms up; places take turns."""
    for place in places:
        load(place, users, pace, 2)
    reports = [[load(place, users, pace, seconds) for place in places] for _ in range(runs)]
    by_cost = lambda report: report["server"]["cpu_us"]
    return [sorted(of, key=by_cost)[(runs - 1) // 2] for of in zip(*reports)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000, help="items to make up")
    parser.add_argument("--rate", type=int, default=300, help="calls a second")
    parser.add_argument("--seconds", type=int, default=6, help="of each run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=("standalone", "cluster"), help="measure just this")
    parser.add_argument("--cache", default="target/bench")
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    prove(None)
    items, users = serve.factors(args.cache, args.rows)
    asks = f"{args.cache}/tls-users.txt"
    with open(asks, "w") as file:
        file.writelines(f"{n}\n" for n in range(len(np.load(users, mmap_mode="r"))))
    print(f"{args.rows:,} items, k = {serve.K}, {args.seconds} s, median of {args.runs}\n")
    print("| what | asked by | CPU µs/answer, plain | with TLS | ratio | p99 ms, plain | with TLS | errors |\n" + "|---" * 8 + "|")
    for what, start, shards in ("standalone", serve.alone, 1), ("cluster", serve.cluster, 3):
        if args.only not in (None, what):
            continue
        bundle = serve.imported(args.cache, items, users, shards, "tls")
        directory = tempfile.mkdtemp(prefix=f"tls-{what}-")
        certs = certificates(os.path.abspath(directory))
        with serve.Nodes(directory) as nodes:
            places = []
            for proof in (None, certs):
                prove(proof)
                places.append((start(nodes, bundle, 64, proof), proof))
            for place in places:
                load(place, asks, ["--rate", str(serve.FIRST_RATE)], serve.FIRST_S)
            for name, pace in ("one client", ["--clients", "1"]), (f"{args.rate}/s", ["--rate", str(args.rate)]):
                plain, secured = measure(places, asks, pace, args.seconds, args.runs)
                cost = [report["server"]["cpu_us"] for report in (plain, secured)]
                errors = sum(sum(report["errors"].values()) + report["not_sent"] for report in (plain, secured))
                cells = [what, name, f"{cost[0]:.0f}", f"{cost[1]:.0f}", f"{cost[1] / cost[0]:.2f}"]
                cells += [f"{report['p99_ms']:.2f}" for report in (plain, secured)] + [str(errors)]
                print(f"| {' | '.join(cells)} |", flush=True)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
