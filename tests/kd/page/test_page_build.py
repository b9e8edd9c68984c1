"""Tests of building and serving the page: what is written, refused, and said in the headers."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import onnx
import pytest

from data.errors import InputError
from kd.cli import main
from kd.page import build
from kd.page.build import FILES, POLICY, make_page
from kd.page.serve import page_server

ROOT = Path(__file__).resolve().parents[3]


def file_of(folder, key):
    """A file put together again from its parts, as the page does it."""
    packed = b""
    for number in range(len(list((folder / "parts").glob(f"{key}-*.js")))):
        text = (folder / "parts" / f"{key}-{number}.js").read_text()
        name, part = re.fullmatch(r'part\("(\w+)", "([\w+/=]+)"\);\n', text).groups()
        assert name == key
        packed += base64.b64decode(part)
    return gzip.decompress(packed)


@pytest.fixture(scope="module")
def folder(built, exported, tmp_path_factory):
    """The page of the small student, the default parts made smaller so that it has several."""
    target = tmp_path_factory.mktemp("page") / "page"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PART", 3 * 2**16)
        make_page(exported, target)
    return target


def test_the_parts_hold_the_students_files(folder, exported):
    assert {path.name for path in folder.iterdir()} == FILES
    assert len(list((folder / "parts").glob("wasm-*.js"))) > 10
    assert file_of(folder, "wasm")[:4] == b"\0asm"
    assert file_of(folder, "model") == (exported / "model.onnx").read_bytes()
    assert file_of(folder, "tokenizer") == (exported / "tokenizer.json").read_bytes()


def test_the_page_names_nothing_outside_its_folder(folder):
    page = (folder / "index.html").read_text("utf-8")
    assert f'content="{POLICY}"' in page
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert set(named) == {"data:,", "page.css", "page.js", "licenses.txt"}
    # The one "<" of a class's name would begin a tag.
    about = re.search(r'<script type="application/json" id="student">(.*?)</script>', page)
    tasks = json.loads(about.group(1))["tasks"]
    assert tasks[0]["classes"] == ["sad", "glad | <b>"]
    assert "<b>" not in page


def test_of_several_graphs_the_smallest_is_taken(built, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "run" / "export")
    for name in ("model.int8.onnx", "model.fp16.onnx"):
        graph = onnx.load(exported / "model.onnx")
        graph.producer_name = name
        onnx.save(graph, tmp_path / "run" / "export" / name)
    make_page(tmp_path / "run", tmp_path / "page")
    assert b"model.int8.onnx" in file_of(tmp_path / "page", "model")
    assert '"file": "model.int8.onnx"' in (tmp_path / "page" / "index.html").read_text()


def test_a_page_is_written_anew_but_never_in_place_of_another_folder(folder, exported, tmp_path):
    shutil.copytree(folder, tmp_path / "page")
    make_page(exported, tmp_path / "page")
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(InputError, match="holds 'page', which is no part of a page"):
        make_page(exported, tmp_path)
    with pytest.raises(InputError, match="is a file"):
        make_page(exported, tmp_path / "precious")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_without_an_export_is_refused(built, exported, tmp_path, capsys):
    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / "model.onnx").unlink()
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["demo", str(tmp_path / "model"), "--static", str(tmp_path / "page")])
    error = capsys.readouterr().err
    assert "holds no export" in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "page").exists()


def test_tasks_of_a_trained_student_are_no_exports(built, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    tasks = json.loads((exported / "tasks.json").read_text())
    del tasks[1]["max_tokens"]
    (tmp_path / "model" / "tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(InputError, match=r"task 'age' lacks max_tokens: .*kd export"):
        make_page(tmp_path / "model", tmp_path / "page")


def test_a_tokenizer_that_the_page_can_not_follow_is_refused(built, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    path.write_text(
        json.dumps({"normalizer": None, "pre_tokenizer": None, "model": {"type": "BPE"}})
    )
    with pytest.raises(InputError, match=r"kind None \+ None \+ BPE: the page reads WordPiece"):
        make_page(tmp_path / "model", tmp_path / "page")


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "bytes": lambda content: bytes(range(128, 256)),
    "a string": lambda content: b'"model"',
    "an empty list": lambda content: b"[]",
    "numbers": lambda content: b"[1, 2]",
    "a mapping": lambda content: b'{"normalizer": "BertNormalizer"}',
}


@pytest.mark.parametrize("name", ["tasks.json", "tokenizer.json", "model.onnx"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_ends_in_one_line_that_names_the_file(
    damage, name, built, exported, tmp_path, capsys
):
    shutil.copytree(exported, tmp_path / "model")
    path = tmp_path / "model" / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["demo", str(tmp_path / "model"), "--static", str(tmp_path / "page")])
    error = capsys.readouterr().err
    assert error.startswith(f"kd: {path}: is ")
    assert error.endswith(": write it again with kd export RUN\n")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "page").exists()


def test_missing_or_old_scripts_are_told_with_the_command_that_builds_them(
    exported, tmp_path, monkeypatch
):
    monkeypatch.setattr(build, "VENDOR", tmp_path / "vendor")
    with pytest.raises(InputError, match=r"not built: run bash scripts/build_page\.sh"):
        make_page(exported, tmp_path / "page")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "sources.sha256").write_text("of other sources\n")
    with pytest.raises(InputError, match=r"older than .*: run bash scripts/build_page\.sh"):
        make_page(exported, tmp_path / "page")


def test_the_server_gives_files_with_their_kind_and_policy_and_logs_nothing(folder, capfd):
    with page_server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.server_address[0] == "127.0.0.1"
        address = f"http://127.0.0.1:{server.server_port}/"
        kinds = {"": "text/html", "page.js": "text/javascript", "page.css": "text/css",
                 "parts/wasm-0.js": "text/javascript", "licenses.txt": "text/plain"}  # fmt: skip
        for name, kind in kinds.items():
            with urlopen(address + name) as answer:
                assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
                assert answer.headers["Content-Security-Policy"].startswith(POLICY)
                assert answer.headers["Cache-Control"] == "no-store"
        for name in ("parts/", "../pyproject.toml"):
            with pytest.raises(HTTPError, match="404") as refused:
                urlopen(address + name)
            refused.value.close()
        server.shutdown()
    assert capfd.readouterr() == ("", "")


def test_a_browser_that_leaves_is_no_error(capfd):
    with page_server(Path(), 0) as server:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            server.handle_error(None, ("127.0.0.1", 1))
        assert capfd.readouterr().err == ""
        try:
            raise ValueError("a fault of ours")
        except ValueError:
            server.handle_error(None, ("127.0.0.1", 1))
    assert "a fault of ours" in capfd.readouterr().err


def test_a_port_in_use_ends_in_one_line(exported, capsys):
    with page_server(Path(), 0) as server, pytest.raises(SystemExit, match=r"^2$"):
        main(["demo", str(exported), "--port", str(server.server_port)])
    error = capsys.readouterr().err
    assert re.fullmatch(r"kd: --port: \d+: Address already in use: give another, .*\n", error)


def test_the_command_says_where_it_serves_and_ends_quietly(built, exported, capsys, monkeypatch):
    def stopped(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", stopped)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["demo", str(exported), "--port", "0"])
    shown = capsys.readouterr()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n", shown.out)
    assert shown.err == ""


def test_the_policy_lets_nothing_out():
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["connect-src"] == rules["form-action"] == "'none'"
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY


def test_every_npm_package_is_pinned_and_no_file_names_where_it_was_fetched():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert lock.pop("")["devDependencies"] == wanted
    assert all("integrity" in package and "resolved" not in package for package in lock.values())
    host = re.compile(r"registry\.\w+\.\w+|[/]artifactory[/]|[/]repository[/]npm")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git: which files belong to the project is not known")
    texts = [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    named = [path.name for path in texts if host.search(path.read_text("utf-8", "replace"))]
    assert named == []
