"""The report on runs: what improved, by how much against its own noise, what got worse, and what to do next.

    mr report small_world_meta_rewarding     data/small_world_meta_rewarding/report.html and report.md

`measured` reads the figures of a run, `changes` tells differences from noise, `paragraph` puts them into words,
`report` brings all of it into sections, and `page` writes these as HTML and as Markdown.
"""
