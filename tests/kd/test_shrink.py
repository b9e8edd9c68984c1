"""Tests of kd.shrink: what a smaller student's folder holds and says, and when there is none."""

import json
import shutil

import numpy as np
import pytest
import torch
from datasets import concatenate_datasets

from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.ragged import Ragged
from data.tasks import TaskSpec, load_tasks
from kd import shrink
from kd.config_file import load_config
from kd.evaluation import score
from kd.export.build import export_run
from kd.run_folder import content_key, model_files
from kd.shrink import Cuts, shrink_run
from kd.shrink_report import compare_students
from kd.stages.distill import start_model, student_tokenizer
from student.encoders import load_tokenizer
from student.inference import Logits, compute_logits
from student.model import StudentModel
from student.predictor import Predictor

FILES = {
    *("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "tasks.json"),
    *("README.md", "CERTIFICATE.json"),
}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def smaller(run, tmp_path_factory):
    """(the folder of a student cut in all three ways, its certificate)."""
    folder = tmp_path_factory.mktemp("smaller") / "mine"
    return folder, shrink_run(run.path, folder, Cuts((1,), 48, "train"))


@pytest.fixture(scope="module")
def fewer_pieces(run, tmp_path_factory):
    """(the folder of a student without the pieces that a table of two texts never uses, …)."""
    folder = tmp_path_factory.mktemp("fewer_pieces")
    (folder / "own.csv").write_text("text,context\nso happy for &amp; with you,my dog\nwhat?,\n")
    return folder / "mine", shrink_run(
        run.path, folder / "mine", Cuts(vocabulary=str(folder / "own.csv"))
    )


def test_a_smaller_student_is_a_students_folder_with_a_card_and_a_certificate(run, smaller):
    folder, certificate = smaller
    assert {path.name for path in folder.iterdir()} == FILES
    assert load_tasks(folder) == load_tasks(run.student)
    model = StudentModel.from_pretrained(folder)
    encoder = model.config.encoder
    assert (encoder.num_hidden_layers, encoder.intermediate_size) == (1, 48)
    assert encoder.vocab_size == len(load_tokenizer(str(folder)))
    assert certificate == json.loads((folder / "CERTIFICATE.json").read_text())
    assert certificate["files"].keys() == FILES - {"CERTIFICATE.json"}
    assert certificate["student_hash"] == content_key(files=model_files(run.student))


def test_it_answers_texts_that_no_row_has_seen(smaller):
    texts = ["grüße 🙂 zzyzx", "so sorry to hear of your day", "Ünhäppîly!"]
    answers = Predictor.load(smaller[0])(texts, ["what a day", "", "xylophone"])
    assert [answer.keys() for answer in answers] == [
        {"mood", "warmth", "age"}, {"mood", "age"}, {"mood", "warmth", "age"},
    ]  # fmt: skip


def test_the_certificate_says_what_was_cut_and_how_much_that_is(run, smaller):
    folder, certificate = smaller
    cut = certificate["cut"]
    assert cut["layers"] == {"kept": [1], "of": 2}
    assert cut["units"] == {
        "kept": 48,
        "of": 64,
        "watched_rows": len(run.load_splits()[0]["train"]),
    }
    pieces = len(load_tokenizer(str(run.student))), len(load_tokenizer(str(folder)))
    assert (cut["vocabulary"]["of"], cut["vocabulary"]["kept"]) == pieces
    before, after = certificate["before"], certificate["after"]
    # A layer of BERT (H = 32, U = 64), the units of the other, and the rows of the embedding.
    layer = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 2 * 32
    gone = layer + 16 * (32 + 1 + 32) + (pieces[0] - pieces[1]) * 32
    assert before["parameters"] - after["parameters"] == gone
    for side, place in ((before, run.student), (after, folder)):
        assert side["bytes"] == (place / "model.safetensors").stat().st_size
        assert side["tokenizer_bytes"] == (place / "tokenizer.json").stat().st_size


def test_the_certificates_numbers_are_those_of_the_two_students(run, smaller):
    folder, certificate = smaller
    rows = run.load_splits()[0]["dev"]
    answers = []
    for place in (run.student, folder):
        predictor = Predictor.load(place)
        specs = predictor.model.specs
        dev = encode_table(rows, predictor.tokenizer, specs, max_tokens=24)
        answers.append((dev, compute_logits(predictor.model, dev)))
    (dev, whole), (own, small) = answers
    assert certificate["dev_rows"] == len(dev) > 50
    for spec in specs:
        found = certificate["after"]["tasks"][spec.name]
        one, two = whole.labels[spec.name], small.labels[spec.name]
        assert found["largest_difference"] == pytest.approx(float(np.abs(one - two).max()))
        assert found["scores"] == score(spec, own, small)
        assert certificate["before"]["scores"][spec.name] == score(spec, dev, whole)
    same = whole.labels["mood"].argmax(axis=1) == small.labels["mood"].argmax(axis=1)
    assert certificate["after"]["tasks"]["mood"]["label_agreement"] == same.mean()
    assert 0 < same.mean() < 1


def test_texts_of_the_corpus_are_answered_exactly_as_before(run, tmp_path):
    certificate = shrink_run(run.path, tmp_path / "mine", Cuts(vocabulary="train"))
    rows = run.load_splits()[0]["train"]
    predictors = [Predictor.load(place) for place in (run.path, tmp_path / "mine")]
    whole, small = (predictor(rows["text"][:40], rows["context"][:40]) for predictor in predictors)
    assert whole == small
    cut = certificate["cut"]["vocabulary"]
    texts = [text for pair in zip(rows["text"], rows["context"], strict=True) for text in pair]
    assert cut["texts"] == len([text for text in texts if text])
    assert cut["corpus"] == "train"
    assert 0 == cut["largest_difference"] < cut["kept"] < cut["of"]


def test_a_corpus_of_ones_own_is_cleaned_and_named_without_its_folder(fewer_pieces):
    folder, certificate = fewer_pieces
    cut = certificate["cut"]["vocabulary"]
    assert (cut["corpus"], cut["texts"], cut["compared"]) == ("own.csv", 3, 2)
    vocabulary = load_tokenizer(str(folder)).get_vocab()
    assert {"so", "happy", "with", "&", "my", "what", "?"} <= vocabulary.keys()
    assert {"great", "##ing", "there"} & vocabulary.keys() == set()


def test_tokens_of_two_tokenizers_are_compared_by_their_characters(fewer_pieces, run):
    """Words that the own table lacks are spelled: a word's quote is the mean over its letters."""
    _, certificate = fewer_pieces
    found = certificate["after"]["tasks"]["warmth"]["rationale"]
    dev = run.load_splits()[0]["dev"]
    own = encode_table(dev, load_tokenizer(str(run.student)), [], max_tokens=24)
    has_context = np.array([context != "" for context in dev["context"]])
    assert found["tokens"] == (own.texts.lengths[has_context] - 2).sum()
    assert 0 < found["token_agreement"] < 1
    assert np.isfinite(found["largest_difference"])


REPLY = TaskSpec("reply", classes=("cold", "warm"), has_rationale=True)


def read(offsets):
    """A row between special tokens whose gold is cold."""
    offsets = [[0, 0], *offsets, [0, 0]]
    return EncodedTable(
        ids=("a",),
        texts=Ragged.of([[1] * len(offsets)]),
        offsets=np.array(offsets, dtype=np.int32),
        contexts=Ragged.of([[]]),
        pad_id=0,
        gold={"reply": np.array([[1.0, 0.0]], dtype=np.float32)},
        gold_tokens={"reply": np.full(len(offsets), np.nan, dtype=np.float32)},
    )


def says(label, *tokens):
    log_odds = np.array([np.nan, *tokens, np.nan], dtype=np.float32)
    return Logits({"reply": np.array([label], dtype=np.float32)}, {"reply": log_odds})


def test_a_token_takes_the_mean_of_its_letters_and_is_not_quoted_where_it_is_no_longer_read():
    """A word of four letters is read as one of three and one; two words more are cut off."""
    dev, own = read([[0, 4], [5, 6], [7, 8]]), read([[0, 3], [3, 4]])
    whole, small = says([1.0, 0.0], -1.0, 2.0, -3.0), says([0.0, 0.5], -1.0, 5.0)
    report = compare_students([REPLY], dev, whole, own, small)
    task = report["tasks"]["reply"]
    # (3 x -1 + 1 x 5) / 4 = 0.5 is quoted and was not; 2.0 was quoted; -3.0 was not quoted either.
    assert task["rationale"] == {
        "tokens": 3,
        "largest_difference": 2.0,
        "token_agreement": pytest.approx(1 / 3),
    }
    assert (task["label_agreement"], task["largest_difference"]) == (0.0, 1.0)
    assert (task["scores"]["accuracy"], report["before"]["reply"]["accuracy"]) == (0.0, 1.0)


def test_the_card_says_what_was_cut_and_shows_no_score_of_the_whole_student_as_its_own(smaller):
    text = (smaller[0] / "README.md").read_text()
    kept, of = (smaller[1]["cut"]["vocabulary"][key] for key in ("kept", "of"))
    assert "1 (1) of 2 layers, 48 of 64 feed-forward units a layer and" in text
    assert f"and {kept} of {of} pieces of the vocabulary" in text
    assert "| task | measure | whole | smaller | same answers | same tokens |" in text
    assert "Brackets hold" not in text
    assert "{" not in text.split("---", 2)[2]
    assert "model-index" not in text.split("---", 2)[1]


def test_no_text_of_any_row_and_no_path_of_the_machine_is_in_it(run, smaller, tiny_encoder):
    table = concatenate_datasets(list(run.load_splits()[0].values()))
    texts = {text for column in ("text", "context") for text in table[column] if len(text) > 15}
    for name, content in contents(smaller[0]).items():
        assert [text for text in texts if text.encode() in content] == [], name
        for place in (run.path, smaller[0], tiny_encoder):
            assert str(place).encode() not in content, name


def test_less_agreement_than_asked_for_is_refused_and_the_old_folder_stays(run, smaller, tmp_path):
    shutil.copytree(smaller[0], tmp_path / "mine")
    before = contents(tmp_path / "mine")
    expected = (
        r"gives \d+\.\d% of \d+ dev rows the trained student's answer to task .*, --agreement"
    )
    with pytest.raises(InputError, match=expected):
        shrink_run(run.path, tmp_path / "mine", Cuts(layers=(0,)), agreement=0.999)
    assert contents(tmp_path / "mine") == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    certificate = shrink_run(run.path, tmp_path / "mine", Cuts(layers=(0,)), agreement=0.0)
    assert certificate["limits"] == {"agreement": 0.0}
    assert contents(tmp_path / "mine") != before


def test_nothing_to_cut_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="nothing to cut: give --layers, --ffn or --vocabulary"):
        shrink_run(run.path, tmp_path / "mine", Cuts())


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        (Cuts(layers=(0, 7)), r"layers: \[0, 7\]: choose from 0 to 1"),
        (Cuts(units=64), "units: 64: choose from 1 to 63"),
        (Cuts(vocabulary="own.txt"), r"--vocabulary: 'own.txt': give train, or a table ending"),
        (Cuts(vocabulary="own.csv"), r"own.csv: no such file"),
    ],
)
def test_a_cut_that_can_not_be_made_is_named(cuts, expected, run, tmp_path):
    with pytest.raises(InputError, match=expected):
        shrink_run(run.path, tmp_path / "mine", cuts)
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_the_corpus_that_can_not_be_read_is_named_without_its_text(run, tmp_path):
    own = tmp_path / "own.csv"
    for row, reason in (("a secret,2,3", "has 3 cells"), ("a sec\0ret,", "holds a NUL")):
        own.write_text(f"text,context\nfine,\n{row}\n")
        with pytest.raises(InputError, match=rf"own\.csv, row 2: .*{reason}") as caught:
            shrink_run(run.path, tmp_path / "mine", Cuts(vocabulary=str(own)))
        assert "sec" not in str(caught.value)


def test_a_tokenizer_that_cuts_the_corpus_otherwise_is_refused(run, tmp_path, monkeypatch):
    """Were a piece of use lost, texts of the corpus would be read otherwise."""
    keep = shrink.kept_pieces
    monkeypatch.setattr(shrink, "kept_pieces", lambda about, used: keep(about, used - {max(used)}))
    with pytest.raises(InputError, match="cuts a text of the corpus otherwise"):
        shrink_run(run.path, tmp_path / "mine", Cuts(vocabulary="train"))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_answers_the_corpus_otherwise_is_refused(run, tmp_path, monkeypatch):
    """Were a row of the embedding another piece's, the answers would be another text's."""
    keep = shrink.keep_pieces
    monkeypatch.setattr(shrink, "keep_pieces", lambda model, kept: keep(model, sorted(kept)[::-1]))
    with pytest.raises(InputError, match=r"a logit of a text of the corpus is \d\.\de[+-]\d\d off"):
        shrink_run(run.path, tmp_path / "mine", Cuts(vocabulary="train"))


def test_a_folder_of_something_else_is_not_taken(run, smaller, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"1")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "CERTIFICATE.json").write_text('{"precisions": {}}')
    for place in (tmp_path / "photos", tmp_path / "export", run.student):
        with pytest.raises(InputError, match=f"{place.name}: is a folder of something else"):
            shrink_run(run.path, place, Cuts(layers=(0,)))
    with pytest.raises(InputError, match=r"one\.jpg: is a file"):
        shrink_run(run.path, tmp_path / "photos" / "one.jpg", Cuts(layers=(0,)))
    with pytest.raises(InputError, match="mine: is a folder of something else"):
        export_run(run.path, smaller[0], ["fp32"])


def test_a_student_may_start_from_it(run, smaller):
    """student.encoder: such a folder, with its tokenizer; the heads are new ones."""
    settings = {"encoder": str(smaller[0]), "layers": (0,)}
    config = load_config(run.config)
    config = config.model_copy(update={"student": config.student.model_copy(update=settings)})
    model, tokenizer = start_model(config, run), student_tokenizer(config, run)
    small = StudentModel.from_pretrained(smaller[0]).encoder
    assert len(tokenizer) == model.config.encoder.vocab_size == small.config.vocab_size
    for name, values in small.state_dict().items():
        torch.testing.assert_close(model.encoder.state_dict()[name], values, rtol=0, atol=0)
