"""The evaluator, held against figures that were computed without it.

Popular items, the same for all users but those a user has, are listed as the reference lists them: NumPy's
`argpartition` takes so many, and since many items are equally popular it is chance which of the last it takes. They
depend on the instructions that NumPy uses: those of AVX2 give the reference's, so the others are switched
off. The lists are scored by `marquee eval --lists` and, where the data's score.py can, by it. Both must equal the figures in
the data's REFERENCE.md to the fourth digit. `--model popularity` is printed beside them; it takes the smaller
id of equals.
"""

import os

# NumPy reads it when it is imported.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")

import csv, json, re, shutil, subprocess, sys
import numpy as np

MARQUEE = os.environ.get("MARQUEE", "target/release/marquee")
DATA = "../shared/data"
NAMES = "ml-latest-small", "movietweetings-100k"
# Protocol, folder, training files, length of lists, the name of the first measure, in which order items are numbered.
PROTOCOLS = [
    ("P1", "split", ["train"], 20, "recall", lambda ids: sorted(ids, key=int)),
    ("P2", "split-seq", ["train", "valid"], 10, "hit_rate", list),
]


def pairs(path):
    with open(path) as file:
        return [(row["user"], row["item"]) for row in csv.DictReader(file)]


def popular_lists(train, test, k, numbered, out):
    items = numbered(dict.fromkeys(item for _, item in train + test))
    number = {item: n for n, item in enumerate(items)}
    counts, seen = np.zeros(len(items)), {}
    for user, item in train:
        counts[number[item]] += 1
        seen.setdefault(user, []).append(number[item])
    with open(out, "w") as file:
        file.write("user,item,rank\n")
        for user in dict.fromkeys(user for user, _ in test):
            scores = counts.copy()
            scores[seen.get(user, [])] = -np.inf
            taken = np.argpartition(-scores, k)[:k]
            taken = taken[np.lexsort((taken, -scores[taken]))]
            file.writelines(f"{user},{items[n]},{rank}\n" for rank, n in enumerate(taken, 1))


def reference(name, protocol):
    """Both measures of popularity, as printed there."""
    with open(f"{DATA}/REFERENCE.md") as file:
        section = file.read().split(f"## {name}, {protocol}")[1]
    return re.search(r"^\| pop \| ([\d.]+) \| ([\d.]+)", section, re.MULTILINE).groups()


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, text=True, check=True).stdout


def evaluated(measure, k, *args):
    report = json.loads(run(MARQUEE, "eval", "--cutoff", str(k), *args))
    return f"{report[measure]:.4f}", f"{report['ndcg']:.4f}"


def main():
    if not os.path.isdir(DATA):
        sys.exit(f"there is no {DATA}: the evaluator is held against the figures there")
    wrong, out = 0, "target/bench/evaluator"
    os.makedirs(out, exist_ok=True)
    print("| data | measures | lists | scored by | | nDCG |\n|---|---|---|---|---|---|")
    for name in NAMES:
        for protocol, folder, training, k, measure, numbered in PROTOCOLS:
            split, lists = f"{DATA}/{name}/{folder}", f"{out}/{name}-{protocol}.csv"
            train = [row for part in training for row in pairs(f"{split}/{part}.csv")]
            popular_lists(train, pairs(f"{split}/test.csv"), k, numbered, lists)
            with open(f"{out}/train.csv", "w") as file:
                file.write("user,item\n")
                file.writelines(f"{user},{item}\n" for user, item in train)
            files = "--train", f"{out}/train.csv", "--test", f"{split}/test.csv"
            found = [
                ("REFERENCE.md", "its authors", reference(name, protocol)),
                ("NumPy's", "marquee eval --lists", evaluated(measure, k, "--lists", lists, *files)),
            ]
            if protocol == "P1":
                theirs = run(sys.executable, f"{DATA}/score.py", name, lists)
                theirs = re.search(r"recall@20 ([\d.]+) ndcg@20 ([\d.]+)", theirs).groups()
                found.append(("NumPy's", "score.py", theirs))
            wrong += len({figures for _, _, figures in found}) > 1
            shutil.rmtree(f"{out}/model", ignore_errors=True)
            run(MARQUEE, "train", "--model", "popularity", "--interactions", f"{out}/train.csv", "--out", f"{out}/model")
            found.append(("--model popularity", "marquee eval", evaluated(measure, k, "--bundle", f"{out}/model", *files)))
            for who, by, (first, ndcg) in found:
                print(f"| {name}, {protocol} | {measure}@{k}, nDCG@{k} | {who} | {by} | {first} | {ndcg} |")
    if wrong:
        sys.exit(f"{wrong} of {len(NAMES) * len(PROTOCOLS)} do not agree")


if __name__ == "__main__":
    main()
