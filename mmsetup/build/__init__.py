"""Turn a source distribution and a recipe into a wheel in mmsetup's own cache.

:func:`~mmsetup.build.sdist.fetch` gets the source, :func:`~mmsetup.build.preflight.check` says whether this
machine can build, :func:`~mmsetup.build.build.build` builds under the :func:`~mmsetup.build.recipe.key` of a
:class:`~mmsetup.build.recipe.Recipe`, :mod:`~mmsetup.build.cache` keeps the result.
:func:`~mmsetup.build.workspace.remove_stale` removes what builds that were killed left behind.
"""

from mmsetup.build.build import build
from mmsetup.build.cache import BuiltWheel, find
from mmsetup.build.preflight import Toolchain, check
from mmsetup.build.recipe import Recipe, key
from mmsetup.build.sdist import fetch
from mmsetup.build.workspace import remove_stale

__all__ = ["BuiltWheel", "Recipe", "Toolchain", "build", "check", "fetch", "find", "key", "remove_stale"]
