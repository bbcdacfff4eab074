"""The summary."""

from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan
from mmma.simulation.summary import NEVER_A_BENCHMARK, summarize


def test_summary_of_full():
    lines = summarize(make_plan(SimulationOptions('full'))).splitlines()
    rows = [line.split() for line in lines]
    lab = ['lab', '15,820', '5,636', '6,053', '27,509', '2.68', '229', '82', '0']
    assert rows[2] == lab
    assert rows[6][:7] == ['all', '23,176', '8,073', '8,567', '39,816', '2.62', '454']
    assert lines[7].startswith('11,180 untrimmed videos with 39,758 instances, 3.56')
    assert lines[-1] == NEVER_A_BENCHMARK


def test_summary_of_one_task():
    text = summarize(make_plan(SimulationOptions('tiny', tasks=('det',))))
    assert 'trimmed clips' not in text
