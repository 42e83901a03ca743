"""Score a folder of Parquet or JSON lines parts with Ray Data, on this machine or on a cluster.

    python examples/scale_ray.py items/ scores/ --model my-model

Needs: pip install "likra-lite[data]" "ray[data]" pandas
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ray

from likra_lite import score_frame


def main() -> None:
    """Read parts, score them in batches, and write parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--model", help="model folder that all machines see [the bundled one]")
    parser.add_argument("--answers", help="how answers are written, such as letter or index")
    given = parser.parse_args()
    ray.init()  # or the cluster that RAY_ADDRESS names
    is_parquet = any(given.items.glob("*.parquet"))
    read = ray.data.read_parquet if is_parquet else ray.data.read_json
    options = {"model": given.model, "answers": given.answers}
    scored = read(str(given.items.resolve())).map_batches(
        score_frame, fn_kwargs=options, batch_format="pandas", batch_size=1024
    )
    scored.write_parquet(str(given.scores.resolve()))


if __name__ == "__main__":
    main()
