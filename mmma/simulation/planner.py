"""Making a plan: durations, timelines, clips, videos."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from mmma.simulation.domains import DOMAIN_STYLES, Array, Rng
from mmma.simulation.margins import ROWS, choose_emotions, corpus_size
from mmma.simulation.motion import Event
from mmma.simulation.plan import Item, Plan, Pools, SimulationOptions, cast, make_pools
from mmma.simulation.programs import action_effectors
from mmma.taxonomy import DOMAINS, LabelSpace, load_label_space, load_statistics


def spread_normal(count: int, rng: Rng) -> Array:
    """Standard normal numbers, one from each of ``count`` equally likely ranges.

    Their mean and spread differ far less from 0 and 1 than those of independent ones.
    They come in random order.
    """
    places = (np.arange(count) + rng.uniform(0.05, 0.95, count)) / max(count, 1)
    inverse = NormalDist().inv_cdf
    return rng.permutation(np.array([inverse(place) for place in places]))


def lognormal_lengths(
    exponents: Array, mean: float, low: float, high: float | Array
) -> Array:
    """(N,) seconds ``exp(shift + exponents)``, clipped, with the shift for a mean.

    ``exponents`` are (N,) normal numbers times the wanted spread; ``high`` is one
    number or (N,) of them. The mean is as near to ``mean`` as the clipping allows.
    """
    exponents = np.asarray(exponents, dtype=float)
    floor, ceiling = np.log(mean) - 5.0, np.log(mean) + 5.0
    for _ in range(50):
        shift = (floor + ceiling) / 2
        lengths = np.minimum(np.maximum(np.exp(exponents + shift), low), high)
        if lengths.size and lengths.mean() < mean:
            floor = shift
        else:
            ceiling = shift
    return lengths


# The shortest instance, and the longest share of a video that one instance fills.
# Source of the former: annotations of MMA-52, where instances last 0.27 s to 15 s.
SHORTEST_SEC = 0.3
_LONGEST_STILL_SEC = 15.0
_LONGEST_SHARE = 0.9
# One limb moves for this share of a video at most, so that all instances find room.
_BUSY_SHARE = 0.8
# How often an instance is put where it overlaps another. Chosen so that 87 % do: in
# MMA-52, 86 to 88 % of the instances overlap another one of their video.
_COMPANY = 0.85
_TRIES = 24
_SHRINK = 0.7
# Body groups and the limb that they move; all others move the hands.
_LIMBS = {'body': 'torso', 'head': 'head', 'lower limb': 'legs'}


def conflict_table(space: LabelSpace) -> Array:
    """(K, K) bool: actions that cannot overlap in time, because they claim one limb.

    An action claims the limb of its body group, and hands or legs wherever it moves
    them: those are led to a place. Turns of trunk and head that go with it add to
    those of others and claim nothing, so people nod while they touch their nose. Every
    action conflicts with itself.
    """
    limbs = [
        {_LIMBS.get(space.bodies[body], 'hands')}
        | (action_effectors(action) & {'hands', 'legs'})
        for action, body in zip(space.actions, space.body_of, strict=True)
    ]
    return np.array([[bool(a & b) for b in limbs] for a in limbs])


def _interleave(actions: Array, conflicts: Array, rng: Rng) -> Array:
    """Put actions in an order in which neighbours seldom need the same limb.

    Actions that share their limbs are spread evenly over the whole order, so that the
    few consecutive ones that a video gets are of different limbs and can overlap.
    """
    _, kind_of = np.unique(conflicts, axis=0, return_inverse=True)
    kind = kind_of.reshape(-1)[actions]
    place = np.empty(len(actions))
    for k in np.unique(kind):
        where = np.flatnonzero(kind == k)
        spread = rng.permutation(len(where)) + rng.random(len(where))
        place[where] = spread / len(where)
    return actions[np.argsort(place, kind='stable')]


def _lay_out(
    counts: Array,
    actions: Array,
    seconds: Array,
    conflicts: Array,
    mean: float,
    rng: Rng,
) -> tuple[Array, Array]:
    """Choose start and end of (I,) actions, (V,) ``counts`` of them in each video.

    Instances that need the same limb never overlap. Finding room for all shortens
    some, so lengths are drawn for a slightly larger mean until the result has ``mean``.
    """
    video = np.repeat(np.arange(len(counts)), counts)
    exponents = 0.6 * spread_normal(len(video), rng)
    exponents = exponents + 0.35 * np.log(seconds / seconds.mean())[video]
    # Videos are rows of padded arrays, so that all are filled at the same time.
    used = np.arange(int(counts.max())) < counts[:, None]  # (V, M)
    board = np.zeros(used.shape, dtype=np.int64)
    board[used] = actions
    seed = rng.integers(2**32)
    longest = np.minimum(_LONGEST_STILL_SEC, _LONGEST_SHARE * seconds[video])
    aim = mean
    for _ in range(4):
        length = np.zeros(used.shape)
        length[used] = lognormal_lengths(exponents, aim, SHORTEST_SEC, longest)
        dice = np.random.default_rng(seed)  # the same for every mean
        start, end = _place(board, length, seconds, conflicts, dice)
        aim *= mean / (end - start)[used].mean()
    return np.round(start[used], 2), np.round(end[used], 2)


def _place(
    board: Array, length: Array, seconds: Array, conflicts: Array, rng: Rng
) -> tuple[Array, Array]:
    """Place the longest instance of every video, then the next, and so on.

    Some places are tried at random; what fits nowhere is shortened and tried again.
    Actions and wished seconds are (V, M), 0 where a video has fewer than M instances;
    so are starts and ends, infinite there.
    """
    used = (length > 0).sum(axis=1)
    start, end = np.full(board.shape, np.inf), np.full(board.shape, -np.inf)
    # Shorten what keeps one limb busy for too long.
    clash = conflicts[board[:, :, None], board[:, None, :]]
    busy = (clash * length[:, None, :]).sum(axis=2)
    limit = _BUSY_SHARE * seconds[:, None]
    length = length * np.minimum(1.0, limit / np.maximum(busy, SHORTEST_SEC))
    order = np.argsort(-length, axis=1, kind='stable')
    for turn in range(order.shape[1]):
        rows = np.flatnonzero(used > turn)
        column = order[rows, turn]
        company = rng.random(len(rows)) < _COMPANY
        wished = length[rows, column]
        while len(rows):
            room = (seconds[rows] - wished)[:, None]
            tried = rng.random((len(rows), _TRIES)) * room  # (R, tries)
            overlap = (tried[:, :, None] < end[rows][:, None, :]) & (
                tried[:, :, None] + wished[:, None, None] > start[rows][:, None, :]
            )  # (R, tries, M)
            clash = conflicts[board[rows], board[rows, column][:, None]]
            free = ~(overlap & clash[:, None, :]).any(axis=2)
            liked = free & overlap.any(axis=2) & company[:, None]
            best = np.argmax(free.astype(int) + liked, axis=1)
            at = np.arange(len(rows))
            done, chosen = free[at, best], tried[at, best]
            start[rows[done], column[done]] = chosen[done]
            end[rows[done], column[done]] = (chosen + wished)[done]
            rows, column, company = rows[~done], column[~done], company[~done]
            wished = wished[~done] * _SHRINK
    return start, end


SHORTEST_FRAMES = 12
_LONGEST_SEC = 10.0
_CLIP_SPREAD = 0.42  # of the logarithm of a clip's length
_COMMON_FPS_SHARE = 0.8  # of the first frame rate, where a domain has several


def make_plan(options: SimulationOptions) -> Plan:
    """Decide everything but the motion.

    Both tasks are planned whatever ``options.tasks`` says, so that choosing one of them
    changes neither its items nor who is filmed in them.
    """
    space = load_label_space('mma82')
    rec_rng, det_rng = (np.random.default_rng([options.seed, 0, i]) for i in (0, 1))
    rec = corpus_size('rec', options.scale, options.balanced, space, rec_rng)
    det = corpus_size('det', options.scale, options.balanced, space, det_rng)
    people = make_pools(rec[0], det[0], options.seed)
    clips, videos = (), ()
    if 'rec' in options.tasks:
        clips = _with_emotions(_plan_clips(*rec, people[0], space, rec_rng), rec_rng)
    if 'det' in options.tasks:
        videos = _with_emotions(_plan_videos(*det, people[1], space, det_rng), det_rng)
    return _with_paths(Plan(options, clips, videos))


def _with_emotions(items: Iterable[Item], rng: Rng) -> tuple[Item, ...]:
    """Items, those of the emotion domain with one; in a subset all are equally many."""
    items, chosen = tuple(items), {}  # all else is drawn
    for row in (row for row in ROWS if row[0] == 'emotion'):
        own = [item for item in items if (item.domain, item.subset) == row]
        told = choose_emotions([[e.action for e in item.events] for item in own], rng)
        chosen |= {item.index: emotion for item, emotion in zip(own, told, strict=True)}
    return tuple(replace(i, emotion=chosen.get(i.index, '')) for i in items)


def _plan_clips(
    clips: Array, counts: Array, pools: Pools, space: LabelSpace, rng: Rng
) -> Iterator[Item]:
    """Clips row by row; the actions of a row in random order."""
    per_domain = clips.reshape(len(DOMAINS), -1).sum(axis=1).tolist()
    lengths = {
        domain: iter(_clip_frames(domain, count, rng))
        for domain, count in zip(DOMAINS, per_domain, strict=True)
    }
    index = 0
    for row, (domain, subset) in enumerate(ROWS):
        actions = _shuffled(counts[row], rng)
        people = cast(pools[row], len(actions), rng)
        for number, (action, person) in enumerate(zip(actions, people, strict=True)):
            fps, frames = next(lengths[domain])
            if domain == 'emotion':
                rng.random()  # keeps the events of corpora that exist
            name = f'{domain}_{subset}_{number + 1:06d}'
            who = ('rec', index, name, '', subset, domain, *person)
            event = Event(space.actions[action], 0.0, frames / fps)
            yield Item(*who, fps, frames, events=(event,))
            index += 1


def _plan_videos(
    videos: Array, instances: Array, pools: Pools, space: LabelSpace, rng: Rng
) -> Iterator[Item]:
    """Videos row by row; the events of all are laid out together."""
    published = load_statistics()['det']
    conflicts = conflict_table(space)
    counts, actions, rates = [], [], []
    for (domain, _), number, row in zip(ROWS, videos.tolist(), instances, strict=True):
        weights = rng.gamma(6.0, size=number)
        more = rng.multinomial(int(row.sum()) - number, weights / weights.sum())
        counts.append(1 + more)
        actions.append(_interleave(_shuffled(row, rng), conflicts, rng))
        rates.append(_draw_fps(domain, number, rng))
    count, action, fps = (np.concatenate(x) for x in (counts, actions, rates))
    mean_sec = published['hours'] * 3600 / published['videos']
    exponents = 0.28 * spread_normal(len(count), rng) + 0.06 * count
    seconds = lognormal_lengths(exponents, mean_sec, 5.0, 45.0)
    frames = np.rint(seconds * fps).astype(np.int64)
    mean = published['mean_instance_seconds']
    start, end = _lay_out(count, action, frames / fps, conflicts, mean, rng)
    video = np.repeat(np.arange(len(count)), count)
    events: list[list[Event]] = [[] for _ in count]
    for at in np.lexsort((end, start)):
        event = Event(space.actions[action[at]], float(start[at]), float(end[at]))
        events[video[at]].append(event)
    index = 0
    for row, (domain, subset) in enumerate(ROWS):
        people = cast(pools[row], int(videos[row]), rng)
        for number, person in enumerate(people):
            name = f'{domain}_{subset}_video_{number + 1:05d}'
            who = ('det', index, name, '', subset, domain, *person)
            length = float(fps[index]), int(frames[index])
            yield Item(*who, *length, events=tuple(events[index]))
            index += 1


def _shuffled(counts: Array, rng: Rng) -> Array:
    """(K,) counts -> the indices, each as often as counted, in random order."""
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


def _draw_fps(domain: str, count: int, rng: Rng) -> Array:
    rates = DOMAIN_STYLES[domain].fps
    rare = rng.random(count) >= _COMMON_FPS_SHARE
    other = rng.integers(1, max(len(rates), 2), count) % len(rates)
    return np.array(rates)[np.where(rare, other, 0)]


def _clip_frames(domain: str, count: int, rng: Rng) -> list[tuple[float, int]]:
    """Frame rate and number of frames of a domain's clips, with its published mean."""
    mean = load_statistics()['rec'][domain]['mean_seconds']
    fps = _draw_fps(domain, count, rng)
    exponents = _CLIP_SPREAD * spread_normal(count, rng)
    shortest = SHORTEST_FRAMES / fps.min()
    seconds = lognormal_lengths(exponents, mean, shortest, _LONGEST_SEC)
    frames = np.maximum(np.rint(seconds * fps), SHORTEST_FRAMES).astype(int)
    return list(zip(fps.tolist(), frames.tolist(), strict=True))


def _with_paths(plan: Plan) -> Plan:
    """Give a video to the items that are drawn; drop what would have nothing."""
    options = plan.options
    if not options.draws:
        return plan
    drawn = plan if options.videos is None else plan.head(options.videos)
    names = {item.name for item in drawn.items}
    kept = plan if options.observes else drawn

    def with_path(item: Item) -> Item:
        folder = f'videos/{item.task}/{item.domain}/{item.subset}'
        drawn = item.name in names
        return replace(item, path=f'{folder}/{item.name}.mp4') if drawn else item

    rec, det = (tuple(map(with_path, items)) for items in (kept.rec, kept.det))
    return replace(kept, rec=rec, det=det)
