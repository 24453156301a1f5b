"""Dagster's webserver behind the gate: what changes anything comes by POST, from its own pages or from no page."""

from collections.abc import Sequence
from typing import Any

from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mr_assets.dagster_internals import WorkspaceProcessContext
from mr_assets.gate import Gate


class Webserver(DagsterWebserver[WorkspaceProcessContext, Any]):
    """Dagster's webserver behind the gate; what changes anything is taken by POST alone."""

    def __init__(self, process_context: WorkspaceProcessContext, hosts: Sequence[str]) -> None:
        self.hosts = hosts
        super().__init__(process_context, live_data_poll_rate=2000)

    def build_middleware(self) -> list[Middleware]:
        """The gate comes first."""
        return [Middleware(Gate, hosts=self.hosts), *super().build_middleware()]

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """As Dagster's, without mutations by GET: an address alone, in a picture or a link, must not do anything."""
        if request.method == "GET" and not all(map(_only_asks, request.query_params.getlist("query"))):
            said = "Only queries are answered by GET. Send this by POST, as JSON.\n"
            return PlainTextResponse(said, 405, {"Allow": "POST"})
        answer: Response = await super().graphql_http_endpoint(request)
        return answer


def _only_asks(document: str) -> bool:
    """Whether all operations of a GraphQL document are queries; what is no document can do nothing either."""
    try:
        found = parse(document).definitions
    except (GraphQLError, RecursionError):
        return True
    return all(d.operation == OperationType.QUERY for d in found if isinstance(d, OperationDefinitionNode))
