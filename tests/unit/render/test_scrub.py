"""What is private goes, and what only looks like it stays."""

import getpass

import pytest

from mmsetup.render.scrub import Scrubber, of_this_machine

SCRUBBER = Scrubber(
    homes=("/home/alice", "/mnt/bulk/alice"),
    users=("alice", "art", "mmcv"),
    hosts=("gpu-07.cluster.example.org", "gpu-07"),
    spared=frozenset({"mmcv", "mmcv-full", "full", "torch"}),
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("https://alice:pa55@host/simple", "https://***@host/simple"),
        ("https://ghx@host/simple", "https://***@host/simple"),
        ("PIP_INDEX_URL=https://bob:p%40ss@host:8443/simple/", "PIP_INDEX_URL=https://***@host:8443/simple/"),
        ("git+https://oauth2:tok@git.example.org/a/b.git@v1", "git+https://***@git.example.org/a/b.git@v1"),
        ("https://bob:pa/ss#w?rd@host/simple", "https://***@host/simple"),
        ("https://bob:it's@host/x", "https://***@host/x"),
        ("https://bob:p@ss@host/x", "https://***@host/x"),
        ("https://a:b@one/x,https://c:d@two/y", "https://***@one/x,https://***@two/y"),
        ("index-url = https://user:@host/", "index-url = https://***@host/"),
    ],
)
def test_credentials_in_urls(text, cleaned):
    assert SCRUBBER.clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "https://download.pytorch.org/whl/cu117/torch-1.13.1%2Bcu117-cp310.whl",
        "git+https://github.com/open-mmlab/mmcv@v1.7.2",
        "http://localhost:8080/simple/mmcv@1",
        "tokenizers==0.15.2",
        "tokenizers>=0.15,<1",
        "KeyError: 'torch'",
        "std::token::kind",
        "undefined symbol: _ZN2at5emptyEv",
        "state-of-the-arts",
        "started in a part of partial articles",
        "mmcv 1.7.2, mmcv-full 1.7.2: mmcv/_ext.cpython-310.so",
        "malice and palices",
        "--ignore MM505  # key differences",
        "docker run -u 1000:1000 --user=0:0 image",
        "pip install -U torch:x and sudo -u nobody env",
        "sk-learn and pypi-x",
    ],
)
def test_what_is_not_private_stays(text):
    assert SCRUBBER.clean(text) == text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("HF_TOKEN=hf_abcdefghijklmnopqrst", "abcdefghijkl"),
        ("GITHUBTOKEN='x y z'", "x y z"),
        ('"api_key": "abc123"', "abc123"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtn/K7MDENG", "K7MDENG"),
        ("MYSQL_PASS=hunter2", "hunter2"),
        ("password: hunter2", "hunter2"),
        ("--password hunter2", "hunter2"),
        ("--client-secret=hunter2", "hunter2"),
        ("curl -u bob:hunter2 https://x", "hunter2"),
        ("curl -ubob:hunter2 https://x", "hunter2"),
        ("curl --proxy-user 'bob:hunter2' https://x", "hunter2"),
        ("echo 'machine x.org login bob password hunter2' > ~/.netrc", "hunter2"),
        ("Authorization: Basic aHVudGVyMg==", "aHVudGVyMg"),
        ("authorization=Bearer abc.def", "abc.def"),
        ("bearer abcdefgh", "abcdefgh"),
        ("https://host/x.whl?token=hunter2&x=1", "hunter2"),
        ("https://host/x?X-Amz-Signature=deadbeef", "deadbeef"),
        ("https://host/x?sig=deadbeef", "deadbeef"),
        ("seen ghp_abcdefghij0123456789 there", "ghp_abc"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCD"),
        ("pypi-AgEIcHlwaS5vcmcCJGFiY2Q", "AgEIcHlwaS5v"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig", "eyJzdWIi"),
    ],
)
def test_secrets_by_name_and_by_form(text, secret):
    cleaned = SCRUBBER.clean(text)
    assert secret not in cleaned
    assert "***" in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("/home/alice/env/bin/python", "~/env/bin/python"),
        ("/home/alice", "~"),
        ("file:///home/alice/x.whl", "file://~/x.whl"),
        ("LD_LIBRARY_PATH=/home/alice/lib:/opt/lib:/home/bob/lib", "LD_LIBRARY_PATH=~/lib:/opt/lib:~/lib"),
        ("/home/bob/env", "~/env"),
        ("/gpfs/home/carol/env", "~/env"),
        ("/Users/dave/env", "~/env"),
        (r"C:\Users\Eve\env", r"~\env"),
        ("/mnt/bulk/alice/env", "~/env"),
        ("/mnt/bulk/alice2/env", "/mnt/bulk/alice2/env"),
        ("/srv/work/alice/env", "/srv/work/<user>/env"),
        ("/opt/homestead/env", "/opt/homestead/env"),
    ],
)
def test_home_folders(text, cleaned):
    assert SCRUBBER.clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("alice@gpu-07", "<user>@<host>"),
        ("gpu-07.cluster.example.org: down", "<host>: down"),
        ("gpu-070 is another one", "gpu-070 is another one"),
        ("owner alice, group art", "owner <user>, group <user>"),
        ("alice_env and env-alice", "<user>_env and env-<user>"),
        ("mmcv@gpu-07", "<user>@<host>"),
    ],
)
def test_names_of_people_and_hosts(text, cleaned):
    assert SCRUBBER.clean(text) == cleaned


def test_cleaning_twice_changes_nothing_more():
    text = "PIP_INDEX_URL=https://a:b@host/simple /home/alice alice@gpu-07 --token abc HF_TOKEN=x"
    once = SCRUBBER.clean(text)
    assert SCRUBBER.clean(once) == once


def test_this_user_and_this_host_are_known(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "wilhelmine"))
    monkeypatch.setenv("USER", "wilhelmine")
    monkeypatch.setenv("HOSTNAME", "sirius.example.org")
    cleaned = of_this_machine().clean(f"{tmp_path}/wilhelmine/env of wilhelmine on sirius")
    assert cleaned == "~/env of <user> on <host>"


def test_a_user_without_a_name_is_no_obstacle(monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert of_this_machine().clean("torch 1.13.1") == "torch 1.13.1"


def test_names_that_everybody_has_stay():
    scrubber = Scrubber(users=("root", "user"), hosts=("localhost", "node"))
    assert scrubber.clean("root user localhost node") == "root user localhost node"
