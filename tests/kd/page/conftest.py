"""Fixtures of the page's tests: a small exported student made by hand, its page, and typing."""

import json
import shutil
import threading

import numpy as np
import pytest
from tokenizers import Tokenizer

from kd.export.build import hashes
from kd.export.certificate import CERTIFICATE
from kd.page.build import VENDOR, make_page
from kd.page.serve import page_server

TASKS = [
    {"name": "mood", "classes": ["sad", "glad | <b>"]},
    {"name": "age", "kind": "regression", "low": 10.0, "high": 90.0},
    {"name": "warmth", "classes": ["cold", "mild", "warm"], "has_context": True,
     "has_rationale": True},
    {"name": "close_care", "classes": ["no", "yes"], "has_context": True, "has_rationale": True},
]  # fmt: skip
DEFAULTS = {
    "kind": "classification", "classes": [], "has_context": False, "has_rationale": False,
    "low": 0.0, "high": 1.0, "rationale_threshold": 0.5, "max_tokens": 24,
}  # fmt: skip
HIDDEN = 8
# What was typed, without waiting for each of the two fields.
TYPE = """([text, context]) => {
    document.getElementById("context").value = context;
    document.getElementById("text").value = text;
    document.getElementById("text").dispatchEvent(new Event("input", { bubbles: true }));
}"""


def write_graph(path, vocabulary):
    """A graph with an export's inputs and outputs: embeddings, their means, a layer a task."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    random = np.random.default_rng(3)
    weights, nodes, outputs = [], [], []

    def constant(name, values):
        weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    embeddings = constant("E", random.normal(size=(vocabulary, HIDDEN)).astype(np.float32))
    last, middle = constant("last", np.int64([-1])), constant("middle", np.int64([1]))
    tiny = constant("tiny", np.float32([1e-9]))

    def mean(ids, mask):
        states = node("Gather", [embeddings, ids], f"{ids}.states")
        weight = node("Cast", [mask], f"{mask}.float", to=TensorProto.FLOAT)
        column = node("Unsqueeze", [weight, last], f"{mask}.column")
        total = node("ReduceSum", [node("Mul", [states, column], f"{ids}.real"), middle],
                     f"{ids}.sum", keepdims=0)  # fmt: skip
        count = node("ReduceSum", [weight, middle], f"{mask}.sum", keepdims=1)
        return states, node("Div", [total, node("Add", [count, tiny], f"{mask}.n")], f"{ids}.mean")

    states, text = mean("input_ids", "attention_mask")
    _, context = mean("context_ids", "context_mask")
    both = node("Add", [text, context], "both")
    for task in TASKS:
        name, width = task["name"], len(task.get("classes", "1"))
        scale = 6 if "classes" in task else 0.5
        layer = constant(f"{name}.W", scale * random.normal(size=(HIDDEN, width)).astype("f4"))
        node("MatMul", [both if task.get("has_context") else text, layer], name)
        outputs.append((name, ["B", width]))
        if task.get("has_rationale"):
            layer = constant(f"{name}.V", random.normal(size=(HIDDEN, 1)).astype(np.float32))
            odds = node("MatMul", [states, layer], f"{name}.odds")
            node("Squeeze", [odds, last], f"{name}.rationale")
            outputs.append((f"{name}.rationale", ["B", "L"]))
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["B", size])
        for name, size in (("input_ids", "L"), ("attention_mask", "L"),
                           ("context_ids", "M"), ("context_mask", "M"))
    ]  # fmt: skip
    found = [helper.make_tensor_value_info(n, TensorProto.FLOAT, size) for n, size in outputs]
    graph = helper.make_graph(nodes, "student", inputs, found, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    save(model, path)


@pytest.fixture(scope="session")
def exported(tiny_encoder, tmp_path_factory):
    """An export's folder with what the page reads: tokenizer.json, tasks.json, model.onnx, and the
    certificate with their hashes."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copyfile(tiny_encoder / "tokenizer.json", folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    write_graph(folder / "model.onnx", tokenizer.get_vocab_size())
    (folder / "tasks.json").write_text(json.dumps([DEFAULTS | task for task in TASKS]))
    (folder / CERTIFICATE).write_text(json.dumps({"files": hashes(folder)}))
    return folder


@pytest.fixture(scope="session")
def built():
    """Leave the test out where the page's scripts were never built."""
    if not VENDOR.is_dir():
        pytest.skip("the page is not built: run bash scripts/build_page.sh to test it")


@pytest.fixture(scope="module")
def address(built, exported, tmp_path_factory):
    """Where the page of the small student is served."""
    folder = tmp_path_factory.mktemp("page") / "page"
    make_page(exported, folder)
    with page_server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def opened(browser, address):
    """(the loaded page with the network off, what went wrong or out since)."""
    context = browser.new_context(viewport={"width": 400, "height": 900}, color_scheme="dark")
    page, mistakes = context.new_page(), []
    page.on("console", lambda message: mistakes.append(message.text))
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address, "blob:", "data:"))
            else mistakes.append(request.url)
        ),
    )
    page.goto(address)
    page.wait_for_selector("#status:text('Ready.'), #failure:visible")
    assert page.inner_text("#failure") == ""
    page.on("request", lambda request: mistakes.append(request.url))
    context.set_offline(True)
    yield page, mistakes
    context.close()


@pytest.fixture
def page(opened):
    """The page with empty fields; nothing may go wrong or out while a test uses it."""
    loaded, mistakes = opened
    loaded.set_viewport_size({"width": 400, "height": 900})
    loaded.get_by_role("button", name="Clear").click()
    loaded.wait_for_selector("#status:text('Ready.')")
    yield loaded
    assert mistakes == []


@pytest.fixture(scope="session")
def ask():
    """A function that types both texts at once and waits for the answers, or for what else."""

    def ask(page, text, context, until="#status:text('Answered')"):
        page.evaluate(TYPE, [text, context])
        page.wait_for_selector(until)

    return ask
