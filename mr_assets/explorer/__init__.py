"""Pages over the lineage of preference pairs, served on loopback: `mr explore`.

    /                                     the runs, side by side with their curves
    /report?run=RUN&run=OTHER             the report on several runs
    /runs/RUN                             their pairs: filter, sort, search
    /runs/RUN/prompts                     all prompts; so are responses, judgments, meta_judgments: filter, search
    /runs/RUN/report                      what improved, what got worse, what to do next
    /runs/RUN/figures                     its figures over the iterations: scores, parse rates, biases, margins
    /runs/RUN/dropped                     what their assets dropped, and why
    /runs/RUN/2.3f1c09aa72be.actor        a pair; in the same way a prompt, response, judgment, battle or model
    /runs/RUN/2.3f1c09aa72be.r4/raw       its text, as plain text
    /runs/RUN/2.3f1c09aa72be.actor/json   its lineage, for programs
    /id?id=3f1c09aa72be                   whatever run has it
    /spotcheck/RUN                        pairs shown blind, and how often the judge agrees with you

The addresses are made of ids and so stay. The server only reads, but for answers of a spot check, and asks no model.
"""
