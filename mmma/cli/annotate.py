"""Annotate videos in a browser, or correct what infer.py found.

Prints an address that no other computer reaches: the videos of FOLDER and subfolders,
and a page of each (docs/video_pages.md). It goes on with <stem>.annotations.csv, which
Save writes, else with <stem>.json of infer.py, or begins with nothing. What browsers do
not play gets a copy when it is opened, <stem>.page.mp4. Ctrl-C ends it."""

import argparse
import webbrowser
from contextlib import suppress
from threading import Thread

ARGUMENTS = """
folder FOLDER (path): of videos
--out DIR (folder): write below it, as in FOLDER: for each coder one, for agree.py
  (default: beside the videos)
--predictions DIR (path): what infer.py wrote of FOLDER (default: beside the videos)
--labels NAME|FILE: label space (default: of dataset.json in FOLDER, else mma82)
--coder NAME: who annotates what nobody has annotated yet
--port N (int): from 1024 on (default: the folder's own, or any that is free)
--open: also open the address"""


def run(args: argparse.Namespace) -> int:
    """Serve until it is interrupted."""
    from mmma.convert.spreadsheets import SAVED
    from mmma.data.root import INFO_FILE
    from mmma.engine.findings import find_videos
    from mmma.files import HELD, only_writer, tell
    from mmma.reporting.server import PageServer
    from mmma.taxonomy import read_label_space

    folder, out = args.folder, args.out or args.folder
    places, root = [folder, out, args.predictions or folder], folder / INFO_FILE
    for place in (folder, places[2]):
        if not place.is_dir():
            raise FileNotFoundError(f'{place}: no such folder')
    if args.port is not None and not 1024 <= args.port < 65536:
        raise ValueError(f'--port {args.port}: use one of 1024..65535')
    labels = args.labels or (str(root) if root.is_file() else 'mma82')
    how = read_label_space(labels), args.coder or '', args.port
    found, notes = find_videos([folder], private=False)
    videos = {video: stem for video, (_, stem) in found.items()}
    for video in () if args.follow_links else found:
        if not video.resolve().is_relative_to(folder.resolve()):
            notes.append(f'{video} leads out of {folder}: left out (--follow-links)')
            del videos[video]
    files = [out / f'{stem}{SAVED}' for stem in videos.values()]
    lost = {*out.rglob(f'*{SAVED}')} - {*files}
    tell([*notes, *(f'{file} is of no video here' for file in sorted(lost))])
    with only_writer(out):
        with PageServer(videos, places, *how) as server:
            print(f'{len(videos)} videos; Ctrl-C ends. Open {server.url}', flush=True)
            if args.open:
                Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        server.saving.acquire()  # what is being saved is; from now on nothing
        for part in [*HELD]:  # of a copy
            part.unlink(missing_ok=True)
    count = sum(file.is_file() for file in files)
    told = f'python tools/data/convert.py csv {out} ROOT --videos {folder}'
    told += f' --label-space {args.labels}' if args.labels else ''
    print(f'{count} of {len(files)} videos have a <stem>{SAVED} in {out}; next: {told}')
    return 0
