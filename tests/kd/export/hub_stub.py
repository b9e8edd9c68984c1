"""A hub on this machine that huggingface_hub's own client can upload to and download from."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class HubStub:
    """Repositories by name, as they were made, and the files of the commits to them."""

    address: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def file(self, path: str) -> bytes | None:
        """The file that a path of downloads names, such as /me/mine/resolve/main/config.json."""
        repository, _, name = path.partition("/resolve/")
        is_there = repository.strip("/") in self.made
        return self.files.get(name.partition("/")[2]) if is_there else None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of a request; 404 for one that no upload needs."""
        name = "/".join(path.split("/")[3:5])
        model = f"/api/models/{name}"
        if path == "/api/validate-yaml":
            return 200, {"warnings": [], "errors": []}
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.made[f"me/{asked['name']}"] = asked
            return 200, {"url": f"{self.address}/me/{asked['name']}"}
        if method == "GET" and path in (model, f"{model}/revision/main") and name in self.made:
            private = self.made[name]["visibility"] == "private"
            return 200, {"id": name, "private": private, "sha": "0" * 40, "siblings": []}
        if path == f"{model}/preupload/main":
            files = json.loads(body)["files"]
            kept = {"uploadMode": "regular", "shouldIgnore": False}
            return 200, {"files": [{"path": file["path"]} | kept for file in files]}
        if path == f"{model}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            return 200, {"commitUrl": f"{self.address}/{name}", "commitOid": "0" * 40}
        self.unknown.append(f"{method} {path}")
        return 404, {"error": "not found"}


@contextmanager
def hub_stub() -> Iterator[HubStub]:
    """A stub that listens on a port of its own until the block ends."""
    stub = HubStub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            path = self.path.split("?")[0]
            content = stub.file(path)
            if content is not None:
                headers = {"x-repo-commit": "0" * 40, "etag": f'"{hash(content)}"'}
                self.send(200, content, headers)
            elif "/resolve/" in path:
                self.send(404, b"", {"x-error-code": "EntryNotFound"})
            else:
                status, found = stub.answer(self.command, path, self.rfile.read(length))
                kind = {"content-type": "application/json"}
                self.send(status, json.dumps(found).encode(), kind)

        do_GET = do_HEAD = do_POST

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()
