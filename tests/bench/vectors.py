"""The vectors that retrieval is measured on, and the exact answers to their queries.

    a   200,000 × 64    made up to look like the factors of a catalogue: see `made_up`
    b   as it comes     item factors that `marquee train` made of users' ratings
    c   1,000,000 × 128 as a, larger

A data set is a directory of three files, which appears at once when all are complete: `items.npy`
(rows × rank, float32), `queries.npy` (queries × rank, float32) and `truth.npy` (queries × 100, uint32:
the items of the largest inner products, best first). It is made once and then read.
"""

import os, shutil, subprocess, sys, tempfile
import numpy as np

MARQUEE = "target/release/marquee"
MEASURE = "target/release/examples/measure"
RATINGS = "../shared/data/ml-latest-small/ratings.csv"
# Rows and rank of what is made up.
SIZES = {"a": (200_000, 64), "c": (1_000_000, 128)}
NAMES = ("a", "b", "c")
QUERIES = 1_000
SEED = 1
# Answers kept for each query: the largest k that is measured.
DEEPEST = 100
# Scores of one block while the answers are looked for, in float32: 128 MiB.
BLOCK_SCORES = 32 << 20
# Training data b takes a second or two, the demo's data up to two downloads before.
TRAIN_TIMEOUT_S = 600


def prepare(name, rows, interactions, cache):
    """Makes data set `name` unless it is in the cache; its directory."""
    scaled = f"-{rows}" if rows and name in SIZES else ""
    directory = f"{cache}/data-{name}{scaled}"
    if os.path.isdir(directory):
        return directory
    os.makedirs(cache, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=f"making-{name}-", dir=cache)
    try:
        if name in SIZES:
            full, rank = SIZES[name]
            print(f"making data {name}: {rows or full:,} × {rank}", file=sys.stderr)
            items, queries = made_up(rows or full, rank, QUERIES, np.random.default_rng(SEED))
        else:
            items, queries = trained(interactions, scratch)
        print(f"exact answers to {len(queries):,} queries over {len(items):,} items", file=sys.stderr)
        np.save(f"{scratch}/items.npy", items)
        np.save(f"{scratch}/queries.npy", queries)
        np.save(f"{scratch}/truth.npy", exact(items, queries, min(DEEPEST, len(items))))
        os.rename(scratch, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return directory


def made_up(rows, rank, count, rng):
    """Items and queries that resemble what matrix factorisation makes.

    Items lie in clusters of unlike size. Within one, items differ along 16 directions of its own and a
    little along all; overall, a few directions matter more than the others. Popularity is length: it is
    log-normal, and has nothing to do with direction. A query is near three clusters.
    """
    clusters, directions = 200, 16
    # The axes that matter, by falling weight, turned at random so that no coordinate is special.
    turned = np.linalg.qr(rng.standard_normal((rank, rank)))[0]
    axes = (np.arange(1, rank + 1) ** -0.5)[:, None] * turned
    centre = unit(rng.standard_normal((clusters, rank)) @ axes)
    weight = np.arange(1, clusters + 1) ** -0.7
    weight /= weight.sum()

    member = rng.choice(clusters, rows, p=weight)
    items = np.empty((rows, rank), np.float32)
    for cluster in range(clusters):
        own = np.flatnonzero(member == cluster)
        spread = rng.standard_normal((directions, rank)) / np.sqrt(rank)
        x = centre[cluster] + 0.45 * rng.standard_normal((len(own), directions)) @ spread
        x += 0.25 * rng.standard_normal((len(own), rank)) @ axes
        items[own] = unit(x)
    items *= rng.lognormal(0, 0.5, rows)[:, None].astype(np.float32)

    liked = np.array([rng.choice(clusters, 3, replace=False, p=weight) for _ in range(count)])
    share = rng.dirichlet(np.ones(3), count)
    x = np.einsum("qc,qcd->qd", share, centre[liked])
    x += 0.15 * rng.standard_normal((count, rank)) @ axes + 0.05 * rng.standard_normal((count, rank))
    queries = unit(x) * rng.lognormal(0, 0.3, count)[:, None]
    return items, queries.astype(np.float32)


def shape(path):
    """Rows and columns of a saved array, without reading it."""
    return np.load(path, mmap_mode="r").shape


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def trained(interactions, scratch):
    """Item and user factors of 64 components, of the interactions given or else of the demo's data."""
    interactions = interactions or (RATINGS if os.path.isfile(RATINGS) else None)
    if interactions:
        print(f"making data b: training on {interactions}", file=sys.stderr)
        bundle = f"{scratch}/bundle"
        flags = ["--factors", "64", "--evaluate-users", "0", "--interactions", interactions, "--out", bundle]
        run([MARQUEE, "train", *flags])
    else:
        print("making data b: training on the demo's data", file=sys.stderr)
        run([MARQUEE, "demo", "--shards", "1", "--train-only", f"{scratch}/bundles"])
        bundle = f"{scratch}/bundles/v2"
    items, queries = f"{scratch}/items.npy", f"{scratch}/queries.npy"
    run([MEASURE, "factors", "--bundle", bundle, "--items", items, "--queries", queries])
    items, queries = np.load(items), np.load(queries)
    for directory in (f"{scratch}/bundle", f"{scratch}/bundles"):
        shutil.rmtree(directory, ignore_errors=True)
    # Items that the same users chose have the same factors, and which of them is found is chance: one
    # of each is kept. Queries of zeros are dropped.
    items = np.unique(items, axis=0)
    queries = queries[np.linalg.norm(queries, axis=1) > 0]
    # In the order of np.unique similar items would be neighbours, as they are in no catalogue.
    rng = np.random.default_rng(SEED)
    return rng.permutation(items), rng.permutation(queries)[:QUERIES]


def run(command):
    done = subprocess.run(command, timeout=TRAIN_TIMEOUT_S, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def exact(items, queries, k):
    """The k items of the largest inner products for each query, best first, equal ones by number.

    A float32 product finds candidates, float64 orders them, and a bound on float32's error says whether
    an item outside could belong; then there are more candidates.
    """
    truth = np.empty((len(queries), k), np.uint32)
    longest = np.linalg.norm(items, axis=1).max()
    block = max(1, BLOCK_SCORES // len(items))
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ items.T
        for at, row in enumerate(scores, start):
            query, width = queries[at].astype(np.float64), min(2 * k, len(items))
            # Each of `rank` products and sums rounds once; |q|·|x| is the most they can sum to.
            error = 2 * len(query) * np.finfo(np.float32).eps * np.linalg.norm(query) * longest
            while True:
                found = np.argpartition(-row, width - 1)[:width]
                fine = items[found].astype(np.float64) @ query
                order = np.lexsort((found, -fine))[:k]
                if width == len(items) or fine[order[-1]] > row[found].min() + error:
                    break
                width = min(2 * width, len(items))
            truth[at] = found[order]
    return truth
