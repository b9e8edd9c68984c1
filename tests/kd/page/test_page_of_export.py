"""Test of the page of a student that kd export wrote, in integers, opened from a disk."""

import json

import numpy as np
import pytest
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from data.encoding import encode_table
from kd.export.build import export_run
from kd.export.predict import answers_of
from kd.page.build import make_page
from student.encoders import load_tokenizer
from student.model import StudentModel
from student.onnx_int8 import write_int8

PAIRS = [
    ("i am so sorry, what a sad day it was for us", "my dog of 3 years happened"),
    ("what a great and happy day", "we was here"),
    ("no &amp; \U0001f600 so, so sorry", "that happened to you"),
    ("a great time with you", ""),
]
SHOWN = """() => Object.fromEntries(Array.from(
    document.querySelectorAll("[data-text=reply] article"), (card) => [card.dataset.task, {
        answer: card.querySelector(".answer strong").textContent,
        values: Array.from(card.querySelectorAll("ul.classes data"), (d) => Number(d.value)),
    }]))"""


@pytest.fixture(scope="module")
def in_bytes(run, tmp_path_factory):
    """An export of the run with model.int8.onnx, written past kd export.

    That would ask a random student for 98.5 % of its labels.
    """
    folder = tmp_path_factory.mktemp("export") / "mine"
    export_run(run.path, folder, ["fp32"])
    model = StudentModel.from_pretrained(run.student).eval()
    train = run.load_splits()[0]["train"]
    rows = encode_table(train, load_tokenizer(str(run.student)), model.specs, max_tokens=24)
    write_int8(folder / "model.onnx", folder / "model.int8.onnx", model, rows)
    return folder


def test_the_page_answers_from_a_disk_as_python_does_by_the_same_integers(
    browser, built, in_bytes, tmp_path, ask
):
    make_page(in_bytes, tmp_path / "page")
    tasks = json.loads((in_bytes / "tasks.json").read_text())
    tokenizer = Tokenizer.from_file(str(in_bytes / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(tasks[0]["max_tokens"])
    session = InferenceSession(in_bytes / "model.int8.onnx", providers=["CPUExecutionProvider"])
    context = browser.new_context(offline=True)
    page, mistakes = context.new_page(), []
    page.on("console", lambda message: mistakes.append(message.text))
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("request", lambda request: mistakes.append(request.url)
            if not request.url.startswith(("file:", "blob:", "data:")) else None)  # fmt: skip
    page.goto((tmp_path / "page" / "index.html").as_uri())
    page.wait_for_selector("#status:text('Ready.')")
    assert "int8" in page.inner_text("#about")
    for text, post in PAIRS:
        page.get_by_role("button", name="Clear").click()
        page.wait_for_selector("#status:text('Ready.')")
        ask(page, text, post)
        shown = page.evaluate(SHOWN)
        expected = dict(answers_of(tokenizer, session, tasks, text, post))
        assert shown.keys() == expected.keys()
        for task, answer in expected.items():
            # A rounding that falls otherwise in the browser's kernels is a whole step.
            chances = list(answer["probabilities"].values())
            np.testing.assert_allclose(sorted(shown[task]["values"]), sorted(chances), atol=0.01)
            if chances:
                assert shown[task]["answer"] == answer["label"]
    assert mistakes == []
    context.close()
