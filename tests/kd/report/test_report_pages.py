"""Tests of kd.report.pages and kd.report.section: escaping, and which columns are numbers."""

import json

import pytest

from kd.report.pages import in_script, write_pages
from kd.report.section import Mark, Part, Section, Table


def test_json_in_a_script_cannot_end_it_and_reads_back_the_same():
    values = [{"text": "</script><!-- & ]]> \u2028"}]
    text = in_script(values)
    assert not set("<>&") & set(text)
    assert json.loads(text) == values


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0.734 [0.701, 0.765]", "", "−0.012 [−0.030, +0.001]"], True),
        (["<0.001", "0.050"], True),
        (["12.3 %", "183.0 M", "732 MB"], True),
        (["0.712 ± 0.010"], True),
        (["up to 12 words", "3"], False),
        (["", ""], False),
    ],
)
def test_a_column_of_numbers_is_known_as_one(cells, expected):
    assert Table("", ["column"], [[cell] for cell in cells]).is_number == [expected]


@pytest.fixture
def written(tmp_path):
    table = Table("A | table", ["task", "verdict"], [["a|b <i>", Mark("worse", "bad")]])
    section = Section("verdict", "Verdict", [Part("", ["<b>One</b> & all."], [table])], {"a": 1})
    write_pages(tmp_path, title="x", sections=[section], config="name: x\n", examples=None)
    return tmp_path


def test_a_table_shows_the_same_cells_in_html_and_markdown(written):
    page = (written / "index.html").read_text()
    assert "<td>a|b &lt;i&gt;</td>" in page
    assert '<span class="mark bad">worse</span>' in page
    assert "&lt;b&gt;One&lt;/b&gt; &amp; all." in page
    assert r"| a\|b &lt;i> | worse |" in (written / "README.md").read_text()


def test_a_figure_that_is_not_a_number_is_refused(tmp_path):
    section = Section("verdict", "Verdict", [], {"a": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_pages(tmp_path, title="x", sections=[section], config="", examples=None)
