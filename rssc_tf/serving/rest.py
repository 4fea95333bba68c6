"""TensorFlow Serving's predict API: JSON -> rows of a signature -> JSON.

Written from the public description, "RESTful API" of the TensorFlow Serving guide
(`tensorflow_serving/g3doc/api_rest.md`): the row format (`instances` to `predictions`), the
columnar format (`inputs` to `outputs`), and `{"b64": ...}` for binary values.

A Python object takes many times the bytes of the text it is made from, so what a text holds is
counted before it is parsed. Base64 has none of the letters that are counted.
"""

import base64
import binascii
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

from rssc_tf.serving.batching import Answer
from rssc_tf.serving.errors import Refused
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.model import DEFAULT, ServedModel

_MOST_INPUTS = 2  # of a signature; each can be an object of its own, with a name and a value
_BESIDE = 100  # quotes and braces beside those of the rows


@dataclass(frozen=True)
class PredictRequest:
    """A request as the model takes it.

    Attributes:
        signature: name of the function.
        rows: for each row, input name to value (bytes, or an array of the input's dtype).
        columnar: whether the answer is `outputs` instead of `predictions`.
    """

    signature: str
    rows: list[dict[str, Any]]
    columnar: bool


def count_elements(body: bytes, limits: Limits) -> int:
    """Values in a JSON text, at most; counted, not parsed.

    Raises:
        Refused: 413, more than a request can need.
    """
    lists, objects, quotes = body.count(b"["), body.count(b"{"), body.count(b'"')
    elements = body.count(b",") + lists + objects
    rows = limits.max_queue
    for what, count, most in (
        ("values and lists", elements, limits.max_elements),
        ("objects", objects, rows * (1 + _MOST_INPUTS) + _BESIDE),
        ("quotation marks", quotes, rows * 6 * _MOST_INPUTS + _BESIDE),
    ):
        if count > most:
            raise Refused(413, f"{count:,} {what} in the JSON; at most {most:,} a request")
    return elements


@contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection inside: it would look at a million lists a thousand times while they
    are made, with every thread waiting, and they have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse_predict(body: bytes, model: ServedModel, limits: Limits) -> PredictRequest:
    """Reads the body of `POST /v1/models/NAME:predict`, after `count_elements`.

    Raises:
        Refused: 400 and what is wrong with it; 413 for too many rows or pixels.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise Refused(400, f"the body must be a JSON object, not {_kind(request)}")
    signature = request.get("signature_name") or DEFAULT
    if not isinstance(signature, str) or signature not in model.signatures:
        known = ", ".join(model.signatures)
        asked = repr(signature)[:200] if isinstance(signature, str) else _kind(signature)
        raise Refused(400, f"no signature_name {asked}: the model has {known}")
    if ("instances" in request) == ("inputs" in request):
        raise Refused(400, "exactly one of 'instances' (rows) and 'inputs' (columns) is needed")
    columnar = "inputs" in request
    specs = model.inputs(signature)
    split = _split_columns if columnar else _split_rows
    rows = split(request["inputs" if columnar else "instances"], tuple(specs), limits)
    if not rows:
        raise Refused(400, "there are no instances in the request")
    values = [
        {name: _value(row[name], specs[name], f"{name} of instance {number}") for name in specs}
        for number, row in enumerate(rows)
    ]
    return PredictRequest(signature, values, columnar)


def format_predict(request: PredictRequest, answers: list[Answer]) -> dict:
    """The JSON object of an answer; where there is one output, its name is left out."""
    rows = [{name: _shown(name, value) for name, value in row.items()} for row in answers]
    names = list(rows[0])
    if request.columnar:
        columns = {name: [row[name] for row in rows] for name in names}
        return {"outputs": columns if len(names) > 1 else columns[names[0]]}
    return {"predictions": rows if len(names) > 1 else [row[names[0]] for row in rows]}


def refuse_many(count: int, limits: Limits) -> None:
    """Raises `Refused` for more images than a request may have."""
    if count > limits.max_queue:
        raise Refused(413, f"{count:,} images; {most_images(limits)}")


def most_images(limits: Limits) -> str:
    """How many images a request may have, in words."""
    return f"at most {limits.max_queue:,} a request"


def refuse_pixels(pixels: int, limits: Limits) -> None:
    """Raises `Refused` for more pixels than the images of a request may have together."""
    if pixels > limits.request_pixels:
        most = f"at most {limits.request_pixels:,} a request"
        raise Refused(413, f"the images have {pixels:,} pixels together; {most}")


def _split_rows(instances: Any, names: tuple[str, ...], limits: Limits) -> list[dict]:
    if not isinstance(instances, list):
        raise Refused(400, f"'instances' must be a list, not {_kind(instances)}")
    refuse_many(len(instances), limits)
    rows = []
    for number, instance in enumerate(instances):
        named = isinstance(instance, dict) and set(instance) != {"b64"}
        if not named and len(names) > 1:
            raise Refused(
                400, f"instance {number} must be an object with the inputs {', '.join(names)}"
            )
        row = instance if named else {names[0]: instance}
        _check_names(row, names, f"instance {number}")
        rows.append(row)
    return rows


def _split_columns(inputs: Any, names: tuple[str, ...], limits: Limits) -> list[dict]:
    if isinstance(inputs, list) and len(names) == 1:
        inputs = {names[0]: inputs}
    if not isinstance(inputs, dict):
        raise Refused(
            400, f"'inputs' must be an object with {', '.join(names)}, not {_kind(inputs)}"
        )
    _check_names(inputs, names, "'inputs'")
    for name, column in inputs.items():
        if not isinstance(column, list):
            raise Refused(400, f"input {name} must be a list, not {_kind(column)}")
        refuse_many(len(column), limits)
    lengths = {name: len(column) for name, column in inputs.items()}
    if len(set(lengths.values())) > 1:
        raise Refused(400, f"the inputs have unequal numbers of rows: {lengths}")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]


def _check_names(row: dict, names: tuple[str, ...], where: str) -> None:
    if set(row) != set(names):
        found = ", ".join(repr(name[:100]) for name in islice(row, 5)) or "nothing"
        raise Refused(400, f"{where} has {found[:200]}; the inputs are {', '.join(names)}")


def _value(value: Any, spec: tf.TensorSpec, where: str) -> Any:
    """One row of an input as the model takes it."""
    if spec.dtype == tf.string:
        return _bytes(value, where)
    shape = spec.shape[1:]
    array = _numbers(value, shape, where)
    if not shape.is_compatible_with(array.shape) or not array.size:
        raise Refused(400, f"{where} has shape {array.shape}, not {shape}")
    limits = np.iinfo(spec.dtype.as_numpy_dtype)
    if array.min() < limits.min or array.max() > limits.max:
        raise Refused(400, f"{where} must be whole numbers from {limits.min} to {limits.max}")
    return array.astype(spec.dtype.as_numpy_dtype)


def _numbers(value: Any, wanted: tf.TensorShape, where: str) -> np.ndarray:
    """Nested lists of whole numbers, int64 of the rank of a shape. (`np.asarray` makes room for
    the longest string at every place of a list.)"""
    flat, shape = [value], []
    for _ in range(wanted.rank):
        if not all(type(item) is list for item in flat):
            raise Refused(400, f"{where} has shape {tuple(shape)}, not {wanted}")
        lengths = set(map(len, flat))
        if len(lengths) > 1:
            raise Refused(400, f"{where} is a ragged list")
        shape += lengths or {0}
        flat = list(chain.from_iterable(flat))
    if not set(map(type, flat)) <= {int}:  # a boolean is no number
        raise Refused(400, f"{where} must be whole numbers")
    try:
        return np.array(flat, np.int64).reshape(shape)
    except OverflowError as error:
        raise Refused(400, f"{where} has a number beyond 64 bits") from error


def _bytes(value: Any, where: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise Refused(400, f'{where} must be a string or {{"b64": "..."}}, not {_kind(value)}')
    try:
        # As TensorFlow Serving takes it: in lines, too, and without the padding.
        text = b"".join(value["b64"].encode("ascii").split())
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{where} is not base64: {error}") from error


def _shown(name: str, value: Any) -> Any:
    """An output as JSON has it. Names that end in `_bytes` are binary, all other strings text."""
    if isinstance(value, bytes):
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_shown(name, item) for item in value]
    return value if isinstance(value, np.generic) else np.ascontiguousarray(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
