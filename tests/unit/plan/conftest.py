from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bare_machine import BARE, Table

from mmsetup.catalog import Catalog, load
from mmsetup.plan import Plan, Request
from mmsetup.plan.choose import plan
from mmsetup.probe.machine import Machine


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture
def planned(catalog: Catalog) -> Callable[..., Plan]:
    """Plan for the bare machine with changes: ``planned(torch="1.13", gpus=...)``."""

    def make(*, ask: Table | None = None, machine: Machine = BARE, **wishes: Any) -> Plan:
        facts = {name: wishes.pop(name) for name in list(wishes) if name in Machine.__dataclass_fields__}
        return plan(replace(machine, **facts), catalog, Request(**wishes), ask=ask or Table())

    return make
