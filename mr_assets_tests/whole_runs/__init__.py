"""Runs from end to end: what several modules and assets do together. The tests of one module lie where it lies.

Assets have theirs here: a body only wires what `method` tests.
"""
