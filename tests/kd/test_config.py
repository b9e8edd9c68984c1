"""Tests of kd.config: what a YAML file may say, and the sentence it gets when it says otherwise."""

import pytest
from pydantic import ValidationError

from data.errors import InputError
from kd.config import Config, OutsideTeacher, Task
from kd.config_file import differences, dump_config, load_config

MINE = """
name: mine
tasks:
  mood:
    sources: [{files: mine.csv}]
    classes: [sad, glad]
"""


@pytest.fixture
def load(tmp_path):
    """A function that loads YAML text with overrides."""

    def loaded(text=MINE, *overrides):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, overrides)

    return loaded


def test_three_lines_name_a_task_of_ones_own(load):
    (spec,) = load().specs
    assert (spec.name, spec.kind, spec.classes) == ("mood", "classification", ("sad", "glad"))
    assert not spec.has_context
    assert not spec.has_rationale


def test_temperature_is_one_unless_it_is_set():
    assert Task.model_validate({"sources": [{"files": "mine.csv"}]}).temperature == 1.0


def test_a_public_format_knows_its_classes_context_and_rationales(load):
    text = "name: a\ntasks: {er: {sources: [{reader: empathy_reddit, files: er.csv}]}}"
    (spec,) = load(text).specs
    assert spec.classes == ("none", "weak", "strong")
    assert spec.has_context
    assert spec.has_rationale


@pytest.mark.parametrize(
    ("addition", "place", "nearest"),
    [
        ("sed: 3", "sed", "seed"),
        ("data: {max_token: 9}", "data.max_token", "max_tokens"),
        ("data: {splits: {tran: 0.5}}", "data.splits.tran", "train"),
        ("training: {learning_rat: 0.1}", "training.learning_rat", "learning_rate"),
        ("teachers: {training: {epoch: 1}}", "teachers.training.epoch", "epochs"),
        ("student: {layer: [0]}", "student.layer", "layers"),
        ("    wieght: 2", "tasks.mood.wieght", "weight"),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest_right_one(
    load, addition, place, nearest
):
    key = place.rpartition(".")[2]
    expected = f"mine.yaml: {place}: unknown key '{key}': did you mean '{nearest}'\\?$"
    with pytest.raises(InputError, match=expected):
        load(f"{MINE}{addition}\n")


@pytest.mark.parametrize(
    ("source", "place", "nearest"),
    [
        ("{files: a.csv, encodin: latin-1}", "encodin", "encoding"),
        ("{files: a.csv, columns: {labl: b}}", "columns.labl", "label"),
    ],
)
def test_an_unknown_key_inside_a_list_is_named_with_its_number(load, source, place, nearest):
    text = MINE.replace("{files: mine.csv}", source)
    with pytest.raises(InputError, match=rf"tasks\.mood\.sources\.0\.{place}: .*'{nearest}'\?$"):
        load(text)


def test_a_key_near_to_none_is_answered_with_all_of_them(load):
    expected = "'zzz': choose from checkpoints, data, export, logs, name, presets, report"
    with pytest.raises(InputError, match=expected):
        load(f"{MINE}zzz: 1\n")


def test_an_unknown_key_of_one_teacher_is_named_with_its_task_and_suggestion(load):
    text = f"{MINE}teachers: {{tasks: {{mood: [{{encodr: mine}}]}}}}\n"
    with pytest.raises(InputError, match=r"teachers\.tasks\.mood\.0.*'encodr'.*'encoder'\?$"):
        load(text)


def test_a_teacher_may_be_a_file_beside_those_that_are_trained(load):
    text = (
        f"{MINE}teachers: {{dropout: 0.3, tasks: {{mood: [{{file: a.csv, weight: 2}}, {{}}]}}}}\n"
    )
    config = load(text)
    assert config.teachers.outside("mood") == {"mood": OutsideTeacher(file="a.csv", weight=2)}
    (name, trained), *_ = config.teachers.trained("mood").items()
    assert (name, trained.dropout) == ("mood-2", 0.3)
    assert list(config.teachers.of("mood")) == ["mood", "mood-2"]
    assert load(dump_config(config)) == config


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        (
            "tasks: {mood: [{file: a.csv, encoder: mine}]}",
            r"mood\.0\.encoder: unknown key 'encoder'",
        ),
        ("tasks: {mood: [{file: 3}]}", r"mood\.0\.file: input should be a valid string, not 3"),
        ("tasks: {mood: []}", r"teachers\.tasks\.mood: .*at least 1 item"),
        ("file: a.csv", r"teachers\.file: unknown key 'file'"),
        ("weights: equal", r"teachers\.weights: .*'given', 'dev' or 'trust', not 'equal'"),
    ],
)
def test_a_wrong_setting_of_outside_teachers_is_named(load, teachers, message):
    with pytest.raises(InputError, match=message) as caught:
        load(f"{MINE}teachers: {{{teachers}}}\n")
    assert len(str(caught.value).splitlines()) == 1


def test_a_student_can_not_start_from_a_teacher_without_weights(load):
    text = f"{MINE}teachers: {{tasks: {{mood: [{{file: a.csv}}, {{}}]}}}}\n"
    assert load(text, "student.start=mood-2").student.start == "mood-2"
    expected = r"student\.start: 'mood': choose from \['mood-2'\], the teachers that are trained"
    with pytest.raises(InputError, match=expected):
        load(text, "student.start=mood")


def test_a_wrong_value_of_one_teacher_is_named_with_its_task(load):
    text = f"{MINE}teachers: {{tasks: {{mood: [{{training: {{epochs: many}}}}]}}}}\n"
    with pytest.raises(InputError, match=r"teachers\.tasks\.mood\.0\.training\.epochs: .*'many'"):
        load(text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=many", "seed: input should be a valid integer.*'many'"),
        ("seed=-1", "seed: .*greater than or equal to 0, not -1"),
        ("training.epochs=0", r"training\.epochs: .*greater than 0, not 0"),
        ("training.gold_weight=1.5", r"training\.gold_weight: .*less than or equal to 1, not 1\.5"),
        ("training.objective=hard", r"training\.objective: .*'gold'.*, not 'hard'"),
        ("training.precision=fp8", r"training\.precision: .*'bf16'.*, not 'fp8'"),
        ("data.max_tokens=4", r"data\.max_tokens: .*greater than or equal to 8, not 4"),
        ("data.splits.train=0.9", r"data\.splits: train, dev and test must add up to 1"),
        ("tasks.mood.kind=ranking", r"tasks\.mood\.kind: .*not 'ranking'"),
        ("name=a/b", "name: string should match pattern .*not 'a/b'"),
        ("student.attention_dense=1.5", r"student\.attention_dense: .*or equal to 1, not 1\.5"),
        ("student.attention_heads=0", r"student\.attention_heads: .*or equal to 1, not 0"),
        ("student.attention_talking=0.4", r"student: attention_talking 0\.4 needs .* not 1"),
        ("student.start=nobody", r"student\.start: 'nobody': choose from \['mood'\]"),
        ("teachers.tasks.moood=[{}]", r"teachers\.tasks: 'moood' is no task: .*'mood'\?"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_would_be_right(load, override, message):
    with pytest.raises(InputError, match=rf"mine\.yaml: {message}") as caught:
        load(MINE, override)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["id", "mood_probability"])
def test_a_task_whose_answers_would_stand_in_anothers_column_is_refused(load, name):
    more = f"  {name}:\n    sources: [{{files: mine.csv}}]\n    classes: [low, high]\n"
    with pytest.raises(InputError, match=f"yaml: task '{name}': two columns of answers would be"):
        load(MINE + more)


@pytest.mark.parametrize("files", ["3", "{trian: a.csv}"])
def test_wrong_files_of_a_source_are_one_line_in_words(load, files):
    with pytest.raises(InputError, match=r"tasks\.mood\.sources\.0\.files") as caught:
        load(MINE.replace("files: mine.csv", f"files: {files}"))
    assert "[" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_misspelt_key_that_must_be_there_is_one_line(load):
    with pytest.raises(InputError, match=r"unknown key 'source': did you mean 'sources'\?") as e:
        load(MINE.replace("sources:", "source:"))
    assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\n", "tasks: is missing"),
        (MINE.replace("name: mine", ""), "name: is missing"),
        ("name: mine\ntasks: {}\n", "tasks: dictionary should have at least 1 item"),
        ("- name\n- tasks\n", "is not a mapping"),
        ("3\n", "is not YAML"),
        ("name: [\n", ":2: is not YAML"),
        (f"{MINE}    classes: [a, b]\n", ":7: is not YAML: .*duplicate key classes"),
        ("name: ${nothing}\n", "'nothing' not found"),
        (MINE.replace("    classes: [sad, glad]\n", ""), r"tasks\.mood: name at least two classes"),
        (MINE.replace("[sad, glad]", "[sad]"), r"tasks\.mood: name at least two classes"),
        (MINE.replace("[sad, glad]", "[sad, sad]"), "a class is named twice"),
        (MINE.replace("mood", "my-mood"), "'my-mood': use letters"),
        (MINE.replace("mood", "train"), "task 'train': torch keeps this word"),
        (MINE.replace("mood", "_mood"), "task '_mood': use letters, .*, a letter first"),
        (f"{MINE}    kind: regression\n    low: 2\n", "a regression task needs low < high"),
        (MINE.replace("files: mine.csv", "encoding: utf-8"), "give either files or hub"),
    ],
)
def test_a_file_that_says_too_little_or_the_wrong_thing_is_refused(load, text, message):
    with pytest.raises(InputError, match=rf"mine\.yaml.*{message}"):
        load(text)


def test_a_config_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: no such file: give a config"):
        load_config(tmp_path / "absent.yaml")


def test_bytes_that_are_not_text_are_no_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(InputError, match=r"mine\.yaml: is not YAML"):
        load_config(path)


def test_overrides_reach_every_depth_and_the_last_one_counts(load):
    config = load(
        MINE, "seed=3", "seed=4", "training.epochs=0.5", "tasks.mood.classes=[low, high]",
        "data.splits={train: 0.5, dev: 0.25, test: 0.25}",
    )  # fmt: skip
    assert (config.seed, config.training.epochs) == (4, 0.5)
    assert config.specs[0].classes == ("low", "high")
    assert config.data.splits.dev == 0.25


@pytest.mark.parametrize("override", ["seed", "=3", "--seed 3"])
def test_an_override_without_key_or_value_is_refused(load, override):
    with pytest.raises(InputError, match=r"is no override: write key\.key=value"):
        load(MINE, override)


def test_an_override_inside_a_list_is_refused_with_its_key(load):
    """A list is replaced whole; OmegaConf's own error is a TypeError without a place."""
    with pytest.raises(InputError, match=r"tasks\.mood\.sources"):
        load(MINE, "tasks.mood.sources.0.files=other.csv")


def test_a_config_does_not_change_after_loading(load):
    config = load()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3


def test_a_dumped_config_loads_as_the_same_config(load, tmp_path):
    config = load(f"{MINE}teachers: {{tasks: {{mood: [{{dropout: 0.2}}, {{layers: [0]}}]}}}}\n")
    path = tmp_path / "dumped.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def test_every_task_has_one_teacher_of_its_name_with_the_shared_settings(load):
    teachers = load(f"{MINE}teachers: {{dropout: 0.3, training: {{epochs: 7}}}}\n").teachers
    ((name, teacher),) = teachers.of("mood").items()
    assert (name, teacher.dropout, teacher.training.epochs) == ("mood", 0.3, 7)


def test_a_tasks_own_teachers_differ_only_in_what_they_name(load):
    shared = "teachers: {dropout: 0.3, training: {epochs: 7, batch_size: 4}, tasks: {mood: ["
    members = "{training: {epochs: 1}}, {encoder: other, weight: 3}, {}]}}"
    teachers = load(f"{MINE}{shared}{members}\n").teachers.of("mood")
    assert list(teachers) == ["mood", "mood-2", "mood-3"]
    first, second, third = teachers.values()
    assert (first.training.epochs, first.training.batch_size, first.dropout) == (1, 4, 0.3)
    assert (second.encoder, second.weight, second.training.epochs) == ("other", 3, 7)
    assert third == first.model_copy(update={"training": second.training})


def test_a_student_may_start_from_the_second_teacher_of_a_task(load):
    text = f"{MINE}teachers: {{tasks: {{mood: [{{}}, {{}}]}}}}\n"
    assert load(text, "student.start=mood-2").student.start == "mood-2"


def test_the_embedded_root_is_the_samples_beside_the_data_package(load):
    assert (load(MINE, "data.root=embedded").data.root_path / "README.md").is_file()


def test_equal_configs_have_no_differences(load):
    first, second = (load().model_dump(mode="json") for _ in range(2))
    assert differences(first, second) == []


def test_differences_are_dotted_keys_with_both_values(load):
    first = load().model_dump(mode="json")
    second = load(MINE, "training.epochs=9", "name=other").model_dump(mode="json")
    assert differences(first, second) == [
        "name is 'mine' there and 'other' here",
        "training.epochs is 4.0 there and 9.0 here",
    ]


def test_a_key_that_only_one_side_has_is_a_difference():
    assert differences({"a": {"b": 1}}, {"a": {}, "c": 2}) == [
        "a.b is 1 there and None here",
        "c is None there and 2 here",
    ]


def test_lists_of_mappings_are_compared_place_by_place():
    first = {"sources": [{"reader": "xed", "files": "a"}, {"reader": "sst2", "files": "b"}]}
    second = {"sources": [{"reader": "xed", "files": "a"}, {"reader": "sst2", "files": "c"}]}
    assert differences(first, second) == ["sources[1].files is 'b' there and 'c' here"]
    second["sources"].pop()
    assert differences(first, second)[0].startswith("sources is [{")
    assert differences({"a": [1, 2]}, {"a": [1, 3]}) == ["a is [1, 2] there and [1, 3] here"]
    assert differences({"a": []}, {"a": []}) == []


def test_every_setting_but_groups_and_choices_has_a_default(load):
    """A config of a run is three lines, not fifty."""
    required = [name for name, field in Config.model_fields.items() if field.is_required()]
    assert required == ["name", "tasks"]


def test_teachers_and_student_choose_their_attention_each_for_itself(load):
    text = (
        f"{MINE}teachers:\n"
        "  attention_heads: 4\n"
        "  attention_talking: 0.4\n"
        "  tasks: {mood: [{}, {attention_talking: 0, attention_dense: 1}]}\n"
        "student: {attention_heads: 2, attention_dense: 0.3}\n"
    )
    config = load(text)
    teachers = config.teachers.of("mood")
    chosen = [teachers["mood"], teachers["mood-2"], config.student]
    assert [
        (model.attention_heads, model.attention_talking, model.attention_dense) for model in chosen
    ] == [(4, 0.4, 0.0), (4, 0.0, 1.0), (2, 0.0, 0.3)]


def test_a_config_from_before_talking_heads_and_synthesizers_has_none(load):
    """Finished runs hold such a config.yaml, with every key of their time written out."""
    settings = load(f"{MINE}student: {{attention_heads: 2}}\n").student
    assert settings.attention_heads == 2
    assert settings.attention_talking == settings.attention_dense == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{attention_talkin: 0.4}", "unknown key 'attention_talkin': did you mean '.*_talking'"),
        (
            "{attention_heads: 2, attention_talking: 0.4, attention_dense: 1}",
            r"attention_dense 1.0 leaves no share to attention_talking 0\.4",
        ),
    ],
)
def test_an_attention_that_can_not_be_is_refused_by_name(load, settings, message):
    with pytest.raises(InputError, match=rf"mine\.yaml: student.*{message}"):
        load(f"{MINE}student: {settings}\n")
    with pytest.raises(InputError, match=rf"teachers\.tasks\.mood\.0.*{message}"):
        load(f"{MINE}teachers: {{tasks: {{mood: [{settings}]}}}}\n")


def test_a_teacher_may_hear_beside_those_that_read(load):
    given = "{speech: {frames: 64}, encoder: ast, dropout: 0.2}"
    teachers = load(f"{MINE}teachers: {{tasks: {{mood: [{{}}, {given}]}}}}\n").teachers
    assert list(teachers.reading("mood")) == ["mood"]
    (hearing,) = teachers.hearing("mood").values()
    assert (hearing.encoder, hearing.dropout, hearing.speech.frames) == ("ast", 0.2, 64)
    assert hearing.speech.command == ("espeak-ng", "-w", "{wav}", "--stdin")
    assert list(teachers.trained("mood")) == ["mood", "mood-2"]


def test_a_teacher_that_reads_has_the_settings_it_had_before_others_could_hear(load):
    """Its key is made of them: one more would have every old run train its teachers again."""
    assert "speech" not in load().teachers.trained("mood")["mood"].model_dump()
    assert "speech" not in dump_config(load())


@pytest.mark.parametrize(
    ("speech", "message"),
    [
        ("{frame: 64}", r"mood\.0\.speech\.frame: unknown key 'frame': did you mean 'frames'"),
        ("{command: [say]}", r"names no \{wav\}: give it where the file's name belongs"),
        ("{command: []}", r"mood\.0\.speech\.command"),
        ("{frames: 0}", r"mood\.0\.speech\.frames"),
    ],
)
def test_a_wrong_setting_of_speech_is_named(load, speech, message):
    with pytest.raises(InputError, match=message):
        load(f"{MINE}teachers: {{tasks: {{mood: [{{speech: {speech}}}]}}}}\n")


def test_a_student_cannot_start_from_a_teacher_that_hears(load):
    text = (
        f"{MINE}teachers: {{tasks: {{mood: [{{speech: {{}}}}, {{}}]}}}}\nstudent: {{start: mood}}\n"
    )
    with pytest.raises(InputError, match=r"student.start: 'mood': choose from \['mood-2'\]"):
        load(text)
