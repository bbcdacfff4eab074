"""Seeded changes of right files: bytes, JSON, tables, lines, archives.

Each mutator takes a random generator and the bytes of a right file and gives those of a
wrong one. The same generator gives the same bytes.
"""

import copy
import csv
import io
import itertools
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

MOST = 2 << 20
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
    '9' * 5_000,
    'a' * 300,
    'a/b',
    '..',
    '\ud800',
    '\x85x',
    '\u2028x',
    '\xb2',
    '\u0130',
    '*[?{(\\',
    '-',
    '1:60:61',
    '[' * 2_000,
)
WHOLE = (
    b'',
    b'\n',
    b'null',
    b'0',
    b'"x"',
    b'[]',
    b'{}',
    b'[{}]',
    b'{"a": 1}',
    b'\xff\xfe',
    b'\xef\xbb\xbf',
    b'\x00' * 99,
    b'\n' * 99_999,
    b'{"a":' * 99_999,
    b'[' * 99_999,
    b'(' * 99_999,
    b'- ' * 9_999,
    b'-' * 99_999,
    b'a,' * 99_999,
    b'"' * 99_999,
    b'PK\x03\x04',
    b'\x89PNG\r\n',
    b'\x80\x04.',
    b'sep=',
    b'sep=\x00\na\x00b',
    b'a\r\rb\r',
)
YAML_WORDS = (
    '!!python/object/apply:os.system [x]',
    '!!binary x',
    '&a [*a]',
    '*b',
    '2020-02-30',
    '2020-01-01',
    '1:30',
    '0o17',
    '.nan',
    '? [a]',
    '{[a]: b}',
    '%TAG',
    '---',
    '!!set {a}',
    '<<: *a',
    '!!float x',
    '!!timestamp x',
    '!!int 0x',
)
MARKUP_WORDS = (
    'TIME_VALUE="1e9"',
    'TIME_VALUE="-5"',
    'TIME_SLOT_REF1="ts9"',
    'ANNOTATION_REF="a1"',
    'ANNOTATION_REF="a9"',
    'PREVIOUS_ANNOTATION="a3"',
    'TIER_ID="head"',
    'PARTICIPANT="@"',
    'TIME_UNITS="NTSC-frames"',
    'TIME_ORIGIN="x"',
    'CONSTRAINTS="Symbolic_Subdivision"',
    'LINGUISTIC_TYPE_REF="none"',
    '<ANNOTATION/>',
    '<TIER/>',
    '</HEADER>',
    '<![CDATA[',
    '&x;',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
    'xmin = -1',
    'xmax = 0',
    'text = "',
    'mark = "a ""b"" [0.5] // c"',
    'text = "[1e999] // "',
    'class = "TextTier"',
    'name = "mmma"',
    'size = 1e9',
)
CODE_WORDS = (
    '__import__("os").system("x")',
    'lambda: 0',
    'f"{x}"',
    '1 if x else 2',
    '{**x}',
    '[x for x in x]',
    '9**9**9',
    '-' * 3_000 + '1',
    '(' * 99,
    "b'x'",
    '1j',
    '...',
    '{1, 2}',
    '{[]: 1}',
    '{{}: 1}',
    'dict([1])',
    'dict(a=1, **{})',
    'x.y = 1',
    'x[0] = 1',
    'a, b = 1, 2',
    'a = b = 1',
    'import os',
    'del x',
    '"' * 3,
    '1_0',
    '0777',
    "'\\ud800'",
    "'\\x00'",
    '9' * 5_000,
    '1e999',
    'set()',
    'tuple(1)',
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
    return copy.deepcopy(rng.choice(rng.choice(picks)))  # lists are changed in place


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
    """``mutator``, with some bytes of what it gives, or all, changed now and then."""

    def both(rng: random.Random, content: bytes) -> bytes:
        if rng.random() < 0.01:
            return rng.choice(WHOLE)
        content = mutator(rng, content)[:MOST]
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


def mutate_json_lines(rng: random.Random, content: bytes) -> bytes:
    """JSON values in lines, one of them changed, repeated or cut."""
    lines = content.split(b'\n')
    at = rng.randrange(len(lines) - 1)
    lines[at] = mutate_json(rng, lines[at])
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b'\n'.join(lines)


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


def with_words(*words: str) -> Mutator:
    """As :func:`mutate_lines`, with words of a language."""

    def mutate(rng: random.Random, content: bytes) -> bytes:
        return mutate_lines(rng, content, words)

    return mutate


def mutate_lines(
    rng: random.Random, content: bytes, odd: tuple[str, ...] = ()
) -> bytes:
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
        elif odd and rng.random() < 0.5:
            if kind == 5:  # what a key or a name stands before
                place = min(place + 1, len(words))
                words[place:] = []
            words[place : place + 1] = [rng.choice(odd)]
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


def in_archive(mutator: Mutator, main: str = '') -> Mutator:
    """Mutator of a zip archive, with right sums.

    ``mutator`` changes its parts, oftener those whose name ends in ``main``.
    """

    def mutate(rng: random.Random, content: bytes) -> bytes:
        if rng.random() < 0.2:
            return mutate_bytes(rng, content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [(i.filename, archive.read(i)) for i in archive.infolist()]
        at, kind = rng.randrange(len(parts)), rng.randrange(12)
        if kind > 3 and main and rng.random() < 0.7:
            at = next(i for i, (name, _) in enumerate(parts) if name.endswith(main))
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


PLAIN_CODES = b'()]}0123NQRabdelostu.\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94'
GLOBALS = (
    'os system',
    'builtins eval',
    'builtins getattr',
    'collections OrderedDict',
    'torch FloatStorage',
    'torch.nn.parameter Parameter',
    'torch._utils _rebuild_tensor_v2',
    'torch._utils _rebuild_sparse_tensor',
    'torch._utils _rebuild_qtensor',
    'torch._utils _rebuild_parameter',
    'torch.storage _load_from_bytes',
    'torch Size',
    'numpy dtype',
    'numpy ndarray',
    'numpy.core.multiarray _reconstruct',
    'numpy.core.multiarray scalar',
    '_codecs encode',
)


def mutate_pickle(rng: random.Random, content: bytes) -> bytes:
    """Pickles with opcodes exchanged, inserted or repeated, numbers and names changed.

    What stands behind them, as tensors in old files of torch, is changed now and then.
    """
    codes: list[bytes] = []
    stream, end = io.BytesIO(content), 0
    try:
        while True:
            places = [place for _, _, place in pickletools.genops(stream)]
            places.append(stream.tell())
            codes += [content[a:b] for a, b in itertools.pairwise(places)]
            end = places[-1]
    except ValueError:
        rest = content[end:]
    if not codes or (rest and rng.random() < 0.1):
        return b''.join(codes) + mutate_bytes(rng, rest)
    for _ in range(1 + int(rng.expovariate(1))):
        at, kind = rng.randrange(len(codes)), rng.randrange(9)
        code = codes[at]
        if kind == 0:
            del codes[at : at + rng.choice((1, 1, 2, 5))]
        elif kind == 1:
            codes[at:at] = [code] * rng.choice((1, 2, 300))
        elif kind == 2:
            other = rng.randrange(len(codes))
            codes[at], codes[other] = codes[other], code
        elif kind == 3:
            codes.insert(at, bytes([rng.choice(PLAIN_CODES)]))
        elif kind == 4:
            codes.insert(at, rng.choice(codes))
        elif code[:1] in b'cX\x8c' or kind == 5:
            text = rng.choice(GLOBALS) if code[:1] == b'c' else str(odd_value(rng))
            data = text.encode('utf-8', 'surrogatepass')
            codes[at] = b'X' + struct.pack('<I', len(data)) + data
            if code[:1] == b'c':
                codes[at] = b'c' + data.replace(b' ', b'\n', 1) + b'\n'
        elif code[:1] in b'JKMhjqr' and len(code) > 1:
            width = len(code) - 1
            number = rng.choice(INTEGERS) & (256**width - 1)
            codes[at] = code[:1] + number.to_bytes(width, 'little')
        else:
            codes[at] = mutate_bytes(rng, code)
        codes = codes or [b'.']
    return b''.join(codes) + rest


def mutate_safetensors(rng: random.Random, content: bytes) -> bytes:
    """Weights whose header is changed, with the length that it has then."""
    end = 8 + int.from_bytes(content[:8], 'little')
    header, body = content[8:end], content[end:]
    told = json.loads(header)
    kind = rng.random()
    if kind < 0.5 and '__metadata__' in told:
        inner = told['__metadata__']
        key = rng.choice(list(inner))
        text = inner[key].encode()
        try:
            text = mutate_json(rng, text)
        except ValueError:  # no JSON but a word
            text = mutate_bytes(rng, text)
        inner[key] = text.decode('utf-8', 'replace')
        header = json.dumps(told).encode()
    elif kind < 0.9:
        header = mutate_json(rng, header)
    else:
        body = mutate_bytes(rng, body)
    return len(header).to_bytes(8, 'little') + header + body


Tree = list[list[Any]]
"""Parts of a file: name, content or the parts in it, and what its size is told off by;
a name of None is bytes between parts."""


def read_boxes(data: bytes) -> Tree:
    """Boxes of MP4."""
    inner = b'moov trak mdia minf stbl edts dinf udta moof traf mvex'.split()
    found: Tree = []
    at = 0
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
        if not 8 <= size <= len(data) - at:
            break
        body = data[at + 8 : at + size]
        found.append([name, read_boxes(body) if name in inner else body, 0])
        at += size
    return [*found, [None, data[at:], 0]]


def write_box(name: bytes, body: bytes, off: int) -> bytes:
    return ((len(body) + 8 + off) & 0xFFFFFFFF).to_bytes(4, 'big') + name + body


def read_riff(data: bytes) -> Tree:
    """Chunks of AVI; a list has its kind in its name."""
    found: Tree = []
    at = 0
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], 'little')
        if size > len(data) - at - 8:
            break
        body = data[at + 8 : at + 8 + size]
        if name in (b'RIFF', b'LIST'):
            found.append([name + body[:4], read_riff(body[4:]), 0])
        else:
            found.append([name, body, 0])
        at += 8 + size + size % 2
    return [*found, [None, data[at:], 0]]


def write_chunk(name: bytes, body: bytes, off: int) -> bytes:
    body = name[4:] + body
    size = (len(body) + off) & 0xFFFFFFFF
    return name[:4] + size.to_bytes(4, 'little') + body + b'\0' * (len(body) % 2)


def read_elements(data: bytes) -> Tree:
    """Elements of Matroska."""
    inner = '1a45dfa3 18538067 114d9b74 4dbb 1549a966 1654ae6b ae e0 1f43b675 1c53bb6b'
    names = [bytes.fromhex(name) for name in f'{inner} bb b7 a0'.split()]
    found: Tree = []
    at = 0
    while at < len(data) and data[at]:
        wide = 9 - data[at].bit_length()
        name, to = data[at : at + wide], at + wide
        if to >= len(data) or not data[to]:
            break
        long = 9 - data[to].bit_length()
        size = int.from_bytes(data[to : to + long], 'big') - (1 << 7 * long)
        if size > len(data) - to - long:
            break
        body = data[to + long : to + long + size]
        found.append([name, read_elements(body) if name in names else body, 0])
        at = to + long + size
    return [*found, [None, data[at:], 0]]


def write_element(name: bytes, body: bytes, off: int) -> bytes:
    size = (len(body) + off) & ((1 << 56) - 1)
    wide = 1 if size < 127 else 2 if size < 16383 else 8
    wide = 8 if name in (b'\x18S\x80g', b'\x1fC\xb6u') else wide  # as FFmpeg does
    return name + (size | 1 << 7 * wide).to_bytes(wide, 'big') + body


def in_tree(
    read: Callable[[bytes], Tree], write: Callable[[bytes, bytes, int], bytes]
) -> Mutator:
    """Mutator of a file of parts in parts: sizes, names, places and content of them."""

    def join(tree: Tree) -> bytes:
        parts = []
        for name, body, off in tree:
            body = join(body) if isinstance(body, list) else body
            parts.append(body if name is None else write(name, body, off))
        return b''.join(parts)

    def mutate(rng: random.Random, content: bytes) -> bytes:
        if rng.random() < 0.2:
            return mutate_bytes(rng, content)
        tree = read(content)
        for _ in range(1 + int(rng.expovariate(1))):
            places: list[tuple[Tree, int]] = []

            def walk(nodes: Tree, places: list = places) -> None:
                for at, node in enumerate(nodes):
                    if node[0] is not None:
                        places.append((nodes, at))
                    if isinstance(node[1], list):
                        walk(node[1])

            walk(tree)
            if not places:
                break
            (nodes, at), (others, to) = rng.choice(places), rng.choice(places)
            node, kind = nodes[at], rng.randrange(12)
            if kind == 0:
                del nodes[at]
            elif kind == 1:
                again = [node[0], read(join([node]))[0][1], node[2]]
                nodes[at:at] = [again] * rng.choice((1, 2, 50))
            elif kind == 2:
                nodes[at] = [node[0], node[1], rng.choice((*INTEGERS, -1, -8, 8))]
            elif kind == 3:
                nodes[at] = [others[to][0], node[1], node[2]]
            elif kind == 4:
                name = mutate_bytes(rng, node[0])[: len(node[0])]
                nodes[at] = [name.ljust(len(node[0]), b'x'), node[1], node[2]]
            elif kind == 5:
                body = others[to][1]
                nodes[at] = [node[0], body if isinstance(body, bytes) else b'', 0]
            elif isinstance(node[1], bytes) and node[1]:
                body = bytearray(node[1])
                if kind < 9 and len(body) >= 4:  # most are numbers
                    width = rng.choice((1, 2, 4, 4, 8))
                    spot = rng.randrange(len(body)) // width * width
                    number = rng.choice((*INTEGERS, rng.randrange(100)))
                    data = (number & (256**width - 1)).to_bytes(width, 'big')
                    body[spot : spot + width] = data
                    body = body[: len(node[1])]
                else:
                    body = bytearray(mutate_bytes(rng, bytes(body)))
                nodes[at] = [node[0], bytes(body), node[2]]
        return join(tree)

    return mutate


MP4 = in_tree(read_boxes, write_box)
AVI = in_tree(read_riff, write_chunk)
MKV = in_tree(read_elements, write_element)


def mutate_packets(rng: random.Random, content: bytes) -> bytes:
    """An MPEG transport stream with packets changed, lost, repeated or moved."""
    packets = [content[i : i + 188] for i in range(0, len(content), 188)]
    for _ in range(1 + int(rng.expovariate(1))):
        at, kind = rng.randrange(len(packets)), rng.randrange(6)
        if kind == 0 and len(packets) > 1:
            del packets[at]
        elif kind == 1:
            packets[at:at] = [packets[at]] * rng.choice((1, 2, 50))
        elif kind == 2:
            packets.insert(rng.randrange(len(packets)), packets.pop(at))
        else:
            changed = mutate_bytes(rng, packets[at])
            whole = changed[:188].ljust(188, b'\xff')
            packets[at] = whole if kind < 5 else changed
    return b''.join(packets)
