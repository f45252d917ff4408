"""Gray release: what mirrored requests cost, and what callers notice while versions come and go.

A standalone node answers `marquee load` at a fixed rate, k = 100, on the factors of serve.py. *Mirrored*: a
rollout in its shadow stage has both sides answer a share of the requests again. *Swaps*: in every other run, again and
again, the next version is loaded and made live, and the one before unloaded. *Loads*: no traffic moves; the next version is
loaded and unloaded. The runs between are the steady state, in which as many commands ask how an old rollout is, since they are
processes of their own on the same processors, where they take only idle time. The versions differ in the last
digits of users' factors, so a difference in cost is the machinery's. Runs alternate; medians are printed.

A shard that is not wanted any more is kept for ten seconds, and would not be loaded again in that time. So several
versions take turns, and none is in the system's cache when it is wanted again. The node's log says how often one was loaded.
"""

import argparse, json, math, os, shutil, statistics, sys, tempfile, threading, time
import numpy as np
from serve import K, Nodes, factors, imported, run, standalone

SHARES = (0, 10, 100)
# Between two looks at how a swap is.
POLL_S = 0.05
# What is not wanted any more is gone after this many seconds: the node's grace, and two to spare.
GONE_AFTER_S = 12


def candidates(cache, items, queries, every_s):
    """As many other bundles of these items as take turns, made once, with other factors of users."""
    users = f"{os.path.dirname(queries)}/others.npy"
    if not os.path.exists(users):
        np.save(users, np.load(queries) * np.float32(1.0001))
    return [imported(cache, items, users, 1, f"release-{n}") for n in range(1 + math.ceil(GONE_AFTER_S / every_s))]


class Versions:
    """Versions, of which one is live, and rollouts of the one that was used longest ago."""

    def __init__(self, url, log, bundle, others):
        self.url, self.log, self.at, self.commands = url, log, {"factors@1": bundle}, 0
        for number, other in enumerate(others, 2):
            self.ctl("publish", os.path.abspath(other), "--force")
            self.at[f"factors@{number}"] = other
        # The first is live; of the others the one that was used longest ago is next.
        self.live, *self.others = self.at

    def ctl(self, *args):
        self.commands += 1
        return run("ctl", "--endpoint", self.url, *args)

    def start(self, *flags):
        """A rollout of the next version; its id."""
        forget(self.at[self.others[0]])
        flags = ["--candidate", self.others[0], "--no-gates", "--json", *flags]
        return json.loads(self.ctl("rollout", "start", *flags))["rolloutId"]

    def swap(self):
        before = self.commands
        self.last = self.start("--steps", "100%:0s")
        self.wait_for(self.last, "PROMOTED")
        self.asked = self.commands - before
        self.others.append(self.live)
        self.live = self.others.pop(0)

    def load(self):
        """The next version loaded, given 1 % of the users for a moment, and unloaded."""
        before = self.commands
        self.last = self.start("--steps", "1%:1h")
        self.wait_for(self.last, "CANARY")
        self.take_back(self.last)
        self.asked = self.commands - before

    def take_back(self, rollout):
        """Ends a rollout of the next version, which is the last one then."""
        self.ctl("rollout", "rollback", rollout)
        self.others.append(self.others.pop(0))

    def loaded(self):
        """How often the node has loaded something."""
        with open(self.log) as log:
            return sum(": available" in line for line in log)

    def ask(self):
        """As many commands as the last swap or load took, and nothing else."""
        for _ in range(self.asked):
            self.status(self.last)
            time.sleep(POLL_S)

    def status(self, rollout):
        return json.loads(self.ctl("rollout", "status", rollout, "--json"))

    def wait_for(self, rollout, state):
        while self.status(rollout)["state"] != f"ROLLOUT_STATE_{state}":
            time.sleep(POLL_S)


def use_idle_time_only():
    """Gives this thread, and what it starts, idle time only: an operator's commands run on another machine."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def forget(bundle):
    """Has the system give up what it keeps of these files, unless a process uses them."""
    for directory, _, files in os.walk(bundle):
        for name in files:
            with open(f"{directory}/{name}", "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


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
                versions.take_back(rollout)
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
    """What callers notice of this, again and again in every other run."""
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
            use_idle_time_only()
            while not stop.is_set():
                what()
                stop.wait(args.every)

        thread = threading.Thread(target=again)
        thread.start()
        report = load(versions.url, users, args.rate, args.seconds)
        stop.set()
        thread.join()
        return report

    counted()
    before, done = versions.loaded(), 0
    for _ in range(args.runs):
        steady.append(beside(versions.ask))
        acting.append(beside(counted))
    loaded = versions.loaded() - before
    print(f"\n{name}: {done} times ({loaded} loaded) in {args.runs} runs of {args.seconds} s\n")
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
        versions.take_back(rollout)
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
    parser.add_argument("--every", type=float, default=1, help="seconds from a swap or load to the next: 1 is far more often than in operation, so that a short run has several")
    parser.add_argument("--only", choices=PARTS, help="measure just this")
    parser.add_argument("--cache", default="target/bench")
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    items, queries = factors(args.cache, args.rows)
    bundle = imported(args.cache, items, queries, 1)
    others = candidates(args.cache, items, queries, args.every)
    users = f"{args.cache}/serve-users.txt"
    with open(users, "w") as file:
        file.writelines(f"{n}\n" for n in range(len(np.load(queries, mmap_mode="r"))))
    print(f"{len(np.load(items, mmap_mode='r')):,} items × 64, k = {K}, {args.rate:g} calls a second for {args.seconds} s, median of {args.runs}\n")
    directory = tempfile.mkdtemp(prefix="release-")
    with Nodes(directory) as nodes:
        url, _ = standalone(nodes, bundle, f"{directory}/data")
        versions = Versions(url, f"{directory}/standalone.log", bundle, others)
        load(url, users, args.rate, 2)
        for part in [args.only] if args.only else PARTS:
            PARTS[part](versions, users, args)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
