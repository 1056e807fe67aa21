"""Write ``registered.toml``: which releases register which names, for reasons why a name is in no registry.

    python -m mmsetup.doctor.project.update_registered SITE_PACKAGES...

takes the sources of the packages of OpenMMLab that are installed in the folders, and writes the table anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import tomli_w

from mmsetup.doctor.project.names import names_in

__all__ = ["main"]

_TABLE = Path(__file__).with_name("registered.toml")
_METADATA = re.compile(r"(?P<name>(?:onedl_)?mm\w+)-(?P<version>[\w.]+)\.dist-info")
_MODULES = {
    "mmsegmentation": "mmseg",
    "mmcv_lite": "mmcv",
    "onedl_mmsegmentation": "mmseg",
    "onedl_mmdetection": "mmdet",
}
_ARGUMENTS = frozenset({"cls", "module", "t", "name", "build", "plugin", "norm_layer", "conv_layer"})


def main(folders: list[str]) -> None:
    """Write the table."""
    entries = []
    for folder in map(Path, folders):
        for found in sorted(folder.iterdir()):
            match = _METADATA.fullmatch(found.name)
            if match is None:
                continue
            module = _MODULES.get(match["name"], match["name"].removeprefix("onedl_"))
            names = names_in(folder / module).registered - _ARGUMENTS
            plain = sorted(name for name in names if re.fullmatch(r"[A-Z]\w{3,}", name))
            name = match["name"].replace("_", "-").replace("mmcv-lite", "mmcv")
            entries.append(
                {
                    "distribution": name,
                    "version": match["version"],
                    "module": module,
                    "source": f"register_module in the sources of {name} {match['version']}",
                    "names": plain,
                }
            )
    script = "mmsetup/doctor/project/update_registered.py"
    head = f"# Which names a release registers. Written by {script}; do not edit.\n\n"
    _TABLE.write_text(head + tomli_w.dumps({"releases": entries}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
