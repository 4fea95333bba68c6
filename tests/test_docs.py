"""The documents: links lead somewhere, commands and names exist, every number is defined."""

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
import typer
from markdown_it import MarkdownIt

import rssc_tf
from tests.conftest import ROOT
from tfrecords_tools.common.errors import as_flags

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*.md")]
    + [*ROOT.glob("results/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
)
OURS = ("tfrecords_tools", "pipelines", "rssc_tf")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _text(page: Path) -> str:
    """Markdown; of a notebook its text cells, and its code as fenced blocks."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    cells = nbformat.read(page, as_version=4).cells
    return "\n\n".join(
        cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
        for cell in cells
    )


def _tokens(page: Path) -> list:
    tokens = MarkdownIt("commonmark").enable("table").parse(_text(page))
    return [one for token in tokens for one in (token, *(token.children or []))]


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings."""
    tokens, found = MarkdownIt("commonmark").parse(_text(page)), []
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            text = "".join(child.content for child in token.children if child.content)
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            again = sum(one == slug for one in found)
            found.append(f"{slug}-{again}" if again else slug)
    return set(found)


def _broken(link: str, page: Path) -> str | None:
    """Why a link leads nowhere. The network is not asked."""
    parts = urlsplit(link)
    if parts.scheme:
        sound = parts.scheme == "https" and "." in parts.netloc and not re.search(r"\s", link)
        return None if sound else "is no https address"
    target = page.parent / unquote(parts.path) if parts.path else page
    if not target.exists():
        return "does not exist"
    if not target.resolve().is_relative_to(ROOT):
        return "is outside the repository"
    if parts.fragment and parts.fragment not in _anchors(target):
        return "has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_and_picture_is_there(page):
    links = [token.attrGet("href") or token.attrGet("src") for token in _tokens(page)]
    broken = [(link, _broken(link, page)) for link in links if link]
    assert [pair for pair in broken if pair[1]] == []


def test_a_broken_link_is_found():
    page = ROOT / "README.md"
    for link in ("docs/absent.md", "docs/scaling.md#no-such", "http://example.org", "../secret"):
        assert _broken(link, page), link
    for link in ("docs/scaling.md#one-machine", "https://example.org/a#b", "#two-commands"):
        assert _broken(link, page) is None, link


def _commands(page: Path) -> list[list[str]]:
    """The words of every `rssc-tf ...` in shell blocks and in `code`, up to a pipe."""
    shell = ("sh", "bash", "shell", "console", "yaml", "")
    text = ""
    for token in _tokens(page):
        if token.type == "fence" and token.info.split(" ")[0] in shell:
            text += token.content.replace("\\\n", " ") + "\n"
        elif token.type == "code_inline":
            text += token.content + " ...\n"  # a mention may leave arguments out
        elif token.type == "fence":
            text += "\n".join(re.findall(r"^\s*[!%](.*)", token.content, re.M)) + "\n"
    commands = []
    for line in text.splitlines():
        found = re.match(r"^[\s$]*(?:[A-Z_0-9]+=\S*\s+|exec\s+|time\s+)*(rssc-tf(\s.*)?)$", line)
        if found:
            lexer = shlex.shlex(found[1], posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(lexer)
            end = (number for number, word in enumerate(words) if set(word) <= set("|&;<>"))
            commands.append(words[1 : next(end, None)])
    return commands


def _wrong(words: list[str]) -> str | None:
    """Why the command line would not take these words."""
    from rssc_tf.cli import app
    from rssc_tf.cli.words import spread

    command, known = typer.main.get_command(app), []
    words = spread(command, words)
    while hasattr(command, "commands"):
        known += [option for parameter in command.params for option in parameter.opts]
        if not words or words[0] in ("...", "--help", "-h", *known):
            return None
        if words[0] not in command.commands:
            return f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {option for parameter in command.params for option in parameter.secondary_opts}
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}:
            return f"{command.name} has no option {word}"
    if not words or "--help" in words or any(word == "..." or "$" in word for word in words):
        return None  # the name of a command, or shortened: only its options can be told
    try:
        command.make_context(command.name, words)
    except Exception as error:  # usage, or a value of another type
        return f"{' '.join(words)}: {getattr(error, 'message', error)}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_is_one(page):
    wrong = [_wrong(words) for words in _commands(page)]
    assert [reason for reason in wrong if reason] == []


def test_a_wrong_command_is_found():
    for line in (
        "trian --strategy dap",
        "train --stratgy dap",
        "train --epochs many",
        "evaluate a b",
        "weights imprt x",
        "bench nothing",
    ):
        assert _wrong(line.split()), line
    for line in ("train --strategy dap", "convert x --out y --labels a b c", "weights list", ""):
        assert _wrong(line.split()) is None, line
    assert sum(len(_commands(page)) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_python_example_imports_what_there_is(page):
    for token in _tokens(page):
        if token.type == "fence" and token.info.startswith("python"):
            tree = ast.parse(re.sub(r"^\s*[!%].*$", "    pass", token.content, flags=re.M))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS:
                    module = importlib.import_module(node.module)
                    for alias in node.names:
                        assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def _listed() -> set[str]:
    """The names in docs/api.md, as `rssc_tf.NAME`."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    return set(re.findall(r"`rssc_tf\.(\w+)`", text))


def test_every_name_of_the_api_is_documented_code():
    assert _listed() == {name for name in rssc_tf.__all__ if not name.startswith("__")}
    for name in _listed():
        found = getattr(rssc_tf, name)
        assert not callable(found) or (found.__doc__ or "").strip(), name


def _used(code: str) -> set[str]:
    """Names of ours in an example: attributes of `rssc_tf`, and whatever is imported from us."""
    found = set()
    for node in ast.walk(ast.parse(re.sub(r"^\s*[!%].*$", "    pass", code, flags=re.M))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "rssc_tf":
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            found |= {name for name in names if name.split(".")[0] in OURS} - {"rssc_tf"}
    return found


SURFACE = [ROOT / "docs" / "api.md", *sorted(ROOT.glob("notebooks/*.ipynb"))]


@pytest.mark.parametrize("page", SURFACE, ids=_name)
def test_examples_use_the_public_names_only(page):
    code = [token.content for token in _tokens(page) if token.info.startswith("python")]
    used = set().union(*map(_used, code))
    assert used and used <= _listed(), used - _listed()


def test_a_name_that_is_not_public_is_found():
    code = "from rssc_tf.runs import load_run\nimport pipelines.stream\nrssc_tf.trian()"
    assert _used(code) == {"rssc_tf.runs.load_run", "pipelines.stream", "trian"}


@pytest.mark.slow
def test_the_examples_of_the_api_run(tmp_path):
    """From top to bottom, with a network of the suite that is quick."""
    page = ROOT / "docs" / "api.md"
    code = "\n".join(token.content for token in _tokens(page) if token.info.startswith("python"))
    code = re.sub("^", "    ", code.replace('"mobilenet_v2"', '"tiny"'), flags=re.M)
    program = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from tests import tiny\nif __name__ == '__main__':\n    tiny.register()\n"
        "    from rssc_tf.demo.scenes import write_set\n    from pathlib import Path\n"
        f"    write_set('target', Path('photographs'), 10, 48)\n{code}"
    )
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "program.py"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "comparison" / "report.html").is_file()


def _method() -> set[str]:
    return set(
        re.findall(r"`([^`\s]+)`", (ROOT / "docs" / "methodology.md").read_text(encoding="utf-8"))
    )


def test_the_method_defines_every_score_and_column(trained):
    from rssc_tf.comparison.folder import Study
    from rssc_tf.comparison.results import COLUMNS
    from rssc_tf.comparison.summary import differences, summarise
    from rssc_tf.evaluation.calibration import Calibration
    from rssc_tf.evaluation.metrics import per_class, score

    uniform, labels = np.full((6, 6), 1 / 6), np.arange(6)
    one_hot, classes = np.eye(6, dtype=int), list("abcdef")
    names = set(score(uniform, labels)) | set(score(uniform, one_hot))
    names |= set(per_class(uniform, one_hot, classes).columns) | set(COLUMNS)
    empty = Study(Path(), pd.DataFrame(columns=COLUMNS), [], [])
    names |= set(summarise(empty).columns) | set(differences(empty).columns)
    names |= {field.name for field in fields(Calibration)}
    names |= set(json.loads((trained / "metrics.json").read_text()))
    history = set(pd.read_csv(trained / "history.csv").columns)
    names |= {name.removeprefix("val_") for name in history}
    assert sorted(names - _method()) == []


def _said() -> list[str]:
    """Every text in the sources, in pieces where values are put in."""
    files = [file for name in OURS for file in (ROOT / name).rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    texts = (node.value for node in nodes if isinstance(getattr(node, "value", None), str))
    return [as_flags(text) for text in texts]


def test_the_first_line_of_a_module_says_what_it_is():
    """CONTRIBUTING sends newcomers to these lines, which they read alone."""
    for package in ("rssc_tf", "pipelines", "tfrecords_tools"):
        for file in (ROOT / package).rglob("*.py"):
            first = file.read_text(encoding="utf-8").split("\n", 1)[0]
            assert first.startswith('"""'), file
            assert first.removesuffix('"""').endswith((".", "?")), f"{file}: {first}"


def test_the_errors_are_those_of_the_program():
    pieces = [*_said(), ": No space left on device"]  # the last is the system's
    lines = [
        token.content
        for token in _tokens(ROOT / "docs" / "troubleshooting.md")
        if token.type == "code_inline" and "…" in token.content
    ]
    assert len(lines) > 30
    for line in lines:
        for part in line.split("…"):
            assert any(part.strip() in piece for piece in pieces), (line, part)
