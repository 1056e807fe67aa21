"""Find the cause when an environment does not import, does not train, or does not use its GPU.

Nothing of the environment is imported: metadata, sources and ELF files are read, so that the answer is the
same when the environment cannot even start. One file in :mod:`mmsetup.doctor.checks` is one family of checks;
each check looks for one cause, whatever message that cause ends in, and says nothing when it cannot tell.
:mod:`mmsetup.doctor.deep` asks as well, when told to: in child processes of the environment's own Python,
with a time limit, so that what dies or hangs there is a finding.

The doctrine of severity:

``error``
    What was read proves that the stack cannot be imported, cannot train, cannot use a GPU that is here, or is
    not what it says it is. The exit status is 1.
``warning``
    Something is wrong, but what was read does not prove that it hurts: a part that not everybody uses fails
    (distributed training, TensorBoard, compiling extensions), a declared range is not kept, an environment
    differs from its record, or a check itself failed, so that its cause can be neither seen nor excluded.
    ``--strict`` counts warnings as errors.
``note``
    True and worth knowing, and nothing has to be done.

A check that raises becomes the finding ``MM001`` with the exception as its evidence. It is a warning: a fault
of mmsetup proves nothing about the environment.
"""

from mmsetup.doctor.diagnose import doctor
from mmsetup.doctor.model import Check, Diagnosis, Finding, Fix, Severity

__all__ = ["Check", "Diagnosis", "Finding", "Fix", "Severity", "doctor"]
