#!/usr/bin/env python3
"""The event files of a training run as TensorBoard reads them. Usage: check_events.py RUN

RUN is the folder that `netgaze train` left beside its model. Every record's checksums are checked, and tags, steps and values must
be those of metrics.jsonl, to the last place of 32 bits: its numbers have nine digits. Needs numpy and tensorboard, and tensorflow for the checksums.
"""
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {"train": {"epoch_loss": "loss", "epoch_accuracy": "accuracy", "epoch_learning_rate": "learning_rate"},
        "validation": {"epoch_loss": "val_loss", "epoch_accuracy": "val_accuracy"}}


def expected(epochs, names):
    """{tag: [(step, value)]}; what was not measured has no entry. Keras counts epochs from 0."""
    all_tags = {tag: [(e["epoch"] - 1, np.float32(e[name])) for e in epochs if e[name] is not None]
                for tag, name in names.items()}
    return {tag: values for tag, values in all_tags.items() if values}


def found(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})  # 0: keep all
    events.Reload()
    scalars = {tag: [(e.step, np.float32(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    tensors = {tag: [(e.step, np.float32(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
               for tag in events.Tags()["tensors"]}
    return scalars | tensors


def same(have, want):
    return have.keys() == want.keys() and all(
        [step for step, _ in have[tag]] == [step for step, _ in want[tag]]
        and all(abs(h - w) <= np.spacing(w) for (_, h), (_, w) in zip(have[tag], want[tag])) for tag in want)


def main():
    run = pathlib.Path(sys.argv[1])
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    wrong = 0
    for part, names in TAGS.items():
        want = expected(epochs, names)
        if not want:
            continue
        records = sum(1 for _ in tf.data.TFRecordDataset(str(run / part / "events.out.tfevents.netgaze")))
        have = found(run / part)
        values = sum(map(len, want.values()))
        right = same(have, want) and records == 1 + values
        print(f"{part}: {records} records, {values} values of {', '.join(sorted(have))}: {'as expected' if right else 'DIFFERENT'}")
        wrong += not right
    sys.exit(wrong > 0)


main()
