"""Pilots: a few prompts through every role of a recipe before anybody pays for a run.

pilot.py     makes one: the assets of the loop, up to the pairs, for one small iteration in a folder of its own
verdicts.py  what it says of each stage, with the interval that its shares lie in, and the field to change
"""
