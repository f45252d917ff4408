"""Every `marquee train --model` at its defaults: recall@20, nDCG@20 and CPU seconds of its training.

The data is the splits in ../shared/data where those are, or `--data DIR`, with train.csv, test.csv and, for
titles and tags, items.csv; `marquee split` makes the first two. Lists are of `marquee eval --bundle`:
full ranking, less what the user has in train.
"""

import argparse, json, os, resource, subprocess, tempfile

MARQUEE = "target/release/marquee"
SHARED = "../shared/data"
SETS = ["ml-latest-small", "movietweetings-100k"]
MODELS = [
    "hybrid", "transitions", "ease", "mf", "item-knn", "user-knn", "rp3beta", "bpr", "mf-sgd", "content",
    "trending", "popularity",
]


def marquee(*arguments):
    done = subprocess.run([MARQUEE, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure(model, data, out):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    items = [f"--items={data}/items.csv"] if os.path.exists(f"{data}/items.csv") else []
    marquee("train", f"--interactions={data}/train.csv", *items, f"--model={model}", f"--out={out}", "--evaluate-users=0")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = marquee("eval", f"--bundle={out}", f"--train={data}/train.csv", f"--test={data}/test.csv")
    return found["recall"], found["ndcg"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", help="a directory with train.csv and test.csv; several by repeating it")
    chosen = parser.parse_args().data or [f"{SHARED}/{name}/split" for name in SETS]
    present = [data for data in chosen if os.path.exists(f"{data}/train.csv")]
    if not present:
        raise SystemExit(f"there is no train.csv in {', '.join(chosen)}: give --data DIR, made by `marquee split`")
    for data in present:
        print(f"\n{data}\n\n| model | recall@20 | nDCG@20 | CPU s |\n|---|---|---|---|")
        for model in MODELS:
            with tempfile.TemporaryDirectory() as out:
                recall, ndcg, seconds = measure(model, data, f"{out}/bundle")
            print(f"| {model} | {recall:.4f} | {ndcg:.4f} | {seconds:.2f} |", flush=True)


main()
