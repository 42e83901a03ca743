"""``python -m likra_lite``, and ``accelerate launch --module likra_lite``: the command line."""

from __future__ import annotations

from likra_lite.cli.main import main

main()
