"""What the variables of launchers say."""

import platform

import pytest

from mmsetup.doctor.fleet import place
from mmsetup.doctor.fleet.launcher import host_names
from mmsetup.errors import RequestError

TORCHRUN = {
    "RANK": "9",
    "WORLD_SIZE": "16",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "8",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "job7",
    "TORCHELASTIC_RESTART_COUNT": "2",
}
SRUN = {
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "3",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NODELIST": "gpu[01-03]",
    "SLURMD_NODENAME": "gpu02",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-node1-77@1",
}


def test_torchrun():
    here = place(TORCHRUN)
    assert (here.launcher, here.rank, here.world, here.local_rank, here.per_node) == ("torchrun", 9, 16, 1, 8)
    assert (here.address, here.port, here.job) == ("10.0.0.1", 29517, "job7.2")
    assert not here.works
    assert not here.leads
    assert here.host == platform.node()


def test_srun_tells_where_the_first_node_is():
    here = place(SRUN)
    assert (here.launcher, here.rank, here.world, here.works) == ("srun", 1, 3, True)
    assert (here.job, here.host, here.address) == ("4711.3", "gpu02", "gpu01")
    assert here.names == ("gpu01", "gpu02", "gpu03")
    assert here.port == place({**SRUN, "SLURM_PROCID": "0"}).port
    assert here.port != place({**SRUN, "SLURM_STEP_ID": "4"}).port


def test_open_mpi():
    here = place(OPEN_MPI)
    assert (here.launcher, here.rank, here.world, here.per_node) == ("Open MPI", 2, 4, 2)
    assert (here.job, here.address) == ("prterun-node1-77@1", "")


def test_pmi_without_a_local_rank_works_itself():
    here = place({"PMI_RANK": "1", "PMI_SIZE": "2"})
    assert (here.launcher, here.local_rank, here.works) == ("PMI", -1, True)


def test_the_innermost_launcher_counts():
    assert place({**SRUN, **OPEN_MPI}).launcher == "Open MPI"
    assert place({**SRUN, **OPEN_MPI, **TORCHRUN}).launcher == "torchrun"


def test_a_static_rendezvous_has_no_name_of_its_own():
    assert place({**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"}).job == ""
    assert place({**TORCHRUN, "MMSETUP_FLEET_JOB": "mine"}).job == "mine"


def test_the_port_can_be_named_and_stays_one():
    assert place({**TORCHRUN, "MMSETUP_FLEET_PORT": "4000"}).port == 4000
    assert place({**TORCHRUN, "MASTER_PORT": "65530"}).port == 65513
    with pytest.raises(RequestError):
        place({**TORCHRUN, "MMSETUP_FLEET_PORT": "70000"})


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RANK": "0"},
        {**TORCHRUN, "RANK": "16"},
        {**TORCHRUN, "RANK": "-1"},
        {**TORCHRUN, "RANK": "one"},
        {**TORCHRUN, "WORLD_SIZE": "9" * 30},
    ],
)
def test_what_makes_no_sense_is_refused(variables):
    with pytest.raises(RequestError):
        place(variables)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("login1", ("login1",)),
        ("a,b", ("a", "b")),
        ("gpu[1-3]", ("gpu1", "gpu2", "gpu3")),
        ("gpu[08-10,12],cpu1", ("gpu08", "gpu09", "gpu10", "gpu12", "cpu1")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("gpu[1-999999999]", ()),
        ("gpu[a-b]", ("gpu[a-b]",)),
    ],
)
def test_lists_of_hosts(text, names):
    assert host_names(text) == names
