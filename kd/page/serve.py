"""Serving the page's folder on this machine alone."""

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from data.errors import InputError
from kd.page.build import POLICY

ADDRESS = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Another student's page may be served under the same address next.
    "Cache-Control": "no-store",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Gives the files of one folder; lists no folder and logs nothing."""

    # A machine's own table may call scripts plain text, which browsers then refuse.
    extensions_map = {  # noqa: RUF012 (as the base class has it)
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".txt": "text/plain; charset=utf-8",
    }

    def end_headers(self) -> None:
        """Add the headers that every answer carries."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:
        """Refuse: the names of files are nobody's business."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class PageServer(ThreadingHTTPServer):
    """Stays silent when a browser leaves in the middle of a file."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong, unless the other side went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def page_server(folder: Path, port: int) -> PageServer:
    """A server of a folder's files on this machine's own address; port 0 takes any free one.

    Raises InputError when the port can't be had.
    """
    try:
        return PageServer((ADDRESS, port), partial(PageHandler, directory=str(folder)))
    except OSError as error:
        raise InputError(
            f"--port: {port}: {error.strerror}: give another, or 0 for any free one"
        ) from None
