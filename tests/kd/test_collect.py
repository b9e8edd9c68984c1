"""Tests of kd.collect: which texts are kept, under which ids, and what each step left out."""

import csv
import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import InputError
from data.sources import Source
from kd.collect import collect

TWEETS = """\
id,text,label
t1,My friend has cancer. So much PAIN 😢!!,
t2,"RT @ann: Cancer,  pain and a link https://t.co/abc",x
t3,no such word but pain,
t4,cancer is a word alone,
t5,"rt @bob: cancer, PAIN and a link https://t.co/xyz",
t6,cancerous pain,
t7,@cancer_org pain https://cancer.org/pain,
t8,cancer and painful,
t9,#cancer :( ❤️\u200d🔥 the &lt;b&gt;pain&lt;/b&gt; of ann@x.org,
t10,cancer,pain,
t11,,
"""


@pytest.fixture
def table(tmp_path):
    """The path of a table of toy tweets."""
    path = tmp_path / "tweets.csv"
    path.write_text(TWEETS, encoding="utf-8")
    return path


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_toy_tweets_are_kept_and_left_out_as_by_hand(table, tmp_path):
    target = tmp_path / "new" / "out.csv"
    counts = collect([table], target, keywords=["CANCER"], words=["pain", "loss"])
    assert rows_of(target) == [
        ["id", "text", "label"],
        ["t1", "My friend has cancer. So much PAIN 😢!!", ""],
        ["t2", "RT <USER>: Cancer, pain and a link <URL>", ""],
        ["t9", "#cancer :( ❤️\u200d🔥 the <b>pain</b> of <EMAIL>", ""],
    ]
    assert (counts.read, counts.rejected, counts.duplicates, counts.kept) == (11, 1, 1, 3)
    assert (counts.without_keyword, counts.without_word) == (4, 2)
    assert counts.first_rejected == f"{table}, row 10: has 4 cells, the header names 3"
    assert sorted(path.name for path in target.parent.iterdir()) == ["out.csv"]


def test_a_keyword_does_not_count_as_a_word_of_the_lexicon(table, tmp_path):
    """The word cancer is among the 200 rated highest: with it every text would pass."""
    counts = collect([table], tmp_path / "a.csv", keywords=["cancer"], words=["cancer", "pain"])
    assert counts.kept == 3
    with pytest.raises(InputError, match="holds no word beside the keywords"):
        collect([table], tmp_path / "b.csv", keywords=["Cancer"], words=["cancer"])


def test_any_keyword_will_do_and_a_placeholder_is_no_word(tmp_path):
    path = tmp_path / "in.jsonl"
    texts = ["the user is sad", "@ann is sad", "me@x.org sad", "an email, sad", "<URL> sad"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    collect([path], tmp_path / "out.csv", keywords=["user", "email", "url"], words=["sad"])
    assert [text for _, text, _ in rows_of(tmp_path / "out.csv")[1:]] == [texts[0], texts[3]]


def test_without_an_id_the_hash_of_the_text_is_one_wherever_it_stands(tmp_path):
    first, second = tmp_path / "1.jsonl", tmp_path / "2.parquet"
    first.write_text('{"text": "x"}\n{"text": "so sad  today", "id": ""}\n')
    pq.write_table(pa.table({"post": ["so sad today"], "text": ["y"]}), second)
    collect([first], tmp_path / "a.csv", keywords=["sad"], words=["today"])
    collect([second], tmp_path / "b.csv", keywords=["sad"], words=["today"], column="post")
    assert rows_of(tmp_path / "a.csv") == rows_of(tmp_path / "b.csv")
    name = hashlib.blake2b(b"so sad today\x1f", digest_size=8).hexdigest()
    assert rows_of(tmp_path / "a.csv")[1] == [name, "so sad today", ""]


def test_ids_stay_unique_where_two_tables_share_some(tmp_path):
    for name in ("1", "2"):
        (tmp_path / f"{name}.csv").write_text(f"id,text\n7,so sad {name}\n8,so sad\n")
    counts = collect(
        [tmp_path / "1.csv", tmp_path / "2.csv"],
        tmp_path / "out.csv",
        keywords=["so"],
        words=["sad"],
    )
    rows = rows_of(tmp_path / "out.csv")[1:]
    name = hashlib.blake2b(b"so sad 2\x1f", digest_size=8).hexdigest()
    assert [(row[0], row[1]) for row in rows] == [
        ("7", "so sad 1"),
        ("8", "so sad"),
        (f"7~{name}", "so sad 2"),
    ]
    assert (counts.duplicates, counts.renamed, counts.kept) == (1, 1, 3)


def test_texts_that_no_model_reads_are_rejected_without_their_words(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "text": "so sad \\ud83d"}\n{"text": "so sad \\u0000"}\n')
    counts = collect([path], tmp_path / "out.csv", keywords=["so"], words=["sad"])
    assert (counts.rejected, counts.kept) == (2, 0)
    assert counts.first_rejected == f"{path}, row 1: the text holds half a surrogate pair"


def test_the_table_can_be_trained_on_once_it_is_labelled(table, tmp_path):
    collect([table], tmp_path / "out.csv", keywords=["cancer"], words=["pain"])
    records = [
        record for _, record in Source(files="out.csv", columns={"id": "id"}).records(tmp_path)
    ]
    assert [(record.key, record.label) for record in records] == [
        ("t1", None),
        ("t2", None),
        ("t9", None),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keywords": []}, "--keyword: is blank or missing"),
        ({"keywords": ["a", " "]}, "--keyword: is blank or missing"),
        ({"target": "out.tsv"}, "out.tsv: is no .csv file"),
        ({"target": "tweets.csv"}, "tweets.csv: is there already, maybe with labels"),
        ({"source": "absent.csv"}, "absent.csv: no such file"),
        ({"source": "tweets.txt"}, "tweets.txt: '.txt' is no table"),
        ({"column": "post"}, "tweets.csv:1: no column 'post': the header is 'id,text,label'"),
    ],
)
def test_a_wrong_request_is_refused_and_writes_nothing(table, tmp_path, changes, message):
    given = {"keywords": ["cancer"], "source": table.name, "target": "out.csv", "column": None}
    given |= changes
    with pytest.raises(InputError, match=message):
        collect(
            [table, tmp_path / given["source"]],
            tmp_path / given["target"],
            keywords=given["keywords"],
            words=["pain"],
            column=given["column"],
        )
    assert [path.name for path in tmp_path.iterdir()] == [table.name]
