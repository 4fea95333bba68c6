"""Timing: rounds, medians, ratios; no figure is compared with a clock."""

import itertools
import json

from rssc_tf.bench.measure import Variant, describe_machine, interleave, summarise, write_json


def _timed(name: str, *rates: float) -> Variant:
    return Variant(name, iter, rates=list(rates), costs=[1.0] * len(rates))


def test_ratios_are_of_medians():
    variants = [_timed("base", 10, 30, 20), _timed("fast", 100, 50, 60), _timed("top", 80, 80, 80)]
    result = summarise(variants, "base", "top")
    assert (result["baseline"], result["ceiling"]) == ("base", "top")
    base, fast, top = result["variants"]
    assert fast["images_per_second"] == {
        "min": 50,
        "median": 60,
        "max": 100,
        "rounds": [100, 50, 60],
    }
    assert [row["ratio_to_baseline"] for row in (base, fast, top)] == [1, 3, 4]
    assert [row["ratio_to_ceiling"] for row in (base, fast, top)] == [0.25, 0.75, 1]
    assert "ratio_to_ceiling" not in summarise(variants, "base")["variants"][0]


def test_every_variant_is_timed_once_a_round_after_its_warm_up():
    calls = []

    def start(name):
        calls.append(name)
        return itertools.repeat(4)

    variants = [Variant(name, lambda name=name: start(name)) for name in "abc"]
    interleave("test", variants, rounds=5, seconds=0.0, warm_up=2)
    assert [len(variant.rates) for variant in variants] == [5, 5, 5]
    assert all(sorted(calls[i : i + 3]) == ["a", "b", "c"] for i in range(0, 15, 3))
    assert len({tuple(calls[i : i + 3]) for i in range(0, 15, 3)}) > 1


def test_work_that_ends_is_timed_to_its_end():
    done = []

    def work():
        for images in (1, 2, 3):
            done.append(images)
            yield images

    Variant("ends", work).time(float("inf"), warm_up=0)
    assert done == [1, 2, 3]


def test_processor_time_of_other_processes_is_not_claimed():
    variant = Variant("workers", lambda: iter([1]), own_process=False)
    variant.time(0.0, warm_up=0)
    assert summarise([variant], "workers")["variants"][0]["cpu_ms_per_image"] is None


def test_the_result_is_json_with_what_it_depends_on(tmp_path):
    write_json(tmp_path / "out.json", {"machine": describe_machine()})
    machine = json.loads((tmp_path / "out.json").read_text())["machine"]
    assert machine["cores"] >= 1
    assert len(machine["load_average"]) == 3
    assert "tensorflow" in machine["versions"]
