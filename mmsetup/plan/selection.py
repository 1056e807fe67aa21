"""Sift the candidates by the rules, and order those that are left.

Preferred, in this order: prebuilt ops over built ones; the family's proven sets; fewer patches; an
interpreter that is here over one to be fetched; fewer cautions; the proven set that stands first; without a
GPU the smaller ``cpu`` build; newer over older; and of one release of torch the build whose files are known
to be there, then the default index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsetup.catalog import Family
from mmsetup.catalog.model import parsed
from mmsetup.plan.breaks import BreakTable
from mmsetup.plan.builds import DEFAULT_INDEX, TorchBuild, torch_builds
from mmsetup.plan.candidate import SDIST, Candidate, cuda_of
from mmsetup.plan.code import Code, Codes, newest_first
from mmsetup.plan.model import Rejection
from mmsetup.plan.offers import Offer, Offers, page_addresses
from mmsetup.plan.rules import OPS_RULES, TORCH_PAGE, Judge, torch_page
from mmsetup.plan.situation import Situation

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["Selection", "Sifted", "torch_addresses"]


@dataclass(frozen=True, slots=True)
class Sifted:
    """The candidates that pass every rule, best first, and why not the others."""

    possible: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]


class Selection:
    """The choice in one situation. What pages say may be changed; all else is looked at once.

    What takes long is taken over from a selection that is ``like`` this one, where that changes nothing.
    """

    def __init__(self, situation: Situation, *, like: Selection | None = None) -> None:
        self.situation = situation
        self.family: Family = situation.family
        same = like if like is not None and _has_same_code(like.situation, situation) else None
        self.table: BreakTable = same.table if same else BreakTable(situation)
        self.codes: Codes = same.codes if same else Codes(situation, self.table)
        self._judge = Judge(situation)
        self._choices: dict[tuple[object, ...], list[tuple[Code, int, int]]] = {}
        self._builds: list[TorchBuild] = []
        self._excluded: dict[tuple[str, str], list[TorchBuild]] = {}
        for build in torch_builds(situation):
            objection = next(self._judge.objections(build), None)
            if objection is None:
                self._builds.append(build)
            else:
                self._excluded.setdefault(objection, []).append(build)
        self._buildable = self._buildable_codes() if situation.request.may_build else ()

    def sifted(self, situation: Situation | None = None) -> Sifted:
        """Sift with the pages of ``situation``, which differs from the first one in nothing else."""
        situation = situation or self.situation
        offers = Offers(situation)
        excluded: dict[tuple[str, str], list[TorchBuild | Candidate]] = {}
        for key, builds in self._excluded.items():
            excluded[key] = list(builds)
        possible: list[Candidate] = []
        dead = situation.dead_hosts
        for build in self._builds:
            addresses = torch_addresses(build, situation)
            reason = torch_page(build, situation, addresses, dead) if addresses else None
            if reason is not None:
                excluded.setdefault((TORCH_PAGE, reason), []).append(build)
                continue
            pages = [situation.pages.get(address) for _, address in addresses]
            confirmed = all(page is not None and not page.error for page in pages)
            found_any = False
            for candidate in self._joined(build, offers, confirmed=confirmed):
                found_any = found_any or candidate.offer is not None
                objection = objection_to(candidate, situation)
                if objection is None:
                    possible.append(candidate)
                else:
                    excluded.setdefault(objection, []).append(candidate)
            if not found_any and situation.request.may_use_prebuilt:
                for reason in self._absence(build, offers):
                    excluded.setdefault(("ops page", reason), []).append(build)
        possible.sort(key=self.rank)
        told = [
            Rejection(self._described(found[0]), rule, reason, len(found) - 1)
            for (rule, reason), found in excluded.items()
        ]
        return Sifted(tuple(possible), (*told, *self.codes.rejections))

    def wanted_pages(self, candidates: Iterable[Candidate], situation: Situation) -> Iterator[str]:
        """Give the addresses that would confirm candidates, in the order of these, then those of mirrors."""
        for candidate in candidates:
            if candidate.offer is not None and candidate.offer.file is None:
                yield candidate.offer.page
            if not candidate.torch_confirmed:
                yield from (address for _, address in torch_addresses(candidate.build, situation))
        if situation.request.may_use_prebuilt:
            offers = Offers(situation)
            for build in self._builds:
                yield from (pages[0] for pages in offers.wanted(build))

    def alternatives(self, situation: Situation) -> Iterator[str]:
        """Give the other spellings of pages that their hosts, or offline the cache, do not have."""
        offers = Offers(situation)
        for build in self._builds:
            for first, *others in offers.wanted(build):
                page = situation.pages.get(first)
                if situation.request.offline or (page is not None and page.missing):
                    yield from others

    def nearest(self, situation: Situation) -> list[Rejection]:
        """Tell what excludes the sets that are nearest to possible: those that the fewest rules object to."""
        offers = Offers(situation)
        weighed: list[tuple[int, tuple[object, ...], str, tuple[tuple[str, str], ...]]] = []
        codes = self._buildable_codes()
        dead = situation.dead_hosts
        for build in torch_builds(situation):
            against = tuple(self._judge.objections(build))
            addresses = torch_addresses(build, situation)
            reason = torch_page(build, situation, addresses, dead) if addresses else None
            if reason is not None:
                against = (*against, (TORCH_PAGE, reason))
            joined = list(self._joined(build, offers, confirmed=True, codes=codes))
            absent = list(self._absence(build, offers)) if situation.request.may_use_prebuilt else []
            if not joined or (absent and all(one.offer is None for one in joined)):
                why = next(iter(absent), "nothing accepts these ops")
                place = self.rank(joined[0]) if joined else ()
                weighed.append((len(against) + 1, place, build.described, (*against, ("ops page", why))))
            for candidate in joined:
                more = tuple(objections_to(candidate, situation))
                if not against and not more:
                    more = (("page", "the page that would list its files was not read"),)
                words = candidate.described(self.family)
                weighed.append((len(against) + len(more), self.rank(candidate), words, (*against, *more)))
        # Another variant than was asked for, and cpu beside a GPU, are ways out and not what is nearest.
        weighed = [one for one in weighed if not any(rule == "cuda" for rule, _ in one[3])] or weighed
        fewest = min((count for count, _, _, _ in weighed), default=0)
        near = sorted((one for one in weighed if one[0] == fewest), key=lambda one: one[1])
        groups: dict[tuple[str, str], list[str]] = {}
        for _, _, words, objections in near:
            key = (", ".join(rule for rule, _ in objections), "; ".join(reason for _, reason in objections))
            groups.setdefault(key, []).append(words)
        return [*_told(groups), *self.codes.rejections]

    def _absence(self, build: TorchBuild, offers: Offers) -> Iterator[str]:
        """Say of each source why nothing of it can be had for a build."""
        found: dict[str, list[str]] = {}
        for offer in offers.of(build):
            found.setdefault(offer.source, []).append(str(offer.version))
        for source, versions in found.items():
            ops = self.family.ops.distribution
            named = ", ".join(versions)
            yield f"{source} has {ops} {named} for this torch and variant, which nothing here accepts"
        yield from offers.absence(build, but=found)

    def rank(self, candidate: Candidate) -> tuple[object, ...]:
        """Give what candidates are ordered by; the smallest is the best."""
        build, proof = candidate.build, candidate.proof
        return (
            candidate.is_built,
            proof is None,
            len(candidate.mended),
            self._distance(build),
            sum(found.caution for found in candidate.breaks),
            0 if proof is None else self.family.proven.index(proof),
            not self.situation.gpus and build.variant != "cpu",
            newest_first(build.release.version),
            candidate.code.age,
            not candidate.torch_confirmed,
            build.source != DEFAULT_INDEX,
            0 if build.variant == "cpu" else -int(build.variant.removeprefix("cu")),
            tuple(-int(number) for number in (build.python or "0").split(".")),
        )

    def _distance(self, build: TorchBuild) -> int:
        """Tell how far away the interpreter is: here, to be fetched, or to be had by other means."""
        if build.interpreter is not None or not build.python:
            return 0
        return 1 if self.situation.catalog.targets.fetched.contains(build.python) else 2

    def _described(self, found: TorchBuild | Candidate) -> str:
        return found.described if isinstance(found, TorchBuild) else found.described(self.family)

    def _buildable_codes(self) -> tuple[Code, ...]:
        """Give the codes that differ in what a rule could see when they are built; of equals the newest."""
        kept: dict[object, Code] = {}
        for ops in self.codes.ops_versions:
            for code in self.codes.of(ops):
                kept.setdefault((code.mask, code.mended, code.proofs), code)
        return tuple(kept.values())

    def _joined(
        self, build: TorchBuild, offers: Offers, *, confirmed: bool, codes: tuple[Code, ...] | None = None
    ) -> Iterator[Candidate]:
        """Give the sets with a build: of those that come in one way, only the ones that can be chosen.

        What is built from source, or comes from one page, differs in its versions alone. So of each way there
        is the best set, and the best one without a caution.
        """
        ways: dict[tuple[object, ...], list[Offer]] = {}
        for offer in offers.of(build):
            if self.codes.admits(offer.version):
                ways.setdefault((offer.source, id(offer.group)), []).append(offer)
        proven = self._proven(build)
        parts = self.table.of("torch", build.release.version)
        parts &= self.table.of("python", parsed(build.python or "0"))
        prebuilt = parts & self.table.of("cuda", None)
        for way, found in ways.items():
            by_version = {offer.version: offer for offer in found}
            chosen = self._chosen(
                (*way, *by_version),
                lambda: (code for version in by_version for code in self.codes.of(version)),  # noqa: B023
                (prebuilt, proven, False),
            )
            for code, mask, mended in chosen:
                offer = by_version[code.ops]
                yield self._candidate(build, code, offer, (mask, mended), confirmed=confirmed)
        buildable = self._buildable if codes is None else codes
        parts &= self.table.of("cuda", self._cuda_of_build(build))
        for code, mask, mended in self._chosen(
            (SDIST, codes is None), lambda: iter(buildable), (parts, proven, True)
        ):
            yield self._candidate(build, code, None, (mask, mended), confirmed=confirmed)

    def _chosen(
        self,
        way: tuple[object, ...],
        codes: Callable[[], Iterator[Code]],
        torch: tuple[int, frozenset[int], bool],
    ) -> list[tuple[Code, int, int]]:
        """Give the codes of one way that can be chosen beside a torch, each with two masks of breaks.

        Those of the first concern it, those of the second would, were they not mended.
        """
        key = (*way, *torch)
        if key not in self._choices:
            parts, proven, built = torch
            weighed = []
            for number, code in enumerate(codes()):
                mask = self.table.concerning(code.mask, parts, built=built)
                mended = mask & code.mended[built]
                mask ^= mended
                proof = next((known for known in code.proofs if known in proven), None)
                cautions = (mask & self.table.cautions).bit_count()
                rejected = bool(mask & self.table.rejecting)
                weighed.append(
                    (
                        (rejected, proof is None, cautions, proof or 0, mended.bit_count(), code.age),
                        number,
                        code,
                        mask,
                        mended,
                    )
                )
            clean = [one for one in weighed if not one[0][2]]
            best = dict.fromkeys(min(kind)[1] for kind in (weighed, clean) if kind)
            self._choices[key] = [weighed[number][2:] for number in best]
        return self._choices[key]

    def _candidate(
        self,
        build: TorchBuild,
        code: Code,
        offer: Offer | None,
        masks: tuple[int, int],
        *,
        confirmed: bool,
    ) -> Candidate:
        proven = self._proven(build)
        proof = next((self.family.proven[known] for known in code.proofs if known in proven), None)
        breaks, mended = map(self.table.named, masks)
        return Candidate(build, code, offer, breaks, proof, confirmed, mended)

    def _cuda_of_build(self, build: TorchBuild) -> Version | None:
        """Give the CUDA that ops would be compiled for GPUs with; nothing where they are not."""
        return cuda_of(build.variant) if self.situation.gpus and build.variant != "cpu" else None

    def _proven(self, build: TorchBuild) -> frozenset[int]:
        """Give the numbers of the proven sets with a build's torch and Python."""
        return frozenset(
            number
            for number, proof in enumerate(self.family.proven)
            if build.release.version == proof.torch
            and build.python in proof.pythons
            and proof.platform == self.situation.platform
        )


def _has_same_code(one: Situation, other: Situation) -> bool:
    """Tell whether the versions that accept each other, and the breaks that concern them, are the same."""

    def shape(situation: Situation) -> tuple[object, ...]:
        request = situation.request
        platform = situation.platform, situation.glibc
        return (
            situation.family.name,
            request.wanted,
            request.without,
            request.may_patch,
            request.patches,
            *platform,
        )

    return one.catalog is other.catalog and shape(one) == shape(other)


def objections_to(candidate: Candidate, situation: Situation) -> Iterator[tuple[str, str]]:
    """Give the name of each rule of the ops that excludes a candidate, and its reason."""
    for name, check in OPS_RULES:
        reason = check(candidate, situation)
        if reason is not None:
            yield name, reason


def objection_to(candidate: Candidate, situation: Situation) -> tuple[str, str] | None:
    """Give the first rule of the ops that excludes a candidate, and its reason."""
    return next(objections_to(candidate, situation), None)


def torch_addresses(build: TorchBuild, situation: Situation) -> tuple[tuple[str, str], ...]:
    """Give the pages that list a build's torch and torchvision; none for the default index."""
    if build.source == DEFAULT_INDEX:
        return ()
    source = situation.catalog.source(build.source)
    if source is None:
        return ()
    mirrors = situation.request.mirrors
    return tuple((name, page_addresses(source, mirrors, build, name)[0]) for name, _ in build.files)


def _told(excluded: dict[tuple[str, str], list[str]]) -> list[Rejection]:
    return [
        Rejection(candidates[0], rule, reason, len(candidates) - 1)
        for (rule, reason), candidates in excluded.items()
    ]
