"""Cards (JSON), settings (YAML), and the model files of runs."""

import contextlib
import json
import random
from pathlib import Path

from tests.fuzzing.mutation import Kind, mutate


def odd_values(random_: random.Random) -> object:
    """A JSON value that nobody expects."""
    return random_.choice(
        (
            *(
                None,
                True,
                -1,
                0,
                2**70,
                1.5,
                float("nan"),
                float("inf"),
                "",
                "x",
                "../../x",
                "a\0b",
            ),
            *(
                "\n",
                "\ud800",
                "x" * 3000,
                [],
                {},
                [[]],
                {"a": {}},
                ["x"] * 3,
                "/abs",
                "CON",
                [None],
            ),
        )
    )


def mutate_json(data: bytes, random_: random.Random) -> bytes:
    """Bytes as any other, or a value somewhere inside for another one."""
    if random_.random() < 0.4:
        return mutate(data, random_)
    content = json.loads(data)
    for _ in range(random_.choice((1, 1, 2))):
        place, above = content, None
        while (
            isinstance(place, dict | list) and place and (above is None or random_.random() < 0.8)
        ):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            above = place, random_.choice(keys)
            place = above[0][above[1]]
        if above:
            if isinstance(above[0], dict) and random_.random() < 0.3:
                value = above[0].pop(above[1])
                if random_.random() < 0.5:
                    above[0][str(odd_values(random_))[:50]] = value
            else:
                above[0][above[1]] = odd_values(random_)
    if "sha256" in content and random_.random() < 0.7:
        from tfrecords_tools.records.card import _hash

        del content["sha256"]
        with contextlib.suppress(ValueError, TypeError):
            content["sha256"] = _hash(content)  # an edit by one who knows how to sign it
    return json.dumps(content).encode()


def card_kind(folder: Path, records: Path) -> Kind:
    from tfrecords_tools.records.card import read_card
    from tfrecords_tools.records.shards import check_shards

    copy = folder / "card"
    copy.mkdir()
    for shard in records.glob("*.tfrecord"):
        (copy / shard.name).symlink_to(shard)

    def read(data: bytes, random_: random.Random) -> None:
        (copy / "dataset.json").write_bytes(data)
        card = read_card(copy)
        assert card.side > 0 and len(card.sha256) == 64 and card.to_json()
        check_shards(copy, card)

    return Kind("cards", [(records / "dataset.json").read_bytes()], read, mutate_json, weight=2)


def settings_kind(folder: Path) -> Kind:
    import yaml

    from rssc_tf.settings import Settings
    from rssc_tf.settings_file import load_config, save_config

    file = folder / "settings.yaml"
    save_config(Settings("dap", "target", "source", epochs=3, learning_rate=1e-3), file)
    seed = file.read_bytes()
    laughs = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]

    def mutate_yaml(data: bytes, random_: random.Random) -> bytes:
        if random_.random() < 0.5 or data != seed:
            return mutate(data, random_)
        content = yaml.safe_load(data)
        content[random_.choice(list(content))] = odd_values(random_)
        return json.dumps(content).encode()  # JSON is YAML

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        settings = load_config(file)
        if not {"strategy", "target"} <= settings.keys():
            return  # the command says what is missing
        Settings(**settings)
        assert not Path("CANARY").exists(), "the settings ran"

    seeds = [
        seed,
        seed,
        "\n".join([*laughs, "epochs: *a39"]).encode(),
        b"strategy: scratch\ntarget: x",
    ]
    seeds.append(b"[" * 3000)
    return Kind("settings", seeds, read, mutate_yaml, weight=2)


def json_kind(folder: Path, run: Path) -> Kind:
    """What a run says of itself, read back by the commands that go on from it."""
    from rssc_tf.evaluation.calibration import read_calibration
    from tfrecords_tools.common.json_files import read_json
    from tfrecords_tools.records.card import read_card

    file = folder / "calibration.json"
    classes = read_card(run).classes
    names = ("calibration.json", "metrics.json", "stages.json", "environment.json")
    seeds = [(run / name).read_bytes() for name in names]
    deep = [b"[" * 9999, b'{"a":' * 9999, b"[" * 90 + b"]" * 90, b"[" + b"[]," * 9999 + b"0]"]

    def mutate_text(data: bytes, random_: random.Random) -> bytes:
        way = random_.randrange(6)
        if way == 0:
            return random_.choice(deep)
        if way == 1:
            return data.decode().encode(random_.choice(("utf-16", "utf-32", "utf-8-sig")))
        if way == 2:
            at = data.find(b":") + 1
            odd = (b"NaN,", b"-Infinity", b"1e999", b"9" * 5000, b'"\\ud800"', b"[" * 5000)
            return data[:at] + random_.choice(odd) + data[at:]
        return mutate_json(data, random_)

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        content = read_json(file)
        json.dumps(content, allow_nan=False).encode()  # nothing in it is a trap for what follows
        read_calibration(folder, classes)

    return Kind("JSON", seeds, read, mutate_text, weight=2)


def model_kind(folder: Path, run: Path) -> Kind:
    from rssc_tf.runs import load_model

    copy = folder / "run"
    copy.mkdir()

    def read(data: bytes, random_: random.Random) -> None:
        (copy / "model.keras").write_bytes(data)
        load_model(copy)

    return Kind("models", [(run / "model.keras").read_bytes()], read, weight=0.3)
