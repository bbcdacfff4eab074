"""Taking the traces of a machine out of what is published: folders, users, hosts."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATH, HOST = '<path>', '<host>'
_ENDS = r'(?![\w-]|\.\w)'  # of a folder's name; a dot may end the sentence
_LOCAL_URL = re.compile(r'file://[^\s\'"]+')
# Two folders at least; not in a URL, a word or a number: 1/20, and/or, https://a/b.
_ABSOLUTE = re.compile(
    r'(?:(?<=-[IL])|(?<![\w.:/\\<>~-]))(?:~|[A-Za-z]:)?[/\\](?:[\w.+@%=-]+[/\\])+'
    r'(?P<last>[\w.+@%=-]*)'
)
_USER_AT_HOST = re.compile(r'\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*')
_PRIVATE_ADDRESS = re.compile(
    r'\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}(?::\d+)?\b'
)
_FILE = re.compile(r'[\w+=-][\w.+=-]*\.[A-Za-z]\w{0,11}')


class Scrubber:
    """Replaces folders that are known by what they stand for, and others by a mark.

    Args:
        known: Folder to what is written in its place; ``''`` leaves what is below it.
            Relative folders are replaced where they have several parts.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        both = {}
        for folder, mark in (known or {}).items():
            for form in (
                str(folder),
                os.path.abspath(folder),
                os.path.realpath(folder),
            ):
                if len(Path(form).parts) > 1:
                    both[form.rstrip('/\\')] = mark
        home = str(Path.home())
        both.setdefault(home, PATH)
        self._known = sorted(both.items(), key=lambda item: -len(item[0]))

    def text(self, value: str) -> str:
        """A text without paths of this machine; URLs and file names stay."""
        for folder, mark in self._known:
            end = _ENDS if mark else rf'(?:[/\\]|{_ENDS})'
            pattern = rf'(?<![\w./\\-]){re.escape(folder)}{end}'
            value = re.sub(pattern, mark.replace('\\', r'\\'), value)
        value = _LOCAL_URL.sub(PATH, value)
        return _ABSOLUTE.sub(_mark, value)

    def log(self, value: str) -> str:
        """As :meth:`text`, and without names and addresses of hosts and users."""
        value = _USER_AT_HOST.sub(HOST, self.text(value))
        for name in _host_names():
            value = re.sub(rf'(?<![\w-]){re.escape(name)}(?![\w-])', HOST, value)
        return _PRIVATE_ADDRESS.sub(HOST, value)

    def value(self, value: Any) -> Any:
        """Nested plain values with every string in them scrubbed; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.value(inner) for inner in value)
        return value


def _mark(match: re.Match[str]) -> str:
    """A file's name says what was there; a folder's may be a person's."""
    last = match['last']
    return f'{PATH}/{last}' if _FILE.fullmatch(last) else PATH


def _host_names() -> list[str]:
    """Names of this machine, as far as they cannot be taken for a word."""
    names = {platform.node(), platform.node().partition('.')[0]}
    names.add(os.environ.get('HOSTNAME', ''))
    plain = {'localhost', ''}
    return sorted((n for n in names - plain if len(n) > 3), key=len, reverse=True)
