"""Test of a run with data.normalize: its rows, and every model of it, are of normalised texts."""

import pytest

from kd.cli import main
from kd.run_folder import RunFolder
from student.predictor import Predictor

CONFIG = """
name: mine
data: {{root: {root}, normalize: true}}
tasks:
  mood: {{sources: [{{files: mine.csv}}], classes: [sad, glad]}}
teachers: {{encoder: {encoder}, training: {{epochs: 1}}}}
student: {{encoder: {encoder}, layers: [0]}}
training: {{epochs: 1, objective: gold}}
"""


def test_rows_teacher_and_student_are_of_normalised_texts(tiny_encoder, tmp_path):
    moods = [("sad", n) for n in range(20)] + [("glad", n) for n in range(20)]
    rows = [f"@n{n} was {w} https://t.co/{n} day {n},{w}" for w, n in moods]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (tmp_path / "mine.yaml").write_text(CONFIG.format(root=tmp_path, encoder=tiny_encoder))
    for command in ("teach", "distill"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, str(tmp_path / "mine.yaml"), "--runs", str(tmp_path / "runs")])
    run = RunFolder(tmp_path / "runs" / "mine")
    texts = [text for split in run.load_splits()[0].values() for text in split["text"]]
    assert "<USER> was sad <URL> day 7" in texts
    for folder in (run.teacher("mood"), run.student):
        predictor = Predictor.load(folder)
        assert predictor.model.config.normalize
        # Alone: rows of one batch differ in their last digits.
        texts = ("@ann was www.a.org", "@bo was https://x.y/z")
        one, other = (predictor([text]) for text in texts)
        assert one == other
