"""The settings of kd adapt."""

from pydantic import Field

from kd.config import Precision, Settings


class Adaptation(Settings):
    """How an encoder is adapted."""

    epochs: float = Field(3, gt=0)
    max_steps: int | None = Field(None, ge=1, description="optimizer steps, in place of epochs")
    batch_size: int = Field(32, ge=1, description="texts a step, over all processes")
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    mask: float = Field(0.15, gt=0, lt=1, description="share of a text's pieces to be guessed")
    max_tokens: int = Field(64, ge=8, le=8192, description="where texts are cut")
    seed: int = Field(13, ge=0, lt=2**32)
    precision: Precision = "auto"
