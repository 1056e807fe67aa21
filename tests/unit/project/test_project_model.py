"""What is shown of a line of a project."""

import pytest

from mmsetup.project.model import Text


@pytest.mark.parametrize("address", ["https://user:s3cret", "https://user:s3/cret", "https://t0kens3cret"])
def test_a_line_is_not_cut_within_a_password(address):
    """Who takes passwords out of a report knows them by the @ behind them."""
    line = f"RUN pip install {'x' * (191 - len(address) - 10)} {address}{'y' * 40}@host/simple mmcv"
    shown = Text("Dockerfile", (line,)).clue("", 1, "").text
    assert shown.endswith("://...")
    assert "s3" not in shown


@pytest.mark.parametrize("length", [10, 200, 400])
def test_other_lines_are_cut_at_their_length(length):
    line = "https://user:word@host/a " + "x" * (length - 25 if length > 25 else 0)
    shown = Text("a.sh", (line,)).clue("", 1, "").text
    assert shown == (line.strip() if len(line) <= 200 else line[:197] + "...")
