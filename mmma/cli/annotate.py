"""``annotate.py FOLDER``: pages of videos that save what a person annotates."""

import argparse
import webbrowser
from contextlib import suppress
from threading import Thread

from mmma.cli.arguments import declared

HELP = """Annotate videos in a browser, or correct what infer.py found.

Prints an address that answers on this computer alone, and to nobody without it: a list
of the videos in FOLDER and its subfolders, and a page of each (docs/video_pages.md).
Save writes <stem>.annotations.csv beside the video, or below --out; opened again, a
page goes on with that file, else with <stem>.json of infer.py, else from nothing. Where
the file has changed meanwhile nothing is written, and the page says so. What browsers
do not play gets a copy of the same times there, <stem>.page.mp4, when it is opened.

Ctrl-C ends it. Then convert.py csv makes a data root of what is saved, and agree.py
compares two coders, each with an --out of their own."""

ARGUMENTS = """
folder FOLDER (path): with videos
--out DIR (folder): where files go, below DIR as in FOLDER (default: beside the videos)
--predictions DIR (path): what infer.py wrote of FOLDER (default: beside the videos)
--labels NAME|FILE: mma82, ma52, or a JSON file (default: those of dataset.json in
  FOLDER, else mma82)
--coder NAME: who annotates; written where the page tells nobody else
--port N (int): default: one of the folder's own, or any that is free
--open: also open the address in a browser"""
add_arguments = declared(ARGUMENTS)


def run(args: argparse.Namespace) -> int:
    """Serve until it is interrupted."""
    from mmma.convert.events import root_at
    from mmma.convert.spreadsheets import SAVED
    from mmma.engine.findings import find_videos
    from mmma.files import HELD, only_writer, tell, try_out
    from mmma.reporting.server import PageServer
    from mmma.taxonomy import load_label_space, read_label_space

    folder, root = args.folder, root_at(args.folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder of videos')
    if args.port is not None and not 1024 <= args.port < 65536:
        raise ValueError(f'--port {args.port}: use a number in 1024..65535')
    space = root.label_space() if root else load_label_space()
    space = read_label_space(args.labels) if args.labels else space
    found, notes = find_videos([folder], private=False)
    far = () if args.follow_links else folder.resolve()
    for video in [v for v in found if far and not v.resolve().is_relative_to(far)]:
        notes.append(f'{video} is left out: a link out of {folder} (--follow-links)')
        del found[video]
    videos = {video: stem for video, (_, stem) in found.items()}
    out = args.out or try_out(folder, folder=True)
    files = [out / f'{stem}{SAVED}' for stem in videos.values()]
    lost = [str(file) for file in sorted(out.rglob(f'*{SAVED}')) if file not in files]
    tell([*notes, *[f'{file} is of no video that is listed' for file in lost]])
    places = [folder, out, args.predictions or folder]
    with only_writer(out):
        with PageServer(videos, places, space, args.coder or '', args.port) as server:
            print(f'{len(videos)} videos; Ctrl-C ends. Open {server.url}', flush=True)
            if args.open:
                Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        server.saving.acquire()  # what is being saved is; from now on nothing
        for part in [*HELD]:  # of a copy
            part.unlink(missing_ok=True)
    where = out / f'<stem>{SAVED}'
    count = sum(file.is_file() for file in files)
    told = f'python tools/data/convert.py csv {out} ROOT --videos {folder}'
    print(f'{count} of {len(files)} videos have annotations, {where}; next: {told}')
    return 0
