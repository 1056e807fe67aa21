"""What comes of putting nodes beside each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.doctor.fleet import Node, Place, compare
from mmsetup.doctor.fleet.node import facts_of
from mmsetup.doctor.model import Diagnosis, Finding, Part
from mmsetup.probe.machine import Driver, Gpu

HEALTHY = Diagnosis(Path("/env"), "3.10.1", "mmcv-full", (Part("torch", "1.13.1"),), ("MM101",), ())
SICK = replace(HEALTHY, findings=(Finding("MM201", "error", "t", "m", ("e",), "r"),))
WORRIED = replace(HEALTHY, findings=(Finding("MM104", "warning", "t", "m", (), "r"),))
PLACE = Place("srun", 0, 3, 0, "n0", names=("n0", "n1", "n2"))


def node(rank: int, diagnosis: Diagnosis | None = HEALTHY, **facts: dict[str, str]) -> Node:
    told = {"stack": {"torch": "1.13.1"}, "machine": {"driver": "535"}, "variable": {}, **facts}
    return Node(rank, f"n{rank}", True, told, diagnosis)


def ids(fleet) -> list[tuple[str, str]]:
    return [(one.id, one.severity) for one in fleet.findings]


def test_nodes_that_are_alike_are_healthy():
    fleet = compare(PLACE, [node(0), node(1), node(2)])
    assert (fleet.findings, fleet.differences, fleet.missing) == ((), (), ())
    assert not fleet.is_bad(strict=True)


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"stack": {"torch": "2.1.0"}}, ("MM902", "error")),
        ({"stack": {}}, ("MM902", "error")),
        ({"machine": {"driver": "470"}}, ("MM903", "warning")),
        ({"machine": {"driver": "535", "kernel": "6.2"}}, ("MM903", "note")),
        ({"variable": {"NCCL_DEBUG": "INFO"}}, ("MM904", "warning")),
    ],
)
def test_a_node_that_differs_is_named_with_what_is_usual(facts, found):
    fleet = compare(PLACE, [node(0), node(1, **facts), node(2)])
    assert ids(fleet) == [found]
    assert fleet.findings[0].message.startswith("n1: ")
    assert [host for host, _ in fleet.differences[0].others] == ["n1"]
    assert fleet.is_bad() is (found[1] == "error")


def test_the_odd_one_is_the_first_node_where_the_others_agree():
    fleet = compare(PLACE, [node(0, stack={"torch": "9"}), node(1), node(2)])
    assert fleet.differences[0].usual == "1.13.1"
    assert fleet.differences[0].others == (("n0", "9"),)


def test_a_node_that_does_not_answer_is_named():
    fleet = compare(PLACE, [node(0), node(2)])
    assert ids(fleet) == [("MM901", "error")]
    assert fleet.missing[0].ranks == (1,)
    assert "n1 (rank 1) did not answer" in fleet.findings[0].message


def test_nodes_of_several_processes_are_missing_as_a_whole():
    there = Place("torchrun", 0, 8, 0, "n0", per_node=4)
    answers = [node(0), *(Node(rank, "n0") for rank in (1, 2, 3))]
    fleet = compare(there, answers)
    assert [(one.name, one.ranks) for one in fleet.missing] == [("node 1", (4, 5, 6, 7))]
    assert [one.host for one in fleet.nodes] == ["n0"]


def test_missing_nodes_of_several_processes_have_their_names():
    there = Place("Open MPI", 0, 6, 0, "n0", names=("n0", "n1", "n2"), per_node=2)
    fleet = compare(there, [node(0), Node(1, "n0")])
    assert [(one.name, one.ranks) for one in fleet.missing] == [("n1", (2, 3)), ("n2", (4, 5))]


def test_a_process_that_is_gone_is_told_of_its_own_node():
    there = Place("Open MPI", 0, 6, 0, "n0", names=("n0", "n1", "n2"), per_node=2)
    fleet = compare(there, [node(0), replace(node(2), host="n1"), Node(3, "n1")])
    assert [(one.name, one.ranks) for one in fleet.missing] == [("n0", (1,)), ("n2", (4, 5))]


def test_ranks_that_are_dealt_out_one_by_one_make_no_nodes():
    there = Place("Open MPI", 0, 6, 0, "n0", per_node=2)
    answers = [node(0), node(1), Node(3, "n0"), Node(4, "n1")]
    fleet = compare(there, answers)
    assert [(one.name, one.ranks) for one in fleet.missing] == [("", (2, 5))]
    uneven = replace(there, world=4, names=("n0", "n1", "n2"))
    fleet = compare(uneven, [node(0), Node(1, "n0")])
    assert [(one.name, one.ranks) for one in fleet.missing] == [("n1", (2,)), ("n2", (3,))]


@pytest.mark.parametrize(
    ("diagnosis", "strict", "is_bad"), [(SICK, False, True), (WORRIED, False, False), (WORRIED, True, True)]
)
def test_one_sick_node_makes_the_job_sick(diagnosis, strict, is_bad):
    fleet = compare(PLACE, [node(0), node(1), node(2, diagnosis)])
    assert fleet.is_bad(strict=strict) is is_bad
    assert fleet.sick(strict=strict) == (("n2",) if is_bad else ())


def test_a_node_without_an_environment_is_sick_and_the_others_are_compared():
    fleet = compare(PLACE, [node(0), Node(1, "n1", True, fault="/env does not exist"), node(2)])
    assert ids(fleet) == [("MM905", "error")]
    assert fleet.differences == ()
    assert fleet.sick() == ("n1",)


def test_processes_that_are_not_numbered_on_their_node_count_once():
    answers = [replace(node(rank), host="n0", is_first=False) for rank in (0, 1, 2)]
    assert [one.rank for one in compare(PLACE, answers).nodes] == [0]


def test_hosts_of_one_name_are_two_nodes():
    answers = [replace(node(rank), host="container") for rank in (0, 1, 2)]
    assert [one.host for one in compare(PLACE, answers).nodes] == [
        "container#0",
        "container#1",
        "container#2",
    ]


def test_findings_are_selected_and_ignored():
    answers = [node(0), node(1, stack={}, variable={"NCCL_DEBUG": "INFO"}), node(2)]
    assert ids(compare(PLACE, answers, ignore=["mm904"])) == [("MM902", "error")]
    assert ids(compare(PLACE, answers, select=["MM904"])) == [("MM904", "warning")]


def test_facts_are_those_that_matter(machine):
    gpus = tuple(Gpu(index, "NVIDIA A100", "sm_80", 80 << 30) for index in range(8))
    there = replace(machine, driver=Driver("535.104.05", "12.2", "nvml"), gpus=gpus)
    variables = {"NCCL_IB_HCA": "mlx5", "LD_LIBRARY_PATH": "/x", "HOME": "/home/alice", "HF_TOKEN": "secret"}
    facts = facts_of(there, HEALTHY, variables)
    assert facts["stack"] == {"Python": "3.10.1", "torch": "1.13.1"}
    assert facts["machine"]["GPUs"] == "8 x NVIDIA A100 sm_80 80 GiB"
    assert facts["variable"] == {"LD_LIBRARY_PATH": "/x", "NCCL_IB_HCA": "mlx5"}


def test_a_report_arrives_as_it_was_sent():
    sent = node(1, SICK, variable={"NCCL_DEBUG": "\u00fc"})
    assert Node.from_bytes(sent.to_bytes()) == sent
    quiet = Node(2, "n2")
    assert Node.from_bytes(quiet.to_bytes()) == quiet
    assert not quiet.is_report


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"rank": 1, "host": "a", "is_first": true, "facts": [], "diagnosis": null, "fault": ""}',
        b'{"rank": 1, "host": "a", "is_first": true, "facts": {}, "diagnosis": {}, "fault": ""}',
        b'{"rank": "x", "host": "a", "is_first": true, "facts": {}, "diagnosis": null, "fault": ""}',
    ],
)
def test_what_is_no_report_is_refused(content):
    with pytest.raises(ValueError, match="no report of a node"):
        Node.from_bytes(content)
