"""The command kd demo."""

import signal
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from kd.cli_options import out


def demo(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a folder that kd export wrote")],
    static: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the page as a folder of files instead")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = 8765,
) -> None:
    """Serve a page on this machine in which the student runs in the browser itself.

    The folder of --static opens from disk, or from any server of files.
    """
    from kd.page.build import make_page
    from kd.page.serve import ADDRESS, page_server

    if static is not None:
        make_page(model, static)
        out.print(f"{static / 'index.html'}", markup=False)
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with TemporaryDirectory(prefix="kd-demo-") as name:
        folder = Path(name) / "page"
        with page_server(folder, port) as server:
            make_page(model, folder)
            with suppress(KeyboardInterrupt):
                out.print(f"http://{ADDRESS}:{server.server_port}/ (Ctrl-C ends it)", markup=False)
                server.serve_forever()
