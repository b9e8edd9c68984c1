"""StudentModel: one shared encoder, response-to-seeker attention, a head a task.

A teacher is the same model with a single task and, for empathy, an encoder of its own for the
seeker (the bi-encoder of Sharma et al. 2020).

Letters: B = rows, L = text tokens, M = context tokens, H = hidden size, C = classes.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from data.batches import to_device
from data.errors import InputError
from data.tasks import TaskSpec, save_tasks
from student.attention import new_attention
from student.dropout import replace_dropout
from student.encoders import STUDENT_TYPE, encode, layer_list, new_encoder, set_dropout
from student.head_names import HeadKind, Pooling
from student.heads import TaskHead


class StudentConfig(PreTrainedConfig):
    """Configuration of a StudentModel: its encoder's configuration and its tasks."""

    model_type = STUDENT_TYPE
    sub_configs: ClassVar[dict[str, Any]] = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: dict[str, Any] | PreTrainedConfig | None = None,
        tasks: Sequence[dict[str, Any]] = (),
        pooling: Pooling = "mean",
        head: HeadKind = "two_layer",
        attention_heads: int = 1,
        attention_talking: float = 0.0,
        attention_dense: float = 0.0,
        dropout: float = 0.1,
        separate_context_encoder: bool = False,
        max_tokens: int = 64,
        normalize: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(encoder["model_type"], **_without_type(encoder))
        self.encoder = encoder
        self.tasks = list(tasks)
        self.pooling = pooling
        self.head = head
        self.attention_heads = attention_heads
        self.attention_talking = attention_talking
        self.attention_dense = attention_dense
        self.dropout = dropout
        self.separate_context_encoder = separate_context_encoder
        self.max_tokens = max_tokens
        self.normalize = normalize
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)

    @property
    def task_specs(self) -> list[TaskSpec]:
        """The tasks as typed values."""
        return [TaskSpec(**{**task, "classes": tuple(task["classes"])}) for task in self.tasks]

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """The encoder's configuration, where vocabulary and hidden size stand."""
        return self.encoder if self.encoder is not None else self


def _load_config(folder: Path) -> StudentConfig:
    """The configuration in a model's folder.

    Raises InputError when it is not there, or not that of a student.
    """
    path = folder / "config.json"
    try:
        config = StudentConfig.from_pretrained(folder)
        is_whole = config.encoder is not None and bool(config.task_specs)
    except (OSError, ValueError, TypeError, KeyError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{path}: is missing or damaged: copy the model's folder again")
    return config


def _without_type(encoder: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in encoder.items() if key != "model_type"}


class StudentOutput(NamedTuple):
    """logits: task → (B, C); rationale_logits: task → (B, L), for the tasks with rationales."""

    logits: dict[str, torch.Tensor]
    rationale_logits: dict[str, torch.Tensor]


class StudentModel(PreTrainedModel):
    """The multi-task model; every head sees every row, and the loss masks what is unknown."""

    config_class = StudentConfig
    base_model_prefix = "student"
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: StudentConfig) -> None:
        super().__init__(config)
        if config.encoder is None:
            raise ValueError("a StudentConfig needs the configuration of its encoder")
        self.encoder = new_encoder(config.encoder)
        self.context_encoder = (
            new_encoder(config.encoder) if config.separate_context_encoder else None
        )
        hidden_size = config.encoder.hidden_size
        self.specs = config.task_specs
        has_context = any(spec.has_context for spec in self.specs)
        self.attention = (
            new_attention(
                hidden_size,
                heads=config.attention_heads,
                talking=config.attention_talking,
                dense=config.attention_dense,
                dropout=config.dropout,
                max_tokens=config.max_tokens,
            )
            if has_context
            else None
        )
        self.residual_dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict(
            {
                spec.name: TaskHead(
                    hidden_size,
                    spec.width,
                    pooling=config.pooling,
                    kind=config.head,
                    dropout=config.dropout,
                    has_rationale=spec.has_rationale,
                    backward_size=getattr(config.encoder, "backward_size", 0),
                    max_tokens=config.max_tokens,
                )
                for spec in self.specs
            }
        )
        replace_dropout(self)
        self.post_init()
        # What FSDP shards as one unit; the embeddings are looked up outside their own module.
        self._no_split_modules = {type(layer).__name__ for layer in layer_list(self.encoder)[:1]}

    def _init_weights(self, module: nn.Module) -> None:
        """N(0, 0.02) for the new linear layers; the encoder initialises its own."""
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        """The word embedding of the shared encoder."""
        return self.encoder.get_input_embeddings()

    def freeze_context_encoder(self) -> None:
        """Keep the seeker encoder as it is: no gradients, no dropout."""
        if self.context_encoder is not None:
            self.context_encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "StudentModel":
        """Training mode; a frozen seeker encoder stays in evaluation mode."""
        super().train(mode)
        seeker = self.context_encoder
        if seeker is not None and not any(p.requires_grad for p in seeker.parameters()):
            seeker.eval()
        return self

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        context_ids: torch.Tensor | None = None,
        context_mask: torch.Tensor | None = None,
        text_lengths: list[int] | None = None,
        context_lengths: list[int] | None = None,
    ) -> StudentOutput:
        """(B, L), (B, L), (B, M), (B, M) → logits a task and rationale logits a task.

        Without the lengths (B,) the masks are asked for them, and the host waits for a GPU.
        """
        if text_lengths is None:
            text_lengths = attention_mask.sum(-1).tolist()
        if context_lengths is None and context_mask is not None:
            context_lengths = context_mask.sum(-1).tolist()
        states, attended = self._states(
            input_ids, text_lengths, context_ids, context_mask, context_lengths
        )
        logits, rationale_logits = {}, {}
        for spec in self.specs:
            label, tokens = self.heads[spec.name](
                attended if spec.has_context else states, attention_mask
            )
            # Losses are computed in float32 whatever the autocast (float16 overflows in them).
            logits[spec.name] = label.float()
            if tokens is not None:
                rationale_logits[spec.name] = tokens.float()
        return StudentOutput(logits=logits, rationale_logits=rationale_logits)

    def _states(
        self,
        input_ids: torch.Tensor,
        text_lengths: list[int],
        context_ids: torch.Tensor | None,
        context_mask: torch.Tensor | None,
        context_lengths: list[int] | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Text states (B, L, H), alone and with what each token found in the context."""
        if self.attention is None:
            states = encode(self.encoder, input_ids, text_lengths)
            return states, states
        if context_ids is None or context_mask is None or context_lengths is None:
            raise ValueError("a task with context needs context_ids and context_mask")
        if self.context_encoder is None:
            states, seeker = self._shared_pass(
                input_ids, text_lengths, context_ids, context_lengths
            )
        else:
            states = encode(self.encoder, input_ids, text_lengths)
            # DDP needs a gradient for the seeker encoder even where nothing is to be read.
            read = context_lengths if any(context_lengths) else [1, *context_lengths[1:]]
            seeker = encode(self.context_encoder, context_ids, read)
        # DDP needs a gradient for the attention even where no row has a context.
        rows = [row for row, length in enumerate(context_lengths) if length] or [0]
        index = to_device(torch.tensor(rows), states.device)
        found = self.attention(states[index], seeker[index], context_mask[index])
        found = self.residual_dropout(found).to(states.dtype)
        return states, states.index_add(0, index, found)

    def _shared_pass(
        self,
        input_ids: torch.Tensor,
        text_lengths: list[int],
        context_ids: torch.Tensor,
        context_lengths: list[int],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Texts and contexts through the shared encoder as one set of sequences."""
        width = max(input_ids.shape[1], context_ids.shape[1])
        ids = [nn.functional.pad(x, (0, width - x.shape[1])) for x in (input_ids, context_ids)]
        states = encode(self.encoder, torch.cat(ids), text_lengths + context_lengths)
        texts, contexts = states.split([len(input_ids), len(context_ids)])
        return texts[:, : input_ids.shape[1]], contexts[:, : context_ids.shape[1]]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: str | Path, *arguments: Any, **settings: Any
    ) -> "StudentModel":
        """Read the model in a folder, or of a hub's id, as transformers does.

        Raises InputError when config.json or model.safetensors is missing or damaged.
        """
        path = Path(folder) / "model.safetensors"
        if settings.get("config") is None and path.parent.is_dir():
            settings["config"] = _load_config(path.parent)
        with_report = settings.pop("output_loading_info", False)
        try:
            loaded: Any = super().from_pretrained(
                folder, *arguments, output_loading_info=True, **settings
            )
        except (OSError, RuntimeError, SafetensorError) as error:
            first = str(error).splitlines()[0]
            raise InputError(f"{path}: can't be loaded: {first}") from None
        except (ValueError, TypeError, KeyError):  # the configuration of another kind of model
            raise InputError(f"{folder}: holds no student: give the folder or id of one") from None
        model, report = loaded
        if report["missing_keys"]:
            raise InputError(
                f"{path}: lacks {min(report['missing_keys'])!r}: copy the model's folder again"
            )
        return loaded if with_report else model  # type: ignore[no-any-return]

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | Path, **kwargs: Any
    ) -> None:
        """Write config.json, model.safetensors and tasks.json to a folder."""
        super().save_pretrained(save_directory, **kwargs)
        save_tasks(self.specs, Path(save_directory))


def new_student(
    encoder: PreTrainedModel,
    tasks: Sequence[TaskSpec],
    *,
    context_encoder: PreTrainedModel | None = None,
    pooling: Pooling,
    head: HeadKind,
    attention_heads: int,
    attention_talking: float = 0.0,
    attention_dense: float = 0.0,
    dropout: float,
    encoder_dropout: float | None = None,
    max_tokens: int,
    normalize: bool = False,
) -> StudentModel:
    """A model that starts from a pretrained encoder; its heads are drawn from torch's generator.

    With a context encoder the seeker is read by that one (a bi-encoder), else by the shared one.
    attention_talking, attention_dense: shares of talking heads and of a dense synthesizer in the
    attention (student/attention.py). encoder_dropout: in place of the encoder's own. normalize:
    its texts are normalised.
    """
    if encoder_dropout is not None:
        set_dropout(encoder.config, encoder_dropout)
    # The folder it was loaded from is this machine's business, not the model's.
    encoder.config._name_or_path = ""
    config = StudentConfig(
        encoder=encoder.config,
        tasks=[asdict(task) for task in tasks],
        pooling=pooling,
        head=head,
        attention_heads=attention_heads,
        attention_talking=attention_talking,
        attention_dense=attention_dense,
        dropout=dropout,
        separate_context_encoder=context_encoder is not None,
        max_tokens=max_tokens,
        normalize=normalize,
    )
    model = StudentModel(config)
    model.encoder.load_state_dict(encoder.state_dict())
    if context_encoder is not None:
        assert model.context_encoder is not None
        model.context_encoder.load_state_dict(context_encoder.state_dict())
    return model


AutoConfig.register(STUDENT_TYPE, StudentConfig)
AutoModel.register(StudentConfig, StudentModel)
