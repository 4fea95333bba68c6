"""The result of a bench as a table for the terminal."""

from statistics import median

from rich.console import Console
from rich.table import Table


def print_result(result: dict) -> None:
    """Prints what one of the benches returned."""
    console = Console(soft_wrap=True)
    baseline, ceiling = result["baseline"], result["ceiling"]
    console.print(
        f"bench {result['bench']}: images per second, processor milliseconds per image, medians "
        f"as multiples of {baseline!r}" + (f" and {ceiling!r}" if ceiling else "")
    )
    table = Table("variant", box=None)
    for column in ["min", "median", "max", "CPU ms", "x base"] + ["x ceiling"] * bool(ceiling):
        table.add_column(column, justify="right")
    for row in result["variants"]:
        rates = [_number(row["images_per_second"][key]) for key in ("min", "median", "max")]
        cells = [*rates, _number(row["cpu_ms_per_image"]), f"{row['ratio_to_baseline']:.2f}"]
        if ceiling:
            cells.append(f"{row['ratio_to_ceiling']:.2f}")
        table.add_row(row["variant"], *cells)
    console.print(table)
    for row in result.get("stall", ()):
        console.print(
            f"{row['variant']}: images take {100 * row['stall']:.1f}% of the step "
            f"({100 * row['min']:.1f} to {100 * row['max']:.1f} in the rounds)"
        )
    if "workers" in result:
        workers = result["workers"]
        console.print(f"{workers['count']} workers: x {workers['ratio_to_one']:.2f} of one")
    for name, rates in result.get("verify_mb_per_second", {}).items():
        console.print(f"verify {name}: {median(rates):.0f} MB/s ({min(rates)} to {max(rates)})")
    for row in result.get("memory", ()):
        peak = row["peak_bytes"] / 2**20
        console.print(f"largest process, {row['images']} images: {peak:.0f} MiB")
    if "answers" in result:
        _print_service(console, result)
    if "peak_memory" in result:
        console.print(f"memory peak of this process: {result['peak_memory'] / 2**20:.0f} MiB")
    machine = result["machine"]
    load = f", load {machine['load_average'][0]}" if "load_average" in machine else ""
    console.print(f"{machine['processor']}, {machine['cores']} cores{load}")


def _print_service(console: Console, result: dict) -> None:
    latency, answers, memory = result["latency_ms"], result["answers"], result["server_memory"]
    console.print(
        f"{answers['good']} answered rightly, {answers['refused']} bad ones refused with a reason, "
        f"{answers['wrong']} wrong; p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms; "
        f"{result['mean_batch']:.1f} images a batch"
    )
    warm, end = (memory[key] / 2**20 for key in ("warm_bytes", "end_bytes"))
    console.print(f"memory of the server: {warm:.0f} MiB after a round, {end:.0f} at the end")


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
