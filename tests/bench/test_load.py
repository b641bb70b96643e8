"""Who used the processors: the accounts, on made-up readings and on this very process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bench.local import load
from bench.local.load import Account, between

STAT = "cpu  1000 20 300 9000 50 6 7 80 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"
TICK = os.sysconf("SC_CLK_TCK")


def test_the_machines_line_is_read_in_seconds():
    assert load.cpu_fields(STAT) == [ticks / TICK for ticks in (1000, 20, 300, 9000, 50, 6, 7, 80)]


def test_a_process_name_with_blanks_and_parentheses_does_not_shift_its_fields():
    fields = "S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 9 0"
    assert load.process_seconds(f"42 (a) b (c) {fields}") == (100 + 20 + 3 + 4) / TICK


def test_each_part_goes_to_whom_it_belongs():
    before = Account(100.0, 5.0, {1: 10.0, 2: 20.0, 3: 30.0, 4: 0.0})
    after = Account(110.0, 5.5, {1: 13.0, 2: 20.5, 3: 31.5, 4: 2.0})
    shares = between(before, after, 2.0, own=1, spinner=4)
    assert shares.own == 1.5
    assert shares.idle_workers == 1.0  # processes 2 and 3
    assert shares.spinner == 1.0
    assert shares.others == pytest.approx(1.5)  # 10 less 3, 2 and 2
    assert shares.stolen == 0.25


def shares(**changes):
    return load.Load(
        **({"own": 2.0, "idle_workers": 0.0, "spinner": 1.0, "others": 0.0, "stolen": 0.0} | changes)
    )


def test_own_work_and_a_spinner_on_purpose_do_not_contaminate():
    assert not shares().contaminated
    assert shares().as_dict()["contaminated"] is False


@pytest.mark.parametrize("part", ["others", "stolen", "idle_workers"])
def test_anything_else_contaminates(part):
    assert shares(**{part: 0.2}).contaminated


def test_rounding_of_the_kernels_accounts_is_no_negative_load():
    turn = between(Account(1.0, 0, {1: 1.0}), Account(1.5, 0, {1: 1.52}), 0.5, own=1)
    assert turn.others == 0


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="reads Linux's accounts")  # noqa: PTH110
def test_a_spinning_process_is_seen_and_a_sleeping_one_is_not():
    spinning = ready("while True: pass")
    sleeping = ready("time.sleep(60)")
    try:
        before, started = load.read([spinning.pid, sleeping.pid]), time.perf_counter()
        while True:  # on a busy machine a tenth of a second's work takes longer
            time.sleep(0.1)
            after, ended = load.read([spinning.pid, sleeping.pid]), time.perf_counter()
            if (
                after.by_process[spinning.pid] - before.by_process[spinning.pid] >= 0.1
                or ended - started > 30
            ):
                break
    finally:
        for process in (spinning, sleeping):
            process.kill()
            process.communicate()
    turn = between(before, after, ended - started, own=sleeping.pid, spinner=spinning.pid)
    assert turn.spinner * (ended - started) >= 0.1 - 1e-9
    assert turn.own * (ended - started) <= 2 / TICK


def ready(code: str) -> subprocess.Popen[bytes]:
    """A process that has started up."""
    code = f"import time\nprint(flush=True)\n{code}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_a_process_that_has_ended_counts_as_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert load.read([process.pid]).by_process == {process.pid: 0.0}
