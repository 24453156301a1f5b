"""Untrusted text in a page, and the templates of pages."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from mr_assets.escaped import shown, templates


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\"'&", "&#34;&#39;&amp;"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J", '<span class="unseen">\\x1b</span>[2J'),
        ("a\u202eb", 'a<span class="unseen">\\u202e</span>b'),
        ("\r", '<span class="unseen">\\r</span>'),
        ("grüße 漢字", "grüße 漢字"),
    ],
)
def test_nothing_in_a_text_is_markup_and_nothing_acts_unseen(text: str, html: str) -> None:
    assert str(shown(text)) == html


@given(st.text())
def test_whatever_a_text_is_no_angle_bracket_of_it_is_left(text: str) -> None:
    """The only markup is the mark of unseen characters."""
    bare = str(shown(text)).replace('<span class="unseen">', "").replace("</span>", "")
    assert "<" not in bare and ">" not in bare


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with one template, which shows a value on a line of its own."""
    folder = tmp_path / "pages_of_a_test" / "templates"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "page.html").write_text("  {% if true %}\n{{ value }}\n  {% endif %}\nend\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "pages_of_a_test"


def test_a_value_is_escaped_unless_a_template_is_no_page(package: str) -> None:
    """Lines with a statement alone leave nothing behind; what `shown` has escaped is not escaped again."""
    page = templates(package).get_template("page.html")
    assert page.render(value="<b>") == "&lt;b&gt;\nend"
    assert page.render(value=shown("<b>")) == "&lt;b&gt;\nend"
    assert templates(package, escaping=False).get_template("page.html").render(value="<b>") == "<b>\nend"


def test_a_value_that_is_not_given_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError, match="'value' is undefined"):
        templates(package).get_template("page.html").render(valu="<b>")
