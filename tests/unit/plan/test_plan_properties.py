"""Whatever the machine and the request, a plan holds, or an error says why; checked by other means than the planner's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from bare_machine import BARE, PAGES, Table, driver, gpus, python, toolkit, wheel
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from mmsetup.catalog import Catalog, load
from mmsetup.errors import InterpreterError, MmsetupError, NoPlanError, RequestError
from mmsetup.plan import Plan, Request
from mmsetup.plan.choose import plan
from mmsetup.probe.machine import Libc, Machine, OperatingSystem

CATALOG = load()
VARIANTS = ("cpu", "cu102", "cu113", "cu117", "cu118", "cu121", "cu126", "cu130")

machines = st.builds(
    replace,
    st.just(BARE),
    os=st.sampled_from([BARE.os] * 20 + [OperatingSystem("darwin", "macOS", "24")]),
    libc=st.sampled_from([Libc("glibc", "2.36")] * 12 + [Libc("glibc", "2.17"), Libc("musl", "1.2"), None]),
    gpus=st.lists(
        st.sampled_from(["", "sm_35", "sm_61", "sm_75", "sm_75", "sm_86", "sm_86", "sm_90", "sm_120"]),
        max_size=2,
    ).map(lambda names: gpus(*names)),
    driver=st.sampled_from(
        [None, *map(driver, ("390.46", "450.80.02", "525.60.13", "580.95.05", "580.95.05"))]
    ),
    toolkits=st.lists(
        st.sampled_from([toolkit(v) for v in ("10.2", "11.7", "12.4", "13.0")]), max_size=2
    ).map(tuple),
    interpreters=st.lists(
        st.sampled_from([python(v) for v in ("3.7.17", "3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0")]),
        max_size=3,
    ).map(tuple),
)


def mostly(usual: object, *others: object) -> st.SearchStrategy:
    return st.sampled_from([usual] * 2 * len(others) + list(others))


requests = st.builds(
    Request,
    python=mostly("", "3", "3.10", "3.11", "3.12.1", "3.13", "4", "x"),
    torch=mostly("", "1.13", "1.13.1", "2", "2.0", "2.4.1", "2.14", "7", "x"),
    cuda=mostly("", *VARIANTS, "cu1"),
    may_use_prebuilt=mostly(True, False),
    may_build=mostly(True, False),
    may_fetch_python=mostly(True, False),
    offline=mostly(False, True),
)
pairs = ("cu117/torch1.13.0", "cpu/torch1.13.0", "cu102/torch1.12.0", "cu113/torch1.12.0", "cu117/torch2.0.0")
tables = st.dictionaries(
    st.sampled_from([f"{PAGES}/{pair}/index.html" for pair in pairs]),
    st.lists(
        st.builds(
            wheel,
            st.sampled_from(["1.7.0", "1.7.1", "1.7.2", "2.0.0"]),
            st.sampled_from([f"cp3{minor}-cp3{minor}-manylinux1_x86_64" for minor in (9, 10, 11)]),
        ),
        max_size=3,
    ),
    min_size=1,
).map(Table)


def problems(made: Plan, machine: Machine, request: Request, catalog: Catalog) -> list[str]:
    """Find what is wrong with a plan, from its words and the catalogue's data alone."""
    version = {choice.name: Version(choice.version) for choice in made.choices}
    release = next(found for found in catalog.torch if found.version == version["torch"])
    gate = catalog.gate("mmsegmentation", version["mmsegmentation"])
    conditions = {**version, "python": Version(made.python)}
    if machine.libc is not None:
        conditions["glibc"] = Version(machine.libc.version)
    met = [found for found in catalog.breaks if found.concerns(conditions, built=made.ops.is_built)]
    has_gpu, is_cuda = bool(machine.gpus), made.variant != "cpu"
    known = [gpu.architecture for gpu in machine.gpus if gpu.architecture]
    listed = made.choice("mmcv-full").file
    majors = {kit.version.split(".")[0] for kit in machine.toolkits}
    truths = {
        "on another platform": machine.os.name == "linux" and machine.libc != Libc("musl", "1.2"),
        "not the python asked for": made.python.startswith(".".join(request.python.split(".")[:2])),
        "not the torch asked for": str(version["torch"]).startswith(request.torch),
        "not the variant asked for": request.cuda in {"", made.variant},
        "no wheel for this python": made.python in release.pythons,
        "an interpreter that is not here": made.interpreter is None
        or made.interpreter in machine.interpreters,
        "another interpreter": made.interpreter is None or made.interpreter.minor == made.python,
        "a python to fetch": made.interpreter is not None or request.may_fetch_python,
        "another torchvision": str(version["torchvision"]) == release.torchvision,
        "outside the gate": gate is not None and gate.minimum <= version["mmcv-full"] < gate.maximum,
        "rejected by a break": not any(found.reject for found in met),
        "a caution nobody asked for": not any(found.caution for found in met)
        or request.torch
        or request.python,
        "a bound is missing": {line for found in met for line in found.bounds}
        == {b.requirement for b in made.bounds},
        "a build that was excluded": request.may_build or not made.ops.is_built,
        "a wheel that was excluded": request.may_use_prebuilt or made.ops.is_built,
        "a wheel without its file": made.ops.is_built == (listed is None),
        "pages offline": not (request.offline and made.sources),
        "the gpu is not used": not has_gpu or is_cuda or request.cuda == "cpu",
        "no code for a gpu": not is_cuda
        or all(_runs(name, release.architectures[made.variant]) for name in known),
        "no nvcc": not (made.ops.is_built and has_gpu and is_cuda) or made.variant[2:-1] in majors,
        "cuda operators without a gpu": made.ops.with_cuda == (made.ops.is_built and has_gpu and is_cuda),
    }
    if listed is not None:
        tag = f"mmcv_full-{version['mmcv-full']}-cp{made.python.replace('.', '')}-"
        truths["another file"] = listed.filename.startswith(tag)
    return [name for name, holds in truths.items() if not holds]


def _runs(name: str, held) -> bool:
    wanted = int(name.removeprefix("sm_"))
    numbers = [int(code.removeprefix("sm_").rstrip("af")) for code in held.sass]
    portable = [int(code.removeprefix("sm_").rstrip("af")) for code in held.ptx]
    return any(n // 10 == wanted // 10 and n <= wanted for n in numbers) or any(n <= wanted for n in portable)


def planned_or_refused(machine: Machine, request: Request, table: Table) -> Plan | MmsetupError:
    try:
        return plan(machine, CATALOG, request, ask=table)
    except (NoPlanError, RequestError, InterpreterError) as error:
        return error


@settings(max_examples=50, deadline=None)
@given(machines, requests, tables)
def test_a_plan_holds_or_an_error_says_why(machine: Machine, request: Request, table: Table) -> None:
    made = planned_or_refused(machine, request, table)
    if isinstance(made, MmsetupError):
        assert str(made)
        assert made.remedy
    else:
        assert problems(made, machine, request, CATALOG) == []
        assert [Requirement(choice.requirement).name for choice in made.choices] == [
            choice.name for choice in made.choices
        ]


@settings(max_examples=25, deadline=None)
@given(machines, requests)
def test_a_command_that_is_offered_for_a_refusal_gives_a_plan(machine: Machine, request: Request) -> None:
    # On the command line the two are one option.
    request = replace(request, may_fetch_python=not request.offline)
    refused = planned_or_refused(machine, request, Table())
    if not isinstance(refused, NoPlanError) or not refused.remedy.startswith("mmsetup plan"):
        return
    words = refused.remedy.split()
    value = dict(pairwise(words))
    offered = Request(
        python=value.get("--python", ""),
        torch=value.get("--torch", ""),
        cuda=value.get("--cuda", ""),
        may_build="--no-build" not in words,
        may_use_prebuilt="--no-prebuilt" not in words,
        offline="--offline" in words,
        may_fetch_python="--offline" not in words,
    )
    assert offered != request
    assert isinstance(planned_or_refused(machine, offered, Table()), Plan)


def test_the_checker_finds_what_is_wrong() -> None:
    made = plan(BARE, CATALOG, Request(), ask=Table())
    assert problems(made, BARE, Request(), CATALOG) == []
    broken = replace(made, bounds=(), python="3.12")
    assert problems(broken, BARE, Request(torch="2", cuda="cpu", may_build=False), CATALOG) == [
        "not the torch asked for",
        "not the variant asked for",
        "no wheel for this python",
        "another interpreter",
        "a bound is missing",
        "a build that was excluded",
    ]
