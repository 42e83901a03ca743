"""``likra-lite inspect-file``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import debug_option, items_argument

if TYPE_CHECKING:
    from likra_lite.questions.item import Item

__all__ = ["inspect_file"]

LONGEST = 200  # characters of a text


@click.command("inspect-file")
@items_argument
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="Number of items to show.",
)
@debug_option
def inspect_file(items: str, first: int) -> None:
    """Show how ITEMS, a file, is read, before anything is fitted or scored.

    Prints the format, the layout, how answers are written, what becomes the context, the fields
    that are not used, and the first items with a mark at the right choice.
    """
    from itertools import islice

    from .opening import open_items

    file = open_items(items)
    facts = {"items": str(len(file)), **file.facts()}
    click.echo(f"{file.source.place}\n")
    for name, words in facts.items():
        click.echo(f"{name:<10}{words}")
    for item in islice(file, first):
        click.echo("\n" + "\n".join(_lines(item)))


def _lines(item: Item) -> list[str]:
    """Return an item as lines; what is empty is left out."""
    from likra_lite.questions.answers import letter

    lines = [f"{item.source}" + (f" (id {_short(item.id)})" if item.id else "")]
    for name, text in (("context", item.context), ("question", item.question)):
        if text:
            lines.append(f"  {name:<10}{_short(text)}")
    for index, choice in enumerate(item.choices):
        mark = "*" if index == item.answer else " "
        before = f"{_short(item.contexts[index])} | " if item.contexts else ""
        lines.append(f"  {mark} {letter(index)}  {before}{_short(choice)}")
    return lines


def _short(text: str) -> str:
    from likra_lite.errors import printable

    return printable(" ".join(text.split()), LONGEST)
