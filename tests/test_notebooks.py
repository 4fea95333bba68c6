"""The notebooks as they are committed: without output, and running from the first cell to the last
on small data. What is small is put after the cell tagged `parameters`, as papermill does."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))

_TINY = """
from pathlib import Path

from rssc_tf.demo.scenes import write_set
from tests import tiny

tiny.register()
"""
# The parameters of each notebook for a run of seconds.
SMALL = {
    "01_quickstart": """
IMAGES_PER_CLASS, EPOCHS, STRATEGY, BACKBONE, IMAGE_SIZE = 10, 2, "scratch", "tiny", 32
""",
    "02_pretraining_regimes": """
TARGET, SOURCE = "images/target", "images/source"
write_set("target", Path(TARGET), 10, 48)
write_set("source", Path(SOURCE), 6, 48)
STRATEGIES, SEEDS, BACKBONE = ("scratch", "in-domain"), 2, "tiny"
SETTINGS |= {"image_size": 32, "epochs": 1, "source_epochs": 1}
LABEL_FREE, LABEL_FREE_SETTINGS = ("in-domain-ssl",), {"source_batch_size": 32}
""",
    "03_serving_and_maps": """
IMAGES_PER_CLASS, BACKBONE, STRATEGY = 10, "tiny", "scratch"
SETTINGS |= {"image_size": 32, "epochs": 1}
""",
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_it_is_committed_without_output(notebook):
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    assert (content.nbformat, content.nbformat_minor) >= (4, 5)
    for cell in content.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.id
            assert cell.source.strip(), cell.id
    identities = [cell.id for cell in content.cells]
    assert len(set(identities)) == len(identities)
    assert set(content.metadata) == {"kernelspec", "language_info"}


def test_badge_and_install_cell_name_one_repository(notebook):
    text = notebook.read_text(encoding="utf-8")
    badge = re.search(
        r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/\w+/(\S+?)\)", text
    )
    assert badge[2] == f"notebooks/{notebook.name}"
    installed = re.search(r"git\+https://github\.com/([\w.-]+/[\w.-]+)", text)
    assert installed[1] == badge[1]


@pytest.mark.parametrize(
    "notebook",
    [NOTEBOOKS[0], *(pytest.param(path, marks=pytest.mark.slow) for path in NOTEBOOKS[1:])],
    ids=lambda path: path.stem,
    indirect=True,
)
def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nobody's own profile
    content = nbformat.read(notebook, as_version=4)
    place = next(
        number
        for number, cell in enumerate(content.cells)
        if "parameters" in cell.metadata.get("tags", [])
    )
    injected = nbformat.v4.new_code_cell(_TINY + SMALL[notebook.stem])
    content.cells.insert(place + 1, injected)
    client = NotebookClient(
        content, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    for cell in content.cells:
        if re.search(r"\bshow\(", cell.source) and cell.cell_type == "code":
            kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
            assert "image/png" in kinds, cell.id
