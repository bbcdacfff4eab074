"""Which action clips show (--recog), and when actions happen in videos (--det).

Writes DIR/<stem>.json with everything and DIR/<stem>.csv with a row per finding: task,
start_sec, end_sec, action, body, score, abstained, simulated, model; in subfolders as
those of a folder that is given, both sorted by time. Seconds count from the first
frame, by the file's time stamps. A recognizer looks at the whole file. Config and code
are those of test.py, and so are the scores.

Below --threshold a recognizer abstains (a row without action) and a detector drops the
segment (the JSON counts them). Skeleton models find the joints by themselves. Weights
trained on simulated data need --allow-simulated, and every row then says so.

Given again, the command goes on: what was made from the same file with the same models
and options is kept. --private uses no network, calls videos and their files by their
number (video-1.csv, in the order given) and leaves paths out of the JSON. Beside
these files nothing is written of a video without --page, --draw and --export.

Without --recog and --det the zoo's smallest detector is taken that was trained on real
data; where it has none, the message says what to do.

A detector with a dense head also writes DIR/<stem>.frames.csv: a row per moment with
its seconds and a column per action.

--page: DIR/<stem>.html, to look at, correct and export in any browser, without a
network, and DIR/index.html of all of them. It shows the video where it lies, and
DIR/<stem>.page.mp4, a copy, where browsers do not play it (and always, without sound,
with --private). docs/video_pages.md says what can be done there.

--draw: DIR/<stem>.draw.mp4, a copy of the same times, without sound, with the skeleton
(where a model sees joints), the labels that hold and a timeline drawn into it.

Exit status: 0 done, 2 bad usage, or some videos could not be read: they are listed, the
others are done."""

import argparse
import errno
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmma.cli.arguments import CKPT_HELP, declared, options_of
from mmma.engine.findings import (
    InferenceOptions,
    find_videos,
    made_before,
    summary,
    write_findings,
)
from mmma.taxonomy import check_choice

ARGUMENTS = f"""
videos VIDEO ... (path): file, or folder of files and subfolders
--recog CKPT: recognizer: {CKPT_HELP}
--det CKPT: detector: likewise
--config-recog CONFIG: its config (default: what the zoo or the checkpoint names)
--config-det CONFIG: its config (default: what the zoo or the checkpoint names)
--out DIR (path), required
--export TOOL ... = []: also DIR/TOOL/ with files of annotation tools, as export.py
  writes them
--page: also a page per video, and index.html
--draw: also a video per video, with what was found drawn into it
--top-k K (int) = 5: actions in the JSON, of clips
.threshold .device .private .allow_simulated .allow_extractor
# skeleton models
.skeletons .pose_backend .pose_models .persons .smooth"""
add_arguments = declared(ARGUMENTS, InferenceOptions)
_NO_MODEL = """give --recog, --det or both: which model is to look? The zoo has none
that real people taught, so none is taken by itself. Add `--det CKPT` to this command,
with a checkpoint that you were given, or train one: `python -m mmma train {}
--data-root ROOT`, then `--det WORK_DIR` (docs/own_data.md, docs/first_evening.md)."""


def run(args: argparse.Namespace) -> int:
    """Look at every video, and say what came of it."""
    if not args.recog and not args.det:
        _take_default(args)
    if args.top_k < 1:
        raise ValueError(f'--top-k {args.top_k}: use at least 1 action.')
    from mmma.convert.events import FORMATS
    from mmma.files import only_writer, try_out

    for tool in args.export:
        check_choice('--export', tool, tuple(FORMATS))
    try:
        try_out(args.out, folder=True)
        videos, notes = find_videos(args.videos, args.private)
        for note in notes:
            print(f'note: {note}', file=sys.stderr)
        with only_writer(args.out):
            return _run(args, videos)
    except Exception as error:
        ours = isinstance(error, ValueError) or getattr(error, 'errno', 0) is None
        if not args.private or ours:
            raise
        # A traceback may quote anything.
        name = getattr(error, 'strerror', None) or type(error).__name__
        print(f'error: {name}; without --private it says more', file=sys.stderr)
    return 2


def _run(args: argparse.Namespace, videos: dict[Path, tuple[str, str]]) -> int:
    from mmma.engine import infer

    options = vars(options_of(InferenceOptions, args))
    models = []
    for task, name, config in (
        ('rec', args.recog, args.config_recog),
        ('det', args.det, args.config_det),
    ):
        if name:
            models.append(infer.open_model(name, config=config, **options))
            infer.require_task(models[-1], task)
    if args.page:
        from mmma.reporting.pages import page_path, write_index

        for _, stem in videos.values():
            page_path(args.out, stem)  # refuses one of another program
    for note in dict.fromkeys(note for model in models for note in model.notes):
        print(f'note: {note}', file=sys.stderr)
    failures: list[str] = []
    todo: dict[Path, dict[str, Any]] = {}
    for video, (label, stem) in videos.items():
        with _noting(failures, label):
            facts = {} if args.private else {'path': str(video.absolute())}
            request = infer.describe_request(video, models, top_k=args.top_k, **facts)
            if made_before(args.out, stem, request, label):
                print(f'{label}: done before', file=sys.stderr)
                _make_more(args, video, videos[video], models, ())
            else:
                todo[video] = {**facts, 'top_k': args.top_k, 'request': request}
    for model in models if todo else ():
        model.build()
    for video, facts in todo.items():
        label, stem = videos[video]
        with _noting(failures, label):
            started = time.perf_counter()
            print(f'{label}: looking', file=sys.stderr)
            answers = infer.look_at(video, models, label, bar=True)
            write_findings(args.out, stem, answers, facts)
            spent_sec = time.perf_counter() - started
            print(f'{label}: {summary(answers)} ({spent_sec:.1f} s)')
            _make_more(args, video, videos[video], models, answers)
    if args.page:
        print(f'{write_index(args.out)}: open it in a browser')
    if args.export:
        from mmma.cli.export import export_answers

        stems = [stem for _, stem in videos.values()]
        print(export_answers(args.out, stems, args.export))
    for failure in failures if len(videos) > 1 else ():
        print(f'not done: {failure}', file=sys.stderr)
    return 2 if failures else 0


def _make_more(args: Any, video: Path, names: Any, models: Any, found: Any) -> None:
    """Make the page and the drawn video of a video, as far as they were asked for."""
    from mmma.reporting import drawn, pages

    (label, stem), what = names, 'page'
    try:
        with warnings.catch_warnings():  # of the file, which were told by its label
            warnings.simplefilter('ignore')
            if args.page:
                space = models[-1].space
                pages.write_page(args.out, stem, video, space, args.private)
            what = 'drawn video'
            if args.draw:
                drawn.draw_video(args.out, stem, video, models, found, label)
    except (ValueError, RuntimeError) as error:
        reason = str(getattr(error, 'reason', error)).replace(str(video), label)
        raise ValueError(f'{label}: no {what}: {reason}') from None


def _take_default(args: argparse.Namespace) -> None:
    """Take the zoo's smallest detector, or recognizer, that real people taught."""
    from mmma.hub.zoo import list_models

    flags, config, demo = {'det': 'det', 'rec': 'recog'}, 'CONFIG', ''
    known = [m for m in list_models() if m.kind == 'ours' and m.modality != 'Feature']
    known = [m for m in known if m.task in flags]
    known.sort(key=lambda m: (m.simulated, m.task, m.parameters or 0, m.name))
    for model in known[:1]:
        name, config, flag = model.name, model.config, flags[model.task]
        if not model.simulated:
            vars(args)[flag] = name
            told = f'note: --{flag} {name} is taken, trained on {model.data}'
            return print(f'{told}; others: download.py --list', file=sys.stderr)
        demo = f' To see how it works, add `--{flag} {name} --allow-simulated`: '
        demo += 'simulated people alone taught it; of real ones it knows nothing.'
    raise ValueError(' '.join(_NO_MODEL.format(config).split()) + demo)


@contextmanager
def _noting(failures: list[str], label: str) -> Iterator[None]:
    """Tell what is wrong with a video, and let the others go on."""
    try:
        yield
    except (ValueError, OSError) as error:
        code = getattr(error, 'errno', None)
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise
        # The system's errors quote paths.
        text = str(error) if code is None else f'{label}: {error.strerror}'
        failures.append(text)
        print(f'FAILED {text}', file=sys.stderr)
