"""Which of the known weights this machine has, or can fetch."""

import os
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

from rssc_tf.weights.fetch import cached_path
from rssc_tf.weights.packaged import is_installed
from rssc_tf.weights.row import Weights
from rssc_tf.weights.table import TABLE

_PATIENCE = 4.0  # seconds, for all hosts together
# Where the libraries download from.
_HOSTS = {"keras.applications": "storage.googleapis.com", "keras_hub": "www.kaggle.com"}

HERE, REACHABLE, UNREACHABLE, BY_HAND = "here", "to be fetched", "out of reach", "by hand"


def look_for_weights() -> list[dict]:
    """Where each entry of the table stands.

    Returns:
        A dict an entry: `name`, `backbone`, `pretraining`; `state`: `"here"` (in a cache or a
        package), `"to be fetched"` or `"out of reach"` (its host answers, or does not), `"by
        hand"` (with `weights`, from where the table says); and `where`: path, package or host.
    """
    places = {entry.name: _local(entry) for entry in TABLE}
    hosts = {entry.name: _host(entry) for entry in TABLE if not places[entry.name]}
    answers = answering({host for host in hosts.values() if host})
    rows = []
    for entry in TABLE:
        where, host = places[entry.name], hosts.get(entry.name)
        if where:
            state = HERE
        elif host:
            state, where = (REACHABLE if host in answers else UNREACHABLE), host
        else:
            state, where = BY_HAND, entry.origin
        facts = {"name": entry.name, "backbone": entry.backbone, "pretraining": entry.pretraining}
        rows.append({**facts, "state": state, "where": where})
    return rows


def _local(entry: Weights) -> str | None:
    """Where an entry lies on this machine."""
    if entry.package:
        return f"package {entry.package}" if is_installed(entry) else None
    library, _, name = entry.origin.rpartition(":" if ":" in entry.origin else ".")
    found: list[Path] = []
    if entry.url:
        found = [path for path in (cached_path(entry),) if path.is_file()]
    elif library == "keras_hub":
        cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
        found = [*Path(cache).glob(f"models/keras/*/keras/{name}/*")]
    elif library == "keras.applications":
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        pattern = re.compile(f"{name}(weights|notop)", re.IGNORECASE)
        files = Path(home, "models").glob("*.h5")
        found = [file for file in files if pattern.match(file.name.replace("_", ""))]
        found = [file for file in found if "notop" in file.name.replace("_", "")]
    return str(found[0]) if found else None


def _host(entry: Weights) -> str | None:
    if entry.url:
        return urllib.request.urlparse(entry.url).hostname
    return next((host for name, host in _HOSTS.items() if entry.origin.startswith(name)), None)


def answering(hosts: set[str]) -> set[str]:
    """Those that answer at all, of the hosts that are asked, within four seconds."""
    answers: set[str] = set()

    def ask(host: str) -> None:
        request = urllib.request.Request(f"https://{host}/", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE):
                answers.add(host)
        except urllib.error.HTTPError:  # which is an answer
            answers.add(host)
        except (OSError, ValueError):
            pass

    # Threads that nobody waits for: looking up a name can take a minute without a network.
    threads = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)
    return set(answers)  # late ones change it no more
