"""The configuration of a run: what can be set, with defaults, bounds and meanings."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data.plan import Sampling
from data.rows import NoRationale
from data.sources import SAMPLES, Source, Split
from data.tasks import Kind, TaskSpec
from kd.annealing import ScheduleName
from kd.answer_columns import own_columns
from kd.config_problems import nearest, sentences
from student.head_names import TAKEN, HeadKind, Pooling
from student.word_names import below
from teachers.speech import ESPEAK, WAV

EMBEDDED = "embedded"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
Objective = Literal["annealed", "soft", "gold", "mixed", "ce+kl"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
TeacherWeights = Literal["given", "dev", "trust"]


class Settings(BaseModel):
    """Base of all parts: no unknown key, no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Splits(Settings):
    """Shares of the rows whose files name no split."""

    train: float = Field(0.7, gt=0, lt=1)
    dev: float = Field(0.1, gt=0, lt=1)
    test: float = Field(
        0.2, ge=0, lt=1, description="0 where a file of its own holds the test rows"
    )

    @model_validator(mode="after")
    def _sum(self) -> "Splits":
        if abs(self.train + self.dev + self.test - 1.0) > 1e-6:
            raise ValueError("train, dev and test must add up to 1")
        return self

    def fractions(self) -> dict[Split, float]:
        """split → share, of those that get one."""
        shares: dict[Split, float] = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: share for split, share in shares.items() if share}


class Data(Settings):
    """Where the rows come from and how they are divided."""

    root: str = Field(".", description="folder of the files; 'embedded' is the project's samples")
    max_tokens: int = Field(64, ge=8, le=8192, description="subwords of a text, and of its context")
    normalize: bool = Field(
        False, description="<URL>, <USER> and <EMAIL> for addresses and names; no kd export then"
    )
    splits: Splits = Splits()

    @property
    def root_path(self) -> Path:
        """The folder itself."""
        if self.root == EMBEDDED:
            return SAMPLES
        return Path(self.root)

    def encoder(self, name: str) -> str:
        """An encoder's name; a file of word vectors is looked for below root first."""
        return below(self.root_path, name)


class Task(Settings):
    """One task: its sources, and how much it counts."""

    sources: tuple[Source, ...] = Field(min_length=1, description="files or hub data sets")
    kind: Kind = "classification"
    classes: tuple[str, ...] = Field((), description="class names in order; public formats know")
    low: float = Field(0.0, description="regression: least value")
    high: float = Field(1.0, description="regression: greatest value")
    limit: int | None = Field(None, ge=1, description="most train rows, drawn at random")
    no_rationale: NoRationale = Field(
        "by_level", description="a row without one teaches: none, all, ignore, or by_level"
    )
    weight: float = Field(1.0, ge=0, description="the task's share of the student's loss")
    temperature: float = Field(
        1.0, gt=0, description="divides the teacher's logits; of ce+kl the student's too"
    )
    class_weights: Literal["none", "sqrt", "balanced"] = Field(
        "sqrt",
        description="of gold rows and rationale tokens; balanced: all / (classes * of the class); "
        "sqrt: its square root",
    )

    def spec(self, name: str) -> TaskSpec:
        """The task as the models see it.

        Raises ValueError when its classes are missing or two sources disagree.
        """
        known = {source.classes for source in self.sources if source.classes}
        classes = self.classes or (known.pop() if len(known) == 1 else ())
        if self.kind == "classification" and len(classes) < 2:
            raise ValueError("name at least two classes, in order")
        if len(set(classes)) < len(classes):
            raise ValueError(f"a class is named twice in {list(classes)}")
        if self.kind == "regression" and not self.low < self.high:
            raise ValueError("a regression task needs low < high")
        return TaskSpec(
            name=name,
            kind=self.kind,
            classes=classes if self.kind == "classification" else (),
            has_context=any(source.has_context for source in self.sources),
            has_rationale=any(source.has_rationale for source in self.sources),
            low=self.low,
            high=self.high,
        )


class Training(Settings):
    """How a model is fine-tuned."""

    epochs: float = Field(4, gt=0)
    max_steps: int | None = Field(None, ge=1, description="optimizer steps, in place of epochs")
    batch_size: int = Field(32, ge=1, description="rows an optimizer step, over all processes")
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    layer_decay: float = Field(0.9, gt=0, le=1, description="rate of a layer over that above it")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    accumulation: int = Field(1, ge=1, description="micro-steps an optimizer step")
    precision: Precision = "auto"
    level_weight: float = Field(1.0, ge=0, description="lambda_EI, the label loss")
    rationale_weight: float = Field(0.5, ge=0, description="lambda_RE, the rationale loss")
    evaluations: int = Field(1, ge=1, description="dev evaluations an epoch")
    patience: int = Field(3, ge=1, description="evaluations without a better one before the stop")
    plateau: float = Field(
        1.0,
        gt=0,
        le=1,
        description="multiplies the rate after each evaluation that brought nothing better",
    )

    @model_validator(mode="after")
    def _parts_hold_rows(self) -> "Training":
        if self.accumulation > self.batch_size:
            raise ValueError(
                f"accumulation {self.accumulation} needs a batch_size of at least that many rows, "
                f"not {self.batch_size}"
            )
        return self


class CheckpointSettings(Settings):
    """How much of a training is lost when the machine is; the result does not depend on it."""

    every: int = Field(500, ge=0, description="optimizer steps; 0: only on SIGTERM and Ctrl-C")
    keep: int = Field(1, ge=1, description="the last ones")


class LogSettings(Settings):
    """What a training writes down; the result does not depend on it."""

    every: int = Field(10, ge=1, description="optimizer steps between two lines")
    gradients: int = Field(10, ge=0, description="comparisons of the tasks' gradients; 0: none")
    rows: bool = Field(False, description="also the ids of each step's rows, a file a process")


class ReportSettings(Settings):
    """What the report shows; no training or score depends on it."""

    examples: bool = Field(
        False, description="texts of test rows in the page: only where others may read them"
    )
    margin: float = Field(0.02, gt=0, lt=1, description="the loss that still counts as no worse")


class ExportSettings(Settings):
    """What kd export accepts; no training or score depends on it."""

    agreement: float = Field(
        0.985,
        gt=0,
        le=1,
        description="least share of each task's dev labels, and of its rationales' tokens, that "
        "stay the same; one may always differ",
    )


class StudentTraining(Training):
    """How the student is distilled."""

    objective: Objective = Field(
        "annealed",
        description="annealed: teacher to gold; mixed: the fixed gold_weight; ce+kl: the loss on "
        "gold plus kl_weight * T^2 * KL(teacher || student at T)",
    )
    schedule: ScheduleName = "linear"
    gold_weight: float = Field(
        0.5, ge=0, le=1, description="of objective mixed, and of schedule constant"
    )
    sampling: Sampling = "proportional"
    alpha: float = Field(0.75, gt=0, description="of sampling size_power and temperature")
    kl_weight: float = Field(1.0, gt=0, description="of objective ce+kl")
    seed: int | None = Field(
        None, ge=0, lt=2**32, description="of heads, batches, dropout; null: the run's"
    )


class Model(Settings):
    """The shape of a model."""

    encoder: str = Field(
        MINILM,
        description="folder, hub id or packaged encoder; or KIND:FILE[:ROWS][:frozen] on word "
        "vectors, KIND cnn, lstm, bilstm, conv_lstm or mlp, FILE GloVe's text format or random; "
        "dialogue:ENCODER reads windows of turns",
    )
    layers: tuple[int, ...] | None = Field(None, description="encoder layers to keep; null: all")
    pooling: Pooling = Field(
        "attention",
        description="cls: the first token; mean; attention; max; last: where an LSTM ends; "
        "flat: all tokens side by side",
    )
    head: HeadKind = "two_layer"
    attention_heads: int = Field(1, ge=1, description="of the response-to-seeker attention")
    attention_talking: float = Field(
        0.0, ge=0, le=1, description="share of talking heads in it (Shazeer et al. 2020)"
    )
    attention_dense: float = Field(
        0.0, ge=0, le=1, description="share of a dense synthesizer in it (Tay et al. 2021)"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="of the new layers")
    encoder_dropout: float | None = Field(
        None, ge=0, lt=1, description="of the encoder; null: as its own config.json says"
    )

    def shape(self, data: Data) -> dict[str, Any]:
        """What a new model is built with, but for its encoder and its tasks."""
        return {
            "pooling": self.pooling,
            "head": self.head,
            "attention_heads": self.attention_heads,
            "attention_talking": self.attention_talking,
            "attention_dense": self.attention_dense,
            "dropout": self.dropout,
            "encoder_dropout": self.encoder_dropout,
            "max_tokens": data.max_tokens,
            "normalize": data.normalize,
        }

    @model_validator(mode="after")
    def _talking_heads_are_heard(self) -> "Model":
        if self.attention_talking and self.attention_heads == 1:
            raise ValueError(
                f"attention_talking {self.attention_talking} needs at least two attention_heads "
                "that talk, not 1"
            )
        if self.attention_talking and self.attention_dense == 1.0:
            raise ValueError(
                f"attention_dense 1.0 leaves no share to attention_talking "
                f"{self.attention_talking}: set one of them lower"
            )
        return self


class Teacher(Model):
    """One teacher."""

    seeker_encoder: Literal["frozen", "trained"] = Field(
        "frozen", description="the bi-encoder's second encoder"
    )
    weight: float = Field(1.0, gt=0, description="among several teachers of a task")
    training: Training = Training()


class Speech(Settings):
    """How a teacher's texts are spoken before it hears them."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ESPEAK, description="reads a text on its standard input and writes the WAV file {wav}"
    )
    bark: str | None = Field(
        None, description="folder or hub id of Suno's model, to speak in place of the command"
    )
    voice: str = Field("v2/en_speaker_6", description="of bark")
    frames: int = Field(512, ge=1, description="of 10 ms, that are heard; the rest is left out")

    @model_validator(mode="after")
    def _writes_a_file(self) -> "Speech":
        if not any(WAV in part for part in self.command[1:]):
            raise ValueError(f"command: names no {WAV}: give it where the file's name belongs")
        return self


class SpeechTeacher(Teacher):
    """A teacher that hears its task's texts spoken, on an Audio Spectrogram Transformer."""

    speech: Speech


class OutsideTeacher(Settings):
    """A teacher that runs elsewhere: a file holds what it says of the rows of its task."""

    file: str = Field(
        description="a table below data.root: column id, and for each class CLASS or p_CLASS, "
        "probabilities, or logit_CLASS; of a regression value"
    )
    weight: float = Field(1.0, gt=0, description="among several teachers of a task")


class Teachers(Teacher):
    """The teachers: what they share, and for some tasks what differs."""

    weights: TeacherWeights = Field(
        "given",
        description="given: each teacher's weight; dev: times its macro-F1 or Pearson's r on dev; "
        "trust: times the chance that it gives to gold, row by row, and gold takes the rest",
    )
    tasks: dict[str, Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]] = Field(
        {},
        description="task → one mapping of differing settings a teacher, with speech if it is to "
        "hear, or of file and weight; several: averaged",
    )

    def of(self, task: str) -> dict[str, Teacher | OutsideTeacher]:
        """Teacher name → settings of a task's teachers: TASK, TASK-2, TASK-3 …"""
        shared = self.model_dump(exclude={"tasks", "weights"})
        found: dict[str, Teacher | OutsideTeacher] = {}
        for number, changes in enumerate(self.tasks.get(task, ({},))):
            name = task if number == 0 else f"{task}-{number + 1}"
            kind = _kind_of(changes)
            settings = changes if "file" in changes else _merged(shared, changes)
            try:
                found[name] = kind.model_validate(settings)
            except ValidationError as error:
                lines = sentences(error, kind, f"teachers.tasks.{task}.{number}.")
                raise ValueError("; ".join(lines)) from None
        return found

    def trained(self, task: str) -> dict[str, Teacher]:
        """Those of a task's teachers that are trained here."""
        return {name: one for name, one in self.of(task).items() if isinstance(one, Teacher)}

    def reading(self, task: str) -> dict[str, Teacher]:
        """Those of them that read the texts, and do not hear them."""
        found = self.trained(task)
        return {n: one for n, one in found.items() if not isinstance(one, SpeechTeacher)}

    def hearing(self, task: str) -> dict[str, SpeechTeacher]:
        """Those of them that hear the texts."""
        return {n: one for n, one in self.of(task).items() if isinstance(one, SpeechTeacher)}

    def outside(self, task: str) -> dict[str, OutsideTeacher]:
        """Those of a task's teachers that run elsewhere."""
        return {n: one for n, one in self.of(task).items() if isinstance(one, OutsideTeacher)}


class Student(Model):
    """The student."""

    start: str | None = Field(
        None, description="a teacher's name, to start from its encoder in place of `encoder`"
    )


class Search(Settings):
    """The values that kd tune may give to one setting: a range, or a list."""

    low: int | float | None = None
    high: int | float | None = Field(
        None, description="low and high written as whole numbers give whole numbers"
    )
    log: bool = Field(False, description="spread evenly over the orders of magnitude")
    choices: tuple[bool | int | float | str | None, ...] = ()

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> "Search":
        if self.choices:
            if (self.low, self.high, self.log) != (None, None, False):
                raise ValueError("choices stand alone: leave out low, high and log")
            if len(set(map(repr, self.choices))) < max(2, len(self.choices)):
                raise ValueError(f"choices {list(self.choices)}: give at least two that differ")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} must be above 0 where log is true")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether a range holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Published(Settings):
    """What others report, in percent; kd study shows it beside the arm's own scores."""

    by: str = Field("published", min_length=1, description="who, as the table is to say")
    precision: float | None = Field(None, ge=0, le=100)
    recall: float | None = Field(None, ge=0, le=100)
    f1: float = Field(ge=0, le=100)
    accuracy: float | None = Field(None, ge=0, le=100)
    token_f1: float | None = Field(None, ge=0, le=100, description="of rationales")


class Arm(Settings):
    """Students of kd study that differ from the config's own."""

    tasks: tuple[str, ...] = Field((), description="the tasks that they learn; none named: all")
    change: dict[str, Any] = Field(
        {}, description="dotted setting of training, student or a task's weight → its value"
    )
    published: dict[str, Published | tuple[Published, ...]] = Field(
        {}, description="task → what others report of it: one mapping, or a list"
    )

    def published_of(self, task: str) -> tuple[Published, ...]:
        """What others report of a task."""
        found = self.published.get(task, ())
        return (found,) if isinstance(found, Published) else found


class Study(Settings):
    """The arms of kd study; no other command looks at them."""

    arms: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], Arm] = {}
    against: str | None = Field(None, description="the arm that the others are compared with")
    task: str | None = Field(None, description="the task of the table; null: each")
    seeds: int = Field(3, ge=1, description="of each arm: the run's, the next …")

    @model_validator(mode="after")
    def _compares_with_an_arm(self) -> "Study":
        if self.against is not None and self.against not in self.arms:
            raise ValueError(
                f"against: {self.against!r} is no arm{nearest(self.against, self.arms)}"
            )
        return self


class Config(Settings):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="folder below runs/")
    seed: int = Field(13, ge=0, lt=2**32)
    data: Data = Data()
    tasks: dict[str, Task] = Field(min_length=1)
    teachers: Teachers = Teachers()
    student: Student = Student()
    training: StudentTraining = StudentTraining()
    checkpoints: CheckpointSettings = CheckpointSettings()
    logs: LogSettings = LogSettings()
    report: ReportSettings = ReportSettings()
    export: ExportSettings = ExportSettings()
    tune: dict[str, Search] = Field({}, description="dotted setting → what kd tune may give it")
    study: Study = Study()
    presets: dict[str, tuple[str, ...]] = Field(
        {}, description="name → overrides as on the command line, chosen by preset=NAME"
    )

    @model_validator(mode="after")
    def _names_fit(self) -> "Config":
        for name, task in self.tasks.items():
            if not name.isidentifier() or name.startswith("_"):
                raise ValueError(
                    f"task {name!r}: use letters, digits and _ in a task's name, a letter first"
                )
            if name in TAKEN:
                raise ValueError(f"task {name!r}: torch keeps this word to itself: add to the name")
            try:
                task.spec(name)
            except ValueError as error:
                raise ValueError(f"tasks.{name}: {error}") from None
        own_columns(self.specs)  # no two of one name
        for name in self.teachers.tasks:
            if name not in self.tasks:
                raise ValueError(f"teachers.tasks: {name!r} is no task{nearest(name, self.tasks)}")
        named = {
            name: f"study.arms.{arm}.{key}"
            for arm, one in self.study.arms.items()
            for key, names in (("tasks", one.tasks), ("published", one.published))
            for name in names
        }
        if self.study.task is not None:
            named[self.study.task] = "study.task"
        for name, place in named.items():
            if name not in self.tasks:
                raise ValueError(f"{place}: {name!r} is no task{nearest(name, self.tasks)}")
        known = [name for task in self.tasks for name in self.teachers.reading(task)]
        if self.student.start is not None and self.student.start not in known:
            raise ValueError(
                f"student.start: {self.student.start!r}: choose from {known}, the teachers that "
                f"are trained here and read"
            )
        return self

    @property
    def specs(self) -> list[TaskSpec]:
        """The tasks as the models see them, in the config's order."""
        return [task.spec(name) for name, task in self.tasks.items()]

    @property
    def student_seed(self) -> int:
        """The seed of the student's training."""
        return self.seed if self.training.seed is None else self.training.seed


def _kind_of(changes: dict[str, Any]) -> type[Teacher] | type[OutsideTeacher]:
    """The settings that a mapping in teachers.tasks is of."""
    if "file" in changes:
        return OutsideTeacher
    return SpeechTeacher if "speech" in changes else Teacher


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
