"""Training: `marquee train` beside PyPI implicit's ALS on the same interactions, settings and machine.

Runs alternate, and medians are printed. Ours is the whole process (reading, hold-out fit, evaluation,
fit, writing); implicit's is its fit alone, with the matrix in memory. Recall@20 of both is over the
same held-out interactions, full ranking without what the user has in train.

The data is the splits in ../shared/data where those are, and a made-up set of 600,000 pairs always.
"""

import argparse, csv, json, os, resource, statistics, subprocess, sys, tempfile, time
import numpy as np
import scipy.sparse as sparse
from implicit.cpu.als import AlternatingLeastSquares

MARQUEE = "target/release/marquee"
SHARED = "../shared/data"
# Data set, factors, regularization, alpha.
SETTINGS = [("ml-latest-small", 64, 10, 1), ("movietweetings-100k", 32, 30, 2), ("made-up", 64, 10, 1)]


def made_up(directory):
    """Users of 40 groups over items of Zipf-like popularity; the last fifth of each history is test."""
    rng = np.random.default_rng(1)
    users, items, pairs, groups = 12_000, 6_000, 900_000, 40
    weight = (1 + np.arange(items)) ** -0.8
    rng.shuffle(weight)
    item_group, user_group = rng.integers(0, groups, items), rng.integers(0, groups, users)
    activity = (1 + np.arange(users)) ** -0.4
    user = rng.choice(users, pairs, p=activity / activity.sum())
    item = rng.choice(items, pairs, p=weight / weight.sum())
    for n in range(groups):
        members = np.flatnonzero(item_group == n)
        own = (user_group[user] == n) & (rng.random(pairs) < 0.6)
        item[own] = rng.choice(members, own.sum(), p=weight[members] / weight[members].sum())
    key = np.unique(user.astype(np.int64) * items + item)
    rng.shuffle(key)
    test = rng.random(len(key)) < 0.2
    for name, rows in ("train", key[~test]), ("test", key[test]):
        with open(f"{directory}/{name}.csv", "w") as file:
            file.write("user,item\n")
            file.writelines(f"{k // items},{k % items}\n" for k in rows)
    return directory


def read(path, users, items):
    rows = [(row["user"], row["item"]) for row in csv.DictReader(open(path))]
    u = [users.setdefault(user, len(users)) for user, _ in rows]
    i = [items.setdefault(item, len(items)) for _, item in rows]
    return u, i


def implicit_fit(matrix, factors, regularization, alpha):
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=15, num_threads=2, random_state=1
    )
    start = time.process_time()
    model.fit(matrix, show_progress=False)
    return model, time.process_time() - start


def implicit_recall(model, matrix, test):
    hits = []
    for user, wanted in test.items():
        scores = model.item_factors @ model.user_factors[user]
        scores[matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]] = -np.inf
        top = set(np.argpartition(-scores, 20)[:20].tolist())
        hits.append(len(top & wanted) / min(20, len(wanted)))
    return float(np.mean(hits))


def marquee_train(train, out, factors, regularization, alpha):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    flags = dict(factors=factors, regularization=regularization, alpha=alpha, out=out, interactions=train)
    args = [text for flag, value in flags.items() for text in (f"--{flag}", str(value))]
    subprocess.run([MARQUEE, "train", "--json", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def marquee_recall(bundle, train, test):
    args = [MARQUEE, "eval", "--bundle", bundle, "--train", train, "--test", test]
    return json.loads(subprocess.run(args, check=True, capture_output=True).stdout)["recall"]


def measure(name, directory, factors, regularization, alpha, runs, scratch):
    train, test_file = f"{directory}/train.csv", f"{directory}/test.csv"
    users, items = {}, {}
    u, i = read(train, users, items)
    test = {}
    for user, item in zip(*read(test_file, users, items)):
        test.setdefault(user, set()).add(item)
    matrix = sparse.csr_matrix((np.ones(len(u), np.float32), (u, i)), (len(users), len(items)))
    matrix.sort_indices()
    ours, theirs = [], []
    for run in range(runs):
        bundle = f"{scratch}/{name}-{run}"
        ours.append(marquee_train(train, bundle, factors, regularization, alpha))
        model, seconds = implicit_fit(matrix, factors, regularization, alpha)
        theirs.append(seconds)
    recalls = marquee_recall(bundle, train, test_file), implicit_recall(model, matrix, test)
    cpu = statistics.median(ours), statistics.median(theirs)
    print(
        f"| {name} | {len(u):,} | {factors} | {recalls[0]:.4f} | {recalls[1]:.4f} | {recalls[0] / recalls[1]:.3f} "
        f"| {cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.2f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print("| data | pairs | factors | recall@20 | implicit | ratio | CPU s, whole train | implicit's fit | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name, factors, regularization, alpha in SETTINGS:
            directory = f"{SHARED}/{name}/split"
            if name == "made-up":
                directory = made_up(scratch)
            elif not os.path.isdir(directory):
                print(f"{name}: {directory} is not there, left out", file=sys.stderr)
                continue
            measure(name, directory, factors, regularization, alpha, runs, scratch)


if __name__ == "__main__":
    main()
