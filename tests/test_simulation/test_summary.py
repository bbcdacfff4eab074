"""The summary."""

from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan
from mmma.simulation.summary import NEVER_A_BENCHMARK, summarize


def test_summary_of_small():
    lines = summarize(make_plan(SimulationOptions('small'))).splitlines()
    rows = [line.split() for line in lines]
    assert lines[0] == '4,977 trimmed clips'
    assert rows[2] == ['lab', '1,978', '704', '757', '3,439', '2.68', '229', '82', '0']
    assert rows[6][:6] == ['all', '2,897', '1,009', '1,071', '4,977', '2.62']
    assert lines[7].startswith('699 untrimmed videos with 2,486 instances, 3.56 each')
    assert lines[-1] == NEVER_A_BENCHMARK


def test_summary_of_one_task():
    text = summarize(make_plan(SimulationOptions('tiny', tasks=('det',))))
    assert 'trimmed clips' not in text
