"""All that the project uses of Dagster's private modules: what each name is for, and what is public in its place.

Dagster is pinned for their sake. No other module imports `dagster._...`, and a test holds that each name is there and
takes what we hand to it: a newer Dagster fails there first. Unless a line says otherwise, Dagster 1.13 has no public
replacement.
"""

# launchpad: a scalar that is checked when a Dagster run is launched; the public dg.Config is checked as its step begins
from dagster._config.config_type import ConfigScalar as ConfigScalar
from dagster._config.config_type import ConfigScalarKind as ConfigScalarKind

# checks: which materialization an evaluation is of; the public dg.AssetCheckEvaluation takes it and has no class for it
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as AssetCheckEvaluationTargetMaterializationData,
)

# steps: the job that the Materialize button starts, by its name, for `execute_run`
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME as IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.reconstruct import ReconstructableJob as ReconstructableJob
from dagster._core.definitions.reconstruct import ReconstructableRepository as ReconstructableRepository
from dagster._core.definitions.repository_definition.valid_definitions import (
    SINGLETON_REPOSITORY_NAME as SINGLETON_REPOSITORY_NAME,
)

# daemon: that the code server does not answer
from dagster._core.errors import DagsterUserCodeUnreachableError as DagsterUserCodeUnreachableError

# ray_executor: what the history says of a step that is not here
from dagster._core.events import EngineEventData as EngineEventData

# steps: whether a Dagster run failed because it was interrupted
from dagster._core.events import RunFailureReason as RunFailureReason

# steps: execute a Dagster run made beforehand, with its tags and origin; the public dg.execute_job makes one without
from dagster._core.execution.api import execute_run as execute_run

# history: which backfills are under way
from dagster._core.execution.backfill import BulkActionsFilter as BulkActionsFilter
from dagster._core.execution.backfill import BulkActionStatus as BulkActionStatus

# ray_executor: that a step failed, with a message of ours; and its executor, whose handler is dagster-ray's
from dagster._core.execution.plan.objects import StepFailureData as StepFailureData
from dagster._core.execution.plan.objects import UserFailureData as UserFailureData
from dagster._core.execution.retries import RetryMode as RetryMode
from dagster._core.executor.step_delegating import CheckStepHealthResult as CheckStepHealthResult
from dagster._core.executor.step_delegating import StepDelegatingExecutor as StepDelegatingExecutor
from dagster._core.executor.step_delegating import StepHandlerContext as StepHandlerContext

# run_launcher: the interface that `run_launcher` of dagster.yaml names
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import LaunchRunContext as LaunchRunContext
from dagster._core.launcher import RunLauncher as RunLauncher
from dagster._core.launcher import WorkerStatus as WorkerStatus

# steps: where the UI finds the job of a Dagster run again, to re-execute it
from dagster._core.remote_origin import RemoteJobOrigin as RemoteJobOrigin
from dagster._core.remote_origin import RemoteRepositoryOrigin as RemoteRepositoryOrigin

# daemon: a code location, with the process that it was loaded from
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation as GrpcServerCodeLocation

# compute_logs: the class whose helper processes are kept from Ctrl-C; public is only its name in dagster.yaml
from dagster._core.storage.compute_log_manager import CapturedLogContext as CapturedLogContext

# history, run_launcher: the statuses of a Dagster run that has not ended; public is DagsterRun.is_finished, of one
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES as NOT_FINISHED_STATUSES
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager as LocalComputeLogManager

# history, steps, run_launcher: which partition a Dagster run is for; public is only context.partition_key, inside one
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG as ASSET_PARTITION_RANGE_END_TAG
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG as ASSET_PARTITION_RANGE_START_TAG
from dagster._core.storage.tags import PARTITION_NAME_TAG as PARTITION_NAME_TAG

# webserver, daemon: what they know of the definitions; public are only the commands, dagster-webserver without a gate
from dagster._core.workspace.context import WorkspaceProcessContext as WorkspaceProcessContext
from dagster._core.workspace.context import WorkspaceRequestContext as WorkspaceRequestContext
from dagster._core.workspace.load import location_origin_from_module_name as location_origin_from_module_name
from dagster._core.workspace.load_target import WorkspaceFileTarget as WorkspaceFileTarget

# run_launcher: the command line of the process that executes a Dagster run
from dagster._grpc.types import ExecuteRunArgs as ExecuteRunArgs

# run_launcher: a class that dagster.yaml can name; dg.ConfigurableResource cannot be a run launcher
from dagster._serdes import ConfigurableClass as ConfigurableClass
from dagster._serdes.config_class import ConfigurableClassData as ConfigurableClassData

# webserver: how loudly Dagster's own processes log
from dagster._utils.log import configure_loggers as configure_loggers

# daemon: `python -m` this is the public command dagster-daemon, which need not be on the PATH
DAEMON_MODULE = "dagster._daemon"

# daemon: the module that makes the daemon's WorkspaceProcessContext; no option names another class
DAEMON_CONTROLLER = "dagster._daemon.controller"
