"""Look at the compiled ops before they are installed, and at the environment right after it was made.

Of a wheel that was fetched, all is compared that is known before torch is here; in the environment its torch
symbols are compared with those that the torch beside it exports.
"""

from __future__ import annotations

from pathlib import Path

from mmsetup.binary import elf, libraries, linkage, wheel
from mmsetup.binary.inspection import of_wheel
from mmsetup.binary.judgement import Verdict, judge
from mmsetup.binary.operators import OPS_MODULE
from mmsetup.binary.surroundings import Surroundings
from mmsetup.errors import IntegrityError
from mmsetup.install.contents import edited_modules, missing_packages
from mmsetup.lock import Lock

__all__ = ["verify_environment", "verify_wheel"]

_MOST_NAMED = 5


def verify_wheel(path: Path, distribution: str, version: str, around: Surroundings) -> Verdict:
    """Open a wheel of compiled ops before it is installed, and say whether it runs among ``around``.

    Raises:
        IntegrityError: it is damaged, another wheel, or holds no compiled ops.
    """
    facts = wheel.inspect(path, expect=wheel.Expected(distribution, version))
    if not facts.has_ops:
        raise IntegrityError(
            f"{path.name} holds no compiled ops ({OPS_MODULE}): with it `import mmcv.ops` fails",
            remedy="mmsetup install --no-prebuilt  # builds the ops from source",
        )
    verdict = judge(of_wheel(path, facts), around)
    assert verdict is not None  # noqa: S101 (there is one of every wheel)
    return verdict


def verify_environment(environment: Path, lock: Lock) -> None:
    """Check that every locked package is there, whole, and that the compiled ops fit the torch beside them.

    Raises:
        IntegrityError: a package is missing, a Python file is not as its wheel recorded it, or the ops need
            libraries or torch symbols that are not there.
    """
    missing = missing_packages(environment, {package.name: package.version for package in lock.packages})
    if missing:
        raise IntegrityError(
            "the environment is not what the lock says", evidence=missing, remedy="mmsetup install"
        )
    if edited := edited_modules(environment):
        names = sorted(set(edited.values()))
        raise IntegrityError(
            f"uv's cache, which shares its files with environments, was written into: {', '.join(names)}",
            evidence=[f"{path} is not what its wheel holds" for path in edited][:_MOST_NAMED],
            remedy=f"uv cache clean {' '.join(names)}  # then the same command again",
        )
    site_packages = next(environment.glob("lib/python3*/site-packages"))
    torch = site_packages / "torch"
    loaded = libraries.brought_by_torch(torch)
    for extension in site_packages.glob(f"{OPS_MODULE.replace('.', '/')}*.so"):
        absent = libraries.missing(extension, libraries.loader(), loaded)
        undefined = linkage.missing_symbols(elf.read(extension), torch / "lib")
        if absent or undefined:
            version = lock.package("torch").version
            raise IntegrityError(
                f"{extension.name} was built for another torch than {version}"
                if undefined
                else f"{extension.name} needs libraries that neither torch {version} nor this machine has",
                evidence=[
                    *(f"library {one.library} is not there" for one in absent),
                    *sorted(undefined)[:5],
                ],
                remedy="mmsetup install --no-prebuilt  # builds the ops for this torch",
            )
