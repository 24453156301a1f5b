"""Recipe files: YAML with the scalars of version 1.2, and the merging of a recipe into the one that it extends.

PyYAML reads version 1.1, where ``5e-6`` is a string, ``no`` is false and ``0:30`` is a number; and it takes the last
of two equal keys without a word. Here ``5e-6`` is a number, ``no`` a string, and a key given twice is an error.
PyYAML it is all the same, and not ruamel.yaml, which reads version 1.2 and refuses equal keys by itself. That one reads
dates where 1.2 has texts, and takes nine times as long: 78 ms for the 24 shipped recipes, where libyaml's parser takes
9, and a data folder may hold hundreds. What PyYAML lacks is five patterns of scalars and a look at the keys.
"""

import re
from contextlib import suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor

from mr_assets.errors import UserError, did_you_mean, shown
from mr_assets.text_files import LARGEST, given_path, is_regular, path_fault, read_text_file

FOLDER = Path(__file__).parent
DEEPEST = 50
MOST_NODES = 100_000
MOST_EXTENDS = 20
OF_FILE = ("abstract", "variant")
"""What a file says of itself, and no field of a recipe: it is a base and no run of its own; it varies another one."""


class Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Reading(Composer, SafeConstructor):
    """What both loaders do: recipes within `LARGEST`, `DEEPEST` and `MOST_NODES`, tags of JSON's kinds alone."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.composer.ComposerError(
                None,
                None,
                f"more than {DEEPEST} levels deep",
                self.peek_event().start_mark,  # type: ignore[attr-defined]
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _size(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key {key.value!r} occurs twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class Loader(_Reading, yaml.SafeLoader):
    """Says in words what is wrong with a file, and where."""


class FastLoader(_Reading, yaml.CSafeLoader):
    """The same with libyaml's parser, which takes a tenth of the time: a data folder may hold hundreds of recipes."""

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        Composer.__init__(self)


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The nodes that a node stands for, each alias counted as what it repeats. Raises `ComposerError` beyond limits."""
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise yaml.composer.ComposerError(None, None, "an alias that contains itself", node.start_mark)
        return sizes[id(node)]
    sizes[id(node)] = 0
    parts = [node.value] if isinstance(node, yaml.ScalarNode) else node.value
    size = 1
    for part in parts:
        for child in part if isinstance(part, tuple) else (part,):
            size += _size(child, sizes) if isinstance(child, yaml.Node) else 0
    if size > MOST_NODES:
        problem = f"with its aliases it has more than {MOST_NODES:,} values"
        raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
    if isinstance(node, yaml.ScalarNode) and not node.value.isascii():
        try:
            node.value.encode()
        except UnicodeEncodeError:
            problem = "half of a surrogate pair is no character"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark) from None
    sizes[id(node)] = size
    return size


class _Dumper(yaml.SafeDumper):
    """Writes what `Loader` reads."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_SCALARS = (  # tag, pattern, first characters ("" is the empty scalar)
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)
for _class in (Loader, FastLoader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _SCALARS:
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


Loader.yaml_constructors = (
    FastLoader.yaml_constructors
) = {  # not !!binary, !!set, !!timestamp and whatever else a SafeLoader makes
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
}


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """A text; PyYAML loses a next-line character unless the text is in double quotes."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Flow, lambda d, data: d.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True))


def parse_value(text: str, origin: str) -> Any:
    """The YAML value of `text`. Raises `UserError` with `origin`, line and column if it is none."""
    origin = origin if len(origin) <= 200 else origin[:197] + "..."
    if len(text) > LARGEST:
        raise UserError(f"{origin}: has {len(text):,} characters, and at most {LARGEST:,} are read. Shorten it.")
    with suppress(yaml.YAMLError, ValueError, LookupError, RecursionError):  # then the other says what is wrong
        return yaml.load(text, Loader=FastLoader)  # constructs what a SafeLoader does
    try:
        return yaml.load(text, Loader=Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise UserError(f"{origin}{where}: {problem}. Mend the YAML.") from error
    except (ValueError, LookupError, RecursionError) as error:  # a scalar that its tag does not allow: !!int five
        said = (
            str(error).partition(";")[0][:200] if isinstance(error, ValueError) else "a value is not of its tag's kind"
        )
        raise UserError(f"{origin}: {said}. Mend the YAML.") from error


def parse_mapping(text: str, origin: str) -> dict[str, Any]:
    """The YAML mapping of `text`. Raises `UserError` if it is anything else."""
    data = parse_value(text, origin)
    if not isinstance(data, dict):
        raise UserError(f"{origin}: expected a mapping of sections, found {shown(data)}. Start from a shipped recipe.")
    return data


def dump_mapping(data: dict[str, Any]) -> str:
    """`data` as YAML that `parse_mapping` reads back; `Flow` mappings stand on one line."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=200)
    return text


def shipped() -> dict[str, bool]:
    """The shipped recipes by name, and whether each is abstract, a base for others and no run of its own."""
    return {path.stem: _read(path)["abstract"] for path in sorted(FOLDER.glob("*.yaml"))}


def variants() -> set[str]:
    """The shipped recipes that vary another one: they take no place in the UI before they are launched."""
    return {path.stem for path in FOLDER.glob("*.yaml") if _read(path)["variant"]}


def find_recipe(name: str, folder: Path = Path()) -> Path:
    """The file of a recipe given by name (shipped, or NAME.yaml in `folder`) or by path (relative to `folder`)."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        return folder / given_path(name, "recipe")
    path = FOLDER / f"{name}.yaml"
    if path.is_file():
        return path
    if path_fault(name) is None and is_regular(folder / f"{name}.yaml"):
        return folder / f"{name}.yaml"
    known = shipped()
    runnable = [n for n, abstract in known.items() if not abstract]
    raise UserError(
        f"recipe {name!r} is not known.{did_you_mean(name, list(known))} "
        f"Name one of {', '.join(runnable)}, or a .yaml file."
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe file merged into all that it extends. In it are its own `abstract` and `variant`, and no `extends`.

    Mappings merge key by key; anything else, lists too, is replaced as a whole. Of several that it extends, a later one
    is merged on top of an earlier one; what both extend is below them, once.
    Raises `UserError` for a file that cannot be read, is no YAML mapping, or extends itself.
    """
    files: dict[Path, dict[str, Any]] = {}
    _collect(path, (), files)
    found: dict[str, Any] = {}
    for raw in files.values():
        found = merge(found, raw)
    return found


def _collect(path: Path, below: tuple[Path, ...], files: dict[Path, dict[str, Any]]) -> None:
    """Add what a recipe extends to `files`, then the recipe. below: the recipes that led to it."""
    place = path.resolve()
    if place in [each.resolve() for each in below]:
        chain = " extends ".join(p.stem for p in (*below, path))
        raise UserError(f"recipe {path} extends itself: {chain}. Take one extends out.")
    if place in files:
        return
    if len(below) + len(files) >= MOST_EXTENDS:
        raise UserError(f"recipe {path}: more than {MOST_EXTENDS} recipes extend each other. Put some into one.")
    raw = _read(path)
    named = raw.pop("extends", None)
    bases = [named] if isinstance(named, str) else named or []
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"recipe {path}: extends = {shown(named)}: expected the name or path of a recipe, or a list.")
    for base in bases:
        _collect(find_recipe(base, path.parent), (*below, path), files)
    files[place] = raw


def _read(path: Path) -> dict[str, Any]:
    said = _said(read_text_file(path, "recipe", ".yaml file"), f"recipe {path}")
    raw = {**dict.fromkeys(OF_FILE, False), **deepcopy(said)}
    for name in OF_FILE:
        if not isinstance(raw[name], bool):
            raise UserError(f"recipe {path}: {name} = {shown(raw[name])}: expected true or false.")
    return raw


_said = lru_cache(maxsize=256)(parse_mapping)  # recipes are listed and extended again and again; not to be changed


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings key by key, anything else replaced."""
    both = {k: merge(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **over, **both}
