"""The study behind docs/study.md: matched comparisons in the small world, five seeds each, paired by seed.

make study                                       the plan and how long it takes, then what is not there yet
python -m mr_assets_tests.study --plan           the plan alone
python -m mr_assets_tests.study --page           the tables and the picture again, of the results that are there

arms.py         the recipes that are run, and which two of them are compared
results.py      a finished run as one small JSON file in benchmarks/study, and whether it still holds
comparisons.py  paired differences with their intervals
page.py         the tables of docs/study.md and its picture
"""
