"""Judge a plan by the rules as they are written, and tell by trying everything whether there is one.

``faults`` names what is wrong with a plan; ``found`` gives any combination that breaks no rule. Nothing is
shared with the planner but the values that go in and come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from hard_rules import Combination, HardRules
from raw_catalog import Data, admits, required, sha256_of

from mmsetup.catalog.pages import Page
from mmsetup.plan.model import Plan
from mmsetup.plan.request import Request
from mmsetup.probe.machine import Machine

__all__ = ["exists", "faults", "found"]


def faults(
    plan: Plan, machine: Machine, request: Request, data: Data, pages: Mapping[str, Page] | None = None
) -> list[str]:
    """Tell every rule that a plan breaks; ``pages`` are the answers that the planner got."""
    return list(_OfPlan(plan, HardRules(machine, request, data, pages or {})).faults())


def exists(machine: Machine, request: Request, data: Data, pages: Mapping[str, Page] | None = None) -> bool:
    """Tell whether any combination at all breaks no rule, if only for one of the GPUs."""
    return found(machine, request, data, pages) is not None


def found(
    machine: Machine,
    request: Request,
    data: Data,
    pages: Mapping[str, Page] | None = None,
    *,
    gpus: int = 1,
) -> Combination | None:
    """Try every combination and give the first that breaks no rule and serves at least so many of the GPUs."""
    rules = HardRules(machine, request, data, pages or {})
    uses_none = request.cuda == "cpu" or not machine.gpus
    for served in [()] if uses_none else combinations(machine.gpus, gpus):
        for combination in rules.search(served):
            return combination
    return None


class _OfPlan:
    """What is to be said of a finished plan beyond its combination: what it tells must be so."""

    def __init__(self, plan: Plan, rules: HardRules) -> None:
        self.plan, self.rules = plan, rules
        self.chosen = {choice.name: choice for choice in plan.choices}
        ops = self.chosen[rules.ops]
        others = self.chosen.keys() - {"torch", "torchvision", rules.ops}
        self.combination = Combination(
            torch=self.chosen["torch"].version,
            variant=plan.variant,
            torch_origin=self.chosen["torch"].origin,
            python=plan.python,
            served=tuple(gpu for gpu in rules.machine.gpus if gpu not in plan.left_out),
            ops=ops.version,
            ops_origin=ops.origin,
            members={name: self.chosen[name].version for name in others},
        )

    def faults(self) -> Iterator[str]:
        if self.combination.torch not in self.rules.releases:
            yield f"there is no torch {self.combination.torch}"
            return
        yield from self.rules.of_build(self.combination)
        yield from self.rules.of_ops(self.combination)
        yield from self.rules.of_set(self.combination)
        yield from self._of_choices()
        yield from self._of_interpreter()
        yield from self._of_page()
        yield from self._of_unconfirmed()
        yield from self._of_breaks()
        yield from self._of_patches()
        yield from self._of_gpus()

    def _of_choices(self) -> Iterator[str]:
        plan, rules = self.plan, self.rules
        if (plan.family, plan.platform) != (rules.request.family, rules.platform):
            yield "another family or platform"
        if len(self.chosen) != len(plan.choices):
            yield "a package is chosen twice"
        vision, partner = self.chosen["torchvision"], rules.releases[self.combination.torch]["torchvision"]
        if vision.version != partner:
            yield f"torchvision {vision.version} is not the partner of torch, which is {partner}"
        if vision.origin != self.combination.torch_origin:
            yield "torch and torchvision come from two indexes"
        if plan.ops.is_built != self.combination.is_built:
            yield "the plan's kind of ops is not that of their choice"

    def _of_interpreter(self) -> Iterator[str]:
        here = self.plan.interpreter
        if here is None and not self.rules.may_fetch(self.plan.python):
            yield "a Python would have to be fetched"
        fetched = self.rules.data["families"]["targets"]["fetched"]
        promised = any("uv fetches" in note for note in self.plan.notes)
        if promised != (here is None and admits(fetched, self.plan.python)):
            yield f"it is not true, or not said, that uv fetches Python {self.plan.python}"
        if here is not None and here not in self.rules.interpreters(self.plan.python):
            yield f"{here.path} does not fit"

    def _of_page(self) -> Iterator[str]:
        found, rules = self.combination, self.rules
        origins = rules.serving if found.is_built else [found.ops_origin]
        right = {rules.pages_for(origin, found, rules.ops)[0] for origin in origins}
        # A build needs none.
        if self.plan.ops.page not in (right | {""} if found.is_built else right):
            yield f"{self.plan.ops.page!r} is not the page of the pair"

    def _of_unconfirmed(self) -> Iterator[str]:
        found, told = self.combination, set(self.plan.unconfirmed)
        unconfirmed: set[str] = set()
        if found.torch_origin == "pytorch":
            unconfirmed |= {n for n, listed in self.rules.torch_listed(found).items() if listed is None}
        # Torch and torchvision come from one place, and may be told of together.
        also = {"torch", "torchvision"} if unconfirmed else set()
        if not found.is_built and self.rules.ops_listed(found) is None:
            unconfirmed.add(self.rules.ops)
        if not unconfirmed <= told <= unconfirmed | also:
            yield f"unconfirmed are {sorted(unconfirmed)}, the plan says {sorted(told)}"

    def _of_breaks(self) -> Iterator[str]:
        met = list(self.rules.breaks(self.combination))
        due = {(str(required(line)), known["id"]) for known in met for line in known.get("bounds", ())}
        told = {(bound.requirement, bound.break_id) for bound in self.plan.bounds}
        yield from (f"the bound {line} of {name} is missing" for line, name in sorted(due - told))
        yield from (f"nothing calls for the bound {line} of {name}" for line, name in sorted(told - due))
        effects = {known["effect"] for known in met if known.get("caution")}
        if set(self.plan.cautions) != effects:
            yield f"the cautions are {sorted(effects)}, the plan says {sorted(self.plan.cautions)}"

    def _of_patches(self) -> Iterator[str]:
        known = {patch["name"]: patch for patch in self.rules.data["patches"]["patches"]}
        told = [(patch.name, patch.package) for patch in self.plan.patches]
        due = self.rules.patches(self.combination)
        yield from (f"the patch {name} of {package} is missing" for name, package in sorted(due - {*told}))
        yield from (
            f"nothing calls for the patch {name} of {package}" for name, package in sorted({*told} - due)
        )
        if len(told) != len({*told}):
            yield "a patch is applied twice"
        for patch in self.plan.patches:
            if patch.name in known and patch.sha256 != sha256_of(known[patch.name]):
                yield f"the patch {patch.name} is another edition"
        changing_nothing = {*self.rules.request.patches} - {name for name, _ in due}
        for name in self.rules.request.patches:
            said = f"the patch {name} has nothing to change in this set" in self.plan.notes
            if said != (name in changing_nothing):
                yield f"it is not true, or not said, that the patch {name} has nothing to change"

    def _of_gpus(self) -> Iterator[str]:
        found, plan = self.combination, self.plan
        if any(gpu not in self.rules.machine.gpus for gpu in plan.left_out):
            yield "a GPU is left out that is not here"
        if plan.left_out and plan.variant == "cpu":
            yield "GPUs are left out of a plan that uses none"
        if not found.is_built:
            return
        if plan.ops.with_cuda != found.uses_gpus:
            yield "CUDA ops are built without a GPU, or a GPU is there and they are not"
        for gpu in found.served if found.uses_gpus else ():
            if not self.rules.serves(gpu, {"sass": plan.ops.architectures, "ptx": ()}):
                yield f"the build makes no code for {gpu.architecture}"
