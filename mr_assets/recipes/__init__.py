"""Recipes: the YAML files, every number of a run, one row per iteration; and what reads, checks and changes them.

    recipe.py       what a recipe may say. Sampling, training and guardrails declare their own sections, it has them
    load.py         load_recipe: a file, --set and a number of iterations become a `Recipe`, or one `UserError`
    yaml_files.py   YAML 1.2 and ``extends``
    sets.py         --set
    validation.py   every problem at once, each as ``path = value: reason (meaning)``
    checks.py       what must hold between fields, and what is only worth a warning
    differences.py  in which fields two recipes differ
    fields.py       what `mr recipes NAME` lists
    family.py       the name that runs with the same seed prompts, EFT data and M_0 share
    names.py        what a recipe, run or family can be called

Whether a field shapes what is made is said beside it: one that changes speed and memory alone is marked `SPEED`.
"""
