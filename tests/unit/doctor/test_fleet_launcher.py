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
# As they were seen, less what is not read: Open MPI 4.1.4, Hydra of MPICH 4.0.2 and Slurm 22.05.8, three hosts
# with two processes each, rank 3 where nothing else is said.
REAL_SRUN = {
    "SLURMD_NODENAME": "dl1",
    "SLURM_GTIDS": "2,3",
    "SLURM_JOB_ID": "1",
    "SLURM_JOB_NODELIST": "dl[0-2]",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NPROCS": "6",
    "SLURM_NTASKS": "6",
    "SLURM_PROCID": "3",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "dl[0-2]",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
}
# mpirun --host dl0:2,dl1:2,dl2:2 -np 6
REAL_OPEN_MPI = {
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_NODE_RANK": "1",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "6",
    "OMPI_MCA_ess_base_jobid": "4208394241",
    "OMPI_MCA_orte_hnp_uri": "4208394240.0;tcp://10.78.0.1:56869",
    "OMPI_MCA_orte_node_regex": "dl[1:0-2]@0(3)",
    "OMPI_UNIVERSE_SIZE": "6",
    "PMIX_HOSTNAME": "dl1",
    "PMIX_NAMESPACE": "4208394241",
    "PMIX_RANK": "3",
}
# mpirun -np 6 in a batch script: rank 0 has the variables of the script, rank 3 those of a step without its host.
REAL_OPEN_MPI_IN_SLURM = {
    0: {
        **REAL_OPEN_MPI,
        "OMPI_COMM_WORLD_RANK": "0",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
        "SLURMD_NODENAME": "dl0",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "dl[0-2]",
        "SLURM_LOCALID": "0",
        "SLURM_NTASKS": "6",
        "SLURM_PROCID": "0",
    },
    3: {
        **REAL_OPEN_MPI,
        "SLURMD_NODENAME": "dl1",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "dl[0-2]",
        "SLURM_LOCALID": "0",
        "SLURM_NTASKS": "6",
        "SLURM_PROCID": "0",
        "SLURM_STEP_ID": "1",
        "SLURM_STEP_NODELIST": "dl[1-2]",
    },
}
REAL_HYDRA = {
    "MPIR_CVAR_CH3_INTERFACE_HOSTNAME": "dl0",
    "MPI_LOCALNRANKS": "2",
    "MPI_LOCALRANKID": "1",
    "PMI_FD": "8",
    "PMI_RANK": "1",
    "PMI_SIZE": "4",
}
# mpiexec.hydra -n 6 in a batch script: the name of the first node everywhere, and the proxy's number for a rank.
REAL_HYDRA_IN_SLURM = {
    "MPI_LOCALNRANKS": "2",
    "MPI_LOCALRANKID": "1",
    "PMI_RANK": "3",
    "PMI_SIZE": "6",
    "SLURMD_NODENAME": "dl0",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "dl[0-2]",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "6",
    "SLURM_PROCID": "1",
    "SLURM_STEP_ID": "3",
    "SLURM_STEP_NODELIST": "dl[0-2]",
}
# srun --mpi=pmi2 -N2 -n4
REAL_PMI2 = {
    "PMI_FD": "13",
    "PMI_JOBID": "5.0",
    "PMI_RANK": "3",
    "PMI_SIZE": "4",
    "SLURMD_NODENAME": "dl1",
    "SLURM_JOB_ID": "5",
    "SLURM_JOB_NODELIST": "dl[0-1]",
    "SLURM_LOCALID": "1",
    "SLURM_MPI_TYPE": "pmi2",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "dl[0-1]",
}
# torchrun --standalone --nproc-per-node 2 of torch 1.13
REAL_TORCHRUN = {
    "GROUP_RANK": "0",
    "GROUP_WORLD_SIZE": "1",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "44481",
    "RANK": "1",
    "ROLE_NAME": "default",
    "ROLE_RANK": "1",
    "ROLE_WORLD_SIZE": "2",
    "TORCHELASTIC_MAX_RESTARTS": "0",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_RUN_ID": "4e3f1f82-a86c-4fe2-9fc3-9037a6e996b2",
    "TORCHELASTIC_USE_AGENT_STORE": "False",
    "WORLD_SIZE": "2",
}


@pytest.mark.parametrize(
    ("variables", "launcher", "numbers", "job", "address"),
    [
        (REAL_SRUN, "srun", (3, 6, 1), "1.0", "dl0"),
        (REAL_PMI2, "srun", (3, 4, 1), "5.0", "dl0"),
        (REAL_OPEN_MPI, "Open MPI", (3, 6, 1), "4208394241", ""),
        (REAL_OPEN_MPI_IN_SLURM[0], "Open MPI", (0, 6, 0), "4208394241", "dl0"),
        (REAL_OPEN_MPI_IN_SLURM[3], "Open MPI", (3, 6, 1), "4208394241", "dl0"),
        (REAL_HYDRA, "PMI", (1, 4, 1), "", ""),
        (REAL_HYDRA_IN_SLURM, "PMI", (3, 6, 1), "7", "dl0"),
        (REAL_TORCHRUN, "torchrun", (1, 2, 1), "4e3f1f82-a86c-4fe2-9fc3-9037a6e996b2.0", "localhost"),
    ],
)
def test_what_real_launchers_say(variables, launcher, numbers, job, address):
    here = place(variables)
    assert (here.launcher, (here.rank, here.world, here.local_rank)) == (launcher, numbers)
    assert (here.job, here.address) == (job, address)


def test_all_processes_of_mpirun_in_a_batch_script_meet_in_one_place():
    first, other = (place(variables) for variables in REAL_OPEN_MPI_IN_SLURM.values())
    assert (first.job, first.address, first.port) == (other.job, other.address, other.port)
    assert first.names == other.names == ("dl0", "dl1", "dl2")


def test_the_name_of_the_first_node_is_not_that_of_all():
    assert place(REAL_HYDRA_IN_SLURM).host == platform.node()
    assert place(REAL_SRUN).host == "dl1"


def test_processes_of_one_node_need_no_address():
    one_node = {"OMPI_COMM_WORLD_LOCAL_SIZE": "6"}
    assert place({**REAL_OPEN_MPI, **one_node}).address == "127.0.0.1"
    assert place({**REAL_HYDRA, "PMI_SIZE": "2"}).address == "127.0.0.1"
    assert place({**REAL_OPEN_MPI, **one_node, "MASTER_ADDR": "dl0"}).address == "dl0"
    assert place({**REAL_SRUN, "SLURM_STEP_NODELIST": "dl1"}).address == "127.0.0.1"


@pytest.mark.parametrize(("text", "count"), [("2(x3)", 2), ("1", 1), ("2,1(x2)", 0), ("2(x2),1", 0), ("", 0)])
def test_slurm_counts_the_processes_of_a_node(text, count):
    assert place({**REAL_SRUN, "SLURM_STEP_TASKS_PER_NODE": text}).per_node == count


def test_torchrun_started_by_several_steps_is_one_job():
    static = {**TORCHRUN, "TORCHELASTIC_RUN_ID": "none"}
    jobs = {place({**SRUN, **static, "SLURM_STEP_ID": step}).job for step in ("0", "1")}
    assert jobs == {"4711"}


def test_a_port_of_its_own_choice_is_none_that_linux_hands_out():
    ports = {place({**SRUN, "SLURM_JOB_ID": str(job)}).port for job in range(200)}
    assert len(ports) > 150
    assert max(ports) < 32_768


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


@pytest.mark.parametrize("variables", [{}, {**TORCHRUN, "RANK": "16"}])
def test_torchrun_of_every_torch_takes_what_the_remedy_says(variables):
    """That of torch 1.13 knows no ``--no-python``."""
    with pytest.raises(RequestError) as caught:
        place(variables)
    words = caught.value.remedy.replace(",", " ").split()
    assert "--no_python" in words
    assert not {"--no-python", "--nproc-per-node"} & {*words}
