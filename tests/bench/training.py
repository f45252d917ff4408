"""What fits cost: ours beside a peer's of the same kind, on the same data, in the same run.

Ours is `marquee train --evaluate-users 0`: its fit as it measures it, which is compared, and the whole process with
reading and writing, which is there to see. A peer's is its fit with the matrix in memory. Runs alternate; CPU seconds
are of all threads, and medians are compared. `--write` puts the table into tests/bench/README.md.

The data is the splits in ../shared/data.
"""

import argparse, csv, datetime, json, os, re, resource, statistics, subprocess, sys, tempfile, time, warnings
import numpy as np
import scipy.sparse as sparse

MARQUEE = "target/release/marquee"
SHARED = "../shared/data"
SETS = ["ml-latest-small", "movietweetings-100k"]
# What each set is fitted with: factors, λ and α of ALS, and λ of EASE; as in the reference figures.
SETTINGS = {"ml-latest-small": (64, 10, 1, 100), "movietweetings-100k": (32, 30, 2, 800)}
NEIGHBOURS = 200
README = "tests/bench/README.md"
HEADING = "### Fits"


def matrix_of(path):
    """The ids of users and of items, and users × items of ones."""
    users, items = {}, {}
    rows = [(row["user"], row["item"]) for row in csv.DictReader(open(path))]
    u = [users.setdefault(user, len(users)) for user, _ in rows]
    i = [items.setdefault(item, len(items)) for _, item in rows]
    matrix = sparse.csr_matrix((np.ones(len(u), np.float32), (u, i)), (len(users), len(items)))
    matrix.sort_indices()
    return list(users), list(items), matrix


def implicit_als(matrix, name):
    from implicit.cpu.als import AlternatingLeastSquares

    factors, regularization, alpha, _ = SETTINGS[name]
    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=15, num_threads=2, random_state=1
    )
    model.fit(matrix, show_progress=False)


def implicit_cosine(matrix, name):
    from implicit.nearest_neighbours import CosineRecommender

    CosineRecommender(K=NEIGHBOURS, num_threads=2).fit(matrix, show_progress=False)


def scipy_cosine(matrix, name):
    """Columns of unit length, their products, and of each row the largest."""
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=0)).A1
    unit = matrix @ sparse.diags(1 / np.maximum(lengths, 1e-12).astype(np.float32))
    similar = (unit.T @ unit).tocsr()
    similar.setdiag(0)
    similar.eliminate_zeros()
    for row in range(similar.shape[0]):
        values = similar.data[similar.indptr[row] : similar.indptr[row + 1]]
        if len(values) > NEIGHBOURS:
            values[np.argpartition(values, -NEIGHBOURS)[:-NEIGHBOURS]] = 0
    similar.eliminate_zeros()


def numpy_ease(matrix, name):
    """Steck 2019, algorithm 1, in single precision."""
    gram = (matrix.T @ matrix).toarray().astype(np.float32)
    diagonal = np.diag_indices(gram.shape[0])
    gram[diagonal] += SETTINGS[name][3]
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[diagonal] = 0


def flags_of(family, name):
    factors, regularization, alpha, ridge = SETTINGS[name]
    return {
        "mf": ["--factors", factors, "--regularization", regularization, "--alpha", alpha],
        "item-knn": ["--similarity", "cosine", "--neighbours", NEIGHBOURS],
        "ease": ["--regularization", ridge],
    }[family]


PEERS = [
    ("mf", "implicit 0.7.3 ALS", implicit_als),
    ("item-knn", "implicit 0.7.3 cosine", implicit_cosine),
    ("item-knn", "scipy cosine", scipy_cosine),
    ("ease", "numpy EASE", numpy_ease),
]


def marquee(binary, family, name, train, scratch, run):
    out = f"{scratch}/{name}-{family}-{run}"
    flags = ["--interactions", train, "--model", family, "--out", out, "--evaluate-users", 0, *flags_of(family, name)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [binary, "train", "--json", *map(str, flags)]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    fit = next(phase["cpu_seconds"] for phase in json.loads(said)["phases"] if phase["name"] == "fit")
    return fit, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(fit, matrix, name):
    start = time.process_time()
    fit(matrix.copy(), name)
    return time.process_time() - start


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores"


def write(lines, how):
    text = open(README).read()
    today = datetime.date.today().isoformat()
    intro = (
        f"{today}, {machine()}, other work on the machine; {how}. Medians of\n"
        "alternated runs; the ratio is of fits."
    )
    section = f"{HEADING}\n\n{intro}\n\n" + "\n".join(lines) + "\n\n"
    found = re.search(rf"^{HEADING}\n.*?(?=^###? )", text, re.S | re.M)
    place = found.span() if found else (text.index("### Families"),) * 2
    open(README, "w").write(text[: place[0]] + section + text[place[1] :])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"put the table into {README}")
    parser.add_argument("--marquee", default=MARQUEE, help="the binary")
    parser.add_argument("--how", default='`make bench ARGS="training --write"`', help="what the table says it is of")
    args = parser.parse_args()
    # implicit's own step from one form of a matrix to another.
    warnings.filterwarnings("ignore", message="Method expects CSR")
    lines = [
        "| data | model | peer | CPU s, our fit | peer's fit | ours ÷ peer | our whole process |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for name in SETS:
            train = f"{SHARED}/{name}/split/train.csv"
            if not os.path.exists(train):
                print(f"{train} is not there, left out", file=sys.stderr)
                continue
            _, _, matrix = matrix_of(train)
            ours, theirs = {}, {}
            for run in range(args.runs):
                for family in dict.fromkeys(family for family, _, _ in PEERS):
                    ours.setdefault(family, []).append(marquee(args.marquee, family, name, train, scratch, run))
                for _, peer, fit in PEERS:
                    theirs.setdefault(peer, []).append(measured(fit, matrix, name))
            for family, peer, _ in PEERS:
                a, whole = (statistics.median(runs) for runs in zip(*ours[family]))
                b = statistics.median(theirs[peer])
                lines.append(f"| {name} | {family} | {peer} | {a:.2f} | {b:.2f} | {a / b:.2f} | {whole:.2f} |")
    print("\n".join(lines))
    if args.write:
        write(lines, args.how)


if __name__ == "__main__":
    main()
