"""A process that computes its part of a model, step by step, as the leader says; started by ``parallel.lead``."""

import argparse
import json
import os
import threading
import time
from pathlib import Path
from typing import Final

import torch

from poolwright.engine.model.part import Part
from poolwright.engine.parallel import joined

WATCH_S: Final = 1.0
"""How often a worker looks whether its leader is still there."""


def end_with(parent: int) -> None:
    """End this process when its parent has gone: nobody would ever tell it to."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def main() -> None:
    """Join, load, compute until there is nothing more to do."""
    from poolwright.engine.build import options_from, runner_of  # noqa: PLC0415 - build imports what starts this file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rank", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("meeting", type=Path)
    parser.add_argument("options")
    parser.add_argument("blocks", type=int)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(arguments.threads)
    team = joined(Part(rank=arguments.rank, size=arguments.size), arguments.meeting)
    runner = runner_of(options_from(json.loads(arguments.options)), arguments.blocks, team)
    while chunks := team.hear():
        runner.logits(chunks)
    team.close()


if __name__ == "__main__":
    main()
