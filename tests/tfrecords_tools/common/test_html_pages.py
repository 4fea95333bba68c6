"""Templates: what they are given is text."""

import jinja2
import pytest
from markupsafe import Markup

from tfrecords_tools.common.html_pages import templates


@pytest.fixture
def page():
    environment = templates("tfrecords_tools.auditing")

    def render(body: str, **content) -> str:
        text = '{% extends "page.html" %}{% block body %}' + body + "{% endblock %}"
        return environment.from_string(text).render(content)

    return render


def test_text_is_escaped_and_markup_is_not(page):
    shown = page("{{ a }}|{{ b }}", a="<i> {{ 7 * 7 }} \"&'", b=Markup("<b>{}</b>").format("<i>"))
    assert "&lt;i&gt; {{ 7 * 7 }} &#34;&amp;&#39;|<b>&lt;i&gt;</b>" in shown
    assert shown.startswith("<!doctype html>")


def test_a_name_that_is_not_given_is_an_error(page):
    with pytest.raises(jinja2.UndefinedError):
        page("{{ nowhere }}")
