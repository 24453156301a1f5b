"""What is private in Dagster and used nevertheless: in one place, still there, and taking what we hand to it."""

import ast
import inspect
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_webserver.webserver import DagsterWebserver

from mr_assets import dagster_internals as internals
from mr_assets.orchestration.run_launcher import ProcessRunLauncher

HERE = Path(internals.__file__)
TESTS = Path(__file__).parent
TAKES: list[tuple[Callable[..., Any], str]] = [
    # what is called, and what we call it with: names for what is given by name, a dash for what is given by position
    (internals.ConfigScalar, "- - -"),
    (internals.AssetCheckEvaluationTargetMaterializationData, "storage_id run_id timestamp"),
    (internals.ReconstructableJob, "- -"),
    (internals.ReconstructableRepository.for_module, "- -"),
    (internals.execute_run, "- - -"),
    (internals.EngineEventData, ""),
    (internals.StepFailureData, "- -"),
    (internals.UserFailureData, "- -"),
    (internals.StepDelegatingExecutor, "- retries check_step_health_interval_seconds should_verify_step"),
    (internals.BulkActionsFilter, "statuses"),
    (internals.CheckRunHealthResult, "- -"),
    (internals.RemoteRepositoryOrigin, "- -"),
    (internals.RemoteJobOrigin, "- -"),
    (internals.WorkspaceProcessContext, "- - - read_only"),
    (internals.WorkspaceProcessContext.refresh_code_location, "- -"),
    (internals.WorkspaceProcessContext.refresh_workspace, "-"),
    (internals.WorkspaceProcessContext.get_current_workspace, "-"),
    (internals.WorkspaceProcessContext.create_request_context, "- -"),
    (internals.location_origin_from_module_name, "- - -"),
    (internals.WorkspaceFileTarget, "-"),
    (internals.ExecuteRunArgs, "- - -"),
    (internals.LocalComputeLogManager, "base_dir polling_timeout inst_data"),
    (internals.LocalComputeLogManager.capture_logs, "- -"),
    (internals.configure_loggers, "log_level"),
    # methods without documentation of public classes
    (DagsterWebserver.__init__, "- - live_data_poll_rate"),
    (DagsterWebserver.build_middleware, "-"),
    (DagsterWebserver.graphql_http_endpoint, "- -"),
    (
        dg.DagsterInstance.create_run_for_job,
        "- job_def run_id run_config tags asset_selection job_code_origin remote_job_origin",
    ),
    (dg.DagsterEvent.engine_event, "- - -"),
    (dg.DagsterEvent.step_failure_event, "- -"),
    (dg.DagsterInstance.get_backfills, "- filters"),
    (dg.DagsterInstance.get_run_step_stats, "- -"),
    (dg.DagsterInstance.get_records_for_run, "- - -"),
    (dg.DagsterInstance.all_logs, "- - of_type"),
    (dg.DagsterInstance.add_run_tags, "- - -"),
    (dg.DagsterInstance.report_engine_event, "- - -"),
    (dg.DagsterInstance.report_run_canceling, "- -"),
    (dg.DagsterInstance.report_run_canceled, "- -"),
    (dg.DagsterInstance.report_run_failed, "- - -"),
    (dg.DagsterInstance.optimize_for_webserver, "- - - -"),
]
HAS: list[tuple[Any, str]] = [
    (internals.ConfigScalarKind, "BOOL INT FLOAT STRING"),
    (internals.RunFailureReason, "UNEXPECTED_TERMINATION"),
    (internals.BulkActionStatus, "REQUESTED CANCELING FAILING"),
    (internals.WorkerStatus, "RUNNING FAILED"),
    (internals.RetryMode, "ENABLED"),
    (internals.CheckStepHealthResult, "is_healthy"),
    (internals.StepHandlerContext, "step_tags get_step_context"),
    (internals.LaunchRunContext, "dagster_run job_code_origin"),
    (internals.ReconstructableJob, "get_definition get_python_origin"),
    (internals.WorkspaceProcessContext, "create_request_context reload_code_location reload_workspace"),
    (internals.GrpcServerCodeLocation, "server_id"),
    (internals.ExecuteRunArgs, "get_command_args"),
    (internals.ConfigScalar, "post_process"),
]


def test_no_other_module_names_a_private_module_of_dagster() -> None:
    """Neither to import it nor to start it."""
    private = re.compile(r"\bdagster\._[a-z]")
    assert [path for path in HERE.parent.rglob("*.py") if private.search(path.read_text(encoding="utf-8"))] == [HERE]


@pytest.mark.parametrize("file", sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("*.py")))
def test_a_test_takes_from_there_what_is_there(file: str) -> None:
    """What only tests need, they import themselves."""
    tree = ast.walk(ast.parse((TESTS / file).read_text(encoding="utf-8")))
    private = (node for node in tree if isinstance(node, ast.ImportFrom) and str(node.module).startswith("dagster._"))
    taken = {alias.name for node in private for alias in node.names}
    assert taken & vars(internals).keys() == set()


def test_what_is_public_is_taken_from_dagster() -> None:
    typing = {"Any", "TYPE_CHECKING"}
    assert [name for name in vars(internals).keys() - typing if name[0] != "_" and hasattr(dg, name)] == []


@pytest.mark.parametrize(("called", "given"), TAKES, ids=lambda value: getattr(value, "__qualname__", None))
def test_it_takes_what_we_hand_to_it(called: Callable[..., Any], given: str) -> None:
    names = given.split()
    inspect.signature(called).bind(*("-" * names.count("-")), **{name: None for name in names if name != "-"})


@pytest.mark.parametrize(("owner", "names"), HAS, ids=lambda value: getattr(value, "__qualname__", None))
def test_it_has_what_we_use_of_it(owner: Any, names: str) -> None:
    assert [name for name in names.split() if not hasattr(owner, name)] == []


def test_the_launcher_answers_all_that_is_asked_of_one() -> None:
    """Nothing that Dagster calls is left abstract, and what the launcher overrides is there to be."""
    assert not inspect.isabstract(ProcessRunLauncher)
    asked = "launch_run terminate supports_check_run_worker_health check_run_worker_health get_run_worker_debug_info"
    assert set(asked.split()) <= set(vars(internals.RunLauncher))
    assert {"inst_data", "config_type", "from_config_value"} <= set(vars(internals.ConfigurableClass))


def test_the_daemon_is_a_module_to_be_started() -> None:
    assert find_spec(f"{internals.DAEMON_MODULE}.__main__")


def test_the_daemon_makes_what_it_knows_of_the_definitions_from_a_name_of_its_module() -> None:
    """Which is given another value."""
    from dagster._daemon import controller

    assert controller.__name__ == internals.DAEMON_CONTROLLER
    made = inspect.getsource(controller.daemon_controller_from_instance)
    assert "WorkspaceProcessContext(" in made
