"""The hard rules of a plan as they are written, and the search that tries every combination.

Nothing is shared with the planner: raw data files go in, the names of broken rules come out. The search
prefers nothing and is not fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from packaging.utils import canonicalize_name
from raw_catalog import (
    Data,
    Entry,
    admits,
    compute,
    cuda_of,
    fits,
    libc_has,
    pages_of,
    parsed,
    passes,
    patch_fits,
    required,
    runs_on,
    starts,
    the_same,
)

from mmsetup.catalog.pages import Page
from mmsetup.plan.request import Request
from mmsetup.probe.machine import Gpu, Interpreter, Machine, Toolkit

__all__ = ["Combination", "HardRules", "platform_of"]

DEFAULT = "default index"
SDIST = "sdist"
_PLATFORMS_OF_PYTHON = {
    "linux-x86_64": "linux-x86_64",
    "linux-aarch64": "linux-aarch64",
    "windows-x86_64": "win-amd64",
}


@dataclass(frozen=True, slots=True)
class Combination:
    """One version of everything; ``served`` are the GPUs that it is for."""

    torch: str
    variant: str
    torch_origin: str
    python: str
    served: tuple[Gpu, ...]
    ops: str = ""
    ops_origin: str = ""
    members: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_built(self) -> bool:
        return self.ops_origin == SDIST

    @property
    def uses_gpus(self) -> bool:
        return bool(self.served) and self.variant != "cpu"


def platform_of(machine: Machine) -> str:
    """Give the name under which the data files know a machine's platform."""
    system = {"darwin": "macos"}.get(machine.os.name, machine.os.name)
    processor = machine.cpu.architecture.lower()
    spelled = {"linux": {"amd64": "x86_64"}, "windows": {"amd64": "x86_64"}, "macos": {"aarch64": "arm64"}}
    return f"{system}-{spelled[system].get(processor, processor)}"


class HardRules:
    """The hard rules, for one machine, one request and one state of the data and the pages."""

    def __init__(self, machine: Machine, request: Request, data: Data, pages: Mapping[str, Page]) -> None:
        self.machine, self.request, self.data, self.pages = machine, request, data, pages
        self.platform = platform_of(machine)
        self.family = next(f for f in data["families"]["families"] if f["name"] == request.family)
        self.ops: str = self.family["ops"]["distribution"]
        self.sources = {source["name"]: source for source in data["sources"]["sources"]}
        self.releases = {release["version"]: release for release in data["torch"]["releases"]}
        parts = [self.family["ops"], *self.family["members"]]
        self.named = {canonicalize_name(part["module"]): part["distribution"] for part in parts}
        self.named |= {part["distribution"]: part["distribution"] for part in parts}
        self.without = {self.named[canonicalize_name(name)] for name in request.without}
        self.wanted = [
            (self.named[canonicalize_name(required(line).name)], str(required(line).specifier))
            for line in request.wanted
        ]

    @property
    def serving(self) -> list[str]:
        return [name for name, source in self.sources.items() if self.ops in source["distributions"]]

    # The search: whatever the data name, in nested loops; a loop that cannot lead to anything is not entered.

    def search(self, served: tuple[Gpu, ...]) -> Iterator[Combination]:
        for build in self._builds(served):
            if any(self.of_build(build)):
                continue
            for version, origin in product(self.family["ops"]["versions"], [SDIST, *self.serving]):
                ops = replace(build, ops=version, ops_origin=origin)
                if any(self.of_ops(ops)):
                    continue
                for members in self._members():
                    combination = replace(ops, members=members)
                    if not any(self.of_set(combination)):
                        yield combination

    def _builds(self, served: tuple[Gpu, ...]) -> Iterator[Combination]:
        for torch, release in self.releases.items():
            wheels = release["platforms"].get(self.platform)
            if wheels is None:
                continue
            offers = [(DEFAULT, wheels["default_variant"])]
            offers += [("pytorch", variant) for variant in wheels["index_variants"]]
            for (origin, variant), python in product(offers, wheels["pythons"]):
                yield Combination(torch, variant, origin, python, served)

    def _members(self) -> Iterator[dict[str, str]]:
        choices = [
            [(member["distribution"], version) for version in ("", *member["versions"])]
            for member in self.family["members"]
        ]
        for chosen in product(*choices):
            yield {name: version for name, version in chosen if version}

    # What concerns torch, its build, the Python and the GPUs.

    def of_build(self, found: Combination) -> Iterator[str]:
        request, libc = self.request, self.machine.libc
        wheels = self.releases[found.torch]["platforms"].get(self.platform)
        if wheels is None or (libc is not None and libc.name != "glibc"):
            yield f"torch {found.torch} has no wheels for this platform"
            return
        offered = {DEFAULT: [wheels["default_variant"]], "pytorch": wheels["index_variants"]}
        if found.variant not in offered.get(found.torch_origin, ()):
            yield f"{found.torch_origin} has no torch {found.torch} of {found.variant}"
        if found.torch_origin == "pytorch":
            for name, listed in self.torch_listed(found).items():
                if listed is False or (listed is None and not request.trusts_catalog):
                    yield f"no page confirms {name} of {found.variant}"
        if not starts(found.torch, request.torch):
            yield f"torch {request.torch} was asked for"
        if request.cuda not in {"", found.variant}:
            yield f"{request.cuda} was asked for"
        needed = wheels.get("glibc_needed") or wheels.get("glibc", "")
        if not libc_has(libc, needed):
            yield f"torch {found.torch} needs glibc {needed}"
        if found.python not in wheels["pythons"]:
            yield f"torch {found.torch} has no wheels for Python {found.python}"
        yield from self._of_python(found.python)
        yield from self._of_gpus(found)

    def _of_python(self, python: str) -> Iterator[str]:
        if not admits(self.data["families"]["targets"]["pythons"], python):
            yield f"Python {python} is too old for what runs inside an environment"
        if not self.interpreters(python) and not self.may_fetch(python):
            yield f"no Python {python} is here that may be used"

    def _of_gpus(self, found: Combination) -> Iterator[str]:
        if found.variant == "cpu":
            if self.machine.gpus and not self.request.cuda:
                yield "there is a GPU and the cpu variant does not use it"
        elif self.machine.gpus and not found.served:
            yield "every GPU is left out"
        elif found.served:
            yield from self._of_code(found)

    def _of_code(self, found: Combination) -> Iterator[str]:
        if not self._driver_runs(found):
            yield f"the driver does not run {found.variant}"
        held = self.releases[found.torch]["architectures"].get(self.platform, {}).get(found.variant)
        for gpu in found.served:
            if not self.serves(gpu, held or {"sass": (), "ptx": ()}):
                yield f"torch {found.torch} of {found.variant} holds no code for {gpu.architecture}"

    # What concerns the ops.

    def of_ops(self, found: Combination) -> Iterator[str]:
        for name, specifier in self.wanted:
            if name == self.ops and not admits(specifier, found.ops):
                yield f"{name}{specifier} was asked for"
        if found.ops not in self.family["ops"]["versions"]:
            yield f"{self.ops} {found.ops} is not known"
        yield from self._of_build_of_ops(found) if found.is_built else self._of_prebuilt_ops(found)

    def _of_build_of_ops(self, found: Combination) -> Iterator[str]:
        if not self.request.may_build:
            yield "a build was excluded"
        if self.request.sources:
            yield "prebuilt ops of a source were asked for"
        if self.platform != "linux-x86_64":
            yield "builds are for Linux on x86-64"
        kits = [*self.machine.toolkits, *self._in_wheels(found)] if found.uses_gpus else []
        if found.uses_gpus and not any(self._compiles(kit, found) for kit in kits):
            yield f"no nvcc builds for {found.variant} and these GPUs with the g++ that is here"
        for gpu in found.served if found.uses_gpus else ():
            if gpu.architecture and gpu.architecture not in self._built_by(found.torch):
                yield f"torch {found.torch} builds nothing for {gpu.architecture}"

    def _compiles(self, kit: Toolkit, found: Combination) -> bool:
        version = parsed(kit.version)
        if kit.nvcc is None or version.major != parsed(cuda_of(found.variant)).major:
            return False
        wanted = [gpu.architecture for gpu in found.served if gpu.architecture]
        return all(
            self._takes_gcc(row)
            and all(
                compute(row["lowest"]) <= compute(name) <= compute(row["highest"])
                and name not in row.get("lacks", ())
                for name in wanted
            )
            for row in self.data["drivers"]["limits"]
            if parsed(row["first"]).release <= version.release[:2] <= parsed(row["last"]).release
        )

    def _in_wheels(self, found: Combination) -> Iterator[Toolkit]:
        wanted = cuda_of(found.variant)
        for row in self.data["drivers"]["toolkit_wheels"]:
            if (
                parsed(row["first"]) <= parsed(wanted) <= parsed(row["last"])
                and self.platform in row["platforms"]
            ):
                yield Toolkit(Path("wheels"), str(wanted), Path("nvcc"))

    def _takes_gcc(self, row: Entry) -> bool:
        here = [int(tool.version.split(".")[0]) for tool in self.machine.compilers if tool.name == "g++"]
        return all(row.get("gcc_minimum", 0) <= major <= row.get("gcc", major) for major in here)

    def _built_by(self, torch: str) -> list[str]:
        rows = self.data["drivers"]["torch_architectures"]
        return [name for row in rows if admits(row["torch"], torch) for name in row["architectures"]]

    def _of_prebuilt_ops(self, found: Combination) -> Iterator[str]:
        if found.ops_origin not in self.serving:
            yield f"{found.ops_origin} is no source of {self.ops}"
            return
        if not self.request.may_use_prebuilt:
            yield "prebuilt ops were excluded"
        if self.request.sources and found.ops_origin not in self.request.sources:
            yield f"{found.ops_origin} was not among the sources asked for"
        group = self._group(found)
        held = group.get("architectures") if group else None
        for gpu in found.served if held and found.uses_gpus else ():
            if not self.serves(gpu, held):
                yield f"the ops hold no code for {gpu.architecture}"
        listed = self.ops_listed(found)
        if listed is False:
            yield f"the page of {found.ops_origin} answered and does not list this wheel"
        elif listed is None:
            yield from self._of_promised_ops(found, group)

    def _of_promised_ops(self, found: Combination, group: Entry | None) -> Iterator[str]:
        if not self.request.trusts_catalog:
            yield f"no page confirms {self.ops} {found.ops}"
        if group is None or found.ops not in group["versions"]:
            yield f"{found.ops_origin} has no {self.ops} {found.ops} for this pair and platform"
            return
        pythons = group.get("pythons") or self._pythons_of_wheels(found.ops)
        if pythons and found.python not in pythons:
            yield f"{self.ops} {found.ops} has no wheel for Python {found.python}"
        if not libc_has(self.machine.libc, group.get("glibc", "")):
            yield f"the wheels of {found.ops_origin} need glibc {group['glibc']}"

    # What concerns the members, and the set as a whole.

    def of_set(self, found: Combination) -> Iterator[str]:
        versions = {self.ops: found.ops, **found.members}
        for member in self.family["members"]:
            yield from self._of_member(member, versions)
        for name, version in versions.items():
            yield from self._of_gates(name, version, versions)
        for line in self.family["ops"]["requires"]:
            name = canonicalize_name(required(line).name)
            if name in self.named and not admits(str(required(line).specifier), versions.get(name, "0")):
                yield f"{self.ops} requires {line}"
        for known in self.breaks(found):
            if known.get("reject"):
                yield f"{known['id']} rejects this set"
            if known.get("caution") and not self._accepts_cautions:
                yield f"{known['id']} is a caution and nothing was asked for"

    def _of_member(self, member: Entry, versions: Mapping[str, str]) -> Iterator[str]:
        name, version = member["distribution"], versions.get(member["distribution"])
        wishes = [specifier for wanted, specifier in self.wanted if wanted == name]
        needed = any(
            other in versions and admits(specifier, versions[other])
            for other, specifier in member.get("needed_by", {}).items()
        )
        is_due = needed or wishes or (not member.get("optional") and name not in self.without)
        if version is None:
            if is_due:
                yield f"{name} is missing"
            return
        if name in self.without:
            yield f"{name} was to be left out"
        if not is_due:
            yield f"{name} is there for nobody"
        if version not in member["versions"]:
            yield f"{name} {version} is not known"
        yield from (f"{name}{wish} was asked for" for wish in wishes if not admits(wish, version))

    def _of_gates(self, name: str, version: str, versions: Mapping[str, str]) -> Iterator[str]:
        for gate in self.data["gates"]["gates"]:
            if (gate["distribution"], gate["version"]) != (name, version):
                continue
            on = self.named[canonicalize_name(gate["on"])]
            if on not in versions:
                yield f"{name} {version} imports {gate['on']}, which is left out"
            elif not self._passes(gate, versions[on]):
                yield f"{name} {version} refuses {on} {versions[on]}"

    def _passes(self, gate: Entry, version: str) -> bool:
        """Tell whether a gate, as the patches that were asked for leave it, admits a version."""
        widened = [
            accepted
            for patch in self._asked_patches
            if patch_fits(patch, gate["distribution"], gate["version"])
            for module, accepted in patch.get("admits", {}).items()
            if canonicalize_name(module) == canonicalize_name(gate["on"])
        ]
        return admits(widened[0], version) if widened else passes(gate, version)

    def breaks(self, found: Combination) -> Iterator[Entry]:
        """Give the known breaks that concern a combination, and that no patch mends."""
        return (known for known in self.met(found) if not any(self.mending(known, found)))

    def met(self, found: Combination) -> Iterator[Entry]:
        """Give the known breaks whose conditions a combination meets, whether or not a patch mends them."""
        libc = self.machine.libc
        versions = {"torch": found.torch, "python": found.python, self.ops: found.ops, **found.members}
        if libc is not None and libc.name == "glibc":
            versions["glibc"] = libc.version
        if found.is_built and found.uses_gpus:
            versions["cuda"] = cuda_of(found.variant)
        for known in self.data["breaks"]["breaks"]:
            when = dict(known["when"])
            if when.pop("build", False) and not found.is_built:
                continue
            if self.platform not in when.pop("platforms", [self.platform]):
                continue
            if all(name in versions and admits(wrong, versions[name]) for name, wrong in when.items()):
                yield known

    # Patches: those that nobody has to ask for are made in ops that are built and nowhere else.

    @property
    def _asked_patches(self) -> list[Entry]:
        return [patch for patch in self._all_patches if patch["name"] in self.request.patches]

    @property
    def _all_patches(self) -> list[Entry]:
        patches: list[Entry] = self.data["patches"]["patches"]
        return patches

    def mending(self, known: Entry, found: Combination) -> Iterator[tuple[str, str]]:
        """Give the patches that mend a break in a combination under the request, each with its package."""
        for patch in self._all_patches:
            if patch["name"] not in known.get("patches", ()):
                continue
            if patch.get("asked"):
                if patch["name"] in self.request.patches:
                    yield from ((patch["name"], package) for package in self._changed(patch, found))
            elif found.is_built and self.request.may_patch and patch_fits(patch, self.ops, found.ops):
                yield patch["name"], self.ops

    def patches(self, found: Combination) -> set[tuple[str, str]]:
        """Give all patches of a combination, each with its package.

        Those that mend a break that it meets, and of those that were asked for the ones that widen a gate or
        that no break speaks of, wherever there is something to change.
        """
        due = {one for known in self.met(found) for one in self.mending(known, found)}
        spoken_of = {name for known in self.data["breaks"]["breaks"] for name in known.get("patches", ())}
        for patch in self._asked_patches:
            if patch.get("admits") or patch["name"] not in spoken_of:
                due |= {(patch["name"], package) for package in self._changed(patch, found)}
        return due

    def _changed(self, patch: Entry, found: Combination) -> list[str]:
        """Give the packages of a combination that a patch has something to change in, if they can be changed."""
        versions = {**found.members, **({self.ops: found.ops} if found.is_built else {})}
        return [name for name, version in versions.items() if patch_fits(patch, name, version)]

    # Facts.

    @property
    def _accepts_cautions(self) -> bool:
        request = self.request
        return bool(request.accepts_cautions or request.torch or request.python)

    def interpreters(self, python: str) -> list[Interpreter]:
        """Give those that are here and may be used."""
        asked, platform = self.request.python, self.platform
        return [
            here
            for here in self.machine.interpreters
            if here.minor == python
            and here.implementation == "cpython"
            and not here.free_threaded
            and here.platform == _PLATFORMS_OF_PYTHON.get(platform, here.platform)
            and (str(here.path) == asked if self.request.wants_path else starts(here.version, asked))
        ]

    def may_fetch(self, python: str) -> bool:
        """Tell whether a Python that is not here may be planned for."""
        request = self.request
        return request.may_fetch_python and not request.wants_path and the_same(python, request.python)

    def serves(self, gpu: Gpu, held: Entry) -> bool:
        """Tell whether code serves a GPU; where its architecture is not known, nothing is said against it."""
        if not gpu.architecture:
            return True
        models = self.data["gpus"]["gpus"]
        kinds = {model["kind"] for model in models if model["architecture"] == gpu.architecture}
        return runs_on(gpu.architecture, held["sass"], held["ptx"], integrated=kinds == {"jetson"})

    def _driver_runs(self, found: Combination) -> bool:
        driver, cuda, known = self.machine.driver, parsed(cuda_of(found.variant)), self.data["drivers"]
        if driver is None or not (driver.version or driver.cuda):
            return True
        compatible = [row for row in known["minor_version_compatibility"] if row["major"] == cuda.major]
        if not driver.version:
            carried = parsed(driver.cuda)
            return carried.major >= cuda.major if compatible else carried >= cuda
        on_windows = self.machine.os.name == "windows" or self.machine.os.wsl
        key = "windows_minimum" if on_windows else "linux_minimum"
        shipped = [row for row in known["toolkits"] if parsed(row["cuda"]).release[:2] == cuda.release[:2]]
        floors = [parsed(row[key]) for row in compatible or shipped if key in row]
        if floors and parsed(driver.version) >= min(floors):
            return True
        kinds = {gpu["name"]: gpu["kind"] for gpu in self.data["gpus"]["gpus"]}
        return (
            self.request.forward_compatibility
            and not on_windows
            and all(kinds.get(gpu.name.removeprefix("NVIDIA ")) == "datacenter" for gpu in found.served)
            and any(
                row["major"] == cuda.major and parsed(driver.version) >= parsed(row["linux_minimum"])
                for row in known["forward_compatibility"]
            )
        )

    def _group(self, found: Combination) -> Entry | None:
        by_release = self.sources[found.ops_origin].get("fits") == "release"
        key = {
            "index": found.ops_origin,
            "distribution": self.ops,
            "platform": self.platform,
            "variant": found.variant,
            "torch": found.torch if by_release else ".".join([*found.torch.split(".")[:2], "0"]),
        }
        groups = (group for group in self.data["wheels"]["groups"] if key.items() <= group.items())
        return next(groups, None)

    def _pythons_of_wheels(self, version: str) -> list[str]:
        return [
            python
            for entry in self.data["wheels"]["pythons"]
            if (entry["distribution"], entry["platform"]) == (self.ops, self.platform)
            and admits(entry["versions"], version)
            for python in entry["pythons"]
        ]

    # Pages: what one that answered lists is so, whatever the catalogue says.

    def pages_for(self, source: str, found: Combination, distribution: str) -> list[str]:
        """Give the addresses of a source's page for the pair, of a mirror where there is one."""
        base = self.request.mirrors.get(source, "")
        return pages_of(self.sources[source], found.torch, found.variant, distribution, base)

    def ops_listed(self, found: Combination) -> bool | None:
        """Tell whether a page lists the ops; nothing where none answered."""
        local = self.sources[found.ops_origin].get("local", "")
        local = local.format(release=found.torch, variant=found.variant)
        return self._listed(found.ops_origin, found, self.ops, found.ops, local)

    def torch_listed(self, found: Combination) -> dict[str, bool | None]:
        """Tell of torch and of torchvision whether PyTorch's own index lists it; nothing where unknown."""
        versions = {"torch": found.torch, "torchvision": self.releases[found.torch]["torchvision"]}
        return {
            name: self._listed("pytorch", found, name, version, found.variant)
            for name, version in versions.items()
        }

    def _listed(self, source: str, found: Combination, name: str, version: str, local: str) -> bool | None:
        pages = [self.pages.get(url) for url in self.pages_for(source, found, name)]
        answered = [page for page in pages if page is not None and page.answered]
        if not answered:
            return None
        return any(
            fits(
                file,
                name,
                version,
                local=local,
                python=found.python,
                platform=self.platform,
                libc=self.machine.libc,
            )
            for page in answered
            for file in page.files
        )
