"""Processes meet in a folder and over a connection, among old runs, strangers and those that never come."""

import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mmsetup.cli.doctor import Examination
from mmsetup.cli.doctor_fleet import Meeting, examine_fleet
from mmsetup.doctor.fleet.folder import Folder
from mmsetup.doctor.fleet.launcher import Place
from mmsetup.doctor.fleet.meet import meet
from mmsetup.doctor.fleet.node import MOST_BYTES, Node
from mmsetup.doctor.fleet.wire import Wire
from mmsetup.errors import NetworkError, RequestError


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def places():
    port = free_port()

    def make(world: int, **more) -> list[Place]:
        told = {"job": "j1", "address": "127.0.0.1", "port": port, **more}
        return [Place("torchrun", rank, world, 0, f"n{rank}", **told) for rank in range(world)]

    return make


@pytest.fixture(params=["folder", "wire"])
def channel(request, tmp_path):
    """Make the channel of a process: both kinds keep the same promises."""
    return lambda here: Folder(tmp_path, here, poll=0.02) if request.param == "folder" else Wire(here)


def together(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(call) for call in calls]]


def test_all_say_something_and_all_hear_the_same(channel, places):
    here = places(5)
    heard = {}

    def decide(answers):
        heard.update(answers)
        return 7

    followers = [lambda one=one: channel(one).follow(f"i am {one.rank}".encode(), 30) for one in here[1:]]
    assert together(lambda: channel(here[0]).lead(decide, 30), *followers) == [7, 7, 7, 7, 7]
    assert heard == {rank: f"i am {rank}".encode() for rank in range(1, 5)}


def test_others_may_come_before_the_first(channel, places):
    here = places(2)

    def late():
        time.sleep(1)
        return channel(here[0]).lead(len, 30)

    assert together(late, lambda: channel(here[1]).follow(b"early", 30)) == [1, 1]


def test_who_never_comes_does_not_hold_up_the_others(channel, places):
    here = places(3)
    began = time.monotonic()
    codes = together(
        lambda: channel(here[0]).lead(lambda answers: 10 + len(answers), 1.5),
        lambda: channel(here[2]).follow(b"here", 30),
    )
    assert codes == [11, 11]
    assert time.monotonic() - began < 10


def test_without_the_first_one_there_is_an_error_in_time(channel, places):
    with pytest.raises(NetworkError, match="told no result"):
        channel(places(2)[1]).follow(b"here", 1)


def test_a_long_report_arrives(channel, places):
    here = places(2)
    content = b"x" * (MOST_BYTES // 2)
    heard = []

    def decide(answers):
        heard.append(answers[1] == content)
        return 0

    together(lambda: channel(here[0]).lead(decide, 30), lambda: channel(here[1]).follow(content, 30))
    assert heard == [True]


def test_an_old_run_of_the_same_job_is_not_mixed_in(places, tmp_path):
    """Its answers and its verdict lie in the folder under the very name that this run has."""
    here = places(2)
    folder = Folder(tmp_path, here[0])
    rooms = folder._rooms()
    for name, files in (
        (
            "over",
            {
                "rank-1.json": {"number": "1", "content": "old"},
                "verdict.json": {"code": 3, "numbers": {"1": "1"}},
            },
        ),
        ("killed", {"rank-1.json": {"number": "1", "content": "old"}}),
    ):
        (rooms / name).mkdir(parents=True)
        for file, document in files.items():
            (rooms / name / file).write_text(json.dumps(document))
    heard = []

    def decide(answers):
        heard.append(dict(answers))
        return 5

    codes = together(
        lambda: Folder(tmp_path, here[0], poll=0.02).lead(decide, 30),
        lambda: Folder(tmp_path, here[1], poll=0.02).follow(b"new", 30),
    )
    assert codes == [5, 5]
    assert heard == [{1: b"new"}]
    assert sorted(room.name for room in rooms.iterdir()) == ["killed", "over"]


@pytest.mark.parametrize("other", [{"job": "j2"}, {"secret": "another"}])
def test_another_job_on_the_same_port_is_refused(places, other):
    here = places(2)
    stranger = replace(places(2)[1], **other)
    heard = {}

    def decide(answers):
        heard.update(answers)
        return 0

    def knock():
        with pytest.raises(NetworkError, match="another job answers there"):
            Wire(stranger).follow(b"wrong", 1.5)
        return Wire(here[1]).follow(b"right", 30)

    assert together(lambda: Wire(here[0]).lead(decide, 30), knock) == [0, 0]
    assert heard == {1: b"right"}


@pytest.mark.parametrize(
    "noise",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"mmsetup-fleet/1\n" + bytes(32) + bytes(32) + struct.pack("!I", 0xFFFFFFFF) + b"x" * 1000,
        b"\x00" * 100_000,
    ],
)
def test_noise_on_the_port_changes_nothing(places, noise):
    here = places(2)

    def disturb():
        for _ in range(100):
            try:
                with socket.create_connection((here[0].address, here[0].port), timeout=5) as line:
                    line.sendall(noise)
                break
            except OSError:
                time.sleep(0.05)
        return Wire(here[1]).follow(b"right", 30)

    assert together(lambda: Wire(here[0]).lead(len, 30), disturb) == [1, 1]


def test_those_who_say_nothing_do_not_keep_the_others_out(places):
    here = places(2)
    idle = []

    def crowd():
        deadline = time.monotonic() + 20
        while len(idle) < 40 and time.monotonic() < deadline:
            try:
                idle.append(socket.create_connection((here[0].address, here[0].port), timeout=5))
            except OSError:
                time.sleep(0.05)
        return Wire(here[1]).follow(b"right", 30)

    try:
        assert together(lambda: Wire(here[0]).lead(len, 30), crowd) == [1, 1]
    finally:
        for line in idle:
            line.close()


def test_a_message_that_is_too_long_is_not_read(places):
    here = places(2)

    def boast():
        with pytest.raises(NetworkError):
            Wire(here[1]).follow(b"x" * (MOST_BYTES + 1), 3)
        return 1

    assert together(lambda: Wire(here[0]).lead(len, 5), boast) == [0, 1]


def test_a_port_that_is_taken_is_told(places):
    (here,) = places(1)
    with socket.create_server(("", here.port)), pytest.raises(NetworkError, match="cannot be listened on"):
        Wire(here).lead(lambda answers: 0, 1)


def test_no_thread_listens_after_the_end(places):
    here = places(2)
    together(lambda: Wire(here[0]).lead(lambda answers: 0, 0.1), lambda: None)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            socket.create_server(("", here[0].port)).close()
            break
        except OSError:
            time.sleep(0.1)
    else:
        pytest.fail("the port is still taken")
    assert threading.active_count() < 50


def test_the_meeting_ends_with_one_code_for_all(places, tmp_path):
    here = places(3)
    shown = []

    def go(one, **what):
        own = Node(
            one.rank,
            one.host,
            True,
            {"stack": {"torch": what.get("torch", "1")}},
            fault=what.get("fault", ""),
        )
        return meet(one, own, folder=tmp_path, timeout=30, show=shown.append)

    codes = together(lambda: go(here[0]), lambda: go(here[1], fault="no environment"), lambda: go(here[2]))
    assert codes == [1, 1, 1]
    (fleet,) = shown
    assert fleet.sick() == ("n1",)


def test_a_report_that_is_none_is_a_sick_node(places, tmp_path):
    here = places(2)
    shown = []
    codes = together(
        lambda: meet(here[0], Node(0, "n0", True, {}, None), folder=tmp_path, timeout=30, show=shown.append),
        lambda: Folder(tmp_path, here[1]).follow(b"{}", 30),
    )
    assert codes == [1, 1]
    assert "no report of a node" in shown[0].nodes[-1].fault


def test_one_process_meets_nobody(places):
    (here,) = places(1)
    assert meet(here, Node(0, "n0", True), folder=None, timeout=1, show=lambda fleet: None) == 0


def test_without_an_address_a_folder_is_asked_for(places):
    here = replace(places(2)[1], address="")
    with pytest.raises(RequestError, match="MASTER_ADDR"):
        meet(here, Node(1, "n1"), folder=None, timeout=1, show=lambda fleet: None)


def test_what_cannot_meet_is_refused_before_anything_is_examined(monkeypatch):
    for name, value in {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_JOB_NODELIST", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    meeting = Meeting(None, 1.0, strict=False, json=False, junit=None)
    with pytest.raises(RequestError, match="MASTER_ADDR"):
        examine_fleet(lambda: pytest.fail("the node was examined"), Examination((), ()), meeting)
