"""What the flags of `rssc-tf serve` say to the server."""

from rssc_tf.serving import server
from rssc_tf.serving.limits import Limits
from tfrecords_tools.imaging.images import MAX_PIXELS


def test_every_flag_is_a_limit_or_a_name(cli, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(server, "serve", lambda *arguments: asked.append(arguments))
    words = (
        *("--host", "0.0.0.0", "--port", 0, "--max-batch", 3, "--max-wait-ms", 7, "--queue", 11),
        *("--max-request-mb", 2.5, "--max-pixels", 1000, "--max-request-pixels", 5000),
        *("--max-elements", 13, "--request-seconds", 17, "--head-seconds", 19),
        *("--body-seconds", 23, "--min-rate-kb", 4, "--connections", 29),
        *("--allow-host", "a.example", "--allow-host", "b.example", "--views", 8, "--trust"),
    )
    code, _, err = cli("serve", tmp_path, *words)
    assert code == 0, err
    limits = Limits(
        max_rows=3,
        max_wait=0.007,
        max_queue=11,
        max_pixels=1000,
        request_pixels=5000,
        max_elements=13,
        max_bytes=2_500_000,
        request_seconds=17,
        head_seconds=19,
        body_seconds=23,
        min_rate=4000,
        connections=29,
    )
    assert asked == [(tmp_path, "0.0.0.0", 0, limits, ("a.example", "b.example"), True, 8)]


def test_without_flags_the_limits_are_those_of_the_library(cli, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(server, "serve", lambda *arguments: asked.append(arguments))
    assert cli("serve", tmp_path)[0] == 0
    assert cli("serve", tmp_path, "--max-pixels", 10 * MAX_PIXELS)[0] == 0
    assert asked == [(tmp_path, "127.0.0.1", 8501, Limits(), (), False, None)] * 2
    assert cli("serve", tmp_path, "--max-pixels", 1000)[0] == 0
    assert asked[-1][3] == Limits(max_pixels=1000, request_pixels=4000)


def test_a_size_that_is_no_number_of_bytes_is_refused(cli, tmp_path):
    for size in ("inf", "nan"):
        code, _, err = cli("serve", tmp_path, "--max-request-mb", size)
        assert (code, "Invalid value for '--max-request-mb'" in err) == (2, True), err
