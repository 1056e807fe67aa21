"""A plan as a value: what was chosen, where each file comes from, why, and what was rejected."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.catalog.links import IndexFile
from mmsetup.probe.machine import Gpu, Interpreter

__all__ = ["Bound", "Choice", "OpsOrigin", "PatchChoice", "Plan", "Rejection", "SourceReport"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One package of the plan: its exact version, where it comes from, a line of reason, its evidence.

    ``file`` is set where the plan names the very file; otherwise the default index gives it when the plan is
    locked.
    """

    name: str
    version: str
    origin: str
    reason: str
    evidence: str
    file: IndexFile | None = None

    @property
    def requirement(self) -> str:
        """Give the choice as a requirement that admits nothing else."""
        return f"{self.name} @ {self.file.url}" if self.file else f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that the resolver keeps to, the known break that it avoids, and the evidence."""

    requirement: str
    break_id: str
    reason: str
    evidence: str

    @property
    def package(self) -> str:
        """Give the normalised name of the package that is limited."""
        return canonicalize_name(Requirement(self.requirement).name)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a live page answered (``outcome``), in how many ``seconds``, and what ``follows`` for the plan.

    ``age`` is that of a copy that was kept, in seconds; 0 for an answer of this moment.
    """

    source: str
    url: str
    answered: bool
    outcome: str
    seconds: float
    follows: str = ""
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A set that is not possible, the rule that says so, and why; ``others`` counts further such sets."""

    candidate: str
    rule: str
    reason: str
    others: int = 0


@dataclass(frozen=True, slots=True)
class OpsOrigin:
    """How the compiled ops come to be: ``prebuilt`` from a source, or ``built`` from the source distribution.

    ``with_cuda`` tells whether a build compiles its CUDA kernels; ``architectures`` are those it compiles
    for: machine code for ``sm_90``, PTX for ``compute_90``. ``page`` is the address of the index page for the
    pair, whether or not the ops come from it. ``nvcc`` names in a line the nvcc that such a build runs, and
    ``nvcc_wheels`` are the requirements of the build environment that bring it, where no toolkit of the
    machine has it.
    """

    kind: str
    source: str
    with_cuda: bool = False
    architectures: tuple[str, ...] = ()
    page: str = ""
    nvcc: str = ""
    nvcc_wheels: tuple[str, ...] = ()

    @property
    def is_built(self) -> bool:
        """Tell whether a build is part of the plan."""
        return self.kind == "built"


@dataclass(frozen=True, slots=True)
class PatchChoice:
    """A patch that the plan applies to one of its packages, what it ``changes``, and why.

    ``sha256`` is that of its edits, so that another edition of the same name is told apart.
    """

    name: str
    package: str
    changes: str
    reason: str
    evidence: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of everything.

    ``python`` is the minor version; ``interpreter`` the one to use, or nothing where uv has to fetch one.
    ``choices`` are in the order torch, torchvision, ops, then the other members of the family. ``proof`` is
    the evidence that this set trains, or empty. ``brings`` names the packages that are known to come with
    these choices, in the environment or for the build. ``left_out`` are GPUs that it cannot use.
    ``unconfirmed`` names the packages whose files no page was read to list: the catalogue alone promises
    them. ``fetches_python``: the interpreter is not here, and uv can fetch it. ``glibc`` is the C library of
    the machine that was planned for, where that is another one.
    """

    family: str
    python: str
    interpreter: Interpreter | None
    variant: str
    ops: OpsOrigin
    choices: tuple[Choice, ...]
    bounds: tuple[Bound, ...]
    sources: tuple[SourceReport, ...]
    rejections: tuple[Rejection, ...]
    cautions: tuple[str, ...]
    notes: tuple[str, ...]
    proof: str
    catalog_digest: str
    brings: tuple[str, ...] = ()
    platform: str = "linux-x86_64"
    left_out: tuple[Gpu, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    fetches_python: bool = False
    glibc: str = ""
    patches: tuple[PatchChoice, ...] = ()

    def choice(self, name: str) -> Choice:
        """Give the choice for a package that the plan holds."""
        return next(choice for choice in self.choices if choice.name == name)

    @property
    def torch(self) -> Choice:
        """Give the chosen torch."""
        return self.choice("torch")
