"""Judging: from answers to observations, each cause once, and which static finding explains which failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmsetup.doctor.context import Context
from mmsetup.doctor.deep import DEEP_CHECKS
from mmsetup.doctor.deep.answers import Answer, Failure
from mmsetup.doctor.deep.children import START
from mmsetup.doctor.deep.explained import explanation
from mmsetup.doctor.deep.hearing import Hearing
from mmsetup.doctor.deep.judge import judge
from mmsetup.doctor.deep.postmortem import Place
from mmsetup.doctor.deep.questions import Question, lanes
from mmsetup.doctor.model import Finding
from mmsetup.probe import environment

IDS = [one.id for one in DEEP_CHECKS]
EXT = "/env/lib/python3.10/site-packages/mmcv/_ext.cpython-310-x86_64-linux-gnu.so"
IN_EXT = Place(EXT, f"{EXT}+0x1102", ("/usr/lib/libpython3.10.so.1.0",))


def finding(number, message, *evidence, severity="error"):
    return Finding(number, severity, "title", message, evidence, f"mend {number}")


def raised(what, *frames, root=""):
    return Failure("raised", what, root=root, frames=frames)


def killed(signal="SIGSEGV", place=IN_EXT):
    return Failure("signal", signal, frames=("/env/mmcv/ops/x.py:1 in <module>",), place=place)


@pytest.fixture
def context(site, machine, catalog):
    return Context(environment(site.prefix), machine, catalog)


@pytest.fixture
def judged(context):
    """Judge failures and answers by the name of the question."""

    def make(told: dict, findings=()):
        questions = [one for lane in lanes(context, IDS) for one in lane]
        assert set(told) <= {START, *(one.name for one in questions)}
        answers = [
            one if isinstance(one, Answer) else Answer(name, "failed", failure=one)
            for name, one in told.items()
        ]
        found = judge(context, questions, answers, findings)
        return [(number, one) for number, observed in sorted(found.items()) for one in observed]

    return make


def test_what_is_asked_of_a_stack(context):
    first, values, operators, groups = lanes(context, IDS)
    assert [one.name for one in first] == [
        "import numpy",
        "import cv2",
        "import torch",
        "import torchvision",
        "import mmcv",
        "import mmcv.ops",
        "import mmseg",
        "import mmseg.apis",
    ]
    # This mmcv has no runner, and there is no mmengine: nobody holds configs.
    assert [one.name for one in values] == ["arrays", "loader"]
    assert [one.name for one in operators] == ["ops on cpu"]
    assert [one.name for one in groups] == ["two processes by gloo"]


def test_only_what_concerns_the_chosen_checks_is_asked(context):
    assert [[one.name for one in lane] for lane in lanes(context, ["MM725"])] == [["loader"]]
    assert lanes(context, ["MM711"]) == []


def test_gpus_are_asked_one_by_one_unless_they_are_pretended(site, with_gpu, catalog):
    machine = with_gpu("sm_86")
    machine = replace(machine, gpus=(machine.gpus[0], replace(machine.gpus[0], index=1)))
    context = Context(environment(site.prefix), machine, catalog)
    names = [[one.name for one in lane] for lane in lanes(context, IDS)]
    assert names[3:] == [
        ["two processes by gloo", "two processes by nccl"],
        ["cuda:0", "ops on cuda:0"],
        ["cuda:1", "ops on cuda:1"],
    ]
    pretended = Context(environment(site.prefix), replace(machine, overrides=("a GPU",)), catalog)
    assert len(lanes(pretended, IDS)) == 4


def test_nothing_is_observed_where_all_is_well(judged):
    assert judged({START: Answer(START, "answered"), "arrays": Answer("arrays", "answered")}) == []


def test_what_is_absent_is_no_finding(judged):
    absent = Answer("two processes by gloo", "absent", reason="without gloo")
    assert judged({"two processes by gloo": absent}) == []


def test_one_cause_is_told_once(judged):
    why = raised("ImportError: libGL.so.1: cannot open shared object file", "/env/cv2/__init__.py:3 in f")
    ((number, one),) = judged({"import cv2": why, "import mmcv": why, "import mmseg": why, "ops on cpu": why})
    assert (number, one.severity) == ("MM712", "error")
    assert one.message.startswith("importing cv2 raises ImportError: libGL.so.1")
    assert one.evidence[-1].startswith(
        "fails for the same reason: importing mmcv, importing mmseg, comparing"
    )


def test_two_causes_are_two_findings(judged):
    told = {
        "import cv2": raised("ImportError: a", "a:1 in b"),
        "import mmseg": raised("KeyError: b", "c:1 in d"),
    }
    assert [number for number, _ in judged(told)] == ["MM712", "MM712"]


def test_a_question_whose_module_does_not_import_has_the_cause_of_the_import(judged):
    told = {
        "import numpy": raised("ImportError: no", "n:1 in m"),
        "arrays": raised("RuntimeError: Numpy", ""),
    }
    assert [number for number, _ in judged(told)] == ["MM712"]


def test_a_signal_names_library_and_frames_wherever_it_comes(judged):
    ((number, one),) = judged({"import mmcv.ops": killed(), "ops on cpu": killed()})
    assert (number, one.severity) == ("MM713", "error")
    assert one.message == (
        "importing mmcv.ops: the process was killed by SIGSEGV in mmcv/_ext.cpython-310-x86_64-linux-gnu.so"
    )
    assert f"in {EXT}+0x1102" in one.evidence
    assert "at /env/mmcv/ops/x.py:1 in <module>" in one.evidence
    ((number, _),) = judged({"loader": killed()})
    assert number == "MM713"


def test_it_is_said_where_a_library_could_not_be_seen(judged):
    ((_, one),) = judged({"import torch": killed(place=None)})
    assert one.message == "importing torch: the process was killed by SIGSEGV"
    assert "in which library could not be seen" in one.evidence


def test_the_killing_of_the_system_is_about_memory(judged):
    ((_, one),) = judged({"loader": killed("SIGKILL", None)})
    assert one.remedy.startswith("free memory")


@pytest.mark.parametrize(
    ("line", "remedy"), [("OSError: AF_UNIX path too long", "TMPDIR"), ("Too many open files", "ulimit")]
)
def test_words_that_name_the_cause_name_the_remedy(judged, line, remedy):
    ((_, one),) = judged({"loader": Failure("hang", "it was not done after 60 s", last_lines=(line,))})
    assert one.remedy.startswith(remedy)


def test_a_hang_takes_what_was_not_asked_with_it(judged):
    hang = Failure("hang", "it was not done after 60 s", frames=("/x/lock.py:3 in wait",))
    unasked = Answer("import mmseg", "unasked", reason="importing mmcv does not come to an end")
    ((number, one),) = judged({"import mmcv": hang, "import mmseg": unasked})
    assert (number, one.message) == ("MM714", "importing mmcv: it was not done after 60 s")
    assert one.evidence == ("at /x/lock.py:3 in wait", "fails for the same reason: importing mmseg")
    ((_, one),) = judged({"import mmcv": replace(hang, place=IN_EXT)})
    assert one.message.endswith("in mmcv/_ext.cpython-310-x86_64-linux-gnu.so")
    waits = Place("/usr/lib/libc.so.6", "/usr/lib/libc.so.6+0x10", ())
    ((_, one),) = judged({"import mmcv": replace(hang, place=waits)})
    assert one.message == "importing mmcv: it was not done after 60 s"
    ((number, _),) = judged({"loader": hang})
    assert number == "MM725"


def test_what_only_some_need_is_a_warning(judged):
    ((number, one),) = judged({"two processes by gloo": raised("RankError: process 0: no interface")})
    assert (number, one.severity) == ("MM726", "warning")


def measured(op, error, state="measured", detail=""):
    return {"op": op, "device": "cpu", "state": state, "errors": {"forward": error}, "detail": detail}


def test_operators_are_judged_by_the_thresholds_of_the_smoke_run(judged):
    ops = [
        measured("nms", 3.0),
        measured("roi_align", 1e-7),
        measured("sigmoid_focal_loss", 0.0, "unavailable", "not found"),
    ]
    ((number, one),) = judged({"ops on cpu": Answer("ops on cpu", "answered", measured={"ops": ops})})
    assert (number, one.message) == ("MM721", "nms on cpu does not give what torchvision gives")
    assert one.evidence == ("nms on cpu: differs from torchvision; largest error in forward (3)",)


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("Error in sitecustomize; set PYTHONVERBOSE for traceback:", "warning"),
        ("Error processing line 1 of /env/x.pth:", "warning"),
        ("welcome", "note"),
    ],
)
def test_what_is_printed_at_the_start(judged, line, severity):
    ((number, one),) = judged({START: Answer(START, "answered", measured={"printed": (line,)})})
    assert (number, one.severity, one.evidence) == ("MM711", severity, (line,))


def test_an_interpreter_that_does_not_start(judged):
    ((number, one),) = judged({START: Failure("exit", "exit status 1", last_lines=("no encodings",))})
    assert (number, one.severity) == ("MM711", "error")
    assert one.evidence == ("it said: no encodings",)


def test_an_error_that_explains_a_failure_makes_it_a_note(judged):
    why = raised(
        "ModuleNotFoundError: No module named 'mmcv._ext'", "/env/mmcv/utils/ext_loader.py:1 in load"
    )
    told = finding("MM201", "mmcv has no _ext, so import mmcv.ops fails", "/env/mmcv: no file _ext*.so")
    ((number, one),) = judged({"import mmcv.ops": why}, [told])
    assert (number, one.severity, one.remedy) == ("MM712", "note", "mend MM201")
    assert one.message.endswith("as MM201 explains")


def test_a_warning_that_explains_a_failure_is_proven_by_it(judged):
    why = raised("RuntimeError: Numpy is not available", "")
    told = finding("MM402", "numpy 2.2.6 is outside <2", severity="warning")
    ((number, one),) = judged({"arrays": why}, [told])
    assert (number, one.severity) == ("MM722", "error")
    assert one.evidence[0] == "MM402 explains it: numpy 2.2.6 is outside <2"


STATIC = [
    finding("MM105", "1 compiled file(s) differ", "/env/cv2/cv2.abi3.so: 10 bytes, recorded 20"),
    finding("MM111", "mmcv-full needs addict, which is not installed"),
    finding("MM112", "mmsegmentation imports ftfy, which is not installed"),
    finding("MM204", "mmcv/_ext needs 3 name(s)", EXT, "missing: _ZN3c10abc"),
    finding("MM402", "yapf 0.43.0 is outside <0.40.2: FormatCode"),
    finding("MM131", "PYTHONPATH (/other) comes first", "mmcv: /other/mmcv has no compiled _ext"),
    finding("MM501", "cv2 needs libGL.so.1, which is nowhere"),
    finding("MM601", "3 distribution(s) are not as recorded", "addict 1 is gone"),
    finding("MM511", "there is little shared memory", severity="warning"),
]


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (raised("ModuleNotFoundError: No module named 'addict'"), "MM111"),
        (raised("ModuleNotFoundError: No module named 'ftfy'"), "MM112"),
        (raised("ImportError: libGL.so.1: cannot open shared object file"), "MM501"),
        (raised(f"ImportError: {EXT}: undefined symbol: _ZN3c10abc"), "MM204"),
        (raised(f"ImportError: {EXT}: undefined symbol: _ZN3c10another"), "MM204"),
        (raised("TypeError: FormatCode() got an unexpected keyword argument 'verify'"), "MM402"),
        (raised("ImportError: /env/cv2/cv2.abi3.so: file too short"), "MM105"),
        (raised("RuntimeError: worker is killed by signal: Bus error. out of shared memory"), "MM511"),
        (killed(place=Place(EXT, "", ())), "MM204"),
        (raised("ModuleNotFoundError: No module named 'regex'"), ""),
        (raised("ModuleNotFoundError: No module named 'add'"), ""),
        (raised("KeyError: 'x'", "/env/mmseg/y.py:1 in z"), ""),
        (raised("KeyError: 'x'", "/other/mmcv/utils/y.py:1 in z"), "MM131"),
        (raised("KeyError: 'x'", "/other/mmcv2/y.py:1 in z"), ""),
    ],
)
def test_which_finding_explains_a_failure(failure, number):
    found = explanation(failure, STATIC)
    assert (found.id if found else "") == number


def heard(*lines, stream="stderr"):
    hearing = Hearing()
    hearing.take("stdout", '{"event": "hello", "pid": 1}')
    hearing.take("stdout", '{"event": "ask", "question": "import x"}')
    for line in lines:
        hearing.take(stream, line)
    return hearing


def test_frames_are_those_of_the_thread_that_died():
    hearing = heard(
        "terminate called",
        "Fatal Python error: Aborted",
        "",
        "Thread 0x00007f5d29bdcb80 (most recent call first):",
        '  File "/a/other.py", line 1 in waits',
        "",
        "Current thread 0x00007f5d29bdcb81 [name] (most recent call first):",
        '  File "<frozen importlib._bootstrap>", line 228 in _call',
        '  File "/a/deep.py", line 3 in dies',
        '  File "/m/payload/doctor/deep_questions.py", line 3 in ask',
        "",
        "Extension modules: numpy (total: 1)",
    )
    assert hearing.fatal == "SIGABRT"
    assert hearing.frames == ("/a/deep.py:3 in dies",)
    assert hearing.last_lines == ("terminate called",)


def test_a_dump_that_comes_before_the_question_is_kept():
    hearing = heard(
        "Fatal Python error: Aborted",
        "Current thread 0x00007f5d29bdcb81 (most recent call first):",
        '  File "/a/deep.py", line 3 in dies',
    )
    hearing.take("stdout", '{"event": "ask", "question": "import y"}')
    assert hearing.frames == ("/a/deep.py:3 in dies",)


def test_frames_of_a_hang_are_those_of_the_main_thread():
    hearing = heard(
        "Timeout (0:00:02)!",
        "Thread 0x00007f5d29bdcb80 (most recent call first):",
        '  File "/a/other.py", line 1 in waits',
        "Thread 0x00007f5d29bdcb81 (most recent call first):",
        '  File "/a/main.py", line 9 in waits',
    )
    assert (hearing.fatal, hearing.frames) == ("", ("/a/main.py:9 in waits",))


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"event": []}',
        '{"event": "other"}',
        '{"event": "answer", "question": "another", "state": "answered", "seconds": 1}',
        '{"event": "answer", "question": "import x", "state": "answered"}',
        '{"event": "answer", "question": "import x", "state": "answered", "seconds": "1"}',
    ],
)
def test_what_is_no_event_changes_nothing(line):
    hearing = heard(line, stream="stdout")
    assert (hearing.current, hearing.answers, hearing.ended) == ("import x", [], False)


def test_a_question_words_its_job():
    one = Question("ops on cpu", "ops", "about", (), (), (("device", "cpu"),))
    assert one.job == {"name": "ops on cpu", "kind": "ops", "device": "cpu"}
