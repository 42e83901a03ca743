"""The command group and the one place where errors become lines on stderr."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click

from likra_lite import __version__

from .cache import cache
from .compare import compare
from .curve import curve
from .demo import demo
from .evaluate import evaluate
from .export import export
from .fit import fit
from .import_adapters import import_adapters
from .inspect import inspect
from .inspect_file import inspect_file
from .quantize import quantize
from .score import score

__all__ = ["group", "main"]

# What a shell reports of a program that SIGINT or SIGPIPE has ended.
INTERRUPTED = 130
OUTPUT_CLOSED = 141

# What the dynamic loader, the C++ library and ONNX Runtime say where memory is short.
NO_MEMORY = (
    "failed to map segment",
    "annot allocate memory",
    "ailed to allocate memory",
    "bad_alloc",
    "bad allocation",
)


class _OutputClosedError(Exception):
    """The reader of the standard output has left."""


class _Group(click.Group):
    """A command group that writes all its output, and leaves a closed pipe to :func:`main`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            raise _OutputClosedError from None


# A stack trace helps the authors, one line helps the user.
@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Errors are one line on stderr; --debug on any command shows the traceback.",
)
@click.version_option(__version__, prog_name="likra-lite")
def group() -> None:
    """Score multiple-choice answers by a likelihood ratio that learns from wrong answers."""


for command in (
    demo,
    export,
    quantize,
    fit,
    import_adapters,
    score,
    evaluate,
    inspect,
    inspect_file,
    curve,
    compare,
    cache,
):
    group.add_command(command)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from likra_lite.errors import printable

    click.echo(f"likra-lite: warning: {printable(str(message))}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    The exit status is 0 if all went well, 1 after an error, 2 for a wrong command line, 3 if
    some items could not be scored, 130 after Ctrl-C, and 141 if the reader of the output has
    left.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if sys.stdout is None:  # closed by the shell: writing is to fail, not having nowhere to write
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115
    debug = "--debug" in arguments
    warnings.showwarning = _show_warning
    warnings.filterwarnings("default", category=UserWarning)
    try:
        group.main(arguments, prog_name="likra-lite", standalone_mode=False, obj=arguments)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("likra-lite: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except _OutputClosedError:
        _discard_output()  # as `head` does; so do we leave, quietly
        sys.exit(OUTPUT_CLOSED)
    except Exception as error:
        if debug:
            raise
        click.echo(f"likra-lite: error: {_describe(error)}", err=True)
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()
        sys.exit(1)


def _discard_output() -> None:
    """Let what could not be written go, or Python would try once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: Exception) -> str:
    from likra_lite.errors import LikraError, printable

    line = printable(" ".join(str(error).split()))
    if isinstance(error, LikraError):
        return line
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    if isinstance(error, MemoryError) or any(sign in line for sign in NO_MEMORY):
        return "out of memory; use a smaller model or fewer items"
    return f"unexpected {type(error).__name__}: {line}; run again with --debug and report it"
