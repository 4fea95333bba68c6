"""`rssc-tf bench serve`, tiny, through the command line."""

import json

import numpy as np
import pytest

from rssc_tf.bench import clients
from rssc_tf.bench.clients import bad_cases, good_case


@pytest.mark.slow
def test_serve(exported, scenes, cli, tmp_path):
    out = tmp_path / "serve.json"
    arguments = ["--requests", 60, "--clients", 6, "--batch-size", 4, "--rounds", 2]
    folder = scenes / "river"
    code, text, err = cli("bench", "serve", exported, "--images", folder, *arguments, "--json", out)
    assert code == 0, err
    assert "served, 6 clients" in text
    assert "114 answered rightly, 6 bad ones refused with a reason, 0 wrong" in text
    result = json.loads(out.read_text())
    rows = {row["variant"]: row for row in result["variants"]}
    assert set(rows) == {"direct, batch 4", "direct, one by one", "served, 6 clients"}
    for row in rows.values():
        assert row["images_per_second"]["min"] > 0 and row["cpu_ms_per_image"] > 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    assert 1 < result["mean_batch"] <= 4
    assert result["answers"] == {"good": 114, "refused": 6, "wrong": 0, "examples": []}
    assert result["server_memory"]["end_bytes"] > 0


def test_images_that_the_model_does_not_decode(exported, cli, tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    code, _, err = cli("bench", "serve", exported, "--images", tmp_path)
    assert code == 1
    assert "JPEG or PNG" in err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1], "without the answer"),
        ({}, "without the answer"),
        ({"predictions": []}, "without the answer"),
        ({"predictions": [7]}, "without the answer"),
        ({"predictions": [{"probabilities": [0.5, 0.5]}]}, "without the answer"),
        ({"predictions": [{"valid": True, "probabilities": ["a", {}]}]}, "without the answer"),
        ({"predictions": [{"valid": True, "probabilities": [0.5]}]}, "(1,) probabilities, not (2,"),
        ({"predictions": [{"valid": True, "probabilities": [0.5, float("nan")]}]}, "are off by"),
        ({"predictions": [{"valid": False, "probabilities": [0.5, 0.5]}]}, "are off by"),
        ({"predictions": [{"valid": True, "probabilities": [0.5, 0.5]}]}, ""),
    ],
)
def test_an_answer_of_another_shape_is_wrong(answer, said):
    case = good_case(b"", np.array([0.5, 0.5]))
    found = clients._check(case, 200, json.dumps(answer).encode())
    assert said in found and bool(found) == bool(said)


def test_a_list_is_no_reason():
    assert "400 to a bad request" in clients._check(bad_cases(b"")[0], 400, b"[1]")
