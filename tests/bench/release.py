"""Gray release: what mirrored requests cost, and what callers notice while versions come and go.

A standalone node answers `marquee load` at a fixed rate, k = 100, on the factors of serve.py. *Mirrored*: a
rollout in its shadow stage has both sides answer a share of the requests again. *Swaps*: in every other run two
versions take turns: the one is loaded and made live, the other unloaded. *Loads*: no traffic moves; the other is loaded and
unloaded. The runs between are the steady state, in which the same commands ask how an old rollout is, since they are
processes of their own on the same processors. The versions differ in the last digits of users' factors, so a difference in
cost is the machinery's. Runs alternate; medians are printed.
"""

import argparse, json, os, shutil, statistics, sys, tempfile, threading, time
import numpy as np
from serve import K, Nodes, factors, imported, run, standalone

SHARES = (0, 10, 100)
# Far more often than anybody does, so that a short run has several.
SWAP_EVERY_S = 1
# Between two looks at how a swap is.
POLL_S = 0.05


class Versions:
    """Two versions, of which one is live, and rollouts of the other."""

    def __init__(self, url, other):
        self.url, self.live, self.other = url, "factors@1", "factors@2"
        self.ctl("publish", os.path.abspath(other), "--force")

    def ctl(self, *args):
        return run("ctl", "--endpoint", self.url, *args)

    def start(self, *flags):
        """A rollout of the version that is not live; its id."""
        flags = ["--candidate", self.other, "--no-gates", "--json", *flags]
        return json.loads(self.ctl("rollout", "start", *flags))["rolloutId"]

    def swap(self):
        began = time.monotonic()
        self.last = self.start("--steps", "100%:0s")
        self.wait_for(self.last, "PROMOTED")
        self.took = time.monotonic() - began
        self.live, self.other = self.other, self.live

    def load(self):
        """The other version loaded, given 1 % of the users for a moment, and unloaded."""
        began = time.monotonic()
        self.last = self.start("--steps", "1%:1h")
        self.wait_for(self.last, "CANARY")
        self.ctl("rollout", "rollback", self.last)
        self.took = time.monotonic() - began

    def ask(self):
        """As many commands in as much time as the last swap or load had, and nothing else."""
        until = time.monotonic() + self.took
        while time.monotonic() < until:
            self.status(self.last)
            time.sleep(POLL_S)

    def status(self, rollout):
        return json.loads(self.ctl("rollout", "status", rollout, "--json"))

    def wait_for(self, rollout, state):
        while self.status(rollout)["state"] != f"ROLLOUT_STATE_{state}":
            time.sleep(POLL_S)


def load(url, users, rate, seconds):
    flags = ["--endpoint", url, "--users", users, "--count", str(K), "--rate", str(rate), "--json"]
    report = json.loads(run("load", *flags, "--duration", f"{seconds}s"))
    return report, sum(report["errors"].values()) + report["not_sent"]


def mirrored(versions, users, args):
    print("| mirrored | server CPU µs/answer | more than without | p50 ms | p99 ms | requests mirrored | skipped | errors |")
    print("|---|---|---|---|---|---|---|---|")
    found = {share: [] for share in SHARES}
    for _ in range(args.runs):
        for share in SHARES:
            rollout = None
            if share:
                rollout = versions.start("--shadow", f"{share}%:1h", "--steps", "1%:1h")
                versions.wait_for(rollout, "SHADOW")
            report, errors = load(versions.url, users, args.rate, args.seconds)
            pairs = skipped = 0
            if rollout:
                time.sleep(5)  # the last window, and its judgement
                mirror = versions.status(rollout).get("evidence", {}).get("total", {}).get("mirror", {})
                pairs = sum(mirror.get("overlap", {}).get("counts", []))
                skipped = mirror.get("skipped", 0)
                versions.ctl("rollout", "rollback", rollout)
            cells = report["server"]["cpu_us"], report["p50_ms"], report["p99_ms"], pairs, skipped, errors
            found[share].append(cells)
    median = lambda share, n: statistics.median(cells[n] for cells in found[share])
    for share in SHARES:
        cpu, p50, p99, pairs, skipped, errors = (median(share, n) for n in range(6))
        print(f"| {share} % | {cpu:.0f} | {cpu / median(0, 0):.2f} × | {p50:.2f} | {p99:.2f} | {pairs:.0f} | {skipped:.0f} | {errors:.0f} |")


def swaps(versions, users, args):
    again_and_again(versions, versions.swap, "a version loaded and made live, the other unloaded", users, args)


def loads(versions, users, args):
    again_and_again(versions, versions.load, "a version loaded and unloaded", users, args)


def again_and_again(versions, act, name, users, args):
    """What callers notice of this, every second in every other run."""
    steady, acting, done = [], [], 0
    stop = threading.Event()

    def counted():
        nonlocal done
        act()
        done += 1

    def beside(what):
        """A run of the load while this is done again and again."""
        stop.clear()

        def again():
            while not stop.is_set():
                what()
                stop.wait(SWAP_EVERY_S)

        thread = threading.Thread(target=again)
        thread.start()
        report = load(versions.url, users, args.rate, args.seconds)
        stop.set()
        thread.join()
        return report

    counted()
    for _ in range(args.runs):
        steady.append(beside(versions.ask))
        acting.append(beside(counted))
    print(f"\n{name}: {done} times in {args.runs} runs of {args.seconds} s\n")
    print("| | p50 ms | p99 ms | max ms | errors |\n|---|---|---|---|---|")
    for what, reports in (("steady, with as many commands asked", steady), (name, acting)):
        cells = [f"{statistics.median(r[key] for r, _ in reports):.2f}" for key in ("p50_ms", "p99_ms", "max_ms")]
        print(f"| {what} | {' | '.join(cells)} | {sum(errors for _, errors in reports)} |")
    ratios = [s[0]["p99_ms"] / b[0]["p99_ms"] for s, b in zip(acting, steady)]
    print(f"\np99 ÷ p99 of the steady run before: median {statistics.median(ratios):.2f} of {sorted(round(r, 2) for r in ratios)}")


def first_answers(versions, users, args):
    """The slowest of the first answers by a new version, beside the baseline's at the same time."""
    rows = []
    for _ in range(args.runs):
        rollout = versions.start("--steps", "50%:1h")
        versions.wait_for(rollout, "CANARY")
        load(versions.url, users, args.rate, 2)
        time.sleep(5)
        arms = versions.status(rollout)["evidence"]["total"]["arms"]
        rows.append([quantiles(arm["latencyMicros"], arm["latencyCounts"]) for arm in arms])
        versions.ctl("rollout", "rollback", rollout)
    print("\n| first two seconds at 50 % | answers | p50 ms | p99 ms | slowest ms |\n|---|---|---|---|---|")
    for arm, name in enumerate(("baseline", "new version")):
        cells = [statistics.median(row[arm][n] for row in rows) for n in range(4)]
        print(f"| {name} | {cells[0]:.0f} | " + " | ".join(f"{cell / 1000:.2f}" for cell in cells[1:]) + " |")


def quantiles(micros, counts):
    pairs, total = sorted(zip(map(int, micros), map(int, counts))), sum(map(int, counts))

    def at(share):
        below = 0
        for value, count in pairs:
            below += count
            if below >= share * total:
                return value

    return total, at(0.5), at(0.99), pairs[-1][0]


PARTS = {"mirrored": mirrored, "swaps": swaps, "loads": loads, "first": first_answers}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, help="items to make up, all of data a without")
    parser.add_argument("--rate", type=float, default=200, help="calls a second")
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, help="measure just this")
    parser.add_argument("--cache", default="target/bench")
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    items, askers = factors(args.cache, args.rows)
    bundle = imported(args.cache, items, askers, 1)
    others = f"{os.path.dirname(askers)}/others.npy"
    if not os.path.exists(others):
        np.save(others, np.load(askers) * np.float32(1.0001))
    other = imported(args.cache, items, others, 1, "release-other")
    users = f"{args.cache}/serve-users.txt"
    with open(users, "w") as file:
        file.writelines(f"{n}\n" for n in range(len(np.load(askers, mmap_mode="r"))))
    print(f"{len(np.load(items, mmap_mode='r')):,} items × 64, k = {K}, {args.rate:g} calls a second for {args.seconds} s, median of {args.runs}\n")
    directory = tempfile.mkdtemp(prefix="release-")
    with Nodes(directory) as nodes:
        url, _ = standalone(nodes, bundle, f"{directory}/data")
        versions = Versions(url, other)
        load(url, users, args.rate, 2)
        for part in [args.only] if args.only else PARTS:
            PARTS[part](versions, users, args)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
