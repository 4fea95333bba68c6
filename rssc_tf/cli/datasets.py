"""List the datasets that the toolkit knows."""

from typing import Annotated

from typer import Argument, Option

NAME = "datasets"


def command(
    name: Annotated[str | None, Argument(help="Show one in full.")] = None,
    as_json: Annotated[bool, Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    import json

    from tfrecords_tools.sources.catalogue import all_datasets, get_dataset

    known = [get_dataset(name)] if name else all_datasets()
    if as_json:
        content = [dataset.to_dict() for dataset in known]
        print(json.dumps(content[0] if name else content, indent=1, ensure_ascii=False))
    elif name:
        for key, value in known[0].to_dict().items():
            if isinstance(value, dict):
                value = ", ".join(f"{k} {v}" for k, v in value.items())
            elif isinstance(value, list | tuple):
                value = ", ".join(value)
            if value:
                print(f"{key.replace('_', ' ')}: {value}")
    else:
        _print_table(known)


def _print_table(known: list) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "task", "classes", "labels", "images", "px", "m/px", "licence")
    for dataset in known:
        table.add_row(
            dataset.name,
            dataset.task.replace("-label", ""),
            str(len(dataset.classes) or "-"),
            str(len(dataset.labels) or "-"),
            f"{dataset.images:,}",
            dataset.size,
            dataset.resolution,
            dataset.licence,
        )
    Console().print(table)
    print("more: rssc-tf datasets NAME (classes, citation, page, layout), --json")
