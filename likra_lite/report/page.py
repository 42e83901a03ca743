"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import html

from ..experiments import Claims
from .figure import svg
from .summary import findings
from .text import tables

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
figure { margin: 0; overflow-x: auto; }
figure svg { width: 100%; height: auto; min-width: 32rem; }
pre { overflow-x: auto; font: 0.85rem/1.4 ui-monospace, monospace; }
code { overflow-wrap: anywhere; }
"""


def page(claims: Claims, title: str, sources: str, command: str) -> str:
    """Return a page with the figure, the findings and the tables.

    Parameters
    ----------
    claims : Claims
    title : str
    sources : str
        Which items and which model.
    command : str
        What repeats it.

    Returns
    -------
    str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure = svg(claims)
    sentences = "".join(f"<li>{html.escape(line)}</li>" for line in findings(claims))
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        f"<p>{html.escape(sources)}</p>\n<ul>{sentences}</ul>\n<figure>{figure}</figure>\n"
        f"<pre>{html.escape(tables(claims))}</pre>\n"
        f"<p>Made with <code>{html.escape(command)}</code></p>\n</body>\n</html>\n"
    )
