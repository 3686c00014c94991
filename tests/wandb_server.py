"""W&B without W&B: the environment of a user without an account, and servers that answer a little, or never."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


def environment(place: Path, **variables: str) -> dict[str, str]:
    """That of a user without an account: a home of their own, and no setting of W&B or of a proxy."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "NETRC", "XDG_"))}
    kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
    (place / "home").mkdir(exist_ok=True)
    return kept | {"HOME": str(place / "home")} | variables


@contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that accepts connections and never answers: its address, and the connections so far."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connections.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", connections
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
    for connection in connections:
        connection.close()


class Answers(BaseHTTPRequestHandler):
    """As much of W&B's server as runs and reports talk to. Keeps what they sent."""

    received: ClassVar[list[dict[str, Any]]]
    refuse: ClassVar[str] = ""  # the error that every request is answered with

    def do_PUT(self) -> None:  # an upload
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply({})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self.received.append(request)
        answer = {"data": self.answer(request.get("query", ""), request.get("variables", {}))}
        self.reply({"errors": [{"message": self.refuse}]} if self.refuse else answer)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "UpsertBucket" in query:  # a run
            project = {"id": "p", "name": "numpy-mlp", "entity": {"id": "e", "name": "someone"}}
            run = {"id": "b", "name": variables["name"], "displayName": "", "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": run, "inserted": True}}
        if "CreateRunFiles" in query:
            place = f"http://127.0.0.1:{self.server.server_port}/upload"  # type: ignore[attr-defined]
            files = [{"name": name, "uploadUrl": place} for name in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "ArtifactType(" in query:
            return {"project": {"artifact": None}}
        if "CreateArtifact(" in query or "createArtifact(" in query:
            sequence = {"id": "s", "latestArtifact": None}
            artifact = {"id": str(len(self.received)), "state": "COMMITTED", "artifactSequence": sequence}
            return {"createArtifact": {"artifact": artifact}}
        if "Viewer" in query:
            user = {"id": "u", "username": "someone", "entity": "someone", "flags": "{}", "teams": {"edges": []}}
            return {"viewer": user}
        if "GetProjects" in query:
            project = {"id": "p", "name": "numpy-mlp", "entityName": "someone", "createdAt": "2026-01-02T03:04:05"}
            node = project | {"isBenchmark": False, "user": None}
            page = {"hasNextPage": False, "endCursor": "c"}
            return {"models": {"edges": [{"cursor": "c", "node": node}], "pageInfo": page}}
        if "ProjectInternalId" in query:
            return {"project": {"id": "p", "internalId": "p"}}
        if "upsertView" in query:  # a report
            project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
            kept = {name: variables[name] for name in ("name", "displayName", "description", "spec")}
            return {"upsertView": {"view": {"id": "v", "type": "runs", "project": project, **kept}, "inserted": True}}
        return {}

    def reply(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def answering_server(refuse: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers: its address, and what it has received so far."""
    handler = type("Handler", (Answers,), {"received": [], "refuse": refuse})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.received  # type: ignore[attr-defined]
        server.shutdown()
