"""HTML pages from jinja2 templates, on one skeleton: `templates/page.html` beside this module."""

from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tfrecords_tools.common.atomic import new_file


@cache
def templates(*packages: str) -> Environment:
    """The templates in the folders `templates` of packages, and the skeleton.

    Whatever a template is given is text and is escaped, except `Markup`: HTML that code has made.
    """
    loaders = [PackageLoader(package) for package in (*packages, __package__)]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def write_page(path: Path, package: str, template: str, *shared: str, **content) -> None:
    """Writes a page that needs no other file.

    Args:
        path: the file to write.
        package: whose folder `templates` holds `template`.
        template: its name.
        shared: packages whose templates it includes.
        content: what the template names.
    """
    page = templates(package, *shared).get_template(template).render(content)
    with new_file(path) as aside:  # of file names that are no Unicode, a question mark is shown
        aside.write_text(page, encoding="utf-8", errors="replace")
