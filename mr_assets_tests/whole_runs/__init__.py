"""Runs from end to end: what several modules and assets do together.

The tests of one module lie where it lies, those of one asset in ``assets/``.
"""
