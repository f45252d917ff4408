"""Every `marquee train --model` with the settings that it chooses: quality, and CPU seconds of its training.

The data is ../shared/data where that is: recall@20 and nDCG@20 on its splits by time (P1), and the hit rate and
nDCG at 10 where the last row of each user is to be found (P2). Or `--data DIR`, with train.csv, test.csv and, for
titles and tags, items.csv; `marquee split` makes the first two. Lists are of `marquee eval --bundle`: full
ranking, less what the user has in train. `content` and `hybrid` rank all items of items.csv, where the reference
ranks those of train and test: `--rated` leaves all others out.
"""

import argparse, csv, json, os, resource, subprocess, tempfile

MARQUEE = os.environ.get("MARQUEE", "target/release/marquee")
SHARED = "../shared/data"
SETS = ["ml-latest-small", "movietweetings-100k", "steam-play", "amazon-video-games"]
MODELS = [
    "hybrid", "transitions", "ease", "mf", "item-knn", "user-knn", "rp3beta", "rules", "bpr", "mf-sgd", "content",
    "trending", "popularity",
]


def marquee(*arguments):
    done = subprocess.run([MARQUEE, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Data:
    """What to train on and to find, what titles are in if there are any, and what is measured where lists are cut."""

    def __init__(self, train, test, items=None, measure="recall", cutoff=20):
        self.train, self.test, self.measure, self.cutoff = train, test, measure, cutoff
        self.items = items if items and os.path.exists(items) else None

    def of(self, model, out, *flags):
        """The measure, nDCG, and the CPU seconds of the training."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        titles = [f"--items={self.items}"] if self.items else []
        marquee("train", f"--interactions={self.train}", *titles, f"--model={model}", f"--out={out}", "--evaluate-users=0", *flags)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = marquee("eval", f"--bundle={out}", f"--train={self.train}", f"--test={self.test}", f"--cutoff={self.cutoff}")
        return found[self.measure], found["ndcg"], seconds


def joined(paths, out):
    """Files of the same columns as one."""
    with open(out, "w") as file:
        for n, path in enumerate(paths):
            with open(path) as rows:
                header = next(rows)
                file.write(header if n == 0 else "")
                file.writelines(rows)
    return out


def rated(data, out):
    """The same, with an items file that has the items of train and test only."""
    ids = set()
    for path in data.train, data.test:
        with open(path, newline="") as file:
            ids.update(row["item"] for row in csv.DictReader(file))
    with open(data.items, newline="") as file, open(out, "w", newline="") as kept:
        rows = csv.DictReader(file)
        writer = csv.DictWriter(kept, rows.fieldnames)
        writer.writeheader()
        writer.writerows(row for row in rows if row["item"] in ids)
    return Data(data.train, data.test, out, data.measure, data.cutoff)


def shared(scratch):
    for name in SETS:
        folder = f"{SHARED}/{name}"
        if os.path.isdir(folder):
            items = f"{folder}/split/items.csv"
            yield f"{name}, P1", Data(f"{folder}/split/train.csv", f"{folder}/split/test.csv", items)
            if not os.path.isdir(f"{folder}/split-seq"):
                continue
            last = [f"{folder}/split-seq/{part}.csv" for part in ("train", "valid")]
            train = joined(last, f"{scratch}/{name}.csv")
            yield f"{name}, P2", Data(train, f"{folder}/split-seq/test.csv", items, "hit_rate", 10)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="a directory with train.csv and test.csv; several by repeating it")
    parser.add_argument("--models", default=",".join(MODELS), help="some of them, with commas between")
    parser.add_argument("--rated", action="store_true", help="know items of train and test only, as the reference does")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        given = [(path, Data(f"{path}/train.csv", f"{path}/test.csv", f"{path}/items.csv")) for path in args.data or []]
        sets = given or list(shared(scratch))
        if not sets:
            raise SystemExit(f"there is no {SHARED}: give --data DIR, made by `marquee split`")
        for n, (name, data) in enumerate(sets):
            if args.rated and data.items:
                data = rated(data, f"{scratch}/items-{n}.csv")
            print(f"\n{name}\n\n| model | {data.measure}@{data.cutoff} | nDCG@{data.cutoff} | CPU s |\n|---|---|---|---|")
            for model in args.models.split(","):
                with tempfile.TemporaryDirectory() as out:
                    measure, ndcg, seconds = data.of(model, f"{out}/bundle")
                print(f"| {model} | {measure:.4f} | {ndcg:.4f} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
