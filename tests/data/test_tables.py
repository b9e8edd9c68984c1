"""Tests of data.tables: what becomes one row, which label counts, what a rationale teaches."""

from collections import Counter

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, load_from_disk
from transformers import AutoTokenizer

from data.cleaning import clean
from data.errors import InputError
from data.rationales import MASK, masked
from data.readers.empathy_reddit import CLASSES, read_empathy_reddit
from data.readers.record import Record
from data.readers.table import Columns, read_table
from data.rows import Rows, TaskRecords, row_id
from data.tables import build_table, table_hash
from data.tasks import TaskSpec

ALL_TRAIN = {"train": 1.0, "dev": 0.0, "test": 0.0}
MECHANISMS = ("ER", "IP", "EX")


def level_task(name, *records, given=None, **settings):
    """A task with rationales whose records are (key, text, label, parts, ...) of one file."""
    spec = TaskSpec(name, classes=("none", "weak", "strong"), has_context=True, has_rationale=True)
    made = [
        Record(f"{name}.csv:{line}", text, label, "body", "level", "A post", key, None, parts)
        for line, (key, text, label, parts) in enumerate(records, start=2)
    ]
    return TaskRecords(spec, [(given, record) for record in made], **settings)


def mood_task(*rows, name="mood", **settings):
    """A task of plain texts: rows (text, label) or (given split, text, label)."""
    rows = [row if len(row) == 3 else (None, *row) for row in rows]
    spec = TaskSpec(name, classes=("sad", "glad"))
    return TaskRecords(
        spec,
        [(given, Record(f"{name}.csv:2", text, label)) for given, text, label in rows],
        **settings,
    )


def build(*tasks, fractions=ALL_TRAIN, seed=0):
    return build_table(list(tasks), fractions=fractions, seed=seed)


def train_rows(*tasks):
    """The rows of a table that is all train, by id."""
    table, _, _ = build(*tasks)
    return {row["id"]: row for row in table["train"]}


def known(row, task):
    return bool(np.isfinite(row[f"gold/{task}"]).all())


def level(row, task):
    return ("none", "weak", "strong")[int(np.argmax(row[f"gold/{task}"]))]


def test_the_three_labels_of_a_pair_stand_in_one_row():
    rows = train_rows(
        level_task("ER", ("p1", "So sorry", "weak", ("sorry",))),
        level_task("IP", ("p1", "So sorry", "none", ())),
        level_task("EX", ("p1", "So sorry", "strong", ("So",))),
    )
    assert list(rows) == ["p1"]
    assert [level(rows["p1"], task) for task in MECHANISMS] == ["weak", "none", "strong"]
    assert rows["p1"]["context"] == "A post"
    assert rows["p1"]["rationale/ER"] == [[3, 8]]
    assert rows["p1"]["rationale/EX"] == [[0, 2]]


def test_texts_that_differ_only_in_entities_and_white_space_are_one_row():
    rows = train_rows(
        level_task("ER", ("p1", "You &amp; me\n\nboth ", "weak", ("me  both",))),
        level_task("IP", ("p1", "You & me both", "weak", ("You &amp; me",))),
    )
    assert list(rows) == ["p1"]
    assert rows["p1"]["text"] == "You & me both"
    assert rows["p1"]["rationale/ER"] == [[6, 13]]
    assert rows["p1"]["rationale/IP"] == [[0, 8]]


def test_a_text_that_really_differs_is_its_own_row_with_its_own_rationale():
    """Joined by key alone, the spans of one file would point into the text of the other."""
    rows = train_rows(
        level_task("ER", ("p1", "Oh I am sorry", "weak", ("sorry",))),
        level_task("IP", ("p1", "I am sorry", "weak", ("sorry",))),
    )
    assert set(rows) == {"p1", "p1~2"}
    assert rows["p1"]["rationale/ER"] == [[8, 13]]
    assert rows["p1~2"]["rationale/IP"] == [[5, 10]]
    assert [known(rows["p1"], task) for task in ("ER", "IP")] == [True, False]
    assert [known(rows["p1~2"], task) for task in ("ER", "IP")] == [False, True]


def test_equal_texts_under_two_keys_stay_two_rows_of_one_split():
    table, _, overlaps = build(
        level_task("ER", *((f"p{n}", "Thanks", "none", ()) for n in range(10))),
        fractions={"train": 0.5, "dev": 0.25, "test": 0.25},
    )
    assert sorted(len(split) for split in table.values()) == [0, 0, 10]
    assert set(overlaps.values()) == {0}


def test_a_text_without_a_key_is_named_by_a_hash_of_its_clean_text():
    rows = train_rows(mood_task(("So  good", "glad"), ("So good", "glad")))
    assert list(rows) == [row_id(None, "So good", "")]
    assert row_id(None, "So good", "") != row_id(None, "So good", "a post")
    assert row_id("p1", "So good", "") == "p1"


def test_every_row_has_an_id_of_its_own():
    """Soft targets are kept by id: two rows of one id would share one teacher answer."""
    texts = [("p1", "one", "none", ()), ("p1", "two", "none", ()), ("p1~2", "three", "none", ())]
    table, _, _ = build(level_task("ER", *texts))
    assert len(set(table["train"]["id"])) == 3


def test_repeats_are_counted_and_the_more_frequent_label_counts():
    table, profiles, _ = build(
        level_task(
            "ER",
            ("p1", "text", "none", ()),
            ("p1", "text", "strong", ("te",)),
            ("p1", "text", "strong", ("xt",)),
            ("p2", "other", "weak", ("other",)),
            ("p2", "other", "weak", ("her",)),
        )
    )
    first, second = table["train"]
    assert level(first, "ER") == "strong"
    assert first["rationale/ER"] == [[0, 2]]
    assert second["rationale/ER"] == [[0, 5]]
    assert (profiles["ER"].read, profiles["ER"].duplicates) == (5, 3)
    assert profiles["ER"].conflicts == ["p1"]


def test_a_conflict_is_named_by_the_files_own_key():
    """A person looks for it in the files, where the second text of a key is no `p1~2`."""
    _, profiles, _ = build(
        level_task(
            "ER",
            ("p1", "one text", "none", ()),
            ("p1", "another", "none", ()),
            ("p1", "another", "weak", ("other",)),
        )
    )
    assert profiles["ER"].conflicts == ["p1"]


def test_on_a_tie_the_label_read_first_counts():
    for order in (("weak", "none"), ("none", "weak")):
        rows = train_rows(level_task("ER", *(("p1", "text", name, ()) for name in order)))
        assert level(rows["p1"], "ER") == order[0]


def test_an_unlabelled_text_is_a_row_that_knows_nothing():
    table, profiles, _ = build(mood_task(("fine", "glad"), ("hm", None)))
    assert [known(row, "mood") for row in table["train"]] == [True, False]
    assert profiles["mood"].unlabelled == 1


def test_rows_of_another_task_are_unknown_not_the_first_class():
    rows = train_rows(mood_task(("a", "glad")), level_task("ER", ("p1", "b", "weak", ("b",))))
    plain = rows[row_id(None, "a", "")]
    assert np.isnan(plain["gold/ER"]).all()
    assert plain["rationale/ER"] is None
    assert plain["context"] == ""
    assert np.isnan(rows["p1"]["gold/mood"]).all()


@pytest.mark.parametrize(
    ("rule", "at_none", "at_weak"),
    [
        ("by_level", [], None),
        ("none", [], []),
        ("all", [[0, 8]], [[0, 8]]),
        ("ignore", None, None),
    ],
)
def test_what_a_row_without_a_rationale_teaches_follows_the_setting(rule, at_none, at_weak):
    rows = train_rows(
        level_task(
            "ER",
            ("p0", "no quote", "none", ()),
            ("p1", "no quote", "weak", ()),
            ("p2", "no quote", "weak", ("quote",)),
            ("p3", "no quote", "weak", ("absent",)),
            no_rationale=rule,
        )
    )
    assert rows["p0"]["rationale/ER"] == at_none
    assert rows["p1"]["rationale/ER"] == at_weak
    assert rows["p2"]["rationale/ER"] == [[3, 8]]
    assert rows["p3"]["rationale/ER"] is None


def test_parts_and_those_not_found_are_counted():
    _, profiles, _ = build(
        level_task("ER", ("p1", "I hear you", "weak", ("I", "see", "you")), ("p2", "x", "none", ()))
    )
    assert profiles["ER"].parts == 3
    assert profiles["ER"].unmatched == ["p1"]


def test_a_limit_forgets_gold_of_train_rows_only():
    rows = [("train", f"train {n}", "glad") for n in range(30)]
    rows += [("test", f"test {n}", "sad") for n in range(30)]
    table, profiles, _ = build(mood_task(*rows, limit=7))
    assert (len(table["train"]), len(table["test"])) == (7, 30)
    assert profiles["mood"].left_out_by_limit == 23
    assert profiles["mood"].rows["train"] == {"sad": 0, "glad": 7}


def test_a_row_beyond_the_limit_of_one_task_keeps_the_label_of_another():
    texts = [f"text {n}" for n in range(20)]
    table, _, _ = build(
        mood_task(*((text, "glad") for text in texts), name="first", limit=5),
        mood_task(*((text, "sad") for text in texts[:12]), name="second"),
    )
    counts = Counter((known(row, "first"), known(row, "second")) for row in table["train"])
    assert counts[True, True] + counts[True, False] == 5
    assert counts[True, True] + counts[False, True] == 12
    assert counts[False, False] == 0


def test_the_same_seed_builds_the_same_table_and_another_one_does_not():
    def hashed(seed):
        rows = [(f"text {n}", ("sad", "glad")[n % 2]) for n in range(60)]
        fractions = {"train": 0.6, "dev": 0.2, "test": 0.2}
        return table_hash(build(mood_task(*rows), fractions=fractions, seed=seed)[0])

    assert hashed(0) == hashed(0) != hashed(1)


def test_a_limit_draws_by_the_seed():
    def kept(seed):
        rows = ((f"text {n}", "glad") for n in range(40))
        return set(build(mood_task(*rows, limit=10), seed=seed)[0]["train"]["id"])

    assert kept(0) == kept(0) != kept(1)


def test_the_profile_counts_every_class_in_every_split():
    rows = [
        ("train", "a", "glad"),
        ("train", "b", "sad"),
        ("dev", "c", "sad"),
        ("test", "d", "sad"),
    ]
    _, profiles, _ = build(mood_task(*rows))
    assert profiles["mood"].rows == {
        "train": {"sad": 1, "glad": 1},
        "dev": {"sad": 1, "glad": 0},
        "test": {"sad": 1, "glad": 0},
    }


def test_a_text_given_to_two_splits_stays_out_of_training():
    rows = [("train", "Seen", "glad"), ("train", "new", "glad"), ("test", "Seen ", "glad")]
    table, _, overlaps = build(mood_task(*rows))
    assert list(table["train"]["text"]) == ["new"]
    assert list(table["test"]["text"]) == ["Seen"]
    assert overlaps == {"train/dev": 0, "train/test": 0, "dev/test": 0}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"text": "So Good {}"}, {"text": "so good {}"}),
        ({"text": "a {}", "context": "A post {}"}, {"text": "b {}", "context": "a  post {}"}),
        ({"text": "a {}", "context": "A post {}"}, {"text": "A post {}", "context": "c {}"}),
        ({"text": "a {}", "group": "writer {}"}, {"text": "b {}", "group": "writer {}"}),
    ],
    ids=["text in another case", "post", "post that is a text elsewhere", "writer"],
)
def test_rows_that_share_something_stand_in_one_split(first, second):
    """30 such pairs: divided row by row, most would stand in two splits."""
    records = [
        Record("a.csv:2", label="sad", key=f"{number} {side}", **filled)
        for number in range(30)
        for side, fields in enumerate((first, second))
        for filled in [{name: value.format(number) for name, value in fields.items()}]
    ]
    task = TaskRecords(TaskSpec("mood", classes=("sad",)), [(None, r) for r in records])
    fractions = {"train": 0.4, "dev": 0.3, "test": 0.3}
    table, _, overlaps = build(task, fractions=fractions)
    places = {key: name for name, split in table.items() for key in split["id"]}
    assert [places[f"{n} 0"] for n in range(30)] == [places[f"{n} 1"] for n in range(30)]
    assert set(places.values()) == set(fractions)
    assert set(overlaps.values()) == {0}


@pytest.mark.parametrize("text", ["", "  \n", "&nbsp;", "\u200b"])
def test_an_empty_text_is_refused_by_file_line_and_column(text):
    with pytest.raises(
        InputError, match=r"^ER\.csv:3, column 'body': the text is empty: write a text or delete"
    ):
        build(level_task("ER", ("p1", "fine", "none", ()), ("p2", text, "none", ())))


def test_an_empty_post_is_refused_with_its_place():
    record = Record("er.csv:4", "answer", "sad", context=" ")
    with pytest.raises(InputError, match=r"^er\.csv:4: the post it answers is empty: write a text"):
        build(TaskRecords(TaskSpec("mood", classes=("sad",)), [(None, record)]))


def test_a_wrong_class_is_refused_by_file_line_column_and_value():
    with pytest.raises(
        InputError,
        match=r"^ER\.csv:2, column 'level': 'Weak' is not a class of task 'ER': choose from none",
    ):
        build(level_task("ER", ("p1", "fine", "Weak", ())))


def test_a_task_without_rows_is_refused():
    with pytest.raises(InputError, match="task 'mood': its files hold no rows: check the sources"):
        build(mood_task())


def test_half_a_surrogate_pair_is_refused_with_its_place(write):
    """JSON can write one (\\ud83d, from an emoji cut in two), UTF-8 and Arrow can't."""
    path = write(
        "cut.jsonl", '{"text": "fine", "label": "sad"}\n{"text": "\\ud83d", "label": "sad"}'
    )
    records = ((None, record) for record in read_table(path, columns=Columns()))
    with pytest.raises(InputError, match=r"cut\.jsonl:2"):
        build(TaskRecords(TaskSpec("mood", classes=("sad", "glad")), records))


@pytest.fixture
def mixed_table():
    table, _, _ = build(
        level_task(
            "ER",
            ("p1", "I hear you", "weak", ("hear", "you")),
            ("p2", "ok", "none", ()),
            ("p3", "hm", "weak", ()),
        ),
        mood_task(("test", "bad", "sad"), ("fine", "glad")),
    )
    return table


def test_a_table_saved_and_read_back_is_identical(mixed_table, tmp_path):
    """An empty list must not come back as null: one teaches 'no rationale', the other nothing."""
    # One file each: `datasets` writes none for an empty split and then can't read it back.
    mixed_table.save_to_disk(tmp_path / "table", num_shards=dict.fromkeys(mixed_table, 1))
    loaded = load_from_disk(tmp_path / "table")
    assert table_hash(loaded) == table_hash(mixed_table)
    assert {name: len(split) for name, split in loaded.items()} == {"train": 4, "dev": 0, "test": 1}
    assert loaded["train"].features == mixed_table["train"].features
    assert loaded["train"]["rationale/ER"][:3] == [[[2, 6], [7, 10]], [], None]


def test_the_hash_changes_with_any_cell(mixed_table):
    train = mixed_table["train"]
    changes = {
        "id": lambda cell: cell + "x",
        "text": lambda cell: cell + "x",
        "context": lambda cell: cell + "x",
        "gold/ER": lambda cell: [0.5, *cell[1:]],
        "rationale/ER": lambda cell: None if cell is not None else [],
        "gold/mood": lambda cell: [*cell[:1], 0.5],
    }
    assert set(changes) == set(train.column_names)
    hashes = [table_hash(mixed_table)]
    for column, change in changes.items():
        for index in range(len(train)):
            columns = train.to_dict()
            columns[column][index] = change(columns[column][index])
            changed = Dataset.from_dict(columns, features=train.features)
            hashes.append(table_hash(DatasetDict({**mixed_table, "train": changed})))
    moved = DatasetDict({**mixed_table, "dev": mixed_table["test"], "test": mixed_table["dev"]})
    hashes.append(table_hash(moved))
    assert len(set(hashes)) == len(hashes) == 6 * 4 + 2


def test_the_public_files_merge_into_2536_pairs(public_empathy):
    """2,514 pairs have one text and all three labels; 22 differ in ER and stand as two rows."""
    table, profiles, _ = public_empathy
    rows = [row for split in table.values() for row in split]
    labels = Counter(tuple(known(row, task) for task in MECHANISMS) for row in rows)
    assert labels == {(True, True, True): 2514, (True, False, False): 22, (False, True, True): 22}
    pairs = {}
    for row in rows:
        pairs.setdefault(row["id"].split("~")[0], set()).update(
            task for task in MECHANISMS if known(row, task)
        )
    assert len(pairs) == 2536
    assert set(map(frozenset, pairs.values())) == {frozenset(MECHANISMS)}
    assert len({row["id"] for row in rows}) == len(rows) == 2558
    assert {profile.read for profile in profiles.values()} == {2583}
    assert {profile.duplicates for profile in profiles.values()} == {47}
    assert [len(profiles[task].conflicts) for task in MECHANISMS] == [6, 8, 1]


def test_the_public_rationales_are_found_but_for_six_parts(public_empathy):
    _, profiles, _ = public_empathy
    assert [profiles[task].parts for task in MECHANISMS] == [1030, 1345, 434]
    assert [len(profiles[task].unmatched) for task in MECHANISMS] == [1, 5, 0]


@pytest.mark.parametrize(
    ("mechanism", "silent", "of_a_level"),
    [("emotional-reactions", 1716, 1), ("interpretations", 1377, 7), ("explorations", 2187, 1)],
)
def test_the_setting_changes_what_exactly_the_public_rows_without_a_rationale_teach(
    public_data, mechanism, silent, of_a_level
):
    """Of all 3,084 rows they are 2,039, 1,634 and 2,605; `by_level` leaves level 0 as `none`."""
    spec = TaskSpec("ER", classes=CLASSES, has_context=True, has_rationale=True)
    path = public_data / "empathy-reddit" / f"{mechanism}-reddit.csv"
    records = list(read_empathy_reddit(path))
    found = {}
    for setting in ("all", "none", "ignore", "by_level"):
        rows = Rows()
        rows.read(TaskRecords(spec, ((None, record) for record in records), setting))
        found[setting] = rows.readings[spec.name].rationales().to_pylist()
    without = [row for row, record in enumerate(records) if not record.parts]
    assert len(without) == silent

    def differing(first, second):
        pairs = zip(found[first], found[second], strict=True)
        return [row for row, (one, other) in enumerate(pairs) if one != other]

    assert differing("all", "none") == differing("none", "ignore") == without
    assert differing("all", "ignore") == without
    assert len(differing("none", "by_level")) == of_a_level
    assert [found["none"][row] for row in without] == [[]] * silent
    assert [found["ignore"][row] for row in without] == [None] * silent
    assert all(len(found["all"][row]) == 1 and found["all"][row][0][0] == 0 for row in without)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_quoted_words_stand_in_a_public_response_without_its_rationale(
    public_empathy, mechanism
):
    quoting = 0
    for split in public_empathy[0].values():
        for text, spans in zip(split["text"], split[f"rationale/{mechanism}"], strict=True):
            if spans:
                quoting += 1
                left = masked(text, spans).split(MASK)
                assert not any(text[start:end] in part for start, end in spans for part in left)
                assert sum(map(len, left)) <= len(text) - sum(end - start for start, end in spans)
    assert quoting > 300


def test_the_public_pairs_are_split_in_their_shares_without_a_shared_text(public_empathy):
    table, profiles, overlaps = public_empathy
    assert overlaps == {"train/dev": 0, "train/test": 0, "dev/test": 0}
    seekers = [{row["id"].split("_")[0] for row in table[name]} for name in table]
    assert not set.intersection(seekers[0], seekers[1] | seekers[2])
    assert not set.intersection(seekers[1], seekers[2])
    shares = {"train": 0.7, "dev": 0.15, "test": 0.15}
    rows = sum(len(split) for split in table.values())
    for name, share in shares.items():
        assert abs(len(table[name]) - share * rows) <= 10
    for profile in profiles.values():
        totals = Counter()
        for counts in profile.rows.values():
            totals.update(counts)
        for name, share in shares.items():
            for class_name, total in totals.items():
                assert abs(profile.rows[name][class_name] - share * total) <= 3


def test_merged_pairs_need_a_third_of_the_tokens_of_three_files(
    public_empathy, public_data, minilm
):
    """The student reads a pair once for all its tasks, not once a file."""
    tokenizer = AutoTokenizer.from_pretrained(minilm)

    def tokens(texts):
        return sum(map(len, tokenizer(texts, truncation=True, max_length=64)["input_ids"]))

    merged = sum(
        tokens(list(split[column]))
        for split in public_empathy[0].values()
        for column in ("text", "context")
    )
    row_by_row = 0
    for path in sorted((public_data / "empathy-reddit").glob("*-reddit.csv")):
        records = list(read_empathy_reddit(path))
        row_by_row += tokens([clean(record.text).text for record in records])
        row_by_row += tokens([clean(record.context).text for record in records])
    assert row_by_row >= 3.0 * merged


def test_another_seed_splits_the_same_public_rows_otherwise(read_public_empathy, public_empathy):
    table, other = public_empathy[0], read_public_empathy(1)[0]
    ids, other_ids = (
        {name: set(split["id"]) for name, split in splits.items()} for splits in (table, other)
    )
    assert set.union(*ids.values()) == set.union(*other_ids.values())
    assert all(ids[name] != other_ids[name] for name in ids)


def test_rows_that_leave_the_split_of_their_file_are_counted():
    """A writer in train and test moves to test; the size of a published test set then differs."""
    spec = TaskSpec("mood", classes=("sad", "glad"))
    given = [("train", "ann"), ("test", "ann"), ("train", "bob"), ("dev", "cid")]
    records = [
        (split, Record(f"f:{n}", f"text {n}", "sad", group=writer))
        for n, (split, writer) in enumerate(given)
    ]
    _, profiles, _ = build_table([TaskRecords(spec, records)], fractions={"train": 1.0}, seed=0)
    assert profiles["mood"].moved == 1
    assert {s: sum(c.values()) for s, c in profiles["mood"].rows.items()} == {
        "train": 1,
        "dev": 1,
        "test": 2,
    }


def test_normalised_texts_are_one_row_where_only_a_link_or_name_differs():
    records = [
        ("a", "@ann so sad https://t.co/a", "weak", ("@ann", "sad  https://t.co/a")),
        ("a", "@bob so sad https://t.co/b", "weak", ()),
    ]
    table, profiles, _ = build_table(
        [level_task("ER", *records)], fractions=ALL_TRAIN, seed=0, normalize=True
    )
    (row,) = table["train"]
    assert row["text"] == "<USER> so sad <URL>"
    assert row["rationale/ER"] == [[0, 6], [10, 19]]
    assert profiles["ER"].unmatched == []
    assert len(build(level_task("ER", *records))[0]["train"]) == 2


def test_a_normalised_table_is_another_one_even_where_no_text_changed():
    """Its models read new texts otherwise, so stages of the other table must not be taken over."""
    table, _, _ = build(mood_task(("so sad", "sad")))
    assert table_hash(table, normalize=True) != table_hash(table)
