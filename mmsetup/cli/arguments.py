"""Options that several commands share, each told once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mmsetup.catalog import Catalog
    from mmsetup.plan import Request

__all__ = [
    "Build",
    "Cuda",
    "Family",
    "Json",
    "Mirror",
    "Offline",
    "Prebuilt",
    "Python",
    "Target",
    "Torch",
    "request_from",
]

Family = Annotated[str, typer.Option("--family", help="The stack family.", metavar="NAME")]
Python = Annotated[
    str, typer.Option("--python", help="A Python version (3.10) or the path of one.", metavar="VERSION|PATH")
]
Torch = Annotated[str, typer.Option("--torch", help="A torch version (1.13.1) or its beginning.")]
Cuda = Annotated[
    str, typer.Option("--cuda", help="The CUDA variant of torch: cu117, cpu …", metavar="VARIANT")
]
Build = Annotated[bool, typer.Option("--build/--no-build", help="Whether the ops may be built from source.")]
Prebuilt = Annotated[bool, typer.Option("--prebuilt/--no-prebuilt", help="Whether prebuilt ops may be used.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use no network: caches only.")]
Mirror = Annotated[
    str,
    typer.Option(
        "--mirror",
        help="Replaces https://download.openmmlab.com; also MMSETUP_MIRROR, MMCV_BASE_URL.",
        metavar="URL",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Target = Annotated[
    Path, typer.Option("--env", help="The folder of the environment.", metavar="DIR", show_default=True)
]


def request_from(
    catalog: Catalog,
    *,
    family: str,
    python: str,
    torch: str,
    cuda: str,
    build: bool,
    prebuilt: bool,
    offline: bool,
    mirror: str,
) -> Request:
    """Put a request together from options and the variables that stand in for them."""
    from mmsetup.plan import Request

    mirrors = {}
    for source in catalog.sources:
        named = [os.environ.get(name, "") for name in source.mirror_variables]
        if "MMSETUP_MIRROR" in source.mirror_variables:
            named.insert(0, mirror)
        address = next((address for address in named if address), "")
        if address:
            mirrors[source.name] = address
    return Request(
        family=family,
        python=python or os.environ.get("MMSETUP_OVERRIDE_PYTHON", ""),
        torch=torch,
        cuda=cuda,
        may_build=build,
        may_use_prebuilt=prebuilt,
        may_fetch_python=not offline,
        offline=offline,
        mirrors=mirrors,
    )
