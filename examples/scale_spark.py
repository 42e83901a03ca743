"""Score a folder of Parquet or JSON lines parts with Spark, on this machine or on a cluster.

    python examples/scale_spark.py items/ scores/ --model my-model
    spark-submit --master yarn examples/scale_spark.py items/ scores/ --model my-model

Needs: pip install "likra-lite[data]" pyspark pandas, and Java 17
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession

from likra_lite import score_frame

SPARK = {"string": "string", "Int64": "bigint", "boolean": "boolean", "object": "array<double>"}


def main() -> None:
    """Read parts, score each where it lies, and write parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--model", help="model folder that all machines see [the bundled one]")
    parser.add_argument("--answers", help="how answers are written, such as letter or index")
    given = parser.parse_args()
    options = {"model": given.model, "answers": given.answers}

    def score(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            yield score_frame(frame, **options)

    spark = SparkSession.builder.appName("likra-lite").getOrCreate()
    is_parquet = any(given.items.glob("*.parquet"))
    reader = spark.read.parquet if is_parquet else spark.read.json
    empty = score_frame(pd.DataFrame(), **options)
    schema = ", ".join(f"`{name}` {SPARK[str(kind)]}" for name, kind in empty.dtypes.items())
    scored = reader(str(given.items.resolve())).mapInPandas(score, schema)
    scored.write.parquet(str(given.scores.resolve()))
    spark.stop()


if __name__ == "__main__":
    main()
