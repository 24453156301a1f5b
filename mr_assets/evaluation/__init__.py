"""Whether a model got better, by a judge that the loop did not train: the layouts and scores of public benchmarks.

alpaca_eval    AlpacaEval 2: win rate and length-controlled win rate against the reference; alpaca_judge: its judge
arena_hard     Arena-Hard v0.1 and v2.0: battles won against a baseline
mt_bench       MT-Bench: grades of two turns
client         a judge behind an endpoint; costs: what it costs at most
results        what a judge found, in a file of the run
"""
