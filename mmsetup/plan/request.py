"""What the user asked for, checked as far as it can be without knowing the machine."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from mmsetup.catalog import Catalog, Family
from mmsetup.catalog.addresses import shown
from mmsetup.catalog.patches import Patch
from mmsetup.errors import InterpreterError, RequestError
from mmsetup.probe.torch_files import is_vendor_build

__all__ = ["DEFAULT_FAMILY", "Request", "askable_patches", "settled", "starts"]

DEFAULT_FAMILY = "mmcv-full"
_VARIANT = re.compile(r"cpu|cu\d{2,4}")
_CUDA_NUMBER = re.compile(r"(?:cuda)?(\d{1,2})\.(\d)(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; what is empty is free.

    ``python`` is a version (``3.10``, ``3.10.13``) or the path of an interpreter, ``torch`` a version or its
    beginning (``1.13``), ``cuda`` a variant (``cu117``, ``cpu``). ``wanted`` are requirements on what the
    family is made of (``mmdet``, ``mmcv-full==1.6.0``), by distribution or module; ``without`` names members
    to leave out. ``sources`` are those that the ops, which then are not built, may come from; all when empty.
    ``mirrors`` maps a source's name to the base address that replaces its own.

    ``accepts_cautions``: a set with a known weakness will do, though neither its torch nor its Python was
    asked for. ``trusts_catalog``: a page that was not read is taken for what the catalogue says of it.
    ``forward_compatibility``: NVIDIA's package ``cuda-compat`` is, or will be, on the machine. ``with_ptx``:
    ops that are built hold PTX for the newest of its GPUs as well. ``patches``
    names those that are applied only when they are asked for; ``may_patch`` lets ops be built that need
    others.
    """

    family: str = DEFAULT_FAMILY
    python: str = ""
    torch: str = ""
    cuda: str = ""
    wanted: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    may_use_prebuilt: bool = True
    may_build: bool = True
    may_fetch_python: bool = True
    offline: bool = False
    mirrors: Mapping[str, str] = field(default_factory=dict)
    accepts_cautions: bool = False
    trusts_catalog: bool = False
    forward_compatibility: bool = False
    with_ptx: bool = False
    may_patch: bool = True
    patches: tuple[str, ...] = ()

    @property
    def wants_path(self) -> bool:
        """Tell whether ``python`` is a path and not a version."""
        return os.sep in self.python


def settled(request: Request, catalog: Catalog) -> tuple[Request, Family]:
    """Check a request against the catalogue; give it in one spelling, and its family.

    ``1.13.1+cu117`` becomes torch 1.13.1 of cu117, ``11.7`` becomes cu117, and what is wanted is named by
    its distribution.

    Raises:
        RequestError: the family, a source or something wanted is unknown, a version or variant is malformed
            or unknown, wishes contradict each other, or a mirror is no web address. InterpreterError: no
            torch of the catalogue has wheels for that Python.
    """
    family = _family(request, catalog)
    if not request.may_build and not request.may_use_prebuilt:
        raise RequestError(
            "with neither a build nor a prebuilt wheel there is nothing to install",
            remedy="mmsetup plan --no-build  # or: --no-prebuilt",
        )
    request = _one_spelling(request)
    _check_torch(request, catalog)
    _check_cuda(request, catalog)
    _check_together(request, catalog)
    if request.python and not request.wants_path:
        _check_python(request.python, catalog)
    _check_sources(request, catalog, family)
    wanted = tuple(_wanted(line, family) for line in request.wanted)
    without = tuple(_left_out(name, family) for name in request.without)
    _check_wishes(wanted, without, family)
    _check_patches(request, catalog, family)
    for name, address in request.mirrors.items():
        if not _is_web_address(address):
            raise RequestError(
                f"the mirror of {name} is {shown(address)!r}, which is no address of http or https",
                remedy="mmsetup plan --mirror https://HOST/FOLDER",
            )
    return replace(request, wanted=wanted, without=without), family


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not any(map(str.isspace, text))


def _family(request: Request, catalog: Catalog) -> Family:
    family = catalog.family(request.family)
    if family is None:
        names = [known.name for known in catalog.families]
        near = difflib.get_close_matches(request.family, names, n=1)
        raise RequestError(
            f"there is no family {request.family!r}; known: {', '.join(names)}",
            remedy=f"mmsetup plan --family {(near or names)[0]}",
        )
    return family


def _one_spelling(request: Request) -> Request:
    torch, _, local = request.torch.partition("+")
    cuda = request.cuda.lower()
    if number := _CUDA_NUMBER.fullmatch(cuda):
        cuda = f"cu{number[1]}{number[2]}"
    if is_vendor_build(request.torch) or (torch.endswith("a0") and not local):
        raise RequestError(
            f"torch {request.torch} is NVIDIA's own build from a container of NGC or JetPack: no index has "
            "it, and no prebuilt ops fit it",
            remedy="mmsetup plan --torch "
            + ".".join(torch.split("a")[0].split(".")[:2])
            + "  # the release; or work in that container and build the ops there",
        )
    if local and not _VARIANT.fullmatch(local):
        raise RequestError(
            f"torch {request.torch} is a build of its own: no index has it, and no prebuilt ops fit it",
            remedy=f"mmsetup plan --torch {torch.split('a')[0]}",
        )
    if local and cuda and local != cuda:
        raise RequestError(
            f"torch {request.torch} is of {local}, but --cuda says {request.cuda}",
            remedy=f"mmsetup plan --torch {torch} --cuda {local}",
        )
    return replace(request, torch=torch, cuda=local or cuda)


def _check_torch(request: Request, catalog: Catalog) -> None:
    if not request.torch or any(starts(str(release.version), request.torch) for release in catalog.torch):
        return
    # Newest first, which is what is looked for when the text is no version at all.
    known = [release.version for release in catalog.torch]
    asked = _version(request.torch)
    if asked is not None:
        known.sort(key=lambda version: _distance(version, asked))
    problem = "is no version of torch; newest" if asked is None else "is not known; nearest"
    raise RequestError(
        f"torch {request.torch!r} {problem}: {', '.join(map(str, known[:3]))}",
        remedy=f"mmsetup plan --torch {known[0]}",
    )


def _check_cuda(request: Request, catalog: Catalog) -> None:
    known = _variants(catalog, "")
    if not request.cuda or request.cuda in known:
        return
    ordered = sorted(known - {"cpu"}, key=_variant_order)
    near = difflib.get_close_matches(request.cuda, ordered, n=1) or ordered[-1:]
    if _VARIANT.fullmatch(request.cuda):
        near = sorted(ordered, key=lambda known: abs(_variant_order(known) - _variant_order(request.cuda)))
    raise RequestError(
        f"no torch has a CUDA variant {request.cuda!r}; known: cpu, {', '.join(ordered)}",
        remedy=f"mmsetup plan --cuda {near[0]}  # or cpu",
    )


def _check_together(request: Request, catalog: Catalog) -> None:
    if not request.torch or not request.cuda or request.cuda in _variants(catalog, request.torch):
        return
    builds = sorted(_variants(catalog, request.torch), key=_variant_order)
    versions = [
        str(release.version)
        for release in catalog.torch
        if request.cuda in _variants(catalog, str(release.version))
    ]
    raise RequestError(
        f"torch {request.torch} was never built for {request.cuda}",
        evidence=[
            f"torch {request.torch} is there for {', '.join(builds)}",
            f"{request.cuda} is there for torch {', '.join(reversed(versions))}",
        ],
        remedy=f"mmsetup plan --torch {request.torch} --cuda {builds[-1]}"
        f"  # or: --torch {versions[0]} --cuda {request.cuda}",
    )


def _variants(catalog: Catalog, torch: str) -> set[str]:
    return {
        variant
        for release in catalog.torch
        if starts(str(release.version), torch)
        for wheels in release.platforms.values()
        for variant in (wheels.default_variant, *wheels.index_variants)
        if variant
    }


def _variant_order(variant: str) -> int:
    return 0 if variant == "cpu" else int(variant.removeprefix("cu"))


def _check_python(text: str, catalog: Catalog) -> None:
    known = sorted(
        {
            python
            for release in catalog.torch
            for wheels in release.platforms.values()
            for python in wheels.pythons
        },
        key=Version,
    )
    parsed = _version(text)
    if parsed is not None and any(starts(text, python) or starts(python, text) for python in known):
        return
    if parsed is None:
        raise RequestError(
            f"{text!r} is no version of Python; the path of one has a / in it",
            remedy=f"mmsetup plan --python {known[-1]}  # or ./{text}",
        )
    raise InterpreterError(
        f"no torch has wheels for Python {text}; known: {', '.join(known)}",
        remedy="mmsetup plan  # chooses a Python that fits",
    )


def _check_sources(request: Request, catalog: Catalog, family: Family) -> None:
    if request.sources and not request.may_use_prebuilt:
        raise RequestError(
            f"{', '.join(request.sources)} has prebuilt ops, and --no-prebuilt excludes these",
            remedy=f"mmsetup plan --source {request.sources[0]}",
        )
    serving = [source.name for source in catalog.sources if family.ops.distribution in source.distributions]
    for name in request.sources:
        if name not in serving:
            near = difflib.get_close_matches(name, serving, n=1)
            raise RequestError(
                f"{name!r} is no source of {family.ops.distribution}; known: {', '.join(serving)}",
                remedy=f"mmsetup plan --family {family.name} --source {(near or serving)[0]}",
            )


def _wanted(line: str, family: Family) -> str:
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise RequestError(
            f"--with {line!r} is no requirement: {str(error).splitlines()[0]}",
            remedy="mmsetup plan --with mmdet==3.3.0",
        ) from error
    part = family.named(requirement.name)
    if part is None:
        raise _unknown("--with", requirement.name, family)
    specifier = requirement.specifier
    if requirement.url or requirement.marker or requirement.extras:
        plain = shlex.quote(f"{part.distribution}{specifier}")
        raise RequestError(
            f"--with {line!r} says more than a version of {part.distribution}",
            remedy=f"mmsetup plan --family {family.name} --with {plain}",
        )
    if specifier and not any(specifier.contains(version, prereleases=True) for version in part.versions):
        raise RequestError(
            f"--with {line}: no such release is known; there is {part.distribution} "
            f"{', '.join(map(str, part.versions[:12]))}" + (" …" if len(part.versions) > 12 else ""),  # noqa: PLR2004
            remedy=f"mmsetup plan --family {family.name} --with {part.distribution}=={part.versions[0]}",
        )
    return f"{part.distribution}{specifier}"


def _check_patches(request: Request, catalog: Catalog, family: Family) -> None:
    known = askable_patches(catalog, family)
    listed = ", ".join(known) or "none"
    for name in request.patches:
        found = catalog.patch(name)
        if found is not None and not found.asked:
            raise RequestError(
                f"--patch {name}: it is applied wherever a plan needs it; to be asked for: {listed}",
                remedy=f"mmsetup plan --family {family.name}",
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or known[:1]
            raise RequestError(
                f"--patch {name}: family {family.name} has no such patch; to be asked for: {listed}",
                remedy=f"mmsetup plan --family {family.name}" + (f" --patch {near[0]}" if near else ""),
            )


def askable_patches(catalog: Catalog, family: Family) -> tuple[str, ...]:
    """Name the patches that are made only when they are asked for, and that fit a release of a family."""
    return tuple(one.name for one in catalog.patches if one.asked and _concerns(one, family))


def _concerns(patch: Patch, family: Family) -> bool:
    return any(patch.fits(part.distribution, version) for part in family.parts for version in part.versions)


def _left_out(name: str, family: Family) -> str:
    part = family.named(name)
    if part is family.ops:
        raise RequestError(
            f"--without {name}: the compiled ops are what all others need",
            remedy=f"mmsetup plan --family {family.name}",
        )
    if part is None:
        raise _unknown("--without", name, family)
    return part.distribution


def _check_wishes(wanted: Iterable[str], without: Iterable[str], family: Family) -> None:
    """Refuse wishes for one package that exclude each other."""
    together: dict[str, SpecifierSet] = {}
    for requirement in map(Requirement, wanted):
        known = together.get(requirement.name, SpecifierSet())
        together[requirement.name] = known & requirement.specifier
        part = family.named(requirement.name)
        versions = part.versions if part is not None else ()
        if not any(together[requirement.name].contains(one, prereleases=True) for one in versions):
            raise RequestError(
                f"no {requirement.name} is {together[requirement.name]}: these wishes exclude each other",
                remedy=f"mmsetup plan --family {family.name} --with '{requirement}'",
            )
    for name in without:
        if name in together:
            raise RequestError(
                f"{name} was asked for and was to be left out",
                remedy=f"mmsetup plan --family {family.name} --with {name}",
            )


def _unknown(option: str, name: str, family: Family) -> RequestError:
    parts = family.parts if option == "--with" else family.members
    known = {alias: part.distribution for part in parts for alias in (part.distribution, part.module)}
    near = difflib.get_close_matches(name, known, n=1)
    meant = known[near[0]] if near else family.members[-1].distribution
    return RequestError(
        f"{option} {name}: family {family.name} is made of {', '.join(family.distributions)}",
        remedy=f"mmsetup plan --family {family.name} {option} {meant}",
    )


def _distance(version: Version, asked: Version) -> tuple[int, ...]:
    numbers = zip((*version.release, 0, 0)[:3], (*asked.release, 0, 0)[:3], strict=True)
    return tuple(abs(one - other) for one, other in numbers)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def starts(version: str, beginning: str) -> bool:
    """Tell whether ``version`` is ``beginning`` or below it, as 1.13.1 is below 1.13; empty, it fits all."""
    return not beginning or version == beginning or version.startswith(beginning + ".")
