"""Read compiled files and wheels: what they need and what they hold. Nothing compiled is ever loaded.

:mod:`~mmsetup.binary.elf` reads a shared library, :mod:`~mmsetup.binary.fatbin` the GPU architectures inside
it, :mod:`~mmsetup.binary.torch_flags` those that torch states itself. :mod:`~mmsetup.binary.libraries` finds
libraries as the loader would, :mod:`~mmsetup.binary.linkage` compares what an extension needs with what they
offer. :mod:`~mmsetup.binary.wheel` opens a wheel, :mod:`~mmsetup.binary.operators` names what mmcv compiles.

:mod:`~mmsetup.binary.inspection` puts all of it together for ``mmsetup inspect``, and
:mod:`~mmsetup.binary.judgement` holds it against :mod:`~mmsetup.binary.surroundings`, with what
:mod:`~mmsetup.binary.floors` and :mod:`~mmsetup.binary.torch_history` know. The modules are imported one by
one, so that a probe does not pay for the reading of wheels.
"""
