"""The paper's prompts, one readable text file each, and the rendering that keeps inserted text harmless.

``judge.txt`` is the judge prompt of section A.1, ``meta_judge.txt`` the meta-judge prompt of Figure 2, word for
word. A recipe may name a file of its own in place of either. ``generate.txt`` asks for a new prompt, ``tasks.txt`` has
the example tasks that it shows, ``pairwise.txt`` has two responses compared; these are ours. Placeholders stand in
braces:

    User: {prompt}

    <response>{response}</response>

Inserted text (prompts, responses, judgments) is untrusted. It is never expanded again, and a control token spelled
out inside it (``<|eot_id|>`` in a response, say) is encoded as the characters it is made of, see `encode_chat`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.text_files import read_text_file

FOLDER = Path(__file__).parent
JUDGE_FIELDS = ("prompt", "response")
GENERATE_FIELDS = ("tasks",)
META_JUDGE_FIELDS = ("prompt", "response", "judgment_a", "judgment_b")
PAIRWISE_FIELDS = ("prompt", "response_a", "response_b")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Template:
    """A prompt template: its text and the fields that it takes.

    `name` is what errors call it, `fields` the placeholders that must occur, each exactly once or more often.
    """

    name: str
    text: str
    fields: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, fields: tuple[str, ...]) -> "Template":
        """Read a template file; one final newline of the file is not part of the prompt.

        Raises `UserError` if the file cannot be read, lacks a field or names one that it cannot have.
        """
        text = read_text_file(path, "template").removesuffix("\n")
        if "\0" in text:
            raise UserError(f"template {path} has a NUL character (at {text.index(chr(0)) + 1}). Take it out.")
        found = set(_PLACEHOLDER.findall(text))
        if found != set(fields):
            wanted = ", ".join(f"{{{f}}}" for f in fields)
            got = ", ".join(f"{{{f}}}" for f in sorted(found)) or "none"
            raise UserError(f"template {path}: expected the placeholders {wanted}, found {got}. Mend the file.")
        return cls(path.name, text, fields)

    @cached_property
    def pieces(self) -> list[str]:
        """Fixed text and field names in turn: text, field, text, field, ..., text."""
        return _PLACEHOLDER.split(self.text)

    @property
    def fixed_blocks(self) -> list[str]:
        """The fixed texts between the placeholders, in order, as the small world's tokenizer knows them."""
        return [piece for piece in self.pieces[::2] if piece]

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt with `values` inserted in one pass: a placeholder inside a value stays as it is."""
        return "".join(values[p] if i % 2 else p for i, p in enumerate(self.pieces))

    def unfill(self, text: str) -> dict[str, str] | None:
        """The values with which `fill` gives `text`; None if it is not this template filled."""
        pattern, seen = "", set()
        for i, piece in enumerate(self.pieces):
            value = f"(?P={piece})" if piece in seen else f"(?P<{piece}>.*?)"
            pattern += value if i % 2 else re.escape(piece)
            seen |= {piece} if i % 2 else set()
        match = re.fullmatch(pattern, text, re.DOTALL)
        return match.groupdict() if match else None


def judge_template(path: Path | None = None) -> Template:
    """The judge prompt (section A.1), or the file that a recipe names in its place."""
    return Template.read(path or FOLDER / "judge.txt", JUDGE_FIELDS)


def generate_template() -> Template:
    """The prompt for one more task (section 3.1: an 8-shot prompt); its words are ours."""
    return Template.read(FOLDER / "generate.txt", GENERATE_FIELDS)


def example_tasks() -> list[str]:
    """The tasks that it shows examples of, unless the recipe names others; written for this project."""
    return read_text_file(FOLDER / "tasks.txt", "example tasks").splitlines()


def meta_judge_template(path: Path | None = None) -> Template:
    """The meta-judge prompt (Figure 2), or the file that a recipe names in its place."""
    return Template.read(path or FOLDER / "meta_judge.txt", META_JUDGE_FIELDS)


def pairwise_template() -> Template:
    """The prompt that has two responses compared, after MT-Bench's (Zheng et al. 2023); its words are ours."""
    return Template.read(FOLDER / "pairwise.txt", PAIRWISE_FIELDS)
