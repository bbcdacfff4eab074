"""Every protection that SECURITY.md tells of has the test that it names."""

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def test_every_row_names_tests_that_are_there():
    text = (REPO / 'SECURITY.md').read_text('utf-8')
    sources = (p.read_text('utf-8') for p in (REPO / 'tests').rglob('test_*.py'))
    known = set(re.findall(r'^def (test_\w+)', '\n'.join(sources), re.M))
    rows = text.partition('## Not trusted')[2].partition('## Limits')[0].splitlines()
    rows = [row for row in rows if row.startswith('| ')][1:]
    named = [re.findall(r'`(test_\w+)`', row) for row in rows]
    assert len(rows) > 15
    assert all(named)
    assert not {name for row in named for name in row} - known
