"""The demo's upstreams: one small HTTP server, started once per service. Standard library only.

    python upstream.py SERVICE [HOST:PORT]

Without an address it takes a free port on 127.0.0.1. Its first line of output is the address it listens on.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote

# Service -> what its answers call it.
SERVICES: Final = {
    "users": {"service": "users", "version": "v2"},
    "orders": {"service": "orders", "version": "v1"},
    "recommend-v1": {"service": "recommend", "version": "v1"},
    "recommend-v2": {"service": "recommend", "version": "v2"},
    "chat": {"service": "chat", "version": "v1"},
}
CONTENT: Final[dict[str, dict[str, Any]]] = {
    "users": {"users": [{"id": "u1", "name": "Ada"}, {"id": "u2", "name": "Grace"}]},
    "orders": {"orders": [{"id": "o1", "user": "u1", "total": 42.5}]},
    "recommend-v1": {"picks": ["book", "pen"]},
    "recommend-v2": {"picks": ["book", "lamp"]},
    "chat": {},
}
CHAT: Final = "/api/v1/chat/completions"
WORDS: Final = ("The", "shop", "is", "open", "from", "nine", "to", "five", "and", "sells", "books", "and", "pens")
MOST_WORDS: Final = 10_000
PAUSE: Final = 0.005  # between two words, as a model takes some time for each
MAX_BODY: Final = 64 * 1024 * 1024


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    service = ""

    def answer(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if path == CHAT and self.service == "chat":
            self._chat(body)
        elif path.startswith("/api/v2/echo"):
            self._send({"method": self.command, "path": self.path, "headers": self._fields(), "body": body})
        elif self.service == "users" and path.startswith("/users/"):
            self._send({**SERVICES[self.service], "id": unquote(path.removeprefix("/users/"))})
        elif path in ("/healthz", "/public/status"):
            self._send({**SERVICES[self.service], "status": "ok"})
        else:
            self._send({**SERVICES[self.service], **CONTENT[self.service]})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815 - http.server's names

    def _chat(self, body: str) -> None:
        """In OpenAI's style: a word is a token, and there are as many as `max_tokens` says."""
        try:
            asked = json.loads(body)
            words = min(int(asked.get("max_tokens", len(WORDS))), MOST_WORDS)
        except (ValueError, TypeError, AttributeError):
            self._send(
                {"error": {"message": "no chat completion is asked for so", "type": "invalid_request_error"}}, 400
            )
            return
        prompt = len(json.dumps(asked.get("messages", [])).split())
        usage = {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words}
        said = [WORDS[at % len(WORDS)] for at in range(words)]
        if asked.get("stream"):
            self._stream(said, usage if (asked.get("stream_options") or {}).get("include_usage") else None)
        else:
            message = {"role": "assistant", "content": " ".join(said)}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self._send({**self._made("chat.completion"), "choices": choices, "usage": usage})

    def _stream(self, words: list[str], usage: dict[str, int] | None) -> None:
        """With `usage`, every chunk has that member, and one more at the end says what it is."""
        same = self._made("chat.completion.chunk") | ({} if usage is None else {"usage": None})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in words:
            time.sleep(PAUSE)
            self._event({**same, "choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
        self._event({**same, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if usage is not None:
            self._event({**same, "choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _made(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-demo", "object": kind, "created": 0, "model": "demo"}

    def _event(self, document: dict[str, Any]) -> None:
        self._chunk(b"data: %s\n\n" % json.dumps(document).encode())

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def _fields(self) -> list[list[str]]:
        return [[name, value] for name, value in self.headers.items()]

    def _body(self) -> str:
        raw = self._chunks() if "chunked" in self.headers.get("transfer-encoding", "") else self._exactly()
        return raw.decode("utf-8", "surrogateescape")

    def _exactly(self) -> bytes:
        return self.rfile.read(min(int(self.headers.get("content-length") or 0), MAX_BODY))

    def _chunks(self) -> bytes:
        body = b""
        while len(body) < MAX_BODY:
            size = int(self.rfile.readline().split(b";")[0], 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                break
            body += chunk
        return body

    def _send(self, document: dict[str, Any], status: int = 200) -> None:
        payload = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Envoy logs every request already."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever goes away in the middle of an answer may."""


def main(arguments: list[str]) -> None:
    service = arguments[0] if arguments else ""
    if service not in SERVICES:
        sys.exit(f"usage: upstream.py {{{'|'.join(SERVICES)}}} [HOST:PORT]")
    host, _, port = (arguments[1] if len(arguments) > 1 else "127.0.0.1:0").rpartition(":")
    Upstream.service = service
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((host, int(port)), Upstream) as server:
        bound = server.server_address
        sys.stdout.write(f"{bound[0]!s}:{bound[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
