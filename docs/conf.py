"""How the documentation is built: ``sphinx-build -W docs build/docs``."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

from likra_lite import __version__

HERE = Path(__file__).resolve().parent

project = "likra-lite"
author = "the likra-lite authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"likra-lite {release}"

# A page for each room, with what its modules make public.
apidoc_modules = [
    {
        "path": str(HERE.parent / "likra_lite"),
        "destination": "reference/rooms",
        "exclude_patterns": ["**/__main__.py"],
        "separate_modules": False,
        "max_depth": 2,
        "module_first": True,
    }
]
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "ignore-module-all": True,  # a room's names stand where they are defined, once
    "exclude-members": ", ".join(f"set_{method}_request" for method in ("fit", "score")),
}
autodoc_typehints = "none"  # docstrings name the types
numpydoc_show_class_members = False

# Names of our own must lead somewhere; other libraries' are not looked up, so that no build
# needs a network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!likra_lite).*"), (r"py:data", r".*")]


def _lead_home(app: Any, environment: Any, node: Any, contents: Any) -> Any:
    """Lead from where a name is public, ``likra_lite.Item``, to where it is documented."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("likra_lite."):
        return None
    try:
        found = pkgutil.resolve_name(target)
    except (ImportError, AttributeError):
        return None
    home = f"{found.__module__}.{found.__qualname__}" if callable(found) else target
    if home == target:
        return None
    domain, source = environment.get_domain("py"), node.get("refdoc")
    return domain.resolve_xref(
        environment, source, app.builder, node["reftype"], home, node, contents
    )


def setup(app: Any) -> None:
    """Connect what this file adds to Sphinx."""
    app.add_lexer("mermaid", TextLexer)  # the diagram is text here, and drawn where that is known
    app.connect("missing-reference", _lead_home)
