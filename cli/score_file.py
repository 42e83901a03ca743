"""Scoring a file, or a folder of files, so that the same command goes on after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .opening import identity_of, stream_items
from .records import FOR_PEOPLE, format_of, is_standard_output, open_records
from .tally import Tally

if TYPE_CHECKING:
    from likra_lite.heads.opened import Opened

__all__ = ["FileScorer"]

FINISHED = "_finished.jsonl"  # in a folder of scored parts: what was made of which


@dataclass(frozen=True)
class FileScorer:
    """What all files are scored with.

    Parameters
    ----------
    opened : Opened
    columns : mapping
        Further ones, see :data:`likra_lite.scoring.rows.Columns`.
    options : mapping
        What the records depend on besides the model and the items.
    n_jobs : int or None
    strict : bool
    """

    opened: Opened
    columns: Mapping[str, Any]
    options: Mapping[str, Any]
    n_jobs: int | None
    strict: bool

    def score(self, items: str, out: str | None, form: str | None) -> tuple[int, Tally]:
        """Score a file of items, and return their number and what became of them."""
        from likra_lite.progress import progress_bar
        from likra_lite.scoring.jobs import stream_chunks
        from likra_lite.scoring.rows import row_types, rows_of
        from likra_lite.system.atomic import partial_path

        scorer, decision, _, _ = self.opened
        total, incoming = stream_items(items, "test")
        form = format_of(out, form)
        asked = form in FOR_PEOPLE
        types = row_types(decision, self.columns, asked)
        found, done = Tally(), 0
        try:
            with (
                progress_bar(total, "scoring") as bar,
                open_records(
                    out, form, types, self.identity(items, form), getattr(incoming, "format", None)
                ) as records,
            ):
                if records.state is not None:
                    done = records.state["items"]
                    found.take(records.state["tally"])
                    click.echo(f"likra-lite: going on behind item {done} of {total}", err=True)
                    bar.update(done)
                left = islice(incoming, done, None)
                for chunk in stream_chunks(
                    scorer, left, decision.heads, self.n_jobs, bar.update, self.strict, done
                ):
                    rows = list(rows_of(chunk, done, decision, self.columns, asked))
                    found.add(chunk, rows)
                    behind = done + len(chunk.items)
                    records.write(rows, {"items": behind, "tally": found.state()})
                    done = behind
        except KeyboardInterrupt:
            if done and not is_standard_output(out):
                kept = partial_path(str(out))
                click.echo(f"likra-lite: {done} of {total} items are scored in {kept}", err=True)
            raise
        found.warn(total, scorer.model.manifest.max_length)
        return total, found

    def score_parts(
        self, parts: Mapping[Path, Path], folder: Path, form: str | None
    ) -> tuple[int, Tally]:
        """Score files to files, but for those that were finished before."""
        finished = _read_finished(folder)
        total, found = 0, Tally()
        for place, (part, target) in enumerate(parts.items(), start=1):
            name = target.relative_to(folder).as_posix()
            identity = self.identity(str(part), format_of(str(target), form))
            known = finished.get(name)
            if known is None or known["identity"] != identity or not target.is_file():
                click.echo(f"likra-lite: part {place} of {len(parts)}", err=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                count, tally = self.score(str(part), str(target), form)
                known = {"identity": identity, "items": count, "tally": tally.state()}
                with (folder / FINISHED).open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps({"part": name, **known}) + "\n")
            total += known["items"]
            found.take(known["tally"])
        return total, found

    def identity(self, items: str, form: str) -> str:
        """Return a checksum of all that the records of a file depend on."""
        from likra_lite import __version__

        scorer, decision, _, _ = self.opened
        parts = {
            "version": __version__,
            "items": identity_of(items),
            "model": scorer.model.manifest.fingerprint,
            "chunk": scorer.chunk_size,
            "prompt": scorer.prompt.settings(),
            "heads": {
                name: None if head is None else head.key.hex()
                for name, head in scorer.fitted.items()
            },
            "decision": decision.to_json(),
            "options": dict(self.options),
            "format": form,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _read_finished(folder: Path) -> dict[str, Any]:
    """Return what is known of the parts that were finished; a line that was cut counts for none."""
    found: dict[str, Any] = {}
    path = folder / FINISHED
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                note = json.loads(line)
                found[note.pop("part")] = note
            except (ValueError, KeyError):
                continue
    return found
