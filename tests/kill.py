"""The kill test: kill -9 at random moments, the same command again, the same result at the end.

    python tests/kill.py --rounds 8 --seed 0 [--strategy distil]

A round kills one training with a source round, one conversion with two workers over an earlier
set, and one export, several times each, and runs them again until they are done. What they leave
is compared with what the same commands leave when nobody disturbs them: weights bit by bit,
histories, metrics, predictions and records byte by byte, exports by their answers.

A kill aims at a moment (a file that appears, then a random delay). Where it fell is read from
what it left behind; a process that ended before its kill came is not counted.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Fall:
    """One kill, or the comparison after the last one (`aimed` is empty)."""

    job: str
    aimed: str
    fell: str
    verdict: str


def kill_and_compare(
    job, folder: Path, reference: Path, aims: list, random_: random.Random
) -> Iterator[Fall]:
    """Kills a job at the moments `aims`, lets it finish, and compares; yields every kill."""
    job.prepare(folder)
    for moment in aims:
        fell = job.kill(folder, moment, random_)
        if fell is None:
            yield Fall(job.name, moment.name, "ended before", "not counted")
            if job.name == "train":
                break
            continue
        yield Fall(job.name, moment.name, fell, "; ".join(job.check_after_kill(folder)) or "whole")
    if job.name == "train" and (folder / "run" / "metrics.json").exists():
        for lock in folder.rglob("*.lock"):  # a kill after the end: the next command's to take over
            lock.unlink()
    else:
        if job.name == "export" and (folder / "export").exists():
            shutil.rmtree(folder / "export")  # likewise: nothing is overwritten
        job.finish(folder)
    found = job.differences(folder, reference)
    yield Fall(job.name, "", "finished", "; ".join(found) or "identical")


def _make_inputs(folder: Path) -> tuple[Path, Path]:
    """Class folders of small scenes, and of many noisy images that take a while to convert."""
    from PIL import Image

    from rssc_tf.demo.scenes import draw

    scenes, noise = folder / "scenes", folder / "noise"
    generator = np.random.default_rng(0)
    for name in ("farmland", "forest", "parking", "river"):
        (scenes / name).mkdir(parents=True)
        (noise / name).mkdir(parents=True)
        for number in range(10):
            pixels = draw("target", name, number, 48)
            Image.fromarray(pixels).save(scenes / name / f"{number}.jpg", quality=95)
        for number in range(60):
            pixels = generator.integers(0, 256, (300, 300, 3), np.uint8)
            Image.fromarray(pixels).save(noise / name / f"{number}.jpg", quality=95)
    return scenes, noise


def _convert(images: Path, out: Path, *flags: str) -> Path:
    words = ["-m", "rssc_tf", "convert", str(images), "--out", str(out), *flags]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    return out


def main() -> int:
    from tests.kill_jobs import Conversion, Export, Training

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=3, help="a round, of the training")
    parser.add_argument("--strategy", default="in-domain", help="with a source round")
    parser.add_argument("--out", type=Path, help="working folder, kept; else a temporary one")
    arguments = parser.parse_args()
    base = arguments.out or Path(tempfile.mkdtemp(prefix="rssc-tf-kill-"))
    random_ = random.Random(arguments.seed)

    scenes, noise = _make_inputs(base)
    records = _convert(
        scenes, base / "target", "--train-fraction", "0.5", "--val-fraction", "0.2", "--seed", "3"
    )
    source = _convert(scenes, base / "source", "--train-fraction", "0.6", "--seed", "4")
    earlier = _convert(noise, base / "earlier", "--seed", "0", "--size", "64")
    flags = ("--backbone", "tiny", "--image-size", "32", "--batch-size", "8", "--epochs", "5")
    teacher = base / "teacher"
    if arguments.strategy == "distil":
        Training(records, flags).finish(teacher)
        flags += ("--teacher", str(teacher / "run"))
    training = Training(records, (*flags, "--source-epochs", "5"), source, arguments.strategy)
    reference = base / "reference"
    training.finish(reference)
    export = Export(reference / "run", scenes / "river")
    export.finish(reference)
    conversion = Conversion(noise, earlier)
    conversion.prepare(reference)
    conversion.finish(reference)
    print(f"the undisturbed jobs are in {reference}", flush=True)

    falls: list[tuple[int, Fall]] = []
    for number in range(arguments.rounds):
        alone = Conversion(noise, earlier, parent_only=bool(number % 2))
        plans = (
            (training, sorted(random_.sample(range(len(training.moments)), arguments.kills))),
            (alone, random_.choices(range(len(alone.moments)), k=2)),
            (export, random_.choices(range(len(export.moments)), k=1)),
        )
        for job, chosen in plans:
            folder = base / f"round-{number}" / job.name.split()[0]
            aims = [job.moments[index] for index in chosen]
            for fall in kill_and_compare(job, folder, reference, aims, random_):
                falls.append((number, fall))
                print(number, fall.job, fall.aimed, fall.fell, fall.verdict, sep=" | ", flush=True)

    counted = [f for _, f in falls if f.aimed and f.verdict != "not counted"]
    ends = [f for _, f in falls if not f.aimed]
    bad = [f for f in counted if f.verdict != "whole"] + [
        f for f in ends if f.verdict != "identical"
    ]
    by_job = {
        job: sum(f.job.startswith(job) for f in counted) for job in ("train", "convert", "export")
    }
    print(f"{len(counted)} kills ({by_job}), {len(ends)} jobs finished, {len(bad)} differences")
    if not arguments.out:
        shutil.rmtree(base)
    return int(bool(bad))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
