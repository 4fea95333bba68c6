"""The process: how it starts, why it does not, and how it ends."""

import base64
import http.client
import importlib.util
import json
import shutil
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest

from rssc_tf.bench.serve import running_server
from rssc_tf.serving import server as process
from rssc_tf.serving.app import describe_metadata
from rssc_tf.serving.model import ServedModel
from tests.rssc_tf.serving.conftest import Client


def test_a_port_in_use_is_one_line(exported, cli, server):
    port = urlsplit(server.address).port
    code, out, err = cli("serve", exported, "--port", port)
    assert code == 1
    assert err.startswith("rssc-tf: --port must be free at 127.0.0.1 (")
    assert str(port) in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_port_that_another_server_has_taken_since_is_one_line(exported, cli, monkeypatch):
    """Two servers load their models at the same time: both have bound the port by then."""
    first = process._bind("127.0.0.1", 0)
    port = first.getsockname()[1]

    class Loaded(ServedModel):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            first.listen()

    monkeypatch.setattr(process, "ServedModel", Loaded)
    with first:
        code, out, err = cli("serve", exported, "--port", port)
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert "--port must be free at 127.0.0.1 (Address already in use): choose another" in err


def test_an_address_of_another_machine(exported, cli):
    for host in ("192.0.2.1", "no host", "a..b", f"{'a' * 64}.example"):
        code, _, err = cli("serve", exported, "--host", host, "--port", 0)
        assert code == 1
        assert host in err and err.count("\n") == 1


def test_no_export(cli, tmp_path):
    code, _, err = cli("serve", tmp_path, "--port", 0)
    assert code == 1
    assert "no export folder" in err and err.count("\n") == 1


def test_without_the_extra(exported, cli, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "rssc_tf.cli.serve.find_spec", lambda name: None if name == "fastapi" else found(name)
    )
    for command in (("serve", exported), ("bench", "serve", exported)):
        code, _, err = cli(*command)
        assert code == 1
        assert "rssc-tf[serve]" in err and err.count("\n") == 1


def test_listens_at_the_loopback_only(server):
    port = urlsplit(server.address).port
    # Another address of this machine: a server that listens at all of them would answer.
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_is_stopped_gracefully(exported, scenes):
    image = min(scenes.glob("*/*.jpg")).read_bytes()
    body = json.dumps({"instances": [{"b64": base64.b64encode(image).decode()}]}).encode()
    path = f"/v1/models/{exported.name}:predict"
    with running_server(exported) as server:
        assert Client(server.address).post(path, body)[0] == 200
        host = urlsplit(server.address)
        connection = http.client.HTTPConnection(host.netloc, timeout=60)
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100])
        # The server has begun with the request when it has answered another one sent after it.
        assert Client(server.address).get("/healthz")[0] == 200
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionError):  # soon no new connections
            for _ in range(600):
                socket.create_connection((host.hostname, host.port), timeout=5).close()
                time.sleep(0.05)
        connection.send(body[100:])
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["predictions"][0]["valid"]
        out, _ = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
        assert out.endswith("serve: stopped\n")
        server.log.seek(0)
        assert server.log.read() == ""


def test_the_highest_version_is_served_and_described_without_its_files(exported, tmp_path):
    export = tmp_path / "dap"
    shutil.copytree(exported / "1", export / "10")
    for name in ("9", "11", "latest"):  # 11 has no model yet
        (export / name).mkdir()
    (export / "9" / "saved_model.pb").write_text("an older one")
    model = ServedModel(export)
    shutil.rmtree(export)
    answer = describe_metadata(model)
    assert answer["model_spec"] == {"name": "dap", "signature_name": "", "version": "10"}
    assert "serving_default" in answer["metadata"]["signature_def"]["signature_def"]
