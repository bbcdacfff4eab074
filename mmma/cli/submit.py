"""Write a submission to the Micro-Action Challenge; needs no torch.

mac2024, mac2025 and mac2026 take a score file of the 52 actions of MA-52, mmad and
mac2026 detections of them in ActivityNet style. OUT.zip holds prediction.csv and is
read again and checked. --expect LIST, the official list of the clips or videos, has
every name checked. docs/challenge.md has the way from the download to this file."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmma.cli.arguments import declared
from mmma.data.clips import split_name
from mmma.evaluation.recognition import BODY_SCORES
from mmma.evaluation.scores import scale_notes
from mmma.reporting import submission
from mmma.taxonomy import load_label_space

_CLIP_HELP = {
    'mac2024': 'recognition, id,pred_label_1 (body),pred_label_2 (action)',
    'mac2025': 'recognition, vid,action_pred_1..5,body_pred_1..5',
    'mac2026': 'recognition as mac2025, or of a .json detection as mmad --header 2026; '
    'both as a participant wrote them: compare with the sample of the server',
}
_FILES = """
scores SCORES (path): {}
out OUT.zip (out)
--expect LIST (path): official names, text or CSV, as {}"""
_CLIPS = (
    _FILES.format('scores.npz or .csv, (N, 52)', 'test_list_videos.txt')
    + f"""
--body-from {{{','.join(BODY_SCORES)}}} = top1: body classes from sums of action scores,
  the best action of each group (default, as evaluate.py rec --as mac), or body_scores
  of the file"""
)
_SEGMENTS = (
    _FILES.format('detections, ActivityNet JSON', 'test.csv')
    + f"""
--header {{{','.join(submission.HEADERS)}}} = 2025: names of the columns"""
)
_TOP = """
--top K (int): best detections of each video (default: all)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per server."""
    servers = parser.add_subparsers(dest='server', metavar='SERVER', required=True)
    for name, text in _CLIP_HELP.items():
        clips = servers.add_parser(name, help=text, description=text)
        declared(_CLIPS + _TOP * (name == 'mac2026'))(clips)
        clips.set_defaults(submit=_submit_clips, header='2026')
    text = 'detection, video_id,t_start,t_end,class,score'
    mmad = servers.add_parser('mmad', help=text, description=text)
    declared(_SEGMENTS + _TOP)(mmad)
    mmad.set_defaults(submit=_submit_segments)


def run(args: argparse.Namespace) -> int:
    """Run the sub-command of the server."""
    submission.check_suffix(args.out)
    takes = 'detections' if args.server == 'mmad' else 'scores of clips'
    kinds = {'.json': 'detections', '.npz': 'scores of clips'}
    given = kinds.get(args.scores.suffix.lower(), takes)
    if args.server == 'mac2026' and given == 'detections':
        return _submit_segments(args)
    if given != takes:
        clips = given != 'detections'
        other = 'mac2024, mac2025, mac2026' if clips else 'mac2026 or mmad'
        told = f'{args.server} takes {takes}; {given} go to {other}'
        raise ValueError(f'{args.scores}: {told}')
    return int(args.submit(args))


def _submit_clips(args: argparse.Namespace) -> int:
    if getattr(args, 'top', None) is not None:
        raise ValueError('--top is of detections (.json): leave it out')
    space = load_label_space('ma52')
    table = submission.read_ma52_scores(args.scores)
    told = 'sums of body groups mean nothing'
    for note in scale_notes(table.scores, args.scores, told):
        _warn(note)
    found = _official(args, table.names)
    if found is None:
        own = submission.unique_stems(table.names).values()
        found = {''.join(split_name(name)): name for name in own}
    names = tuple(found)
    table = replace(table.select(list(found.values())), names=names)
    test, challenge = submission.CLIP_COUNTS
    if len(names) not in (test, challenge):
        wanted = f'{test} (MA-52 test) or {challenge} (challenge)'
        _warn(f'{len(names)} clips; the servers expect {wanted}')
    layout = submission.clip_layout(args.server, space)
    rows = list(submission.clip_rows(table, args.server, args.body_from, space))
    submission.write_archive(args.out, layout.header, rows)
    count = submission.check_archive(args.out, layout, table.names)
    _report(args, [layout.header, *rows], f'{count} clips, body from {args.body_from}')
    return 0


def _submit_segments(args: argparse.Namespace) -> int:
    space = load_label_space('ma52')
    videos = submission.read_segments(args.scores, space)
    stems = submission.unique_stems
    found = _official(args, list(videos)) or {n: n for n in stems(videos).values()}
    videos = {submission.stem(new): videos[old] for new, old in found.items()}
    expected = submission.VIDEO_COUNT
    if len(videos) != expected:
        _warn(f'{len(videos)} videos; the MMA-52 test subset has {expected}')
    empty = [name for name, detections in videos.items() if not detections]
    if empty:
        some = submission.first_of(empty)
        _warn(f'{len(empty)} videos without a detection, and so a row: {some}')
    layout = submission.segment_layout(args.header, space)
    rows = list(submission.segment_rows(videos, args.top))
    submission.write_archive(args.out, layout.header, rows)
    filled = [name for name, detections in videos.items() if detections]
    count = submission.check_archive(args.out, layout, filled)
    top = f', at most {args.top} per video' if args.top else ''
    told = f'{count} segments of {len(filled)} videos{top}'
    _report(args, [layout.header, *rows], told)
    return 0


def _official(args: argparse.Namespace, names: Sequence[str]) -> dict[str, str] | None:
    """Official name to the file's name, in official order; None without a list."""
    if args.expect is None:
        _warn(
            'no --expect LIST: not checked that every official name is there, that no '
            'other is, and their order; names and order are those of the file'
        )
        return None
    found = submission.match_names(names, submission.read_expected(args.expect))
    place = submission.first_disorder(names, list(found.values()))
    if place is not None:
        _warn(
            f'rows put into the order of {args.expect}: the file differs from row '
            f'{place + 1} on'
        )
    return found


def _report(args: argparse.Namespace, rows: Sequence[Sequence[Any]], what: str) -> None:
    checked = f'names as in {args.expect}' if args.expect else 'names not checked'
    print(f'{args.out}: prediction.csv, {what}; {checked}; read again, no fault found')
    for row in rows[:4]:
        print('  ' + ','.join(map(str, row)))
    print(f'sha256 {hashlib.sha256(args.out.read_bytes()).hexdigest()}')


def _warn(text: str) -> None:
    print(f'warning: {text}', file=sys.stderr)
