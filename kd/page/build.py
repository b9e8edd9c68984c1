"""Building the browser page of an exported student: a folder that opens from disk or a server."""

import base64
import gzip
import hashlib
import html
import json
import shutil
from html.entities import html5
from pathlib import Path
from string import Template
from typing import Any

from data.errors import InputError
from data.tasks import TASKS_FILE
from kd.atomic import new_folder
from kd.export.certificate import check_unchanged

ASSETS = Path(__file__).with_name("assets")
# What scripts/build_page.sh makes of the assets and of npm packages; not in the repository.
VENDOR = Path(__file__).with_name("vendor")
HOW_TO_BUILD = "run bash scripts/build_page.sh (it needs npm and, once, the network)"
# The smallest first.
GRAPHS = ("model.int8.onnx", "model.fp16.onnx", "model.onnx")
TASK_KEYS = {
    *("name", "kind", "classes", "has_context", "has_rationale", "low", "high"),
    *("rationale_threshold", "max_tokens"),
}
# Nothing from elsewhere, and no connection: the student comes as scripts of the page's own folder.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; "
    "style-src 'self'; img-src data:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)
# Bytes of a file in one script: small enough to be parsed at once, and to show that it goes on.
PART = 3 * 2**20
# The first numeric entities, among which are those that do not stand for their own number.
FIRST_NUMBERS = 160
FILES = {"index.html", "page.css", "page.js", "licenses.txt", "parts"}


def make_page(model: Path, target: Path) -> None:
    """Write the page of an exported student to a folder, atomically.

    model: the export's folder, or a run's folder that holds it as `export`. Raises InputError
    when it is none or damaged, its tokenizer is of a kind that the page can't read, the page's own
    scripts are not built, or the target is a folder of something else.
    """
    check_target(target)
    check_vendor()
    export = find_export(model)
    tasks = read_tasks(export / TASKS_FILE)
    tokenizer = export / "tokenizer.json"
    check_tokenizer(tokenizer)
    graph = next(export / name for name in GRAPHS if (export / name).is_file())
    check_unchanged(graph)
    contents = {
        "worker": (VENDOR / "worker.js").read_bytes(),
        "entities": json.dumps(entities()).encode(),
        "tokenizer": tokenizer.read_bytes(),
        "model": graph.read_bytes(),
    }
    packed = {key: gzip.compress(content, 6, mtime=0) for key, content in contents.items()}
    packed["wasm"] = (VENDOR / "ort.wasm.gz").read_bytes()
    with new_folder(target.resolve()) as folder:
        (folder / "parts").mkdir()
        parts = [name for key, content in packed.items() for name in _split(folder, key, content)]
        about = {
            "tasks": tasks,
            "parts": parts,
            "file": graph.name,
            "bytes": len(contents["model"]),
        }
        page = Template((ASSETS / "index.html").read_text("utf-8"))
        # "<" could end the script that holds it.
        text = json.dumps(about).replace("<", "\\u003c")
        (folder / "index.html").write_text(page.substitute(policy=POLICY, student=text), "utf-8")
        shutil.copyfile(ASSETS / "page.css", folder / "page.css")
        for name in ("page.js", "licenses.txt"):
            shutil.copyfile(VENDOR / name, folder / name)


def _split(folder: Path, key: str, packed: bytes) -> list[str]:
    """Write a packed file as scripts that call part(key, base64); their names, in order."""
    names = []
    for number, start in enumerate(range(0, len(packed), PART)):
        names.append(f"parts/{key}-{number}.js")
        part = base64.b64encode(packed[start : start + PART]).decode()
        (folder / names[-1]).write_text(f'part("{key}", "{part}");\n', "utf-8")
    return names


def entities() -> dict[str, str]:
    """What cleaning.js needs to know of HTML: name;, or #number; below 160 → characters."""
    named = {name: signs for name, signs in html5.items() if name.endswith(";")}
    numbers = {f"#{number};": html.unescape(f"&#{number};") for number in range(FIRST_NUMBERS)}
    return named | numbers


def find_export(model: Path) -> Path:
    """The folder of the export. Raises InputError when there is none."""
    for folder in (model, model / "export"):
        if all((folder / name).is_file() for name in (TASKS_FILE, "tokenizer.json")) and any(
            (folder / name).is_file() for name in GRAPHS
        ):
            return folder
    raise InputError(
        f"{model}: holds no export ({TASKS_FILE}, tokenizer.json and one of {', '.join(GRAPHS)}): "
        f"give the folder that kd export wrote"
    )


def read_tasks(path: Path) -> list[dict[str, Any]]:
    """The rows of an export's tasks.json. Raises InputError when it is damaged or lacks a key."""
    tasks: list[dict[str, Any]] = _read_json(path)
    if not (isinstance(tasks, list) and tasks and all(isinstance(task, dict) for task in tasks)):
        raise InputError(f"{path}: is no list of tasks: write it again with kd export RUN")
    for task in tasks:
        if missing := sorted(TASK_KEYS - task.keys()):
            raise InputError(
                f"{path}: task {task.get('name')!r} lacks {', '.join(missing)}: "
                f"give the folder that kd export wrote"
            )
    return tasks


def check_tokenizer(path: Path) -> None:
    """Raise InputError for a tokenizer that is damaged, or that the page could not follow."""
    definition = _read_json(path)
    try:
        parts = [definition[part] or {} for part in ("normalizer", "pre_tokenizer", "model")]
        found = [part.get("type") for part in parts]
    except (TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: is no tokenizer: write it again with kd export RUN") from None
    if found != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
        raise InputError(
            f"{path}: is of the kind {' + '.join(map(str, found))}: the page reads WordPiece "
            f"tokenizers as BERT, MiniLM and MPNet have them"
        )


def _read_json(path: Path) -> Any:
    """The content of a file of the export. Raises InputError when it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: is damaged ({error}): write it again with kd export RUN"
        ) from None


def check_vendor() -> None:
    """Raise InputError when the page's scripts were not built, or from other sources."""
    mark = VENDOR / "sources.sha256"
    if not mark.is_file():
        raise InputError(f"kd demo: the page's scripts are not built: {HOW_TO_BUILD}")
    sources = b"".join(path.read_bytes() for path in sorted(ASSETS.glob("*.js")))
    if mark.read_text().strip() != hashlib.sha256(sources).hexdigest():
        raise InputError(f"kd demo: the page's scripts are older than their source: {HOW_TO_BUILD}")


def check_target(target: Path) -> None:
    """Raise InputError when a page would take the place of something else."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file: give a folder with --static")
    strays = (
        sorted(path.name for path in target.iterdir() if path.name not in FILES)
        if target.exists()
        else []
    )
    if strays:
        raise InputError(
            f"{target}: holds {strays[0]!r}, which is no part of a page: give --static a new "
            f"folder, or one that holds a page alone"
        )
