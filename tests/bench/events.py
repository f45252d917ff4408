"""Events: how many a second one router makes durable, and what that costs.

A standalone node with no model, `fsync = "always"` and its log on this disk, answers `marquee load --events`
at a fixed rate: every call is RecordEvents, acknowledged after the sync. The load runs on the same
processors. Afterwards the log is exported, and must hold what was acknowledged.
"""

import argparse, json, os, shutil, socket, subprocess, sys, tempfile, time

MARQUEE = os.environ.get("MARQUEE", "target/release/marquee")
GOAL = 20_000
READY_TIMEOUT_S = 60
END_TIMEOUT_S = 30


def run(*args):
    done = subprocess.run([MARQUEE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"marquee {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def node(directory, fsync):
    """A node of all roles; its process and its address, when it listens."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    path = f"{directory}/node.toml"
    with open(path, "w") as file:
        file.write(f"""[node]
id = "bench"
listen = "127.0.0.1:{port}"
data_dir = "data"
[control]
id = 1
voters = [{{ id = 1, address = "{url}" }}]
replication_factor = 1
[router.events]
fsync = "{fsync}"
""")
    log = open(f"{directory}/node.log", "w")
    process = subprocess.Popen([MARQUEE, "serve", "--config", path], stderr=log, stdout=log)
    began = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, url
        except OSError:
            if process.poll() is not None or time.monotonic() - began > READY_TIMEOUT_S:
                sys.exit(f"the node does not listen; its log is {directory}/node.log")
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", default="100,20", help="events of a call; several with commas")
    parser.add_argument("--rate", type=int, default=GOAL, help="events a second")
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fsync", default="always", choices=["always", "interval", "never"])
    parser.add_argument("--cache", default="target/bench")
    args = parser.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    users = f"{args.cache}/events-users.txt"
    with open(users, "w") as file:
        file.writelines(f"user-{n}\n" for n in range(100_000))
    # On the disk of the tree: a directory in memory would sync in no time.
    directory = tempfile.mkdtemp(prefix="events-", dir=args.cache)
    process, url = node(directory, args.fsync)
    total, reached = 0, True
    try:
        print(f"fsync = {args.fsync}, {args.rate:,} events a second asked for {args.seconds} s, median of {args.runs} by CPU\n")
        print("| events a call | events/s | p50 ms | p99 ms | errors | server CPU µs/event | cores busy |\n|---|---|---|---|---|---|---|")
        for batch in map(int, args.batch.split(",")):
            flags = ["load", "--endpoint", url, "--users", users, "--events", "--batch", str(batch), "--json"]
            reports = []
            for n in range(args.runs + 1):
                # The first warms up.
                seconds = args.seconds if n else 2
                report = json.loads(run(*flags, "--rate", f"{args.rate / batch:g}", "--duration", f"{seconds}s"))
                total += report["answered"] * batch
                reports += [report] if n else []
            report = sorted(reports, key=lambda report: report["server"]["cpu_us"])[(args.runs - 1) // 2]
            errors = sum(report["errors"].values()) + report["not_sent"]
            reached &= report["users_per_second"] > 0.98 * args.rate and errors == 0
            cpu = report["server"]["cpu_us"] / batch
            cells = [f"{batch:,}", f"{report['users_per_second']:,.0f}", f"{report['p50_ms']:.1f}", f"{report['p99_ms']:.1f}"]
            cells += [str(errors), f"{cpu:.1f}", f"{cpu * report['users_per_second'] / 1e6:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
    finally:
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    out = f"{directory}/events.parquet"
    began = time.monotonic()
    summary = json.loads(run("export", "--events", f"{directory}/data/events", "--out", out, "--json"))
    seconds = time.monotonic() - began
    megabytes = sum(os.path.getsize(f"{directory}/data/events/{name}") for name in os.listdir(f"{directory}/data/events")) / 1e6
    print(f"\n{summary['rows']:,} events in the log ({megabytes:.0f} MB), {total:,} acknowledged; exported in {seconds:.1f} s")
    if summary["rows"] < total:
        sys.exit(f"acknowledged events are missing; the log is in {directory}")
    shutil.rmtree(directory)
    if not reached:
        sys.exit(f"fewer than {args.rate:,} events a second, or errors")


if __name__ == "__main__":
    main()
