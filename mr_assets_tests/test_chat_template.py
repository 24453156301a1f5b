"""Rendering a chat template: the same on every day and machine, and never for ever."""

import locale
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.chat_template import DATE, MIB, ChatTemplate, strftime
from mr_assets.errors import UserError

USER = [{"role": "user", "content": "Hi"}]
NUMERIC = "%d %m %y %Y %H:%M:%S %j %e %D %F %-d %U %W %u %w %G %V %I %f %%"


def template(source: str, *, date: str = DATE, **arguments: Any) -> ChatTemplate:
    return ChatTemplate("model", source, {"bos_token": "<s>"}, arguments, date)


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("%d %b %Y", "03 Feb 2024"),  # Llama 3
        ("%B %d, %Y", "February 03, 2024"),  # Granite
        ("%A, %-d %B", "Saturday, 3 February"),
        ("%a %^b %h %p %P", "Sat FEB Feb AM am"),
        ("%c|%x|%X|%r", "Sat Feb  3 00:00:00 2024|02/03/24|00:00:00|12:00:00 AM"),
        ("%Ey %OB %s", "24 February 1706918400"),  # 2024-02-03T00:00:00Z
        ("[%Z%z%-Z]", "[]"),
        ("100%% %d", "100% 03"),
    ],
)
def test_dates_in_english(form: str, shown: str) -> None:
    """As the C locale writes midnight of that day, in no time zone."""
    assert strftime("2024-02-03", form) == shown


@given(day=st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)))
def test_dates_are_the_c_librarys(day: datetime) -> None:
    """Names and numbers as Python gives them in the C locale, which the tests run in."""
    assert locale.setlocale(locale.LC_TIME) in ("C", "en_US.UTF-8", "C.UTF-8")
    midnight = datetime(day.year, day.month, day.day)
    form = f"{NUMERIC} %a %A %b %B %c %x %X %p"
    assert strftime(f"{day:%Y-%m-%d}", form) == midnight.strftime(form)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_neither_clock_nor_environment_shows(zone: str, tmp_path: Path) -> None:
    """In any time zone, at any time, with whatever locale the environment asks for: one text."""
    source = (
        "{% macro today() %}{{ strftime_now('%A %d %B %Y %H:%M %Z %s') }}{% endmacro %}"
        "{% if strftime_now is defined %}{% set date_string = today() %}{% endif %}{{ date_string }}"
    )
    code = (
        "import locale, sys; from mr_assets.chat_template import ChatTemplate\n"
        "try: locale.setlocale(locale.LC_ALL, '')\n"
        "except locale.Error: pass\n"
        "print(ChatTemplate('m', sys.argv[1], {}, {}).tried([([], False)])[0])"
    )
    environment = {**os.environ, "TZ": zone, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-c", code, source], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Sunday 28 July 2024 00:00  1722124800\n"
    assert template(source).render(USER, add_generation_prompt=True) == done.stdout.strip("\n")


def test_the_recipes_date_and_variables() -> None:
    """What a template asks for; date_string, which Llama 3 takes where it is given, is a variable like any other."""
    default = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    llama = default + "{{ date_string }}"
    assert template(llama, date="2031-12-01").tried([(USER, True)]) == ["01 Dec 2031"]
    assert template(llama, date_string="26 Jul 2024").tried([(USER, True)]) == ["26 Jul 2024"]
    granite = "{{ 'Think. ' if thinking }}{{ messages[0].content }}"
    assert template(granite, thinking=True).tried([(USER, True)]) == ["Think. Hi"]


def test_a_variable_that_the_template_does_not_read() -> None:
    """Misspelt, it would have no effect and no one would know."""
    with pytest.raises(UserError, match=r"has enable_thinkng, which .* does not read. It reads enable_thinking"):
        template("{{ enable_thinking }}{{ messages[0].content }}{{ bos_token }}", enable_thinkng=False).tried(
            [(USER, True)]
        )


def test_as_transformers_renders() -> None:
    """Its tags, filters, loop controls and white space."""
    from transformers.utils.chat_template_utils import render_jinja_template

    source = (
        "{{ bos_token }}\n{% for m in messages %}\n  {% if loop.index > 2 %}\n{% break %}{% endif %}\n"
        "{% generation %}\n{{ m | tojson }}{% set x = 1 %}{% endgeneration %}{{ x is defined }}\n{% endfor %}\n"
        "{{ tools is none }} {{ documents }} {{ add_generation_prompt }} {{ {'ä': '<'} | tojson(indent=1) }}"
    )
    messages = [{"role": "user", "content": "<é> 'x'"}] * 4
    [theirs], _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=True, bos_token="<s>")
    assert template(source).render(messages, add_generation_prompt=True) == theirs
    assert template(source).tried([(messages, True)]) == [theirs]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ raise_exception('A system message is required') }}", "A system message is required. Mend"),
        ("{{ raise_exception('no\n' ~ 'x' * 100000) }}", r": no\. Mend"),
        ("a\n{% if %}", r"Expected an expression, got 'end of statement block' \(line 2\)"),
        ("{{ messages[0].nothing.at_all }}", "has no attribute 'nothing'"),
        ("{{ [1, 2] | random }}", "No filter named 'random'"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{% include 'other' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ 'x' * 10 ** 10 }}", f"more than {MIB:,} MiB of memory"),
        ("{% for i in range(9999) %}{{ 'x' * 1000 }}{% endfor %}", "9,999,000 characters, more than 1,000,000"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "maximum recursion depth"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "maximum recursion depth"),
        pytest.param(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "more than 5 seconds",
            marks=pytest.mark.slow,
        ),
    ],
    ids=[
        *("raises", "at length", "syntax", "undefined", "random", "lipsum", "include", "unsafe", "memory", "output"),
        *("recursion", "nesting", "time"),
    ],
)
def test_a_template_that_cannot_be_rendered(source: str, why: str) -> None:
    """Each in one clear sentence, in seconds."""
    began = time.process_time()
    with pytest.raises(UserError, match=f"chat template of model cannot render a user's message.*{why}"):
        template(source).tried([(USER, True)])
    assert time.process_time() - began < 1, "this process waits"


def test_only_the_first_conversation_must_succeed() -> None:
    """A template that does not take an answer is told apart by what needs one."""
    source = "{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}x"
    assert template(source).tried([(USER, True), (USER * 2, False)]) == ["x", None]
    with pytest.raises(UserError, match="one at a time"):
        template(source).render(USER * 2, add_generation_prompt=False)
