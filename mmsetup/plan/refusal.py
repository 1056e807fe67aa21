"""Say why nothing fits, and which wish, given up, would make something fit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from mmsetup.errors import NoPlanError
from mmsetup.plan.candidate import Candidate, Situation
from mmsetup.plan.model import Rejection
from mmsetup.plan.request import Request
from mmsetup.plan.selection import best, nearest

__all__ = ["refusal"]

_MOST_REJECTIONS = 6


def refusal(situation: Situation) -> NoPlanError:
    """Make the error for a situation in which no candidate passes every rule."""
    request = situation.request
    asked = [
        f"{name} {value}"
        for name, value in (("Python", request.python), ("torch", request.torch), ("CUDA", request.cuda))
        if value
    ]
    ways = list(_ways_out(situation))
    return NoPlanError(
        f"no set of versions of family {request.family} fits this machine"
        + (f" with {', '.join(asked)}" if asked else ""),
        evidence=[
            *(_told(found) for found in islice(nearest(situation), _MOST_REJECTIONS)),
            *dict.fromkeys(_unanswered(situation)),
            *(words for words, _ in ways),
        ],
        remedy=ways[0][1] if ways else "mmsetup probe  # what was found here",
    )


def _told(found: Rejection) -> str:
    more = f" (and {found.others} more)" if found.others else ""
    return f"{found.candidate}{more}: {found.reason}"


def _unanswered(situation: Situation) -> Iterator[str]:
    for page in situation.pages.values():
        if not page.answered:
            host = urlsplit(page.url).netloc.rpartition("@")[2]
            yield f"{host} did not answer ({page.error}): what it lists is not known"


def _ways_out(situation: Situation) -> Iterator[tuple[str, str]]:
    """Give in words, and as a command, what would fit: less wishes, or a set with a known weakness."""
    request, family = situation.request, situation.family
    less = _with_less(request)
    fitting = list(_fitting(less, situation))
    if not fitting and len(less) > 1:
        free = Request(family=request.family, mirrors=request.mirrors)
        fitting = list(_fitting([(" and ".join(option for option, _ in less), free)], situation))
    for option, other, found in fitting:
        yield f"without {option} this fits: {found.described(family)}", _command(other)
    weak = best(replace(situation, request=replace(request, accepts_cautions=True)))
    if weak is not None:
        cautions = "; ".join(known.effect for known in weak.breaks if known.caution)
        asking = replace(request, torch=str(weak.torch.version))
        yield f"asked for, this fits: {weak.described(family)}; but {cautions}", _command(asking)


def _fitting(
    less: Iterable[tuple[str, Request]], situation: Situation
) -> Iterator[tuple[str, Request, Candidate]]:
    for option, other in less:
        found = best(replace(situation, request=other))
        if found is not None:
            yield option, other, found


def _with_less(request: Request) -> list[tuple[str, Request]]:
    """Give the request with each of its wishes given up."""
    free: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("--no-build", {"may_build": True}),
        ("--no-prebuilt", {"may_use_prebuilt": True}),
        ("--python", {"python": ""}),
        ("--torch", {"torch": ""}),
        ("--cuda", {"cuda": ""}),
        ("--offline", {"offline": False, "may_fetch_python": True}),
    )
    others = [(option, replace(request, **changes)) for option, changes in free]
    return [(option, other) for option, other in others if other != request]


def _command(request: Request) -> str:
    words = ["mmsetup plan"]
    if request.family != Request().family:
        words += ["--family", request.family]
    for option, value in (("--python", request.python), ("--torch", request.torch), ("--cuda", request.cuda)):
        if value:
            words += [option, shlex.quote(value)]
    for option, is_set in (
        ("--no-build", not request.may_build),
        ("--no-prebuilt", not request.may_use_prebuilt),
        ("--offline", request.offline),
    ):
        if is_set:
            words.append(option)
    return " ".join(words)
