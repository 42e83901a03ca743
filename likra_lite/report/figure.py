"""The learning curve as a picture, with matplotlib (extra ``report``)."""

from __future__ import annotations

import io
from typing import Any

from ..errors import import_extra
from ..experiments import Claims
from ..experiments.claims import RATIO_MODES
from .summary import summarize

__all__ = ["learning_curve_figure", "png", "svg"]

# Lines differ in dash and marker as well as in colour, so that they can be told apart in grey.
STYLES = {
    "likra": {"color": "#0072b2", "marker": "o", "linestyle": "-"},
    "base-likra": {"color": "#d55e00", "marker": "s", "linestyle": "-"},
    "sft": {"color": "#009e73", "marker": "^", "linestyle": "--"},
    "pos-base": {"color": "#cc79a7", "marker": "v", "linestyle": "--"},
}
FREE_STYLES = {"base": ":", "base per character": (0, (1, 3)), "pmi": "-."}
INK = "#123456"  # stands for the page's own text colour in an SVG


def learning_curve_figure(claims: Claims, ink: str = "black") -> Any:
    """Draw accuracy against examples, with bands of one standard error.

    Parameters
    ----------
    claims : Claims
    ink : str
        Colour of text and axes.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure_module = import_extra("matplotlib.figure", "report")
    figure = figure_module.Figure(figsize=(6.5, 5), layout="constrained")
    axes = figure.subplots()
    curves, hidden = summarize(claims.curve), summarize(claims.control)
    for name, row in zip(FREE_STYLES, claims.free, strict=True):
        axes.axhline(row.accuracy, label=name, color="#777777", linestyle=FREE_STYLES[name])
    for name, curve in curves.items():
        sizes, estimates = list(curve), list(curve.values())
        means = [e.accuracy for e in estimates]
        axes.plot(sizes, means, label=name, **STYLES[name])
        low = [e.accuracy - e.standard_error for e in estimates]
        high = [e.accuracy + e.standard_error for e in estimates]
        axes.fill_between(sizes, low, high, color=STYLES[name]["color"], alpha=0.15, linewidth=0)
    for name in RATIO_MODES:
        control = hidden[name]
        style = STYLES[name] | {"linestyle": ":", "alpha": 0.6, "markerfacecolor": "none"}
        means = [e.accuracy for e in control.values()]
        axes.plot(list(control), means, label=f"{name}, question hidden", **style)
    axes.set_xscale("log", base=2)
    sizes = sorted({row.n_items for row in claims.curve})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("examples", color=ink)
    axes.set_ylabel(f"accuracy on {claims.n_test} test items", color=ink)
    axes.tick_params(colors=ink, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    figure.legend(
        frameon=False, fontsize="small", labelcolor=ink, loc="outside lower center", ncols=3
    )
    return figure


def png(claims: Claims) -> bytes:
    """Return the learning curve as a PNG file."""
    stream = io.BytesIO()
    learning_curve_figure(claims).savefig(stream, format="png", dpi=160)
    return stream.getvalue()


def svg(claims: Claims) -> str:
    """Return the learning curve as SVG that takes the text colour of its page."""
    figure = learning_curve_figure(claims, ink=INK)
    matplotlib = import_extra("matplotlib", "report")
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "likra-lite", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return text.replace("<svg ", '<svg role="img" aria-label="learning curve" ', 1)
