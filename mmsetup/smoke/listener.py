"""Listen to the payload: keep what it says, judge it as it comes, and pass on how far it is."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from mmsetup.progress import Progress
from mmsetup.smoke import judge
from mmsetup.smoke.events import Event, parse
from mmsetup.smoke.report import Failure, SmokeCheck, Training

__all__ = ["Heard", "Listener"]

_LAST_LINES = 20
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What makes a terminal write bold: torch puts it into its messages."""
_STAGES = {
    "import": "importing the stack",
    "ops": "comparing compiled operators",
    "data": "drawing images",
    "train": "training",
    "evaluate": "evaluating",
    "reload": "loading the checkpoint",
    "infer": "segmenting image files",
}


@dataclass(slots=True)
class Heard:
    """What the payload has said so far."""

    stage: str = "start"
    module: str = ""
    ended: bool = False
    raised: str = ""
    no_gpu: str = ""
    checks: list[SmokeCheck] = field(default_factory=list)
    ops: set[str] = field(default_factory=set)
    device: str = ""
    device_name: str = ""
    threads: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    training: Training | None = None
    mean_iou: float | None = None
    chance_mean_iou: float | None = None
    per_class_iou: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    checkpoint: Path | None = None
    config: Path | None = None


class Listener:
    """Takes the lines of the payload, keeps what they say and passes on how far it is."""

    def __init__(self, progress: Progress) -> None:
        self.heard = Heard()
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.last_sign = time.monotonic()
        self._progress = progress

    def take(self, name: str, line: str) -> None:
        """Take a line of ``stdout`` or ``stderr``."""
        self.last_sign = time.monotonic()
        event = parse(line) if name == "stdout" else None
        if event is None:
            self.last_lines.append(_STYLE.sub("", line))
            return
        handler = getattr(self, f"_on_{event.name}", None)
        if handler is not None:
            handler(event)

    def _on_stage(self, event: Event) -> None:
        self.heard.stage, self.heard.module = event.fields["name"], ""
        self._progress.update(_STAGES.get(self.heard.stage, self.heard.stage))

    def _on_stage_end(self, event: Event) -> None:
        self.heard.seconds[event.fields["name"]] = event.fields["seconds"]

    def _on_importing(self, event: Event) -> None:
        self.heard.module = event.fields["module"]
        self._progress.update(f"importing {self.heard.module}")

    def _on_versions(self, event: Event) -> None:
        said = event.fields
        self.heard.versions = dict(said["versions"])
        self.heard.device, self.heard.device_name = said["device"], said["device_name"]
        self.heard.threads = said["threads"]

    def _on_op(self, event: Event) -> None:
        self.heard.ops.add(event.fields["op"])
        self.heard.checks.append(judge.judge_op(event.fields))

    def _on_iteration(self, event: Event) -> None:
        said = event.fields
        self._progress.update(
            f"training, loss {said['loss']:.3f}",
            done=said["iteration"],
            total=said["total"],
            seconds_left=said["seconds_left"],
        )

    def _on_training(self, event: Event) -> None:
        self.heard.training = judge.training_of(event.fields["losses"], event.fields["seconds"])
        self.heard.checks.append(judge.judge_training(self.heard.training))

    def _on_evaluation(self, event: Event) -> None:
        said = event.fields
        self.heard.mean_iou, self.heard.chance_mean_iou = said["mean_iou"], said["chance_mean_iou"]
        self.heard.per_class_iou = dict(said["per_class_iou"])
        check = judge.judge_evaluation(said["mean_iou"], said["chance_mean_iou"], said["images"])
        self.heard.checks.append(check)

    def _on_reload(self, event: Event) -> None:
        self.heard.checks.append(judge.judge_reload(event.fields["error"], event.fields["images"]))

    def _on_inference(self, event: Event) -> None:
        self.heard.checks.append(judge.judge_inference(event.fields["agreement"], event.fields["images"]))

    def _on_files(self, event: Event) -> None:
        self.heard.checkpoint = Path(event.fields["checkpoint"])
        self.heard.config = Path(event.fields["config"])
        self.heard.pictures = [Path(picture) for picture in event.fields["pictures"]]

    def _on_failure(self, event: Event) -> None:
        self.heard.raised = _STYLE.sub("", f"{event.fields['kind']}: {event.fields['message']}")

    def _on_no_gpu(self, event: Event) -> None:
        self.heard.no_gpu = event.fields["message"]

    def _on_end(self, _event: Event) -> None:
        self.heard.ended = True

    def failure(self, message: str, killed_by: str = "") -> Failure:
        """Give a failure at the point that was reached."""
        where = f"{self.heard.stage}, {self.heard.module}" if self.heard.module else self.heard.stage
        return Failure(where, message, killed_by, tuple(self.last_lines))
