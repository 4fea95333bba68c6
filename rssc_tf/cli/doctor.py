"""Look at this machine, and try a training step, a forward pass and an export on it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from tfrecords_tools.common.errors import as_flags
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "doctor"


def command(
    as_json: Annotated[bool, Option("--json", help="Print JSON alone.")] = False,
    quick: Annotated[bool, Option("--quick", help="Only look: no steps, no exports.")] = False,
) -> None:
    import_tensorflow()
    from rssc_tf.doctor.machine import look_at_machine
    from rssc_tf.doctor.weights import look_for_weights

    machine, weights = look_at_machine(), look_for_weights()
    if not as_json:
        _print_machine(machine, weights)
    trials = [] if quick else _try_all(show=not as_json)
    failed = [trial for trial in trials if trial["failed"]]
    sound = not (failed or machine["problems"])
    if as_json:
        content = {"sound": sound, **machine, "weights": weights, "trials": trials}
        typer.echo(json.dumps(content, indent=1))
    else:
        _print_end(machine["problems"], trials, failed)
    if not sound:
        raise typer.Exit(1)


def _try_all(show: bool) -> list[dict]:
    from rssc_tf.doctor.trials import PARTS, combinations, run_trials
    from tfrecords_tools.common.progress import progress_bar

    if show:
        typer.echo(
            f"\n{'tried, seconds with tracing:':<38}" + "".join(f"{part:>10}" for part in PARTS)
        )
    made = []
    planned = combinations()
    with progress_bar("trying", len(planned), "trial") as bar:
        for trial in run_trials():
            made.append(asdict(trial))
            coming = planned[len(made) :]
            bar(1, note=" ".join(coming[0]) if coming else "")
    if show:
        for trial in made:
            typer.echo(_line(trial, PARTS))
    return made


def _line(trial: dict, parts: tuple[str, ...]) -> str:
    name = f"  {trial['device']} {trial['kind']} {trial['precision']}"
    cells = []
    for part in parts:
        if part in trial["seconds"]:
            cells.append(f"{trial['seconds'][part]:.1f}")
        else:
            cells.append("fails" if part == trial["failed"] else "-")
    return f"{name:<38}" + "".join(f"{cell:>10}" for cell in cells)


def _print_machine(machine: dict, weights: list[dict]) -> None:
    versions = ", ".join(
        f"{name} {found or 'absent'}" for name, found in machine["versions"].items()
    )
    cache = machine["cache"]
    lines = [
        ("versions", versions),
        ("processor", f"{machine['cores']} cores, {_size(machine['memory'])} of memory free"),
        ("GPUs", _gpus(machine)),
        ("disk", f"{_size(machine['disk']['here'])} free here"),
        (
            "cache",
            f"{cache['folder']}: {_size(cache['bytes'])}, {_size(machine['disk']['cache'])} free",
        ),
        *(("weights", line) for line in _weights(weights)),
    ]
    shown = ""
    for name, text in lines:
        typer.echo(f"{name if name != shown else '':<10}{text}")
        shown = name


def _gpus(machine: dict) -> str:
    nvidia = machine["nvidia"]
    found = ", ".join(machine["gpus"]) or "none that TensorFlow sees"
    if not nvidia:
        return found
    opened, missing = len(nvidia["opened"]), nvidia["missing"]
    libraries = f"{opened} of {opened + len(missing)} libraries open"
    lacking = f" (not {', '.join(missing)})" if missing else ""
    there = "" if machine["gpus"] else f"; there are {', '.join(nvidia['gpus']) or 'some'}"
    return (
        f"{found}{there}; NVIDIA's driver {nvidia['driver']}, CUDA {nvidia['cuda']}: "
        f"{libraries}{lacking}"
    )


def _weights(rows: list[dict]) -> list[str]:
    """A line a state: names, and where they are."""
    lines = []
    for state in dict.fromkeys(row["state"] for row in rows):
        names = ", ".join(row["name"] for row in rows if row["state"] == state)
        hosts = sorted({row["where"] for row in rows if row["state"] == state})
        asked = f" ({', '.join(hosts)})" if state in ("to be fetched", "out of reach") else ""
        lines.append(f"{state}{asked}: {names}")
    return lines


def _print_end(problems: list[dict], trials: list[dict], failed: list[dict]) -> None:
    for problem in problems:
        typer.echo(f"\n{problem['what']}: {problem['reason']}\n  mend: {problem['mend']}")
    for trial in failed:
        where = f"{trial['device']} {trial['kind']} {trial['precision']}"
        typer.echo(f"\n{where}: the {trial['failed']} fails: {trial['reason']}")
        typer.echo(f"  mend: {as_flags(trial['mend'])}")
    if not problems and not failed:
        typer.echo("\nall is well" if trials else "\nnothing wrong is seen; nothing was tried")


def _size(count: int | None) -> str:
    if count is None:
        return "an unknown size"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
