"""Make the changes of patches: each exactly as it was recorded, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mmsetup.catalog import Catalog
from mmsetup.catalog.patches import Edit, Patch
from mmsetup.errors import BuildError, LockError
from mmsetup.lock.model import Lock

__all__ = ["apply", "changed", "locked_patches"]

_ENCODING = ("utf-8", "surrogateescape")


def locked_patches(lock: Lock, package: str, catalog: Catalog) -> tuple[Patch, ...]:
    """Give the patches that a lock wants for a package, as the catalogue has them.

    Raises:
        LockError: the catalogue has no such patch, or one that does something else.
    """
    found = []
    for wanted in lock.patches:
        if wanted.package != package:
            continue
        patch = catalog.patch(wanted.name)
        if patch is None or patch.sha256 != wanted.sha256:
            what = "is not in the catalogue" if patch is None else "is another one in the catalogue"
            raise LockError(
                f"the lock patches {package} with {wanted.name} (sha256 {wanted.sha256[:12]}), which {what}",
                remedy="mmsetup lock  # with what the catalogue has; or install the mmsetup that wrote it",
            )
        found.append(patch)
    return tuple(found)


def apply(patches: Iterable[Patch], source: Path, what: str) -> None:
    """Change the files below ``source`` (``what``, in an error); nothing where one patch does not fit.

    Raises:
        BuildError: a text is not there as often as it should be.
        OSError: a file cannot be read or written.
    """

    def read(name: str) -> bytes | None:
        place = source / name
        return place.read_bytes() if place.is_file() else None

    for name, content in changed(patches, read, what).items():
        (source / name).write_bytes(content)


def changed(patches: Iterable[Patch], read: Callable[[str], bytes | None], what: str) -> dict[str, bytes]:
    """Give the new contents of the files that patches change; ``read`` gives the old ones, or nothing.

    Raises:
        BuildError: a text is not there as often as it should be.
    """
    texts: dict[str, str] = {}
    for patch in patches:
        for edit in patch.edits:
            if edit.file not in texts:
                content = read(edit.file)
                if content is None:
                    raise _unfit(patch, what, f"{edit.file} is not there")
                texts[edit.file] = content.decode(*_ENCODING)
            texts[edit.file] = _edited(texts[edit.file], edit, patch, what)
    return {name: text.encode(*_ENCODING) for name, text in texts.items()}


def _edited(text: str, edit: Edit, patch: Patch, what: str) -> str:
    count = text.count(edit.old)
    if count != edit.times:
        raise _unfit(
            patch,
            what,
            f"{edit.file} has the text that it replaces {count} times, not {edit.times}",
            edit.old,
        )
    return text.replace(edit.old, edit.new)


def _unfit(patch: Patch, what: str, why: str, *evidence: str) -> BuildError:
    return BuildError(
        f"the patch {patch.name} does not fit {what}: {why}",
        evidence=[line for text in evidence for line in text.strip("\n").splitlines()],
        remedy="mmsetup catalog update  # or, for versions that need no patch: mmsetup plan --no-patches",
    )
