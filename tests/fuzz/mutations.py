"""Seeded changes of right files: bytes, JSON, tables, lines, archives.

Each mutator takes a random generator and the bytes of a right file and gives those of a
wrong one. The same generator gives the same bytes.
"""

import csv
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

Mutator = Callable[[random.Random, bytes], bytes]

LETTERS = (
    '',
    ' ',
    'a' * 70_000,
    '\x00',
    '\x1b[31mred',
    '\u202eabc',
    'e\u0301',
    '\ud83d\ude00',
    '../../etc/passwd',
    '/etc/passwd',
    'C:\\x',
    '=1+1',
    '@x',
    '<b>x</b>',
    '[x](y)',
    '$x_1$',
    'line\nline',
    'tab\tx',
    '"',
    "'",
    '%s %d {0}',
    '\ufeff',
    'nan',
    'inf',
    '-0',
    '1e400',
    '1_000',
    '\u0661\u0662',
    '0x10',
    '1,5',
    'True',
    'null',
    '__class__',
    'os.system',
)
NUMBERS = (
    0,
    -1,
    1,
    2,
    7,
    82,
    83,
    255,
    256,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63,
    -(2**63),
    10**30,
    10**308,
    -0.0,
    0.5,
    1e-320,
    1e308,
    1.5,
    99.9,
    float('nan'),
    float('inf'),
    float('-inf'),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {'': ''}, [None], [0] * 3)
INTEGERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**63 - 1,
)


def odd_value(rng: random.Random, old: Any = None) -> Any:
    """A value that a file would hardly have in the place of ``old``."""
    picks = [LETTERS, NUMBERS, OTHERS]
    if (
        isinstance(old, (int, float))
        and not isinstance(old, bool)
        and rng.random() < 0.4
    ):
        return old * rng.choice((-1, 2, 10, 1000, 1e-3)) + rng.choice((0, 1, -1))
    if isinstance(old, str) and rng.random() < 0.4:
        at = rng.randrange(len(old) + 1)
        return old[:at] + rng.choice(LETTERS) + old[at + rng.randrange(2) :]
    return rng.choice(rng.choice(picks))


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip, cut, repeat, move, overwrite some bytes."""
    data = bytearray(content)
    for _ in range(1 + int(rng.expovariate(1))):
        size = len(data)
        at = rng.randrange(min(size, 64) + 1) if rng.random() < 0.3 else None
        at = rng.randrange(size + 1) if at is None else at
        end = min(size, at + int(rng.expovariate(1 / 20)) + 1)
        kind = rng.randrange(9)
        if kind == 0 and at < size:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < size:
            data[at] = rng.choice((0, 255, 32, 10, 34, rng.randrange(256)))
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(INTEGERS) & (256**width - 1)
            data[at : at + width] = number.to_bytes(
                width, rng.choice(('little', 'big'))
            )
        elif kind == 3:
            del data[at:end]
        elif kind == 4:
            data[at:at] = data[at:end] * rng.choice((1, 2, 50))
        elif kind == 5:
            data[at:at] = rng.randbytes(end - at)
        elif kind == 6:
            del data[at:]
        elif kind == 7:
            part = data[at:end]
            del data[at:end]
            to = rng.randrange(len(data) + 1)
            data[to:to] = part
        else:
            data[at:end] = bytes(end - at)
    return bytes(data)


def then_bytes(mutator: Mutator, share: float = 0.15) -> Mutator:
    """``mutator``, with some bytes of what it gives changed now and then."""

    def both(rng: random.Random, content: bytes) -> bytes:
        content = mutator(rng, content)
        return mutate_bytes(rng, content) if rng.random() < share else content

    return both


def mutate_value(rng: random.Random, content: Any) -> Any:
    """JSON content with one place changed: another value, key, order or number."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            places.append((node, key))
            if isinstance(value, (dict, list)):
                walk(value)

    if not isinstance(content, (dict, list)):
        return odd_value(rng, content)
    walk(content)
    if not places or rng.random() < 0.02:
        return odd_value(rng)
    node, key = rng.choice(places)
    old, kind = node[key], rng.randrange(8)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice((*LETTERS, key + ' ', key.upper()))] = node.pop(key)
    elif kind == 2 and isinstance(node, list):
        node[key:key] = [old] * rng.choice((1, 2, 100))
    elif kind == 3 and isinstance(node, list):
        rng.shuffle(node)
    elif kind == 4:
        node[key] = rng.choice(([old], {'a': old}, str(old), [old, old]))
    elif kind == 5:
        other, place = rng.choice(places)
        # Of what was read a moment ago; a copy, so that nothing holds itself.
        node[key] = (
            json.loads(json.dumps(other[place]))
            if place in other or isinstance(other, list)
            else None
        )
    else:
        node[key] = odd_value(rng, old)
    return content


def mutate_json(rng: random.Random, content: bytes) -> bytes:
    """JSON with some values changed, or written as few writers do."""
    value = json.loads(content)
    for _ in range(1 + int(rng.expovariate(1))):
        value = mutate_value(rng, value)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    kind = rng.randrange(40)
    if kind == 0:
        depth = rng.choice((50, 500, 5_000, 200_000))
        text = text.replace('1', '[' * depth + ']' * depth, 1)
    elif kind == 1:
        text = text.replace('0', '9' * rng.choice((20, 308, 309, 5_000)), 1)
    elif kind == 2 and '{' in text:
        at = text.index('{') + 1
        text = text[:at] + text[at : text.find(',', at) + 1] + text[at:]
    elif kind == 3:
        return text.encode('utf-16', 'surrogatepass')
    elif kind == 4:
        text = '\ufeff' + text
    return text.encode('utf-8', 'surrogatepass')


def mutate_table(rng: random.Random, content: bytes) -> bytes:
    """A CSV table with cells, rows, columns or its separator changed."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline='')))
    for _ in range(1 + int(rng.expovariate(1))):
        if not rows:
            break
        at = rng.randrange(len(rows)) if rng.random() < 0.85 else 0
        row, kind = rows[at], rng.randrange(8)
        column = rng.randrange(len(row)) if row else 0
        if kind == 0:
            del rows[at]
        elif kind == 1:
            rows[at:at] = [list(row)] * rng.choice((1, 2, 100))
        elif kind == 2:
            for other in rows:
                del other[column : column + 1]
        elif kind == 3:
            for other in rows:
                other[column:column] = other[column : column + 1]
        elif kind == 4:
            row.insert(column, str(odd_value(rng)))
        elif row:
            other = rng.choice(rows)
            moved = other[column] if column < len(other) else ''
            row[column] = moved if kind == 5 else str(odd_value(rng, row[column]))
    text = io.StringIO(newline='')
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    separator = rng.choice(',,,,,;\t|')
    csv.writer(text, delimiter=separator, quoting=quoting).writerows(rows)
    code = rng.choice(('utf-8', 'utf-8', 'utf-8', 'utf-8', 'utf-8-sig', 'utf-16'))
    return text.getvalue().encode(code, 'surrogatepass')


def mutate_lines(rng: random.Random, content: bytes) -> bytes:
    """Text with words, lines or their order changed: lists, YAML, plain configs."""
    lines = content.decode().split('\n')
    for _ in range(1 + int(rng.expovariate(1))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        kind = rng.randrange(7)
        words = lines[at].split(' ')
        place = rng.randrange(len(words))
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines[at:at] = [lines[at]] * rng.choice((1, 2, 100))
        elif kind == 2:
            lines[at] = (
                rng.choice((' ', '  ', '\t', '- ', '# ', '')) + lines[at].lstrip()
            )
        elif kind == 3:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 4:
            del words[place]
            lines[at] = ' '.join(words)
        else:
            words[place] = str(odd_value(rng, words[place]))
            lines[at] = ' '.join(words)
    return '\n'.join(lines).encode('utf-8', 'surrogatepass')


def mutate_npy(rng: random.Random, content: bytes) -> bytes:
    """An array with its header or its numbers changed; the lengths may disagree."""
    size = struct.unpack('<H', content[8:10])[0]
    header, body = content[10 : 10 + size].decode('latin1'), content[10 + size :]
    if rng.random() < 0.5:
        odd = str(odd_value(rng)).replace('\n', ' ')
        swaps = (
            ('(', f'({rng.choice(NUMBERS)}, '),
            ('<f4', rng.choice(('<f8', '|O', '<U9'))),
            ('False', rng.choice(('True', odd))),
            ("'shape'", "'shapes'"),
            (',', odd),
            ('<f4', '<c8'),
            ('<i8', '<M8[s]'),
            ('(', '('),
            ('<', '>'),
        )
        header = header.replace(*rng.choice(swaps), 1)
    else:
        body = mutate_bytes(rng, body)
    if body and rng.random() < 0.3:
        odd = struct.pack('<f', rng.choice((float('nan'), float('inf'), -1, 2, 1e30)))
        at = rng.randrange(len(body)) // 4 * 4
        body = body[:at] + odd + body[at + 4 :]
    text = header.encode('utf-8', 'surrogatepass')[:65_000]
    return content[:8] + struct.pack('<H', len(text)) + text + body


def in_archive(mutator: Mutator) -> Mutator:
    """Mutator of a zip archive whose parts ``mutator`` changes, with right sums."""

    def mutate(rng: random.Random, content: bytes) -> bytes:
        if rng.random() < 0.2:
            return mutate_bytes(rng, content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [(i.filename, archive.read(i)) for i in archive.infolist()]
        at, kind = rng.randrange(len(parts)), rng.randrange(12)
        name, data = parts[at]
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts.append((name, rng.choice(parts)[1]))
        elif kind == 2:
            parts[at] = (odd_name(rng, name), data)
        elif kind == 3:
            parts[at] = (name, rng.choice(parts)[1])
        else:
            try:
                parts[at] = (name, mutator(rng, data))
            except (struct.error, UnicodeError):  # a part of another kind
                parts[at] = (name, mutate_bytes(rng, data))
        out = io.BytesIO()
        method = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
        with zipfile.ZipFile(out, 'w', method) as archive:
            for name, data in parts:
                archive.writestr(zipfile.ZipInfo(name), data, method)
        return out.getvalue()

    return mutate


def odd_name(rng: random.Random, old: str) -> str:
    """A name of a part of an archive, in the place of ``old``."""
    odd = str(odd_value(rng, old))[:200].replace('\x00', '')
    return odd.encode('utf-8', 'replace').decode() or 'x'
