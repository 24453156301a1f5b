"""Whether a model got better, by a judge that the loop did not train: the layouts and scores of public benchmarks.

alpaca_eval    AlpacaEval 2: win rate and length-controlled win rate against the reference
"""
