"""Tests of kd.export.predict, the script of an export: it answers as the Predictor does."""

import csv
import json
import os
import subprocess
import sys
import venv
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from transformers import RobertaConfig, RobertaTokenizer

import data.cleaning
from data.encoding import encode_table
from data.tasks import TaskSpec
from kd.config_file import load_config
from kd.export import predict
from kd.export.build import export_run, task_rows, write_tokenizer
from kd.prediction_files import write_predictions
from kd.run_folder import RunFolder
from kd.stages.data import read_tables
from kd.stages.distill import start_model
from kd.stages.evaluate import inputs_key
from student.encoders import load_tokenizer, new_encoder
from student.inference import compute_logits
from student.model import new_student
from student.onnx_export import write_graph
from student.predictor import Predictor

ROOT = Path(__file__).resolve().parents[3]
PIECES = [
    *("&amp;", "&amp;amp;#39;", "&lt;", "&nbsp;", "&ltfoo;", "&amp;foo;", "&#1;", "&#x1F600;"),
    *("&#٣;", "&#xD83D;", "&", ";", "#", "&NotEqualTilde;", "&notit;", "&amp", "amp;"),
    *(" ", "\t", "\u00a0", "\u200b", "\ufeff", "\u2060", "\u200d", "\x1c", "\x85", "\u3000", "\n"),
    *("a", "so sorry", "É", "e\u0301", "\U0001f600", "👨‍👩‍👧", "שלום", "\x00", "\ud83d"),
]
TEXTS = [
    "so sorry to hear of your day, that happened to us",
    "  so &amp;amp; sorry,&nbsp;&nbsp; that\tthis   happened &lt;3 to you  ",
    "so \U0001f600\U0001f44d\U0001f3fd happy 👨‍👩‍👧 and great for us",
    "שלום לך, so sorry يوم سعيد",
    "a\ttab\tand\ta great day",
    "one \x01 day it \x07 was happy",
    "[SEP] this [PAD] was [CLS] great [MASK]",
    "\u200bso\u2060 happy\ufeff",
    "é\u0301 naïve ﬁne ß",
    "R&D and &ltfoo; &#x1F600; &notit; it was &#1; us",
    "so happy " * 200,
    "happened" * 100,
]
CONTEXTS = ["my dog of 3 years happened", "", "what a &amp; day"] * 4


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(run.path)


@pytest.fixture
def ask(exported, tmp_path):
    """A function that runs predict.py in another process and folder: (status, answers, errors)."""

    def asked(*arguments, stdin=b"", python=sys.executable, export=exported[0]):
        done = subprocess.run(
            [python, str(export / "predict.py"), *map(str, arguments)],
            input=stdin,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
            capture_output=True,
            check=False,
        )
        lines = done.stdout.decode().splitlines()
        return done.returncode, [json.loads(line) for line in lines], done.stderr.decode()

    return asked


def write_csv(path, texts, contexts, header=("id", "text", "context")):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            (f"r{n}", *pair) for n, pair in enumerate(zip(texts, contexts, strict=True))
        )


def centred_logits(probabilities):
    """A log-probability is a logit but for a constant of its row, which is taken away."""
    logits = np.log(list(probabilities.values()))
    return logits - logits.mean() if probabilities else logits


def assert_same(answers, expected, texts, tolerance=1e-4):
    assert len(answers) == len(expected)
    for answer, wanted, text in zip(answers, expected, texts, strict=True):
        assert answer["answers"].keys() == wanted.keys()
        for task, found in answer["answers"].items():
            mine = wanted[task]
            if isinstance(mine.label, str):
                assert found["label"] == mine.label
            else:
                assert found["label"] == pytest.approx(mine.label, abs=80 * tolerance)
            assert found["probabilities"] == pytest.approx(mine.probabilities, abs=tolerance)
            logits = [centred_logits(each) for each in (found["probabilities"], mine.probabilities)]
            np.testing.assert_allclose(*logits, rtol=0, atol=tolerance)
            quotes = [(part["start"], part["end"], part["words"]) for part in found["rationale"]]
            assert quotes == [(part.start, part.end, part.words) for part in mine.rationale]
            assert all(text[start:end] == words for start, end, words in quotes)


def test_the_script_is_short_enough_to_be_read():
    assert len((ROOT / "kd" / "export" / "predict.py").read_text().splitlines()) <= 80


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join))
def test_texts_are_cleaned_as_for_training(raw):
    expected = data.cleaning.clean(raw)
    text, spans = predict.clean(raw)
    assert text == expected.text
    used = spans[: len(text)]
    assert used == list(zip(expected.starts, expected.ends, strict=True))


def test_a_table_is_answered_as_the_predictor_answers(ask, predictor, tmp_path):
    write_csv(tmp_path / "in.csv", TEXTS, CONTEXTS)
    status, answers, error = ask(tmp_path / "in.csv")
    assert (status, error) == (0, "")
    assert [answer["id"] for answer in answers] == [f"r{n}" for n in range(len(TEXTS))]
    expected = predictor(TEXTS, CONTEXTS)
    assert_same(answers, expected, TEXTS)
    # Equal answers say little where there is one answer, or nothing quoted.
    assert len({answer["answers"]["mood"]["label"] for answer in answers}) == 2
    quotes = [len(a["answers"]["warmth"]["rationale"]) for a in answers if "warmth" in a["answers"]]
    assert sum(quotes) > 5
    assert len(quotes) == 8


def test_lines_are_answered_as_the_predictor_answers(ask, predictor):
    """Only a line feed ends a line: U+0085, a form feed and a lone carriage return do not."""
    texts = [text.replace("\n", " ") for text in [*TEXTS, "so\x85 good\x0c to\r you"]]
    status, answers, error = ask(stdin="\r\n".join(texts).encode())
    assert (status, error) == (0, "")
    assert [answer["id"] for answer in answers] == list(range(1, len(texts) + 1))
    assert_same(answers, predictor(texts), texts)


def test_a_model_file_may_be_chosen(ask, predictor, exported):
    texts = ["so sorry to hear of your day", "at 40 i do like the day"]
    exact, rough = (ask("--model", name, stdin="\n".join(texts).encode())[1]
                    for name in ("model.onnx", "model.fp16.onnx"))  # fmt: skip
    assert_same(exact, predictor(texts), texts)
    assert exact != rough
    for one, other in zip(exact, rough, strict=True):
        chances = other["answers"]["mood"]["probabilities"]
        assert chances == pytest.approx(one["answers"]["mood"]["probabilities"], abs=2e-2)


def test_the_columns_of_the_reddit_files_are_read_too(ask, predictor, tmp_path):
    write_csv(tmp_path / "in.csv", TEXTS[:2], CONTEXTS[:2], ("id", "response_post", "seeker_post"))
    _, answers, _ = ask(tmp_path / "in.csv")
    assert_same(answers, predictor(TEXTS[:2], CONTEXTS[:2]), TEXTS[:2])


def test_a_table_from_a_spreadsheet_begins_with_a_mark_that_is_no_text(ask, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbftext\r\nso sorry\r\n\r\nvery happy\r\n")
    status, answers, _ = ask(tmp_path / "in.csv")
    assert status == 0
    assert [answer["id"] for answer in answers] == [1, 2]


def test_a_text_of_nearly_a_million_characters_is_answered(ask, predictor):
    text = "so &amp; happy " * 66_000
    status, answers, error = ask(stdin=text.encode())
    assert (status, error) == (0, "")
    assert_same(answers, predictor([text]), [text])


def test_no_texts_give_no_answers(ask, tmp_path):
    assert ask() == (0, [], "")
    (tmp_path / "in.csv").write_text("text\n")
    assert ask(tmp_path / "in.csv") == (0, [], "")


@pytest.mark.parametrize(
    ("content", "faulty", "rows"),
    [
        (b"text\nso good\n  \nso sad\n", [2], 3),
        (b"text\n&nbsp;\n", [1], 1),
        (b"text\n\x01\nso good\n", [1], 2),
        (b" text ,context \nso good, so sad\n", [], 1),
        (b"text,other\nso good,\xff\nso good\n", [2], 2),
        (b"text\nso good, so sad\nso good\n", [1], 2),
        (b"text\nso \x00 good\nso good\n", [1], 2),
        (b"text\nso good\nso \xed\xa0\xbd good\nso good\n", [2], 3),
        (b"text,context\nso good,so \xff good\nso good,\n", [1], 2),
        (b"text\n" + b"so good " * 130_000 + b"\nso good\n", [1], 2),
    ],
    ids=range(10),
)
def test_a_row_with_a_fault_says_so_and_the_others_are_answered(
    ask, tmp_path, content, faulty, rows
):
    (tmp_path / "in.csv").write_bytes(content)
    status, answers, error = ask(tmp_path / "in.csv")
    assert (status, error) == (0, "")
    assert [answer["id"] for answer in answers] == list(range(1, rows + 1))
    said = [answer["id"] for answer in answers if "error" in answer]
    assert said == faulty
    assert all(("answers" in answer) != ("error" in answer) for answer in answers)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'text\n"so good\n', "unexpected end of data"),
        (b"sentence\nso good\n", "in.csv: its header needs text or response_post"),
        (b"id;text\n1;so good\n", "in.csv: its header needs text or response_post"),
        (b"id\ttext\n1\tso good\n", "in.csv: its header needs text or response_post"),
        (b"text,text\nso good,so sad\n", "in.csv: its header needs text or response_post, each"),
        (b"", "in.csv: its header needs text or response_post"),
    ],
    ids=range(6),
)
def test_a_table_that_can_not_be_read_is_refused_in_one_line(ask, tmp_path, content, expected):
    (tmp_path / "in.csv").write_bytes(content)
    status, answers, error = ask(tmp_path / "in.csv")
    assert (status, answers) == (2, [])
    assert error.startswith("predict.py: ")
    assert expected in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("absent.csv",), ("--model", "absent.onnx")])
def test_a_file_that_is_not_there_is_named_in_one_line(ask, arguments):
    status, answers, error = ask(*arguments, stdin=b"so good\n")
    assert (status, answers) == (2, [])
    assert arguments[-1] in error
    assert len(error.splitlines()) == 1


def test_half_an_emoji_on_standard_input_is_an_error_of_its_line_alone(ask):
    lines = [b"so good", b"so \xed\xa0\xbd good", b"\x01", b"", b"so sad"]
    status, answers, error = ask("-", stdin=b"\n".join(lines))
    assert (status, error) == (0, "")
    assert [answer["id"] for answer in answers if "error" in answer] == [2, 3, 4]
    assert [answer["id"] for answer in answers if "answers" in answer] == [1, 5]


def test_what_was_answered_before_a_quote_that_never_ends_is_not_lost(ask, tmp_path):
    (tmp_path / "in.csv").write_bytes(b'text\nso good\n"so sad\n')
    status, answers, error = ask(tmp_path / "in.csv")
    assert status == 2
    assert [answer["id"] for answer in answers] == [1]
    assert len(error.splitlines()) == 1


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """A student of a byte-level BPE, where an emoji is four tokens, and its graph's folder."""
    folder = tmp_path_factory.mktemp("of_bytes")
    signs = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
    ]
    tokenizer = RobertaTokenizer(vocab={sign: n for n, sign in enumerate(signs)}, merges=[])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    config = RobertaConfig(
        vocab_size=len(signs), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=200, pad_token_id=1,
    )  # fmt: skip
    model = new_student(
        new_encoder(config),
        [
            TaskSpec("q", classes=("no", "yes"), has_rationale=True),
            TaskSpec("low", kind="regression", low=10, high=90),
            TaskSpec("high", kind="regression", low=10, high=90),
        ],
        pooling="mean", head="two_layer", attention_heads=1, dropout=0.0, max_tokens=100,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(20)
        model.heads["low"].label.bias -= 100
        model.heads["high"].label.bias += 100
    write_graph(model, folder / "model.onnx")
    write_tokenizer(folder / "tokenizer.json", 100)
    return folder, Predictor(model, tokenizer)


@pytest.fixture(scope="module")
def answers_of_bytes(of_bytes):
    """A function from a text to the answers of predict.py."""
    folder, predictor = of_bytes
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    tasks = task_rows(predictor.model)
    return lambda text: dict(predict.answers_of(tokenizer, session, tasks, text, ""))


def test_quotes_that_meet_in_one_emoji_are_one_quote_as_the_predictors(of_bytes, answers_of_bytes):
    texts = [
        *(
            "so sorry 😢😭 for you 🫂❤️",
            "👩‍👩‍👧 so",
            "naïve café 😀😃😄",
            "שלום לך",
            "é 😢 &amp; 😭  x",
        ),
        *("".join(np.random.default_rng(n).choice([*"ab é😢😭🫂"], 30)) for n in range(40)),
    ]
    found_in_all = 0
    for text, expected in zip(texts, of_bytes[1](texts), strict=True):
        found = [
            (quote["start"], quote["end"]) for quote in answers_of_bytes(text)["q"]["rationale"]
        ]
        assert found == [(quote.start, quote.end) for quote in expected["q"].rationale]
        assert all(first[1] <= second[0] for first, second in pairwise(found))
        found_in_all += len(found)
    assert found_in_all > 40


def test_a_number_beyond_its_scale_is_answered_with_the_end_of_the_scale(answers_of_bytes):
    answers = answers_of_bytes("so good")
    assert [answers[task]["label"] for task in ("low", "high")] == [10.0, 90.0]


def test_the_script_loads_none_of_our_code_nor_torch(exported, tmp_path):
    code = (
        "import runpy, sys; sys.argv = ['predict.py'];"
        "runpy.run_path(sys.argv[0], run_name='__main__');"
        "found = {name.split('.')[0] for name in sys.modules};"
        "assert not found & {'kd', 'data', 'student', 'teachers', 'torch', 'transformers', 'onnx'}"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=exported[0], input=b"so good\n", check=True,
        env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """The Python of a new environment with onnxruntime, tokenizers and numpy, as pinned here."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt",
         "onnxruntime", "tokenizers", "numpy"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"pip can't install here: {done.stderr.strip().splitlines()[-1]}")
    return python


def test_an_export_runs_with_three_packages_alone(ask, bare_python, predictor, tmp_path):
    listed = subprocess.run(
        [bare_python, "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert "onnxruntime" in listed
    assert "torch" not in listed
    assert "transformers" not in listed
    write_csv(tmp_path / "in.csv", TEXTS, CONTEXTS)
    status, answers, error = ask(tmp_path / "in.csv", python=bare_python)
    assert (status, error) == (0, "")
    assert_same(answers, predictor(TEXTS, CONTEXTS), TEXTS)


@pytest.fixture(scope="module")
def demo(minilm, tmp_path_factory):
    """The run of configs/demo.yaml with an untrained student, and the folder of its export."""
    folder = tmp_path_factory.mktemp("demo")
    config = load_config(ROOT / "configs" / "demo.yaml", ["training.objective=gold"])
    run = RunFolder(folder / "runs" / "demo")
    run.open(config)
    run.save_splits(*read_tables(config))
    table, profile = run.load_splits()
    tokenizer = load_tokenizer(str(minilm))
    torch.manual_seed(3)
    model = start_model(config, run).eval()
    test = encode_table(table["test"], tokenizer, config.specs, max_tokens=config.data.max_tokens)
    answers = compute_logits(model, test)
    run.predictions.mkdir()
    for spec in config.specs:  # an untrained head answers all rows alike
        head, logits = model.heads[spec.name], answers.labels[spec.name]
        head.label.bias.data -= torch.from_numpy(logits.mean(axis=0))
        logits -= logits.mean(axis=0)
        if spec.has_rationale:
            log_odds = answers.tokens[spec.name]
            head.rationale.bias.data -= float(np.nanmean(log_odds))
            log_odds -= np.nanmean(log_odds)
        write_predictions(run.predictions / f"student-{spec.name}-test.csv", spec, test, answers)
    model.save_pretrained(run.student)
    tokenizer.save_pretrained(run.student)
    run.once("distill", "here", lambda: None, result=run.student / "model.safetensors")
    metrics = {
        "splits_hash": profile["hash"],
        "inputs": inputs_key(config, run, profile["hash"]),
    }
    write = partial(run.metrics.write_text, json.dumps(metrics))
    run.once("evaluate", "here", write, result=run.metrics)
    export_run(run.path, folder / "export", ["fp32"])
    return run.path, folder / "export", table["test"].select(range(0, len(test), 5))


def test_a_student_of_the_demos_shape_answers_its_five_tasks_alike(
    demo, ask, bare_python, tmp_path
):
    run, export, rows = demo
    texts, contexts = list(rows["text"]), list(rows["context"])
    write_csv(tmp_path / "in.csv", texts, contexts)
    status, answers, error = ask(tmp_path / "in.csv", python=bare_python, export=export)
    assert (status, error) == (0, "")
    assert_same(answers, Predictor.load(run)(texts, contexts), texts)
    tasks = {task: found for each in answers for task, found in each["answers"].items()}
    assert len(tasks) == 5
    for task in tasks:
        found = [each["answers"][task] for each in answers if task in each["answers"]]
        assert len({each["label"] for each in found}) > 1
        if task not in ("sentiment", "emotion"):
            assert sum(len(each["rationale"]) for each in found) > 10
