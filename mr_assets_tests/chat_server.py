"""A chat server of ours on the loopback interface, which answers, and errs, as a test says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]  # status and body: JSON, or a text as it is


def said(
    text: str | None,
    finish_reason: str = "stop",
    usage: tuple[int, int] | None = None,
    logprobs: dict[str, float] | None = None,
) -> Answer:
    """An answer as the interface has it. usage: of prompt and answer; logprobs: of the likeliest first tokens."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
    choice["message"] = {"role": "assistant", "content": text}
    if logprobs is not None:
        top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return 200, body


class Server(ThreadingHTTPServer):
    """Answers as `answer` says, given the request's number from 0 and its body; keeps what was asked.

    models: what it lists, at /v1/models, None for a server that has no such page; key: that it wants for the list, None
    for none; retry_after: what it says of when to come again; trickle: seconds between the bytes of an answer.
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.lock = answer, threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.at_once = self.most_at_once = 0
        self.models: list[str] | None = None
        self.key: str | None = None
        self.retry_after: str | None = None
        self.trickle = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            number = len(self.server.asked)
            self.server.asked.append(body)
            self.server.keys.add(self.headers["authorization"])
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        status, answer = self.server.answer(number, body)
        with self.server.lock:
            self.server.at_once -= 1
        self._send(status, answer)

    def do_GET(self) -> None:
        models = self.server.models if self.path == "/v1/models" else None
        if models is not None and self.server.key and self.headers["authorization"] != f"Bearer {self.server.key}":
            self._send(401, {"error": {"message": "wrong key"}})
            return
        listed = None if models is None else {"object": "list", "data": [{"id": m, "object": "model"} for m in models]}
        self._send(*((404, "no such page") if listed is None else (200, listed)))

    def _send(self, status: int, answer: Any) -> None:
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if isinstance(answer, str) else "application/json")
        self.send_header("content-length", str(len(content)))
        if self.server.retry_after is not None:
            self.send_header("retry-after", self.server.retry_after)
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked has given up
            for piece in [content] if not self.server.trickle else [bytes([byte]) for byte in content]:
                self.wfile.write(piece)
                time.sleep(self.server.trickle)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(answer: Callable[[int, dict[str, Any]], Answer]) -> Iterator[Server]:
    """A server that answers so, for as long as it is needed."""
    with Server(answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


Serve = Callable[[Callable[[int, dict[str, Any]], Answer]], Server]
