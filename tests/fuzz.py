"""The fuzz test: damaged and hostile files for every reader.

    python tests/fuzz.py --count 10000 --seed 0

Real files (and drawn ones) are mutated: bits, cuts, repetitions, forged lengths and sides, odd
text, sizes that lie, lists that share each other, special files in the place of a file. A reader
may read the result or refuse it with its own one-line error; any other exception, a file that a
pickle or a name left behind, a read of half a minute or one that waits is a failure, and its input
is kept.
"""

import argparse
import os
import random
import resource
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def all_kinds(folder: Path, records: Path, run: Path, export: Path, real: Path | None) -> list:
    """Every reader; `records`, `run` and `export` are whole, and stay so."""
    from tests.fuzzing.documents import card_kind, json_kind, model_kind, settings_kind
    from tests.fuzzing.images import image_kind, request_kind
    from tests.fuzzing.shards import record_kind
    from tests.fuzzing.special import special_kind
    from tests.fuzzing.tables import label_kind, pickle_kind, split_kind
    from tests.fuzzing.weights import array_kind, hdf5_kind, torch_kind

    folder.mkdir(parents=True, exist_ok=True)
    return [
        image_kind(folder, real),
        label_kind(folder, real),
        split_kind(folder, real),
        pickle_kind(folder),
        card_kind(folder, records),
        settings_kind(folder),
        record_kind(folder, records),
        request_kind(export, real),
        model_kind(folder, run),
        json_kind(folder, run),
        torch_kind(folder),
        hdf5_kind(folder, run),
        array_kind(folder),
        special_kind(folder, records, run),
    ]


def _make_run(base: Path) -> tuple[Path, Path, Path]:
    """Records of drawn scenes, a run of one epoch and its export."""
    from PIL import Image

    from rssc_tf.cli import main
    from rssc_tf.demo.scenes import draw
    from tests import tiny

    for name in ("farmland", "forest", "parking", "river"):
        (base / "images" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(draw("target", name, number, 40))
            picture.save(base / "images" / name / f"{number}.jpg")
    tiny.register()
    records, run, export = base / "records", base / "run", base / "export"
    commands = (
        ("convert", base / "images", "--out", records, "--train-fraction", "0.5"),
        ("train", "--strategy", "scratch", "--target", records, "--out", run, *tiny.SMALL),
        ("export", run, "--out", export),
    )
    for command in commands:
        assert main([str(word) for word in command]) == 0, command
    return records, run, export


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of kinds")
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    arguments = parser.parse_args()
    from tests.conftest import data_folder
    from tests.fuzzing.mutation import fuzz

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    failures = total = 0
    with tempfile.TemporaryDirectory(prefix="rssc-tf-fuzz-") as scratch:
        os.environ["RSSC_TF_CACHE"] = f"{scratch}/cache"
        real = data_folder() if (data_folder() / "data").is_dir() else None
        kinds = all_kinds(Path(scratch, "fuzz"), *_make_run(Path(scratch)), real)
        kinds = [kind for kind in kinds if not arguments.only or kind.name in arguments.only]
        weights = sum(kind.weight for kind in kinds)
        for kind in kinds:
            count = round(arguments.count * kind.weight / weights)
            result = fuzz(
                kind, count, random.Random(f"{kind.name} {arguments.seed}"), arguments.keep
            )
            total += count
            failures += len(result.failures)
            print(
                f"{kind.name:12} {count:6} inputs: {result.read:5} read, "
                f"{result.refused:5} refused, {len(result.failures)} failures, "
                f"{result.seconds:.0f} s, the slowest {result.slowest:.2f} s",
                flush=True,
            )
            for failure in result.failures[:5]:
                print(failure, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} inputs, {failures} failures, peak memory {peak:.0f} MB")
    return int(failures > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
