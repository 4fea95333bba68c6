"""Many clients at once, some of them with garbage: a small version of `rssc-tf bench serve`."""

from rssc_tf.bench.clients import bad_cases, good_case, mix, send_load
from rssc_tf.predict import predict_files
from tests.conftest import CLASSES


def test_every_answer_is_right_and_memory_does_not_grow(server, exported, scenes):
    files = sorted(scenes.glob("*/*.jpg"))
    expected = predict_files(exported, files)[[f"p_{name}" for name in CLASSES]].to_numpy()
    images = [file.read_bytes() for file in files]
    good = [good_case(image, row) for image, row in zip(images, expected, strict=True)]
    cases = mix(good, bad_cases(images[0]), 200, 0.05)
    path = f"/v1/models/{exported.name}:predict"
    memory = []
    for _ in range(3):
        outcome = send_load(server.address, path, cases, clients=16)
        assert outcome.wrong == []
        assert (outcome.good, outcome.bad) == (190, 10)
        assert len(outcome.seconds) == 190
        memory.append(server.measure("process_resident_memory_bytes"))
    # Batches were shared, or nothing was tested.
    assert server.measure("rssc_batch_images_sum") > 2 * server.measure("rssc_batch_images_count")
    assert memory[2] - memory[0] < 30e6


def test_wrong_answers_are_found(server, exported, scenes):
    path = f"/v1/models/{exported.name}:predict"
    image = min(scenes.glob("*/*.jpg")).read_bytes()
    right = predict_files(exported, str(min(scenes.glob("*/*.jpg"))))
    row = right[[f"p_{name}" for name in CLASSES]].to_numpy()[0]
    cases = [good_case(image, row), good_case(image, row + 0.01), good_case(b"x", row)]
    cases.append(good_case(image, None))  # an answer where a refusal is due
    outcome = send_load(server.address, path, cases, clients=2)
    assert outcome.good == 1 and outcome.bad == 0
    assert [text[:20] for text in sorted(outcome.wrong)] == [
        "200 to a bad request",
        "400 to a good reques",
        "probabilities are of",
    ]
