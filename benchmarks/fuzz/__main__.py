"""Attack the whole toolkit with random damage, and count what is not one clear line.

    python benchmarks/fuzz --seed 0 --files 1000 --folders 500 --caches 300 --kills 60
    python benchmarks/fuzz --seed 0 --soak 60 --processes 8

Files of items, model folders and caches are damaged and used; commands are killed at random
moments and run again. With --soak, processes run random commands beside each other for so many
minutes instead. Prints a row of counts for each, and every case that went wrong. The same
seed makes the same cases, but for the moments of kills, which depend on the machine's speed.
Exits with 1 if anything went wrong. Linux only: commands run in forked processes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from caches import fuzz_caches
from folders import fuzz_folders
from item_files import fuzz_item_files
from kills import fuzz_kills
from objects import fuzz_objects
from runs import HEADER, Tally
from soak import soak

SHOWN = 20  # cases of one kind


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    for name, count in (
        ("files", 1000),
        ("folders", 500),
        ("caches", 300),
        ("kills", 60),
        ("objects", 9999),
    ):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="This, and nothing else.")
    parser.add_argument("--processes", type=int, default=8, help="Of the soak.")
    parser.add_argument("--keep", type=Path, help="Folder for the cases; removed if not given.")
    return parser.parse_args()


def _load() -> None:
    """Import in this process what the forked ones would each import."""
    import likra_lite.cli.main
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import tokenizers  # noqa: F401

    import likra_lite.estimator
    import likra_lite.heads.saved
    import likra_lite.questions.files  # noqa: F401


def _tell(tally: Tally) -> int:
    """Print the counts and cases of a tally; return the number of problems."""
    print(tally.line(), flush=True)
    for problem, cases in tally.problems.items():
        for case in cases[:SHOWN]:
            print(f"    {problem}: {case}", flush=True)
    return sum(map(len, tally.problems.values()))


def _fuzz(given: argparse.Namespace, folder: Path) -> Iterator[Tally]:
    """Do what is asked for."""
    if given.soak is not None:
        (folder / "soak").mkdir(parents=True)
        yield from soak(given.soak, given.processes, given.seed, folder / "soak")
        return
    parts: dict[str, Callable[[int, Random, Path], Tally]] = {
        "files": fuzz_item_files,
        "folders": fuzz_folders,
        "caches": fuzz_caches,
        "objects": fuzz_objects,
        "kills": fuzz_kills,
    }
    for name, fuzz in parts.items():
        if getattr(given, name):
            (folder / name).mkdir(parents=True)
            yield fuzz(getattr(given, name), Random(f"{given.seed} {name}"), folder / name)


def main() -> None:
    """Run what is asked for, and print the counts."""
    given = _arguments()
    os.environ["LIKRA_LITE_CACHE"] = "off"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    _load()
    start = time.perf_counter()
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        wrong = sum(map(_tell, _fuzz(given, given.keep or Path(scratch))))
    print(f"seed {given.seed}, {time.perf_counter() - start:.0f} s, {wrong} problems")
    sys.exit(min(wrong, 1))


if __name__ == "__main__":
    main()
