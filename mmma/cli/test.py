"""Score a checkpoint under a protocol and write results.json.

Zero-shot means that no clip of the target domain was trained on; its classes are not
unseen. Few-shot adapts the model to K clips per class of the target, adapt to its
clips without labels, beside the same steps on clips of the source. In detection
bodies are scored apart: actions are relabelled to body groups before NMS, or come from
the body head (--cfg-options +test_evaluator.bodies=head)."""

import argparse

from mmma.apis import report
from mmma.cli.arguments import CKPT_HELP, declared, options_of, run_arguments
from mmma.engine.run import TestOptions

ARGUMENTS = f"""
*config
checkpoint CKPT: weights: {CKPT_HELP}
.work_dir .launcher .subset
--runs N (int): fewshot: support draws
--strict-shots = None: fewshot: a class with fewer clips than shots is an error
.adapt .cache .rerank
*views
.class_set .body_scores .skip_broken .trust .allow_simulated .allow_extractor .preset
--out FILE (out): default: results.json in the work dir
--dump FILE (out): also write scores.npz; detections of actions as ActivityNet-style
  JSON, of a dense head also FILE.frames.npz; all that is written where truth is
  withheld
--reliability FILE.png (out): also draw how often scores are right, as given and
  calibrated"""
add_arguments = declared(ARGUMENTS, TestOptions, preset={'flag': '--preset --as'})


def run(args: argparse.Namespace) -> int:
    """Test, write the results and print their table."""
    from mmma.engine.run import open_run

    options = options_of(TestOptions, args)
    opened = open_run(
        *run_arguments(args), options=options, views=args.views, crops=args.crops
    )
    report(opened, args.checkpoint, options, args.out, args.dump, args.reliability)
    return 0
