"""Run what the study has no result of yet, seed by seed, and write its pages.

    python -m mr_assets_tests.study [--plan | --page] [--seeds 201,202] [--arms meta,self] [--keep-earlier]
                                    [--data FOLDER] [--results FOLDER]

The plan comes first; nothing is asked. All arms of a seed come before the next seed, so that a part of the study is
balanced. Kill it at any time: the same command goes on where it was.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from mr_assets.errors import UserError
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import load_run, named_runs, stored_runs
from mr_assets_tests.study.arms import ARMS, LAST, SEEDS, Arm
from mr_assets_tests.study.comparisons import Results
from mr_assets_tests.study.page import made_of, write_pages
from mr_assets_tests.study.results import MADE, RESULTS, changed, collected, read, write
from mr_assets_tests.study.sharing import share


class Planned(NamedTuple):
    """An arm with a seed; minutes: that it will take. why: what its result differs in; "" if there is none."""

    seed: int
    arm: Arm
    minutes: float
    why: str = ""


def planned(results: Results, arms: Sequence[Arm], seeds: Sequence[int], *, keep_earlier: bool) -> list[Planned]:
    """What is to be run, in order. keep_earlier: results by other code than this one's count, too."""
    found = []
    for seed in seeds:
        for arm in arms:
            result = results.get((arm.name, seed))
            differ = changed(result, arm.loaded(seed)) if result else []
            if keep_earlier:
                differ = [each for each in differ if not each.startswith("code of ")]
            if result is None or differ:
                found.append(Planned(seed, arm, minutes(results, arm), ", ".join(differ)))
    return found


def minutes(results: Results, arm: Arm) -> float:
    """The median of what the arm took with other seeds; else what it is said to take."""
    took = [result.seconds / 60 for (name, _), result in results.items() if name == arm.name]
    return statistics.median(took) if took else arm.minutes


def said(plan: Sequence[Planned], arms: Sequence[Arm], seeds: Sequence[int], data: Path) -> str:
    """The plan in words."""
    lines = [f"{len(arms)} arms, {len(seeds)} seeds ({', '.join(map(str, seeds))}); runs in {data}"]
    for each in plan:
        why = f"  again, other {each.why}" if each.why else ""
        lines.append(f"  seed {each.seed}  {each.arm.name:12} {each.minutes:4.0f} min  {each.arm.words}{why}")
    hours, rest = divmod(round(sum(each.minutes for each in plan)), 60)
    there = len(arms) * len(seeds) - len(plan)
    lines.append(f"{there} results are there, {len(plan)} are to be made: about {hours} h {rest} min.")
    return "\n".join(lines)


def made(arm: Arm, seed: int, data: Path) -> Run:
    """Run an arm to its end; what it shares with another run that is there is not computed again."""
    name = f"{arm.name}_{seed}"
    there = stored_runs(data)
    source = there.get(f"{arm.shares}_{seed}") if arm.shares else None
    if source and name not in there and state(source, "checkpoints", str(LAST - 1)) == "done":
        own = [each for each in arm.sets if each not in ARMS[arm.shares or ""].sets]
        mr(data, "branch", source.name, "--from", str(LAST), "--name", name, *as_options(own))
    elif first := there.get(f"{arm.begins_as}_{seed}"):
        share(first, load_run(arm.recipe, name=name, sets=arm.sets_of(seed), data=data))
    mr(data, "run", arm.recipe, "--name", name, *as_options(arm.sets_of(seed)))
    return named_runs(data, name)[name]


def as_options(sets: Sequence[str]) -> list[str]:
    """What is set, as `mr` takes it."""
    return [part for each in sets for part in ("--set", each)]


def mr(data: Path, *arguments: str) -> None:
    """Run a command in a process that ends with this one. Raises `UserError` if it fails."""
    command = [sys.executable, "-m", "mr_assets_tests.study.child", str(os.getpid()), *arguments]
    process = subprocess.Popen(
        command, env={**os.environ, "MR_DATA": str(data)}, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status:
        raise UserError(f"mr {' '.join(arguments)} ended with {status}. The same command goes on.")


def data_of_this_code() -> Path:
    """A folder of its own for what this code makes: a run of other code would be complete there, and no result."""
    digest = blake2b(" ".join(code_version(asset) for asset in MADE).encode(), digest_size=4).hexdigest()
    return PROJECT / "data" / f"study-{digest}"


def carried_out(plan: Sequence[Planned], data: Path, results: Path) -> list[str]:
    """Run what is planned and write each result as it comes. What fails keeps no other waiting: its names."""
    failed = []
    data.mkdir(parents=True, exist_ok=True)
    for number, (seed, arm, *_) in enumerate(plan, start=1):
        print(f"--- {number} of {len(plan)}: seed {seed}, {arm.words}", flush=True)
        try:
            run = made(arm, seed, data)
            there = stored_runs(data)
            sources = [there[other] for each in (arm.shares, arm.begins_as) if (other := f"{each}_{seed}") in there]
            print(write(collected(run, arm, seed, sources), results), flush=True)
        except UserError as error:
            print(error, flush=True)
            failed.append(f"{arm.name}_{seed}")
    return failed


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=list(SEEDS))
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    parser.add_argument("--keep-earlier", action="store_true")
    parser.add_argument("--data", type=Path, default=data_of_this_code())
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    if unknown := [name for name in args.arms if name not in ARMS]:
        parser.error(f"--arms: {', '.join(unknown)} is none of {', '.join(ARMS)}.")
    arms = [ARMS[name] for name in args.arms]
    plan, failed = [], []
    if not args.page:
        plan = planned(read(args.results), arms, args.seeds, keep_earlier=args.keep_earlier)
        print(said(plan, arms, args.seeds, args.data), flush=True)
        if args.plan:
            return
        failed = carried_out(plan, args.data.resolve(), args.results)
    print(*write_pages(read(args.results)), sep="\n")
    print(made_of(read(args.results)))
    if failed:
        raise UserError(f"{len(failed)} of {len(plan)} failed: {', '.join(failed)}. The same command tries them again.")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
