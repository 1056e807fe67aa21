"""GPUs by name: the architecture of the one that was asked for, in any usual spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsetup.errors import RequestError

__all__ = ["GpuModel", "architecture_of", "gpu_model"]

_KINDS = frozenset({"geforce", "professional", "datacenter", "jetson"})
_CERTAINTIES = frozenset({"documented", "memory"})
_ARCHITECTURE = re.compile(r"sm_(\d{2,3})")
_ASKED = re.compile(r"(?P<prefix>sm_?|compute_?)?(?P<major>\d{1,2})(?P<dot>\.)?(?P<minor>\d)[af]?", re.ASCII)
_PREFIXED = re.compile(r"(sm|compute)[_\d].*|\d{1,2}\.\d+\w?")
_BARE = 2

# A name is its brand words, which people leave out, and its core, which tells the GPU from others.
_BRANDS = frozenset({"geforce", "quadro", "tesla", "rtx", "gtx", "gt", "grid", "jetson"})
# Words that only tell two GPUs with the same number apart, so that people who know one leave them out.
_OMITTED = frozenset({"ada", "blackwell", "pascal", "agx", "nx", "gb10", "dgx", "spark"})
# What tells no architecture: forms, memory (80gb, hbm3e), profiles of vGPUs and MIG slices (16q, 1g).
_NOISE = re.compile(
    r"""
    nvidia | gpu | graphics | card | laptop | mobile | notebook | max | q | maxq | with | design | mig
    | pcie | pci | e | nvl | dgxs | fhhl | sff | sxm\d* | oem | lhr | nvgpu | tensor | core | series
    | generation | gen | server | workstation | edition | collectors | founders | developer | kit
    | \d+(g|gb|gib|mb) | hbm\d*e? | gddr\d+x? | \d+[abcq]
    """,
    re.VERBOSE,
)
_JOINED = re.compile(r"(geforce|quadro|tesla|jetson|titan|rtx|gtx|gt(?=\d)|nvidia)(.+)")
_NUMBERED = re.compile(r"(\d{3,4})(ti)?(super)?(d)?")
_LONGEST = 200
_NEAREST = 4


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A GPU as ``nvidia-smi`` names it, without NVIDIA and the size of its memory.

    ``architecture`` is that of its own machine code (``sm_89``), ``kind`` is geforce, professional,
    datacenter or jetson, ``certainty`` is documented or memory.
    """

    name: str
    architecture: str
    kind: str
    certainty: str
    source: str


def gpu_model(entry: Mapping[str, Any]) -> GpuModel:
    """Make a model of an entry of ``gpus.json``.

    Raises:
        KeyError: a key is not there. ValueError: a value is not what it should be.
    """
    model = GpuModel(
        **{key: entry[key] for key in ("name", "architecture", "kind", "certainty", "source")},
    )
    for key in GpuModel.__slots__:
        value = getattr(model, key)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key} is empty")
    if not _ARCHITECTURE.fullmatch(model.architecture):
        raise ValueError(f"architecture {model.architecture!r} is not written as sm_89")
    if model.kind not in _KINDS:
        raise ValueError(f"kind {model.kind!r} is none of {', '.join(sorted(_KINDS))}")
    if model.certainty not in _CERTAINTIES:
        raise ValueError(f"certainty {model.certainty!r} is none of {', '.join(sorted(_CERTAINTIES))}")
    return model


def architecture_of(asked: str, models: Sequence[GpuModel]) -> tuple[str, GpuModel | None]:
    """Give the architecture that ``asked`` means, and the GPU where it is the name of one.

    An architecture is written ``sm_90``, ``sm90``, ``sm_90a``, ``compute_90``, ``9.0`` or ``90``; a name as
    nvidia-smi prints it or as people type it. Several GPUs of one architecture may fit a name: the first is
    given.

    Raises:
        RequestError: the name is unknown, or fits GPUs of several architectures; the architecture is
            malformed, or no listed GPU has it.
    """
    words = " ".join(asked.lower().split())
    known = sorted({model.architecture for model in models}, key=_order)
    found = _ASKED.fullmatch(words)
    if found is not None:
        architecture = f"sm_{found['major']}{found['minor']}"
        if architecture in known:
            return architecture, None
    if _PREFIXED.fullmatch(words) or (found is not None and len(words) <= _BARE):
        problem = "no known GPU has the architecture" if found else "this is no architecture of a GPU:"
        nearest = min(known, key=lambda one: _distance(one, words), default="sm_90")
        raise RequestError(
            f"{problem} {asked!r}; known: {', '.join(known)}", remedy=f"mmsetup plan --gpu {nearest}"
        )
    fitting = _fitting(words, models) if len(words) <= _LONGEST else []
    if not fitting:
        raise _unknown(asked, words, models)
    if len({model.architecture for model in fitting}) > 1:
        listed = " or ".join(f"{model.name} ({model.architecture})" for model in fitting)
        raise RequestError(
            f"the GPU {asked!r} can be {listed}",
            remedy=f'mmsetup plan --gpu "{fitting[0].name}"'
            + "".join(f'  # or "{model.name}"' for model in fitting[1:2]),
        )
    return fitting[0].architecture, fitting[0]


def _fitting(words: str, models: Sequence[GpuModel]) -> list[GpuModel]:
    brands, core = _parts(words)
    if not core:
        return []
    exact: list[GpuModel] = []
    possible: list[GpuModel] = []
    for model in models:
        model_brands, model_core = _parts(model.name)
        # What is asked as a Tesla may be listed without a brand: newer ones have none.
        agrees = brands <= model_brands or (model.kind == "datacenter" and brands <= {"tesla", "grid"})
        if not agrees or not core <= model_core or not (model_core - core) <= _OMITTED:
            continue
        (exact if (brands, core) == (model_brands, model_core) else possible).append(model)
    return exact or possible


def _parts(name: str) -> tuple[frozenset[str], frozenset[str]]:
    tokens = {token for token in _tokens(name) if not _NOISE.fullmatch(token)}
    # Of a TITAN RTX the letters are all that there is.
    brands = frozenset() if "titan" in tokens and "rtx" in tokens else frozenset(tokens & _BRANDS)
    return brands, frozenset(tokens - brands)


def _tokens(name: str) -> list[str]:
    waiting = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm)\)|[®™]", " ", name.lower()))
    tokens: list[str] = []
    while waiting:
        token = waiting.pop(0)
        joined = _JOINED.fullmatch(token)
        numbered = _NUMBERED.fullmatch(token)
        if joined is not None:
            waiting[:0] = [joined[1], joined[2]]
        elif numbered is not None:
            tokens.extend(part for part in numbered.groups() if part)
        else:
            tokens.append(token)
    return tokens


def _unknown(asked: str, words: str, models: Sequence[GpuModel]) -> RequestError:
    plain = {" ".join(_tokens(model.name)): model.name for model in models}
    # Without the brand as well: it is most of a long name, and people leave it out.
    bare = {" ".join(sorted(_parts(model.name)[1])): model.name for model in models}
    core = _parts(words[:_LONGEST])[1]
    near = [
        *(bare[key] for key in difflib.get_close_matches(" ".join(sorted(core)), bare, n=_NEAREST)),
        *(plain[key] for key in difflib.get_close_matches(" ".join(_tokens(words[:_LONGEST])), plain)),
    ]
    names = list(dict.fromkeys(near))[:_NEAREST]
    shown = asked if len(asked) <= _LONGEST else f"{asked[:_LONGEST]}..."
    hint = f"; nearest: {', '.join(names)}" if names else "; an architecture, such as sm_90, says it as well"
    example = names[0] if names else "RTX 4090"
    return RequestError(f"no GPU {shown!r} is known{hint}", remedy=f'mmsetup plan --gpu "{example}"')


def _order(architecture: str) -> int:
    return int(architecture.removeprefix("sm_"))


def _distance(architecture: str, words: str) -> int:
    digits = "".join(filter(str.isdecimal, words))[:3] or "90"
    return abs(_order(architecture) - int(digits))
