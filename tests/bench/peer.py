"""One peer in a process of its own: builds an index, or searches one that was built.

    peer.py build  SYSTEM --items F --index F
    peer.py search SYSTEM --index F --queries F --truth F --k 10,100

`build` prints one JSON object, `search` one a line for each point of the curve; `measure`, the example of
crates/bundle, prints the same for Marquee. Libraries are loaded where they are used: a process has one.

Peers whose batches are nothing but a loop over queries get all queries in one call, so that Python costs
them nothing. A batch of faiss' flat and IVF indexes shares work between its queries, which a single
query never gets: they are called for each query, on pointers made before, which costs below 2 µs.
"""

import argparse, json, os, threading, time

# OpenMP's threads would turn in circles when they wait, which is processor time too on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import numpy as np

# What every index is built of and with: the same for all of the HNSW family.
M, EF_CONSTRUCTION = 16, 100
WIDTHS = {
    10: [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048],
    100: [100, 128, 160, 200, 256, 320, 400, 512, 640, 800, 1024, 1280, 1600, 2048, 3072, 4096],
}
PROBES = [16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
# Candidates of the compressed codes that are scored again exactly, as multiples of k.
REFINES = {10: [16, 64], 100: [4, 16]}
# The highest recall that is compared: a curve ends with its first point from there on.
ENOUGH = 0.99
# A point is measured for at least this long, after a pass that warms up and gives the recall.
MIN_MEASURED_S = 0.3


class Hnswlib:
    recipe = f"hnswlib 0.8.0, M {M}, ef_construction {EF_CONSTRUCTION}"

    def build(self, items, path):
        import hnswlib

        index = hnswlib.Index(space="ip", dim=items.shape[1])
        index.init_index(len(items), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
        index.add_items(items, num_threads=2)
        index.save_index(path)

    def load(self, path, rank):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=rank)
        self.index.load_index(path)

    def efforts(self, k):
        yield from ([width] for width in WIDTHS[k])

    def aim(self, width):
        self.index.set_ef(width)

    def search(self, queries, k, threads):
        return self.index.knn_query(queries, k, num_threads=threads)[0]


class Usearch:
    recipe = f"usearch 2.26.6, connectivity {M}, expansion_add {EF_CONSTRUCTION}"

    def build(self, items, path):
        from usearch.index import Index

        index = Index(ndim=items.shape[1], metric="ip", dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION)
        index.add(np.arange(len(items), dtype=np.uint64), items, threads=2)
        index.save(path)

    def load(self, path, rank):
        from usearch.index import Index

        self.index = Index.restore(path)

    def efforts(self, k):
        yield from ([width] for width in WIDTHS[k])

    def aim(self, width):
        self.index.expansion_search = width

    def search(self, queries, k, threads):
        keys = self.index.search(queries, k, threads=threads).keys
        return keys.reshape(len(queries), k)


class FaissHnsw:
    recipe = f"faiss 1.15.1, HNSW{M},Flat, efConstruction {EF_CONSTRUCTION}"

    def build(self, items, path):
        import faiss

        faiss.omp_set_num_threads(2)
        index = faiss.IndexHNSWFlat(items.shape[1], M, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.add(items)
        faiss.write_index(index, path)

    def load(self, path, rank):
        import faiss

        self.index = faiss.read_index(path)

    def efforts(self, k):
        yield from ([width] for width in WIDTHS[k])

    def aim(self, width):
        self.index.hnsw.efSearch = width

    def search(self, queries, k, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        return self.index.search(queries, k)[1]


class FaissOneByOne:
    """Those that are called for each query."""

    def load(self, path, rank):
        import faiss

        self.index = faiss.read_index(path)
        self.pointers = None

    def search(self, queries, k, threads):
        import faiss

        if self.pointers is None:
            self.pointers = [faiss.swig_ptr(query) for query in queries]
        found = np.empty((len(queries), k), np.int64)

        def part(first):
            faiss.omp_set_num_threads(1)
            scores = np.empty(k, np.float32)
            score = faiss.swig_ptr(scores)
            rows = [faiss.swig_ptr(row) for row in found[first::threads]]
            for query, row in zip(self.pointers[first::threads], rows):
                self.index.search_c(1, query, k, score, row)

        if threads == 1:
            part(0)
        else:
            parts = [threading.Thread(target=part, args=(first,)) for first in range(threads)]
            for each in parts:
                each.start()
            for each in parts:
                each.join()
        return found


class FaissIvf(FaissOneByOne):
    # Of what was tried on data a (4·√rows lists, codes of half the size, none of either, 8-bit scalars),
    # this takes the least time for recall 0.95.
    recipe = "faiss 1.15.1, IVF(√rows),PQ(rank)x4fs,RFlat"

    def build(self, items, path):
        import faiss

        faiss.omp_set_num_threads(2)
        rows, rank = items.shape
        spec = f"IVF{round(rows**0.5)},PQ{rank}x4fs,RFlat"
        index = faiss.index_factory(rank, spec, faiss.METRIC_INNER_PRODUCT)
        index.train(items)
        index.add(items)
        faiss.write_index(index, path)

    def efforts(self, k):
        import faiss

        lists = faiss.extract_index_ivf(self.index).nlist
        steps = [probes for probes in PROBES if probes < lists] + [lists]
        yield from ([probes, refine] for refine in REFINES[k] for probes in steps)

    def aim(self, probes, refine):
        import faiss

        faiss.extract_index_ivf(self.index).nprobe = probes
        self.index.k_factor = refine


class FaissFlat(FaissOneByOne):
    recipe = "faiss 1.15.1, Flat"

    def build(self, items, path):
        import faiss

        index = faiss.IndexFlatIP(items.shape[1])
        index.add(items)
        faiss.write_index(index, path)

    def efforts(self, k):
        yield []

    def aim(self):
        pass


SYSTEMS = {
    "hnswlib": Hnswlib,
    "faiss HNSW": FaissHnsw,
    "faiss IVF-PQ": FaissIvf,
    "usearch": Usearch,
    "faiss flat": FaissFlat,
}


def build(system, items, index):
    items = np.load(items)
    wall, cpu = time.perf_counter(), time.process_time()
    system.build(items, index)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    emit(build_cpu_s=cpu, build_wall_s=wall, peak_bytes=peak_bytes(), index_bytes=os.path.getsize(index))


def peak_bytes():
    """The most memory that this process ever had; not getrusage's, which knows the parent's as well."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def search(system, index, queries, truth, ks):
    queries, truth = np.load(queries), np.load(truth)
    system.load(index, queries.shape[1])
    for k in ks:
        done = None
        for effort in system.efforts(k):
            # A second dial begins anew once the first has been turned up far enough.
            if done is not None and effort[1:] == done:
                continue
            system.aim(*effort)
            recall = measure_recall(system.search(queries, k, 1), truth[:, :k])
            cpu = measured(lambda: system.search(queries, k, 1), time.process_time) / len(queries)
            wall = measured(lambda: system.search(queries, k, 2), time.perf_counter) / len(queries)
            emit(k=k, strategy="", effort="/".join(map(str, effort)), recall=recall, cpu_us=cpu * 1e6, qps=1 / wall)
            if recall >= ENOUGH:
                done = effort[1:]


def measure_recall(found, truth):
    hits = [len(np.intersect1d(row, wanted)) for row, wanted in zip(found.astype(np.int64), truth)]
    return sum(hits) / truth.size


def measured(work, clock):
    """Seconds that one call of `work` takes."""
    begin, passes = clock(), 0
    while clock() - begin < MIN_MEASURED_S:
        work()
        passes += 1
    return (clock() - begin) / passes


def emit(**fields):
    print(json.dumps(fields), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["build", "search"])
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--items")
    parser.add_argument("--index", required=True)
    parser.add_argument("--queries")
    parser.add_argument("--truth")
    parser.add_argument("--k", default="10,100")
    args = parser.parse_args()
    system = SYSTEMS[args.system]()
    if args.task == "build":
        build(system, args.items, args.index)
    else:
        search(system, args.index, args.queries, args.truth, [int(k) for k in args.k.split(",")])


if __name__ == "__main__":
    main()
