"""What setup.py puts into a wheel."""

import fnmatch
import runpy

import setuptools

from tests.conftest import ROOT


def test_every_file_of_a_package_is_in_the_wheel(monkeypatch):
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    packages = {package: ROOT / package.replace(".", "/") for package in given["packages"]}
    others = {
        file
        for package in ("rssc_tf", "pipelines", "tfrecords_tools")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    taken = {
        file
        for package, patterns in given["package_data"].items()
        for file in others
        if packages[package] in file.parents
        and any(
            fnmatch.fnmatch(str(file.relative_to(packages[package])), pattern)
            for pattern in patterns
        )
    }
    assert len(taken) >= 9
    assert others == taken
