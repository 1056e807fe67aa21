"""MM13x: what Python would import instead of what is installed in the environment."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.catalog import gate_reader
from mmsetup.doctor import imports
from mmsetup.doctor.breaks import outside
from mmsetup.doctor.context import Context, literal_version, parsed
from mmsetup.doctor.installed import is_for, modules
from mmsetup.doctor.model import SEVERITIES, Observation, Severity, check
from mmsetup.doctor.remedies import again

__all__ = [
    "checkout_is_gone",
    "from_current_folder",
    "from_pythonpath",
    "from_user_site",
    "home_of_another_python",
    "start_up_code",
]

_MOST_NAMED = 5
_ALTERED_PATH = re.compile(r"sys\s*\.\s*path\s*(?:\.\s*insert|\[\s*(?:0|:)|=)|PYTHONPATH")


@check(
    "MM131",
    title="PYTHONPATH puts another package before the environment's",
    cause="A line in .bashrc, an environment module or a launcher set PYTHONPATH to a checkout or to "
    "another environment's packages; its folders are searched before site-packages.",
    looks_at="The folders in PYTHONPATH for packages that are installed too: whether they have compiled "
    "parts, their version, and the gates and breaks that hold for it. What cannot work is an error, "
    "another version a warning, the same version a note.",
    remedy="Unset PYTHONPATH, or take the folder out of it.",
    seen_in=("open-mmlab/mmcv#73",),
)
def from_pythonpath(context: Context) -> Iterator[Observation]:
    """Observe packages that a folder of PYTHONPATH stands before."""
    yield from _shadowed(context, imports.VARIABLE, "unset PYTHONPATH")


@check(
    "MM132",
    title="The current folder holds another package than the environment's",
    cause="Python was started in a source checkout (of mmcv, whose folder mmcv/ has no compiled "
    "operators), or beside a file that is called as a package (torch.py): python -c and python -m search "
    "the current folder first.",
    looks_at="The current folder for packages that are installed too, judged as for MM131. A script is not "
    "concerned that lies in another folder.",
    remedy="Start Python in another folder, or set PYTHONSAFEPATH=1 from Python 3.11 on.",
    seen_in=("open-mmlab/mmcv#204",),
)
def from_current_folder(context: Context) -> Iterator[Observation]:
    """Observe packages that the current folder stands before."""
    leave = f"cd {shlex.quote(str(context.environment.prefix))}  # any folder without such a package"
    yield from _shadowed(context, imports.CURRENT, leave)


@check(
    "MM133",
    title="The user's own site-packages hold another package than the environment's",
    cause="pip install --user, or pip without the right to write, put packages into ~/.local. An "
    "interpreter without a virtual environment (conda's too) searches them before its own.",
    looks_at="~/.local/lib/pythonX.Y/site-packages (or PYTHONUSERBASE), where the interpreter looks into "
    "it, judged as for MM131.",
    remedy="Set PYTHONNOUSERSITE=1, or uninstall what is there.",
    seen_in=("conda-forge/python-feedstock#171",),
)
def from_user_site(context: Context) -> Iterator[Observation]:
    """Observe packages that the user's own ones stand before."""
    yield from _shadowed(context, imports.USER_SITE, "export PYTHONNOUSERSITE=1")


@check(
    "MM134",
    title="Code runs at every start of Python and changes what is imported",
    cause="A .pth file, sitecustomize.py or usercustomize.py puts folders in front of the path.",
    looks_at="Lines of .pth files that begin with import, and those two files in site-packages, in "
    "PYTHONPATH and in the user's site-packages, for changes of sys.path.",
    remedy="Read what the evidence names, and delete it where nobody needs it; python -I starts without "
    "the user's part.",
)
def start_up_code(context: Context) -> Iterator[Observation]:
    """Observe start-up code that touches the path."""
    environment = context.environment
    user = imports.user_site(environment, context.variables)
    places = [place.folder for place in context.before if place.source == imports.VARIABLE]
    places += [*environment.site_packages, *([user] if user is not None else [])]
    files = [folder / f"{kind}customize.py" for folder in places for kind in ("site", "user")]
    evidence = [str(path) for path in files if _ALTERED_PATH.search(imports.text_of(path))]
    for path in environment.path_files:
        for line in imports.text_of(path).splitlines():
            if line.startswith(("import ", "import\t")) and _ALTERED_PATH.search(line):
                evidence.append(f"{path}: {line[:120]}")
                break
    if evidence:
        yield Observation(
            "warning",
            f"{len(evidence)} file(s) change sys.path whenever Python starts",
            tuple(evidence[:_MOST_NAMED]),
            f"less {shlex.quote(evidence[0].partition(': ')[0])}  # delete it where nobody needs it",
        )


@check(
    "MM135",
    title="A package was installed from a checkout that is gone",
    cause="pip install -e records where a checkout is and copies nothing; it was moved or deleted since.",
    looks_at="direct_url.json of each editable distribution, and the folders that its .pth files and "
    "finders name.",
    remedy="Install it again from where the checkout is now, or as a wheel.",
)
def checkout_is_gone(context: Context) -> Iterator[Observation]:
    """Observe editable distributions of which the folder is not there."""
    for one in context.environment.distributions:
        folder = _checkout(one.path)
        if folder is not None and not folder.is_dir():
            yield Observation(
                "error" if one.name in context.needed else "warning",
                f"{one.name} {one.version} was installed from {folder}, which is gone",
                (f"{one.path / 'direct_url.json'}: {folder}",),
                again(context, one, Version(one.version).public)
                if parsed(one.version)
                else context.commands.make_again,
            )


@check(
    "MM136",
    title="PYTHONHOME names another Python's standard library",
    cause="An environment module, an embedded Python or a launcher set PYTHONHOME. The interpreter then "
    "takes its standard library from there, and site-packages too.",
    looks_at="PYTHONHOME, and whether lib/pythonX.Y of this interpreter's version lies below it.",
    remedy="Unset PYTHONHOME.",
)
def home_of_another_python(context: Context) -> Iterator[Observation]:
    """Observe a PYTHONHOME that is not this interpreter's."""
    home = context.variables.get("PYTHONHOME", "")
    if not home or context.machine.os.name == "windows":
        return
    environment = context.environment
    program = environment.interpreter.path.resolve()
    if Path(home).resolve() == program.parent.parent:
        return
    library = Path(home) / "lib" / f"python{environment.interpreter.minor}" / "encodings"
    yield Observation(
        "warning" if library.is_dir() else "error",
        f"PYTHONHOME={home}: Python {environment.interpreter.minor} "
        + (
            "takes another standard library"
            if library.is_dir()
            else "finds no standard library and does not start"
        ),
        (f"PYTHONHOME={home}", f"the interpreter is {program}"),
        "unset PYTHONHOME",
    )


def _shadowed(context: Context, source: str, remedy: str) -> Iterator[Observation]:
    """Give a finding for each folder of a source in which packages stand before installed ones."""
    for place in context.before:
        if place.source != source:
            continue
        judged: list[tuple[Severity, str]] = []
        for module, path in imports.found_in(place.folder, context.modules).items():
            installed = context.source(module)
            if (
                installed is None
                or _is_same(installed, path)
                or _comes_later(context, module, place, installed)
            ):
                continue
            judged.append(_judged(context, module, path))
        for severity in SEVERITIES:
            told = [words for found, words in judged if found == severity]
            if told:
                shadowed = ", ".join(words.split(":", 1)[0] for words in told)
                yield Observation(
                    severity,
                    f"{source} ({place.folder}) comes before the environment's {shadowed}",
                    tuple(told[:_MOST_NAMED]),
                    remedy,
                )
                break


def _judged(context: Context, module: str, path: Path) -> tuple[Severity, str]:
    """Tell how bad it is that ``path`` is imported for an installed module, and why."""
    here = f"{module}: {path}"
    version, own = _version(module, path), context.module_version(module)
    if problem := next(_refusals(context, module, path, version), ""):
        return "error", f"{here} {problem}"
    if version is None or own is None:
        return "note", f"{here}, of a version that it does not tell"
    if version == own or version.public == own.public:
        return "note", f"{here} has the same version {version}"
    if module in {"torch", "torchvision"}:
        return "error", f"{here} is {version}, and what is compiled here is for {own}"
    return "warning", f"{here} is {version}, installed is {own}"


def _compiled_parts(context: Context, module: str, path: Path) -> str:
    """Name the compiled modules that the installed package has and the one before it has not."""
    owner = context.modules.get(module)
    names = [name for name, _ in context.listed.get(owner.path, ())] if owner is not None else []
    extensions = [one for one in modules(names) if one.folder.startswith(f"{module}/")]
    extensions.sort(key=lambda one: (one.folder.count("/"), one.folder))
    interpreter = context.environment.interpreter
    missing = []
    # What lies in the package itself keeps its place; below, folders are renamed (numpy/core, numpy/_core).
    has_own = any(one.folder == f"{module}/" for one in extensions)
    if extensions and not has_own and next(path.glob("*/*.so"), None) is not None:
        return ""
    for one in extensions[:_MOST_NAMED]:
        below = one.folder.removeprefix(f"{module}/")
        tags = [
            found.name.removeprefix(f"{one.name}.").removesuffix("so").rstrip(".")
            for found in (path / below).glob(f"{one.name}.*so")
        ]
        if any(is_for(tag, interpreter) for tag in tags):
            return ""
        missing.append(one.name)
    return ", ".join(missing)


def _refusals(context: Context, module: str, path: Path, version: Version | None) -> Iterator[str]:
    """Give why the package before the installed one cannot do in its place: its parts, gates and bounds."""
    if not path.is_dir():
        yield "is a single file"
        return
    if lacking := _compiled_parts(context, module, path):
        yield f"has no compiled {lacking}"
    try:
        gates = gate_reader.read(path / "__init__.py", module, str(version or ""))
    except (OSError, ValueError):
        gates = ()
    for gate in gates:
        found = context.module_version(gate.on)
        if found is not None and not gate.admits(found):
            yield f"asserts {gate.range}, here is {found}"
    if version is not None:
        yield from _refusals_of_version(context, module, version)


def _refusals_of_version(context: Context, module: str, version: Version) -> Iterator[str]:
    for one in context.stack:
        for gate in context.gates_of(one):
            if gate.on == module and not gate.admits(version):
                yield f"is {version}, and {one.name} {one.version} asserts {gate.range}"
    owner = context.modules.get(module)
    name = canonicalize_name(owner.name) if owner is not None else module
    already = {found.name for found in outside(context.catalog, context.versions, context.patches)}
    versions = {**context.versions, name: version}
    for broken in outside(context.catalog, versions, context.patches):
        if broken.cause.severity == "error" and broken.name == name and name not in already:
            yield f"is {version}, outside {broken.bound.specifier}: {broken.cause.effect}"


def _version(module: str, path: Path) -> Version | None:
    """Give the version that a package says it has, else that of metadata which lies beside it."""
    found = literal_version(path)
    if found is not None:
        return found
    for info in sorted(path.parent.glob(f"{module}-*.dist-info")):
        return parsed(info.name.removesuffix(".dist-info").partition("-")[2])
    return None


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _comes_later(context: Context, module: str, place: imports.Place, installed: Path) -> bool:
    """Tell whether a place that is searched before this one holds the module, too.

    A virtual environment that lets in the interpreter's own packages has its own before the user's.
    """
    environment = context.environment
    if (
        place.source == imports.USER_SITE
        and environment.is_virtual
        and environment.prefix in installed.parents
    ):
        return True
    for earlier in context.before:
        if earlier == place:
            return False
        if imports.found_in(earlier.folder, [module]):
            return True
    return False


def _checkout(info: Path) -> Path | None:
    try:
        origin = json.loads((info / "direct_url.json").read_text(encoding="utf-8"))
        if not origin["dir_info"]["editable"]:
            return None
        url = str(origin["url"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 (editable distributions are few)

    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.path else None
