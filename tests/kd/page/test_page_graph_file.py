"""Tests of telling a whole ONNX graph from a damaged one."""

import pytest

from data.errors import InputError
from kd.page.graph_file import check_graph


def test_a_whole_graph_passes(exported):
    check_graph(exported / "model.onnx")


def test_a_graph_cut_anywhere_is_refused(exported, tmp_path):
    content = (exported / "model.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    for length in (*range(40), *range(40, len(content) - 40, 97), *range(-40, 0)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"model\.onnx: is no ONNX graph, or is cut off"):
            check_graph(path)
