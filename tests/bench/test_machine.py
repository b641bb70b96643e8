"""Who used the processors: made-up readings, and this very machine."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bench.local.machine import CpuTimes, Load, busy_core


def test_each_part_goes_to_whom_it_belongs():
    before = CpuTimes(100.0, 5.0, {1: 10.0, 2: 20.0, 3: 30.0, 4: 0.0})
    after = CpuTimes(110.0, 5.5, {1: 13.0, 2: 20.5, 3: 31.5, 4: 2.0})
    load = Load.between(before, after, 2.0, own=1, busy_core=4)
    assert load.own == 1.5
    assert load.idle_workers == 1.0  # processes 2 and 3
    assert load.busy_core == 1.0
    assert load.others == pytest.approx(1.5)  # 10 less 3, 2 and 2
    assert load.stolen == 0.25


def load(**changes):
    return Load(
        **({"own": 2.0, "idle_workers": 0.0, "busy_core": 1.0, "others": 0.0, "stolen": 0.0} | changes)
    )


def test_own_work_and_a_core_kept_busy_on_purpose_do_not_contaminate():
    assert not load().contaminated
    assert load().as_dict()["contaminated"] is False


@pytest.mark.parametrize("part", ["others", "stolen", "idle_workers"])
def test_anything_else_contaminates(part):
    assert load(**{part: 0.2}).contaminated


def test_rounding_of_the_kernels_accounts_is_no_negative_load():
    found = Load.between(CpuTimes(1.0, 0, {1: 1.0}), CpuTimes(1.5, 0, {1: 1.52}), 0.5, own=1)
    assert found.others == 0


def test_a_core_kept_busy_is_seen_and_a_sleeping_process_is_not():
    sleeping = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with busy_core(wanted=True) as busy:
        time.sleep(0.5)  # until both have started up
        before, started = CpuTimes.now([busy, sleeping.pid]), time.perf_counter()
        while True:  # on a busy machine a tenth of a second's work takes longer
            time.sleep(0.1)
            after, seconds = CpuTimes.now([busy, sleeping.pid]), time.perf_counter() - started
            if after.by_process[busy] - before.by_process[busy] >= 0.1 or seconds > 30:
                break
    sleeping.communicate()
    found = Load.between(before, after, seconds, own=sleeping.pid, busy_core=busy)
    assert found.busy_core * seconds >= 0.1 - 1e-9
    assert found.own * seconds <= 0.05
    assert after.busy - before.busy >= 0.09
    assert CpuTimes.now([busy, sleeping.pid]).by_process == {busy: 0.0, sleeping.pid: 0.0}  # both have ended


def test_no_core_is_kept_busy_unless_asked_for():
    with busy_core(wanted=False) as busy:
        assert busy is None
