"""The public benchmarks of a run: its models answer here, a judge behind an endpoint compares, files in a folder each.

data/RUN/benchmarks/alpaca_eval/results/M1/model_outputs.json          what M1 answered, in the tool's own layout
data/RUN/benchmarks/alpaca_eval/results/M1/gpt-4o/annotations.json     what the judge said
data/RUN/benchmarks/alpaca_eval/gpt-4o/results.json                    the figures under that judge
"""
