"""The paper's own figures (Wu et al. 2024, Table 1): AlpacaEval 2 against GPT-4 Turbo, judged by GPT-4 Turbo.

They are of another model and by another judge, whose version is served no more: no figure can be held against them.
"""

JUDGE = "GPT-4 Turbo (AlpacaEval 2)"
HEAD = ("Llama-3-8B-Instruct", "LC win rate", "win rate", "characters")
TABLE_1 = (
    ("seed", "22.92%", "22.57%", "1899"),
    ("SFT on EFT", "25.47%", "25.10%", "1943"),
    ("Self-Rewarding + LC, iteration 1", "26.93%", "27.12%", "1983"),
    ("Self-Rewarding + LC, iteration 2", "30.38%", "29.77%", "1940"),
    ("Self-Rewarding + LC, iteration 3", "34.87%", "34.59%", "1967"),
    ("Self-Rewarding + LC, iteration 4", "35.49%", "35.37%", "2005"),
    ("Meta-Rewarding, iteration 1", "27.85%", "27.62%", "1949"),
    ("Meta-Rewarding, iteration 2", "32.66%", "33.29%", "2001"),
    ("Meta-Rewarding, iteration 3", "35.45%", "37.24%", "2064"),
    ("Meta-Rewarding, iteration 4", "39.44%", "39.45%", "2003"),
)
"""Per model: length-controlled win rate, win rate, mean length in characters."""
