"""Score a folder of Parquet or JSON lines parts with Dask, on this machine or on a cluster.

    python examples/scale_dask.py items/ scores/ --model my-model
    python examples/scale_dask.py items/ scores/ --model my-model --cluster tcp://10.0.0.1:8786

Needs: pip install "likra-lite[cluster,data]" "dask[dataframe]"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dask.dataframe as dd
import pyarrow as pa
from dask.distributed import Client, LocalCluster

from likra_lite import score_frame

ARROW = {
    "string": pa.string(),
    "Int64": pa.int64(),
    "boolean": pa.bool_(),
    "object": pa.list_(pa.float64()),
}


def main() -> None:
    """Read parts, score each where it lies, and write parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--model", help="model folder that all workers see [the bundled one]")
    parser.add_argument("--answers", help="how answers are written, such as letter or index")
    parser.add_argument("--cluster", help="address of a scheduler [two processes here]")
    given = parser.parse_args()
    cluster = given.cluster or LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    )
    with Client(cluster):
        if any(given.items.glob("*.parquet")):
            frame = dd.read_parquet(given.items)
        else:
            frame = dd.read_json(given.items / "*.jsonl", lines=True)
        options = {"model": given.model, "answers": given.answers}
        empty = score_frame(frame._meta, **options)  # tells Dask the columns
        scored = frame.map_partitions(score_frame, **options, meta=empty)
        schema = pa.schema([(name, ARROW[str(kind)]) for name, kind in empty.dtypes.items()])
        scored.to_parquet(given.scores, schema=schema, write_index=False)


if __name__ == "__main__":
    main()
