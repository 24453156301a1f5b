"""Resolve the environment of a CUDA host into requirements-cuda.lock, or try what the guides say to install.

    python cuda_lock.py            resolve .[cuda] and write the lock
    python cuda_lock.py --check    resolve the lock, and each `pip install` of the README and of docs/

pip resolves and installs nothing (--dry-run). It asks the package index that it is configured for; the lock names none.
To be run on Linux x86-64 with Python 3.11, for which the lock is.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent
LOCK = PROJECT / "requirements-cuda.lock"
HEAD = """\
# Every package of a CUDA host's environment, resolved from .[cuda] on Python 3.11 for Linux x86-64 by cuda_lock.py:
#   pip install -r requirements-cuda.lock && pip install --no-deps -e .
"""


def resolved(*arguments: str) -> dict[str, str]:
    """The packages, by name, that `pip install` with these arguments would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ("--dry-run", "--ignore-installed", "--quiet", "--report", str(report))
        command = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, *arguments)
        done = subprocess.run(command, cwd=PROJECT, check=False)
        if done.returncode:
            sys.exit(f"pip install {shlex.join(arguments)}: cannot be resolved, see above.")
        return pins(json.loads(report.read_text(encoding="utf-8")))


def pins(report: dict[str, object]) -> dict[str, str]:
    """Of pip's report, the version of every package but this project's own."""
    installs = report["install"]
    assert isinstance(installs, list)
    found = {each["metadata"]["name"]: each["metadata"]["version"] for each in installs}
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items() if name != "mr_assets"}


def lock_text(packages: dict[str, str]) -> str:
    """The lock: one package per line, in alphabetical order."""
    return HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(packages.items()))


def guide_commands() -> list[list[str]]:
    """The arguments of each `pip install` that the README and the guides show for this project's extras."""
    guides = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    shown = (line for guide in guides for line in guide.read_text(encoding="utf-8").splitlines())
    install = re.compile(r"pip install (?:-e '\.\[[a-z0-9,]+\]'|-r \S+\.lock)")
    found = {match[0] for line in shown for match in install.finditer(line)}
    return [[a for a in shlex.split(each)[2:] if a != "-e"] for each in sorted(found)]


def main() -> None:
    """Write the lock, or check."""
    if sys.argv[1:] == ["--check"]:
        for arguments in guide_commands():
            count = len(resolved(*arguments))
            print(f"pip install {shlex.join(arguments)}: {count} packages")
        return
    packages = resolved(".[cuda]")
    if local := [f"{name}=={version}" for name, version in packages.items() if "+" in version]:
        sys.exit(
            f"{', '.join(local)}: a build of one machine's index, not PyPI's. Resolve against PyPI alone: "
            "PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= python cuda_lock.py"
        )
    LOCK.write_text(lock_text(packages), encoding="utf-8")
    print(f"{LOCK.name}: {len(packages)} packages")


if __name__ == "__main__":
    main()
