"""`mr cluster`: a command on a Ray cluster that is there for it alone."""

import os

import click


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--nodes", type=click.IntRange(2, 8), default=2, show_default=True, help="Nodes, the head included.")
@click.option("--gpus", type=click.IntRange(1, 8), default=1, show_default=True, help="Logical GPUs of each worker.")
def cluster(command: tuple[str, ...], nodes: int, gpus: int) -> None:
    """Run COMMAND on a Ray cluster for trying, on this machine alone; without one, your shell.

    The cluster has a network of its own, which nothing outside can reach, and ends with the command. Its GPUs are only
    numbers: what asks for one is sent to a node that has it, and computes on the CPU there. MR_EXECUTOR and Ray's
    address and token are set for the command. Needs Linux with namespaces: root, or user namespaces.

    \b
    mr cluster -- mr run small_world_meta_rewarding
    mr cluster --nodes 3                                  (a shell: mr run, ray status, ray list nodes)
    """
    from mr_assets.orchestration.trial_cluster import run_in_cluster

    raise SystemExit(run_in_cluster(command or (os.environ.get("SHELL", "/bin/sh"),), nodes, gpus))
