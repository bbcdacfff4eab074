"""Small videos and data roots for tests: made on the spot, the same bytes each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

# A low quantizer keeps frames apart; one key frame and B-frames, as published clips.
X264 = {'qp': '8', 'g': '1000', 'bf': '3', 'threads': '1', 'preset': 'veryfast'}


def moving_frames(
    num_frames: int, height: int = 48, width: int = 64, seed: int = 0
) -> np.ndarray:
    """Frames that all differ: a bright square on a moving pattern.

    Args:
        num_frames: T.
        height: H in pixels.
        width: W in pixels.
        seed: Direction of the square and colour of the pattern.

    Returns:
        (T, H, W, 3) uint8 RGB.
    """
    y, x = np.mgrid[:height, :width]
    angle = 2.4 * seed
    tint = 40 + 30 * np.array([np.sin(angle), np.cos(angle), np.sin(2 * angle)])
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for t in range(num_frames):
        wave = 40 * np.sin((x + 2 * y) / 9 + 0.4 * t)
        frames[t] = (wave[..., None] + 60 + tint).astype(np.uint8)
        top = int(height * (0.4 + 0.3 * np.sin(angle + 0.35 * t)))
        left = int(width * (0.4 + 0.3 * np.cos(angle - 0.35 * t)))
        square = slice(top, top + height // 5), slice(left, left + width // 5)
        frames[t][square] = 255 - (tint * 2).astype(np.uint8)
    return frames


def make_video(
    path: Path,
    frames: np.ndarray,
    fps: float = 30,
    *,
    times_ms: Sequence[int] | None = None,
    codec: str = 'libx264',
    pix_fmt: str = 'yuv420p',
    options: Mapping[str, str] | None = None,
    muxer: Mapping[str, str] | None = None,
    rotation: int | None = None,
    matrix: Sequence[int] | None = None,
    pixels: Fraction | None = None,
) -> Path:
    """Encode a video with one thread.

    Args:
        path: File to write; its suffix chooses the container.
        frames: (T, H, W, 3) uint8 RGB.
        fps: Frames per second, where ``times_ms`` is not given.
        times_ms: (T,) presentation time of each frame in milliseconds.
        codec: Name of an FFmpeg encoder.
        pix_fmt: Pixel format of the file.
        options: Options of the encoder; for libx264 they are added to ``X264``.
        muxer: Options of the container.
        rotation: Degrees counter-clockwise that a player turns the picture by.
        matrix: Numbers 0, 1, 3 and 4 of the display matrix, where not ``rotation``.
        pixels: Width of a pixel by its height.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    time_base = 1 / rate if times_ms is None else Fraction(1, 1000)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', options=dict(muxer or {})) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        stream.thread_count = 1
        stream.options = {**(X264 if codec == 'libx264' else {}), **(options or {})}
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            a, b, c, d = (number << 16 for number in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if pixels is not None:
            stream.codec_context.sample_aspect_ratio = pixels
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format='rgb24')
            frame.pts = i if times_ms is None else times_ms[i]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_changing_video(path: Path, *parts: np.ndarray, codec: str = 'libvpx') -> Path:
    """Encode a video whose picture changes its size midway, as recorded calls do.

    Args:
        path: File to write, at 25 frames per second.
        *parts: (T, H, W, 3) uint8 RGB, one after the other.
        codec: Name of an FFmpeg encoder whose key frames tell the size.
    """
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = parts[0].shape[1:3]
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        start = 0
        for part in parts:
            encoder = av.CodecContext.create(codec, 'w')
            encoder.height, encoder.width = part.shape[1:3]
            encoder.pix_fmt, encoder.time_base = stream.pix_fmt, Fraction(1, 25)
            encoder.bit_rate, encoder.thread_count = 2_000_000, 1
            encoder.options = {'bf': '0'} if codec == 'libx264' else {}
            packets = []
            for i, image in enumerate(part):
                frame = av.VideoFrame.from_ndarray(image, format='rgb24')
                frame.pts, frame.time_base = start + i, Fraction(1, 25)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode()]:
                packet.stream = stream
                packet.time_base = Fraction(1, 25)
                container.mux(packet)
            start += len(part)
    return path


def join_streams(path: Path, sources: Sequence[Path], default: int = 0) -> Path:
    """One file with the video streams of several.

    Args:
        path: File to write.
        sources: Files of one stream.
        default: Place of the stream that is marked to be shown.
    """
    import av

    with av.open(str(path), 'w') as container:
        inputs = [av.open(str(source)) for source in sources]
        streams = []
        for i, source in enumerate(inputs):
            stream = container.add_stream_from_template(source.streams.video[0])
            stream.disposition = av.stream.Disposition(int(i == default))
            streams.append(stream)
        for source, stream in zip(inputs, streams, strict=True):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    container.mux(packet)
            source.close()
    return path


def cut_without_decoding(
    path: Path, source: Path, key: int, below_zero: bool = True
) -> Path:
    """Copy packets from a key frame on, which is at zero then.

    Args:
        path: File to write.
        source: A video of open groups.
        key: Number of the key frame among key frames.
        below_zero: Frames behind it in the file and before it in time get stamps below
            zero; else all stamps are moved.
    """
    import av

    options = {'avoid_negative_ts': 'disabled' if below_zero else 'make_non_negative'}
    with (
        av.open(str(source)) as old,
        av.open(str(path), 'w', options=options) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.size]
        first = [i for i, packet in enumerate(packets) if packet.is_keyframe][key]
        start = packets[first].pts
        for packet in packets[first:]:
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = stream
            new.mux(packet)
    return path


def spoil_packet(path: Path, number: int, kept: int = 0) -> None:
    """Overwrite a frame's bytes, so that decoding it fails.

    Args:
        path: An MP4 file.
        number: Place of the frame in the order of storage.
        kept: Bytes to leave at the frame's start.
    """
    import av

    with av.open(str(path)) as container:
        entry = list(container.streams.video[0].index_entries)[number]
        start, end = entry.pos + kept, entry.pos + entry.size
    content = bytearray(path.read_bytes())
    content[start:end] = b'\xff' * (end - start)
    path.write_bytes(content)


def make_audio(path: Path) -> Path:
    """A file with sound and no picture.

    Args:
        path: File to write.
    """
    import av

    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=16000, layout='mono')
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format='fltp', layout='mono'
        )
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def make_click(path: Path, first_ms: int, begin_ms: int, click_ms: int) -> Path:
    """A video of two seconds with sound that is silent but for a click.

    Args:
        path: File to write; times are those in the file.
        first_ms: When its first frame is shown.
        begin_ms: When the sound begins, to last two seconds.
        click_ms: When the click is heard.
    """
    import av

    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        video.codec_context.time_base = Fraction(1, 1000)
        heard = container.add_stream('pcm_s16le', rate=44100, layout='mono')
        for i, image in enumerate(moving_frames(50)):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = first_ms + 40 * i, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        wave = np.zeros((1, 88200), np.int16)
        wave[:, (click_ms - begin_ms) * 44100 // 1000 :][:, :441] = 20000
        for i in range(0, 88200, 4410):
            sound = av.AudioFrame.from_ndarray(wave[:, i : i + 4410], 's16', 'mono')
            sound.sample_rate, sound.pts = 44100, begin_ms * 44100 // 1000 + i
            sound.time_base = Fraction(1, 44100)
            container.mux(heard.encode(sound))
        container.mux(heard.encode())
    return path


def make_video_root(
    root: Path, actions: Sequence[int] = (0, 7, 20, 41, 63), clips: int = 3
) -> Path:
    """A data root with all four domains and real, short videos.

    Every domain has ``clips`` clips of as many classes in each subset, each of its own
    subject; the classes of a domain are the same in each subset. What is shown depends
    on the class, so that a model can learn it.

    Args:
        root: Folder to make.
        actions: Indices of the MMA-82 actions that appear.
        clips: Clips per domain and subset.
    """
    from mmma.data.clips import Clip, write_rec
    from mmma.data.root import DatasetInfo, write_info
    from mmma.taxonomy import DOMAINS, SUBSETS, load_label_space

    space = load_label_space('mma82')
    rows = []
    for d, domain in enumerate(DOMAINS):
        for s, subset in enumerate(SUBSETS):
            for i in range(clips):
                action = actions[(d + i) % len(actions)]
                name = f'{domain}_{subset}_{i}'
                path = f'videos/{domain}/{name}.mp4'
                frames = moving_frames(10 + 2 * i + s, 40 + 8 * (d % 2), 56, action)
                make_video(root / path, frames)
                rows.append(
                    Clip(
                        clip=name,
                        path=path,
                        subset=subset,
                        domain=domain,
                        subject=f'{domain[0]}{s}{i}',
                        action=action,
                        body=space.body_of[action],
                    )
                )
    write_rec(root / 'rec.csv', rows, space)
    write_info(root, DatasetInfo('mma82-fixture', 'mma82', simulated=True))
    return root


def numbered_frames(num_frames: int, height: int = 48) -> np.ndarray:
    """(T, H, 128, 3) uint8 frames that say their number: eight bars, white is 1."""
    bits = np.arange(num_frames)[:, None] >> np.arange(8) & 1
    row = np.repeat(bits * 255, 16, axis=1).astype(np.uint8)
    return np.tile(row[:, None, :, None], (1, height, 1, 3))


def read_numbers(frames: Sequence[np.ndarray] | np.ndarray) -> list[int]:
    """The numbers that frames of :func:`numbered_frames` say, at any size."""
    columns = (np.array_split(frame.mean((0, 2)), 8) for frame in frames)
    bits = [[bar.mean() > 128 for bar in bars] for bars in columns]
    return (np.array(bits) @ (1 << np.arange(8))).tolist()


def make_span_root(root: Path, rows: Sequence[str], **video) -> Path:
    """A root with ``videos/talk.mp4``, 75 numbered frames in 3 s, and rows of it.

    Args:
        root: Folder to make.
        rows: Of ``clip,path,subset,action,source_video,start_sec,end_sec``.
        **video: Options of :func:`make_video`.
    """
    from mmma.data.root import DatasetInfo, write_info

    make_video(root / 'videos/talk.mp4', numbered_frames(75), 25, **video)
    header = (
        'clip,path,subset,action,source_video,start_sec,end_sec,domain,body,subject'
    )
    lines = [header, *(f'{row},lab,,s{i}' for i, row in enumerate(rows))]
    (root / 'rec.csv').write_text('\n'.join(lines) + '\n')
    write_info(root, DatasetInfo('spans', 'mma82', simulated=True))
    return root
