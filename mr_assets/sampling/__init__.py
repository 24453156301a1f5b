"""Requests to completions: vLLM, in shards that a killed run finds again.

settings.py          the recipe's section engine, and what responses, judgments and meta-judgments share
engine_arguments.py  what engine.extra may name
engine.py            the engine: token ids in, completions out
stats.py             what an engine says of its work
shards.py            what is sampled together, kept and resumed
replicas.py          engines in processes of their own, which share out the shards
replica.py           one of these processes
live.py              the engine that a process has at a time
"""
