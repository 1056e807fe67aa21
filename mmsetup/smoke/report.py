"""The values that a smoke run gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Failure", "Recipe", "SmokeCheck", "SmokeReport", "Training"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much is trained: optimizer steps, images a step, and images of both splits (96 by 96 pixels).

    The default is what two cores finish in half a minute; a smaller one cannot be expected to pass.
    """

    iterations: int = 700
    batch: int = 8
    train_images: int = 800
    validation_images: int = 48


@dataclass(frozen=True, slots=True)
class SmokeCheck:
    """One thing that was checked.

    ``measured`` and ``threshold`` are in the unit that ``detail`` names; ``None`` where nothing was measured.
    ``available`` is false where the device does not have what would be checked, which is no failure.
    """

    name: str
    passed: bool
    detail: str
    measured: float | None = None
    threshold: float | None = None
    available: bool = True


@dataclass(frozen=True, slots=True)
class Training:
    """The training: steps done, mean loss over the first and the last tenth of them, and its seconds."""

    iterations: int
    first_loss: float
    last_loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run ended before everything was measured.

    ``stage`` is where it was, with the module that was being imported; ``signal`` what killed it
    (``SIGSEGV``), else empty; ``last_lines`` the end of its standard error.
    """

    stage: str
    message: str
    signal: str = ""
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """What a smoke run found; IoU between 0 and 1, ``None`` and empty where the run did not come so far.

    ``chance_mean_iou`` is what a model would reach that calls every pixel bench. ``seconds`` is by stage.
    ``output`` is the folder that holds ``pictures``, ``checkpoint`` and ``config``; without one nothing was
    kept.
    """

    passed: bool
    environment: Path
    python: Path
    seed: int
    recipe: Recipe
    checks: tuple[SmokeCheck, ...]
    device: str = ""
    device_name: str = ""
    threads: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    training: Training | None = None
    mean_iou: float | None = None
    chance_mean_iou: float | None = None
    per_class_iou: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    total_seconds: float = 0.0
    output: Path | None = None
    pictures: tuple[Path, ...] = ()
    checkpoint: Path | None = None
    config: Path | None = None
