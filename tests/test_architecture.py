"""Tests of the house: imports point down, every module says its job, none is a drawer."""

import ast
import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Each floor may import itself and the floors after it.
FLOORS = ("scripts", "kd", "teachers", "student", "data")
FILES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py"))
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports_of(tree):
    """(line, level, module, names) of every import in a file, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, 0, alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield node.lineno, node.level, node.module or "", names


@pytest.fixture(params=FILES, ids=name_of)
def source(request):
    """Each file of the four packages and the scripts, as (path, syntax tree)."""
    return request.param, ast.parse(request.param.read_text(encoding="utf-8"))


def test_every_floor_has_files():
    """An empty list of files would make every test below pass."""
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(FLOORS)


def test_imports_point_down(source):
    path, tree = source
    own = FLOORS.index(path.relative_to(ROOT).parts[0])
    above = [
        f"{name_of(path)}:{line} imports {module}"
        for line, _, module, _ in imports_of(tree)
        if module.split(".")[0] in FLOORS[:own]
    ]
    assert above == []


def test_the_buttons_import_nothing_but_kd():
    """They parse, call and print: what they would need from a lower floor belongs in kd."""
    buttons = sorted((ROOT / "scripts").glob("*.py"))
    tops = {
        module.split(".")[0]
        for path in buttons
        for _, _, module, _ in imports_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert tops & set(FLOORS) == {"kd"}


def test_imports_are_absolute_and_name_a_module(source):
    """`import data` works from the project's folder alone, and hides what is used of it."""
    path, tree = source
    wrong = []
    for line, level, module, names in imports_of(tree):
        top = module.split(".")[0]
        is_bare = module == top and top in FLOORS
        # kd's own modules may be taken whole: `from kd import show`.
        is_own_module = bool(names) and top == "kd" == path.relative_to(ROOT).parts[0]
        if level or (is_bare and not is_own_module):
            wrong.append(f"{name_of(path)}:{line} imports {'.' * level}{module} {names}")
    assert wrong == []


def test_every_module_opens_with_a_docstring_whose_first_line_is_a_sentence(source):
    path, tree = source
    docstring = ast.get_docstring(tree)
    assert docstring, name_of(path)
    first = docstring.partition("\n\n")[0].strip()
    assert first.endswith((".", "|")), f"{name_of(path)}: {first!r}"


def test_every_public_function_and_class_has_a_docstring(source):
    path, tree = source
    kinds = ast.FunctionDef | ast.ClassDef
    found = [node for node in tree.body if isinstance(node, kinds)]
    found += [n for c in found if isinstance(c, ast.ClassDef) for n in c.body]
    bare = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for node in found
        if isinstance(node, kinds)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert bare == []


def test_no_file_or_folder_is_a_drawer():
    parts = {part for path in FILES + TESTS for part in path.relative_to(ROOT).parts}
    assert {Path(part).stem for part in parts} & DRAWERS == set()


def test_every_package_folder_is_one_and_is_installed():
    """A folder that setup.cfg does not list is missing from an installed kd."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    folders = {path.parent for path in FILES if not path.is_relative_to(ROOT / "scripts")}
    assert listed == {name_of(folder).replace("/", ".") for folder in folders}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_names_of_test_files_are_unique():
    """Without __init__.py pytest takes two files of one name for the same module."""
    names = [path.name for path in TESTS if path.name != "conftest.py"]
    assert len(names) == len(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_one_loop_trains_and_one_file_scores(source):
    """A second training loop, or a second way to F1, would come to differ from the first."""
    path, tree = source
    is_benchmark = path.is_relative_to(ROOT / "scripts" / "bench")  # of other loops too
    calls = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    imported = {name for *_, names in imports_of(tree) for name in names}
    if path != ROOT / "kd" / "training.py" and not is_benchmark:
        assert not calls & {"backward", "zero_grad"}
    if path != ROOT / "kd" / "metrics.py":
        assert not imported & {"f1_score", "accuracy_score", "precision_recall_fscore_support"}


def test_library_code_does_not_print(source):
    """The console of kd.cli is the one voice; its main prints a mistake to stderr. An export's
    script is a program of its own."""
    path, tree = source
    calls = [
        f"{name_of(path)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and not path.is_relative_to(ROOT / "scripts")
        and path not in (ROOT / "kd" / "cli.py", ROOT / "kd" / "export" / "predict.py")
    ]
    assert calls == []
