"""Retrieval: Marquee's search beside hnswlib, faiss and usearch, on the same vectors and machine.

    make bench ARGS="retrieval"                    data a and b, three rounds
    make bench ARGS="retrieval --data c --runs 1"  a million rows: an hour of building at first
    make bench ARGS="retrieval --rows 20000"       a small a, to see that everything works

For k = 10 and 100 every system turns its dial (the width of a walk, lists probed) up until its recall
passes 0.99. CPU time is of one thread with nothing else to do; queries a second are of two threads. Every
system searches in a process of its own, and rounds alternate between systems, so that what else the
machine does falls on all of them; then the medians count. Vectors, indexes and what building took are kept
in target/bench.

Tables are for reading; --json FILE has all figures, --markdown FILE what tests/bench/README.md quotes.
"""

import argparse, datetime, hashlib, json, os, shutil, signal, subprocess, sys
import curves, peer, vectors

CACHE = "target/bench"
KS = (10, 100)
RECALLS = (0.90, 0.95, 0.99)
# Where systems are compared by one ratio: k and recall.
COMPARED = (100, 0.95)
# In place of ours, when ours isn't measured.
NOTHING = (None, False)
# Bounds of one worker, for a million rows on a slow machine.
BUILD_TIMEOUT_S = 3 * 3600
SEARCH_TIMEOUT_S = 3600
# What ours are built with, and the search strategy. The first is compared with every other system.
OURS = {
    "Marquee": {"index": "cells", "rows": "f32", "strategy": "cells"},
    "Marquee exact": {"index": "cells", "rows": "f32", "strategy": "exact"},
    "Marquee int8": {"index": "cells", "rows": "int8", "strategy": "cells"},
    "Marquee graph": {"index": "hnsw", "rows": "f32", "strategy": "graph"},
    "Marquee scan": {"index": "never", "rows": "f32", "strategy": "scan"},
}


class Failed(Exception):
    """A worker ended badly or took too long; the system is left out."""


class System:
    """One competitor on one data set: where its index is, and the commands of its worker."""

    def __init__(self, name, directory):
        self.name, self.vectors = name, directory
        self.directory = f"{directory}/{name.lower().replace(' ', '-')}"

    def recipe(self):
        """What the index in the cache must have been built by."""
        if self.name not in OURS:
            return peer.SYSTEMS[self.name].recipe
        with open(vectors.MEASURE, "rb") as program:
            return f"{OURS[self.name]} by {hashlib.file_digest(program, 'sha256').hexdigest()}"

    def command(self, task, index):
        items = ["--items", f"{self.vectors}/items.npy"]
        queries = ["--queries", f"{self.vectors}/queries.npy"]
        truth = ["--truth", f"{self.vectors}/truth.npy", "--k", ",".join(map(str, KS))]
        if self.name not in OURS:
            command = [sys.executable, peer.__file__, task, self.name, "--index", index]
            return command + (items if task == "build" else queries + truth)
        how, command = OURS[self.name], [vectors.MEASURE, task]
        if task == "build":
            return command + items + queries + ["--out", index, "--index", how["index"], "--rows", how["rows"]]
        return command + ["--bundle", index] + queries + truth + ["--strategy", how["strategy"], "--threads", "2"]

    def build(self, rebuild, reuse):
        """What building took, now or when the index in the cache was built."""
        record = f"{self.directory}/build.json"
        if os.path.exists(record) and not rebuild:
            with open(record) as file:
                built = json.load(file)
            if reuse or built["recipe"] == self.recipe():
                return built
        progress(f"{self.name}: building")
        scratch = f"{self.directory}.building-{os.getpid()}"
        os.makedirs(scratch)
        try:
            lines = worker(self.command("build", f"{scratch}/index"), BUILD_TIMEOUT_S)
            built = lines[-1] | {"recipe": self.recipe()}
            with open(f"{scratch}/build.json", "w") as file:
                json.dump(built, file)
            shutil.rmtree(self.directory, ignore_errors=True)
            os.rename(scratch, self.directory)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        progress(f"{self.name}: built in {built['build_cpu_s']:.0f} CPU s")
        return built

    def search(self):
        """The points of one round."""
        return worker(self.command("search", f"{self.directory}/index"), SEARCH_TIMEOUT_S)


def worker(command, timeout_s):
    """Runs a worker in a session of its own, which ends with it; the JSON lines that it prints."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, err = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {timeout_s} s") from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    if child.returncode:
        raise Failed(err.strip().splitlines()[-1] if err.strip() else f"ended with {child.returncode}")
    lines = [json.loads(line) for line in out.splitlines()]
    if not lines:
        raise Failed("printed nothing")
    return lines


def measure(name, args):
    """Builds and searches everything on one data set: what is known of it, by system."""
    directory = vectors.prepare(name, args.rows, args.interactions, CACHE)
    rows, rank = vectors.shape(f"{directory}/items.npy")
    queries, _ = vectors.shape(f"{directory}/queries.npy")
    results, failed, rounds = {}, {}, {}
    systems = [System(system, directory) for system in args.systems]

    def tried(system, work):
        try:
            return work()
        except Failed as reason:
            progress(f"{system.name}: left out: {reason}")
            failed[system.name] = str(reason)

    for system in systems:
        results[system.name] = {"build": tried(system, lambda: system.build(args.rebuild, args.reuse))}
    for number in range(args.runs):
        # Each round begins with another system: the first one finds a cooler machine.
        turn = number % len(systems)
        for system in systems[turn:] + systems[:turn]:
            if system.name not in failed:
                progress(f"data {name}, round {number + 1} of {args.runs}: {system.name}")
                rounds.setdefault(system.name, []).append(tried(system, system.search))
    for system in list(results):
        if system in failed:
            del results[system]
        else:
            results[system] |= {"rounds": rounds[system], "points": curves.medians(rounds[system])}
    shape = {"rows": rows, "rank": rank, "queries": queries, "runs": args.runs}
    return {"data": name, **shape, "systems": results, "failed": failed}


def curve_lines(result):
    """The whole curves, for reading."""
    for k in KS:
        yield f"k = {k}"
        yield f"  {'system':14} {'effort':>9} {'recall':>7} {'CPU µs':>9} {'q/s, 2 threads':>15}"
        for name, system in result["systems"].items():
            for point in (point for point in system["points"] if point["k"] == k):
                label = f"{name:14} {str(point['effort']):>9}"
                yield f"  {label} {point['recall']:7.4f} {point['cpu_us']:9.1f} {point['qps']:15,.0f}"
        yield ""


def tables(result):
    """The Markdown table of one data set, a system a line."""
    raw = result["rows"] * result["rank"] * 4
    yield (
        f"Data {result['data']}: {result['rows']:,} × {result['rank']}, {megabytes(raw)} MB of vectors,"
        f" {result['queries']:,} queries; medians of {result['runs']} rounds"
    )
    yield ""
    first = next(iter(OURS))
    costs = {name: costs_of(system["points"]) for name, system in result["systems"].items()}
    heads = ["system", "build, CPU s", "peak memory, MB", "index, MB"]
    for k in KS:
        heads += [f"k = {k}, CPU µs at recall {RECALLS[0]:.2f}", *(f"{recall:.2f}" for recall in RECALLS[1:])]
    body = []
    for name, system in result["systems"].items():
        built = system["build"]
        row = [name, f"{built['build_cpu_s']:.1f}", megabytes(built["peak_bytes"]), megabytes(built["index_bytes"])]
        row += [f"{'≤ ' * more}{figure(cost)}" for cost, more in costs[name].values()]
        mine, theirs = (costs.get(system, {}).get(COMPARED, NOTHING)[0] for system in (first, name))
        row.append("" if name == first else f"{mine / theirs:.2f}" if mine and theirs else "–")
        body.append(row)
    yield from table([*heads, f"{first} ÷ it, k = {COMPARED[0]}, {COMPARED[1]:.2f}"], body)
    for name, reason in result["failed"].items():
        yield ""
        yield f"{name} is left out: {reason}."
    yield ""


def costs_of(points):
    """By k and recall: the CPU time of a query, and whether the quickest point has more recall than that."""
    costs = {}
    for k in KS:
        curve = curves.frontier([point for point in points if point["k"] == k], lambda point: point["cpu_us"])
        costs |= {(k, recall): (curves.at_recall(curve, recall), recall < curve[0][0]) for recall in RECALLS}
    return costs


def table(heads, body):
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in body:
        yield f"| {' | '.join(row)} |"


def figure(cost):
    return "not reached" if cost is None else f"{cost:,.0f}" if cost >= 100 else f"{cost:.1f}"


def megabytes(count):
    return f"{count / 1e6:,.0f}"


def machine():
    """The date, the processor and how much of it there is."""
    with open("/proc/cpuinfo") as file:
        fields = dict(map(str.strip, line.split(":", 1)) for line in file if ":" in line)
    model, flags = fields.get("model name", "unknown processor"), fields.get("flags", "").split()
    known = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni"}
    sets = ", ".join(label for label, flag in known.items() if flag in flags)
    return f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, {sets or 'no AVX2'}"


def progress(text):
    print(text, file=sys.stderr, flush=True)


def listed(known):
    """A list with commas, of what is known."""

    def parse(text):
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse


def arguments():
    first, rest = __doc__.split("\n", 1)
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="retrieval", description=first, epilog=rest, formatter_class=plain)
    everything = [*OURS, *peer.SYSTEMS]
    systems, data = listed(everything), listed(vectors.NAMES)
    flag = parser.add_argument
    flag("--data", type=data, default=["a", "b"], help="a, b, c or several with commas [a,b]")
    flag("--runs", type=int, default=3, help="rounds [3]")
    flag("--systems", type=systems, default=everything, help=f"several with commas [{','.join(everything)}]")
    flag("--rows", type=int, default=0, help="make a and c of so many rows")
    flag("--interactions", help="train data b on this file, when it is made")
    flag("--rebuild", action="store_true", help="build all indexes anew")
    flag("--reuse", action="store_true", help="take indexes from the cache, even of another build of ours")
    flag("--json", metavar="FILE", help="write all figures")
    flag("--markdown", metavar="FILE", help="write the tables")
    args = parser.parse_args()
    if args.runs < 1 or args.rows < 0:
        parser.error("--runs is at least 1, --rows at least 0")
    return args


def main():
    args = arguments()
    head = machine()
    print(head, end="\n\n")
    results, markdown = [], [head, ""]
    for name in args.data:
        result = measure(name, args)
        lines = list(tables(result))
        print("\n".join([*curve_lines(result), *lines]), flush=True)
        results.append(result)
        markdown += lines
        # After each data set: what is measured stays, whatever becomes of the next.
        if args.json:
            write(args.json, json.dumps({"machine": head, "results": results}, indent=1))
        if args.markdown:
            write(args.markdown, "\n".join(markdown))
    return 1 if any(result["failed"] for result in results) else 0


def write(path, text):
    """Writes a file at once: a reader finds all of it or what was before."""
    with open(f"{path}.new", "w") as file:
        file.write(text + "\n")
    os.replace(f"{path}.new", path)


if __name__ == "__main__":
    sys.exit(main())
