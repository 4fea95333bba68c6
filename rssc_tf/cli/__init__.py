"""The command line: one file a command. TensorFlow is imported by the commands that need it."""

import functools
import io
import re
import sys
import warnings
from collections.abc import Sequence

import typer

from rssc_tf.cli import (
    audit,
    bench,
    compare,
    convert,
    datasets,
    demo,
    doctor,
    evaluate,
    export,
    map,
    predict,
    probe,
    rank,
    report,
    serve,
    train,
    verify,
    weights,
)
from rssc_tf.cli.words import arguments_of, spread
from rssc_tf.training.interrupts import Stopped
from rssc_tf.version import __version__
from tfrecords_tools.common.errors import RsscError, as_flags
from tfrecords_tools.common.names import printable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which pre-training gives the best classifier for your overhead photographs?",
)


def _version(show: bool) -> None:
    if show:
        print(f"rssc-tf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


for _module in (
    datasets,
    convert,
    verify,
    audit,
    train,
    evaluate,
    probe,
    rank,
    compare,
    report,
    export,
    predict,
    map,
    serve,
    demo,
    doctor,
):
    app.command(_module.NAME, help=_module.__doc__)(_module.command)
app.add_typer(weights.app, name="weights")
app.add_typer(bench.app, name="bench")

_SURROGATE = re.compile("[\udc80-\udcff]")  # as Python has a byte of a name that is no UTF-8
_LONGEST = 2000  # characters of a message; a damaged list can have longer names


def _one_line(message: object) -> str:
    """Names of files and classes come from elsewhere: no line breaks, no terminal's commands."""
    text = " ".join(str(message).split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return printable(text)


def _say(message: object, words: Sequence[str]) -> None:
    """One line on standard error, with parameters as the command of `words` has them."""
    text = as_flags(str(message), arguments_of(_commands(), words))
    print(f"rssc-tf: {_one_line(text)}", file=sys.stderr)


@functools.cache  # a tenth of a second, for hundreds of flags
def _commands():
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 done, 1 the data or the run is at fault (one line on standard error), 2 usage,
        130 and 143 after Ctrl-C and SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A pipe on Windows has an old code page, and names of files and classes any letters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            # A warning is one line too, and names no line of our source.
            warnings.showwarning = lambda message, *_: _say(f"warning: {message}", arguments)
            commands = _commands()
            commands(spread(commands, arguments), prog_name="rssc-tf", standalone_mode=True)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except RsscError as error:
        _say(error, arguments)
        return 1
    except OSError as error:  # a full disk, a folder that may not be read: no fault of ours
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"rssc-tf: {_one_line(f'{where}{error.strerror}')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rssc-tf: interrupted", file=sys.stderr)
        return 130
    except Stopped as error:
        print(f"rssc-tf: {error}; the same command goes on from there", file=sys.stderr)
        return 128 + error.signum
    except Exception:
        odd = next(filter(_SURROGATE.search, arguments), None)
        if odd is None:
            raise
        # Python opens such files; TensorFlow does not, and fails in many ways.
        print(f"rssc-tf: {_one_line(odd)} is not valid UTF-8: use another name", file=sys.stderr)
        return 1
    return 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
