"""Which patches the installed packages were made with, as the recipes in them tell."""

from __future__ import annotations

import json

from mmsetup.probe.machine import Distribution

__all__ = ["RECIPE_FILE", "patches_of"]

# As mmsetup.build.wheel_writer has it, which takes a tenth of a second to import.
RECIPE_FILE = "mmsetup-recipe.json"


def patches_of(one: Distribution) -> tuple[str, ...]:
    """Give the names of the patches of a distribution; none where no recipe that can be read tells of any."""
    try:
        document = json.loads((one.path / RECIPE_FILE).read_text(encoding="utf-8"))
        told = document.get("recipe", document)["patches"]
        return tuple(str(patch["name"]) for patch in told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
