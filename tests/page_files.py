"""Answers that no model gave, and their pages, for tests."""

from video_files import make_video, moving_frames

from mmma.engine.findings import Answer, Finding, ModelCard, write_findings
from mmma.packets import index_video
from mmma.reporting.pages import write_page
from mmma.taxonomy import load_label_space

HOSTILE = (
    '</script><img src=x onerror=window.hacked=1>',
    '"\'><script>window.hacked=1</script>',
    '<!-- {{title}} ${hacked} &lt; &amp;',
    "=cmd|' /C calc'!A0",
    '\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627',
    'emoji \U0001f9d1\u200d\U0001f9bd\U0001f44b',
    'x' * 180,
    'a, "b"; c',
)


def answer(video, space, notes=()):
    """An answer of a detector about a video: overlapping segments of several groups."""
    index = index_video(video)
    length = index.duration_sec
    hashes = 'mma82-simulated', True, None
    card = ModelCard('det', 'det', 'RGB', '0', 'c', '0', space.name, *hashes)
    rows = []
    for i, action in enumerate(space.actions[:15]):
        body = space.bodies[space.body_of[i]] if space.bodies else None
        start = (i % 5) * length / 8
        rows.append(
            Finding(start, start + length / 3, action, body, round(0.95 - i / 20, 2))
        )
    facts = {'frames': len(index.pts), 'fps': len(index.pts) / length}
    facts |= {
        'duration_sec': length,
        'first_frame_sec': float(index.pts[0] * index.time_base),
    }
    lists = tuple(rows[:10]), (), False, 0.5, len(rows[10:]) + 3, tuple(notes)
    return Answer(card, facts, *lists, below=tuple(rows[10:]))


def look_at_nothing(
    folder, name='one', space=None, notes=(), suffix='.mp4', codec='libx264', stem='',
    private=False, make=True, frames=9, pictures=None, **how,
):  # fmt: skip
    """Make a video and the page that a model's answer would have.

    Returns:
        Its page, in ``out``; the video; the label space.
    """
    video = folder / 'videos' / f'{name}{suffix}'
    space, stem = space or load_label_space('mma82'), stem or name
    if make:
        video.parent.mkdir(exist_ok=True)
        pictures = moving_frames(frames) if pictures is None else pictures
        make_video(video, pictures, 30, codec=codec, **how)
    state = video.stat()
    request = {'video': {'bytes': state.st_size, 'mtime_ns': state.st_mtime_ns}}
    facts = {'request': request, 'top_k': 5}
    facts |= {} if private else {'path': str(video)}
    out = folder / 'out'
    (out / stem).parent.mkdir(parents=True, exist_ok=True)
    write_findings(out, stem, [answer(video, space, notes)], facts)
    return write_page(out, stem, video, space, private), video, space
