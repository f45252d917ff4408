"""Writes a bill of materials (CycloneDX 1.5, JSON) of the marquee binary, from `cargo metadata` and Cargo.lock.

usage: cargo metadata --locked --format-version 1 | python3 .ci/sbom.py > marquee.cdx.json
"""

import json
import re
import sys


def checksums(lock):
    """The checksum of each locked crate, by name and version."""
    found = {}
    for block in lock.split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(\w+) = "([^"]*)"$', block, re.M))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def built_in(metadata, root):
    """The ids of the crates that the binary is made of: no build and test dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached, waiting = set(), [root]
    while waiting:
        at = waiting.pop()
        if at in reached:
            continue
        reached.add(at)
        for needed in nodes[at]["deps"]:
            if any(kind["kind"] is None for kind in needed["dep_kinds"]):
                waiting.append(needed["pkg"])
    return reached, nodes


def main():
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    with open("Cargo.lock", encoding="utf-8") as lock:
        sums = checksums(lock.read())
    root = next(id for id, package in packages.items() if package["name"] == "marquee")
    reached, nodes = built_in(metadata, root)

    def reference(package):
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package, kind):
        entry = {
            "type": kind,
            "bom-ref": reference(package),
            "name": package["name"],
            "version": package["version"],
            "purl": reference(package),
        }
        if package["license"]:
            entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        checksum = sums.get((package["name"], package["version"]))
        if checksum:
            entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return entry

    rest = sorted((packages[id] for id in reached if id != root), key=reference)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], "application")},
        "components": [component(package, "library") for package in rest],
        "dependencies": [
            {
                "ref": reference(packages[id]),
                "dependsOn": sorted(
                    {reference(packages[dep["pkg"]]) for dep in nodes[id]["deps"] if dep["pkg"] in reached}
                ),
            }
            for id in sorted(reached, key=lambda id: reference(packages[id]))
        ],
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
