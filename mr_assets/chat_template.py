"""A model's chat template, rendered alike on every day and machine, and tried within limits before it is used.

    {{ bos_token }}<|start_header_id|>system<|end_header_id|>

    Today Date: {{ strftime_now('%d %b %Y') }}

Such a template (Llama 3.1 and 3.2, Granite) asks for today's date. Here it gets the recipe's (``model.date``), with
English names of days and months: a prompt must be the same when it is sampled, when it is trained on and when it is
verified. The Jinja environment is that of transformers, less what draws at random.

A template is a program that came with a model. It is first tried in a process of its own, with limits on time, memory
and output; run as a module, this file is that process: it reads a JSON object and writes one.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mr_assets.errors import UserError

DATE = "2024-07-28"
SECONDS = 5  # of computing, for all conversations that a template is tried on; milliseconds are usual
MIB = 1024  # of memory, the interpreter's included
CHARACTERS = 1_000_000  # of one rendering
SHOWN = 200  # characters of what a template says
OURS = ("messages", "add_generation_prompt", "strftime_now", "tools", "documents")  # not a recipe's to set

Messages = Sequence[Mapping[str, str]]
Conversation = tuple[Messages, bool]  # the messages, and whether the generation prompt follows

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DIRECTIVE = re.compile(r"%([-_0^#]*)(\d*)[EO]?([A-Za-z%+])")
_COMPOSED = {"c": "%a %b %e %H:%M:%S %Y", "x": "%m/%d/%y", "X": "%H:%M:%S", "r": "%I:%M:%S %p"}


def strftime(date: str, form: str) -> str:
    """Midnight of an ISO date as ``strftime`` formats it in the C locale, whatever the locale and the time zone here.

    Like the naive times that transformers gives its templates, it has no time zone: ``%Z`` and ``%z`` are empty.
    """
    moment = datetime.fromisoformat(date)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    named = {"a": day[:3], "A": day, "b": month[:3], "h": month[:3], "B": month, "p": "AM", "P": "am", "Z": "", "z": ""}
    named["s"] = f"{moment.replace(tzinfo=UTC).timestamp():.0f}"

    def put(directive: re.Match[str]) -> str:
        flags, width, letter = directive.groups()
        if letter in _COMPOSED:
            return strftime(date, _COMPOSED[letter])
        if letter in named:
            return named[letter].upper() if "^" in flags else named[letter]
        return moment.strftime(f"%{flags}{width}{letter}")

    return _DIRECTIVE.sub(put, form)


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, and everything but the conversation that its renderings depend on.

    name: the model's, for messages. variables: its special tokens. arguments: what the recipe hands the template
    (`model.chat_template_kwargs`), such as ``enable_thinking``. date: what the template takes for today, ISO.
    """

    name: str
    source: str
    variables: dict[str, Any]
    arguments: dict[str, Any]
    date: str = DATE

    def render(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        """The text of a conversation. Raises `UserError` with what the template says against it."""
        try:
            return _rendered(self.source, self.variables | self.arguments, self.date, messages, add_generation_prompt)
        except Exception as error:  # whatever a template's own code does
            raise UserError(self.refusal(_said(error))) from error

    def tried(self, conversations: Sequence[Conversation]) -> list[str | None]:
        """The texts of conversations, rendered in a process of its own within the limits; None for one that fails.

        Raises `UserError` if the template is none, if the first conversation fails, if a limit is reached, or if an
        argument is one that the template does not read.
        """
        asked = {"source": self.source, "variables": self.variables | self.arguments, "date": self.date}
        answer = json.loads(_answer(json.dumps({**asked, "conversations": conversations}, default=str)))
        if "error" in answer:
            raise UserError(self.refusal(answer["error"]))
        if unread := [name for name in self.arguments if name not in answer["reads"]]:
            raise UserError(
                f"model.chat_template_kwargs has {', '.join(unread)}, which the chat template of {self.name} does not "
                f"read. It reads {', '.join(n for n in answer['reads'] if n not in (*OURS, *self.variables)) or 'none'}"
                ". Take it out, or mend its spelling."
            )
        first, *_ = answer["renderings"]
        if "error" in first:
            raise UserError(self.refusal(first["error"]))
        return [rendering.get("text") for rendering in answer["renderings"]]

    def refusal(self, why: str) -> str:
        """The message for a template that cannot be used."""
        return (
            f"the chat template of {self.name} cannot render a user's message: {why}. Mend chat_template.jinja in the "
            "model folder, or take another model."
        )


def _rendered(
    source: str, variables: Mapping[str, Any], date: str, messages: Messages, add_generation_prompt: bool
) -> str:
    return _compiled(source).render(
        **variables,
        messages=messages,
        tools=None,
        documents=None,
        add_generation_prompt=add_generation_prompt,
        strftime_now=partial(strftime, date),
    )


@lru_cache(maxsize=8)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)


class _Generation(Extension):
    """The tag ``generation``, which marks an answer for trainers that render; here it marks nothing."""

    tags = {"generation"}  # noqa: RUF012 - an instance variable in the base class

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


def _environment() -> ImmutableSandboxedEnvironment:
    """That of transformers' chat templates, without `random` and `lipsum`."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _said(error: BaseException) -> str:
    """An error of a template in one line, with its place where that is known."""
    if isinstance(error, MemoryError):
        return f"it takes more than {MIB:,} MiB of memory"
    line = f" (line {error.lineno})" if isinstance(error, jinja2.TemplateSyntaxError) else ""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{said[:SHOWN].rstrip('.')}{line}"


@lru_cache(maxsize=64)
def _answer(asked: str) -> str:
    """What the process of its own answers, as JSON."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=asked.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=12 * SECONDS,
            cwd=Path(__file__).parents[1],
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"error": f"it takes more than {SECONDS} seconds"})
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "surrogatepass")
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return json.dumps({"error": f"it takes more than {SECONDS} seconds of computing"})
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return json.dumps({"error": f"its process ended with status {done.returncode} {''.join(last)}".strip()})


def _answered(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The other side of `_answer`: the names that a template reads, and the conversations rendered or what failed."""
    try:
        reads = sorted(find_undeclared_variables(_environment().parse(asked["source"])))
        _compiled(asked["source"])
    except Exception as error:
        return {"error": _said(error)}
    renderings = []
    for messages, add_generation_prompt in asked["conversations"]:
        try:
            text = _rendered(asked["source"], asked["variables"], asked["date"], messages, add_generation_prompt)
        except Exception as error:
            renderings.append({"error": _said(error)})
            continue
        if len(text) > CHARACTERS:
            return {"error": f"it gives {len(text):,} characters, more than {CHARACTERS:,}"}
        renderings.append({"text": text})
    return {"reads": reads, "renderings": renderings}


def _main() -> None:
    import resource

    asked = json.loads(sys.stdin.buffer.read().decode("utf-8", "surrogatepass"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MIB * 2**20, MIB * 2**20))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    sys.stdout.buffer.write(json.dumps(_answered(asked)).encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    _main()
