"""What a run has made, as folders for other tools: models, preference pairs, judgments, each with its card.

    mr export small_world_meta_rewarding models DIR      DIR/M0, DIR/M1, ...: for `from_pretrained`
    mr export small_world_meta_rewarding pairs DIR       for `datasets.load_dataset(DIR, "trl", split="iteration_1")`
    mr export small_world_meta_rewarding judgments DIR   the same, one row per judgment

A folder is whole or not there. The run is read and never changed.
"""
